"""Second copies of channels in dead ones: the same function, half the rounding step."""

import numpy as np
import pytest

from export.compute import probabilities
from export.folding import integer_form
from export.graph import Graph, Node
from export.keras_graph import from_keras
from export.quantization import channel_copies
from export.quantization.channel_copies import copy_channels
from export.quantization.fake import rounding
from export.quantization.scales import Quantization, TensorScale
from mobilenet_tf import specs
from mobilenet_tf.models import ModelOptions, build_model

RNG = np.random.default_rng(2)
IMAGES = RNG.integers(0, 256, (24, 4, 4, 1), np.uint8)


def _node(name: str, op: str, reads: str, shape: tuple, kernel, bias, **settings) -> Node:
    kernel, bias = np.array(kernel, np.float32), np.array(bias, np.float32)
    return Node(name, op, (reads,), shape, kernel=kernel, bias=bias, **settings)


def _graph(first_bias: tuple = (1.0, -1.0), reader_bias: tuple = (0.5, 0.25)) -> Graph:
    """Brightness in channel 0, nothing in channel 1; two classes."""
    shape = (4, 4, 2)
    nodes = (
        Node("image", "input", (), (4, 4, 1)),
        _node("first", "conv", "image", shape, [[[[0.01, 0.0]]]], first_bias, activation="relu6"),
        _node(
            "depthwise", "depthwise", "first", shape, [[[[1.0], [3.0]]]], reader_bias,
            activation="relu6",
        ),
        _node("last", "conv", "depthwise", shape, [[[[2.0, -2.0], [7.0, 1.0]]]], (0.0, 0.1)),
        Node("mean", "mean", ("last",), (1, 1, 2)),
        Node("logits", "reshape", ("mean",), (2,)),
        Node("softmax", "softmax", ("logits",), (2,)),
    )  # fmt: skip
    return Graph(nodes)


def test_a_copy_by_hand():
    graph = _graph()
    copied, count = copy_channels(graph, IMAGES, seed=0)
    assert count == 1
    # Channel 0 reaches 0.01 * 255 + 1 at most; half a 255th of that lies between the two.
    half = (0.01 * IMAGES.max() + 1) / 510
    kernel, bias = copied["first"].numbers()
    assert kernel.reshape(-1).tolist() == pytest.approx([0.01, 0.01])
    assert bias[0] == 1 and abs(bias[1] - 1) == pytest.approx(half, rel=1e-4)
    up = bias[1] - 1
    kernel, bias = copied["depthwise"].numbers()
    assert kernel.reshape(-1).tolist() == [1.0, 1.0]
    second_half = (0.01 * IMAGES.max() + 1.5) / 510
    further = bias[1] - (0.5 - up)
    assert abs(further) == pytest.approx(second_half, rel=1e-3)
    kernel, bias = copied["last"].numbers()
    assert kernel.reshape(2, 2).tolist() == [[1.0, -1.0], [1.0, -1.0]]
    # What channel 1 gave before: relu6(0.25) times its kernel; less the offset of the copy.
    assert bias == pytest.approx([1.75 - further, 0.1 + 0.25 + further], abs=1e-6)


def test_two_copies_have_half_the_step():
    graph = _graph()
    copied, _ = copy_channels(graph, IMAGES, seed=0)
    np.testing.assert_allclose(
        probabilities(copied, IMAGES), probabilities(graph, IMAGES), atol=1e-6
    )
    # All brightnesses; integers hold `first` only, on a scale that nothing lines up with.
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[:, None, None, None], 16).reshape(256, 4, 4, 1)
    scale = Quantization({"first": TensorScale.of_range(0.0, 0.01 * int(IMAGES.max()) + 1)})

    def spread(one: Graph) -> float:
        logits = Graph(one.nodes[:-1])
        rounded = probabilities(logits, ramp, rounding(one, scale))
        return float(np.std(rounded - probabilities(logits, ramp)))

    assert spread(copied) / spread(graph) == pytest.approx(0.5, abs=0.1)


def test_channels_that_are_cut_off_are_not_copied():
    # Half of the pixels are below 128: 0.01 * 128 - 1.28 = 0.
    graph = _graph(first_bias=(-1.28, -1.0))
    assert copy_channels(graph, IMAGES, seed=0) == (graph, 0)


@pytest.mark.parametrize(
    "bias", [(1.0, 0.001), (1.0, 1.0)], ids=["rounds to something", "is active"]
)
def test_living_channels_are_left_alone(bias):
    graph = _graph(first_bias=bias)
    lively = [
        *graph.nodes[:1],
        _node("first", "conv", "image", (4, 4, 2), [[[[0.01, 2e-4]]]], bias, activation="relu6"),
        *graph.nodes[2:],
    ]
    graph = Graph(tuple(lively))
    copied, count = copy_channels(graph, IMAGES, seed=0)
    assert copied is graph and count == 0


def test_a_last_convolution_that_is_the_next_ones_first(randomize, normalize, monkeypatch):
    monkeypatch.setattr(channel_copies, "_LEAST_INSIDE", 0.95)  # So that channel 0 is copied.
    images = RNG.integers(0, 256, (8, 32, 32, 3), np.uint8)
    options = ModelOptions((32, 32, 3), 0.25, classes=5, last_map=2)
    model = normalize(randomize(build_model(specs.V1, options)), images)
    graph = integer_form(from_keras(model))
    stacks = channel_copies._stacks(graph)
    # 13 depthwise convolutions, and the last one has no depthwise one behind it.
    assert [stack.depthwise.name for stack in stacks] == [f"conv_dw_{i}" for i in range(1, 14)]
    for stack in stacks[:2]:
        stack.first.kernel[..., 3], stack.first.bias[3] = 0.0, -1.0
        # One channel that no activation cuts off.
        stack.first.kernel[..., 0] *= 0.01
        stack.depthwise.kernel[:, :, 0] = 1 / 9
        stack.first.bias[0], stack.depthwise.bias[0] = 3.0, 1.0
    copied, count = copy_channels(graph, images, seed=0)
    assert count == 2
    np.testing.assert_allclose(
        probabilities(copied, images), probabilities(graph, images), atol=2e-3
    )
    for stack in stacks[:2]:  # Both have a part in their common convolution.
        before, after = (g[stack.last.name].numbers()[0][0, 0] for g in (graph, copied))
        assert len(np.unique(after, axis=0)) < len(np.unique(before, axis=0)) == len(before)
