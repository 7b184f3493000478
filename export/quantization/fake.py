"""Computing a graph as its integers would, in float: fake quantization."""

import dataclasses

import numpy as np
import tensorflow as tf

from export.compute import Transform, probabilities
from export.graph import Graph, Node, rewrite
from export.quantization.scales import Quantization, TensorScale, kernel_scales, quantize_kernel


def fake_quantize(x: tf.Tensor, scale: TensorScale) -> tf.Tensor:
    """Rounds float32 values to those that the integers of a scale can hold."""
    low, high = scale.real_range
    symmetric = scale.bits == 16  # TFLite leaves out the least value then.
    return tf.quantization.fake_quant_with_min_max_args(x, low, high, scale.bits, symmetric)


def fake_kernels(graph: Graph, quantization: Quantization) -> Graph:
    """The graph with the kernels that int8 can hold, where nodes compute in integers."""

    def visit(node: Node) -> list[Node]:
        if not node.weighted or not quantization.computes_in_integers(node.name):
            return [node]
        kernel = node.numbers()[0]
        flat = node.kernel_by_channel
        scales = kernel_scales(flat)
        stored = quantize_kernel(flat, scales) * scales
        return [dataclasses.replace(node, kernel=stored.reshape(kernel.shape))]

    return rewrite(graph, visit)


def rounding(graph: Graph, quantization: Quantization) -> Transform:
    """What integers do to each node's output; for nodes that no integer node reads, nothing."""
    integers = {n.name for n in graph.nodes if quantization.computes_in_integers(n.name)}
    consumers = graph.consumers()
    rounded = integers | {
        name for name in consumers if any(reader.name in integers for reader in consumers[name])
    }

    def transform(node: Node, value: tf.Tensor) -> tf.Tensor:
        scale = quantization.scales.get(node.name)
        if scale is None or node.name not in rounded:
            return value
        return fake_quantize(value, scale)

    return transform


def quantized_probabilities(
    graph: Graph, quantization: Quantization, images: np.ndarray
) -> np.ndarray:
    """What the integer model says, float32 (images, classes), up to rounding at ties."""
    return probabilities(fake_kernels(graph, quantization), images, rounding(graph, quantization))
