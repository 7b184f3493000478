"""Tests of the papers' tables, against a second transcription of them."""

import os
import subprocess
import sys

import pytest

from mobilenet_tf import specs
from mobilenet_tf.layout import build_layout, make_divisible
from mobilenet_tf.specs import Bneck, Bottleneck, Separable

REPOSITORY = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# arXiv:1704.04861, Table 1: filters/stride of each depthwise separable block.
V1_TABLE = "64/1 128/2 128/1 256/2 256/1 512/2 512/1 512/1 512/1 512/1 512/1 1024/2 1024/1"

# arXiv:1801.04381, Table 2: t c n s.
V2_TABLE = "1 16 1 1, 6 24 2 2, 6 32 3 2, 6 64 4 2, 6 96 3 1, 6 160 3 2, 6 320 1 1"

# arXiv:1905.02244, Tables 1 and 2: kernel, exp size, #out, SE, NL, s.
V3_LARGE_TABLE = """
    3  16  16 - RE 1, 3  64  24 - RE 2, 3  72  24 - RE 1, 5  72  40 S RE 2, 5 120  40 S RE 1,
    5 120  40 S RE 1, 3 240  80 - HS 2, 3 200  80 - HS 1, 3 184  80 - HS 1, 3 184  80 - HS 1,
    3 480 112 S HS 1, 3 672 112 S HS 1, 5 672 160 S HS 2, 5 960 160 S HS 1, 5 960 160 S HS 1"""
V3_SMALL_TABLE = """
    3  16  16 S RE 2, 3  72  24 - RE 2, 3  88  24 - RE 1, 5  96  40 S HS 2, 5 240  40 S HS 1,
    5 240  40 S HS 1, 5 120  48 S HS 1, 5 144  48 S HS 1, 5 288  96 S HS 2, 5 576  96 S HS 1,
    5 576  96 S HS 1"""

# The AMC authors' released models: stem, then filters of the 13 blocks (strides
# are V1's); for V2 image, stem, then outputs and expansions in turn, and the head.
AMC_V1_CHANNELS = {
    "amc": "32 64 128 128 256 256 512 512 512 512 512 512 1024 1024",
    "0.5flops": "24 48 96 80 192 200 328 352 368 360 328 400 736 752",
    "0.5time": "16 48 88 80 192 168 336 360 360 352 352 368 768 680",
}
AMC_V2_CHANNELS = """
    3 24 16 72 24 104 24 104 32 136 32 136 32 136 64 272 64 272 64 272 64 272 96 408 96 400 96
    400 160 712 160 720 160 712 248 848"""
AMC_V2_STRIDES = "1 2 1 2 1 1 2 1 1 1 1 1 1 2 1 1 1"


def bnecks(table: str) -> tuple[Bneck, ...]:
    rows = []
    for line in table.split(","):
        kernel, exp, out, se, activation, stride = line.split()
        name = {"RE": "relu", "HS": "hard_swish"}[activation]
        rows.append(Bneck(int(kernel), int(exp), int(out), se == "S", name, int(stride)))
    return tuple(rows)


def separables(channels: str) -> tuple[Separable, ...]:
    strides = [int(row.split("/")[1]) for row in V1_TABLE.split()]
    return tuple(Separable(int(c), s) for c, s in zip(channels.split(), strides, strict=True))


