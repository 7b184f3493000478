"""What calibration images say about each activation of a graph."""

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from export.compute import compute, walk
from export.graph import Graph, Node
from export.quantization.fake import fake_quantize
from export.quantization.ranges import BINS, Histogram
from export.quantization.scales import TensorScale
from mobilenet_tf.progress import progress

_BATCH = 8
_GRADIENT_BATCH = 4  # All activations and their gradients are in memory at once.
_SAMPLES = 16_384  # Values of one image and tensor that enter a histogram.


def histograms(graph: Graph, images: np.ndarray) -> dict[str, Histogram]:
    """Distributions of all nodes' outputs.

    Args:
        graph: in the export form.
        images: uint8 (images, height, width, 3).

    Returns:
        A `Histogram` by node name.

    Raises:
        ValueError: an activation that is NaN or infinite, named.
    """
    lows: dict[str, float] = {}
    highs: dict[str, float] = {}
    for node, values in _outputs(graph, images, "calibrating, ranges"):
        low, high = float(values.min()), float(values.max())
        if not np.isfinite((low, high)).all():
            raise ValueError(
                "every activation must be a finite number; train again with a lower learning "
                f"rate. Received: NaN or infinity after {node.name!r}"
            )
        lows[node.name] = min(low, lows.get(node.name, low))
        highs[node.name] = max(high, highs.get(node.name, high))
    counts = {node.name: np.zeros(BINS) for node in graph.nodes}
    chosen = {node.name: _sample_indices(int(np.prod(node.shape))) for node in graph.nodes}
    for node, values in _outputs(graph, images, "calibrating, distributions"):
        low, high, name = lows[node.name], highs[node.name], node.name
        sample = values.reshape(len(values), -1)[:, chosen[name]]
        bins = ((sample - low) * (BINS / max(high - low, 1e-12))).astype(np.int64)
        counts[name] += np.bincount(np.clip(bins, 0, BINS - 1).reshape(-1), minlength=BINS)
    return {name: Histogram(lows[name], highs[name], counts[name]) for name in counts}


def channel_maxima(graph: Graph, images: np.ndarray, names: set[str]) -> dict[str, np.ndarray]:
    """Greatest absolute values per channel of some nodes' outputs.

    Args:
        graph: in the export form.
        images: uint8 (images, height, width, 3).
        names: of the nodes.

    Returns:
        float32 (channels,) by name.
    """
    maxima: dict[str, np.ndarray] = {}
    for node, values in _outputs(graph, images, "calibrating, channels"):
        if node.name in names:
            found = np.abs(values).max(axis=(0, 1, 2))
            maxima[node.name] = np.maximum(found, maxima.get(node.name, found))
    return maxima


def _sample_indices(size: int) -> np.ndarray:
    if size <= _SAMPLES:
        return np.arange(size)
    return np.sort(np.random.default_rng(0).choice(size, _SAMPLES, replace=False))


def _outputs(graph: Graph, images: np.ndarray, label: str):
    starts = range(0, len(images), _BATCH)
    for start in progress(starts, len(starts), f"{label}, batches"):
        found: list[tuple[Node, np.ndarray]] = []
        batch = tf.constant(images[start : start + _BATCH], tf.float32)

        def step(node: Node, inputs: list, batch=batch, found=found) -> tf.Tensor:
            value = compute(node, inputs or [batch])
            found.append((node, value.numpy()))
            return value

        walk(graph, step)
        yield from found


def weighted_errors(
    graph: Graph, images: np.ndarray, candidates: dict[str, list[TensorScale]], seed: int
) -> dict[str, np.ndarray]:
    """What each candidate scale of each activation costs the output.

    The squared error that a scale makes, each element weighted by the squared
    gradient of the log-likelihood of labels drawn from the model's own output
    (its Fisher information): the second-order change of the output's
    divergence, as far as elements are independent.

    Args:
        graph: in the export form.
        images: uint8 (images, height, width, 3), not those that ranges come from.
        candidates: scales to compare, by node name.
        seed: of the drawn labels.

    Returns:
        float64 (candidates,) by node name, lower is better.
    """
    errors = {name: np.zeros(len(scales)) for name, scales in candidates.items()}
    for values, gradients in gradient_batches(graph, images, seed, "choosing ranges"):
        for name, scales in candidates.items():
            value, weight = values[name], tf.square(gradients[name])
            for i, scale in enumerate(scales):
                error = tf.square(fake_quantize(value, scale) - value)
                errors[name][i] += float(tf.reduce_sum(weight * error))
    return errors


def gradient_batches(
    graph: Graph, images: np.ndarray, seed: int, label: str
) -> Iterator[tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]]:
    """Outputs of all nodes, and gradients of the log-likelihood of drawn labels, batch by batch.

    Args:
        graph: in the export form.
        images: uint8 (images, height, width, 3).
        seed: of the labels, drawn from the model's own output.
        label: of the progress.
    """
    rng = np.random.default_rng(seed)
    starts = range(0, len(images), _GRADIENT_BATCH)
    for start in progress(starts, len(starts), f"{label}, batches"):
        yield _gradients(graph, images[start : start + _GRADIENT_BATCH], rng)


def _gradients(
    graph: Graph, images: np.ndarray, rng: np.random.Generator
) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
    """Outputs of all nodes, and gradients of a drawn label's log-likelihood."""
    values: dict[str, tf.Tensor] = {}
    with tf.GradientTape() as tape:
        for node in graph.nodes:
            inputs = [values[name] for name in node.inputs]
            values[node.name] = compute(node, inputs or [tf.constant(images, tf.float32)])
            if not node.inputs:
                tape.watch(values[node.name])
        scores = values[graph.output.name]
        cumulative = np.cumsum(scores.numpy(), axis=1)
        drawn = (rng.random((len(images), 1)) * cumulative[:, -1:] > cumulative).sum(axis=1)
        likelihood = tf.gather(scores, drawn, axis=1, batch_dims=1)
        loss = -tf.reduce_sum(tf.math.log(tf.maximum(likelihood, 1e-12)))
    return values, tape.gradient(loss, values)
