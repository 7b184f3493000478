"""From a Keras model to the bytes of a .tflite, and to a file that keeps the contract."""

import dataclasses
import os

import numpy as np

from export.form import HardSwish, export_form
from export.graph import Graph
from export.keras_graph import from_keras
from export.quantizer import Quantized, quantize_graph
from export.recipes import Recipe
from export.scales import Quantization
from export.writer import write_tflite
from mobilenet_tf import files
from mobilenet_tf.cli import WorkError
from mobilenet_tf.engine import keras
from mobilenet_tf.runtime import TFLiteModel


@dataclasses.dataclass(frozen=True)
class Conversion:
    """A converted model.

    Attributes:
        content: of the .tflite.
        graph: in the export form, as written but for rounding.
        quantized: how its integers were chosen; None for float activations.
    """

    content: bytes
    graph: Graph
    quantized: Quantized | None


def convert_model(
    model: keras.Model,
    recipe: Recipe,
    calibration: np.ndarray | None,
    hard_swish: HardSwish,
    seed: int,
) -> Conversion:
    """Converts a model through the export form.

    Args:
        model: float32 (batch, height, width, 3) in [0, 255] to probabilities.
        recipe: from `export.recipes`, not a stock one.
        calibration: uint8 (images, height, width, 3) for recipes that need it.
        hard_swish: see `form.export_form`.
        seed: see `quantizer.quantize_graph`.

    Returns:
        A `Conversion`.

    Raises:
        ValueError: layers that no MobileNet has, values that are not finite,
            or missing calibration images.
    """
    graph = export_form(from_keras(model), hard_swish)
    quantized = None
    if recipe.activation_bits is not None:
        if calibration is None or not len(calibration):
            raise ValueError(f"{recipe.name} needs calibration images. Received: none")
        quantized = quantize_graph(graph, calibration, recipe.activation_bits, seed)
    return finish(model.name, graph, recipe, quantized)


def finish(name: str, graph: Graph, recipe: Recipe, quantized: Quantized | None) -> Conversion:
    """Writes a graph that is ready, as `convert_model` does at its end."""
    written = graph if quantized is None else quantized.graph
    quantization = Quantization() if quantized is None else quantized.quantization
    content = write_tflite(written, recipe, quantization, f"{name}, {recipe.name}, mobilenet_tf")
    return Conversion(content, graph, quantized)


def write_file(content: bytes, recipe: Recipe, path: str) -> None:
    """Writes a .tflite after it ran once and kept the contract.

    Args:
        content: of the file.
        recipe: that made it.
        path: replaced if it exists.

    Raises:
        WorkError: the interpreter cannot run it, or it breaks the contract;
            nothing is written.
    """
    with files.replacing(path) as temporary:
        with open(temporary, "wb") as file:
            file.write(content)
        try:
            model = TFLiteModel(temporary)
            model.set_image(np.zeros((*model.image_size, 3), np.uint8))
            model.invoke()
        except (ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise WorkError(
                f"the installed LiteRT must have kernels for every operation of the file; use "
                f"another --quantize. Received: --quantize {recipe.name} ({reason})"
            ) from None
        _check_contract(model, recipe)


def _check_contract(model: TFLiteModel, recipe: Recipe) -> None:
    """What every client relies on; see docs/contract.md."""
    problems = []
    if model.input.dtype != recipe.input_dtype:
        problems.append(f"input {model.input.dtype}")
    if recipe.input_dtype == "uint8" and (model.input.scale, model.input.zero_point) != (1.0, 0):
        problems.append(f"input scale {model.input.scale}, zero point {model.input.zero_point}")
    if model.output.dtype != "float32" or len(model.output.shape) != 2:
        problems.append(f"output {model.output.dtype} {model.output.shape}")
    if problems:
        raise WorkError(
            f"the file must take raw RGB bytes as {recipe.input_dtype} and give float32 "
            f"probabilities; build the model with include_preprocessing=True and its top. "
            f"Received: {', '.join(problems)}"
        )


@dataclasses.dataclass(frozen=True)
class FileFacts:
    """What a .tflite is made of.

    Attributes:
        size_bytes: of the file.
        partitions: pieces that XNNPACK runs; 1 or 2 is healthy.
        op_census: operation to count, most frequent first.
    """

    size_bytes: int
    input_dtype: str
    input_shape: tuple[int, ...]
    output_dtype: str
    output_shape: tuple[int, ...]
    partitions: int
    op_census: dict[str, int]


def inspect_file(path: str) -> FileFacts:
    """Loads a .tflite in the interpreter and describes it.

    Raises:
        FileNotFoundError, ValueError: see `runtime.TFLiteModel`.
    """
    model = TFLiteModel(path)
    counts = TFLiteModel(path, use_xnnpack=False).op_counts()
    return FileFacts(
        size_bytes=os.path.getsize(path),
        input_dtype=model.input.dtype,
        input_shape=model.input.shape,
        output_dtype=model.output.dtype,
        output_shape=model.output.shape,
        partitions=model.op_counts().get("DELEGATE", 0),
        op_census=counts,
    )
