"""Scales, ranges, corrected biases and the files that hold them."""

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from graphs import pointwise

from export.compute import probabilities
from export.flatbuffer import read_model
from export.form import round_shift
from export.graph import Graph, Node
from export.quantization import (
    activation_scales,
    calibration,
    correction,
    quantizer,
    ranges,
    scale_choice,
)
from export.quantization.fake import quantized_probabilities
from export.quantization.layer_costs import layer_costs
from export.quantization.ranges import BINS, Histogram
from export.quantization.scales import (
    Quantization,
    TensorScale,
    kernel_scales,
    quantize,
    quantize_kernel,
    stored_weights,
)
from export.recipes import RECIPES
from export.writer import write_tflite
from mobilenet_tf.runtime import TFLiteModel

IMAGES = np.random.default_rng(1).integers(0, 256, (12, 2, 2, 3), np.uint8)
WEIGHTS = np.random.default_rng(2).normal(0, 0.02, (3, 4))


def test_scale_of_a_range_by_hand():
    scale = TensorScale.of_range(-1.0, 1.55)  # 2.55 over 255 steps.
    assert scale.scale == pytest.approx(0.01) and scale.zero_point == -28
    assert TensorScale.of_range(0.0, 255.0) == TensorScale(1.0, -128)
    assert TensorScale.of_range(3.0, 5.1).real_range[0] == 0.0  # 0 is always inside.
    assert TensorScale.of_range(-2.0, 1.0, 16) == TensorScale(np.float32(2 / 32767), 0, 16)
    with pytest.raises(ValueError, match="Received: nan"):
        TensorScale.of_range(np.nan, 1.0)


def test_quantize_rounds_and_clips():
    scale = TensorScale(0.5, 10)
    stored = quantize(np.array([0.0, 0.6, -100.0, 100.0]), scale)
    assert stored.tolist() == [10, 11, -128, 127] and stored.dtype == np.int8


def test_kernel_scales_are_per_output_channel():
    kernel = np.zeros((1, 1, 2, 3), np.float32)
    kernel[0, 0, :, 0], kernel[0, 0, :, 1] = [1.27, -0.5], [-2.54, 1.0]
    scales = kernel_scales(kernel)
    assert scales[:2] == pytest.approx([0.01, 0.02]) and scales[2] > 0
    assert quantize_kernel(kernel, scales)[0, 0].tolist() == [[127, -127, 0], [-50, 50, 0]]


def _histogram(values: np.ndarray) -> Histogram:
    low, high = float(values.min()), float(values.max())
    counts, _ = np.histogram(values, BINS, (low, high))
    return Histogram(low, high, counts.astype(float))


def test_estimators_cut_off_an_outlier():
    # 100,000 values up to 1, five of 100: covering all leaves three steps for the bulk.
    values = np.concatenate([np.linspace(0, 1, 100_000), np.full(5, 100.0)])
    histogram = _histogram(values)
    assert ranges.min_max(histogram) == (0.0, 100.0)
    for estimate in (ranges.percentile_9999, ranges.percentile_999):
        low, high = estimate(histogram)
        assert low == 0.0 and high < 1.1
    low, high = ranges.mean_squared_error(histogram)
    assert high < 100.0


def test_percentile_by_hand():
    # Even from 0 to 1: half of a thousandth is cut off at each end.
    low, high = ranges.percentile_999(_histogram(np.linspace(0.0, 1.0, 1_000_001)))
    assert low == pytest.approx(0.0005, abs=3e-4) and high == pytest.approx(0.9995, abs=3e-4)


def test_percentile_keeps_an_end_with_much_mass():
    # After a ReLU, half of the values are exactly 0: that end loses nothing.
    values = np.concatenate([np.zeros(50_000), np.linspace(0, 1, 50_000)])
    assert ranges.percentile_999(_histogram(values))[0] == 0.0


