"""What goes with a converted file: its metadata, and a golden bundle of evaluation images."""

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

from export import bundle, labels
from export.judge import Judge
from export.metadata import ModelMetadata
from export.model_card import Cost, card_of
from export.recipes import Recipe
from export.report import Scores, format_arm, format_partitions
from mobilenet_tf import runs
from mobilenet_tf.complexity import complexity
from mobilenet_tf.layout import strides_for
from mobilenet_tf.progress import say
from mobilenet_tf.runtime import median_latency_ms

_TIMED_RUNS = 50  # Of a file of a few milliseconds: over in a moment.


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
    judge: Judge,
    scores: Scores,
    seed: int,
    overwrite: bool,
) -> None:
    """Writes the bundle of a file that was converted and evaluated; times the file for its card.

    Args:
        folder: for the bundle; see `bundle.write_bundle`.
        report: of `report.make_report`.
        name: of the model.
        judge: with the evaluation images.
        scores: of the file on them.
        seed: of the images' choice.
        overwrite: replace an earlier bundle.

    Raises:
        ValueError, OSError: see `bundle.write_bundle`.
    """
    run = os.path.dirname(report["model"])
    is_run = os.path.isfile(os.path.join(run, runs.CONFIG))
    config, stored = runs.read_config(run) if is_run else (None, {})
    network = None if config is None else config.network
    split = judge.split
    chosen = bundle.choose_images(scores.tflite, split.labels, seed)
    bundle.write_bundle(
        folder,
        report["file"],
        report["class_names"],
        split.images.fetch(chosen),
        split.labels[chosen],
        card_of(
            report,
            name,
            None if network is None else network.words,
            {} if config is None else _recipe(config, stored),
            judge.provenance,
            _cost(report, network),
        ),
        overwrite,
    )


def _recipe(config: runs.TrainConfig, stored: dict[str, Any]) -> dict[str, Any]:
    """How a run was trained, with what it decided by itself."""
    start = "random weights" if config.weights is None else os.path.basename(config.weights)
    decided = {key: f"{value:.4g}" for key, value in stored.get("resolved", {}).items()}
    images = {"images": stored.get("train_images"), "started from": start, "seed": config.seed}
    return images | dataclasses.asdict(config.recipe) | decided


def _cost(report: dict[str, Any], network: runs.NetworkConfig | None) -> Cost:
    say(f"timing {report['file']}, {_TIMED_RUNS} runs")
    latency_ms = median_latency_ms(report["file"], _TIMED_RUNS)
    machine = report["machine"]
    counted = None
    if network is not None and network.image_size is not None:
        strides = strides_for(network.spec, network.image_size, network.last_map)
        counted = complexity(
            network.spec, network.alpha, network.image_size, len(report["class_names"]), strides
        )
    return Cost(
        size_bytes=report["facts"]["size_bytes"],
        parameters=None if counted is None else counted.parameters,
        macs=None if counted is None else counted.macs,
        partitions=format_partitions(report["facts"]["partitions"]),
        arm_instructions=format_arm(arm) if (arm := report["arm_instructions"]) else None,
        latency=f"{latency_ms:.2f} ms on {machine['cpu']} ({machine['architecture']}), LiteRT "
        f"{machine['versions']['ai-edge-litert']}, 1 thread, median of {_TIMED_RUNS} runs",
    )
