"""Squeeze-excite's products row by row instead of pixel by pixel, where channels are few.

XNNPACK multiplies pixel by pixel where one factor is the same for all of them,
and begins anew for each; with 16 channels that costs as much as the products.
So the gate is computed once for each pixel of a row, and a row is begun at a
time. The same integers, in the same order.
"""

import dataclasses

import numpy as np

from export.graph import Graph, Node, rewrite
from export.quantization.scales import Quantization

# Below, beginning is more than a fifth of a product's instructions (cortex-a76).
_LEAST_CHANNELS = 64


def widen_gates(graph: Graph, quantization: Quantization) -> tuple[Graph, Quantization]:
    """Repeats the gates of feature maps with few channels.

    Args:
        graph: in the export form.
        quantization: of its nodes.

    Returns:
        A graph and scales that make a file with the same outputs; the given
        ones where there is no such gate.
    """
    consumers = graph.consumers()
    scales = dict(quantization.scales)
    widths: dict[str, int] = {}  # By name of a gate's convolution.
    for node in graph.nodes:
        gate = _gate(graph, node)
        if gate is None or len(consumers[gate.name]) > 1 or node.shape[-1] >= _LEAST_CHANNELS:
            continue
        if all(quantization.computes_in_integers(part.name) for part in (node, gate)):
            widths[gate.name] = node.shape[1]

    def visit(node: Node) -> list[Node]:
        width = widths.get(node.name)
        if width is None:
            return [node]
        repeated = _repeated(node, width, f"{node.name}_repeated")
        scales[repeated.name] = scales[node.name]
        row = (1, width, node.shape[-1])
        return [repeated, Node(node.name, "reshape", (repeated.name,), row)]

    return rewrite(graph, visit), dataclasses.replace(quantization, scales=scales)


def _gate(graph: Graph, node: Node) -> Node | None:
    """The convolution that says what a map is multiplied with, the same for all its pixels."""
    if node.op != "multiply" or node.shape[0] == 1:
        return None
    gate = graph[node.inputs[1]]
    return gate if gate.op == "conv" and gate.shape[:2] == (1, 1) else None


def _repeated(node: Node, times: int, name: str) -> Node:
    kernel, bias = node.numbers()
    kernel, bias = np.tile(kernel, (1, 1, 1, times)), np.tile(bias, times)
    shape = (1, 1, node.shape[-1] * times)
    return dataclasses.replace(node, name=name, shape=shape, kernel=kernel, bias=bias)
