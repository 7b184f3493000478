"""A quantization-aware network of tf_keras, from a graph and back to one."""

import dataclasses
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot

from export.compute import walk
from export.folding import foldings
from export.graph import Graph, Node, rewrite
from export.keras_graph import from_keras
from export.qat_layers import CalibratedQuantizer, FrozenNode, NodeConfig, NodeLayer
from export.quantization.quantizer import biases_corrected
from export.quantization.scale_choice import Chosen
from export.quantization.scales import Quantization, TensorScale
from export.quantization.swish_equalization import SwishFactors
from mobilenet_tf.engine import keras

# What computes exactly, in float, or as its input does.
_UNROUNDED = ("input", "shift", "reshape", "softmax")
_LABELS = 0.2  # Of the loss; see docs/quantization_aware.md.


@dataclasses.dataclass(frozen=True, eq=False)
class QuantizationAwareModel:
    """A model to train and what belongs with it.

    Attributes:
        model: float32 (batch, height, width, 3) in 0..255, whole numbers, to
            probabilities; not compiled.
        graph: that it was made from.
        swishes: factors of its equalized hard-swishes.
        scales: of its nodes.
    """

    model: keras.Model
    graph: Graph
    swishes: SwishFactors
    scales: Mapping[str, TensorScale]

    def freeze(self) -> None:
        """Ends the training: from now on it computes in integers, as in the file.

        Until then the model rounds in float, which differs from the file's
        integers now and then; see `export.quantization.integers`.
        """
        graph, _ = self.trained()
        for wrapper in self._wrappers():
            node = graph[wrapper.layer.name]
            inputs = tuple(self.scales[name] for name in node.inputs)
            wrapper.layer.frozen = FrozenNode(node, inputs, self.scales[node.name])
        self.model.compile()  # Traces the layers again.

    def trained_kernels(self) -> dict[str, np.ndarray]:
        """Kernels that trained, as `folding.unfold` takes them."""
        return {
            wrapper.layer.name: wrapper.layer.kernel_before_folding(_kernel(wrapper))
            for wrapper in self._wrappers()
            if wrapper._weight_vars
        }

    def trained(self) -> tuple[Graph, Quantization]:
        """The graph with its trained numbers, and its scales."""
        nodes: dict[str, Node] = {}
        for wrapper in self._wrappers():
            if wrapper._weight_vars:
                nodes[wrapper.layer.name] = wrapper.layer.trained_node(_kernel(wrapper))
        graph = Graph(tuple(nodes.get(node.name, node) for node in self.graph.nodes))
        return graph, Quantization(self.scales)

    def _wrappers(self) -> list:
        wrapper = tfmot.quantization.keras.QuantizeWrapperV2
        return [layer for layer in self.model.layers if isinstance(layer, wrapper)]


def _kernel(wrapper) -> np.ndarray:
    variable, _, _ = wrapper._weight_vars[0]
    return variable.numpy()


def quantization_aware(network: keras.Model, chosen: Chosen) -> QuantizationAwareModel:
    """Builds a model that computes what the int8 file will.

    Args:
        network: the float one, which it learns to agree with.
        chosen: of `choose_trainable_form_and_scales`, for its `integer_form`.

    Returns:
        A `QuantizationAwareModel`.
    """
    folded = foldings(from_keras(network), chosen.form.swishes)
    start, scales = biases_corrected(chosen), chosen.quantization.scales
    # Calibration also moves the biases of gates, which do not train.
    graph = rewrite(start, lambda node: [node if node.name in folded else chosen.graph[node.name]])
    image = keras.Input(graph.image_shape, name=graph.nodes[0].name)

    def step(node: Node, inputs: list):
        if not inputs:
            return image
        layer = NodeLayer(node, folded.get(node.name))
        if node.op not in _UNROUNDED:
            config = NodeConfig(CalibratedQuantizer(scales[node.name]))
            layer = tfmot.quantization.keras.QuantizeWrapperV2(layer, config)
        return layer(inputs[0] if len(inputs) == 1 else inputs)

    model = _Taught(image, walk(graph, step), network)
    return QuantizationAwareModel(model, graph, chosen.form.swishes, scales)


class _Taught(keras.Model):
    """A model that learns to say what a float network says of the same images.

    And a little from their labels: those alone would go on training the float
    network, at a rate that it has been annealed from.

    Args:
        image, output: see `keras.Model`.
        network: float32 images to probabilities.
    """

    def __init__(self, image: tf.Tensor, output: tf.Tensor, network: keras.Model) -> None:
        super().__init__(image, output)
        self._teacher = _Teacher(network)

    def train_step(self, data: tuple) -> dict[str, tf.Tensor]:
        """See `keras.Model.train_step`."""
        images, labels = data
        with tf.GradientTape() as tape:
            found = self(images, training=True)
            expected = self._teacher.network(images, training=False)
            taught = tf.reduce_mean(keras.losses.kl_divergence(expected, found))
            labelled = tf.reduce_mean(keras.losses.categorical_crossentropy(labels, found))
            loss = (1 - _LABELS) * taught + _LABELS * labelled
        self.optimizer.minimize(loss, self.trainable_variables, tape)
        self.compiled_loss(labels, found)
        return self.compute_metrics(images, labels, found, None)


@dataclasses.dataclass(frozen=True)
class _Teacher:
    """In a dataclass Keras does not find it: none of its weights trains or counts."""

    network: keras.Model
