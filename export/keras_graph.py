"""From a Keras model to a `Graph`: one small function per kind of layer."""

from collections.abc import Callable
from typing import Any

import numpy as np

from export.graph import Graph, Node, Op
from export.pointwise import merge_pointwise
from mobilenet_tf.engine import hard_sigmoid, hard_swish, keras, layers


def from_keras(model: keras.Model) -> Graph:
    """Reads a functional Keras model made of this project's layers.

    Args:
        model: float32 (batch, height, width, 3) to (batch, classes), with one
            input and one output; of the Keras in `mobilenet_tf.engine`.

    Returns:
        A `Graph` that computes the same; see `pointwise.merge_pointwise` for
        the one thing that it leaves out.

    Raises:
        ValueError: a layer or a setting that no MobileNet has, named.
    """
    return merge_pointwise(read_layers(model))


def read_layers(model: keras.Model) -> Graph:
    """Like `from_keras`, with every layer."""
    names: dict[int, str] = {}
    nodes: list[Node] = []
    for layer in model.layers:
        parents = [] if isinstance(layer, layers.InputLayer) else _as_list(layer.input)
        inputs = tuple(names[id(tensor)] for tensor in parents)
        new = _read_layer(layer, inputs)
        nodes.extend(new)
        names[id(layer.output)] = new[-1].name if new else inputs[0]
    graph = Graph(tuple(nodes))
    _check_shapes(graph, model)
    return graph


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _check_shapes(graph: Graph, model: keras.Model) -> None:
    height, width, channels = model.input_shape[1:]
    if None in (height, width) or channels != 3 or len(graph.output.shape) != 1:
        raise ValueError(
            "the model must take one RGB image of a fixed size and give one score per class. "
            f"Received: input {model.input_shape}, output {model.output_shape}"
        )


def _read_layer(layer: Any, inputs: tuple[str, ...]) -> list[Node]:
    kind = type(layer).__name__
    if kind in ("Dropout", "ActivityRegularization"):
        return []
    if kind not in _READERS:
        raise ValueError(
            f"the export form knows {', '.join(sorted(_READERS))}; build the model from them, or "
            "use --quantize int8-float-fallback, which takes any. "
            f"Received: layer {layer.name!r} of class {kind}"
        )
    shape = tuple(_as_list(layer.output)[0].shape[1:])
    return _READERS[kind](layer, layer.name, inputs, shape)


def _read_input(layer: Any, name: str, inputs: tuple[str, ...], shape: tuple) -> list[Node]:
    return [Node(name, "input", (), shape)]


def _read_rescaling(layer: Any, name: str, inputs: tuple[str, ...], shape: tuple) -> list[Node]:
    scale, offset = float(layer.scale), float(layer.offset)
    return [Node(name, "rescale", inputs, shape, scale=scale, offset=offset)]


def _read_conv(layer: Any, name: str, inputs: tuple[str, ...], shape: tuple) -> list[Node]:
    _require(layer, "groups", getattr(layer, "groups", 1) == 1)
    node = _convolution(layer, name, "conv", inputs, shape, np.asarray(layer.get_weights()[0]))
    return [node, *_activation(layer, name, shape)]


def _read_depthwise(layer: Any, name: str, inputs: tuple[str, ...], shape: tuple) -> list[Node]:
    node = _convolution(layer, name, "depthwise", inputs, shape, np.asarray(layer.get_weights()[0]))
    return [node, *_activation(layer, name, shape)]


def _convolution(
    layer: Any, name: str, op: Op, inputs: tuple[str, ...], shape: tuple, kernel: np.ndarray
) -> Node:
    _require(layer, "strides", len(set(layer.strides)) == 1)
    _require(layer, "dilation_rate", len(set(layer.dilation_rate)) == 1)
    _require(layer, "data_format", layer.data_format == "channels_last")
    return Node(
        name,
        op,
        inputs,
        shape,
        kernel=kernel,
        bias=layer.get_weights()[1] if layer.use_bias else np.zeros(shape[-1], np.float32),
        stride=layer.strides[0],
        dilation=layer.dilation_rate[0],
        padding=layer.padding,
    )


