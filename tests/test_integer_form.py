"""What files of integers do otherwise than the graph they are made of: the image, wide gates."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from export.graph import Graph, Node
from export.inspection.file_graph import read_graph
from export.inspection.partitions import count_partitions
from export.quantization.scales import Quantization, TensorScale
from export.recipes import RECIPES
from export.wide_gates import widen_gates
from export.writer import write_tflite
from mobilenet_tf.runtime import TFLiteModel
from tests.graphs import conv

RNG = np.random.default_rng(5)
_STEP = 2.0  # Of the outputs below: as fine as int8 holds them.


def _ops(content: bytes) -> list[str]:
    return [op.name for op in read_graph(content).ops]


def _names(graph: Graph) -> list[str]:
    return [node.name for node in graph.nodes]


def _predict(content: bytes, images: np.ndarray, path) -> np.ndarray:
    path.write_bytes(content)
    return np.stack(list(TFLiteModel(str(path)).predict(images)))


def _first_layer(size, kernel, stride, dilation=1, padding="same", op="conv"):
    """image, shift, one convolution, flattened; what tf.nn computes belongs beside it."""
    height, width = size
    stored = RNG.integers(-127, 128, kernel)
    stored[0, 0, 0] = 127  # So that the scale of each channel is 1/127.
    weights = (stored / 127).astype(np.float32)
    channels = kernel[-1] if op == "conv" else kernel[-2]
    if op == "depthwise":
        weights[0, 0, :, :] = 1.0
    # Whole steps of its own scale, 1/127.
    bias = (RNG.integers(-20 * 127, 20 * 127, channels) / 127).astype(np.float32)
    image = RNG.integers(0, 256, (2, height, width, 3), np.uint8)
    shifted = image.astype(np.float32) - 128
    convolve = tf.nn.conv2d if op == "conv" else tf.nn.depthwise_conv2d
    strides = stride if op == "conv" else [1, stride, stride, 1]
    expected = convolve(shifted, weights, strides, padding.upper(), dilations=[dilation] * 2)
    expected = expected.numpy() + bias
    shape = expected.shape[1:]
    layer = Node("conv", op, ("shift",), shape, weights, bias, stride, dilation, padding)
    nodes = (
        Node("image", "input", (), (height, width, 3)),
        Node("shift", "shift", ("image",), (height, width, 3), offset=-128.0),
        layer,
        Node("flatten", "reshape", ("conv",), (int(np.prod(shape)),)),
    )
    scales = {
        "image": TensorScale(1.0, -128),
        "shift": TensorScale(1.0, 0),
        "conv": TensorScale(_STEP, 0),
        "flatten": TensorScale(_STEP, 0),
    }
    limits = _STEP * -128, _STEP * 127
    return (
        Graph(nodes),
        Quantization(scales),
        image,
        np.clip(expected, *limits).reshape(len(image), -1),
    )


@pytest.mark.parametrize(
    "size, options",
    [
        ((8, 8), {"kernel": (3, 3, 3, 4), "stride": 2}),  # Padded after the image only.
        ((7, 9), {"kernel": (3, 3, 3, 4), "stride": 2}),  # On all sides.
        ((8, 9), {"kernel": (3, 3, 3, 4), "stride": 1}),
        ((6, 4), {"kernel": (3, 1, 3, 2), "stride": 1}),
        ((8, 8), {"kernel": (3, 3, 3, 2), "stride": 1, "dilation": 2}),
        ((8, 8), {"kernel": (3, 3, 3, 2), "stride": 2, "padding": "valid"}),
        ((8, 8), {"kernel": (3, 3, 3, 1), "stride": 2, "op": "depthwise"}),
    ],
)
def test_bytes_are_shifted_exactly_and_inside_xnnpack(size, options, tmp_path):
    graph, quantization, images, expected = _first_layer(size, **options)
    content = write_tflite(graph, RECIPES["int8"], quantization, "")
    # From uint8 to int8 by way of floats: XNNPACK takes no QUANTIZE from one to the other.
    assert _ops(content)[:3] == ["DEQUANTIZE", "QUANTIZE", "ADD"]
    found = _predict(content, images, tmp_path / "x.tflite")
    np.testing.assert_allclose(found, expected, atol=_STEP / 2 + 1e-3)
    partitions = count_partitions(str(tmp_path / "x.tflite"))
    assert partitions.count == 1 and partitions.outside == {}


def _gated(shape, channels_of_gate):
    """image (a feature map), a gate from one pixel's worth of it, their product, flattened."""
    height, width, channels = shape
    kernel = RNG.integers(-127, 128, (1, 1, channels, channels_of_gate))
    kernel[0, 0, 0] = 127
    kernel = (kernel / 127 / 64).astype(np.float32)
    bias = RNG.uniform(-1, 1, channels_of_gate).astype(np.float32)
    first = np.eye(3, channels, dtype=np.float32)[np.newaxis, np.newaxis]
    features = conv("features", "image", first, np.zeros(channels), shape)
    excite = conv("gate", "pool", kernel, bias + 3, (1, 1, channels_of_gate))
    nodes = (
        Node("image", "input", (), (height, width, 3)),
        features,
        Node("pool", "mean", ("features",), (1, 1, channels)),
        dataclasses.replace(excite, activation="relu6"),
        Node("product", "multiply", ("features", "gate"), shape),
        Node("flatten", "reshape", ("product",), (height * width * channels,)),
    )
    bytes_, gate = TensorScale(1.0, -128), TensorScale(6 / 255, -128)
    product = TensorScale(6.0, -128)
    scales = {name: bytes_ for name in ("image", "features", "pool")}
    scales |= {"gate": gate, "product": product}
    return Graph(nodes), Quantization({**scales, "flatten": product})


@pytest.mark.parametrize("shape", [(5, 6, 4), (2, 64, 16), (2, 10, 33)])
def test_gates_of_few_channels_are_repeated_for_a_row(shape, tmp_path):
    graph, quantization = _gated(shape, shape[-1])
    images = RNG.integers(0, 256, (3, *shape[:2], 3), np.uint8)
    content = write_tflite(graph, RECIPES["int8"], quantization, "")
    tensors = {tensor.name: tensor for tensor in read_graph(content).tensors}
    assert tuple(tensors["gate"].shape) == (1, 1, *shape[1:])
    # By hand: relu6(x + 3) of the pooled bytes, times the bytes.
    kernel, bias = graph["gate"].numbers()
    features = np.zeros((3, *shape), np.float32)
    features[..., :3] = images
    pooled = np.round(features.mean(axis=(1, 2)))
    gate = np.clip(pooled @ kernel[0, 0] + bias, 0, 6)
    expected = (features * gate[:, np.newaxis, np.newaxis]).reshape(3, -1)
    found = _predict(content, images, tmp_path / "x.tflite")
    # Half a step of the product, and of the gate; the pooled byte may be rounded the other way.
    limit = 3 + 255 * (6 / 255 / 2 + np.abs(kernel).max()) + 1e-3
    np.testing.assert_allclose(found, expected, atol=limit)
    assert np.abs(found - expected).mean() < 3


def test_gates_of_many_channels_stay():
    graph, quantization = _gated((2, 4, 64), 64)
    found, _ = widen_gates(graph, quantization)
    assert _names(found) == _names(graph)


def test_gates_in_float_stay():
    graph, quantization = _gated((2, 4, 16), 16)
    for name in ("product", "gate"):
        in_float = Quantization(quantization.scales, frozenset({name}))
        assert _names(widen_gates(graph, in_float)[0]) == _names(graph)
    assert _names(widen_gates(graph, Quantization())[0]) == _names(graph)
