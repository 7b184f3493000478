"""Equalized channels: the same function, better spread."""

import dataclasses

import numpy as np
import pytest

from export.compute import probabilities
from export.form import export_form
from export.graph import Graph, Node
from export.keras_graph import from_keras
from export.quantization.calibration import channel_maxima
from export.quantization.equalization import equalize
from mobilenet_tf import specs
from mobilenet_tf.models import ModelOptions, build_model

IMAGES = np.random.default_rng(5).integers(0, 256, (6, 32, 32, 3), np.uint8)


@pytest.mark.parametrize("minimalistic", [False, True], ids=["v2", "v3 minimalistic"])
def test_the_function_stays(minimalistic, randomize):
    spec = specs.get_spec("v3", "small", True) if minimalistic else specs.V2
    model = randomize(build_model(spec, ModelOptions((32, 32, 3), 0.35, classes=5, last_map=2)))
    graph = export_form(from_keras(model), "split")
    equalized = equalize(graph, IMAGES)
    # On the images that told the maxima, ReLU6 cuts nothing off that it did not before.
    expected = probabilities(graph, IMAGES)
    np.testing.assert_allclose(probabilities(equalized, IMAGES), expected, atol=1e-4)
    pair = "block_1_expand" if not minimalistic else "expanded_conv_1_expand"
    before, after = (channel_maxima(g, IMAGES, {pair})[pair] for g in (graph, equalized))
    assert (after.max() / np.maximum(after, 1e-3)).mean() < (
        before.max() / np.maximum(before, 1e-3)
    ).mean()


def test_factors_by_hand():
    # Two channels that reach 4 and 1: the second grows fourfold for a depthwise
    # reader, and that one's kernel shrinks as much.
    first = Node(
        "a",
        "conv",
        ("image",),
        (1, 1, 2),
        kernel=np.array([[[[4.0, 1.0]]]], np.float32),
        bias=np.zeros(2, np.float32),
        activation="relu",
    )
    second = Node(
        "b",
        "depthwise",
        ("a",),
        (1, 1, 2),
        kernel=np.ones((1, 1, 2, 1), np.float32),
        bias=np.zeros(2, np.float32),
    )
    graph = Graph((Node("image", "input", (), (1, 1, 1)), first, second))
    ones = np.ones((1, 1, 1, 1), np.uint8)
    equalized = equalize(graph, ones)
    assert equalized["a"].numbers()[0].reshape(-1).tolist() == [4.0, 4.0]
    assert equalized["b"].numbers()[0].reshape(-1).tolist() == [1.0, 0.25]
    # ReLU6 leaves room for 6 / 1.25 = 4.8 only: a channel that reached 6 stays.
    relu6 = dataclasses.replace(
        first, kernel=np.array([[[[6.0, 1.0]]]], np.float32), activation="relu6"
    )
    factors = equalize(Graph((graph.nodes[0], relu6, second)), ones)["a"].numbers()[0].reshape(-1)
    assert factors.tolist() == pytest.approx([6.0, 4.8])


def test_nothing_to_equalize_gives_the_same_graph():
    graph = Graph((Node("image", "input", (), (1, 1, 1)),))
    assert equalize(graph, np.zeros((1, 1, 1, 1), np.uint8)) is graph
