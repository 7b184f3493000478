"""A .tflite as plain data: tensors, operations and what is attached, ready to be judged."""

import collections
import dataclasses

from ai_edge_litert import schema_py_generated as schema

from export.flatbuffer import read_model
from export.inspection.attachments import Attachments, clean, read_attachments

FLOATS = frozenset({"float16", "float32", "float64", "bfloat16"})
QUANTIZED = frozenset({"int2", "int4", "uint4", "int8", "uint8", "int16"})


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A tensor of a model.

    Attributes:
        shape: with the batch axis; -1 where a length is dynamic.
        dtype: such as "float32" or "int8".
        size_bytes: that the file stores for it; 0 unless it is constant.
        scale, zero_point: real = scale * (stored - zero_point), of the first channel; both 0
            where it is not quantized.
        channels: number of scales; more than 1 for quantization per channel.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    size_bytes: int
    scale: float
    zero_point: int
    channels: int

    @property
    def is_constant(self) -> bool:
        """Whether the file holds its values."""
        return self.size_bytes > 0


@dataclasses.dataclass(frozen=True)
class Op:
    """An operation; inputs and outputs are indices of tensors, without those left out.

    Attributes:
        name: such as "CONV_2D"; of a custom operation its own.
        version: of the operation, from 1.
        is_custom: not one of the runtime's own.
    """

    name: str
    version: int
    is_custom: bool
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Graph:
    """The main subgraph of a model, and what belongs to the whole file.

    Attributes:
        tensors, ops: of the main subgraph.
        input_indices, output_indices: of the main subgraph's tensors.
        census: operation to count over all subgraphs, most frequent first.
        versions: (operation, version) of all subgraphs' builtin operations.
        subgraphs: how many there are.
        signatures: their names.
        declared_runtime: the minimum runtime that the converter wrote into the file; "" if none.
        external_files: files that hold buffers of this model.
        attachments: metadata and labels.
    """

    tensors: tuple[Tensor, ...]
    ops: tuple[Op, ...]
    input_indices: tuple[int, ...]
    output_indices: tuple[int, ...]
    census: dict[str, int]
    versions: tuple[tuple[str, int], ...]
    subgraphs: int
    signatures: tuple[str, ...]
    declared_runtime: str
    external_files: tuple[str, ...]
    attachments: Attachments

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """Of the main subgraph."""
        return tuple(self.tensors[i] for i in self.input_indices)

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """Of the main subgraph."""
        return tuple(self.tensors[i] for i in self.output_indices)

    def activations(self, indices: tuple[int, ...]) -> list[Tensor]:
        """Those of the tensors that are computed, not stored."""
        return [self.tensors[i] for i in indices if not self.tensors[i].is_constant]


def read_graph(content: bytes) -> Graph:
    """Describes a model without running it.

    Args:
        content: of a .tflite file, however hostile.

    Returns:
        Its main subgraph and what belongs to the file.

    Raises:
        ValueError: not an intact .tflite file.
    """
    model = read_model(content)
    buffers = [0 if b.data is None else len(b.data) for b in model.buffers or []]
    codes = [_code(code) for code in model.operatorCodes or []]
    subgraphs = model.subgraphs or []
    main = subgraphs[0]  # `read_model` refuses models without one.
    tensors = tuple(_tensor(tensor, buffers) for tensor in main.tensors or [])
    used = [codes[op.opcodeIndex] for graph in subgraphs for op in graph.operators or []]
    census = collections.Counter(name for name, _, _ in used)
    return Graph(
        tensors=tensors,
        ops=tuple(_op(op, codes) for op in main.operators or []),
        input_indices=_indices(main.inputs),
        output_indices=_indices(main.outputs),
        census=dict(census.most_common()),
        versions=tuple(
            dict.fromkeys((name, version) for name, version, custom in used if not custom)
        ),
        subgraphs=len(subgraphs),
        signatures=tuple(clean(entry.signatureKey) for entry in model.signatureDefs or []),
        declared_runtime=_declared_runtime(model),
        external_files=tuple(clean(group.name) for group in model.externalBufferGroups or []),
        attachments=read_attachments(content, model),
    )


def _names(enum: type) -> dict[int, str]:
    return {value: name for name, value in vars(enum).items() if isinstance(value, int)}


_OP_NAMES = _names(schema.BuiltinOperator)
_DTYPES = {value: name.lower() for value, name in _names(schema.TensorType).items()}


def _code(code: schema.OperatorCodeT) -> tuple[str, int, bool]:
    # Old files have the short field only, new ones both.
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    if number == schema.BuiltinOperator.CUSTOM:
        return clean(code.customCode) or "CUSTOM", code.version, True
    return _OP_NAMES.get(number, f"UNKNOWN_{number}"), code.version, False


def _indices(indices: object) -> tuple[int, ...]:
    return () if indices is None else tuple(int(i) for i in indices if i >= 0)  # type: ignore


def _op(op: schema.OperatorT, codes: list[tuple[str, int, bool]]) -> Op:
    name, version, is_custom = codes[op.opcodeIndex]
    return Op(name, version, is_custom, _indices(op.inputs), _indices(op.outputs))


def _tensor(tensor: schema.TensorT, buffers: list[int]) -> Tensor:
    shape, signature = tensor.shape, tensor.shapeSignature
    if signature is not None and shape is not None and len(signature) == len(shape):
        shape = signature
    scales = points = None
    if tensor.quantization is not None:
        scales, points = tensor.quantization.scale, tensor.quantization.zeroPoint
    channels = 0 if scales is None else len(scales)
    return Tensor(
        name=clean(tensor.name),
        shape=() if shape is None else tuple(int(side) for side in shape),
        dtype=_DTYPES.get(tensor.type, f"unknown {tensor.type}"),
        size_bytes=buffers[tensor.buffer],
        scale=float(scales[0]) if scales is not None and len(scales) else 0.0,
        zero_point=int(points[0]) if points is not None and len(points) else 0,
        channels=channels,
    )


def _declared_runtime(model: schema.ModelT) -> str:
    buffers = model.buffers or []
    for entry in model.metadata or []:
        data = buffers[entry.buffer].data
        if entry.name == b"min_runtime_version" and data is not None:
            return clean(bytes(data[:16]).rstrip(b"\0"))
    return ""
