"""A spec made concrete: the channels, strides and names of every layer.

`build_layout` is the one place that knows the width rules. The builder
(`backbone`) and the counter (`complexity`) both walk its result, so they cannot
disagree. No TensorFlow import.
"""

import dataclasses
import math
from typing import Literal, Sequence

from mobilenet_tf.specs import (
    ActivationName,
    Bottleneck,
    Row,
    Separable,
    Spec,
    Version,
)

MIN_IMAGE_SIZE = 32
OUTPUT_STRIDES = (8, 16, 32)
LAST_MAPS = (2, 4, 8)
# The smallest map that spatial pooling still gains from, and what 32x32 inputs
# get unless the user asks for a finer (and 4 or 16 times dearer) one.
DEFAULT_LAST_MAP = 2


@dataclasses.dataclass(frozen=True)
class Conv:
    """A convolution with BatchNorm and activation, and its three layer names."""

    name: str
    bn_name: str
    activation_name: str
    filters: int
    kernel_size: int
    stride: int
    activation: ActivationName


@dataclasses.dataclass(frozen=True)
class Block:
    """One block: a depthwise separable one (V1) or an inverted residual (V2, V3).

    Attributes:
        kind: which of the two.
        name: prefix of its layers' names.
        bn_suffix: how its version spells BatchNorm, "bn" or "BN".
        in_filters, filters: channels that enter and leave.
        expanded_filters: channels of the depthwise convolution's input.
        expand: False where the block starts with its depthwise convolution.
        se_filters: squeeze width; 0 without squeeze-excite.
        add: True where input and output are added.
        kernel_size, stride, dilation_rate: of the depthwise convolution.
    """

    kind: Literal["separable", "inverted_residual"]
    name: str
    bn_suffix: str
    in_filters: int
    expanded_filters: int
    filters: int
    expand: bool
    se_filters: int
    add: bool
    kernel_size: int
    stride: int
    dilation_rate: int
    activation: ActivationName


@dataclasses.dataclass(frozen=True)
class Layout:
    """All layers of a network in order.

    Attributes:
        endpoints: name ("C1".."C5") to the number of blocks before it; 0 is
            the stem's output.
        last: the 1x1 convolution after the blocks; None for V1.
        head_filters: V3's 1x1 convolution after pooling; None otherwise.
    """

    spec: Spec
    alpha: float
    depth_multiplier: int
    stem: Conv
    blocks: tuple[Block, ...]
    endpoints: dict[str, int]
    last: Conv | None
    head_filters: int | None

    @property
    def strides(self) -> tuple[int, ...]:
        """Strides of the stem and of each block."""
        return (self.stem.stride, *(block.stride for block in self.blocks))

    @property
    def output_stride(self) -> int:
        """Input size over the size of the last feature map."""
        return math.prod(self.strides)


def make_divisible(value: float, divisor: int = 8) -> int:
    """Rounds to a multiple of `divisor`, never below 90 % of `value`."""
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


def scaled_filters(version: Version, filters: int, alpha: float) -> int:
    """Output channels of a row at width `alpha`, by the version's own rule."""
    if version == "v1":
        # No rounding to 8; the minimum is TF-slim's (Keras has none).
        return max(int(filters * alpha), 8)
    if version == "v2":
        return make_divisible(int(filters * alpha))
    return make_divisible(filters * alpha)


