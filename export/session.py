"""One call of convert_tflite.py: model, data, conversion and proof together."""

import dataclasses
import os
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from export import bundle
from export import convert as conversion
from export import packaging, reference, report, stock
from export.acceptance import accept
from export.form import export_form
from export.graph import Graph
from export.judge import Judge, check_classes
from export.keras_graph import from_keras
from export.metadata import add_metadata
from export.quantization import mixed, trained_file
from export.quantization.float_layers import growing_sets
from export.quantization.scales import Quantization
from export.recipes import RECIPES
from export.settings import AUTO, Budget, Settings
from mobilenet_tf import files, run_folders, runs
from mobilenet_tf.classifier import KerasClassifier
from mobilenet_tf.cli import UsageError
from mobilenet_tf.data import datasets
from mobilenet_tf.progress import say

_TRIES = 24  # Conversions that leave out layers which `AUTO` may do without.


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
    path = runs.model_path(run_folders.newest_finished("runs") if model is None else model)
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


CountArm = Callable[[str], dict[str, int] | None]


def convert(
    session: Session, settings: Settings, count_arm: CountArm | None = None
) -> dict[str, Any]:
    """Converts, loads the file again, and compares it with the Keras model.

    Args:
        session: from `open_session`.
        settings: what to make.
        count_arm: from the path of a .tflite to the ARM instructions of one
            inference by core, None where they cannot be counted.

    Returns:
        The report, as in the .json; see `report.make_report`.

    Raises:
        UsageError: images are needed, and there is no data set.
        ValueError: existing files, or a data set that does not fit the model.
        WorkError: the conversion failed, or the file breaks the budget; it is
            then kept beside its place, with `.rejected` at its end.
    """
    _check(session, settings)
    start = time.monotonic()
    model = KerasClassifier(session.model_path)
    metadata = packaging.describe(session.name, settings.recipe, model.class_names)
    source = None if session.data is None else datasets.open_source(session.data)
    trained = _trained(model, settings)
    judge = None
    if source is not None:
        check_classes(model, source)
        judge = Judge(model if trained is None else reference.of_trained(model), source)
    say(f"converting {session.model_path}, --quantize {settings.recipe.name}")
    if trained is not None:
        made = _Made(conversion.write_trained(session.name, *trained))
    else:
        made = _make(session, model, source, judge, settings)
    # With a budget the file is rejected until it is proven.
    limited = settings.budget != Budget()
    written = f"{settings.output}.rejected" if limited else settings.output
    conversion.write_file(add_metadata(made.content, metadata), settings.recipe, written)
    converted = report.Converted(
        path=written,
        model_path=session.model_path,
        recipe=settings.recipe,
        hard_swish=settings.hard_swish_form,
        calibration_images=made.calibration_images,
        seed=settings.seed,
        seconds=time.monotonic() - start,
        choices=made.choices,
        arm_instructions=None if count_arm is None else count_arm(written),
    )
    return _prove(session, settings, converted, model.class_names, judge)


def _prove(
    session: Session,
    settings: Settings,
    converted: report.Converted,
    class_names: list[str],
    judge: Judge | None,
) -> dict[str, Any]:
    """Evaluates a written file, puts it and its reports in place, and bundles it."""
    scores = None if judge is None else judge.scores(converted.path)
    content = report.make_report(converted, class_names, session.data, scores)
    split = None if judge is None else judge.split
    content = accept(content, settings, converted.path, split)
    if settings.bundle is not None and judge is not None and scores is not None:
        rest = session.name, judge, scores, settings.seed, settings.overwrite
        packaging.bundle_file(settings.bundle, content, *rest)
    return content


@dataclasses.dataclass(frozen=True)
class _Made:
    """The content of a .tflite, and how it was made; see `report.Converted`."""

    content: bytes
    choices: report.Choices | None = None
    calibration_images: int = 0


