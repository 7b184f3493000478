"""Equalized hard-swishes: the same function, channels of one size."""

import dataclasses

import numpy as np
import pytest

from export.compute import probabilities
from export.folding import integer_form
from export.graph import Graph, Node, rewrite
from export.inspection.partitions import count_partitions
from export.keras_graph import from_keras
from export.quantization import quantizer, scale_choice
from export.quantization.calibration import channel_maxima
from export.quantization.divergence import mean_divergence
from export.quantization.fake import quantized_probabilities
from export.quantization.swish_equalization import (
    equalize_swishes,
    swish_factors,
    swish_streams,
)
from export.recipes import RECIPES
from export.writer import write_tflite
from mobilenet_tf import specs
from mobilenet_tf.models import ModelOptions, build_model

IMAGES = np.random.default_rng(5).integers(0, 256, (16, 32, 32, 3), np.uint8)
LARGE = 3  # The channel that training let grow.


# By hand, from the papers' tables: V3-Large's first block is not expanded and keeps the 16
# channels of the stem, so its input is added to its output; V3-Small's halves the map.
NETWORKS = {
    "v3_small": (specs.V3_SMALL, ["expanded_conv_depthwise"], []),
    "v3_large": (
        specs.V3_LARGE,
        ["expanded_conv_depthwise", "expanded_conv_1_expand"],
        ["expanded_conv_project"],
    ),
}


@pytest.fixture(scope="module", params=NETWORKS)
def hostile(request, randomize, normalize) -> Graph:
    """A network whose first hard-swish has one channel twenty times larger than the others.

    The kernels behind it make up for that, as BatchNorm there lets them.
    """
    spec, readers, _ = NETWORKS[request.param]
    options = ModelOptions((32, 32, 3), 0.35, classes=5, last_map=2)
    model = normalize(randomize(build_model(spec, options)), IMAGES)

    def grown(node):
        if node.name not in ("conv", *readers):
            return [node]
        kernel, bias = (array.copy() for array in node.numbers())
        if node.name == "conv":
            kernel[..., LARGE] *= 20
            bias[LARGE] *= 20
        else:
            kernel[:, :, LARGE] /= 20
        return [dataclasses.replace(node, kernel=kernel, bias=bias)]

    return rewrite(integer_form(from_keras(model)), grown)


def _kind(graph: Graph) -> str:
    return (
        "v3_large" if any(node.name == "expanded_conv_add" for node in graph.nodes) else "v3_small"
    )


def test_channels_pass_through_the_addition(hostile):
    _, readers, raised = NETWORKS[_kind(hostile)]
    stream = swish_streams(hostile)["conv_hard_swish"]
    assert sorted(stream.readers) == readers and list(stream.raised) == raised


def test_the_function_stays_and_channels_are_alike(hostile):
    equalized = equalize_swishes(hostile, swish_factors(hostile, IMAGES))
    np.testing.assert_allclose(
        probabilities(equalized, IMAGES), probabilities(hostile, IMAGES), atol=1e-5
    )
    name = "conv_hard_swish"
    before, after = (channel_maxima(g, IMAGES, {name})[name] for g in (hostile, equalized))
    assert before.max() > 8 * np.median(before)
    gate = equalized["conv_hard_swish_gate"]
    assert gate.op == "depthwise" and gate.activation == "relu6"
    assert np.all(gate.numbers()[1] == 3.0)
    # By hand: the gate of a channel that was made f times as large divides by f and adds 3.
    np.testing.assert_allclose(gate.numbers()[0].reshape(-1), before / after, rtol=1e-3)
    if _kind(hostile) == "v3_small":  # Its only reader is depthwise.
        np.testing.assert_allclose(after, np.median(before), rtol=1e-3)
    else:  # A full convolution reads it, too: halfway, as far as the sum asks for no more.
        assert after.max() / np.median(after) < 1.5 * np.sqrt(before.max() / np.median(before))


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
    assert partitions.count == 1 and partitions.outside == {}


def test_what_a_factor_cannot_pass_stops_it():
    shape, eye = (2, 2, 4), np.eye(4, dtype=np.float32).reshape(1, 1, 4, 4)
    zeros = np.zeros(4, np.float32)

    def conv(name: str, source: str) -> Node:
        return Node(name, "conv", (source,), shape, eye, zeros)

    swish = (
        Node("image", "input", (), shape),
        conv("first", "image"),
        Node("gate", "gate", ("first",), shape),
        Node("product", "multiply", ("first", "gate"), shape),
        conv("beside", "image"),
    )

    def streams(*rest: Node) -> dict:
        return swish_streams(Graph((*swish, *rest)))

    add = Node("sum", "add", ("product", "beside"), shape)
    assert streams(conv("last", "product"))["product"].tensors == ("product",)
    assert streams(add, conv("last", "sum"))["product"].tensors == ("product", "sum")
    # A second residual block on the same stream: its output is raised, too.
    chained = streams(
        add, conv("block", "sum"), Node("sum2", "add", ("sum", "block"), shape), conv("z", "sum2")
    )["product"]
    assert chained.raised == ("beside", "block") and chained.readers == ("block", "z")
    assert not streams(dataclasses.replace(add, activation="relu"), conv("last", "sum"))
    assert not streams(Node("pool", "mean", ("product",), (1, 1, 4)))
    assert not streams(add, conv("last", "sum"), conv("other", "beside"))  # Read elsewhere, too.
    assert not streams(Node("sum", "add", ("product", "image"), shape), conv("last", "sum"))


def test_channels_of_one_size_are_left_alone(randomize, normalize):
    options = ModelOptions((32, 32, 3), 0.35, classes=5, last_map=2)
    for spec in (specs.V1, specs.minimalistic(specs.V3_SMALL)):  # No hard-swish in them.
        graph = integer_form(from_keras(normalize(randomize(build_model(spec, options)), IMAGES)))
        assert not swish_factors(graph, IMAGES)
