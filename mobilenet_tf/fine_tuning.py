"""What all ways to fine-tune a finished run share. They train on tf_keras, as tfmot does."""

import dataclasses
import os
import shlex
from typing import Any

from mobilenet_tf import fitting, run_folders, runs, training, weights
from mobilenet_tf.cli import WorkError
from mobilenet_tf.data import datasets
from mobilenet_tf.engine import keras
from mobilenet_tf.interruption import Interruption
from mobilenet_tf.job import Job, network_options
from mobilenet_tf.models import build_model
from mobilenet_tf.recipe import Recipe, make_optimizer
from mobilenet_tf.recorder import Recorder

LEARNING_RATE = 1e-4


@dataclasses.dataclass(frozen=True)
class FineTuning:
    """A run to fine-tune, opened.

    Attributes:
        job: without a run folder yet.
        network: with the run's weights.
        base: path of their .keras file.
    """

    job: Job
    network: keras.Model
    base: str


def config_from(run: str, recipe: Recipe, changes: dict[str, Any]) -> runs.TrainConfig:
    """The config that fine-tunes a run: its network and data, another recipe.

    Args:
        run: the folder of a float run.
        recipe: to train with.
        changes: further attributes of `TrainConfig`.

    Raises:
        ValueError: no run, or a quantization-aware one.
    """
    config, _ = runs.read_config(run)
    if config.quantization_aware:
        raise ValueError(
            "the run to start from must be a float run; name the one that this came from. "
            f"Received: {run}"
        )
    plain = dataclasses.replace(
        config, sparsity=None, clusters=None, freeze_backbone=False, teacher=None
    )
    return dataclasses.replace(plain, recipe=recipe, weights=run, **changes)


def open_run(config: runs.TrainConfig) -> FineTuning:
    """Reads data and weights; nothing is written.

    Raises:
        ValueError, OSError: a run or data set that cannot be used.
    """
    run_folders.check_output_dir(config.output_dir)
    base = os.path.join(str(config.weights), runs.MODEL)
    if not os.path.isfile(base):
        raise ValueError(
            "the run to start from must be a finished one; go on with it first: python train.py "
            f"--resume {shlex.quote(str(config.weights))}. "
            f"Received: {config.weights} without {runs.MODEL}"
        )
    source = datasets.open_source(config.data)
    job = training.prepare(config, source, run="")
    options = network_options(config, len(job.class_names), job.resolved.bn_momentum)
    network = build_model(config.network.spec, options)
    weights.load_weights(network, base)
    return FineTuning(job, network, base)


def fit(job: Job, model: keras.Model, callbacks: list[keras.callbacks.Callback]) -> float:
    """Trains, and leaves the history in the run folder.

    Args:
        job: with a run folder.
        model: not compiled.
        callbacks: of the way to fine-tune.

    Returns:
        The validation accuracy after the last epoch, 0..1.

    Raises:
        WorkError: the training failed or was interrupted.
    """
    smoothing = job.config.recipe.label_smoothing
    model.compile(
        optimizer=make_optimizer(job.resolved, model),
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=smoothing),
        metrics=["accuracy"],
        jit_compile=False,
    )
    record = _Record(job)
    try:
        fitting.fit(job, model, [record, *callbacks])
    except KeyboardInterrupt:
        raise WorkError(
            "fine-tuning must end to be of use; start it again. "
            f"Received: Ctrl-C after {len(record.history)} whole epochs"
        ) from None
    training.check_finished(job, record)
    training.draw_curves(job, record)
    return record.history[-1]["val_accuracy"]


class _Record(Recorder):
    """Keeps the history only: what is usable is there at the end, not after an epoch."""

    def __init__(self, job: Job) -> None:
        super().__init__(job, Interruption())

    def save_best(self) -> None:
        """Nothing: it is not finished."""

    def save_checkpoint(self) -> None:
        """Nothing: the run is too short to go on."""
