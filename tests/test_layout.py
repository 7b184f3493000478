"""Tests of widths, strides and endpoints."""

import math

import pytest

from mobilenet_tf import layout, specs
from mobilenet_tf.layout import build_layout, strides_for

SPECS = {spec.name: spec for spec in (specs.V1, specs.V2, specs.V3_LARGE, specs.V3_SMALL)}
every_spec = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)

# Blocks (from 1; 0 is the stem) with stride 2, from the papers' tables.
STRIDED = {
    "v1": (0, 2, 4, 6, 12),
    "v2": (0, 2, 4, 7, 14),
    "v3_large": (0, 2, 4, 7, 13),
    "v3_small": (0, 1, 2, 4, 9),
}
BLOCKS = {"v1": 13, "v2": 17, "v3_large": 15, "v3_small": 11}

# (blocks in front, channels) of C1..C5 from the papers' tables.
ENDPOINTS = {
    "v1": ((1, 64), (3, 128), (5, 256), (11, 512), (13, 1024)),
    "v2": ((1, 16), (3, 24), (6, 32), (13, 96), (17, 320)),
    "v3_large": ((1, 16), (3, 24), (6, 40), (12, 112), (15, 160)),
    "v3_small": ((0, 16), (1, 16), (3, 24), (8, 48), (11, 96)),
}


def strides_with(name: str, strided: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(2 if i in strided else 1 for i in range(BLOCKS[name] + 1))


def endpoint_stride(network: layout.Layout, name: str) -> int:
    return math.prod(network.strides[: network.endpoints[name] + 1])


@every_spec
@pytest.mark.parametrize("size", [64, 96, 224, 225])
def test_inputs_from_64_pixels_keep_the_papers_strides(spec, size):
    assert strides_for(spec, size) == strides_with(spec.name, STRIDED[spec.name])


@every_spec
@pytest.mark.parametrize(
    "size, last_map, dropped",
    [(32, None, 1), (32, 2, 1), (32, 4, 2), (32, 8, 3), (64, 4, 1), (64, 2, 0), (48, None, 0)],
)
def test_small_inputs_drop_the_first_strides(spec, size, last_map, dropped):
    strides = strides_for(spec, size, last_map)
    assert strides == strides_with(spec.name, STRIDED[spec.name][dropped:])


@every_spec
def test_32_pixels_get_a_2x2_map_by_default(spec):
    network = build_layout(spec, strides=strides_for(spec, 32))
    assert network.output_stride == 16
    assert layout.last_map_size(network, 32) == 2


@pytest.mark.parametrize(
    "spec, strided", [(specs.V3_SMALL, (4, 9)), (specs.V3_LARGE, (7, 13))], ids=["small", "large"]
)
def test_last_map_8_strides_where_the_pytorch_cifar_network_does(spec, strided):
    """akrapukhin/MobileNetV3 with si=1: two strides are left, 32 -> 16 -> 8."""
    strides = strides_for(spec, 32, 8)
    assert strides == strides_with(spec.name, strided)
    assert layout.last_map_size(build_layout(spec, strides=strides), 32) == 8


@every_spec
def test_dropped_strides_add_no_residual_connection(spec):
    """Weights trained at 224 must mean the same at 32."""
    usual = build_layout(spec)
    small = build_layout(spec, strides=strides_for(spec, 32, 8))
    assert [block.add for block in small.blocks] == [block.add for block in usual.blocks]


@every_spec
def test_endpoints_keep_their_place_where_strides_are_dropped(spec):
    network = build_layout(spec, strides=strides_for(spec, 32, 8))
    assert network.endpoints == build_layout(spec).endpoints


@pytest.mark.parametrize("size", [31, 0, -1])
def test_too_small_an_image(size):
    with pytest.raises(ValueError, match=rf"^image size must be at least 32 .*image_size={size}$"):
        strides_for(specs.V1, size)


@every_spec
@pytest.mark.parametrize(
    "output_stride, dilated", [(32, ()), (16, ((4, 2),)), (8, ((3, 2), (4, 4)))]
)
def test_dilation_replaces_strides(spec, output_stride, dilated):
    network = build_layout(spec, output_stride=output_stride)
    assert network.output_stride == output_stride
    strided = STRIDED[spec.name]
    kept = strided[: len(strided) - len(dilated)]
    assert network.strides == strides_with(spec.name, kept)
    rates = [1] * BLOCKS[spec.name]
    for which, rate in dilated:  # From the block after the lost stride on.
        rates[strided[which] :] = [rate] * (BLOCKS[spec.name] - strided[which])
    assert [block.dilation_rate for block in network.blocks] == rates


@every_spec
def test_endpoints(spec):
    network = build_layout(spec)
    filters = [network.stem.filters, *(block.filters for block in network.blocks)]
    found = {name: (end, filters[end]) for name, end in network.endpoints.items()}
    assert found == {f"C{i}": end for i, end in enumerate(ENDPOINTS[spec.name], start=1)}


@every_spec
@pytest.mark.parametrize("output_stride", [8, 16, 32])
def test_endpoint_strides(spec, output_stride):
    network = build_layout(spec, output_stride=output_stride)
    for level in range(1, 6):
        assert endpoint_stride(network, f"C{level}") == min(2**level, output_stride)


@pytest.mark.parametrize(
    "version, filters, alpha, expected",
    [
        ("v1", 32, 0.75, 24),
        ("v1", 64, 0.3, 19),  # V1 does not round to 8.
        ("v1", 32, 0.1, 8),  # TF-slim's minimum depth.
        ("v2", 24, 0.5, 16),  # 12 rounds up.
        ("v2", 24, 1.4, 32),  # int(33.6) = 33 rounds down.
        ("v2", 320, 1.3, 416),
        ("v3", 24, 0.35, 8),  # 8.4
        ("v3", 40, 0.75, 32),  # 30
        ("v3", 112, 1.25, 144),  # 140
    ],
)
def test_width_rules(version, filters, alpha, expected):
    assert layout.scaled_filters(version, filters, alpha) == expected


def test_v3_keeps_its_stem_and_v2_its_last_layer_below_alpha_1():
    assert build_layout(specs.V3_SMALL, 0.35).stem.filters == 16
    assert build_layout(specs.V3_SMALL, 2.0).stem.filters == 16
    assert build_layout(specs.V2, 0.35).last.filters == 1280
    assert build_layout(specs.V2, 1.4).last.filters == 1792
    assert build_layout(specs.V2, 0.35).stem.filters == 16  # 11.2 -> 8 would be below 90 %


@every_spec
@pytest.mark.parametrize("alpha", [0, -1, math.nan, math.inf])
def test_alpha_errors(spec, alpha):
    with pytest.raises(ValueError, match=rf"^alpha must be a number above 0\. .*alpha={alpha}$"):
        build_layout(spec, alpha)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"output_stride": 4}, r"^output_stride must be one of \(8, 16, 32\)\. .*output_stride=4$"),
        ({"output_stride": 64}, r"^output_stride must be .*output_stride=64$"),
        ({"depth_multiplier": 0}, r"^depth_multiplier must be 1 or more\. .*depth_multiplier=0$"),
        ({"strides": (2, 1)}, r"^strides must be 14 numbers, .*strides=\(2, 1\)$"),
    ],
)
def test_layout_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        build_layout(specs.V1, **arguments)
