"""Tests of the counts, against the ones of keras.applications and of the papers."""

import csv
import pathlib
import re

import pytest

from mobilenet_tf import specs
from mobilenet_tf.complexity import complexity, main

GOLDEN = pathlib.Path(__file__).parent / "data" / "golden_counts.csv"

SPECS = {
    "v1": specs.V1,
    "v2": specs.V2,
    "v3_large": specs.V3_LARGE,
    "v3_small": specs.V3_SMALL,
    "v3_large_minimalistic": specs.minimalistic(specs.V3_LARGE),
    "v3_small_minimalistic": specs.minimalistic(specs.V3_SMALL),
}


def golden_rows() -> list[dict[str, str]]:
    with open(GOLDEN, encoding="utf-8") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


def test_golden_file_is_whole():
    """V1 4 widths x 4 sizes; V2 6 widths and 4 sizes; V3 2 x (5 widths + 1 + 5 sizes)."""
    keys = {(row["network"], row["alpha"], row["image_size"]) for row in golden_rows()}
    assert len(keys) == len(golden_rows()) == 16 + 10 + 2 * 11


@pytest.mark.parametrize(
    "row", golden_rows(), ids=lambda row: f"{row['network']}-{row['alpha']}-{row['image_size']}"
)
def test_counts_equal_keras(row):
    spec, alpha, size = SPECS[row["network"]], float(row["alpha"]), int(row["image_size"])
    result = complexity(spec, alpha, size)
    assert result.trainable_parameters == int(row["trainable"])
    assert result.parameters == int(row["total"])
    assert result.macs == int(row["macs"])
    assert complexity(spec, alpha, size, classes=None).parameters == int(row["no_top"])


@pytest.mark.parametrize(
    "network, macs", [("v1", 569e6), ("v2", 300e6), ("v3_large", 219e6), ("v3_small", 56e6)]
)
def test_macs_are_those_of_the_papers(network, macs):
    assert complexity(SPECS[network]).macs == pytest.approx(macs, rel=0.02)


@pytest.mark.parametrize(
    "version, profile, parameters, macs",
    [
        # Counted in the AMC authors' PyTorch models.
        ("v1", "amc", 4_231_976, 568.74),
        ("v1", "0.5flops", 2_408_232, 293.87),
        ("v1", "0.5time", 2_279_816, 273.98),
        ("v2", "0.7flops", 2_330_272, 210.62),
    ],
)
def test_amc_counts(version, profile, parameters, macs):
    result = complexity(specs.get_spec(version, profile=profile))
    assert result.trainable_parameters == parameters
    assert round(result.macs / 1e6, 2) == macs


@pytest.mark.parametrize(
    "size, parameters, macs", [("large", 2_569_352, 182.30), ("small", 1_099_672, 43.76)]
)
def test_torchvision_reduced_tail_counts(size, parameters, macs):
    result = complexity(specs.get_spec("v3", size, reduced_tail="torchvision"))
    assert result.trainable_parameters == parameters
    assert round(result.macs / 1e6, 2) == macs


@pytest.mark.parametrize(
    "size, last, head, torchvision",
    [("large", 480, 640, 2_569_352), ("small", 288, 512, 1_099_672)],
)
def test_slim_reduced_tail_keeps_the_whole_head(size, last, head, torchvision):
    """Twice the head: `head` more filters with `last` inputs, a bias and 1000 outputs each."""
    result = complexity(specs.get_spec("v3", size, reduced_tail="slim"))
    assert result.trainable_parameters == torchvision + head * (last + 1 + 1000)


def test_first_layers_of_v1_by_hand():
    """arXiv:1704.04861, Table 1: 3x3x3x32 stride 2, then 3x3x32 dw and 1x1x32x64."""
    stem, depthwise, pointwise = complexity(specs.V1).layers[:3]
    assert (stem.output_size, stem.filters) == (112, 32)
    assert stem.trainable_parameters == 27 * 32 + 2 * 32
    assert stem.parameters == 27 * 32 + 4 * 32
    assert stem.macs == 27 * 32 * 112 * 112
    assert (depthwise.macs, pointwise.macs) == (9 * 32 * 112 * 112, 32 * 64 * 112 * 112)


def test_squeeze_excite_by_hand():
    """V3-Small's first row: 16 channels, squeezed to 8 (16 / 4 is below the minimum)."""
    layers = {layer.name: layer for layer in complexity(specs.V3_SMALL).layers}
    squeeze = layers["expanded_conv_squeeze_excite_conv"]
    excite = layers["expanded_conv_squeeze_excite_conv_1"]
    assert (squeeze.macs, squeeze.parameters) == (16 * 8, 16 * 8 + 8)
    assert (excite.macs, excite.parameters) == (8 * 16, 8 * 16 + 16)


def test_classes_change_only_the_classifier():
    spec = SPECS["v3_small"]
    difference = complexity(spec).parameters - complexity(spec, classes=10).parameters
    assert difference == 990 * (1024 + 1)


def test_odd_sizes_round_up():
    """Each stride of 2 on a "same" map: 75 -> 38 -> 19 -> 10 -> 5 -> 3."""
    assert complexity(specs.V2, image_size=75, classes=None).layers[-1].output_size == 3


def test_too_small_an_image():
    with pytest.raises(ValueError, match=r"^image size must be at least 32\. .*image_size=31$"):
        complexity(specs.V1, image_size=31)


def test_command_line_prints_the_counts(capsys):
    assert main(["--version", "v3", "--size", "small"]) == 0
    output = capsys.readouterr().out
    for number in ("2,542,856 trainable", "2,554,968 in all", "56,510,400 MACs", "last map 7x7"):
        assert number in output


def test_command_line_takes_every_network_option(capsys):
    options = ["--version", "v1", "--profile", "0.5flops", "--image-size", "32", "--last-map", "4"]
    assert main([*options, "--classes", "1000"]) == 0
    output = capsys.readouterr().out
    assert "2,408,232 trainable" in output
    assert "last map 4x4" in output


def test_command_line_lists_layers_that_add_up(capsys):
    assert main(["--version", "v2", "--layers"]) == 0
    lines = capsys.readouterr().out.splitlines()
    numbers = [re.findall(r"\S+", line)[-2:] for line in lines[1:-1]]
    parameters, macs = ([int(n.replace(",", "")) for n in column] for column in zip(*numbers))
    assert (sum(parameters), sum(macs)) == (3_538_984, 300_774_272)


@pytest.mark.parametrize(
    "argv, message",
    [
        (["--version", "v4"], "invalid choice"),
        (["--version", "v1", "--alpha", "0"], "above 0. Received: 0"),
        (["--version", "v1", "--alpha", "nan"], "above 0. Received: nan"),
        (["--version", "v1", "--image-size", "31"], "from 32 to 4096. Received: 31"),
        (["--version", "v1", "--classes", "0"], "at least 1. Received: 0"),
        (["--version", "v1", "--unknown"], "unrecognized arguments: --unknown"),
    ],
)
def test_wrong_options_are_one_line_and_exit_code_2(argv, message, capsys):
    with pytest.raises(SystemExit) as error:
        main(argv)
    assert error.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and message in lines[0]


@pytest.mark.parametrize(
    "argv, message",
    [
        ([], "--version is required"),
        (["--version", "v1", "--size", "small"], "only version v3 has size"),
        (["--version", "v3", "--profile", "amc"], "profile must be one"),
    ],
)
def test_options_that_do_not_belong_together_give_2(argv, message, capsys):
    assert main(argv) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and message in lines[0]
