"""Training on several devices: TensorFlow's strategies, and what each replica is given.

Every process runs the same program. Each makes every global batch and keeps its
rows, so that order, augmentation and MixUp partners are those of one process.
The chief writes the run; the others write the same into a folder that goes with
them, since TensorFlow reads some values only where all processes read them.
"""

import contextlib
import dataclasses
import hashlib
import itertools
import json
import os
import tempfile
from typing import Any

import numpy as np
import tensorflow as tf

from mobilenet_tf import cluster, run_folders, runs
from mobilenet_tf.cli import WorkError
from mobilenet_tf.data import pipeline
from mobilenet_tf.data.store import Split
from mobilenet_tf.engine import keras


@dataclasses.dataclass(frozen=True)
class Validation:
    """What `fit` evaluates on.

    Attributes:
        batches: of images and labels.
        steps: how many; None where the batches end by themselves.
    """

    batches: Any
    steps: int | None


class Devices:
    """One process that computes on one device."""

    replicas = 1
    is_chief = True
    is_one_process = True

    def scope(self) -> contextlib.AbstractContextManager:
        """Where a model must be built and compiled."""
        return contextlib.nullcontext()

    def check_batch(self, batch_size: int) -> None:
        """Raises `ValueError` unless the replicas can share a batch equally."""
        if batch_size % self.replicas:
            raise ValueError(
                f"a batch must divide into equal parts for {self.replicas} replicas; choose "
                f"another --batch-size. Received: batches of {batch_size} images"
            )

    def agree(self, facts: Any) -> None:
        """Raises `WorkError` in every process unless all of them pass the same JSON value."""

    def share_weights(self, model: keras.Model) -> None:
        """Gives every process the chief's weights."""

    def scratch(self) -> str:
        """A folder that is removed when the process ends."""
        if not hasattr(self, "_scratch"):
            self._scratch = tempfile.TemporaryDirectory()
        return self._scratch.name

    def create_run(self, config: runs.TrainConfig) -> str:
        """Makes the folder that this process writes a new run into."""
        return run_folders.create_run(config)

    def open_run(self, run: str) -> str:
        """The folder that this process writes a run into which goes on."""
        return run

    def training(self, batches: tf.data.Dataset) -> Any:
        """Shares out endless global batches."""
        return batches

    def validation(self, split: Split, classes: int, batch_size: int) -> Validation:
        """Shares out all images of a split, each exactly once."""
        return Validation(pipeline.evaluation_batches(split, classes, batch_size), None)


ONE_DEVICE = Devices()