def _read_dense(layer: Any, name: str, inputs: tuple[str, ...], shape: tuple) -> list[Node]:
    """As a 1x1 convolution: int8 kernels of it with a scale per class exist since TFLite 1.14,
    of a fully connected layer since 2.17 only."""
    kernel = np.asarray(layer.get_weights()[0])[np.newaxis, np.newaxis]
    bias = layer.get_weights()[1] if layer.use_bias else np.zeros(shape[-1], np.float32)
    node = Node(name, "conv", inputs, (1, 1, *shape), kernel=kernel, bias=bias)
    reshape = Node(f"{name}_reshape", "reshape", (name,), shape)
    return [node, reshape, *_activation(layer, reshape.name, shape)]


def _read_batch_norm(layer: Any, name: str, inputs: tuple[str, ...], shape: tuple) -> list[Node]:
    """gamma * (x - mean) / sqrt(variance + epsilon) + beta as x * kernel + bias."""
    _require(layer, "axis", layer.axis in (-1, 3, [3]))
    values = [np.asarray(value, np.float64) for value in layer.get_weights()]
    gamma = values.pop(0) if layer.scale else np.ones(shape[-1])
    beta = values.pop(0) if layer.center else np.zeros(shape[-1])
    mean, variance = values
    kernel = gamma / np.sqrt(variance + layer.epsilon)
    return [Node(name, "batch_norm", inputs, shape, kernel=kernel, bias=beta - mean * kernel)]


def _read_relu(layer: Any, name: str, inputs: tuple[str, ...], shape: tuple) -> list[Node]:
    limit = layer.max_value
    _require(layer, "max_value", limit is None or float(limit) == 6.0)
    _require(layer, "slope", not getattr(layer, "negative_slope", 0) and not layer.threshold)
    return [Node(name, "relu" if limit is None else "relu6", inputs, shape)]


def _read_activation(layer: Any, name: str, inputs: tuple[str, ...], shape: tuple) -> list[Node]:
    op = _activation_op(layer)
    return [Node(name, op, inputs, shape)] if op else []


def _activation(layer: Any, name: str, shape: tuple) -> list[Node]:
    """The node of a convolution's or dense layer's own activation, if it has one."""
    op = _activation_op(layer)
    return [Node(f"{name}_{op}", op, (name,), shape)] if op else []


def _activation_op(layer: Any) -> Op | None:
    known: dict[Any, Op | None] = {
        keras.activations.linear: None,
        keras.activations.relu: "relu",
        keras.activations.relu6 if hasattr(keras.activations, "relu6") else "relu6": "relu6",
        keras.activations.softmax: "softmax",
        hard_swish: "hard_swish",
        hard_sigmoid: "hard_sigmoid",
    }
    _require(layer, "activation", layer.activation in known)
    return known[layer.activation]


def _read_mean(layer: Any, name: str, inputs: tuple[str, ...], shape: tuple) -> list[Node]:
    return [Node(name, "mean", inputs, (1, 1, shape[-1]))]


def _read_add(layer: Any, name: str, inputs: tuple[str, ...], shape: tuple) -> list[Node]:
    _require(layer, "number of inputs", len(inputs) == 2)
    return [Node(name, "add", inputs, shape)]


def _read_multiply(layer: Any, name: str, inputs: tuple[str, ...], shape: tuple) -> list[Node]:
    _require(layer, "number of inputs", len(inputs) == 2)
    return [Node(name, "multiply", inputs, shape)]


def _read_reshape(layer: Any, name: str, inputs: tuple[str, ...], shape: tuple) -> list[Node]:
    _require(layer, "shape", len(shape) == 1)
    return [Node(name, "reshape", inputs, shape)]


def _require(layer: Any, setting: str, holds: bool) -> None:
    if not holds:
        raise ValueError(
            f"the export form knows no such {setting}; use the networks of mobilenet_tf. "
            f"Received: layer {layer.name!r} with {layer.get_config()}"
        )


_READERS: dict[str, Callable[[Any, str, tuple[str, ...], tuple], list[Node]]] = {
    "InputLayer": _read_input,
    "Rescaling": _read_rescaling,
    "Conv2D": _read_conv,
    "DepthwiseConv2D": _read_depthwise,
    "Dense": _read_dense,
    "BatchNormalization": _read_batch_norm,
    "ReLU": _read_relu,
    "Activation": _read_activation,
    "GlobalAveragePooling2D": _read_mean,
    "Add": _read_add,
    "Multiply": _read_multiply,
    "Flatten": _read_reshape,
    "Reshape": _read_reshape,
}
