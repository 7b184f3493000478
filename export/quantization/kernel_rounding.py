"""Rounding a kernel's numbers so that their errors cancel on the inputs it really gets.

Rounding each number to the nearest ignores that neighbouring inputs resemble
each other. Here each number takes over what the ones before it lost, as far as
the inputs are correlated: optimal brain quantization in the fixed order of
GPTQ (Frantar et al. 2022, arXiv:2210.17323, section 3).

Linear algebra is TensorFlow's here: NumPy's sets all its threads on every small
matrix, where they spin and wait for each other on a machine with other work.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from export.graph import Node
from export.quantization.scales import kernel_scales

# Of one image and layer; many images see more of them than one. A depthwise kernel has
# no more than 25 inputs to learn the covariance of.
_POSITIONS = {"conv": 64, "depthwise": 16}
_CHANNELS = 64  # Depthwise kernels whose inputs are copied at once.
_BLOCK = 32  # Numbers whose losses reach the later ones at once, which is faster (section 3.2).
_DAMPING = 0.01  # Of the mean variance, added to each: few images, many inputs.


def windows(node: Node, batches: Sequence[Any], rng: np.random.Generator) -> np.ndarray:
    """What the kernel of a convolution sees at some positions.

    Args:
        node: a "conv" or "depthwise" node.
        batches: its input, float32 tensors or arrays (images, height, width, channels).
        rng: draws the positions, the same for all images.

    Returns:
        float32 (images * positions, taps, channels), taps in the kernel's order.
    """
    rows, cols = node.shape[:2]
    chosen = rng.permutation(rows * cols)[: _POSITIONS[node.op]]
    height, width = node.numbers()[0].shape[:2]
    top, left = chosen // cols * node.stride, chosen % cols * node.stride
    down = (np.arange(height) * node.dilation).repeat(width)
    right = np.tile(np.arange(width) * node.dilation, height)
    seen = []
    for batch in batches:
        x = np.asarray(batch)
        padding = ((0, 0), *(padding_of(node, size, i) for i, size in enumerate(x.shape[1:3])))
        padded = np.pad(x, (*padding, (0, 0)))
        seen.append(padded[:, top[:, None] + down, left[:, None] + right])
    return np.concatenate(seen).reshape(-1, height * width, seen[0].shape[-1])


def padding_of(node: Node, size: int, axis: int) -> tuple[int, int]:
    """Rows or columns of zeros before and after, as TensorFlow's "same" has them."""
    if node.padding == "valid":
        return 0, 0
    extent = (node.numbers()[0].shape[axis] - 1) * node.dilation + 1
    total = max((node.shape[axis] - 1) * node.stride + extent - size, 0)
    return total // 2, total - total // 2


def round_kernel(node: Node, seen: np.ndarray) -> np.ndarray:
    """The node's kernel on the grid of its int8 scales, errors balanced.

    Args:
        node: a "conv" or "depthwise" node.
        seen: from `windows`; centred in place. Only its covariance counts: a
            constant error of the output is the bias's to correct.

    Returns:
        float32, shape of the kernel. `scales.kernel_scales` of it are those of
        the kernel, and rounding to them changes nothing.
    """
    kernel = node.numbers()[0]
    flat = node.kernel_by_channel
    scales = kernel_scales(flat)
    seen -= seen.mean(axis=0)  # No copy: this is the largest array of a conversion.
    if node.op == "conv":
        covariance = _covariance(seen.reshape(len(seen), -1, 1))[0]
        stored = _balance(flat.reshape(-1, flat.shape[-1]) / scales, covariance)
    else:
        taps = flat.reshape(-1, flat.shape[-1]) / scales
        readers = np.arange(taps.shape[1]) // kernel.shape[-1]  # Several with a multiplier.
        covariances = _covariance(seen)
        columns = [_balance(taps[:, [c]], covariances[i]) for c, i in enumerate(readers)]
        stored = np.concatenate(columns, axis=1)
    return (stored * scales).reshape(kernel.shape).astype(np.float32)


def _covariance(seen: np.ndarray) -> np.ndarray:
    """float64 (kernels, taps, taps) of centred inputs (times seen, taps, kernels)."""
    found = []
    for start in range(0, seen.shape[-1], _CHANNELS):
        # float64, as it is inverted.
        part = tf.constant(seen[..., start : start + _CHANNELS].transpose(2, 0, 1), tf.float64)
        found.append(tf.linalg.matmul(part, part, transpose_a=True).numpy())
    return np.concatenate(found) / len(seen)


def _balance(taps: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Integers near `taps` (taps, channels), in units of their scales."""
    variances = np.diag(covariance)
    damping = _DAMPING * variances.mean()
    if damping <= 0:  # A constant input: the bias corrects all.
        return np.clip(np.round(taps), -127, 127)
    order = np.argsort(-variances)
    damped = covariance[np.ix_(order, order)] + damping * np.eye(len(order))
    upper = tf.linalg.cholesky(tf.linalg.inv(damped)).numpy().T
    rest = taps[order].astype(np.float64)
    # The greatest number of a channel defines its scale, so it stays what it is.
    greatest = np.abs(rest).argmax(axis=0)
    end = np.round(rest[greatest, np.arange(rest.shape[1])])
    stored = np.empty_like(rest)
    for start in range(0, len(order), _BLOCK):
        stop = min(start + _BLOCK, len(order))
        lost = np.empty((stop - start, rest.shape[1]))
        for i in range(start, stop):
            nearest = np.clip(np.round(rest[i]), -127, 127)
            stored[i] = np.where(greatest == i, end, nearest)
            lost[i - start] = (rest[i] - stored[i]) / upper[i, i]
            rest[i + 1 : stop] -= np.outer(upper[i, i + 1 : stop], lost[i - start])
        if stop < len(order):
            rest[stop:] -= tf.linalg.matmul(upper[start:stop, stop:], lost, transpose_a=True)
    result = np.empty_like(stored)
    result[order] = stored
    return result