class Replicas(Devices):
    """Several devices or processes under a strategy of TensorFlow."""

    def __init__(self, strategy: tf.distribute.Strategy, choice: cluster.Choice) -> None:
        self._strategy = strategy
        self.replicas = strategy.num_replicas_in_sync
        self.is_chief = choice.is_chief
        self.is_one_process = choice.cluster is None

    def scope(self) -> contextlib.AbstractContextManager:
        """See `Devices`."""
        return self._strategy.scope()

    def agree(self, facts: Any) -> None:
        """See `Devices`."""
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).digest()
        value = tf.constant([int.from_bytes(digest[:7])], tf.int64)

        @tf.function
        def gather() -> Any:
            def one() -> tf.Tensor:
                return tf.distribute.get_replica_context().all_gather(value, axis=0)

            return self._strategy.run(one)

        found = self._strategy.experimental_local_results(gather())[0].numpy()
        if len(set(found)) > 1:
            raise WorkError(
                "all workers must be started with the same command, code and images. "
                f"Received: {len(set(found))} different ones on {len(found)} replicas"
            )

    def share_weights(self, model: keras.Model) -> None:
        """See `Devices`."""

        @tf.function
        def send() -> Any:
            def one() -> list[tf.Tensor]:
                replica = tf.distribute.get_replica_context()
                is_source = tf.equal(replica.replica_id_in_sync_group, 0)
                values = [tf.convert_to_tensor(variable) for variable in model.weights]
                values = [tf.where(is_source, value, tf.zeros_like(value)) for value in values]
                return replica.all_reduce(tf.distribute.ReduceOp.SUM, values)

            return self._strategy.run(one)

        local = self._strategy.experimental_local_results
        model.set_weights([local(value)[0].numpy() for value in send()])

    def create_run(self, config: runs.TrainConfig) -> str:
        """See `Devices`."""
        return run_folders.create_run(config) if self.is_chief else self._shadow_run()

    def open_run(self, run: str) -> str:
        """See `Devices`."""
        if self.is_chief:
            return run
        return self._shadow_run()

    def _shadow_run(self) -> str:
        folder = os.path.join(self.scratch(), "run")
        os.mkdir(folder)
        return folder

    def training(self, batches: tf.data.Dataset) -> Any:
        """See `Devices`."""

        def own(context: tf.distribute.InputContext) -> tf.data.Dataset:
            return _own_rows(batches, context)

        return self._strategy.distribute_datasets_from_function(own)

    def validation(self, split: Split, classes: int, batch_size: int) -> Validation:
        """See `Devices`."""
        size, steps = even_batches(len(split), self.replicas, max(1, batch_size // self.replicas))

        def own(context: tf.distribute.InputContext) -> tf.data.Dataset:
            parts = [
                pipeline.evaluation_batches(_part(split, replica, self.replicas), classes, size)
                for replica in _own_replicas(context)
            ]
            turns = tf.data.Dataset.range(len(parts)).repeat(steps)
            return tf.data.Dataset.choose_from_datasets(parts, turns).repeat()

        return Validation(self._strategy.distribute_datasets_from_function(own), steps)


def _own_replicas(context: tf.distribute.InputContext) -> range:
    """Ids of the replicas of this process; every process has equally many."""
    count = context.num_replicas_in_sync // context.num_input_pipelines
    return range(context.input_pipeline_id * count, (context.input_pipeline_id + 1) * count)


def _own_rows(batches: tf.data.Dataset, context: tf.distribute.InputContext) -> tf.data.Dataset:
    """Cuts global batches into one batch for each replica of this process, in turn."""
    own, replicas = _own_replicas(context), context.num_replicas_in_sync

    def cut(images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        size = images.shape[0] // replicas
        rows = slice(own.start * size, own.stop * size)
        return tuple(
            tf.reshape(values[rows], (len(own), size, *values.shape[1:]))
            for values in (images, labels)
        )

    return batches.map(cut).unbatch().prefetch(pipeline.BATCHES_AHEAD)


@dataclasses.dataclass(frozen=True)
class _Subset:
    """Every n-th image of a store; see `ImageStore`."""

    images: Any
    indices: np.ndarray

    def __len__(self) -> int:
        return len(self.indices)

    def fetch(self, indices: np.ndarray) -> np.ndarray:
        return self.images.fetch(self.indices[indices])


def _part(split: Split, index: int, count: int) -> Split:
    indices = np.arange(index, len(split), count)
    names = [split.names[int(i)] for i in indices]
    return Split(_Subset(split.images, indices), split.labels[indices], names)


def even_batches(images: int, replicas: int, batch_size: int) -> tuple[int, int]:
    """A batch size with which every replica evaluates in equally many steps.

    Shares of a split differ by one image at most; a step that only some
    replicas had would keep these waiting.

    Args:
        images: of the split.
        replicas: that share it.
        batch_size: images of a replica's batch, about; at least 1.

    Returns:
        Batch size, at least the one given, and number of steps.

    Raises:
        ValueError: fewer images than replicas.
    """
    if images < replicas:
        raise ValueError(
            "every replica needs an image to validate on; use fewer workers or more images. "
            f"Received: {images} images for {replicas} replicas"
        )
    most, least = -(-images // replicas), images // replicas
    sizes = itertools.count(batch_size)
    size = next(size for size in sizes if -(-most // size) == -(-least // size))
    return size, -(-most // size)
