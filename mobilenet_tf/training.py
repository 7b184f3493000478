"""Training a network: from a config to a run folder."""

import contextlib
import dataclasses
import os
import sys

from mobilenet_tf import curves, runs
from mobilenet_tf import weights as weight_files
from mobilenet_tf.cli import WorkError
from mobilenet_tf.data import datasets, pipeline
from mobilenet_tf.engine import keras
from mobilenet_tf.job import Job, compiled_model, save_model
from mobilenet_tf.layout import build_layout, last_map_size, strides_for
from mobilenet_tf.progress import say
from mobilenet_tf.recipe import resolve
from mobilenet_tf.recorder import Recorder
from mobilenet_tf.runs import NetworkConfig, TrainConfig


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


def train(config: TrainConfig) -> TrainResult:
    """Trains a new run.

    Args:
        config: the run; nothing is written before its data set is checked.

    Returns:
        A `TrainResult`.

    Raises:
        ValueError, OSError: a config, data set or weights file that cannot be
            used.
        WorkError: the training failed or was interrupted; what there is of it
            is saved.
    """
    runs.check_output_dir(config.output_dir)  # Not after an hour of reading images.
    source = datasets.open_source(config.data)
    config = _with_image_size(config, source)
    say(
        f"{len(source.class_names)} classes: {', '.join(source.class_names[:8])}"
        + (", ..." if len(source.class_names) > 8 else "")
    )
    _describe_network(config.network)
    job = prepare(config, source, run="")
    model = compiled_model(job)
    if config.weights:
        _load_weights(model, config)
    return _fit(start_run(job), model, first_epoch=0)


def start_run(job: Job) -> Job:
    """Makes the folder of a new run and writes its settings there."""
    config = job.config
    job = dataclasses.replace(job, run=runs.create_run(config))
    resolved = dataclasses.asdict(job.resolved)
    del resolved["recipe"]
    details = {
        "class_names": list(job.class_names),
        "train_images": len(job.train),
        "val_images": len(job.validation),
        "resolved": resolved,
    }
    runs.write_config(job.run, config, details)
    runs.write_labels(os.path.join(job.run, runs.LABELS), job.class_names)
    return job


def resume(run: str) -> TrainResult:
    """Goes on with an interrupted run from its last whole epoch.

    Args:
        run: its folder.

    Returns, raises: see `train`.
    """
    config, content = runs.read_config(run)
    if config.fine_tunes:
        raise ValueError(
            "a run of --quantization-aware, --prune or --cluster cannot go on; start it again "
            f"with --weights {config.weights}. Received: {run}"
        )
    source = datasets.open_source(config.data)
    if list(source.class_names) != content.get("class_names"):
        raise ValueError(
            "a run must go on with the classes it began with; restore the data set. "
            f"Received: {len(source.class_names)} classes in {config.data.dataset}"
        )
    job = prepare(config, source, run)
    model = compiled_model(job)
    checkpoint = os.path.join(run, runs.CHECKPOINT)
    if not os.path.isfile(checkpoint):
        if config.weights:
            _load_weights(model, config)
        return _fit(job, model, first_epoch=0)
    model.optimizer.build(model.trainable_variables)
    try:
        model.load_weights(checkpoint)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"the checkpoint must be intact. Received: {checkpoint} ({reason})"
        ) from None
    first_epoch = int(model.optimizer.iterations) // job.resolved.steps_per_epoch
    if first_epoch >= config.recipe.epochs and os.path.isfile(os.path.join(run, runs.MODEL)):
        raise ValueError(
            f"a run that has ended cannot go on; start a new one with --weights {run}. "
            f"Received: {run}, {first_epoch} of {config.recipe.epochs} epochs done"
        )
    return _fit(job, model, first_epoch)


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


def _load_weights(model: keras.Model, config: TrainConfig) -> None:
    path = str(config.weights)
    if os.path.isdir(path):
        path = os.path.join(path, runs.MODEL)
    if not os.path.isfile(path):
        raise ValueError(
            f"weights to start from must be a finished run, a .keras or a .h5. Received: {path}"
        )
    report = weight_files.transfer_weights(model, path)
    say(f"{path}: {report}")
    if not report.loaded:
        raise ValueError(
            "weights to start from must share layers with the network; check version, size and "
            f"alpha. Received: {path}, which shares none"
        )


def _fit(job: Job, model: keras.Model, first_epoch: int) -> TrainResult:
    record = Recorder(job, first_epoch)
    try:
        fit(job, model, [record], first_epoch)
    except KeyboardInterrupt:
        draw_curves(job, record)
        raise WorkError(
            f"interrupted; to go on: python train.py --resume {job.run}. "
            f"Received: Ctrl-C after {len(record.history)} whole epochs"
        ) from None
    return _finish(job, model, record)


def fit(
    job: Job, model: keras.Model, callbacks: list[keras.callbacks.Callback], first_epoch: int = 0
) -> None:
    """Trains a compiled model on a job's data, for as long as its recipe says.

    Args:
        job: with a run folder.
        model: float32 images in 0..255 to probabilities.
        callbacks: beside those that every training has.
        first_epoch: where to start.
    """
    config, recipe, classes = job.config, job.config.recipe, len(job.class_names)
    callbacks = [*callbacks, keras.callbacks.TerminateOnNaN()]
    if config.tensorboard:
        callbacks.append(keras.callbacks.TensorBoard(os.path.join(job.run, "tensorboard")))
    batches = pipeline.training_batches(
        job.train, classes, recipe.batch_size, recipe.augmentation, config.seed, first_epoch
    )
    validation = pipeline.evaluation_batches(job.validation, classes, recipe.batch_size)
    say(f"training in {job.run}: {recipe.epochs} x {job.resolved.steps_per_epoch} steps")
    with contextlib.redirect_stdout(sys.stderr):  # stdout is for results.
        model.fit(
            batches,
            steps_per_epoch=job.resolved.steps_per_epoch,
            epochs=recipe.epochs,
            initial_epoch=first_epoch,
            validation_data=validation,
            callbacks=callbacks,
            shuffle=False,  # The batches are shuffled already.
            verbose=1 if sys.stderr.isatty() else 0,
        )


def _finish(job: Job, model: keras.Model, record: Recorder) -> TrainResult:
    check_finished(job, record)
    save_model(model, job, os.path.join(job.run, runs.MODEL))
    draw_curves(job, record)
    best = max(record.history, key=lambda row: row["val_accuracy"])
    return TrainResult(
        run=job.run,
        val_accuracy=record.history[-1]["val_accuracy"],
        best_val_accuracy=best["val_accuracy"],
        best_epoch=int(best["epoch"]),
    )


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
