"""A quantization-aware network of tf_keras, from a graph and back to one."""

import dataclasses

import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot

from export.compute import compute, walk
from export.folding import SwishFactors, foldings, integer_form
from export.graph import Graph, Node, rewrite
from export.keras_graph import from_keras
from export.qat_layers import (
    CalibratedQuantizer,
    FrozenNode,
    NodeConfig,
    NodeLayer,
    RangeStart,
    set_range,
)
from export.quantization.quantizer import Quantized
from export.quantization.scales import Quantization, TensorScale
from mobilenet_tf.engine import keras

# What computes exactly, in float, or as its input does.
_UNROUNDED = ("input", "shift", "reshape", "softmax")
_WIDEST = 2.0  # Range over a batch's extremes; more says that they are mere noise.


@dataclasses.dataclass(frozen=True, eq=False)
class QuantizationAwareModel:
    """A model to train and what belongs with it.

    Attributes:
        model: float32 (batch, height, width, 3) in 0..255, whole numbers, to
            probabilities; not compiled.
        graph: that it was made from.
        swishes: factors of its equalized hard-swishes.
        scales: of the nodes whose values are exact.
        rate: see `qat_layers.CalibratedQuantizer`.
    """

    model: keras.Model
    graph: Graph
    swishes: SwishFactors
    scales: dict[str, TensorScale]
    rate: tf.Variable

    def freeze(self) -> None:
        """Ends the training: whole scales, and from now on integers, as in the file.

        Until then the model rounds in float, which differs from the file's
        integers now and then; see `export.quantization.integers`.
        """
        self.rate.assign(0.0)
        graph, quantization = self.trained()
        for wrapper in self._wrappers():
            node = graph[wrapper.layer.name]
            inputs = tuple(quantization.scales[name] for name in node.inputs)
            output = quantization.scales[node.name]
            set_range(wrapper._output_quantizer_vars, output)
            wrapper.layer.frozen = FrozenNode(node, inputs, output)
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
        scales = dict(self.scales)
        for wrapper in self._wrappers():
            name = wrapper.layer.name
            frozen = wrapper.layer.frozen
            # A range that is made of a scale may give back one that differs in its last bit.
            scales[name] = _scale(wrapper) if frozen is None else frozen.output
            if wrapper._weight_vars:
                nodes[name] = wrapper.layer.trained_node(_kernel(wrapper))
        for node in self.graph.nodes:
            if node.op == "reshape":
                scales[node.name] = scales[node.inputs[0]]
        graph = Graph(tuple(nodes.get(node.name, node) for node in self.graph.nodes))
        return graph, Quantization(scales)

    def _wrappers(self) -> list:
        wrapper = tfmot.quantization.keras.QuantizeWrapperV2
        return [layer for layer in self.model.layers if isinstance(layer, wrapper)]


def _scale(wrapper) -> TensorScale:
    weights = wrapper._output_quantizer_vars
    return TensorScale.of_range(weights["min_var"].numpy(), weights["max_var"].numpy())


def _kernel(wrapper) -> np.ndarray:
    variable, _, _ = wrapper._weight_vars[0]
    return variable.numpy()


def quantization_aware(
    network: keras.Model, swishes: SwishFactors, quantized: Quantized, batches: list[np.ndarray]
) -> QuantizationAwareModel:
    """Builds a model that computes what the int8 file will.

    Args:
        network: the float one, which it learns to agree with.
        swishes: see `folding.integer_form`.
        quantized: that form of the network, calibrated in 8 bits, to begin with.
        batches: uint8 or float32 images as training will see them, in batches
            of the same size: how far calibration cuts off what they reach.

    Returns:
        A `QuantizationAwareModel`: its ranges move by 0 until `rate` is set.
    """
    raw = from_keras(network)
    folded, form = foldings(raw, swishes), integer_form(raw, swishes)
    # Calibration also moved the biases of gates, which do not train.
    graph = rewrite(
        quantized.graph, lambda node: [node if node.name in folded else form[node.name]]
    )
    scales = quantized.quantization.scales
    rate = tf.Variable(0.0, trainable=False, name="range_rate")
    extremes = _batch_extremes(graph, batches)
    image = keras.Input(graph.image_shape, name=graph.nodes[0].name)

    def step(node: Node, inputs: list):
        if not inputs:
            return image
        layer = NodeLayer(node, folded.get(node.name))
        if node.op not in _UNROUNDED:
            scale = scales[node.name]
            start = RangeStart(scale, _clipped(scale, extremes[node.name]))
            config = NodeConfig(CalibratedQuantizer(start, rate))
            layer = tfmot.quantization.keras.QuantizeWrapperV2(layer, config)
        return layer(inputs[0] if len(inputs) == 1 else inputs)

    model = _Taught(image, walk(graph, step), network)
    exact = {n.name: scales[n.name] for n in graph.nodes if n.op in ("input", "shift")}
    return QuantizationAwareModel(model, graph, swishes, exact, rate)


class _Taught(keras.Model):
    """A model that learns to say what a float network says of the same images.

    Labels only serve the figures of the history: they would go on training the
    float network, at a rate that it has been annealed from.

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
            loss = tf.reduce_mean(keras.losses.kl_divergence(expected, found))
        self.optimizer.minimize(loss, self.trainable_variables, tape)
        self.compiled_loss(labels, found)
        return self.compute_metrics(images, labels, found, None)


@dataclasses.dataclass(frozen=True)
class _Teacher:
    """In a dataclass Keras does not find it: none of its weights trains or counts."""

    network: keras.Model


def _batch_extremes(graph: Graph, batches: list[np.ndarray]) -> dict[str, tuple[float, float]]:
    """Least and greatest value of each node, averaged over batches."""
    found: dict[str, list[tuple[float, float]]] = {node.name: [] for node in graph.nodes}
    for images in batches:
        batch = tf.constant(images, tf.float32)

        def step(node: Node, inputs: list, batch=batch) -> tf.Tensor:
            value = compute(node, inputs or [batch])
            found[node.name].append((float(tf.reduce_min(value)), float(tf.reduce_max(value))))
            return value

        walk(graph, step)
    return {
        name: (float(np.mean([low for low, _ in ends])), float(np.mean([high for _, high in ends])))
        for name, ends in found.items()
    }


def _clipped(scale: TensorScale, extremes: tuple[float, float]) -> tuple[float, float]:
    low, high = (
        min(end / extreme, _WIDEST) if abs(extreme) > 1e-6 else 1.0
        for end, extreme in zip(scale.real_range, extremes)
    )
    return low, high
