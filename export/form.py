"""The export form: the same function in fewer operations, all of which delegates take.

Applied in this order: BatchNorm and normalization into the convolutions beside
them, activations into what they follow, hard-swish and hard-sigmoid into
additions and products whose constant factors move into the next kernels.
"""

import dataclasses
from typing import Literal

import numpy as np

from export.graph import Graph, Node, rewrite

HardSwish = Literal["fused", "split"]


def export_form(graph: Graph, hard_swish: HardSwish) -> Graph:
    """Rewrites a trained network for inference.

    Args:
        graph: from `graph.from_keras`.
        hard_swish: "fused" keeps HARD_SWISH, which XNNPACK takes in float
            only; "split" writes it as x * relu6(x + 3), its 1/6 in the kernels
            that read it.

    Returns:
        A `Graph` of input, shift, convolutions, add, multiply, gate, mean,
        reshape, softmax and, if fused, hard_swish instead of gate. Equal to the given one up
        to rounding.

    Raises:
        ValueError: a structure that no MobileNet has, or weights that are not
            finite.
    """
    check_finite(graph)
    graph = fold_batch_norm(graph)
    graph = fold_normalization(graph)
    graph = fuse_activations(graph)
    graph = split_hard_swish(graph, keep=hard_swish == "fused")
    return _in_float32(fuse_gates(graph))


def _in_float32(graph: Graph) -> Graph:
    """Rounds once, after all folding in float64."""

    def visit(node: Node) -> list[Node]:
        if not node.weighted:
            return [node]
        kernel, bias = (values.astype(np.float32) for values in node.numbers())
        return [dataclasses.replace(node, kernel=kernel, bias=bias)]

    return rewrite(graph, visit)


def check_finite(graph: Graph) -> None:
    """Raises `ValueError` naming the first layer with a weight that is NaN or infinite."""
    for node in graph.nodes:
        for values in (node.kernel, node.bias):
            if values is not None and not np.isfinite(values).all():
                raise ValueError(
                    "every weight must be a finite number; train again with a lower learning "
                    f"rate. Received: NaN or infinity in layer {node.name!r}"
                )


def fold_batch_norm(graph: Graph) -> Graph:
    """Multiplies each BatchNorm into the convolution that it follows."""
    followers = _sole_followers(graph, "batch_norm")

    def visit(node: Node) -> list[Node]:
        if node.op == "batch_norm":
            if node.name not in folded:
                raise ValueError(
                    "every BatchNormalization must follow a convolution directly. "
                    f"Received: {node.name!r}"
                )
            return []
        norm = followers.get(node.name)
        if norm is None or not node.weighted:
            return [node]
        folded.add(norm.name)
        kernel, bias = node.numbers()
        factor, offset = norm.numbers()
        per_output = factor.reshape(kernel.shape[2:]) if node.op == "depthwise" else factor
        return [dataclasses.replace(node, kernel=kernel * per_output, bias=bias * factor + offset)]

    folded: set[str] = set()
    return rewrite(graph, visit)


def fold_normalization(graph: Graph) -> Graph:
    """Turns x * scale + offset into a shift, its scale moved into the kernels that read it.

    The shift stays: zero padding must mean the middle of the range, not black.
    """
    consumers = graph.consumers()
    scales: dict[str, float] = {}

    def visit(node: Node) -> list[Node]:
        if node.op == "rescale":
            if not all(reader.weighted for reader in consumers[node.name]):
                raise ValueError(
                    f"a Rescaling layer must lead into a convolution. Received: {node.name!r}"
                )
            scales[node.name] = node.scale
            offset = node.offset / node.scale
            return [dataclasses.replace(node, op="shift", scale=1.0, offset=offset)]
        scale = scales.get(node.inputs[0]) if node.inputs else None
        if scale is None:
            return [node]
        return [dataclasses.replace(node, kernel=node.numbers()[0] * scale)]

    return rewrite(graph, visit)


def fuse_activations(graph: Graph) -> Graph:
    """Lets convolutions and additions end with the ReLU that follows them."""
    followers = _sole_followers(graph, "relu", "relu6")
    fused: set[str] = set()

    def visit(node: Node) -> list[Node]:
        if node.name in fused:
            return []
        follower = followers.get(node.name)
        if follower is not None and node.op in ("conv", "depthwise", "add"):
            fused.add(follower.name)
            activation: Literal["relu", "relu6"] = "relu" if follower.op == "relu" else "relu6"
            return [dataclasses.replace(node, activation=activation)]
        return [node]

    return rewrite(graph, visit)


