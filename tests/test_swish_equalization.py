"""Equalized hard-swishes: the same function, channels of one size."""

import dataclasses

import numpy as np
import pytest

from export.compute import probabilities
from export.folding import integer_form
from export.graph import Graph, rewrite
from export.inspection.partitions import count_partitions
from export.keras_graph import from_keras
from export.quantization import quantizer, scale_choice
from export.quantization.calibration import channel_maxima
from export.quantization.divergence import mean_divergence
from export.quantization.fake import quantized_probabilities
from export.quantization.swish_equalization import equalize_swishes, swish_factors
from export.recipes import RECIPES
from export.writer import write_tflite
from mobilenet_tf import specs
from mobilenet_tf.models import ModelOptions, build_model

IMAGES = np.random.default_rng(5).integers(0, 256, (16, 32, 32, 3), np.uint8)
LARGE = 3  # The channel that training let grow.


@pytest.fixture(scope="module")
def hostile(randomize, normalize) -> Graph:
    """V3-Small, whose first hard-swish has one channel twenty times larger than the others.

    The depthwise kernel behind it makes up for that, as BatchNorm there lets it.
    """
    options = ModelOptions((32, 32, 3), 0.35, classes=5, last_map=2)
    model = normalize(randomize(build_model(specs.V3_SMALL, options)), IMAGES)

    def grown(node):
        if node.name not in ("conv", "expanded_conv_depthwise"):
            return [node]
        kernel, bias = (array.copy() for array in node.numbers())
        if node.name == "conv":
            kernel[..., LARGE] *= 20
            bias[LARGE] *= 20
        else:
            kernel[:, :, LARGE] /= 20
        return [dataclasses.replace(node, kernel=kernel, bias=bias)]

    return rewrite(integer_form(from_keras(model)), grown)


def test_the_function_stays_and_channels_are_alike(hostile):
    equalized = equalize_swishes(hostile, swish_factors(hostile, IMAGES))
    np.testing.assert_allclose(
        probabilities(equalized, IMAGES), probabilities(hostile, IMAGES), atol=1e-5
    )
    name = "conv_hard_swish"
    before, after = (channel_maxima(g, IMAGES, {name})[name] for g in (hostile, equalized))
    assert before.max() > 8 * np.median(before)
    np.testing.assert_allclose(after, np.median(before), rtol=1e-3)  # Its reader is depthwise.
    gate = equalized["conv_hard_swish_gate"]
    assert gate.op == "depthwise" and gate.activation == "relu6"
    # By hand: the gate of a channel that was made f times as large divides by f and adds 3.
    factor = np.median(before) / before
    np.testing.assert_allclose(gate.numbers()[0].reshape(-1), 1 / factor, rtol=1e-3)
    assert np.all(gate.numbers()[1] == 3.0)


def test_int8_gains_and_stays_one_partition(hostile, tmp_path):
    chosen = scale_choice.choose_form_and_scales(hostile, IMAGES, seed=0)
    assert "conv_hard_swish" in chosen.form.swishes
    quantized = quantizer.quantize_graph(chosen)
    plain = quantizer.quantize_graph(scale_choice.choose_scales(hostile, IMAGES, 8, seed=0))
    expected = probabilities(hostile, IMAGES)

    def error(found: quantizer.Quantized) -> float:
        scores = quantized_probabilities(found.graph, found.quantization, IMAGES)
        return mean_divergence(expected, scores)

    assert error(quantized) < 0.5 * error(plain)
    path = tmp_path / "model.tflite"
    path.write_bytes(write_tflite(quantized.graph, RECIPES["int8"], quantized.quantization, ""))
    partitions = count_partitions(str(path))
    assert partitions.count == 1 and partitions.outside == {"QUANTIZE": 1}


def test_channels_of_one_size_are_left_alone(randomize, normalize):
    options = ModelOptions((32, 32, 3), 0.35, classes=5, last_map=2)
    for spec in (specs.V1, specs.minimalistic(specs.V3_SMALL)):  # No hard-swish in them.
        graph = integer_form(from_keras(normalize(randomize(build_model(spec, options)), IMAGES)))
        assert not swish_factors(graph, IMAGES)
