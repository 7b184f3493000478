"""Range estimators: how much of a tensor's spread its integers should cover.

Each takes a histogram of calibration values and returns the least and greatest
value to represent; what lies outside is clipped.
"""

import dataclasses
import functools

import numpy as np

BINS = 4096
LEVELS = 256
_SHRINKAGES = np.linspace(1.0, 0.2, 81)  # Parts of the full range that are tried.


@dataclasses.dataclass(frozen=True, eq=False)
class Histogram:
    """Values of one tensor over the calibration images.

    Attributes:
        low, high: least and greatest of all values.
        counts: float64 (BINS,), of a sample of them, in bins of equal width.
    """

    low: float
    high: float
    counts: np.ndarray

    @functools.cached_property
    def centers(self) -> np.ndarray:
        """float64 (BINS,): the value that stands for each bin."""
        edges = np.linspace(self.low, self.high, BINS + 1)
        return (edges[:-1] + edges[1:]) / 2


Range = tuple[float, float]


def min_max(histogram: Histogram) -> Range:
    """Everything: nothing is clipped."""
    return histogram.low, histogram.high


def percentile_9999(histogram: Histogram) -> Range:
    """All but one value in 10,000, half of them at each end."""
    return _percentile(histogram, 0.9999)


def percentile_999(histogram: Histogram) -> Range:
    """All but one value in 1,000, half of them at each end."""
    return _percentile(histogram, 0.999)


def _percentile(histogram: Histogram, part: float) -> Range:
    """Where one side has a bin that is itself larger than its share (zeros
    after a ReLU), that side keeps its end and loses nothing."""
    total = histogram.counts.sum()
    cumulative = np.cumsum(histogram.counts) / total
    edges = np.linspace(histogram.low, histogram.high, BINS + 1)
    tail = (1.0 - part) / 2
    first = int(np.searchsorted(cumulative, tail, side="right"))
    last = int(np.searchsorted(cumulative, 1.0 - tail, side="left"))
    return float(edges[first]), float(edges[min(last, BINS - 1) + 1])


def mean_squared_error(histogram: Histogram) -> Range:
    """The range with the least mean squared error of clipping and rounding together."""
    low, high = histogram.low, histogram.high
    for _ in range(2):  # One end after the other, and again: they hardly interact.
        high = _best(histogram, np.full(_SHRINKAGES.size, low), histogram.high * _SHRINKAGES)[1]
        low = _best(histogram, histogram.low * _SHRINKAGES, np.full(_SHRINKAGES.size, high))[0]
    return low, high


def _best(histogram: Histogram, lows: np.ndarray, highs: np.ndarray) -> Range:
    """The pair of ends with the least squared error."""
    start = np.minimum(lows, 0.0)[:, np.newaxis]
    scale = np.maximum(np.maximum(highs, 0.0)[:, np.newaxis] - start, 1e-9) / (LEVELS - 1)
    filled = histogram.counts > 0
    centers, counts = histogram.centers[filled], histogram.counts[filled]
    stored = np.clip(np.round((centers - start) / scale), 0, LEVELS - 1)
    best = int(np.argmin((stored * scale + start - centers) ** 2 @ counts))
    return float(lows[best]), float(highs[best])


def entropy(histogram: Histogram) -> Range:
    """The range whose 256 levels lose the least information.

    Kullback-Leibler divergence of the clipped distribution from its quantized
    form, both ends shrunk together (the calibration of TensorRT, Migacz 2017).
    """
    best = min(_SHRINKAGES, key=lambda part: _divergence(histogram, part))
    return float(histogram.low * best), float(histogram.high * best)


def _divergence(histogram: Histogram, part: float) -> float:
    centers, counts = histogram.centers, histogram.counts
    inside = (centers >= histogram.low * part) & (centers <= histogram.high * part)
    kept = counts[inside]
    if kept.sum() == 0:
        return float("inf")
    clipped = kept.copy()
    clipped[0] += counts[centers < histogram.low * part].sum()
    clipped[-1] += counts[centers > histogram.high * part].sum()
    # Each level's count, spread evenly over those of its bins that are not empty.
    level = np.arange(kept.size) * LEVELS // kept.size
    filled = kept > 0
    totals = np.bincount(level, kept, LEVELS)
    widths = np.maximum(np.bincount(level, filled, LEVELS), 1)
    spread = np.where(filled, (totals / widths)[level], 0.0)
    p, q = clipped / clipped.sum(), spread / spread.sum()
    both = (p > 0) & (q > 0)
    lost = p[(p > 0) & (q == 0)].sum()  # Mass where the quantized form has none.
    return float(np.sum(p[both] * np.log(p[both] / q[both])) + lost * np.log(1e6))


def upper_part(histogram: Histogram) -> Range:
    """For logits: fine steps where the likely classes are, and room above for other images.

    A tenth of the values is clipped at the low end, which a softmax hardly shows.
    """
    cumulative = np.cumsum(histogram.counts) / histogram.counts.sum()
    low = histogram.centers[int(np.searchsorted(cumulative, 0.1))]
    return float(low), 1.1 * histogram.high


ESTIMATORS = {
    "min-max": min_max,
    "percentile-99.99": percentile_9999,
    "percentile-99.9": percentile_999,
    "mean-squared-error": mean_squared_error,
    "entropy": entropy,
}
LOGIT_ESTIMATORS = {**ESTIMATORS, "upper-part": upper_part}
