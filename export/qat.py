"""Quantization-aware training: from a finished float run to one made for int8.

Runs on tf_keras, which tfmot needs: TF_USE_LEGACY_KERAS=1.
"""

import dataclasses
import os
import tempfile

import numpy as np

from export.folding import integer_form, unfold
from export.keras_graph import from_keras, read_layers
from export.pointwise import Pair, pointwise_pairs
from export.qat_model import QuantizationAwareModel, quantization_aware
from export.quantization import trained_file
from export.quantization.scale_choice import choose_trainable_form_and_scales
from export.recipes import RECIPES
from export.writer import write_tflite
from mobilenet_tf import files, fine_tuning, run_folders, runs, training, weights
from mobilenet_tf.data import pipeline
from mobilenet_tf.data.store import Split, balanced_indices
from mobilenet_tf.engine import keras
from mobilenet_tf.job import Job
from mobilenet_tf.progress import progress, say
from mobilenet_tf.runtime import TFLiteModel

_CALIBRATION_IMAGES = 256


@dataclasses.dataclass(frozen=True)
class QuantizationAwareResult:
    """What a run came to, on the whole validation split.

    Attributes:
        run: its folder.
        val_accuracy: of the trained model as it rounds, 0..1.
        file_accuracy: of its int8 file.
        agreement: part of the images that both put in the same class.
        partitions: pieces of the file that XNNPACK runs.
    """

    run: str
    val_accuracy: float
    file_accuracy: float
    agreement: float
    partitions: int


def train(config: runs.TrainConfig) -> QuantizationAwareResult:
    """Fine-tunes a float run as its int8 file will compute.

    Args:
        config: of `fine_tuning.config_from`.

    Returns:
        A `QuantizationAwareResult`.

    Raises:
        ValueError, OSError: a run or data set that cannot be used; nothing is
            written.
        WorkError: the training failed or was interrupted.
    """
    opened = fine_tuning.open_run(config)
    aware = _calibrated_model(opened.job, opened.network)
    job = training.start_run(opened.job, run_folders.create_run(opened.job.config))
    fine_tuning.fit(job, aware.model, [])
    aware.freeze()
    save(job.run, opened.base, opened.network, aware)
    result = _verify(job, aware)
    check = {key: value for key, value in dataclasses.asdict(result).items() if key != "run"}
    files.write_json(os.path.join(job.run, runs.INT8_CHECK), check)
    return result


def save(run: str, base: str, network: keras.Model, aware: QuantizationAwareModel) -> None:
    """Writes model.keras and quantization.npz.

    Args:
        run: an existing folder.
        base: the .keras file, of Keras 3, with the weights before training.
        network: with the same weights; those of `pointwise_pairs` change.
        aware: trained and frozen.
    """
    graph, quantization = aware.trained()
    trained_file.save(os.path.join(run, runs.QUANTIZATION), graph, quantization, aware.swishes)
    biases = {node.name: node.numbers()[1] for node in graph.nodes if node.weighted}
    passing = _pass_on(network, pointwise_pairs(read_layers(network)))
    changes = unfold(from_keras(network), aware.swishes, aware.trained_kernels(), biases)
    path = os.path.join(run, runs.MODEL)
    weights.rewrite_weights(base, path, passing | _layer_weights(network, changes))


def _calibrated_model(job: Job, network: keras.Model) -> QuantizationAwareModel:
    indices = balanced_indices(job.train.labels, _CALIBRATION_IMAGES, job.config.seed)
    images = job.train.images.fetch(indices)
    form = integer_form(from_keras(network))
    chosen = choose_trainable_form_and_scales(form, images, job.config.seed)
    return quantization_aware(network, chosen)


def _pass_on(network: keras.Model, pairs: list[Pair]) -> weights.WeightsByLayer:
    """Makes the first of two convolutions that trained as one, and its BatchNorm, the identity.

    The second then holds what both computed. Returns all their arrays.
    """
    found = {}
    for pair in pairs:
        first, norm = network.get_layer(pair.first), network.get_layer(pair.norm)
        kernel = first.get_weights()[0]
        _, _, mean, variance = norm.get_weights()
        deviation = np.sqrt(variance + norm.epsilon)
        found[pair.first] = [np.eye(*kernel.shape[2:], dtype=kernel.dtype)[np.newaxis, np.newaxis]]
        found[pair.norm] = [deviation, mean, mean, variance]
        for layer in (first, norm):
            layer.set_weights(found[layer.name])
    return found


def _layer_weights(network: keras.Model, changes: weights.WeightsByLayer) -> weights.WeightsByLayer:
    """All arrays of the layers that change; see `folding.unfold`."""
    found = {}
    for name, change in changes.items():
        layer = network.get_layer(name)
        arrays = layer.get_weights()
        is_norm = isinstance(layer, keras.layers.BatchNormalization)
        if not is_norm:
            arrays[0] = change[0].reshape(arrays[0].shape)  # A dense kernel has two axes.
        if is_norm or layer.use_bias:  # A convolution before BatchNorm has no bias.
            arrays[1] = arrays[1] + change[-1]
        found[name] = arrays
    return found


def _verify(job: Job, aware: QuantizationAwareModel) -> QuantizationAwareResult:
    graph, quantization = aware.trained()
    classes = len(job.class_names)
    batches = pipeline.evaluation_batches(job.validation, classes, job.config.recipe.batch_size)
    said = np.argmax(aware.model.predict(batches, verbose=0), axis=1)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.tflite")
        with open(path, "wb") as file:
            file.write(write_tflite(graph, RECIPES["int8"], quantization, ""))
        model = TFLiteModel(path)
        found = _classes(model, job.validation)
        partitions = model.op_counts().get("DELEGATE", 0)
    labels = job.validation.labels
    say(f"checked the int8 file on {len(labels):,d} images")
    return QuantizationAwareResult(
        run=job.run,
        val_accuracy=float(np.mean(said == labels)),
        file_accuracy=float(np.mean(found == labels)),
        agreement=float(np.mean(said == found)),
        partitions=partitions,
    )


def _classes(model: TFLiteModel, split: Split) -> np.ndarray:
    found = []
    for i in progress(range(len(split)), len(split), "checking the int8 file"):
        found.append(np.argmax(list(model.predict(split.images.fetch(np.array([i]))))[0]))
    return np.array(found)
