"""Parameters and multiply-accumulates of a network, without TensorFlow.

    python -m mobilenet_tf.complexity --version v3 --size small --alpha 0.75

MACs are those of convolutions and dense layers, squeeze-excite included; bias,
BatchNorm, activations and pooling are not counted (the papers' convention).
"""

import argparse
import dataclasses
import sys

from mobilenet_tf import cli, layout
from mobilenet_tf.layout import Block, Conv, Layout
from mobilenet_tf.specs import Spec


@dataclasses.dataclass(frozen=True)
class LayerCost:
    """Cost of one layer, with its BatchNorm.

    Attributes:
        name: the Keras layer's name.
        output_size: side of its (square) output map in pixels.
        filters: output channels.
        trainable_parameters: kernel, bias, gamma and beta.
        parameters: these and BatchNorm's two moving statistics.
        macs: multiply-accumulates for one image.
    """

    name: str
    output_size: int
    filters: int
    trainable_parameters: int
    parameters: int
    macs: int


@dataclasses.dataclass(frozen=True)
class Complexity:
    """Cost of a whole network; see `LayerCost` for what is counted."""

    layers: tuple[LayerCost, ...]

    @property
    def parameters(self) -> int:
        """As `keras.Model.count_params()` counts, moving statistics included."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def trainable_parameters(self) -> int:
        """What papers call parameters."""
        return sum(layer.trainable_parameters for layer in self.layers)

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image."""
        return sum(layer.macs for layer in self.layers)


def complexity(
    spec: Spec,
    alpha: float = 1.0,
    image_size: int = 224,
    classes: int | None = 1000,
    strides: tuple[int, ...] | None = None,
) -> Complexity:
    """Counts a spec at a width, an input size and a number of classes.

    Args:
        spec: a table of `specs`.
        alpha: width multiplier, > 0.
        image_size: side of the square input in pixels, at least 32.
        classes: of the classifier; None for the network without its top.
        strides: see `layout.strides_for`; None for the table's own.

    Returns:
        A `Complexity`.

    Raises:
        ValueError: an alpha or image size out of range.
    """
    if image_size < layout.MIN_IMAGE_SIZE:
        raise ValueError(
            f"image size must be at least {layout.MIN_IMAGE_SIZE}. "
            f"Received: image_size={image_size}"
        )
    return layout_complexity(layout.build_layout(spec, alpha, strides), image_size, classes)


def layout_complexity(network: Layout, image_size: int, classes: int | None) -> Complexity:
    """Counts a layout; see `complexity`."""
    size = layout.map_size(image_size, network.stem.stride)
    layers = [_conv(network.stem, 3, size)]
    for block in network.blocks:
        layers += _block(block, network.depth_multiplier, size)
        size = layout.map_size(size, block.stride)
    filters = network.blocks[-1].filters
    if network.last:
        layers.append(_conv(network.last, filters, size))
        filters = network.last.filters
    if classes is not None:
        layers += _top(network, filters, classes)
    return Complexity(tuple(layers))


def _cost(
    name: str, size: int, filters: int, weights_per_filter: int, has_bn: bool, has_bias: bool
) -> LayerCost:
    kernel = weights_per_filter * filters
    trainable = kernel + has_bias * filters + has_bn * 2 * filters
    return LayerCost(
        name=name,
        output_size=size,
        filters=filters,
        trainable_parameters=trainable,
        parameters=trainable + has_bn * 2 * filters,
        macs=kernel * size * size,
    )


def _conv(conv: Conv, in_filters: int, size: int) -> LayerCost:
    weights = conv.kernel_size**2 * in_filters
    return _cost(conv.name, size, conv.filters, weights, has_bn=True, has_bias=False)


def _block(block: Block, depth_multiplier: int, size: int) -> list[LayerCost]:
    out_size = layout.map_size(size, block.stride)
    weights = block.kernel_size**2
    if block.kind == "separable":
        wide = block.in_filters * depth_multiplier
        depthwise = _cost(f"conv_dw_{block.name}", out_size, wide, weights, True, False)
        pointwise = _cost(f"conv_pw_{block.name}", out_size, block.filters, wide, True, False)
        return [depthwise, pointwise]
    name, wide = block.name, block.expanded_filters
    costs = []
    if block.expand:
        costs.append(_cost(f"{name}_expand", size, wide, block.in_filters, True, False))
    costs.append(_cost(f"{name}_depthwise", out_size, wide, weights, True, False))
    if block.se_filters:
        squeeze = f"{name}_squeeze_excite_conv"
        costs.append(_cost(squeeze, 1, block.se_filters, wide, False, True))
        costs.append(_cost(f"{squeeze}_1", 1, wide, block.se_filters, False, True))
    costs.append(_cost(f"{name}_project", out_size, block.filters, wide, True, False))
    return costs


def _top(network: Layout, filters: int, classes: int) -> list[LayerCost]:
    if network.head_filters is None:
        name = "conv_preds" if network.spec.version == "v1" else "predictions"
        return [_cost(name, 1, classes, filters, False, True)]
    return [
        _cost("conv_2", 1, network.head_filters, filters, False, True),
        _cost("logits", 1, classes, network.head_filters, False, True),
    ]


def _parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = cli.parser(__doc__)
    cli.add_network_options(parser)
    parser.add_argument("--image-size", type=cli.image_size, default=224, metavar="PIXELS")
    parser.add_argument("--classes", type=cli.positive_int, default=1000, metavar="N")
    parser.add_argument("--layers", action="store_true", help="one line per layer")
    return parser.parse_args(argv)


@cli.exits
def main(argv: list[str] | None = None) -> int:
    """Prints the counts of one network; returns the exit code."""
    args = _parse_args(argv)
    spec = cli.spec_from(args)
    strides = layout.strides_for(spec, args.image_size, args.last_map)
    network = layout.build_layout(spec, args.alpha, strides)
    result = layout_complexity(network, args.image_size, args.classes)
    if args.layers:
        print(f"{'layer':42s} {'output':>14s} {'parameters':>12s} {'MACs':>14s}")
        for layer in result.layers:
            shape = f"{layer.output_size}x{layer.output_size}x{layer.filters}"
            print(f"{layer.name:42s} {shape:>14s} {layer.parameters:12,d} {layer.macs:14,d}")
    last_map = layout.last_map_size(network, args.image_size)
    print(
        f"{spec.name} alpha {args.alpha:g}, {args.image_size}x{args.image_size}, "
        f"{args.classes} classes: {result.trainable_parameters:,d} trainable parameters, "
        f"{result.parameters:,d} in all, {result.macs:,d} MACs, last map {last_map}x{last_map}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
