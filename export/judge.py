"""Whether a file is as good as its Keras model, on the whole evaluation split."""

import dataclasses
import functools
from typing import Any

import numpy as np

from export import evaluation, report
from mobilenet_tf import runs
from mobilenet_tf.classifier import Classifier, TFLiteClassifier
from mobilenet_tf.data import datasets
from mobilenet_tf.data.store import Split


@dataclasses.dataclass(frozen=True)
class Budget:
    """What a file may cost, measured on the whole evaluation split. None: anything.

    Attributes:
        max_drop: greatest loss of top-1 in points against the Keras model.
        min_agreement: least share of images with the same answer, 0..1.
    """

    max_drop: float | None = None
    min_agreement: float | None = None

    def complaint(self, evaluation: dict[str, Any]) -> str | None:
        """What of a report's evaluation breaks the budget; None where nothing does."""
        drop = 100 * (evaluation["keras_top1"] - evaluation["tflite_top1"])
        if self.max_drop is not None and drop > self.max_drop + 1e-9:
            return f"a drop of {drop:.2f} points, more than --max-drop {self.max_drop:g}"
        agreement = evaluation["agreement"]
        if self.min_agreement is not None and agreement < self.min_agreement:
            return f"an agreement of {agreement:.4f}, less than {self.min_agreement:g}"
        return None


class Judge:
    """Compares files with a Keras model on the whole evaluation split.

    Args:
        model: what they were made from.
        source: where the images are.
    """

    def __init__(self, model: Classifier, source: datasets.Source) -> None:
        self._model, self._source = model, source

    @functools.cached_property
    def split(self) -> Split:
        """The evaluation images."""
        return self._source.read_validation(self._model.image_size)

    @functools.cached_property
    def _expected(self) -> np.ndarray:
        return evaluation.split_scores(self._model, self.split, "the Keras model")

    def scores(self, path: str) -> report.Scores:
        """Both models' outputs; the Keras model's are computed once."""
        expected = self._expected
        scores = evaluation.split_scores(TFLiteClassifier(path), self.split, "the .tflite")
        return report.Scores(self.split.labels, expected, scores)


def check_classes(classifier: Classifier, source: datasets.Source) -> None:
    """Raises `ValueError` unless model and data set have the same classes in order."""
    names, given = classifier.class_names, list(source.class_names)
    unnamed = runs.labels_of(classifier.path) is None and len(names) == len(given)
    if names != given and not unnamed:
        raise ValueError(
            "the data set must have the classes that the model was trained on, in the same "
            f"order. Received: {len(given)} classes, {given[0]} first, for a model with "
            f"{len(names)}, {names[0]} first"
        )
