"""One call of convert_tflite.py: model, data, conversion and proof together."""

import dataclasses
import os
import time
from typing import Any

from export import convert as conversion
from export import evaluation, report
from export.recipes import RECIPES, Recipe
from mobilenet_tf import files, runs
from mobilenet_tf.classifier import Classifier, KerasClassifier, TFLiteClassifier
from mobilenet_tf.cli import UsageError
from mobilenet_tf.data import datasets
from mobilenet_tf.data.store import balanced_indices
from mobilenet_tf.progress import say


@dataclasses.dataclass(frozen=True)
class Session:
    """A model and the data it belongs with.

    Attributes:
        model_path: of the .keras file.
        name: start of the .tflite's name.
        data: what calibrates and evaluates; None where there is none.
    """

    model_path: str
    name: str
    data: datasets.DataConfig | None

    def default_output(self, quantize: str) -> str:
        """Path of the .tflite beside the model."""
        suffix = RECIPES[quantize].file_suffix
        return os.path.join(os.path.dirname(self.model_path), f"{self.name}_{suffix}.tflite")


def open_session(model: str | None, dataset: str | None, data_dir: str | None) -> Session:
    """Finds the model and its data set.

    Args:
        model: a run folder or a .keras file; None for the newest run.
        dataset: to use instead of the run's own; None for that.
        data_dir: where TFDS data sets lie.

    Returns:
        A `Session`.

    Raises:
        FileNotFoundError: no such model.
        ValueError: a run without a model, or a file of another kind.
    """
    path = runs.newest_run("runs", runs.MODEL) if model is None else model
    if os.path.isdir(path):
        path = os.path.join(path, runs.MODEL)
    if not os.path.isfile(path):
        raise FileNotFoundError(
            "the model must be a finished run or a .keras file; run train.py first. "
            f"Received: {path}"
        )
    if not path.endswith(".keras"):
        raise ValueError(f"the model must be a run or a .keras file. Received: {path}")
    folder = os.path.dirname(path)
    name, data = os.path.splitext(os.path.basename(path))[0], None
    if os.path.isfile(os.path.join(folder, runs.CONFIG)):
        config, _ = runs.read_config(folder)
        suffix = "" if os.path.basename(path) == runs.MODEL else f"_{name}"
        name, data = f"{config.network.file_name}{suffix}", config.data
    if dataset is not None:
        data = datasets.DataConfig(dataset=dataset, data_dir=data_dir)
    return Session(path, name, data)


def convert(
    session: Session,
    recipe: Recipe,
    output: str,
    calibration_samples: int,
    seed: int,
    overwrite: bool,
) -> dict[str, Any]:
    """Converts, loads the file again, and compares it with the Keras model.

    Args:
        session: from `open_session`.
        recipe: from `export.recipes`.
        output: path of the .tflite; its report is written as .json beside it.
        calibration_samples: training images for recipes that calibrate.
        seed: of their choice.
        overwrite: replace existing files.

    Returns:
        The report, as in the .json; see `report.make_report`.

    Raises:
        UsageError: a recipe that calibrates, and no data set.
        ValueError: existing files, or a data set that does not fit the model.
        WorkError: the conversion failed.
    """
    report_path = f"{os.path.splitext(output)[0]}.json"
    for path in (output, report_path):
        files.refuse_existing(path, overwrite)
    if not os.path.isdir(os.path.dirname(os.path.abspath(output))):
        raise ValueError(f"the folder of --output must exist. Received: {output}")
    if recipe.needs_calibration and session.data is None:
        raise UsageError(
            f"--quantize {recipe.name} needs images to calibrate on; name the training data with "
            f"--dataset. Received: {session.model_path}, which is in no run folder"
        )
    start = time.monotonic()
    model = KerasClassifier(session.model_path)
    source = None if session.data is None else datasets.open_source(session.data)
    if source is not None:
        check_classes(model, source)
    calibration = None
    if recipe.needs_calibration:
        assert source is not None
        train = source.read_train(model.image_size)
        calibration = train.images.fetch(balanced_indices(train.labels, calibration_samples, seed))
        del train
    say(f"converting {session.model_path}, --quantize {recipe.name}")
    conversion.convert_file(session.model_path, recipe, calibration, output)
    converted_s = time.monotonic() - start
    scores = None
    if source is not None:
        split = source.read_validation(model.image_size)
        keras_scores = evaluation.split_scores(model, split, "the Keras model")
        tflite_scores = evaluation.split_scores(TFLiteClassifier(output), split, "the .tflite")
        scores = report.Scores(split.labels, keras_scores, tflite_scores)
    content = report.make_report(
        output,
        session.model_path,
        recipe,
        model.class_names,
        calibration_images=0 if calibration is None else len(calibration),
        seed=seed,
        seconds=converted_s,
        data=session.data,
        scores=scores,
    )
    files.write_json(report_path, content)
    return content


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
