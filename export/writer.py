"""Writing a graph as a .tflite: each node becomes one operation.

The converter of TensorFlow is not used: it renames tensors, fuses
x * relu6(x + 3) / 6 back into HARD_SWISH, and takes ranges from calibration
only, not from training. Here names are the Keras layers', scales are those
given, and the same graph gives the same bytes.
"""

import dataclasses

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from export.assembler import Assembler, ChannelScales
from export.graph import Graph, Node
from export.quantization.scales import (
    Quantization,
    TensorScale,
    kernel_scales,
    quantize,
    quantize_kernel,
    stored_weights,
)
from export.recipes import Recipe
from export.wide_gates import widen_gates

INPUT_NAME, OUTPUT_NAME, SIGNATURE = "image", "probabilities", "serving_default"

_ACTIVATIONS = {
    "linear": schema.ActivationFunctionType.NONE,
    "relu": schema.ActivationFunctionType.RELU,
    "relu6": schema.ActivationFunctionType.RELU6,
}
# Least versions that hold each kind of numbers, as TensorFlow's converter gives them:
# float, float with int8 kernels, int8, int16.
_VERSIONS = {
    "CONV_2D": (1, 5, 3, 4),
    "DEPTHWISE_CONV_2D": (1, 6, 3, 5),
    "ADD": (1, 1, 2, 4),
    "MUL": (1, 1, 2, 4),
    "MEAN": (1, 1, 2, 3),
    "RESHAPE": (1, 1, 1, 1),
    "HARD_SWISH": (1, 1, 1, 1),
    "SOFTMAX": (1, 1, 2, 3),
}


@dataclasses.dataclass(frozen=True)
class Value:
    """A tensor of the file and what it holds.

    Attributes:
        index: in the file.
        scale: None for float32.
    """

    index: int
    scale: TensorScale | None


def write_tflite(
    graph: Graph, recipe: Recipe, quantization: Quantization, description: str
) -> bytes:
    """Writes a graph.

    Args:
        graph: in the export form.
        recipe: how weights are stored and what the input is.
        quantization: which nodes compute in integers.
        description: for people who open the file in a viewer.

    Returns:
        The content of a .tflite: `image` (1, height, width, 3), RGB in 0..255,
        to `probabilities` float32 (1, classes).
    """
    graph, quantization = widen_gates(graph, quantization)
    return _Writer(graph, recipe, quantization, description).write()


