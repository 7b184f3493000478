"""What goes with a converted file: its metadata, and a golden bundle of evaluation images."""

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

from export import bundle, labels
from export.metadata import ModelMetadata
from export.model_card import card_of
from export.recipes import Recipe
from export.report import Scores
from mobilenet_tf import runs
from mobilenet_tf.data.store import Split


def describe(name: str, recipe: Recipe, class_names: Sequence[str]) -> ModelMetadata:
    """The metadata of a file of this project: raw RGB in, probabilities out.

    Args:
        name: of the model.
        recipe: from `export.recipes`.
        class_names: in the order of the outputs.

    Raises:
        ValueError: names that clients would not show.
    """
    labels.check_labels(class_names, len(class_names))
    return ModelMetadata(
        labels=tuple(class_names),
        name=name,
        description=f"Names which of {len(class_names)} classes an image shows. Input: raw RGB in "
        f"0..255. Output: a probability per class. Stored as {recipe.file_suffix}.",
        author="made with mobilenet_tf",
    )


def bundle_file(
    folder: str,
    report: dict[str, Any],
    name: str,
    split: Split,
    scores: Scores,
    seed: int,
    overwrite: bool,
) -> None:
    """Writes the bundle of a file that was converted and evaluated.

    Args:
        folder: for the bundle; see `bundle.write_bundle`.
        report: of `report.make_report`.
        name: of the model.
        split: evaluation images.
        scores: of the file on them.
        seed: of the images' choice.
        overwrite: replace an earlier bundle.

    Raises:
        ValueError, OSError: see `bundle.write_bundle`.
    """
    run = os.path.dirname(report["model"])
    is_run = os.path.isfile(os.path.join(run, runs.CONFIG))
    recipe = dataclasses.asdict(runs.read_config(run)[0].recipe) if is_run else {}
    chosen = bundle.choose_images(scores.tflite, split.labels, seed)
    bundle.write_bundle(
        folder,
        report["file"],
        report["class_names"],
        split.images.fetch(chosen),
        split.labels[chosen],
        card_of(report, name, recipe),
        overwrite,
    )