def _sole_followers(graph: Graph, *ops: str) -> dict[str, Node]:
    """By name of a node with one reader of these kinds: that reader."""
    return {
        name: readers[0]
        for name, readers in graph.consumers().items()
        if len(readers) == 1 and readers[0].op in ops
    }


def split_hard_swish(graph: Graph, keep: bool) -> Graph:
    """Writes hard-sigmoid as relu6(x + 3), and hard-swish as x times that unless `keep`.

    A tensor then is 6 times (36 after a squeeze-excite on hard-swish) what it
    was; means carry the factor on, convolutions divide their kernel by it, and
    where only one side of an addition has one, the convolution on the other
    side is multiplied.
    """
    factors: dict[str, float] = {}
    raised = _raised_convolutions(graph, keep)
    nodes: list[Node] = []
    for node in graph.nodes:
        given = [factors[name] for name in node.inputs]
        for new in _split(node, given, raised.get(node.name, 1.0), keep):
            nodes.append(new)
        factors[node.name] = _factor(node, given, raised.get(node.name, 1.0), keep)
    return Graph(tuple(nodes))


def _split(node: Node, given: list[float], raised: float, keep: bool) -> list[Node]:
    if node.op == "hard_sigmoid":
        return [dataclasses.replace(node, op="gate")]
    if node.op == "hard_swish" and not keep:
        gate = dataclasses.replace(node, name=f"{node.name}_gate", op="gate")
        return [
            gate,
            dataclasses.replace(node, op="multiply", inputs=(*node.inputs, gate.name)),
        ]
    if node.weighted:
        kernel, bias = node.numbers()
        return [dataclasses.replace(node, kernel=kernel * (raised / given[0]), bias=bias * raised)]
    return [node]


def _factor(node: Node, given: list[float], raised: float, keep: bool) -> float:
    """What a node's output is a multiple of, in the new graph."""
    if node.weighted:
        return raised
    if node.op == "multiply":
        return given[0] * given[1]
    if node.op == "hard_sigmoid" or (node.op == "hard_swish" and not keep):
        own = 6.0
    else:
        own = given[0] if given else 1.0
    homogeneous = node.op in ("input", "mean", "reshape", "add", "relu")
    if not homogeneous and given[0] != 1.0 or len(set(given)) > 1:
        raise ValueError(
            "a hard-swish or hard-sigmoid must lead, through means, products and additions, into "
            f"a convolution. Received: {node.name!r} ({node.op})"
        )
    return own


def _raised_convolutions(graph: Graph, keep: bool) -> dict[str, float]:
    """Convolutions added to a tensor with a factor, and that factor.

    V3-Large adds its stem's hard-swish to the first block's output.
    """
    consumers = graph.consumers()
    factors: dict[str, float] = {}
    raised: dict[str, float] = {}
    for node in graph.nodes:
        given = [factors[name] for name in node.inputs]
        if node.op == "add" and len(set(given)) > 1:
            low = node.inputs[int(np.argmin(given))]
            source = graph[low]
            if source.weighted and source.activation == "linear" and len(consumers[low]) == 1:
                raised[low] = factors[low] = max(given)
                given = [max(given)] * 2
        factors[node.name] = _factor(node, given, raised.get(node.name, 1.0), keep)
    return raised


def fuse_gates(graph: Graph) -> Graph:
    """Lets the convolution before a squeeze-excite's hard-sigmoid write relu6(x + 3) itself."""
    gates = {
        name: gate.name
        for name, gate in _sole_followers(graph, "gate").items()
        if graph[name].weighted and graph[name].activation == "linear"
    }
    fused = set(gates.values())

    def visit(node: Node) -> list[Node]:
        if node.name in fused:
            return []
        if node.name in gates:
            return [dataclasses.replace(node, bias=node.numbers()[1] + 3.0, activation="relu6")]
        return [node]

    return rewrite(graph, visit)


def round_shift(graph: Graph) -> Graph:
    """Makes the shift of the input a whole number, its rest in the readers' biases.

    Scale 1 then holds the shifted bytes exactly, in the same 8 bits. Only the
    padding of the first convolution changes, by half a byte value.
    """
    rests: dict[str, float] = {}

    def visit(node: Node) -> list[Node]:
        if node.op == "shift":
            whole = float(np.floor(node.offset))
            rests[node.name] = node.offset - whole
            return [dataclasses.replace(node, offset=whole)]
        rest = rests.get(node.inputs[0]) if node.inputs else None
        if rest is None or not node.weighted:
            return [node]
        kernel, bias = node.numbers()
        axes = (0, 1) if node.op == "depthwise" else (0, 1, 2)
        return [dataclasses.replace(node, bias=bias + rest * kernel.sum(axes).reshape(-1))]

    return rewrite(graph, visit)
