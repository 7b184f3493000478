"""Equalized channels of a hard-swish: each gets a gate of its own scale.

A hard-swish is not homogeneous, so channels before it cannot simply be scaled.
In the split form x * relu6(x + 3) only the gate minds: where a convolution
writes s * x, a depthwise 1x1 convolution relu6((s * x) / s + 3) is its gate, in
place of the addition, and the product is s times the hard-swish, which the next
convolution divides out. Training leaves single channels tens of times larger
than the others, since BatchNorm behind the next convolution hides their scale.
"""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from export.graph import Graph, Node, rewrite
from export.quantization.calibration import channel_maxima
from export.quantization.equalization import rescaled

SwishFactors = Mapping[str, np.ndarray]  # Of `swish_factors`.
NO_SWISHES: SwishFactors = MappingProxyType({})

_LEAST_RATIO = 8.0  # Of the largest channel to the median one; below, an addition is cheaper.
_MOST = 32.0  # A channel that is hardly ever active is not worth more.


def swish_factors(graph: Graph, images: np.ndarray) -> dict[str, np.ndarray]:
    """Finds hard-swishes that need it and that a single convolution reads.

    Args:
        graph: in the export form, split.
        images: uint8 (images, height, width, 3), which tell how large channels get.

    Returns:
        float32 (channels,) by name of the product: what brings each of its
        channels to one size.
    """
    readers = swish_readers(graph)
    if not readers:
        return {}
    maxima = channel_maxima(graph, images, set(readers))
    return {
        name: _factors(maxima[name], graph[reader])
        for name, reader in readers.items()
        if maxima[name].max() > _LEAST_RATIO * np.median(maxima[name])
    }


def equalize_swishes(graph: Graph, factors: SwishFactors) -> Graph:
    """Multiplies channels of hard-swishes.

    Args:
        graph: in the export form, split.
        factors: as of `swish_factors`, of hard-swishes that it may name.

    Returns:
        The same function.

    Raises:
        KeyError: other names.
    """
    readers = swish_readers(graph)
    by_reader = {readers[name]: factor for name, factor in factors.items()}
    by_first = {graph[name].inputs[0]: factor for name, factor in factors.items()}
    by_gate = {graph[name].inputs[1]: factor for name, factor in factors.items()}

    def visit(node: Node) -> list[Node]:
        if node.name in by_gate:
            return [_gate(node, by_gate[node.name])]
        if not node.weighted:
            return [node]
        return [rescaled(node, by_first.get(node.name), by_reader.get(node.name))]

    return rewrite(graph, visit)


def swish_readers(graph: Graph) -> dict[str, str]:
    """Products of a convolution with its own gate, and the one convolution that reads each."""
    consumers = graph.consumers()
    found = {}
    for node in graph.nodes:
        if node.op != "multiply" or len(consumers[node.name]) != 1:
            continue
        first, gate = (graph[name] for name in node.inputs)
        own = gate.op == "gate" and gate.inputs == (first.name,)
        alone = len(consumers[first.name]) == 2 and len(consumers[gate.name]) == 1
        reader = consumers[node.name][0]
        if own and alone and first.weighted and first.activation == "linear" and reader.weighted:
            found[node.name] = reader.name
    return found


def _factors(maxima: np.ndarray, reader: Node) -> np.ndarray:
    """float32 (channels,): what brings every channel to the median one's size."""
    median = float(np.median(maxima))
    wanted = np.clip(median / np.maximum(maxima, median / _MOST), 1 / _MOST, _MOST)
    # A full convolution has one scale for all its inputs: meet halfway.
    return (wanted if reader.op == "depthwise" else np.sqrt(wanted)).astype(np.float32)


def _gate(node: Node, factor: np.ndarray) -> Node:
    return dataclasses.replace(
        node,
        op="depthwise",
        kernel=(1.0 / factor).reshape(1, 1, -1, 1),
        bias=np.full(len(factor), 3.0, np.float32),
        padding="valid",
        activation="relu6",
    )
