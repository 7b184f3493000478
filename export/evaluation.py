"""Accuracy on a whole evaluation split, of Keras models and .tflite files alike."""

import numpy as np

from mobilenet_tf.data.store import Split
from mobilenet_tf.engine import keras
from mobilenet_tf.progress import progress
from mobilenet_tf.runtime import TFLiteModel

_BATCH = 128


def load_keras_model(path: str) -> keras.Model:
    """Loads a .keras image classifier.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a .keras file, or not an image classifier.
    """
    try:
        model = keras.models.load_model(path, compile=False)
    except FileNotFoundError:
        raise
    except Exception as error:  # A damaged archive raises many kinds.
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"the model must be an intact .keras file. Received: {path} ({reason})"
        ) from None
    shape = getattr(model, "input_shape", None)
    if not isinstance(shape, tuple) or len(shape) != 4 or None in shape[1:] or shape[3] != 3:
        raise ValueError(
            "the model must take one image of a fixed size, (batch, height, width, 3). "
            f"Received: {path} with input shape {shape}"
        )
    return model


def keras_scores(model: keras.Model, split: Split, label: str) -> np.ndarray:
    """Outputs for every image of a split, float32 (images, classes)."""
    starts = range(0, len(split), _BATCH)
    scores = []
    for start in progress(starts, len(starts), f"evaluating {label}"):
        indices = np.arange(start, min(start + _BATCH, len(split)))
        images = split.images.fetch(indices).astype(np.float32)
        scores.append(model.predict_on_batch(images))  # Compiled, unlike a plain call.
    return np.concatenate(scores)


def tflite_scores(model: TFLiteModel, split: Split, label: str) -> np.ndarray:
    """Outputs for every image of a split, float32 (images, classes), dequantized."""
    images = (split.images.fetch(np.array([i]))[0] for i in range(len(split)))
    return np.stack(list(progress(model.predict(images), len(split), f"evaluating {label}")))


def top_k_accuracy(scores: np.ndarray, labels: np.ndarray, k: int) -> float:
    """Share of images whose label is among the k best-scored classes, 0..1."""
    best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return float(np.mean(np.any(best == labels[:, np.newaxis], axis=1)))


def agreement(scores: np.ndarray, other: np.ndarray) -> float:
    """Share of images for which two models name the same class, 0..1."""
    return float(np.mean(scores.argmax(axis=1) == other.argmax(axis=1)))
