"""Squeeze-excite's products over rows of several pixels, for networks with few channels.

XNNPACK multiplies pixel by pixel where one factor is the same for all of them,
and begins anew for each; with 16 channels that costs as much as the products.
So the gate is computed several times over, for as many pixels side by side,
which are one longer pixel to the product. The same integers, in the same order.
"""

import dataclasses

import numpy as np

from export.graph import Graph, Node, rewrite
from export.quantization.scales import Quantization

# Below, beginning is more than a tenth of a product's instructions (cortex-a76).
_LEAST_CHANNELS = 64
_WIDTH = 256


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
    repeats: dict[str, int] = {}  # By name of a product, its gate and the gate's convolution.
    for node in graph.nodes:
        chain = _gated(graph, node)
        alone = all(len(consumers[part.name]) == 1 for part in chain[1:])
        integers = all(quantization.computes_in_integers(part.name) for part in chain)
        if chain and alone and integers and (times := _times(node.shape)) > 1:
            repeats.update({part.name: times for part in chain})

    def visit(node: Node) -> list[Node]:
        times = repeats.get(node.name)
        if times is None:
            return [node]
        if node.op != "multiply":
            return [_repeated(node, times)]
        height, width, channels = node.shape
        shape = (height, width // times, channels * times)
        source, gate = node.inputs
        wide = Node(f"{node.name}_wide_input", "reshape", (source,), shape)
        product = dataclasses.replace(
            node, name=f"{node.name}_wide", inputs=(wide.name, gate), shape=shape
        )
        scales[wide.name], scales[product.name] = scales[source], scales[node.name]
        return [wide, product, Node(node.name, "reshape", (product.name,), node.shape)]

    return rewrite(graph, visit), dataclasses.replace(quantization, scales=scales)


def _gated(graph: Graph, node: Node) -> list[Node]:
    """A product of a map and one value per channel, its gate, and the gate's convolution."""
    if node.op != "multiply" or node.shape[0] == 1:
        return []
    gate = graph[node.inputs[1]]
    if gate.op != "gate" or gate.shape[0] != 1:
        return []
    source = graph[gate.inputs[0]]
    return [node, gate, source] if source.op == "conv" else []


def _times(shape: tuple[int, ...]) -> int:
    """How many pixels of a row to take as one."""
    _, width, channels = shape
    if channels >= _LEAST_CHANNELS:
        return 1
    divisors = [n for n in range(1, width + 1) if width % n == 0]
    return next((n for n in divisors if n * channels >= _WIDTH), width)


def _repeated(node: Node, times: int) -> Node:
    shape = (*node.shape[:-1], node.shape[-1] * times)
    if not node.weighted:
        return dataclasses.replace(node, shape=shape)
    kernel, bias = node.numbers()
    kernel, bias = np.tile(kernel, (1, 1, 1, times)), np.tile(bias, times)
    return dataclasses.replace(node, shape=shape, kernel=kernel, bias=bias)
