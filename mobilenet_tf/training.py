"""Training a network: from a config to a run folder."""

import contextlib
import dataclasses
import hashlib
import os
import shlex
import shutil
from typing import Any

from mobilenet_tf import (
    checkpoints,
    curves,
    distillation,
    files,
    fitting,
    model_labels,
    plain_model,
    run_folders,
    runs,
    transfer,
)
from mobilenet_tf import weights as weight_files
from mobilenet_tf.cli import WorkError
from mobilenet_tf.data import datasets, pipeline
from mobilenet_tf.distribution import ONE_DEVICE, Devices
from mobilenet_tf.engine import USES_TF_KERAS, keras
from mobilenet_tf.interruption import deferred
from mobilenet_tf.job import Job, compiled_model, save_model
from mobilenet_tf.layout import build_layout, last_map_size, strides_for
from mobilenet_tf.progress import say
from mobilenet_tf.recipe import resolve
from mobilenet_tf.recorder import Recorder
from mobilenet_tf.runs import NetworkConfig, TrainConfig

ENGINE = "tf_keras" if USES_TF_KERAS else "keras"


@dataclasses.dataclass(frozen=True)
class TrainResult:
    """What a run came to.

    Attributes:
        run: its folder.
        val_accuracy: of model.keras on the whole validation split, 0..1.
        best_val_accuracy: of best.keras.
        best_epoch: counted from 1.
    """

    run: str
    val_accuracy: float
    best_val_accuracy: float
    best_epoch: int


def train(config: TrainConfig, devices: Devices = ONE_DEVICE) -> TrainResult:
    """Trains a new run.

    Args:
        config: the run; nothing is written before its data set is checked.
        devices: what trains it.

    Returns:
        A `TrainResult`.

    Raises:
        ValueError, OSError: a config, data set or weights file that cannot be
            used.
        WorkError: the training failed or was interrupted; what there is of it
            is saved.
    """
    if devices.is_chief:  # Not after an hour of reading images, as all of these.
        run_folders.check_output_dir(config.output_dir)
        _check_outside_data(config)
    if config.weights:
        transfer.weights_path(config.weights)
    if config.teacher is not None:
        distillation.model_path(config.teacher.path)
    devices.check_batch(config.recipe.batch_size)
    source = datasets.open_source(config.data)
    config = _with_image_size(config, source)
    say(
        f"{len(source.class_names)} classes: {', '.join(source.class_names[:8])}"
        + (", ..." if len(source.class_names) > 8 else "")
    )
    _describe_network(config.network)
    if config.teacher is not None:
        teacher = distillation.identified(config.teacher, source.class_names)
        config = dataclasses.replace(config, teacher=teacher)
    job = dataclasses.replace(prepare(config, source, run=""), devices=devices)
    devices.check_batch(min(config.recipe.batch_size, len(job.train)))
    model = compiled_model(job)
    loaded = transfer.start(model, job)  # An error in it leaves no folder.
    devices.agree(facts(job, step=0))
    run = devices.create_run(config)
    with run_folders.locked(run):
        run_folders.check_output_dir(run)  # Somebody else may have been faster.
        job = with_template(start_run(job, run, loaded))
        set_first_weights(job, model)
        return fit_run(job, model, state=None)


def _check_outside_data(config: TrainConfig) -> None:
    """A run inside a folder of classes would be one more class of the next training."""
    run = os.path.realpath(config.output_dir or "runs")
    for folder in (config.data.dataset, config.data.val_dataset):
        if folder and os.path.isdir(folder):
            root = os.path.realpath(folder)
            if os.path.commonpath([root, run]) == root:
                raise ValueError(
                    "a run must lie outside the folder of images; choose another --output-dir. "
                    f"Received: {config.output_dir or 'runs'} in {folder}"
                )


def facts(job: Job, step: int) -> list[Any]:
    """What all processes of a run must have in common."""
    splits = (job.train, job.validation)
    labels = [hashlib.sha256(split.labels.tobytes()).hexdigest() for split in splits]
    config = dataclasses.replace(job.config, output_dir=None)
    return [dataclasses.asdict(config), job.class_names, labels, step]


def with_template(job: Job) -> Job:
    """Has Keras 3 write what tf_keras needs to save the run's network."""
    if not USES_TF_KERAS or not job.devices.is_chief:
        return job
    template = os.path.join(job.devices.scratch(), "network.keras")
    plain_model.make(job.run, template)
    return dataclasses.replace(job, template=template)


def set_first_weights(job: Job, model: keras.Model) -> None:
    """On tf_keras: the weights that the run would begin with on Keras 3, from the chief."""
    if job.template:
        weight_files.load_weights(model, job.template)
        transfer.start(model, job)
    job.devices.share_weights(model)


def start_run(job: Job, run: str, loaded: dict[str, Any] | None = None) -> Job:
    """Writes a new run's settings into its folder.

    Args:
        job: of the run, without its folder.
        run: the folder.
        loaded: of `transfer.start`, if any.
    """
    config = job.config
    job = dataclasses.replace(job, run=run)
    details = {
        "class_names": list(job.class_names),
        "train_images": len(job.train),
        "val_images": len(job.validation),
        "train_fingerprint": job.train.fingerprint(),
        "val_fingerprint": job.validation.fingerprint(),
        "engine": ENGINE,
        "resolved": resolved_recipe(job),
    } | (loaded or {})
    runs.write_config(job.run, config, details)
    model_labels.write(os.path.join(job.run, runs.LABELS), job.class_names)
    return job


