"""What a model computes in: its quantization, and the float operations left in it."""

import dataclasses

from export.inspection.file_graph import FLOATS, QUANTIZED, Graph, Op, Tensor

# What may follow the last integer operation: the end of a classifier in float is more exact.
_TAIL = frozenset({"SOFTMAX", "LOG_SOFTMAX", "LOGISTIC", "RESHAPE", "SQUEEZE"})
_CONVERSIONS = frozenset({"QUANTIZE", "DEQUANTIZE"})
_WEIGHTED = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"})


@dataclasses.dataclass(frozen=True)
class Leftover:
    """An operation that computes in float in a quantized model.

    Attributes:
        index: of the operation.
        name: such as "MUL".
        tensor: name of its output.
        place: relative to the integer operations.
    """

    index: int
    name: str
    tensor: str
    place: str


def quantization(graph: Graph) -> str:
    """How the convolutions and dense layers compute, such as "int8 per channel".

    Returns:
        The kinds that occur, the most frequent first, joined by " + ".
    """
    producers = {i: op for op in graph.ops for i in op.outputs}
    kinds: dict[str, int] = {}
    for op in graph.ops:
        if op.name in _WEIGHTED and len(op.inputs) > 1:
            kind = _kind(graph, op, producers)
            kinds[kind] = kinds.get(kind, 0) + 1
    return " + ".join(sorted(kinds, key=lambda kind: -kinds[kind])) or "no weights found"


def _kind(graph: Graph, op: Op, producers: dict[int, Op]) -> str:
    # The data are the first input, but the last of the three of TRANSPOSE_CONV.
    data = graph.tensors[op.inputs[2 if op.name == "TRANSPOSE_CONV" and op.inputs[2:] else 0]]
    weights = graph.tensors[op.inputs[1]]
    source = producers.get(op.inputs[1])
    if not weights.is_constant and source and source.name == "DEQUANTIZE" and source.inputs:
        stored = graph.tensors[source.inputs[0]]
        return f"{stored.dtype} weights, {data.dtype} arithmetic"
    if data.dtype == weights.dtype:
        grain = " per channel" if weights.channels > 1 else " per tensor"
        return data.dtype + (grain if data.dtype in QUANTIZED else "")
    if data.dtype in FLOATS and weights.dtype in QUANTIZED:
        return f"dynamic range ({weights.dtype} weights, {data.dtype} activations)"
    return f"{data.dtype} activations x {weights.dtype} weights"


def float_leftovers(graph: Graph) -> tuple[Leftover, ...]:
    """Operations in float where a quantized model should have none.

    Float before the first, between two or, other than the softmax at the end,
    after the last integer operation counts; decoding constants does not.

    Args:
        graph: of the model.

    Returns:
        Those operations, in order; none for a model without integer operations.
    """
    before = _reached(graph, graph.ops, backward=False)
    after = _reached(graph, graph.ops[::-1], backward=True)[::-1]
    leftovers = []
    for index, op in enumerate(graph.ops):
        if not computes_in_float(graph, op):
            continue
        place = _place(before[index], after[index])
        if place and not (place.startswith("after") and op.name in _TAIL):
            tensor = graph.tensors[op.outputs[0]].name
            leftovers.append(Leftover(index, op.name, tensor, place))
    return tuple(leftovers)


def _place(has_integer_before: bool, has_integer_after: bool) -> str:
    if has_integer_before and has_integer_after:
        return "between integer operations"
    if has_integer_after:
        return "before the first integer operation"
    return "after the last integer operation" if has_integer_before else ""


def _outputs(graph: Graph, op: Op) -> list[Tensor]:
    return graph.activations(op.outputs)


def is_quantized(graph: Graph) -> bool:
    """Whether any operation computes in integers."""
    return any(_is_integer(graph, op) for op in graph.ops)


def computes_in_float(graph: Graph, op: Op) -> bool:
    """Whether an operation gives floats; conversions and the decoding of constants do not count."""
    is_float = any(tensor.dtype in FLOATS for tensor in _outputs(graph, op))
    return is_float and op.name not in _CONVERSIONS and bool(graph.activations(op.inputs))


def _is_integer(graph: Graph, op: Op) -> bool:
    if op.name in _CONVERSIONS:
        return False
    return any(tensor.dtype in QUANTIZED for tensor in _outputs(graph, op))


def _reached(graph: Graph, ops: tuple[Op, ...], backward: bool) -> list[bool]:
    """For each operation, in the given order, whether an integer one came before it."""
    marked: set[int] = set()
    reached = []
    for op in ops:
        sources, targets = (op.outputs, op.inputs) if backward else (op.inputs, op.outputs)
        found = any(i in marked for i in sources)
        reached.append(found)
        if found or _is_integer(graph, op):
            marked.update(targets)
    return reached