class _Writer:
    def __init__(
        self, graph: Graph, recipe: Recipe, quantization: Quantization, description: str
    ) -> None:
        self._graph, self._recipe, self._quantization = graph, recipe, quantization
        self._file = Assembler(description)
        self._values: dict[tuple[str, bool], Value] = {}

    def write(self) -> bytes:
        """See `write_tflite`."""
        image = self._add_input(self._graph.nodes[0])
        for node in self._graph.nodes[1:]:
            integers = self._quantization.computes_in_integers(node.name)
            inputs = [self._value(name, integers) for name in node.inputs]
            scale = self._quantization.scales[node.name] if integers else None
            self._values[node.name, integers] = self._add_node(node, inputs, scale)
        output = self._value(self._graph.output.name, integers=False)
        return self._file.finish(SIGNATURE, {INPUT_NAME: image}, {OUTPUT_NAME: output.index})

    def _add_input(self, node: Node) -> int:
        # Scale 1, zero point 0: the bytes of a picture are the input.
        scale = TensorScale(1.0, 0) if self._recipe.input_dtype == "uint8" else None
        shape = (1, *node.shape)
        image = self._file.add_tensor(INPUT_NAME, shape, self._recipe.input_dtype, scale)
        self._values[node.name, False] = Value(image, scale)
        return image

    def _value(self, name: str, integers: bool) -> Value:
        """A node's output as its reader needs it, converted once where it is not."""
        if (name, integers) not in self._values:
            self._values[name, integers] = self._convert(name, self._values[name, not integers])
        value = self._values[name, integers]
        if not integers and value.scale is not None:  # The bytes of the image.
            self._values[name, integers] = value = self._dequantize(name, value)
        return value

    def _convert(self, name: str, value: Value) -> Value:
        scale = self._quantization.scales[name]
        if value.scale is scale:
            return self._dequantize(name, value)
        # The bytes of the image become int8 by way of floats: XNNPACK takes no QUANTIZE from
        # uint8, but these two, and makes one table of them and of the shift behind.
        source = self._value(name, integers=False)
        shape, dtype = (1, *self._graph[name].shape), _dtype(scale)
        index = self._file.add_tensor(f"{name}_{dtype}", shape, dtype, scale)
        self._file.add_operation("QUANTIZE", 1, [source.index], index, schema.QuantizeOptionsT())
        return Value(index, scale)

    def _dequantize(self, name: str, value: Value) -> Value:
        shape = (1, *self._graph[name].shape)
        index = self._file.add_tensor(f"{name}_float32", shape, "float32")
        assert value.scale is not None
        version = 2 if value.scale.bits == 8 else 3
        self._file.add_operation(
            "DEQUANTIZE", version, [value.index], index, schema.DequantizeOptionsT()
        )
        return Value(index, None)

    def _add_node(self, node: Node, inputs: list[Value], scale: TensorScale | None) -> Value:
        kind, options = _operation(node)
        operands = [value.index for value in inputs]
        version = _VERSIONS[kind][_numbers(scale)]
        if node.weighted:
            operands += self._add_weights(node, inputs[0].scale)
            if scale is None and self._stores_int8(node, None):
                version = _VERSIONS[kind][1]
            elif kind == "DEPTHWISE_CONV_2D" and node.dilation > 1:
                version = max(version, 2)
        elif node.op in ("gate", "shift"):
            operands.append(self._add_offset(node, scale))
        elif node.op == "mean":
            operands.append(self._file.add_constant(f"{node.name}_axes", _int32([1, 2])))
        elif node.op == "reshape":
            shape = self._file.add_constant(f"{node.name}_shape", _int32([1, *node.shape]))
            operands.append(shape)
        index = self._file.add_tensor(
            self._tensor_name(node), (1, *node.shape), _dtype(scale), scale
        )
        self._file.add_operation(kind, version, operands, index, options)
        return Value(index, scale)

    def _tensor_name(self, node: Node) -> str:
        return OUTPUT_NAME if node is self._graph.output else node.name

    def _stores_int8(self, node: Node, input_scale: TensorScale | None) -> bool:
        """In a model of float activations, depthwise kernels stay float: they are
        small, and XNNPACK takes no others there."""
        if self._quantization.scales:
            return input_scale is not None
        return self._recipe.weights == "int8" and node.op == "conv"

    def _add_weights(self, node: Node, input_scale: TensorScale | None) -> list[int]:
        if self._stores_int8(node, input_scale):
            return self._add_int8(node, input_scale)
        kernel, bias = _tflite_layout(node, node.numbers()[0]), node.numbers()[1]
        half = self._recipe.weights == "float16"
        add = self._add_float16 if half else self._file.add_constant
        return [add(f"{node.name}_kernel", kernel), add(f"{node.name}_bias", bias)]

    def _add_int8(self, node: Node, input_scale: TensorScale | None) -> list[int]:
        """The bias is an integer where the input is one."""
        flat, bias = node.kernel_by_channel, node.numbers()[1]
        if input_scale is None:
            scales, bias_scales = kernel_scales(flat), None
            kernel = quantize_kernel(flat, scales)
        else:
            stored = stored_weights(flat, bias, input_scale)
            kernel, scales = stored.kernel, stored.scales
            bias = stored.bias.astype(np.int32 if input_scale.bits == 8 else np.int64)
            bias_scales = ChannelScales(stored.bias_scales, 0)
        by_channel = ChannelScales(scales, 3 if node.op == "depthwise" else 0)
        return [
            self._file.add_constant(
                f"{node.name}_kernel", _tflite_layout(node, kernel), by_channel
            ),
            self._file.add_constant(f"{node.name}_bias", bias, bias_scales),
        ]

    def _add_float16(self, name: str, values: np.ndarray) -> int:
        """Stored in half, read as float32: runtimes fold the conversion away at start."""
        limit = np.finfo(np.float16).max
        half = np.clip(values, -limit, limit).astype(np.float16)
        stored = self._file.add_constant(f"{name}_float16", half)
        index = self._file.add_tensor(name, values.shape, "float32")
        self._file.add_operation("DEQUANTIZE", 3, [stored], index, schema.DequantizeOptionsT())
        return index

    def _add_offset(self, node: Node, scale: TensorScale | None) -> int:
        name, offset = f"{node.name}_offset", node.offset if node.op == "shift" else 3.0
        values = np.full((1,), offset, np.float32)
        if scale is None:
            return self._file.add_constant(name, values)
        # The greatest stored value stands for the constant, so it is exact.
        limit = 128 if scale.bits == 8 and offset < 0 else scale.stored_range[1]
        own = TensorScale(abs(offset) / limit, 0, scale.bits)
        return self._file.add_constant(name, quantize(values, own), own)


