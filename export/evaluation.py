"""Accuracy on a whole evaluation split, of .keras and .tflite files alike."""

import numpy as np

from mobilenet_tf.classifier import Classifier
from mobilenet_tf.data.store import Split
from mobilenet_tf.progress import progress

_BATCH = 128


def split_scores(classifier: Classifier, split: Split, label: str) -> np.ndarray:
    """Probabilities for every image of a split.

    Args:
        classifier: whose input size the split was read at.
        split: evaluation images.
        label: for the progress line, such as "the .tflite".

    Returns:
        float32 (images, classes).
    """
    starts = range(0, len(split), _BATCH)
    scores = []
    for start in progress(starts, len(starts), f"evaluating {label}, batches"):
        indices = np.arange(start, min(start + _BATCH, len(split)))
        scores.append(classifier.scores(split.images.fetch(indices)))
    return np.concatenate(scores)


def top_k_accuracy(scores: np.ndarray, labels: np.ndarray, k: int) -> float:
    """Share of images whose label is among the k best-scored classes, 0..1."""
    best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return float(np.mean(np.any(best == labels[:, np.newaxis], axis=1)))


def agreement(scores: np.ndarray, other: np.ndarray) -> float:
    """Share of images for which two models name the same class, 0..1."""
    return float(np.mean(scores.argmax(axis=1) == other.argmax(axis=1)))


def confusion_matrix(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Counts, int64 (classes, classes): row is the label, column the prediction."""
    classes = scores.shape[1]
    counts = np.bincount(labels * classes + scores.argmax(axis=1), minlength=classes**2)
    return counts.reshape(classes, classes)
