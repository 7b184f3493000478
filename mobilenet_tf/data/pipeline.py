"""tf.data pipelines: shuffled, augmented training batches; plain evaluation ones."""

import os

import numpy as np
import tensorflow as tf

from mobilenet_tf.data.augmentation import make_augment
from mobilenet_tf.data.store import Split

_PARALLEL = min(8, os.cpu_count() or 1)  # Batches made at the same time.
BATCHES_AHEAD = 4  # Batches made before they are asked for.


def steps_per_epoch(split: Split, batch_size: int) -> int:
    """Training batches of an epoch: whole ones, but at least one."""
    return max(1, len(split) // batch_size)


def training_batches(
    split: Split, classes: int, batch_size: int, policy: str, seed: int, first_step: int = 0
) -> tf.data.Dataset:
    """Endless training batches, the same for the same arguments.

    Each epoch is a new permutation of the images that depends on (seed, epoch)
    only, so a run that starts again at any step sees the same data as one that
    never stopped. The last images of a permutation that fill no whole batch
    are left to other epochs.

    Args:
        split: training images.
        classes: number of classes.
        batch_size: images of a batch; fewer where the split has fewer.
        policy: see `augmentation.make_augment`.
        seed: of order and augmentation.
        first_step: where to start, counted through all epochs.

    Returns:
        Batches of float32 images (batch, h, w, 3) in [0, 255] and float32
        labels (batch, classes), rows summing to 1.
    """
    count, steps = len(split), steps_per_epoch(split, batch_size)
    batch_size = min(batch_size, count)
    augment = make_augment(policy, seed)

    def epoch_batches(epoch: tf.Tensor) -> tf.data.Dataset:
        order = tf.random.experimental.stateless_shuffle(
            tf.range(count, dtype=tf.int64), seed=tf.stack([tf.cast(seed, tf.int64), epoch])
        )
        indices = tf.data.Dataset.from_tensor_slices(order).batch(batch_size, drop_remainder=True)
        numbers = tf.data.Dataset.range(epoch * steps, (epoch + 1) * steps)
        return tf.data.Dataset.zip((numbers, indices))

    def finish(
        step: tf.Tensor, images: tf.Tensor, labels: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        one_hot = tf.one_hot(labels, classes)
        images = tf.cast(images, tf.float32)
        return augment(step, images, one_hot) if augment else (images, one_hot)

    epochs = tf.data.Dataset.range(first_step // steps, tf.int64.max)
    batches = epochs.flat_map(epoch_batches).skip(first_step % steps)
    batches = batches.map(
        lambda step, indices: (step, *_fetch(split, indices, batch_size)),
        num_parallel_calls=_PARALLEL,
    )
    return _ahead(batches.map(finish, num_parallel_calls=_PARALLEL))


def evaluation_batches(split: Split, classes: int, batch_size: int) -> tf.data.Dataset:
    """All images once, in order, as they are.

    Args:
        split: validation images.
        classes: number of classes.
        batch_size: images of a batch; the last one may be smaller.

    Returns:
        Batches as of `training_batches`.
    """
    indices = tf.data.Dataset.range(len(split)).batch(batch_size)
    batches = indices.map(lambda i: _fetch(split, i, None), num_parallel_calls=_PARALLEL)
    return _ahead(
        batches.map(
            lambda images, labels: (tf.cast(images, tf.float32), tf.one_hot(labels, classes))
        )
    )


def _ahead(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Prefetches, with nothing left to tf.data's tuner.

    Giving up an iterator, at the end of an epoch's validation, may wait for the tuner's
    thread, which sleeps up to a minute at a time (TensorFlow 2.21).
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return batches.prefetch(BATCHES_AHEAD).with_options(options)


def _fetch(split: Split, indices: tf.Tensor, batch_size: int | None) -> tuple[tf.Tensor, tf.Tensor]:
    side = split.images.fetch(np.zeros(1, np.int64)).shape[1]
    images = tf.numpy_function(split.images.fetch, [indices], tf.uint8, stateful=False)
    images = tf.ensure_shape(images, (batch_size, side, side, 3))
    return images, tf.gather(tf.constant(split.labels), indices)
