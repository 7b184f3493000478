"""Kernels rounded so that errors cancel on correlated inputs."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from export.graph import Node
from export.quantization.kernel_rounding import round_kernel, windows
from export.quantization.scales import kernel_scales, quantize_kernel

RNG = np.random.default_rng(5)


def convolution(op: str, kernel: np.ndarray, shape: tuple[int, ...], **options) -> Node:
    outputs = kernel.shape[3] * (kernel.shape[2] if op == "depthwise" else 1)
    return Node("conv", op, ("x",), shape, kernel, np.zeros(outputs, np.float32), **options)


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("size", [7, 8])
@pytest.mark.parametrize("stride,dilation", [(1, 1), (2, 1), (1, 2)])
def test_windows_times_kernel_is_tensorflows_convolution(padding, size, stride, dilation):
    kernel = RNG.normal(size=(3, 3, 2, 4)).astype(np.float32)
    x = RNG.normal(size=(2, size, size, 2)).astype(np.float32)
    strides = {"strides": stride, "dilations": dilation}
    expected = tf.nn.conv2d(x, kernel, padding=padding.upper(), **strides).numpy()
    node = convolution(
        "conv", kernel, expected.shape[1:], padding=padding, stride=stride, dilation=dilation
    )
    seen = windows(node, [x[:1], x[1:]], np.random.default_rng(0))
    found = seen.reshape(len(seen), -1) @ kernel.reshape(-1, 4)
    # All positions are drawn, in any order: 64 is as many as there are.
    np.testing.assert_allclose(
        np.sort(found, axis=0), np.sort(expected.reshape(-1, 4), axis=0), atol=1e-5
    )


def test_equal_inputs_share_their_errors():
    # Scale 1. Inputs 2 and 3 are the same, so what counts is 10.4 + 10.4 = 20.8: 21, not 20.
    kernel = np.float32([127, 10.4, 10.4]).reshape(1, 1, 3, 1)
    seen = RNG.normal(size=(500, 1, 3))
    seen[:, :, 2] = seen[:, :, 1]
    rounded = round_kernel(convolution("conv", kernel, (1, 1, 1)), seen).reshape(-1)
    assert rounded[0] == 127 and sorted(rounded[1:]) == [10, 11]


@pytest.mark.parametrize("op", ["conv", "depthwise"])
def test_independent_inputs_are_rounded_to_the_nearest(op):
    kernel = RNG.normal(size=(3, 3, 1, 1)).astype(np.float32)
    # Orthogonal columns with zero mean: the covariance is diagonal.
    seen = np.concatenate([np.eye(9), -np.eye(9)]).reshape(18, 9, 1)
    node = convolution(op, kernel, (1, 1, 1))
    scales = kernel_scales(node.kernel_by_channel)
    nearest = quantize_kernel(node.kernel_by_channel, scales) * scales
    np.testing.assert_allclose(round_kernel(node, seen).reshape(nearest.shape), nearest, rtol=1e-6)


@pytest.mark.parametrize("op,shape", [("conv", (3, 3, 2, 5)), ("depthwise", (3, 3, 5, 1))])
def test_output_errors_shrink_and_the_grid_stays(op, shape):
    kernel = RNG.normal(size=shape).astype(np.float32)
    node = convolution(op, kernel, (1, 1, 5))
    seen = RNG.normal(size=(400, 9, shape[2])) + 3 * RNG.normal(size=(400, 1, 1))  # Correlated.
    rounded = round_kernel(node, seen)
    flat, scales = node.kernel_by_channel, kernel_scales(node.kernel_by_channel)
    found = rounded.reshape(flat.shape)
    np.testing.assert_allclose(kernel_scales(found), scales, rtol=1e-6)
    np.testing.assert_allclose(quantize_kernel(found, scales) * scales, found, rtol=1e-6)
    nearest = quantize_kernel(flat, scales) * scales

    def error(other: np.ndarray) -> float:
        centered = seen - seen.mean(axis=0)
        change = (other - flat).reshape(kernel.shape)
        equation = "ntc,tco->no" if op == "conv" else "ntc,tcm->nc"
        return float(np.square(np.einsum(equation, centered, change.reshape(9, *shape[2:]))).sum())

    assert error(found) < 0.5 * error(nearest)


def test_close_to_the_best_of_all_roundings():
    kernel = np.float32([127, 3.4, -8.3, 20.45, 6.6]).reshape(1, 1, 5, 1)
    seen = RNG.normal(size=(300, 1, 5)) + 2 * RNG.normal(size=(300, 1, 1))
    centered = (seen - seen.mean(axis=0)).reshape(300, 5)

    def error(values) -> float:
        return float(np.square(centered @ (np.asarray(values) - kernel.reshape(-1))).sum())

    choices = [(127,)] + [(np.floor(v), np.ceil(v)) for v in kernel.reshape(-1)[1:]]
    best = min(error(values) for values in itertools.product(*choices))
    found = round_kernel(convolution("conv", kernel, (1, 1, 1)), seen)
    assert error(found.reshape(-1)) <= 1.5 * best


def test_constant_inputs_and_empty_channels_are_left_to_the_nearest():
    kernel = np.zeros((1, 1, 2, 2), np.float32)
    kernel[0, 0, :, 0] = 1.27, 0.014
    node = convolution("conv", kernel, (1, 1, 2))
    rounded = round_kernel(node, np.ones((10, 1, 2)))
    np.testing.assert_allclose(rounded[0, 0], [[1.27, 0], [0.01, 0]], atol=1e-6)
