"""Magnitude pruning and weight clustering through tfmot: files that compress better.

They run no faster: kernels stay dense. See docs/compression.md.
"""

import dataclasses
import os

import tensorflow_model_optimization as tfmot

from mobilenet_tf import fine_tuning, run_folders, runs, training, weights
from mobilenet_tf.engine import keras, layers
from mobilenet_tf.job import Job
from mobilenet_tf.runs import TrainConfig

_PRUNING_PART = 0.5  # Of the steps, in which the sparsity rises; then weights recover.


@dataclasses.dataclass(frozen=True)
class CompressionResult:
    """What a run came to.

    Attributes:
        run: its folder.
        val_accuracy: of model.keras on the whole validation split, 0..1.
    """

    run: str
    val_accuracy: float


def train(config: TrainConfig) -> CompressionResult:
    """Fine-tunes a float run with fewer different weights.

    Args:
        config: with a `sparsity` or `clusters`, of `fine_tuning.config_from`.

    Returns, raises: see `training.train`.
    """
    opened = fine_tuning.open_run(config)
    job = training.start_run(opened.job, run_folders.create_run(opened.job.config))
    if config.sparsity is not None:
        model, callbacks = _prunable(job, opened.network), [
            tfmot.sparsity.keras.UpdatePruningStep()
        ]
    else:
        model, callbacks = _clustered(job, opened.network), []
    accuracy = fine_tuning.fit(job, model, callbacks)
    strip = (
        tfmot.clustering.keras.strip_clustering
        if config.sparsity is None
        else tfmot.sparsity.keras.strip_pruning
    )
    found = weights.weights_by_layer(strip(model))
    weights.rewrite_weights(opened.base, os.path.join(job.run, runs.MODEL), found)
    return CompressionResult(job.run, accuracy)


def _prunable(job: Job, network: keras.Model) -> keras.Model:
    end = max(1, int(_PRUNING_PART * job.config.recipe.epochs * job.resolved.steps_per_epoch))
    schedule = tfmot.sparsity.keras.PolynomialDecay(
        initial_sparsity=0.0,
        final_sparsity=job.config.sparsity,
        begin_step=0,
        end_step=end,
        frequency=max(1, end // 20),
    )

    def wrap(layer: keras.layers.Layer) -> keras.layers.Layer:
        return tfmot.sparsity.keras.prune_low_magnitude(layer, pruning_schedule=schedule)

    return _wrapped(network, wrap)


def _clustered(job: Job, network: keras.Model) -> keras.Model:
    initialization = tfmot.clustering.keras.CentroidInitialization.KMEANS_PLUS_PLUS

    def wrap(layer: keras.layers.Layer) -> keras.layers.Layer:
        return tfmot.clustering.keras.cluster_weights(
            layer,
            number_of_clusters=job.config.clusters,
            cluster_centroids_init=initialization,
        )

    return _wrapped(network, wrap)


def _wrapped(network: keras.Model, wrap) -> keras.Model:
    """With its convolutions wrapped, but depthwise ones, which have few weights."""

    def visit(layer: keras.layers.Layer) -> keras.layers.Layer:
        is_kernel = isinstance(layer, (layers.Conv2D, layers.Dense))
        return wrap(layer) if is_kernel and not isinstance(layer, layers.DepthwiseConv2D) else layer

    return keras.models.clone_model(network, clone_function=visit)