def map_size(size: int, stride: int) -> int:
    """Side of the map after a "same" convolution with `stride`."""
    return -(-size // stride)


def strides_for(spec: Spec, image_size: int, last_map: int | None = None) -> tuple[int, ...]:
    """Chooses the strides so that the last map of a small input is not 1x1.

    The earliest strides of 2 become 1 until the last map is large enough, as
    is usual for CIFAR: it keeps the network's shape and costs what an input
    twice, four times or eight times as large would.

    Args:
        spec: the network.
        image_size: side of the input in pixels, at least 32; of the shorter
            side where they differ.
        last_map: the side that the last map must reach: 2, 4 or 8; None
            means 2.

    Returns:
        One stride for the stem and one for each row of blocks, repeats
        unrolled.

    Raises:
        ValueError: `image_size` under 32, or another `last_map`.
    """
    if image_size < MIN_IMAGE_SIZE:
        raise ValueError(
            f"image size must be at least {MIN_IMAGE_SIZE} pixels; enlarge the images. "
            f"Received: image_size={image_size}"
        )
    if last_map not in (None, *LAST_MAPS):
        raise ValueError(f"last_map must be one of {LAST_MAPS}. Received: last_map={last_map}")
    strides = [2, *(stride for _, stride in _unrolled(spec.rows))]
    wanted = DEFAULT_LAST_MAP if last_map is None else last_map
    for i, stride in enumerate(strides):
        if _last_map(image_size, strides) >= wanted:
            break
        strides[i] = 1 if stride == 2 else stride
    return tuple(strides)


def _last_map(image_size: int, strides: Sequence[int]) -> int:
    for stride in strides:
        image_size = map_size(image_size, stride)
    return image_size


def last_map_size(layout: Layout, image_size: int) -> int:
    """Side of the last feature map for a square input of `image_size`."""
    return _last_map(image_size, layout.strides)


def build_layout(
    spec: Spec,
    alpha: float = 1.0,
    strides: tuple[int, ...] | None = None,
    output_stride: int = 32,
    depth_multiplier: int = 1,
) -> Layout:
    """Resolves a spec into layers.

    Args:
        spec: a table of `specs`.
        alpha: width multiplier, > 0.
        strides: one per stem and block, see `strides_for`; None for the
            table's own.
        output_stride: 8, 16 or 32. Below 32, strides that would go beyond it
            become dilation (atrous convolution), so weights still fit.
        depth_multiplier: V1 only, outputs per input channel of each depthwise
            convolution.

    Returns:
        A `Layout`.

    Raises:
        ValueError: a value outside these ranges.
    """
    if not alpha > 0 or not math.isfinite(alpha):
        raise ValueError(f"alpha must be a number above 0. Received: alpha={alpha}")
    if output_stride not in OUTPUT_STRIDES:
        raise ValueError(
            f"output_stride must be one of {OUTPUT_STRIDES}. "
            f"Received: output_stride={output_stride}"
        )
    if depth_multiplier < 1:
        raise ValueError(
            f"depth_multiplier must be 1 or more. Received: depth_multiplier={depth_multiplier}"
        )
    rows = _unrolled(spec.rows)
    table_strides = (2, *(stride for _, stride in rows))
    used = strides or table_strides
    if len(used) != len(table_strides):
        raise ValueError(
            f"strides must be {len(table_strides)} numbers, one for the stem and one for "
            f"each block. Received: strides={strides}"
        )
    stem = _stem(spec, alpha, used[0])
    dilated = _dilate(used, output_stride)
    blocks: list[Block] = []
    in_filters, table_in_filters = stem.filters, spec.stem_filters
    for i, (row, _) in enumerate(rows):
        stride, dilation_rate = dilated[i + 1]
        block = _block(spec, row, i, alpha, in_filters, table_in_filters)
        block = dataclasses.replace(
            block,
            stride=stride,
            dilation_rate=dilation_rate,
            # As in Keras, the table decides where shapes permit an addition;
            # a stride that a small input lost does not create a new one.
            add=block.add and table_strides[i + 1] == 1,
        )
        blocks.append(block)
        in_filters, table_in_filters = block.filters, row.filters
    return Layout(
        spec=spec,
        alpha=alpha,
        depth_multiplier=depth_multiplier,
        stem=stem,
        blocks=tuple(blocks),
        endpoints=_endpoints(table_strides),
        last=_last(spec, alpha, in_filters, table_in_filters),
        head_filters=_grown(spec.head_filters, alpha),
    )


def _unrolled(rows: tuple[Row, ...]) -> list[tuple[Row, int]]:
    """One (row, stride) per block; only the first repeat of a row strides."""
    unrolled: list[tuple[Row, int]] = []
    for row in rows:
        repeats = row.repeats if isinstance(row, Bottleneck) else 1
        unrolled += [(row, row.stride if i == 0 else 1) for i in range(repeats)]
    return unrolled


def _dilate(strides: Sequence[int], output_stride: int) -> list[tuple[int, int]]:
    """Turns the strides beyond `output_stride` into dilation: (stride, rate)."""
    result, current, rate = [], 1, 1
    for stride in strides:
        if stride > 1 and current * stride > output_stride:
            # The layer that loses its stride still sees the undilated map.
            result.append((1, rate))
            rate *= stride
        else:
            result.append((stride, rate))
            current *= stride
    return result


def _endpoints(table_strides: Sequence[int]) -> dict[str, int]:
    """The last output before each stride of the table, and the last of all."""
    strided = [i for i, stride in enumerate(table_strides) if stride == 2]
    ends = [*(i - 1 for i in strided[1:]), len(table_strides) - 1]
    return {f"C{level}": end for level, end in enumerate(ends, start=1)}


_STEM_NAMES = {
    "v1": ("conv1", "conv1_bn", "conv1_relu"),
    "v2": ("Conv1", "bn_Conv1", "Conv1_relu"),
    "v3": ("conv", "conv_bn", "conv_{activation}"),
}
_LAST_NAMES = {
    "v2": ("Conv_1", "Conv_1_bn", "out_relu"),
    "v3": ("conv_1", "conv_1_bn", "conv_1_{activation}"),
}


def activation_suffix(activation: ActivationName) -> str:
    """What a layer name calls an activation: Keras says "relu" for ReLU6 too."""
    return "hard_swish" if activation == "hard_swish" else "relu"


def _stem(spec: Spec, alpha: float, stride: int) -> Conv:
    name, bn_name, activation_name = _STEM_NAMES[spec.version]
    filters = {
        "v1": scaled_filters("v1", spec.stem_filters, alpha),
        "v2": make_divisible(spec.stem_filters * alpha),
        "v3": spec.stem_filters,  # V3's stem does not scale (keras.applications)
    }[spec.version]
    return Conv(
        name=name,
        bn_name=bn_name,
        activation_name=activation_name.format(activation=activation_suffix(spec.stem_activation)),
        filters=filters,
        kernel_size=3,
        stride=stride,
        activation=spec.stem_activation,
    )


def _last(spec: Spec, alpha: float, in_filters: int, table_in_filters: int) -> Conv | None:
    if spec.last_filters is None:
        return None
    name, bn_name, activation_name = _LAST_NAMES[spec.version]
    if spec.version == "v3":
        # A ratio to the last block, like the expansions (keras.applications).
        filters = make_divisible(in_filters * spec.last_filters / table_in_filters)
    else:
        filters = _grown(spec.last_filters, alpha) or spec.last_filters
    return Conv(
        name=name,
        bn_name=bn_name,
        activation_name=activation_name.format(activation=activation_suffix(spec.last_activation)),
        filters=filters,
        kernel_size=1,
        stride=1,
        activation=spec.last_activation,
    )


def _grown(filters: int | None, alpha: float) -> int | None:
    """Last layers keep their width below alpha 1 and grow above (V2, section 6.1)."""
    if filters is None or alpha <= 1.0:
        return filters
    return make_divisible(filters * alpha)


def _block(
    spec: Spec, row: Row, i: int, alpha: float, in_filters: int, table_in_filters: int
) -> Block:
    """Block number `i` (from 0), with the stride still to be filled in."""
    filters = scaled_filters(spec.version, row.filters, alpha)
    common = {"in_filters": in_filters, "filters": filters, "stride": 1, "dilation_rate": 1}
    if isinstance(row, Separable):
        return Block(
            kind="separable",
            name=str(i + 1),
            bn_suffix="bn",
            expanded_filters=in_filters,
            expand=False,
            se_filters=0,
            add=False,
            kernel_size=3,
            activation=spec.stem_activation,
            **common,
        )
    if isinstance(row, Bottleneck):
        expansion, kernel_size, use_se = float(row.expansion), 3, False
        activation = spec.stem_activation
    else:
        # The paper prints absolute widths; scaled networks keep their ratio to
        # the input, as in keras.applications, so that its weights fit.
        expansion, kernel_size, use_se = (
            row.exp_size / table_in_filters,
            row.kernel_size,
            row.use_se,
        )
        activation = row.activation
    expanded_filters = make_divisible(in_filters * expansion)
    prefix = "expanded_conv" if spec.version == "v3" else "block"
    return Block(
        kind="inverted_residual",
        name="expanded_conv" if i == 0 else f"{prefix}_{i}",
        bn_suffix="bn" if spec.version == "v3" else "BN",
        expanded_filters=expanded_filters if expansion != 1 else in_filters,
        expand=expansion != 1,
        se_filters=make_divisible(expanded_filters / 4) if use_se else 0,
        add=in_filters == filters,
        kernel_size=kernel_size,
        activation=activation,
        **common,
    )
