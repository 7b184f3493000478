"""The blocks, as functions from tensor to tensor. Every layer is named.

Names equal keras.applications' wherever that names a layer, so that its weights
load by name; what it leaves unnamed is called `<block>_<role>`. Strided
convolutions pad "same": what keras.applications' explicit padding gives for
every map but V1's odd ones, and no PAD operation in the exported file.
"""

import dataclasses
from typing import Any

from mobilenet_tf.engine import hard_sigmoid, hard_swish, layers
from mobilenet_tf.layout import Block, Conv, activation_suffix
from mobilenet_tf.specs import ActivationName

Tensor = Any  # Of whichever engine and backend is in use.


@dataclasses.dataclass(frozen=True)
class BatchNorm:
    """Settings of every BatchNormalization of a network."""

    momentum: float
    epsilon: float

    def __call__(self, x: Tensor, name: str) -> Tensor:
        layer = layers.BatchNormalization(momentum=self.momentum, epsilon=self.epsilon, name=name)
        return layer(x)


def activate(x: Tensor, activation: ActivationName, name: str) -> Tensor:
    """Applies an activation as one named layer."""
    if activation == "hard_swish":
        return layers.Activation(hard_swish, name=name)(x)
    return layers.ReLU(6.0 if activation == "relu6" else None, name=name)(x)


def conv_bn_act(x: Tensor, conv: Conv, batch_norm: BatchNorm) -> Tensor:
    """Convolution, BatchNorm, activation: the stem and the last 1x1."""
    x = layers.Conv2D(
        conv.filters,
        conv.kernel_size,
        strides=conv.stride,
        padding="same",
        use_bias=False,
        name=conv.name,
    )(x)
    x = batch_norm(x, conv.bn_name)
    return activate(x, conv.activation, conv.activation_name)


def separable(x: Tensor, block: Block, batch_norm: BatchNorm, depth_multiplier: int) -> Tensor:
    """V1's depthwise separable convolution (arXiv:1704.04861, Figure 3)."""
    depthwise, pointwise = f"conv_dw_{block.name}", f"conv_pw_{block.name}"
    x = layers.DepthwiseConv2D(
        block.kernel_size,
        strides=block.stride,
        padding="same",
        depth_multiplier=depth_multiplier,
        dilation_rate=block.dilation_rate,
        use_bias=False,
        name=depthwise,
    )(x)
    x = batch_norm(x, f"{depthwise}_bn")
    x = activate(x, block.activation, f"{depthwise}_relu")
    x = layers.Conv2D(block.filters, 1, padding="same", use_bias=False, name=pointwise)(x)
    x = batch_norm(x, f"{pointwise}_bn")
    return activate(x, block.activation, f"{pointwise}_relu")


def inverted_residual(x: Tensor, block: Block, batch_norm: BatchNorm) -> tuple[Tensor, Tensor]:
    """V2's and V3's block (arXiv:1801.04381, Table 1; arXiv:1905.02244, Figure 4).

    Returns:
        The block's output, and its expanded input: the map that SSDLite taps
        where the block strides (arXiv:1905.02244, section 6.3).
    """
    inputs, name, bn = x, block.name, block.bn_suffix
    suffix = activation_suffix(block.activation)
    if block.expand:
        x = layers.Conv2D(
            block.expanded_filters, 1, padding="same", use_bias=False, name=f"{name}_expand"
        )(x)
        x = batch_norm(x, f"{name}_expand_{bn}")
        x = activate(x, block.activation, f"{name}_expand_{suffix}")
    expanded = x
    x = layers.DepthwiseConv2D(
        block.kernel_size,
        strides=block.stride,
        padding="same",
        dilation_rate=block.dilation_rate,
        use_bias=False,
        name=f"{name}_depthwise",
    )(x)
    x = batch_norm(x, f"{name}_depthwise_{bn}")
    x = activate(x, block.activation, f"{name}_depthwise_{suffix}")
    if block.se_filters:
        x = squeeze_excite(x, block.expanded_filters, block.se_filters, name)
    x = layers.Conv2D(block.filters, 1, padding="same", use_bias=False, name=f"{name}_project")(x)
    x = batch_norm(x, f"{name}_project_{bn}")
    if block.add:
        x = layers.Add(name=f"{name}_add")([inputs, x])
    return x, expanded


def squeeze_excite(x: Tensor, filters: int, se_filters: int, name: str) -> Tensor:
    """Scales each channel by a gate in [0, 1] (arXiv:1905.02244, section 5.3)."""
    prefix = f"{name}_squeeze_excite"
    gate = layers.GlobalAveragePooling2D(keepdims=True, name=f"{prefix}_avg_pool")(x)
    gate = layers.Conv2D(se_filters, 1, padding="same", name=f"{prefix}_conv")(gate)
    gate = layers.ReLU(name=f"{prefix}_relu")(gate)
    gate = layers.Conv2D(filters, 1, padding="same", name=f"{prefix}_conv_1")(gate)
    gate = layers.Activation(hard_sigmoid, name=f"{prefix}_hard_sigmoid")(gate)
    return layers.Multiply(name=f"{prefix}_mul")([x, gate])
