"""Computing a graph with TensorFlow, node by node."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from export.graph import Graph, Node

Transform = Callable[[Node, tf.Tensor], tf.Tensor]

_BATCH = 16  # Images at once: some operations of 224x224 need half a gigabyte for 32.
_ACTIVATIONS = {"linear": tf.identity, "relu": tf.nn.relu, "relu6": tf.nn.relu6}


def compute_linear(node: Node, inputs: list[tf.Tensor]) -> tf.Tensor:
    """The output of one node before the activation that ends it.

    Args:
        node: of a `Graph`.
        inputs: float32 (batch, ...), as its `inputs`.

    Returns:
        float32 (batch, *node.shape).
    """
    x = inputs[0]
    operations = {
        "input": lambda: x,
        "rescale": lambda: x * node.scale + node.offset,
        "shift": lambda: x + node.offset,
        "conv": lambda: _convolve(node, x),
        "depthwise": lambda: _convolve(node, x),
        "batch_norm": lambda: x * node.numbers()[0] + node.numbers()[1],
        "relu": lambda: tf.nn.relu(x),
        "relu6": lambda: tf.nn.relu6(x),
        "hard_swish": lambda: x * tf.nn.relu6(x + 3.0) / 6.0,
        "hard_sigmoid": lambda: tf.nn.relu6(x + 3.0) / 6.0,
        "gate": lambda: tf.nn.relu6(x + 3.0),
        "add": lambda: x + inputs[1],
        "multiply": lambda: x * inputs[1],
        "mean": lambda: tf.reduce_mean(x, (1, 2), keepdims=True),
        "reshape": lambda: tf.reshape(x, (-1, *node.shape)),
        "softmax": lambda: tf.nn.softmax(x),
    }
    return operations[node.op]()


def _convolve(node: Node, x: tf.Tensor) -> tf.Tensor:
    kernel, bias = node.numbers()
    padding, dilations = node.padding.upper(), (node.dilation, node.dilation)
    if node.op == "conv":
        return tf.nn.conv2d(x, kernel, node.stride, padding, dilations=dilations) + bias
    strides = (1, node.stride, node.stride, 1)
    return tf.nn.depthwise_conv2d(x, kernel, strides, padding, dilations=dilations) + bias


def compute(node: Node, inputs: list[tf.Tensor]) -> tf.Tensor:
    """The output of one node; see `compute_linear`."""
    return _ACTIVATIONS[node.activation](compute_linear(node, inputs))


def activate(node: Node, x: tf.Tensor) -> tf.Tensor:
    """Applies the activation that ends a node."""
    return _ACTIVATIONS[node.activation](x)


def walk(graph: Graph, step: Callable[[Node, list], object]) -> object:
    """Visits the nodes in order and forgets each value after its last reader.

    Args:
        graph: to visit.
        step: from a node and the values of its inputs to its own value.

    Returns:
        The value of the last node.
    """
    last_reader = {name: node.name for node in graph.nodes for name in node.inputs}
    values: dict[str, object] = {}
    for node in graph.nodes:
        values[node.name] = step(node, [values[name] for name in node.inputs])
        for name in set(node.inputs):
            if last_reader[name] == node.name:
                del values[name]
    return values[graph.output.name]


def probabilities(
    graph: Graph, images: np.ndarray, transform: Transform | None = None
) -> np.ndarray:
    """The output for many images.

    Args:
        graph: to compute.
        images: uint8 or float32 (images, height, width, 3) in [0, 255].
        transform: changes each node's output, as quantization would.

    Returns:
        float32 (images, classes).
    """

    def step(node: Node, inputs: list) -> tf.Tensor:
        value = compute(node, inputs or [batch])
        return transform(node, value) if transform else value

    outputs = []
    for start in range(0, len(images), _BATCH):
        batch = tf.constant(images[start : start + _BATCH], tf.float32)
        outputs.append(np.asarray(walk(graph, step)))
    return np.concatenate(outputs)
