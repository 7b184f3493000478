"""Cross-layer equalization: channels of one activation brought to similar size.

A scale per channel moves from a convolution into the one that reads it (Nagel
et al. 2019, arXiv:1906.04721, section 4.1). Kernels have a scale per channel
anyway; what gains is the activation between, whose small channels share one
scale with the large ones.
"""

import dataclasses

import numpy as np

from export.graph import Graph, Node, rewrite
from export.quantization.calibration import channel_maxima

_HEADROOM = 1.25  # Left above the calibrated maximum where ReLU6 would cut it off.
_MOST = 16.0  # A channel that is hardly ever active is not worth more.


def equalize(graph: Graph, images: np.ndarray) -> Graph:
    """Equalizes every convolution that a single convolution reads.

    Args:
        graph: in the export form.
        images: uint8 (images, height, width, 3), which tell how large channels get.

    Returns:
        The same function: exactly where the activation between is ReLU or
        none; for ReLU6, as long as channels stay within a quarter of what
        they reached on the images. The given graph where nothing can be done.
    """
    pairs = _pairs(graph)
    if not pairs:
        return graph
    maxima = channel_maxima(graph, images, set(pairs))
    factors = {
        name: _factors(graph[name], graph[reader], maxima[name]) for name, reader in pairs.items()
    }
    readers = {reader: name for name, reader in pairs.items()}

    def visit(node: Node) -> list[Node]:
        if not node.weighted:
            return [node]
        source = readers.get(node.name, "")
        return [rescaled(node, factors.get(node.name), factors.get(source))]

    return rewrite(graph, visit)


def rescaled(node: Node, outputs: np.ndarray | None, inputs: np.ndarray | None) -> Node:
    """A convolution that writes larger channels, or reads them.

    Args:
        node: a "conv" or "depthwise" node.
        outputs: (channels,), what its output is to be multiplied with; None for 1.
        inputs: (channels,), what its input has been multiplied with; None for 1.
    """
    kernel, bias = node.numbers()
    if inputs is not None:
        kernel = kernel / inputs[:, np.newaxis]  # (h, w, in, out or multiplier).
    if outputs is not None:
        shape = (kernel.shape[2], kernel.shape[3]) if node.op == "depthwise" else (-1,)
        kernel, bias = kernel * outputs.reshape(shape), bias * outputs
    return dataclasses.replace(node, kernel=kernel, bias=bias)


def _pairs(graph: Graph) -> dict[str, str]:
    """Convolutions whose output only one convolution reads, and that one."""
    consumers = graph.consumers()
    return {
        node.name: consumers[node.name][0].name
        for node in graph.nodes
        if node.weighted and len(consumers[node.name]) == 1 and consumers[node.name][0].weighted
    }


def _factors(node: Node, reader: Node, maxima: np.ndarray) -> np.ndarray:
    """float32 (channels,), at least 1: the largest channel stays as it is."""
    largest = float(maxima.max())
    if largest == 0.0:
        return np.ones_like(maxima)
    wanted = largest / np.maximum(maxima, largest / _MOST)
    # A full convolution has one scale for all its inputs: meet halfway.
    factors = wanted if reader.op == "depthwise" else np.sqrt(wanted)
    if node.activation == "relu6":
        room = 6.0 / (_HEADROOM * np.maximum(maxima, 1e-6))
        factors = np.maximum(1.0, np.minimum(factors, room))
    return factors.astype(np.float32)
