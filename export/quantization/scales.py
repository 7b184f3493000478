"""Scale and zero point: how integers stand for real numbers."""

import dataclasses
from collections.abc import Mapping
from typing import Literal

import numpy as np

Bits = Literal[8, 16]


@dataclasses.dataclass(frozen=True)
class TensorScale:
    """Of one activation: real = scale * (stored - zero_point).

    Attributes:
        scale: above 0.
        zero_point: the stored value that means 0; always 0 for 16 bits.
        bits: of the stored, signed integers.
    """

    scale: float
    zero_point: int
    bits: Bits = 8

    @property
    def stored_range(self) -> tuple[int, int]:
        """Least and greatest stored value. 16 bits are symmetric, as TFLite's are."""
        return (-128, 127) if self.bits == 8 else (-32767, 32767)

    @property
    def real_range(self) -> tuple[float, float]:
        """Least and greatest real value."""
        low, high = self.stored_range
        return self.scale * (low - self.zero_point), self.scale * (high - self.zero_point)

    @classmethod
    def of_range(cls, low: float, high: float, bits: Bits = 8) -> "TensorScale":
        """The finest scale that holds a range.

        Args:
            low, high: real values; widened to contain 0, which must be exact
                because convolutions pad with it.
            bits: of the stored integers.

        Raises:
            ValueError: a range that is not finite.
        """
        if not np.isfinite((low, high)).all():
            raise ValueError(f"a range must be finite. Received: {low} to {high}")
        low, high = min(0.0, float(low)), max(0.0, float(high))
        if bits == 16:
            return cls(float(np.float32(max(-low, high, 1e-6) / 32767)), 0, 16)
        scale = float(np.float32(max(high - low, 1e-6) / 255))
        return cls(scale, int(np.clip(round(-128 - low / scale), -128, 127)))


@dataclasses.dataclass(frozen=True)
class Quantization:
    """Which nodes of a graph compute in integers, and their outputs' scales.

    Attributes:
        scales: by node name; empty for a float model.
        float_nodes: that have a scale for their readers but compute in float.
    """

    scales: Mapping[str, TensorScale] = dataclasses.field(default_factory=dict)
    float_nodes: frozenset[str] = frozenset()

    def computes_in_integers(self, name: str) -> bool:
        """True for a node whose operation has integers on both sides."""
        return name in self.scales and name not in self.float_nodes


def quantize(values: np.ndarray, scale: TensorScale) -> np.ndarray:
    """Real numbers as stored integers, int8 or int16, rounded to the nearest."""
    low, high = scale.stored_range
    stored = np.round(values / np.float64(scale.scale)) + scale.zero_point
    return np.clip(stored, low, high).astype(np.int8 if scale.bits == 8 else np.int16)


def kernel_scales(kernel: np.ndarray) -> np.ndarray:
    """Scales of an int8 kernel, one per output channel, zero point 0.

    Args:
        kernel: float32 (..., channels).

    Returns:
        float32 (channels,): the greatest absolute value of each channel is 127.
    """
    greatest = np.abs(kernel).reshape(-1, kernel.shape[-1]).max(axis=0)
    # A channel of zeros needs some scale.
    return np.maximum(greatest / 127, 1e-9).astype(np.float32)


def quantize_kernel(kernel: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """An int8 kernel (..., channels), values -127..127."""
    return np.clip(np.round(kernel / scales), -127, 127).astype(np.int8)


@dataclasses.dataclass(frozen=True, eq=False)
class StoredWeights:
    """Of a convolution, as an integer file holds them.

    Attributes:
        kernel: int8 (..., channels).
        bias: whole numbers, float64 (channels,), of at most 2 ** 30.
        scales: of the kernel, float32 (channels,).
        bias_scales: float32 (channels,): those times the input's.
    """

    kernel: np.ndarray
    bias: np.ndarray
    scales: np.ndarray
    bias_scales: np.ndarray


def stored_weights(kernel: np.ndarray, bias: np.ndarray, input_scale: TensorScale) -> StoredWeights:
    """Rounds the weights of a convolution.

    A channel whose kernel is all but 0 beside its bias, as training leaves them,
    gets a coarser scale, with which the bias fits 32 bits: its kernel says nothing
    that the output could show.

    Args:
        kernel: float32 (..., channels).
        bias: float32 (channels,).
        input_scale: of what the kernel is multiplied with.
    """
    least = np.abs(bias.astype(np.float64)) / (input_scale.scale * 2.0**30)
    scales = np.maximum(kernel_scales(kernel), least).astype(np.float32)
    bias_scales = scales * np.float32(input_scale.scale)
    whole = np.round(bias / bias_scales.astype(np.float64))
    return StoredWeights(quantize_kernel(kernel, scales), whole, scales, bias_scales)