def _tflite_layout(node: Node, kernel: np.ndarray) -> np.ndarray:
    """As TFLite stores it: (out, h, w, in), depthwise (1, h, w, out)."""
    if node.op == "depthwise":
        return kernel.reshape(1, *kernel.shape[:2], -1)
    return kernel.transpose(3, 0, 1, 2)


def _operation(node: Node) -> tuple[str, object]:
    """The kind of a node's operation and its options."""
    activation = _ACTIVATIONS["relu6" if node.op == "gate" else node.activation]
    if node.weighted:
        return _convolution(node, activation)
    if node.op in ("add", "gate", "shift"):
        options = schema.AddOptionsT()
        options.fusedActivationFunction, options.potScaleInt16 = activation, False
        return "ADD", options
    if node.op == "mean":
        reducer = schema.ReducerOptionsT()
        reducer.keepDims = True
        return "MEAN", reducer
    if node.op == "reshape":
        reshape = schema.ReshapeOptionsT()
        reshape.newShape = [1, *node.shape]
        return "RESHAPE", reshape
    if node.op == "softmax":
        softmax = schema.SoftmaxOptionsT()
        softmax.beta = 1.0
        return "SOFTMAX", softmax
    if node.op == "multiply":
        return "MUL", schema.MulOptionsT()
    if node.op == "hard_swish":
        return "HARD_SWISH", schema.HardSwishOptionsT()
    raise ValueError(f"every node must be in the export form. Received: {node.name!r}, {node.op}")


def _convolution(node: Node, activation: int) -> tuple[str, object]:
    if node.op == "conv":
        kind, options = "CONV_2D", schema.Conv2DOptionsT()
    else:
        kind, options = "DEPTHWISE_CONV_2D", schema.DepthwiseConv2DOptionsT()
        options.depthMultiplier = node.numbers()[0].shape[3]
    options.padding = getattr(schema.Padding, node.padding.upper())
    options.strideH = options.strideW = node.stride
    options.dilationHFactor = options.dilationWFactor = node.dilation
    options.fusedActivationFunction = activation
    return kind, options


def _numbers(scale: TensorScale | None) -> int:
    """Column of `_VERSIONS`, of nodes without int8 kernels in float."""
    return 0 if scale is None else 2 if scale.bits == 8 else 3


def _dtype(scale: TensorScale | None) -> str:
    return "float32" if scale is None else f"int{scale.bits}"


def _int32(values: list[int]) -> np.ndarray:
    return np.array(values, np.int32)
