"""Whether a file is as good as its Keras model, on the whole evaluation split."""

import functools

import numpy as np

from export import evaluation, report
from mobilenet_tf import model_labels
from mobilenet_tf.classifier import Classifier, TFLiteClassifier
from mobilenet_tf.data import datasets
from mobilenet_tf.data.provenance import Provenance
from mobilenet_tf.data.store import Split


class Judge:
    """Compares files with a Keras model on the whole evaluation split.

    Args:
        model: the float one.
        source: where the images are.
    """

    def __init__(self, model: Classifier, source: datasets.Source) -> None:
        self._model, self._source = model, source

    @functools.cached_property
    def split(self) -> Split:
        """The evaluation images, read once."""
        return self._source.read_validation(self._model.image_size)

    @property
    def provenance(self) -> Provenance:
        """Where the images come from."""
        return self._source.provenance

    @functools.cached_property
    def _expected(self) -> np.ndarray:
        return evaluation.split_scores(self._model, self.split, "the Keras model")

    def scores(self, path: str) -> report.Scores:
        """Both models' outputs; the Keras model's are computed once."""
        expected = self._expected
        scores = evaluation.split_scores(TFLiteClassifier(path), self.split, "the .tflite")
        names, path = self.split.names, self._model.path
        return report.Scores(self.split.labels, expected, scores, names, path)


def check_classes(classifier: Classifier, source: datasets.Source) -> None:
    """Raises `ValueError` unless model and data set have the same classes in order."""
    names, given = classifier.class_names, list(source.class_names)
    unnamed = model_labels.of_model(classifier.path) is None and len(names) == len(given)
    if names != given and not unnamed:
        raise ValueError(
            "the data set must have the classes that the model was trained on, in the same "
            f"order. Received: {len(given)} classes, {given[0]} first, for a model with "
            f"{len(names)}, {names[0]} first"
        )
