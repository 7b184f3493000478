"""Running a .tflite: the only module that imports an interpreter."""

import collections
import dataclasses
import os
import statistics
import time
from collections.abc import Iterable, Iterator

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

_DELEGATE = "DELEGATE"  # The name of a partition in the list of operations.


@dataclasses.dataclass(frozen=True)
class TensorInfo:
    """An input or output of a model.

    Attributes:
        name: in the file.
        shape: with the batch axis.
        dtype: "float32", "uint8" or "int8".
        scale, zero_point: real = scale * (stored - zero_point); both 0 where
            the tensor is float.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float
    zero_point: int


class TFLiteModel:
    """A .tflite image classifier in the LiteRT interpreter.

    Args:
        path: of the file.
        num_threads: that the kernels may use.
        use_xnnpack: False for the plain built-in kernels, where every
            operation is visible.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a .tflite file that this runtime can run, or not an
            image classifier with one input and one output.
    """

    def __init__(self, path: str, num_threads: int = 1, use_xnnpack: bool = True) -> None:
        self._interpreter = _make_interpreter(path, num_threads, use_xnnpack)
        inputs = self._interpreter.get_input_details()
        outputs = self._interpreter.get_output_details()
        if len(inputs) != 1 or len(outputs) != 1 or len(inputs[0]["shape"]) != 4:
            raise ValueError(
                "the model must be an image classifier with one (1, height, width, 3) input and "
                f"one output. Received: {path} with {len(inputs)} inputs, {len(outputs)} outputs"
            )
        self._input_index = inputs[0]["index"]
        self._output_index = outputs[0]["index"]
        self.input = _tensor_info(inputs[0])
        self.output = _tensor_info(outputs[0])

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) of the input in pixels."""
        return self.input.shape[1], self.input.shape[2]

    @property
    def classes(self) -> int:
        """Number of outputs."""
        return self.output.shape[-1]

    def set_image(self, image: np.ndarray) -> None:
        """Sets the input from pixels, uint8 (height, width, 3), RGB in 0..255.

        Float models of this project take the values as they are; integer ones
        take the bytes, shifted by 128 where the type is signed.
        """
        if self.input.dtype == "float32":
            image = image.astype(np.float32)
        elif self.input.dtype == "int8":
            image = (image.astype(np.int16) - 128).astype(np.int8)
        self._interpreter.set_tensor(self._input_index, image[np.newaxis])

    def invoke(self) -> None:
        """Runs one inference on the input that is set."""
        self._interpreter.invoke()

    def scores(self) -> np.ndarray:
        """The output of the last inference, float32 (classes,), dequantized."""
        stored = self._interpreter.get_tensor(self._output_index)[0]
        if self.output.dtype == "float32":
            return stored
        # int32 first: int8 minus the zero point may not fit into 8 bits.
        return (stored.astype(np.int32) - self.output.zero_point) * np.float32(self.output.scale)

    def predict(self, images: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yields `scores` for each image, uint8 (height, width, 3)."""
        for image in images:
            self.set_image(image)
            self.invoke()
            yield self.scores()

    def op_counts(self) -> dict[str, int]:
        """How often each operation occurs, most frequent first.

        With XNNPACK, "DELEGATE" counts the partitions that it runs as a whole;
        the operations inside them are counted as well.
        """
        names = [op["op_name"] for op in self._interpreter._get_ops_details()]
        return dict(collections.Counter(names).most_common())


def median_latency_ms(path: str, runs: int = 50) -> float:
    """Times a model on random images, with one thread: a first impression of a few moments.

    Args:
        path: of the .tflite.
        runs: that are timed, after a fifth as many to warm up.

    Returns:
        Median wall time of an inference in milliseconds, XNNPACK included.

    Raises:
        FileNotFoundError, ValueError: see `TFLiteModel`.
    """
    model = TFLiteModel(path)
    rng = np.random.default_rng(0)
    times_ms = []
    for _ in range(runs // 5 + runs):
        model.set_image(rng.integers(0, 256, (*model.image_size, 3), np.uint8))
        start = time.perf_counter()
        model.invoke()
        times_ms.append((time.perf_counter() - start) * 1000)
    return statistics.median(times_ms[-runs:])


@dataclasses.dataclass(frozen=True)
class Delegation:
    """How XNNPACK takes a model.

    Attributes:
        partitions: pieces that it runs; 1 or 2 is healthy.
        outside: operation to count of those that it leaves to the built-in kernels.
    """

    partitions: int
    outside: dict[str, int]


def delegation(path: str) -> Delegation:
    """Loads a model of any kind and looks at its partitions, without running it.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a .tflite file that this runtime can load.
    """
    details = _make_interpreter(path, num_threads=1, use_xnnpack=True)._get_ops_details()
    makers = {
        output: op for op in details for output in op["outputs"] if op["op_name"] != _DELEGATE
    }
    delegates = [op for op in details if op["op_name"] == _DELEGATE]
    inside: set[int] = set()
    for delegate in delegates:
        # From a partition's outputs back to its inputs lies all that it has replaced.
        inputs, pending = set(delegate["inputs"]), list(delegate["outputs"])
        while pending:
            tensor = pending.pop()
            maker = None if tensor in inputs else makers.get(tensor)
            if maker is not None and maker["index"] not in inside:
                inside.add(maker["index"])
                pending += list(maker["inputs"])
    left = [
        op["op_name"] for op in details if op["op_name"] != _DELEGATE and op["index"] not in inside
    ]
    return Delegation(len(delegates), dict(collections.Counter(left).most_common()))


def _make_interpreter(path: str, num_threads: int, use_xnnpack: bool) -> Interpreter:
    if not os.path.isfile(path):
        raise FileNotFoundError(f"no such model; check the path. Received: {path}")
    resolver = (
        OpResolverType.AUTO if use_xnnpack else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    )
    try:
        interpreter = Interpreter(
            model_path=str(path),
            num_threads=num_threads,
            experimental_op_resolver_type=resolver,
        )
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"the model must be an intact .tflite file that this LiteRT runtime supports; "
            f"convert or download it again. Received: {path} ({reason})"
        ) from None
    return interpreter


def _tensor_info(details: dict) -> TensorInfo:
    scale, zero_point = details["quantization"]
    return TensorInfo(
        name=details["name"],
        shape=tuple(int(side) for side in details["shape"]),
        dtype=np.dtype(details["dtype"]).name,
        scale=float(scale),
        zero_point=int(zero_point),
    )
