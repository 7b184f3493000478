"""Training a network: from a config to a run folder."""

import contextlib
import dataclasses
import os
import sys
import time
from typing import Any

import numpy as np

from mobilenet_tf import curves, files, runs
from mobilenet_tf import weights as weight_files
from mobilenet_tf.cli import WorkError
from mobilenet_tf.data import datasets, pipeline
from mobilenet_tf.data.store import Split
from mobilenet_tf.engine import keras
from mobilenet_tf.layout import build_layout, last_map_size, strides_for
from mobilenet_tf.models import ModelOptions, build_model
from mobilenet_tf.progress import duration
from mobilenet_tf.recipe import ResolvedRecipe, make_optimizer, resolve
from mobilenet_tf.runs import NetworkConfig, TrainConfig

# What `freeze_backbone` leaves trainable: the layers after pooling.
HEAD_LAYERS = ("conv_preds", "conv_2", "logits", "predictions")


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


@dataclasses.dataclass(frozen=True)
class _Job:
    """Everything that a run's training needs."""

    run: str
    config: TrainConfig
    class_names: tuple[str, ...]
    train: Split
    validation: Split
    resolved: ResolvedRecipe


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
    source = datasets.open_source(config.data)
    config = _with_image_size(config, source)
    _say(
        f"{len(source.class_names)} classes: {', '.join(source.class_names[:8])}"
        + (", ..." if len(source.class_names) > 8 else "")
    )
    _describe_network(config.network)
    job = _prepare(config, source, run="")
    model = _build(job)
    if config.weights:
        _load_weights(model, config)
    job = dataclasses.replace(job, run=runs.create_run(config))
    resolved = {key: value for key, value in dataclasses.asdict(job.resolved).items()}
    del resolved["recipe"]
    details = {
        "class_names": list(job.class_names),
        "train_images": len(job.train),
        "val_images": len(job.validation),
        "resolved": resolved,
    }
    runs.write_config(job.run, config, details)
    runs.write_labels(os.path.join(job.run, runs.LABELS), job.class_names)
    return _fit(job, model, first_epoch=0)


def resume(run: str) -> TrainResult:
    """Goes on with an interrupted run from its last whole epoch.

    Args:
        run: its folder.

    Returns, raises: see `train`.
    """
    config, content = runs.read_config(run)
    source = datasets.open_source(config.data)
    if list(source.class_names) != content["class_names"]:
        raise ValueError(
            "a run must go on with the classes it began with; restore the data set. "
            f"Received: {len(source.class_names)} classes in {config.data.dataset}"
        )
    job = _prepare(config, source, run)
    model = _build(job)
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
    if first_epoch >= config.recipe.epochs:
        raise ValueError(
            f"a run that has ended cannot go on; start a new one with --weights {run}. "
            f"Received: {run}, {first_epoch} of {config.recipe.epochs} epochs done"
        )
    return _fit(job, model, first_epoch)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


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
    _say(
        f"{network.file_name}: input {network.image_size}x{network.image_size}, "
        f"last map {side}x{side}{changed} (--last-map to choose)"
    )


def _prepare(config: TrainConfig, source: datasets.Source, run: str) -> _Job:
    assert config.network.image_size is not None
    train_split = source.read_train(config.network.image_size)
    validation = source.read_validation(config.network.image_size)
    for note in source.notes:
        _say(f"note: {note}")
    _say(f"{len(train_split):,d} images to train on, {len(validation):,d} to validate on")
    steps = pipeline.steps_per_epoch(train_split, config.recipe.batch_size)
    resolved = resolve(config.recipe, steps)
    return _Job(run, config, source.class_names, train_split, validation, resolved)


def network_options(
    config: TrainConfig, classes: int, bn_momentum: float | None = None
) -> ModelOptions:
    """The options that a run's network is built with."""
    network = config.network
    assert network.image_size is not None
    return ModelOptions(
        input_shape=(network.image_size, network.image_size, 3),
        alpha=network.alpha,
        classes=classes,
        dropout_rate=config.recipe.dropout_rate,
        name=network.file_name.replace(".", "_"),
        last_map=network.last_map or 2,
        bn_momentum=bn_momentum,
    )


def _build(job: _Job) -> keras.Model:
    config, classes = job.config, len(job.class_names)
    keras.utils.set_random_seed(config.seed)
    options = network_options(config, classes, job.resolved.bn_momentum)
    model = build_model(config.network.spec, options)
    if config.freeze_backbone:
        for layer in model.layers:
            layer.trainable = layer.name in HEAD_LAYERS
    model.compile(
        optimizer=make_optimizer(job.resolved, model),
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=config.recipe.label_smoothing),
        metrics=["accuracy"],
        jit_compile=False,  # XLA on a CPU trains depthwise networks ten times slower.
    )
    return model


def _load_weights(model: keras.Model, config: TrainConfig) -> None:
    path = str(config.weights)
    if os.path.isdir(path):
        path = os.path.join(path, runs.MODEL)
    report = weight_files.transfer_weights(model, path)
    _say(f"{path}: {report}")
    if not report.loaded:
        raise ValueError(
            "weights to start from must share layers with the network; check version, size and "
            f"alpha. Received: {path}, which shares none"
        )