def _make(
    session: Session,
    model: KerasClassifier,
    source: datasets.Source | None,
    judge: Judge | None,
    settings: Settings,
) -> _Made:
    if not settings.recipe.needs_calibration:
        return _Made(*_quantize(model, None, settings, judge))
    assert source is not None
    if settings.keep_float and settings.keep_float != (AUTO,):  # Not after calibrating.
        graph = export_form(from_keras(model.model), settings.hard_swish_form)
        conversion.check_layers(graph, frozenset(settings.keep_float))
    calibration = source.draw_train(model.image_size, settings.calibration_samples, settings.seed)
    return _Made(*_quantize(model, calibration, settings, judge), len(calibration))


def _trained(model: KerasClassifier, settings: Settings) -> tuple[Graph, Quantization] | None:
    """What quantization-aware training found, where that is what is asked for."""
    if not trained_file.is_beside(model.path) or not settings.recipe.needs_calibration:
        return None
    asked = {
        f"--quantize {settings.recipe.name}": settings.recipe.name != "int8",
        "--hard-swish fused": settings.hard_swish == "fused",
        f"--keep-float {','.join(settings.keep_float)}": bool(settings.keep_float),
    }
    others = [option for option, given in asked.items() if given]
    if others:
        raise UsageError(
            "a quantization-aware run was trained for --quantize int8 with every layer in 8 bits "
            "and --hard-swish split; leave the option out, or convert the float run that it came "
            f"from. Received: {' '.join(others)}"
        )
    say("with the weights and ranges of quantization-aware training")
    return trained_file.load_beside(model.path, from_keras(model.model))


def _quantize(
    model: KerasClassifier, calibration: np.ndarray | None, settings: Settings, judge: Judge | None
) -> tuple[bytes, report.Choices | None]:
    recipe = settings.recipe
    if recipe.stock:
        return stock.convert_with_tensorflow(model.path, recipe, calibration), None
    form = settings.hard_swish_form
    prepared = conversion.prepare(model.model, recipe, calibration, form, settings.seed)
    float_layers = frozenset(settings.keep_float)
    if settings.keep_float == (AUTO,):
        assert judge is not None
        float_layers = _fewest_float_layers(prepared, settings, judge)
    converted = prepared.convert(float_layers)
    if prepared.chosen is None or converted.quantized is None:
        return converted.content, None
    return converted.content, report.Choices(prepared.chosen, converted.quantized)


def _fewest_float_layers(
    prepared: conversion.Prepared, settings: Settings, judge: Judge
) -> frozenset[str]:
    assert prepared.chosen is not None
    sets = growing_sets(prepared.chosen)
    known: dict[frozenset[str], bool] = {}

    def meets(layers: frozenset[str]) -> bool:
        if layers not in known:
            content = prepared.convert(layers).content
            with tempfile.TemporaryDirectory() as folder:
                path = os.path.join(folder, "x.tflite")
                conversion.write_file(content, settings.recipe, path)
                complaint = settings.budget.complaint(report.evaluate(judge.scores(path)))
            say(f"{len(layers)} layers in float: {complaint or 'within the budget'}")
            known[layers] = complaint is None
        return known[layers]

    steps = mixed.fewest(lambda count: meets(sets[count]), len(sets) - 1)
    if steps is None:  # Not even all of them help: the budget rejects the file in the end.
        return sets[-1]
    order = [node.name for node in prepared.graph.nodes if node.name in sets[steps]]
    return frozenset(mixed.needed(lambda layers: meets(frozenset(layers)), order, _TRIES))


def _check(session: Session, settings: Settings) -> None:
    rejected = [f"{settings.output}.rejected"] if settings.budget != Budget() else []
    for path in (settings.output, settings.report_path, settings.page_path, *rejected):
        files.refuse_existing(path, settings.overwrite)
    if settings.bundle is not None:
        bundle.check_target(settings.bundle, settings.overwrite)
    files.require_parent(settings.output)
    needs = [f"--quantize {settings.recipe.name}"] if settings.recipe.needs_calibration else []
    needs += ["--bundle"] if settings.bundle is not None else []
    needs += ["a budget"] if settings.budget != Budget() else []
    if needs and session.data is None:
        raise UsageError(
            f"{' and '.join(needs)} needs images; name the training data with --dataset. "
            f"Received: {session.model_path}, which is in no run folder"
        )
