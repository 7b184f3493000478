"""Starting a run from the weights of another network, whole or in part."""

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from mobilenet_tf import model_labels, narrowing, runs, weights
from mobilenet_tf.data import pipeline
from mobilenet_tf.engine import keras, layers
from mobilenet_tf.job import Job
from mobilenet_tf.progress import say

_STATISTICS_IMAGES = 2048  # A channel's mean is known to 2 % of its deviation.


def start(model: keras.Model, job: Job) -> dict[str, Any]:
    """Loads the weights that a job's config names, and says what was loaded.

    Args:
        model: gets the weights.
        job: with training images.

    Returns:
        What config.json says of it; empty for a job without weights.

    Raises:
        ValueError: see `load`.
    """
    if not job.config.weights:
        return {}
    path, report = load(model, job.config.weights, job.class_names)
    say(f"{path}: {report}")
    if job.config.freeze_backbone:
        _check_frozen(model, path, report)
    if report.sliced:
        images = estimate_statistics(model, job)
        say(f"BatchNorm's statistics estimated again, from {images:,d} images")
    return {"loaded": {"file": path, **dataclasses.asdict(report)}}


def _check_frozen(model: keras.Model, path: str, report: weights.TransferReport) -> None:
    frozen = {layer.name for layer in model.layers if layer.weights and not layer.trainable}
    random = len(frozen - set(report.loaded))
    if random:
        raise ValueError(
            "--freeze-backbone needs weights of the whole backbone; check version, size and alpha, "
            f"or leave it out. Received: {path}, which leaves {random} frozen layers random"
        )


def weights_path(source: str) -> str:
    """The file of weights that may be named by their run.

    Raises:
        ValueError: there is none.
    """
    path = runs.model_path(source)
    if not os.path.isfile(path):
        raise ValueError(
            f"weights to start from must be a finished run, a .keras or a .h5. Received: {path}"
        )
    return path


def load(
    model: keras.Model, source: str, class_names: Sequence[str]
) -> tuple[str, weights.TransferReport]:
    """Loads what fits by layer name, and slices what is wider.

    Args:
        model: gets the weights.
        source: a run, a .keras or a .h5 file. Where it names other classes, or in another
            order, its classifier is left out.
        class_names: of the model's outputs.

    Returns:
        The file's path, and what was loaded.

    Raises:
        ValueError: no weights, or none that fit.
    """
    path = weights_path(source)
    given = weights.read_weights(path, model)
    broken = sorted(
        name for name, arrays in given.items() if not all(np.isfinite(one).all() for one in arrays)
    )
    if broken:
        raise ValueError(
            "weights to start from must be finite numbers; use another file. "
            f"Received: {path} with NaN or infinity in {broken[0]}"
        )
    named = model_labels.of_model(path)
    others = [name for name in named or () if name not in class_names]
    if named and len(named) == len(class_names) and named != list(class_names):
        say(f"note: {path} has {f'classes such as {others[0]}' if others else 'another order'}")
        # Its classifier would fit, and call each class by another's name.
        given.pop([layer.name for layer in model.layers if layer.weights][-1], None)
    arrays, sliced = narrowing.narrowed(model, given)
    report = dataclasses.replace(weights.assign_weights(model, arrays), sliced=sliced)
    if not report.loaded:
        raise ValueError(
            "weights to start from must share layers with the network; check version, size and "
            f"alpha. Received: {path}, which shares none"
        )
    return path, report


def estimate_statistics(model: keras.Model, job: Job) -> int:
    """Sets the moving statistics of every BatchNorm to those of training images.

    Sums over fewer channels have another mean and variance. Batches are
    normalized by their own while the statistics are averaged, as in
    arXiv:2105.07576, section 3 ("PreciseBN").

    Args:
        model: of the job's network.
        job: with training images.

    Returns:
        How many images were looked at.
    """
    batch_size = min(job.config.recipe.batch_size, len(job.train))
    batches = pipeline.training_batches(
        job.train, len(job.class_names), batch_size, "none", job.config.seed
    )
    count = max(1, min(_STATISTICS_IMAGES, len(job.train)) // batch_size)
    norms = [layer for layer in model.layers if isinstance(layer, layers.BatchNormalization)]
    before = [(layer.trainable, layer.momentum) for layer in norms]
    for layer in norms:
        layer.trainable = True  # A frozen one keeps its statistics.
    for i, (images, _) in enumerate(batches.take(count)):
        for layer in norms:
            layer.momentum = i / (i + 1)  # Makes the moving average a plain one.
        model(images, training=True)
    for layer, (trainable, momentum) in zip(norms, before, strict=True):
        layer.trainable, layer.momentum = trainable, momentum
    return count * batch_size