class _Run(keras.callbacks.Callback):
    """Sets the rate, evaluates the averaged weights, and saves after each epoch."""

    def __init__(self, job: _Job, first_epoch: int) -> None:
        super().__init__()
        self._job = job
        self._step = first_epoch * job.resolved.steps_per_epoch
        history = curves.read_history(os.path.join(job.run, runs.HISTORY))
        self.history = history[:first_epoch]
        self._first_epoch, self._start, self._epoch_start = first_epoch, time.monotonic(), 0.0
        self._raw: list[np.ndarray] | None = None

    @property
    def best(self) -> float:
        """The best validation accuracy so far, 0..1."""
        return max((row["val_accuracy"] for row in self.history), default=-1.0)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Sets the learning rate of the step."""
        self.model.optimizer.learning_rate = self._job.resolved.learning_rate_at(self._step)
        self._step += 1

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Starts the epoch's clock."""
        self._epoch_start = time.monotonic()

    def on_test_begin(self, logs: Any = None) -> None:
        """Puts the averaged weights in place of the trained ones."""
        # Exchanged exactly; keras.callbacks.SwapEMAWeights adds and subtracts,
        # which rounds the trained weights at every evaluation.
        if self._job.resolved.ema_momentum is not None:
            variables = self.model.trainable_variables
            self._raw = [keras.ops.convert_to_numpy(variable) for variable in variables]
            self.model.optimizer.finalize_variable_values(variables)

    def on_test_end(self, logs: Any = None) -> None:
        """Saves the best model, then puts the trained weights back."""
        if logs and logs["accuracy"] > self.best:
            save_model(self.model, self._job, os.path.join(self._job.run, runs.BEST))
        if self._raw is not None:
            for variable, value in zip(self.model.trainable_variables, self._raw):
                variable.assign(value)
            self._raw = None

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Records the epoch and writes the checkpoint."""
        if not np.isfinite(logs["loss"]):
            return  # TerminateOnNaN has ended the run; the last good checkpoint stays.
        row = {key: float(logs[key]) for key in curves.FIELDS if key in logs}
        row["epoch"] = epoch + 1
        row["learning_rate"] = self._job.resolved.learning_rate_at(self._step - 1)
        row["seconds"] = round(time.monotonic() - self._epoch_start, 2)
        self.history.append(row)
        with files.replacing(os.path.join(self._job.run, runs.CHECKPOINT)) as temporary:
            self.model.save_weights(temporary, overwrite=True)
        curves.write_history(os.path.join(self._job.run, runs.HISTORY), self.history)
        epochs, done = self._job.config.recipe.epochs, epoch + 1 - self._first_epoch
        left = (time.monotonic() - self._start) / done * (epochs - epoch - 1)
        _say(
            f"epoch {epoch + 1}/{epochs}: accuracy {100 * row['accuracy']:.2f} %, "
            f"validation {100 * row['val_accuracy']:.2f} %, {duration(left)} left in all"
        )


def _fit(job: _Job, model: keras.Model, first_epoch: int) -> TrainResult:
    config, classes = job.config, len(job.class_names)
    recipe = config.recipe
    record = _Run(job, first_epoch)
    callbacks: list[keras.callbacks.Callback] = [record, keras.callbacks.TerminateOnNaN()]
    if config.tensorboard:
        callbacks.append(keras.callbacks.TensorBoard(os.path.join(job.run, "tensorboard")))
    batches = pipeline.training_batches(
        job.train, classes, recipe.batch_size, recipe.augmentation, config.seed, first_epoch
    )
    validation = pipeline.evaluation_batches(job.validation, classes, recipe.batch_size)
    _say(f"training {recipe.epochs} epochs of {job.resolved.steps_per_epoch} steps in {job.run}")
    try:
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
    except KeyboardInterrupt:
        _draw(job, record)
        raise WorkError(
            f"interrupted; to go on: python train.py --resume {job.run}. "
            f"Received: Ctrl-C after {len(record.history)} whole epochs"
        ) from None
    return _finish(job, model, record)


def _finish(job: _Job, model: keras.Model, record: _Run) -> TrainResult:
    epochs = job.config.recipe.epochs
    if len(record.history) < epochs:
        raise WorkError(
            "the loss must stay finite; use a lower --learning-rate. "
            f"Received: a loss that is not a number in epoch {len(record.history) + 1} of {epochs}"
        )
    save_model(model, job, os.path.join(job.run, runs.MODEL))
    _draw(job, record)
    best = max(record.history, key=lambda row: row["val_accuracy"])
    return TrainResult(
        run=job.run,
        val_accuracy=record.history[-1]["val_accuracy"],
        best_val_accuracy=best["val_accuracy"],
        best_epoch=int(best["epoch"]),
    )


def _draw(job: _Job, record: _Run) -> None:
    if record.history:
        path = os.path.join(job.run, runs.CURVES)
        curves.plot_history(record.history, os.path.basename(os.path.normpath(job.run)), path)


def save_model(model: keras.Model, job: _Job, path: str) -> None:
    """Writes a .keras without optimizer, loadable by plain Keras, labels inside."""
    options = network_options(job.config, len(job.class_names), job.resolved.bn_momentum)
    plain = build_model(job.config.network.spec, options)
    plain.set_weights(model.get_weights())
    with files.replacing(path) as temporary:
        plain.save(temporary)
        runs.embed_labels(temporary, job.class_names)
