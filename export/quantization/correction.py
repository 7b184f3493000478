"""Kernels and biases that make up for what rounding changes, found on images."""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from export.compute import activate, compute, compute_linear, walk
from export.graph import Graph, Node, rewrite
from export.quantization.fake import fake_kernels, rounding
from export.quantization.kernel_rounding import round_kernel, windows
from export.quantization.scales import Quantization

_LARGEST_BYTES = 2e8  # Of all images' copies of the largest activation.
_BATCH = 16  # Images computed at once; intermediate results are several times their output.

RoundNode = Callable[[Node, list[tf.Tensor]], Node]  # With its input, batch by batch.


def fitting_images(graph: Graph, images: np.ndarray) -> np.ndarray:
    """The first images: as many as can be looked at without filling the memory."""
    largest = max(int(np.prod(node.shape)) for node in graph.nodes) * 4
    return images[: max(1, int(_LARGEST_BYTES / largest))]


def channel_means(graph: Graph, images: np.ndarray) -> dict[str, np.ndarray]:
    """What the float graph's convolutions give on average, before their activations.

    Args:
        graph: in the export form.
        images: uint8 (images, height, width, 3), of `fitting_images`.

    Returns:
        float32 (channels,) by node name.
    """
    means: dict[str, np.ndarray] = {}
    batches = _batches(images)

    def step(node: Node, inputs: list) -> list[tf.Tensor]:
        values = [compute_linear(node, one) for one in _per_batch(inputs, batches)]
        if node.weighted:
            means[node.name] = _channel_mean(values)
        return _released(values, lambda value: activate(node, value))

    walk(graph, step)
    return means


def correct_biases(
    graph: Graph, quantization: Quantization, images: np.ndarray, means: dict[str, np.ndarray]
) -> Graph:
    """Rounds kernels to the nearest and moves each bias by the mean error of its node.

    Node by node, with all nodes before it quantized and corrected already
    (Nagel et al. 2019, arXiv:1906.04721, section 4.2, the empirical form).

    Args:
        graph: in the export form.
        quantization: its scales.
        images: uint8 (images, height, width, 3).
        means: `channel_means` of the same graph and images.

    Returns:
        The graph with other kernels and biases where it computes in integers.
    """
    nearest = {node.name: node for node in fake_kernels(graph, quantization).nodes}
    return _adjust(graph, quantization, images, means, lambda node, inputs: nearest[node.name])


def balance_kernels(
    graph: Graph, quantization: Quantization, images: np.ndarray, means: dict[str, np.ndarray]
) -> Graph:
    """As `correct_biases`, with kernels from `kernel_rounding.round_kernel`."""
    rng = np.random.default_rng(0)  # Which positions are looked at.

    def balanced(node: Node, inputs: list[tf.Tensor]) -> Node:
        seen = windows(node, inputs, rng)
        return dataclasses.replace(node, kernel=round_kernel(node, seen))

    return _adjust(graph, quantization, images, means, balanced)


def _adjust(
    graph: Graph,
    quantization: Quantization,
    images: np.ndarray,
    means: dict[str, np.ndarray],
    round_node: RoundNode,
) -> Graph:
    batches = _batches(images)
    finish = rounding(graph, quantization)
    adjusted: dict[str, Node] = {}

    def step(node: Node, inputs: list) -> list[tf.Tensor]:
        by_batch = _per_batch(inputs, batches)
        if not node.weighted or not quantization.computes_in_integers(node.name):
            return [finish(node, compute(node, one)) for one in by_batch]
        node = round_node(node, [one[0] for one in by_batch])
        values = [compute_linear(node, one) for one in by_batch]
        error = means[node.name] - _channel_mean(values)
        adjusted[node.name] = dataclasses.replace(node, bias=node.numbers()[1] + error)
        return _released(values, lambda value: finish(node, activate(node, value + error)))

    walk(graph, step)

    def visit(node: Node) -> list[Node]:
        found = adjusted.get(node.name, node)
        return [dataclasses.replace(node, kernel=found.kernel, bias=found.bias)]

    return rewrite(graph, visit)


def _released(values: list[tf.Tensor], change: Callable[[tf.Tensor], tf.Tensor]) -> list[tf.Tensor]:
    """Changes each and lets it go before the next: together they are large."""
    changed = []
    while values:
        changed.append(change(values.pop(0)))
    return changed


def _batches(images: np.ndarray) -> list[tf.Tensor]:
    starts = range(0, len(images), _BATCH)
    return [tf.constant(images[start : start + _BATCH], tf.float32) for start in starts]


def _per_batch(inputs: list[list[tf.Tensor]], batches: list[tf.Tensor]) -> list[list[tf.Tensor]]:
    """A node's inputs for each batch; the images where it has none."""
    return [list(one) for one in zip(*inputs)] if inputs else [[batch] for batch in batches]


def _channel_mean(values: list[tf.Tensor]) -> np.ndarray:
    """float32 (channels,), over all batches, of which the last may be smaller."""
    means = [np.mean(value.numpy(), (0, 1, 2), np.float64) for value in values]
    return np.average(means, 0, [len(value) for value in values]).astype(np.float32)
