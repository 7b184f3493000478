"""One call of convert_tflite.py: model, data, conversion and proof together."""

import dataclasses
import os
import time
from typing import Any

import numpy as np

from export import bundle
from export import convert as conversion
from export import evaluation, labels, report, stock
from export.metadata import ModelMetadata, add_metadata
from export.model_card import card_of
from export.recipes import RECIPES, Recipe
from mobilenet_tf import files, runs
from mobilenet_tf.classifier import Classifier, KerasClassifier, TFLiteClassifier
from mobilenet_tf.cli import UsageError, WorkError
from mobilenet_tf.data import datasets
from mobilenet_tf.data.store import Split, balanced_indices
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


@dataclasses.dataclass(frozen=True)
class Settings:
    """How a model is converted.

    Attributes:
        recipe: from `export.recipes`.
        output: path of the .tflite; its report is written as .json beside it.
        hard_swish: one of `recipes.HARD_SWISH_FORMS`.
        calibration_samples: training images for recipes that calibrate.
        seed: of their choice.
        overwrite: replace existing files.
        budget: that the file must keep.
        bundle: folder for a golden bundle; None for none.
    """

    recipe: Recipe
    output: str
    hard_swish: str = "auto"
    calibration_samples: int = 200
    seed: int = 0
    overwrite: bool = False
    budget: Budget = Budget()
    bundle: str | None = None

    @property
    def report_path(self) -> str:
        """Of the report about an accepted file."""
        return f"{os.path.splitext(self.output)[0]}.json"


def convert(session: Session, settings: Settings) -> dict[str, Any]:
    """Converts, loads the file again, and compares it with the Keras model.

    Args:
        session: from `open_session`.
        settings: what to make.

    Returns:
        The report, as in the .json; see `report.make_report`.

    Raises:
        UsageError: images are needed, and there is no data set.
        ValueError: existing files, or a data set that does not fit the model.
        WorkError: the conversion failed, or the file breaks the budget; it is
            then kept beside its place, with `.rejected` at its end.
    """
    form = settings.recipe.hard_swish_form(settings.hard_swish)
    _check(session, settings)
    start = time.monotonic()
    model = KerasClassifier(session.model_path)
    labels.check_labels(model.class_names, len(model.class_names))  # Before the long work.
    source = None if session.data is None else datasets.open_source(session.data)
    if source is not None:
        check_classes(model, source)
    calibration = _calibration(model, source, settings)
    say(f"converting {session.model_path}, --quantize {settings.recipe.name}")
    quantized = None
    if settings.recipe.stock:
        content = stock.convert_with_tensorflow(session.model_path, settings.recipe, calibration)
    else:
        converted = conversion.convert_model(
            model.model, settings.recipe, calibration, form, settings.seed
        )
        content, quantized = converted.content, converted.quantized
    # With a budget the file is rejected until it is proven.
    limited = settings.budget != Budget()
    written = f"{settings.output}.rejected" if limited else settings.output
    content = add_metadata(content, _metadata(session.name, settings.recipe, model.class_names))
    conversion.write_file(content, settings.recipe, written)
    seconds = time.monotonic() - start
    split = None if source is None else source.read_validation(model.image_size)
    scores = None if split is None else _scores(model, split, written)
    content_report = report.make_report(
        report.Converted(
            path=written,
            model_path=session.model_path,
            recipe=settings.recipe,
            hard_swish=form,
            calibration_images=0 if calibration is None else len(calibration),
            seed=settings.seed,
            seconds=seconds,
            quantized=quantized,
        ),
        model.class_names,
        session.data,
        scores,
    )
    content_report = _accept(content_report, settings, written)
    if settings.bundle is not None and split is not None and scores is not None:
        _bundle(session, settings, content_report, split, scores)
    return content_report


def _check(session: Session, settings: Settings) -> None:
    for path in (settings.output, settings.report_path):
        files.refuse_existing(path, settings.overwrite)
    if settings.bundle is not None:
        bundle.check_target(settings.bundle, settings.overwrite)
    if not os.path.isdir(os.path.dirname(os.path.abspath(settings.output))):
        raise ValueError(f"the folder of --output must exist. Received: {settings.output}")
    needs = [f"--quantize {settings.recipe.name}"] if settings.recipe.needs_calibration else []
    needs += ["--bundle"] if settings.bundle is not None else []
    needs += ["a budget"] if settings.budget != Budget() else []
    if needs and session.data is None:
        raise UsageError(
            f"{' and '.join(needs)} needs images; name the training data with --dataset. "
            f"Received: {session.model_path}, which is in no run folder"
        )


def _calibration(
    model: Classifier, source: datasets.Source | None, settings: Settings
) -> np.ndarray | None:
    if not settings.recipe.needs_calibration:
        return None
    assert source is not None
    train = source.read_train(model.image_size)
    count = settings.calibration_samples
    return train.images.fetch(balanced_indices(train.labels, count, settings.seed))


def _metadata(name: str, recipe: Recipe, class_names: list[str]) -> ModelMetadata:
    return ModelMetadata(
        labels=tuple(class_names),
        name=name,
        description=f"Names which of {len(class_names)} classes an image shows. Input: raw RGB in "
        f"0..255. Output: a probability per class. Stored as {recipe.name}.",
        author="made with mobilenet_tf",
    )


def _scores(model: Classifier, split: Split, path: str) -> report.Scores:
    keras_scores = evaluation.split_scores(model, split, "the Keras model")
    tflite_scores = evaluation.split_scores(TFLiteClassifier(path), split, "the .tflite")
    return report.Scores(split.labels, keras_scores, tflite_scores)


def _accept(content: dict[str, Any], settings: Settings, written: str) -> dict[str, Any]:
    """Puts a file that keeps the budget, and the report, where they belong."""
    evaluated = content["evaluation"]
    complaint = None if evaluated is None else settings.budget.complaint(evaluated)
    if complaint is not None:
        rejected_report = f"{os.path.splitext(settings.output)[0]}.rejected.json"
        files.write_json(rejected_report, content)
        print(report.format_report(content))
        raise WorkError(
            f"the file must keep the budget on all {evaluated['images']:,d} evaluation images; "
            f"see docs/quantization.md for what to try. Received: {complaint}; it is kept as "
            f"{written}"
        )
    if written != settings.output:
        os.replace(written, settings.output)
        content = content | {"file": settings.output}
    files.write_json(settings.report_path, content)
    return content


def _bundle(
    session: Session,
    settings: Settings,
    content: dict[str, Any],
    split: Split,
    scores: report.Scores,
) -> None:
    assert settings.bundle is not None
    run = os.path.dirname(session.model_path)
    is_run = os.path.isfile(os.path.join(run, runs.CONFIG))
    recipe = dataclasses.asdict(runs.read_config(run)[0].recipe) if is_run else {}
    chosen = bundle.choose_images(scores.tflite, split.labels, settings.seed)
    bundle.write_bundle(
        settings.bundle,
        settings.output,
        content["class_names"],
        split.images.fetch(chosen),
        split.labels[chosen],
        card_of(content, session.name, recipe),
        settings.overwrite,
    )


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