def test_upper_part_by_hand():
    # Even from -10 to 30: a tenth is clipped below, a tenth of the maximum added above.
    low, high = ranges.upper_part(_histogram(np.linspace(-10.0, 30.0, 400_001)))
    assert low == pytest.approx(-6.0, abs=0.02) and high == pytest.approx(33.0, abs=0.01)


def test_logits_that_no_softmax_shows_are_clipped():
    # One class of 20 at -100: covering it has steps of 0.41, in which 5 and 5.1 are a tie.
    logits = np.concatenate([[-100.0], np.linspace(0, 4, 17), [5.0, 5.1]]).astype(np.float32)
    nodes = (
        Node("image", "input", (), (1, 1, 3)),
        Node("mean", "mean", ("image",), (1, 1, 3)),
        Node("conv", "conv", ("mean",), (1, 1, 20), np.zeros((1, 1, 3, 20), np.float32), logits),
        Node("reshape", "reshape", ("conv",), (20,)),
        Node("softmax", "softmax", ("reshape",), (20,)),
    )
    images = np.random.default_rng(0).integers(0, 256, (8, 1, 1, 3), np.uint8)
    chosen = scale_choice.choose_scales(Graph(nodes), images, 8, seed=0)
    scores = quantized_probabilities(chosen.graph, chosen.quantization, images)[0]
    assert scores[19] / scores[18] == pytest.approx(np.exp(0.1), abs=0.03)


def test_mean_squared_error_is_least_among_ranges():
    histogram = _histogram(np.random.default_rng(0).laplace(0, 1, 200_000))
    low, high = ranges.mean_squared_error(histogram)

    def error(low: float, high: float) -> float:
        step = (high - low) / 255
        x = histogram.centers
        rounded = np.clip(np.round((x - low) / step), 0, 255) * step + low
        return float((histogram.counts * (rounded - x) ** 2).sum())

    assert error(low, high) < error(histogram.low, histogram.high)
    assert error(low, high) <= error(0.5 * low, 0.5 * high)


def test_entropy_keeps_an_even_distribution_whole():
    histogram = _histogram(np.linspace(-1.0, 1.0, BINS * 50))
    low, high = ranges.entropy(histogram)
    assert high > 0.95 and low < -0.95


def test_histograms_count_every_value():
    found = calibration.histograms(pointwise(WEIGHTS, np.zeros(4)), IMAGES)
    assert found["image"].low == IMAGES.min() and found["image"].high == IMAGES.max()
    assert found["image"].counts.sum() == IMAGES.size
    assert found["rescaling"].high == IMAGES.max() - 127.5


def test_activations_that_are_not_finite_are_named():
    graph = pointwise(np.full((3, 2), 3e38), np.zeros(2))
    with pytest.raises(ValueError, match="after 'conv'"):
        calibration.histograms(graph, IMAGES)


def test_rounded_shift_moves_its_rest_into_the_bias():
    graph = round_shift(pointwise(WEIGHTS, np.zeros(4)))
    assert graph["rescaling"].offset == -128.0
    np.testing.assert_allclose(graph["conv"].numbers()[1], 0.5 * WEIGHTS.sum(axis=0), rtol=1e-5)
    np.testing.assert_allclose(
        probabilities(graph, IMAGES),
        probabilities(pointwise(WEIGHTS, np.zeros(4)), IMAGES),
        atol=1e-6,
    )


def test_bias_correction_is_the_mean_error_of_the_rounded_kernel():
    graph = round_shift(pointwise(WEIGHTS, np.zeros(4)))
    chosen = scale_choice.choose_scales(graph, IMAGES, 8, seed=0)
    means = correction.channel_means(graph, IMAGES)
    corrected = correction.correct_biases(graph, chosen.quantization, IMAGES, means)
    kernel, before = graph["conv"].numbers()
    error = _mean_error(kernel, IMAGES)
    assert np.abs(error).max() > 5e-4
    np.testing.assert_allclose(corrected["conv"].numbers()[1] - before, error, atol=1e-5)


