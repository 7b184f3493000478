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

_LARGEST_BYTES = 1e9  # Of all images' copies of the largest activation.

RoundNode = Callable[[Node, tf.Tensor], Node]


def channel_means(graph: Graph, images: np.ndarray) -> dict[str, np.ndarray]:
    """What the float graph's convolutions give on average, before their activations.

    Args:
        graph: in the export form.
        images: uint8 (images, height, width, 3); fewer are used where the
            largest activation of all of them would fill the memory.

    Returns:
        float32 (channels,) by node name.
    """
    means: dict[str, np.ndarray] = {}
    batch = _fitting_batch(graph, images)

    def step(node: Node, inputs: list) -> tf.Tensor:
        value = compute_linear(node, inputs or [batch])
        if node.weighted:
            means[node.name] = tf.reduce_mean(value, (0, 1, 2)).numpy()
        return activate(node, value)

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
    return _adjust(graph, quantization, images, means, lambda node, x: nearest[node.name])


def balance_kernels(
    graph: Graph, quantization: Quantization, images: np.ndarray, means: dict[str, np.ndarray]
) -> Graph:
    """As `correct_biases`, with kernels from `kernel_rounding.round_kernel`."""
    rng = np.random.default_rng(0)  # Which positions are looked at.

    def balanced(node: Node, x: tf.Tensor) -> Node:
        return dataclasses.replace(node, kernel=round_kernel(node, windows(node, x.numpy(), rng)))

    return _adjust(graph, quantization, images, means, balanced)


def _adjust(
    graph: Graph,
    quantization: Quantization,
    images: np.ndarray,
    means: dict[str, np.ndarray],
    round_node: RoundNode,
) -> Graph:
    batch = _fitting_batch(graph, images)
    finish = rounding(graph, quantization)
    adjusted: dict[str, Node] = {}

    def step(node: Node, inputs: list) -> tf.Tensor:
        inputs = inputs or [batch]
        if not node.weighted or not quantization.computes_in_integers(node.name):
            return finish(node, compute(node, inputs))
        node = round_node(node, inputs[0])
        value = compute_linear(node, inputs)
        error = means[node.name] - tf.reduce_mean(value, (0, 1, 2))
        adjusted[node.name] = dataclasses.replace(node, bias=node.numbers()[1] + error.numpy())
        return finish(node, activate(node, value + error))

    walk(graph, step)

    def visit(node: Node) -> list[Node]:
        found = adjusted.get(node.name, node)
        return [dataclasses.replace(node, kernel=found.kernel, bias=found.bias)]

    return rewrite(graph, visit)


def _fitting_batch(graph: Graph, images: np.ndarray) -> tf.Tensor:
    largest = max(int(np.prod(node.shape)) for node in graph.nodes) * 4
    return tf.constant(images[: max(1, int(_LARGEST_BYTES / largest))], tf.float32)
