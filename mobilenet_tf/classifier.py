"""A trained model of either kind, .keras or .tflite, behind one interface."""

import os
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from mobilenet_tf import model_labels, runs
from mobilenet_tf.runtime import TFLiteModel

SUFFIXES = (".keras", ".tflite")


class Classifier(Protocol):
    """A model that names what a picture shows.

    Attributes:
        path: of its file.
        image_size: side of its square input in pixels.
        class_names: one per output.
    """

    path: str
    image_size: int
    class_names: list[str]

    def scores(self, pixels: np.ndarray) -> np.ndarray:
        """Probabilities, float32 (images, classes), of uint8 (images, side, side, 3)."""


class KerasClassifier:
    """A .keras file.

    Args:
        path: of the file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a .keras file, or not an image classifier.
    """

    def __init__(self, path: str) -> None:
        from mobilenet_tf.engine import keras  # Slow to import; a .tflite does without.

        _require_file(path)
        try:
            self.model = keras.models.load_model(path, compile=False)
        except Exception as error:  # A damaged archive raises many kinds.
            reason = " ".join(str(error).split())[:200]
            raise ValueError(
                "the model must be an intact .keras file of Keras' own layers. "
                f"Received: {path} ({reason})"
            ) from None
        self.path = path
        ends = [getattr(self.model, name, None) or () for name in ("inputs", "outputs")]
        if any(len(tensors) > 1 for tensors in ends):
            raise ValueError(
                "the model must have one input and one output. "
                f"Received: {path} with {len(ends[0])} and {len(ends[1])}"
            )
        self.image_size = _square_side(path, self.model.input_shape)
        self.class_names = _class_names(path, self.model.output_shape[-1])

    def scores(self, pixels: np.ndarray) -> np.ndarray:
        """See `Classifier`."""
        return self.model.predict_on_batch(pixels.astype(np.float32))


class TFLiteClassifier:
    """A .tflite file.

    Args:
        path: of the file.

    Raises:
        FileNotFoundError, ValueError: see `runtime.TFLiteModel`.
    """

    def __init__(self, path: str) -> None:
        self._model = TFLiteModel(path)
        self.path = path
        self.image_size = _square_side(path, self._model.input.shape)
        self.class_names = _class_names(path, self._model.classes)

    def scores(self, pixels: np.ndarray) -> np.ndarray:
        """See `Classifier`."""
        return np.stack(list(self._model.predict(pixels)))


def load_classifier(path: str) -> Classifier:
    """Loads a model by the kind of its file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a model, or not an image classifier.
    """
    if path.endswith(".keras"):
        return KerasClassifier(path)
    if path.endswith(".tflite"):
        return TFLiteClassifier(path)
    raise ValueError(f"a model must be a .keras or .tflite file. Received: {path}")


def find_models(path: str) -> list[str]:
    """The model files that a path means: itself, or those in the folder.

    Args:
        path: of a .keras or .tflite file, or of a folder with some.

    Returns:
        Paths; of a run's two .keras files only model.keras.

    Raises:
        FileNotFoundError: no such path, or a folder without models.
    """
    if not os.path.isdir(path):
        _require_file(path)
        return [path]
    names = sorted(name for name in os.listdir(path) if name.endswith(SUFFIXES))
    visible = [n for n in names if not n.startswith(".") and n != runs.BEST]
    if not visible:
        raise FileNotFoundError(
            f"a model folder must hold .keras or .tflite files. Received: {path}"
        )
    return [os.path.join(path, name) for name in visible]


def _require_file(path: str) -> None:
    if not os.path.isfile(path):
        raise FileNotFoundError(f"no such model; check the path. Received: {path}")


def _square_side(path: str, shape: Sequence[int | None]) -> int:
    if len(shape) != 4 or shape[3] != 3 or shape[1] is None or shape[1] != shape[2]:
        raise ValueError(
            "the model must take one square RGB image, (batch, side, side, 3). "
            f"Received: {path} with input shape {tuple(shape)}"
        )
    return int(shape[1])


def _class_names(path: str, classes: int) -> list[str]:
    names = model_labels.of_model(path)
    if names is None:
        return [f"class {i}" for i in range(classes)]
    if len(names) != classes:
        raise ValueError(
            "there must be one class name per output; correct labels.txt. "
            f"Received: {len(names)} names for the {classes} outputs of {path}"
        )
    return names
