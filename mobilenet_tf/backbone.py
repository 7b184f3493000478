"""From a layout to feature maps: one loop over the blocks."""

from mobilenet_tf.blocks import BatchNorm, Tensor, conv_bn_act, inverted_residual, separable
from mobilenet_tf.engine import keras, layers
from mobilenet_tf.layout import Layout, build_layout
from mobilenet_tf.specs import Spec


def backbone_endpoints(
    x: Tensor, network: Layout, bn_momentum: float | None = None
) -> dict[str, Tensor]:
    """Builds every layer before pooling.

    Args:
        x: float tensor (batch, height, width, 3) in [-1, 1].
        network: from `build_layout`.
        bn_momentum: of every BatchNormalization; None for the spec's own.

    Returns:
        Tensors (batch, h, w, filters) by name. "C1".."C5": the last output
        before each stride of the table, and the last block's; at stride 2**k
        for "Ck" unless strides were dropped or dilated. "C4/expanded": the
        expansion in the block that leaves C4 (V2 and V3). "final": after the
        last 1x1 convolution, which V1 does not have.
    """
    spec = network.spec
    momentum = spec.bn_momentum if bn_momentum is None else bn_momentum
    batch_norm = BatchNorm(momentum, spec.bn_epsilon)
    x = conv_bn_act(x, network.stem, batch_norm)
    outputs, expanded = [x], {}
    for i, block in enumerate(network.blocks):
        if block.kind == "separable":
            x = separable(x, block, batch_norm, network.depth_multiplier)
        else:
            x, expanded[i] = inverted_residual(x, block, batch_norm)
        outputs.append(x)
    endpoints = {name: outputs[i] for name, i in network.endpoints.items()}
    if network.endpoints["C4"] in expanded:
        endpoints["C4/expanded"] = expanded[network.endpoints["C4"]]
    endpoints["final"] = conv_bn_act(x, network.last, batch_norm) if network.last else x
    return endpoints


def build_backbone(
    spec: Spec,
    input_shape: tuple[int | None, int | None, int] = (224, 224, 3),
    alpha: float = 1.0,
    output_stride: int = 32,
    strides: tuple[int, ...] | None = None,
) -> keras.Model:
    """A feature extractor for detection and segmentation heads.

    Args:
        spec: a table of `specs`.
        input_shape: (height, width, channels); None for sizes left open.
        alpha: width multiplier, > 0.
        output_stride: 8, 16 or 32: input size over that of C5. Strides beyond
            it become dilation; the weights stay the same.
        strides: see `layout.strides_for`; None for the table's own.

    Returns:
        `keras.Model` from float32 (batch, height, width, channels) in [-1, 1]
        to the dictionary of `backbone_endpoints`.

    Raises:
        ValueError: a value outside these ranges.
    """
    network = build_layout(spec, alpha, strides, output_stride)
    image = layers.Input(input_shape, name="image")
    return keras.Model(image, backbone_endpoints(image, network), name=f"{spec.name}_backbone")