def _mean_error(kernel: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Of rounding it; the shifted bytes are exact, so all of the error is the kernel's."""
    rounded = quantize_kernel(kernel, kernel_scales(kernel)) * kernel_scales(kernel)
    shifted = images.reshape(-1, 3).astype(np.float32) - 128.0
    return (shifted @ (kernel - rounded)[0, 0]).mean(axis=0)


def test_training_begins_with_kernels_as_they_are_and_corrected_biases():
    graph = round_shift(pointwise(WEIGHTS, np.zeros(4)))
    chosen = scale_choice.choose_scales(graph, IMAGES, 8, seed=0)
    kernel, before = graph["conv"].numbers()
    start_kernel, start_bias = quantizer.biases_corrected(chosen)["conv"].numbers()
    np.testing.assert_array_equal(start_kernel, kernel)
    error = _mean_error(kernel, chosen.fitting)
    np.testing.assert_allclose(start_bias - before, error, atol=1e-5)


@pytest.mark.parametrize("bits", [8, 16])
def test_file_says_what_the_simulation_says(bits, tmp_path):
    graph = pointwise(WEIGHTS, np.linspace(-1, 1, 4), "relu6")
    chosen = scale_choice.choose_scales(graph, IMAGES, bits, seed=0)
    quantized = quantizer.quantize_graph(chosen)
    recipe = RECIPES["int8" if bits == 8 else "int16x8"]
    path = tmp_path / "x.tflite"
    path.write_bytes(write_tflite(quantized.graph, recipe, quantized.quantization, "test"))
    scores = np.stack(list(TFLiteModel(str(path)).predict(IMAGES)))
    simulated = quantized_probabilities(quantized.graph, quantized.quantization, IMAGES)
    np.testing.assert_allclose(scores, simulated, atol=0.02 if bits == 8 else 1e-3)
    np.testing.assert_allclose(scores, probabilities(graph, IMAGES), atol=0.04)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_dead_channel_keeps_its_bias(tmp_path, bits):
    # In units of 1e-12 the bias is 3e12, far beyond 32 bits: as training leaves it in V1.
    kernel, bias = WEIGHTS.copy(), np.float32([0, 0, 0, 3])
    kernel[:, 3] = 1e-12
    graph = pointwise(kernel, bias)
    quantized = quantizer.quantize_graph(scale_choice.choose_scales(graph, IMAGES, bits, seed=0))
    recipe = RECIPES["int8" if bits == 8 else "int16x8"]
    path = tmp_path / "x.tflite"
    path.write_bytes(write_tflite(quantized.graph, recipe, quantized.quantization, "test"))
    scores = np.stack(list(TFLiteModel(str(path)).predict(IMAGES)))
    np.testing.assert_allclose(scores, probabilities(graph, IMAGES), atol=0.02)


def test_stored_weights_by_hand():
    # The first channel is dead: 3 / (0.5 * 2**30) for it; the other keeps its own, 31.75 / 127.
    kernel = np.float32([[1e-9, 31.75], [0.0, -10.1]])
    found = stored_weights(kernel, np.float32([-3.0, 3.0]), TensorScale(0.5, 0))
    np.testing.assert_allclose(found.scales, [6.0 / 2**30, 0.25], rtol=1e-6)
    np.testing.assert_allclose(found.bias_scales, [3.0 / 2**30, 0.125], rtol=1e-6)
    assert found.kernel.tolist() == [[0, 127], [0, -40]]  # 10.1 / 0.25 is 40.4.
    assert found.bias.tolist() == [-(2**30), 24]


def test_file_has_the_given_scales_names_and_alignment():
    graph = round_shift(pointwise(WEIGHTS, np.zeros(4)))
    scales = {
        "image": TensorScale(1.0, -128),
        "rescaling": TensorScale(1.0, 0),
        "conv": TensorScale(0.125, 7),
        "pool": TensorScale(0.0625, -3),
        "flatten": TensorScale(0.0625, -3),
    }
    content = write_tflite(graph, RECIPES["int8"], Quantization(scales), "test")
    assert content == write_tflite(graph, RECIPES["int8"], Quantization(scales), "test")
    subgraph = read_model(content).subgraphs[0]
    found = {t.name.decode(): t for t in subgraph.tensors}
    for name in ("conv", "pool", "flatten"):
        quantization = found[name].quantization
        assert quantization.scale[0] == np.float32(scales[name].scale)
        assert quantization.zeroPoint[0] == scales[name].zero_point
    assert found["conv_kernel"].quantization.quantizedDimension == 0
    assert found["conv_kernel"].shape.tolist() == [4, 1, 1, 3]
    assert found["conv_bias"].type == schema.TensorType.INT32
    expected = kernel_scales(graph["conv"].numbers()[0]) * np.float32(1.0)
    np.testing.assert_array_equal(found["conv_bias"].quantization.scale, expected)


def test_layers_kept_in_float_are_surrounded_by_conversions(tmp_path):
    graph = pointwise(WEIGHTS, np.zeros(4))
    chosen = scale_choice.choose_scales(graph, IMAGES, 8, seed=0)
    quantized = quantizer.quantize_graph(chosen, frozenset({"conv"}))
    content = write_tflite(quantized.graph, RECIPES["int8"], quantized.quantization, "test")
    subgraph = read_model(content).subgraphs[0]
    types = {t.name.decode(): t.type for t in subgraph.tensors}
    assert types["conv"] == types["conv_kernel"] == schema.TensorType.FLOAT32
    assert types["conv_int8"] == types["pool"] == schema.TensorType.INT8
    path = tmp_path / "x.tflite"
    path.write_bytes(content)
    scores = np.stack(list(TFLiteModel(str(path)).predict(IMAGES)))
    np.testing.assert_allclose(scores, probabilities(graph, IMAGES), atol=0.03)


def test_costs_name_the_layer_that_was_spoilt():
    graph = pointwise(WEIGHTS, np.zeros(4))
    scales = dict(scale_choice.choose_scales(graph, IMAGES, 8, seed=0).quantization.scales)
    scales["pool"] = scales["flatten"] = TensorScale(5.0, 0)  # Far too coarse.
    costs = layer_costs(round_shift(graph), Quantization(scales), IMAGES)
    assert costs[0].name == "pool" and costs[0].divergence_nats > 10 * costs[1].divergence_nats
    assert {cost.name for cost in costs} == {"image", "rescaling", "conv", "pool"}
    conv = next(cost for cost in costs if cost.name == "conv")
    assert 0 < conv.kernel_divergence_nats < costs[0].divergence_nats


def test_one_calibration_image_is_too_few():
    with pytest.raises(ValueError, match="2 images or more. Received: 1"):
        scale_choice.choose_scales(pointwise(WEIGHTS, np.zeros(4)), IMAGES[:1], 8, seed=0)


def test_scales_are_coarsened_to_what_xnnpack_takes():
    # A hard-swish on values that are all but 0: the input of the gate is far finer than its output.
    shape = (1, 1, 4)
    nodes = (
        Node("image", "input", (), shape),
        Node("gate", "gate", ("image",), shape),
        Node("swish", "multiply", ("image", "gate"), shape),
    )
    scales = {
        "image": TensorScale(1e-9, 3),
        "gate": TensorScale(6 / 255, -128),
        "swish": TensorScale(1e-6, 0),
    }
    coarser = activation_scales.for_xnnpack(Graph(nodes), scales)
    assert coarser["gate"] == scales["gate"] and coarser["swish"] == scales["swish"]
    assert 2**-10 <= coarser["image"].scale / coarser["gate"].scale < 2**-8
    fine = {name: TensorScale(0.02, 0) for name in scales}
    assert activation_scales.for_xnnpack(Graph(nodes), fine) == fine
