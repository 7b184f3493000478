"""Computing a graph in the very integers of its int8 file.

Fake quantization in float differs from the file by a rounding here and there,
and each such step of one changes other roundings after it: some layers later
the two are as far apart as two independent roundings. Here every operation
rounds as XNNPACK does (its requantization in float32, its fixed-point
additions), so that nearly all results are the file's own, bit by bit: of 800
images of coarse noise through a V3-Small with random weights, all but one.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from export.compute import walk
from export.graph import Graph, Node
from export.quantization.scales import Quantization, TensorScale, stored_weights

_ADD_BITS = 20  # Of the larger multiplier of an addition.


@dataclasses.dataclass(frozen=True)
class Integers:
    """A tensor as stored.

    Attributes:
        stored: float32 whole numbers, -128..127 (exact in sums below 2 ** 24).
        scale: what they mean.
    """

    stored: tf.Tensor
    scale: TensorScale

    @property
    def real(self) -> tf.Tensor:
        """float32 values."""
        return self.centered * np.float32(self.scale.scale)

    @property
    def centered(self) -> tf.Tensor:
        """Stored values less the zero point."""
        return self.stored - self.scale.zero_point


def stored_as(real: tf.Tensor, scale: TensorScale) -> Integers:
    """Integers of real values that a scale holds exactly."""
    stored = tf.round(real / np.float32(scale.scale)) + scale.zero_point
    return Integers(tf.clip_by_value(stored, -128.0, 127.0), scale)


def compute_integers(node: Node, inputs: list[Integers], scale: TensorScale) -> Integers:
    """The output of one node of an int8 graph.

    Args:
        node: any but "input" and "softmax"; numbers may be tensors.
        inputs: as its `inputs`.
        scale: of its output.
    """
    first = inputs[0]
    if node.op == "reshape":
        return Integers(tf.reshape(first.stored, (-1, *node.shape)), scale)
    if node.op == "add":
        stored = _add(first, inputs[1], scale)
    elif node.op in ("gate", "shift"):
        stored = _add(first, _constant(node), scale)
    else:
        total, factor = _total(node, inputs)
        # In this order, in float32: other orders round other last bits.
        stored = tf.round(total * (factor / np.float32(scale.scale))) + scale.zero_point
    return Integers(tf.clip_by_value(stored, *_limits(node, scale)), scale)


def _limits(node: Node, scale: TensorScale) -> tuple[float, float]:
    low, high = scale.stored_range
    activation = "relu6" if node.op == "gate" else node.activation
    if activation != "linear":
        low = max(low, scale.zero_point)
    if activation == "relu6":
        six = np.rint(np.float32(6.0) / np.float32(scale.scale)) + scale.zero_point
        high = int(min(high, six))
    return float(low), float(high)


def _total(node: Node, inputs: list[Integers]) -> tuple[tf.Tensor, np.ndarray | np.float32]:
    """Sums in whole numbers, and what 1 of them is worth, float32."""
    x = inputs[0]
    own = np.float32(x.scale.scale)
    if node.op == "multiply":
        return x.centered * inputs[1].centered, np.float32(own * np.float32(inputs[1].scale.scale))
    if node.op == "mean":
        count = x.stored.shape[1] * x.stored.shape[2]
        return tf.reduce_sum(x.centered, (1, 2), keepdims=True), np.float32(own / np.float32(count))
    kernel, bias = (np.asarray(values) for values in node.numbers())
    weights = stored_weights(node.kernel_by_channel, bias, x.scale)
    whole = weights.kernel.reshape(kernel.shape).astype(np.float32)
    return _convolve(node, x.centered, whole) + weights.bias.astype(np.float32), weights.bias_scales


def _convolve(node: Node, x: tf.Tensor, kernel: np.ndarray) -> tf.Tensor:
    padding, dilations = node.padding.upper(), (node.dilation, node.dilation)
    if node.op == "conv":
        return tf.nn.conv2d(x, kernel, node.stride, padding, dilations=dilations)
    strides = (1, node.stride, node.stride, 1)
    return tf.nn.depthwise_conv2d(x, kernel, strides, padding, dilations=dilations)


def _constant(node: Node) -> Integers:
    """The offset as `writer` stores it."""
    offset = node.offset if node.op == "shift" else 3.0
    limit = 128 if offset < 0 else 127
    scale = TensorScale(abs(offset) / limit, 0)
    return Integers(tf.constant(np.float32(np.sign(offset) * limit)), scale)


def _add(a: Integers, b: Integers, scale: TensorScale) -> tf.Tensor:
    """XNNPACK's addition: multipliers of 20 bits and a shift that rounds half up."""
    out = np.float32(scale.scale)
    factors = [np.float32(x.scale.scale) / out for x in (a, b)]
    shift = _ADD_BITS - int(np.floor(np.log2(np.max(factors))))
    multipliers = [int(np.rint(np.ldexp(np.float64(factor), shift))) for factor in factors]
    total = 1 << (shift - 1)
    for x, multiplier in zip((a, b), multipliers):
        total += tf.cast(x.centered, tf.int32) * multiplier
    return tf.cast(tf.bitwise.right_shift(total, shift), tf.float32) + scale.zero_point


def integer_outputs(
    graph: Graph, quantization: Quantization, images: np.ndarray, batch_size: int = 32
) -> np.ndarray:
    """What an int8 file says.

    Args:
        graph: in the split export form, all but its softmax in 8 bits.
        quantization: its scales.
        images: uint8 (images, height, width, 3).
        batch_size: images computed at once.

    Returns:
        float32 probabilities (images, classes).
    """

    def step(node: Node, inputs: list):
        if node.op == "softmax":
            return tf.nn.softmax(inputs[0].real)
        scale = quantization.scales[node.name]
        if node.op == "input":
            return Integers(batch - 128.0, scale)
        return compute_integers(node, inputs, scale)

    found = []
    for start in range(0, len(images), batch_size):
        batch = tf.constant(images[start : start + batch_size], tf.float32)
        found.append(np.asarray(walk(graph, step)))
    return np.concatenate(found)