@pytest.mark.parametrize("module", ["specs", "layout", "complexity", "cli"])
def test_tables_and_command_line_import_no_tensorflow(module):
    code = (
        f"import sys, mobilenet_tf.{module}\n"
        "print([m for m in ('tensorflow', 'keras', 'tf_keras') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_v1_table():
    assert specs.V1.rows == separables(" ".join(r.split("/")[0] for r in V1_TABLE.split()))
    assert (specs.V1.stem_filters, specs.V1.last_filters, specs.V1.head_filters) == (32, None, None)
    assert specs.V1.stem_activation == "relu6"
    assert len(specs.V1.rows) == 13


def test_v2_table():
    expected = [Bottleneck(*map(int, row.split())) for row in V2_TABLE.split(",")]
    assert specs.V2.rows == tuple(expected)
    assert (specs.V2.stem_filters, specs.V2.last_filters, specs.V2.head_filters) == (32, 1280, None)
    assert (specs.V2.stem_activation, specs.V2.last_activation) == ("relu6", "relu6")
    assert (len(specs.V2.rows), sum(row.repeats for row in specs.V2.rows)) == (7, 17)


@pytest.mark.parametrize(
    "spec, table, count, last, head",
    [
        (specs.V3_LARGE, V3_LARGE_TABLE, 15, 960, 1280),
        (specs.V3_SMALL, V3_SMALL_TABLE, 11, 576, 1024),
    ],
    ids=["large", "small"],
)
def test_v3_tables(spec, table, count, last, head):
    assert len(spec.rows) == count
    assert spec.rows == bnecks(table)
    assert (spec.stem_filters, spec.last_filters, spec.head_filters) == (16, last, head)
    assert (spec.stem_activation, spec.last_activation) == ("hard_swish", "hard_swish")


@pytest.mark.parametrize("profile", AMC_V1_CHANNELS)
def test_amc_v1_profiles(profile):
    stem, channels = AMC_V1_CHANNELS[profile].split(maxsplit=1)
    spec = specs.get_spec("v1", profile=profile)
    assert (spec.stem_filters, spec.rows) == (int(stem), separables(channels))
    # ReLU and PyTorch's defaults (its momentum 0.1 is Keras' 0.9).
    assert (spec.stem_activation, spec.bn_momentum, spec.bn_epsilon) == ("relu", 0.9, 1e-5)


def test_amc_v2_profile():
    _, stem, *channels, last = map(int, AMC_V2_CHANNELS.split())
    spec = specs.get_spec("v2", profile="0.7flops")
    outputs, expansions = channels[0::2], [stem, *channels[1::2]]
    assert [row.filters for row in spec.rows] == outputs
    assert [row.exp_size for row in spec.rows] == expansions
    assert [row.stride for row in spec.rows] == [int(s) for s in AMC_V2_STRIDES.split()]
    assert {(r.kernel_size, r.use_se, r.activation) for r in spec.rows} == {(3, False, "relu6")}
    assert (spec.stem_filters, spec.last_filters) == (stem, last)
    assert (spec.bn_momentum, spec.bn_epsilon) == (0.9, 1e-5)


def test_amc_v2_widths_reach_the_layers():
    """The table keeps expansions as widths, the layout as ratios: none may be rounded away."""
    _, stem, *channels, _ = map(int, AMC_V2_CHANNELS.split())
    blocks = build_layout(specs.get_spec("v2", profile="0.7flops")).blocks
    assert [block.expanded_filters for block in blocks] == [stem, *channels[1::2]]
    assert [block.expand for block in blocks] == [False] + 16 * [True]


@pytest.mark.parametrize(
    "spec",
    [specs.V1, specs.V2, specs.V3_LARGE, specs.V3_SMALL]
    + [profile for profiles in specs.PROFILES.values() for profile in profiles.values()],
    ids=lambda spec: spec.name,
)
def test_strides_multiply_to_32(spec):
    assert 2 * 2 ** sum(row.stride == 2 for row in spec.rows) == 32
    assert {row.stride for row in spec.rows} == {1, 2}


@pytest.mark.parametrize("spec", [specs.V3_LARGE, specs.V3_SMALL], ids=lambda spec: spec.name)
def test_minimalistic_changes_only_kernels_gates_and_activations(spec):
    result = specs.minimalistic(spec)
    assert {(r.kernel_size, r.use_se, r.activation) for r in result.rows} == {(3, False, "relu")}
    assert [(r.exp_size, r.filters, r.stride) for r in result.rows] == [
        (r.exp_size, r.filters, r.stride) for r in spec.rows
    ]
    assert (result.stem_activation, result.last_activation) == ("relu", "relu")
    assert (result.last_filters, result.head_filters) == (spec.last_filters, spec.head_filters)


@pytest.mark.parametrize(
    "spec, tail, last, heads",
    [
        # exp size and filters from the last stride on (torchvision's reduced_tail).
        (specs.V3_LARGE, [(672, 80), (480, 80), (480, 80)], 480, (640, 1280)),
        (specs.V3_SMALL, [(288, 48), (288, 48), (288, 48)], 288, (512, 1024)),
    ],
    ids=["large", "small"],
)
def test_reduced_tail(spec, tail, last, heads):
    for convention, head in zip(("torchvision", "slim"), heads):
        reduced = specs.with_reduced_tail(spec, convention)
        assert [(row.exp_size, row.filters) for row in reduced.rows[-3:]] == tail
        assert reduced.rows[:-3] == spec.rows[:-3]
        assert (reduced.last_filters, reduced.head_filters) == (last, head)


@pytest.mark.parametrize(
    "value, expected",
    [(12, 16), (33.6, 32), (8.93, 16), (1, 8), (8, 8), (8.8, 8), (20, 24), (11.9, 16), (72, 72)],
)
def test_make_divisible_by_8_and_not_below_90_percent(value, expected):
    assert make_divisible(value) == expected


def test_make_divisible_by_another_number():
    assert make_divisible(10, 4) == 12
    assert make_divisible(9, 4) == 12  # 8 would be 89 %
    assert make_divisible(9, 3) == 9


@pytest.mark.parametrize(
    "arguments, expected",
    [
        (("v1",), specs.V1),
        (("v2",), specs.V2),
        (("v3",), specs.V3_SMALL),
        (("v3", "small"), specs.V3_SMALL),
        (("v3", "large"), specs.V3_LARGE),
        (("v3", "large", True), specs.minimalistic(specs.V3_LARGE)),
        (("v1", None, False, "0.5time"), specs.AMC_V1_HALF_TIME),
        (
            ("v3", "small", False, None, "slim"),
            specs.with_reduced_tail(specs.V3_SMALL, "slim"),
        ),
    ],
)
def test_get_spec(arguments, expected):
    assert specs.get_spec(*arguments) == expected


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"version": "v4"}, r"^version must be one of v1, v2, v3\. Received: version=v4$"),
        (
            {"version": "v1", "size": "small"},
            r"^only version v3 has size; .*version=v1, size=small",
        ),
        ({"version": "v2", "use_minimalistic": True}, r"^only version v3 has minimalistic; "),
        ({"version": "v1", "reduced_tail": "slim"}, r"^only version v3 has reduced-tail; .*=slim"),
        ({"version": "v3", "size": "tiny"}, r"^size must be one of small, large\. .*size=tiny"),
        ({"version": "v1", "profile": "0.7flops"}, r"^profile must be one .*v1, profile=0\.7flops"),
        ({"version": "v3", "profile": "amc"}, r"^profile must be one .*v3: none.*profile=amc"),
    ],
)
def test_get_spec_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        specs.get_spec(**arguments)


@pytest.mark.parametrize("spec", [specs.V1, specs.V2], ids=lambda spec: spec.name)
def test_only_v3_has_a_reduced_tail(spec):
    with pytest.raises(ValueError, match=r"^only V3 has a reduced tail; .*Received: spec=v"):
        specs.with_reduced_tail(spec, "slim")