def resolved_recipe(job: Job) -> dict[str, Any]:
    """What the recipe came to for these images, as config.json has it."""
    resolved = dataclasses.asdict(job.resolved)
    del resolved["recipe"]
    return resolved


def _with_image_size(config: TrainConfig, source: datasets.Source) -> TrainConfig:
    if config.network.image_size is not None:
        return config
    image_size = datasets.default_image_size(source.native_size)
    network = dataclasses.replace(config.network, image_size=image_size)
    return dataclasses.replace(config, network=network)


def _describe_network(network: NetworkConfig) -> None:
    assert network.image_size is not None
    strides = strides_for(network.spec, network.image_size, network.last_map)
    used = build_layout(network.spec, network.alpha, strides)
    side = last_map_size(used, network.image_size)
    changed = "" if used.output_stride == 32 else f", output stride {used.output_stride}"
    say(
        f"{network.file_name}: input {network.image_size}x{network.image_size}, "
        f"last map {side}x{side}{changed} (--last-map to choose)"
    )


def prepare(config: TrainConfig, source: datasets.Source, run: str) -> Job:
    """Reads the images and works out the recipe.

    Args:
        config: with an image size.
        source: its data set.
        run: its folder; "" where there is none yet.
    """
    assert config.network.image_size is not None
    train_split = source.read_train(config.network.image_size)
    validation = source.read_validation(config.network.image_size)
    for note in source.notes:
        say(f"note: {note}")
    say(f"{len(train_split):,d} images to train on, {len(validation):,d} to validate on")
    steps = pipeline.steps_per_epoch(train_split, config.recipe.batch_size)
    resolved = resolve(config.recipe, steps)
    return Job(run, config, source.class_names, train_split, validation, resolved)


def fit_run(job: Job, model: keras.Model, state: checkpoints.State | None) -> TrainResult:
    """Trains to the end, and leaves the run folder as `train` promises.

    Args:
        job: with its run folder.
        model: compiled, with the weights to go on from.
        state: of the checkpoint that they are from; None at the beginning.

    Returns, raises: see `train`.
    """
    with deferred() as interruption:
        record = Recorder(job, interruption, state)
        to_go_on = f"to go on: python train.py --resume {shlex.quote(job.run)}"
        try:
            fitting.fit(job, model, [record], record.step)
            return _finish(job, model, record)
        except KeyboardInterrupt:
            with contextlib.suppress(OSError):  # A full disk; how to go on matters more.
                draw_curves(job, record)
            steps = record.step % job.resolved.steps_per_epoch
            raise WorkError(
                f"interrupted; {to_go_on}. Received: {interruption.received or 'Ctrl-C'} after "
                f"{len(record.history)} whole epochs and {steps} steps"
            ) from None
        except OSError as error:  # A full disk, say.
            left = "goes on" if checkpoints.paths(job.run) else "begins again: no step is saved"
            raise WorkError(
                "the run folder must be writable and have room; mend that, then "
                f"{to_go_on}, which {left}. Received: {error}"
            ) from None


def _finish(job: Job, model: keras.Model, record: Recorder) -> TrainResult:
    check_finished(job, record)
    draw_curves(job, record)
    path = os.path.join(job.run, runs.MODEL)
    _save_last(model, job, path)
    best = record.saved_best
    if best is None:  # The disk has been full until now.
        with files.replacing(os.path.join(job.run, runs.BEST)) as temporary:
            shutil.copyfile(path, temporary)
        best = record.history[-1]
    curves.write_history(os.path.join(job.run, runs.HISTORY), record.history)
    checkpoints.remove(job.run)
    return TrainResult(
        run=job.run,
        val_accuracy=record.history[-1]["val_accuracy"],
        best_val_accuracy=best["val_accuracy"],
        best_epoch=int(best["epoch"]),
    )


def _save_last(model: keras.Model, job: Job, path: str) -> None:
    try:
        save_model(model, job, path)
    except OSError:  # A full disk: one checkpoint is enough. Several processes save together.
        if USES_TF_KERAS or not checkpoints.remove_older(job.run):
            raise
        save_model(model, job, path)


def check_finished(job: Job, record: Recorder) -> None:
    """Raises `WorkError` where the loss stopped being a number."""
    epochs = job.config.recipe.epochs
    if len(record.history) < epochs:
        raise WorkError(
            "the loss must stay finite; use a lower --learning-rate. "
            f"Received: a loss that is not a number in epoch {len(record.history) + 1} of {epochs}"
        )


def draw_curves(job: Job, record: Recorder) -> None:
    """Draws the epochs so far, if there are any."""
    if record.history:
        path = os.path.join(job.run, runs.CURVES)
        curves.plot_history(record.history, os.path.basename(os.path.normpath(job.run)), path)
