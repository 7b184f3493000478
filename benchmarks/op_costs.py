"""What each operation of a .tflite computes and moves, from the shapes in the file."""

import dataclasses
import math

from export.inspection.file_graph import Graph, Op, Tensor

CLASSES = ("conv", "depthwise", "dense", "elementwise", "pool", "quantize", "other")

_NAMED = {
    "conv": "CONV_2D TRANSPOSE_CONV",
    "depthwise": "DEPTHWISE_CONV_2D",
    "dense": "FULLY_CONNECTED",
    "elementwise": """ABS ADD DIV ELU EXP GELU HARD_SWISH LEAKY_RELU LOG LOGISTIC MAXIMUM MINIMUM
    MUL NEG POW PRELU RELU RELU6 RELU_0_TO_1 RELU_N1_TO_1 RSQRT SQRT SQUARE SQUARED_DIFFERENCE SUB
    TANH""",
    "pool": "AVERAGE_POOL_2D L2_POOL_2D MAX_POOL_2D MEAN REDUCE_MAX REDUCE_MIN SUM",
    "quantize": "CAST DEQUANTIZE QUANTIZE",
}
_CLASS_OF = {op: kind for kind, names in _NAMED.items() for op in names.split()}

# They multiply matrices too, but their shapes alone do not say how many.
_UNCOUNTED = frozenset(
    """BATCH_MATMUL BIDIRECTIONAL_SEQUENCE_LSTM BIDIRECTIONAL_SEQUENCE_RNN CALL CONV_3D
    CONV_3D_TRANSPOSE IF LSTM RNN SVDF UNIDIRECTIONAL_SEQUENCE_LSTM UNIDIRECTIONAL_SEQUENCE_RNN
    WHILE""".split()
)

_BITS = {
    "bool": 8,
    "bfloat16": 16,
    "complex64": 64,
    "complex128": 128,
    "float16": 16,
    "float32": 32,
    "float64": 64,
    "int2": 2,
    "int4": 4,
    "int8": 8,
    "int16": 16,
    "int32": 32,
    "int64": 64,
    "uint4": 4,
    "uint8": 8,
    "uint16": 16,
    "uint32": 32,
    "uint64": 64,
}


@dataclasses.dataclass(frozen=True)
class OpCost:
    """Cost of one operation, or the sum of several.

    Attributes:
        ops: how many operations.
        macs: multiply-accumulates of convolutions and dense layers.
        weight_bytes: of the constants they read, as the file stores them.
        activation_bytes: of the computed tensors they read and write.
    """

    ops: int = 0
    macs: int = 0
    weight_bytes: int = 0
    activation_bytes: int = 0

    def __add__(self, other: "OpCost") -> "OpCost":
        return OpCost(
            self.ops + other.ops,
            self.macs + other.macs,
            self.weight_bytes + other.weight_bytes,
            self.activation_bytes + other.activation_bytes,
        )

    @property
    def macs_per_byte(self) -> float:
        """Arithmetic intensity; 0.0 where nothing is moved."""
        moved_bytes = self.weight_bytes + self.activation_bytes
        return self.macs / moved_bytes if moved_bytes else 0.0


def op_class(op: Op) -> str:
    """One of `CLASSES`."""
    return "other" if op.is_custom else _CLASS_OF.get(op.name, "other")


def costs_by_class(graph: Graph) -> dict[str, OpCost]:
    """Sums the operations of each class.

    Args:
        graph: of the model. Open lengths count as 1, as the runtime takes them.

    Returns:
        A cost for each of `CLASSES`, in their order.
    """
    sums = {kind: OpCost() for kind in CLASSES}
    stored = stored_bytes(graph)
    for op in graph.ops:
        sums[op_class(op)] += _cost(graph, op, stored)
    return sums


def uncounted(graph: Graph) -> dict[str, int]:
    """Operations whose multiplications are not in the MACs, with their number."""
    names = [op.name for op in graph.ops if op.is_custom or op.name in _UNCOUNTED]
    return {name: names.count(name) for name in dict.fromkeys(names)}


def tensor_bytes(tensor: Tensor) -> int:
    """Size of a computed tensor; open lengths count as 1, dtypes without a size as 0."""
    return math.ceil(_elements(tensor) * _BITS.get(tensor.dtype, 0) / 8)


def stored_bytes(graph: Graph) -> dict[int, int]:
    """Size in the file of all tensors that do not depend on the input.

    Args:
        graph: of the model.

    Returns:
        Index of the tensor to bytes. Tensors that are decoded from constants, as
        the weights of float16 files are, have the size of what they come from.
    """
    sizes = {i: t.size_bytes for i, t in enumerate(graph.tensors) if t.is_constant}
    for op in graph.ops:
        if op.inputs and all(i in sizes for i in op.inputs):
            total = sum(sizes[i] for i in op.inputs)
            sizes.update(dict.fromkeys(op.outputs, total))
    return sizes


def _cost(graph: Graph, op: Op, stored: dict[int, int]) -> OpCost:
    if op.outputs and all(i in stored for i in op.outputs):
        return OpCost(ops=1)  # Decodes constants, once; they count where they are read.
    moved = [i for i in op.inputs + op.outputs if i not in stored]
    return OpCost(
        ops=1,
        macs=_macs(graph, op),
        weight_bytes=sum(stored.get(i, 0) for i in op.inputs),
        activation_bytes=sum(tensor_bytes(graph.tensors[i]) for i in moved),
    )


def _macs(graph: Graph, op: Op) -> int:
    """Every element of the output (of a transposed convolution, of the input) costs a kernel."""
    kind = op_class(op)
    if kind not in ("conv", "depthwise", "dense") or len(op.inputs) < 2 or not op.outputs:
        return 0
    kernel = [abs(side) for side in graph.tensors[op.inputs[1]].shape]
    if op.name == "TRANSPOSE_CONV":  # (output shape, kernel, input); kernel (out, h, w, in).
        if len(op.inputs) < 3:
            return 0
        return _elements(graph.tensors[op.inputs[2]]) * math.prod(kernel[:3])
    elements = _elements(graph.tensors[op.outputs[0]])
    # Kernels: (out, height, width, in), depthwise (1, height, width, out), dense (out, in).
    per_element = math.prod(kernel[1:3]) if kind == "depthwise" else math.prod(kernel[1:])
    return elements * per_element


def _elements(tensor: Tensor) -> int:
    return math.prod(abs(side) for side in tensor.shape)
