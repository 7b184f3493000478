"""Layers of tf_keras that compute a graph's nodes, and how tfmot quantizes them.

tfmot knows neither hard-swish nor squeeze-excite, and its transforms look for
Keras' own layers with BatchNorm between them. Here every node of the export
form is one layer in tfmot's wrapper, so that training rounds exactly where the
file does. tfmot works with tf_keras only: set TF_USE_LEGACY_KERAS=1.
"""

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot

from export.compute import compute
from export.folding import Folding
from export.graph import Node
from export.quantization.integers import compute_integers, stored_as
from export.quantization.scales import TensorScale
from mobilenet_tf.engine import keras

QuantizeConfig: Any = tfmot.quantization.keras.QuantizeConfig
LastValueQuantizer: Any = tfmot.quantization.keras.quantizers.LastValueQuantizer
MovingAverageQuantizer: Any = tfmot.quantization.keras.quantizers.MovingAverageQuantizer


@dataclasses.dataclass(frozen=True, eq=False)
class FrozenNode:
    """A node after training.

    Attributes:
        node: with trained numbers.
        inputs: scales of its inputs.
        output: its own.
    """

    node: Node
    inputs: tuple[TensorScale, ...]
    output: TensorScale


class NodeLayer(keras.layers.Layer):
    """Computes one node, with a kernel and a bias that can be trained.

    The bias has the size it had before folding. The kernel has that of He's
    initialization (arXiv:1502.01852, section 2.2), so that a learning rate means
    the same for all: a split hard-swish makes kernels 36 times smaller, and
    weight decay, which BatchNorm hides, a hundred times.

    Args:
        node: of a graph in the export form.
        folding: of its kernel and bias; None where it has none.

    Attributes:
        frozen: None while training; then what it computes in integers.
    """

    def __init__(self, node: Node, folding: Folding | None = None) -> None:
        super().__init__(name=node.name)
        self._node, self._folding = node, folding
        self.frozen: FrozenNode | None = None

    def build(self, input_shape: Any) -> None:
        """Starts at the node's own numbers."""
        if self._folding is not None:
            factor = self._folding.kernel_factor
            # A channel that BatchNorm has switched off stays off.
            flat = self._node.kernel_by_channel / np.where(factor == 0.0, 1.0, factor)
            # tfmot takes four axes, of which the last has the channels.
            kernel = flat.reshape(*flat.shape[:2], -1, flat.shape[-1])
            self._size = _beside_he(kernel)
            self.kernel = self._add("kernel", kernel / self._size)
            self.moved_bias = self._add("moved_bias", np.zeros_like(factor))
        super().build(input_shape)

    def _add(self, name: str, value: np.ndarray) -> tf.Variable:
        initial = keras.initializers.Constant(value.astype(np.float32))
        return self.add_weight(name, shape=value.shape, initializer=initial, trainable=True)

    @tf.autograph.experimental.do_not_convert  # It only costs time here and below.
    def call(self, inputs: Any, training: bool | None = None) -> tf.Tensor:
        """See `compute.compute`; once frozen, `integers.compute_integers`."""
        del training  # tfmot's wrapper passes it to what AutoGraph leaves alone.
        inputs = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
        if self.frozen is not None:
            stored = [stored_as(x, scale) for x, scale in zip(inputs, self.frozen.inputs)]
            return compute_integers(self.frozen.node, stored, self.frozen.output).real
        node = self._node
        if self._folding is not None:
            node = dataclasses.replace(
                node,
                kernel=self._folded_kernel(self.kernel, self._folding),
                bias=self._folded_bias(self._folding),
            )
        return compute(node, inputs)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """(batch, *the node's)."""
        return (None, *self._node.shape)

    def _folded_kernel(self, kernel: Any, folding: Folding) -> tf.Tensor:
        folded = kernel * (self._size * folding.kernel_factor).astype(np.float32)
        return tf.reshape(folded, self._node.numbers()[0].shape)

    def _folded_bias(self, folding: Folding) -> tf.Tensor:
        moved = self.moved_bias * folding.bias_factor.astype(np.float32)
        return self._node.numbers()[1].astype(np.float32) + moved

    def kernel_before_folding(self, kernel: np.ndarray) -> np.ndarray:
        """What `folding.unfold` takes, of the variable's value."""
        return (kernel * np.float32(self._size)).reshape(self._node.numbers()[0].shape)

    def trained_node(self, kernel: np.ndarray) -> Node:
        """The node as trained.

        Args:
            kernel: float32, what `kernel` was before tfmot put rounded values
                in its place.
        """
        assert self._folding is not None
        return dataclasses.replace(
            self._node,
            kernel=self._folded_kernel(kernel, self._folding).numpy(),
            bias=self._folded_bias(self._folding).numpy(),
        )


def _beside_he(kernel: np.ndarray) -> float:
    """How large a kernel is beside one of He's initialization."""
    size = np.sqrt(np.mean(np.square(kernel)) * kernel[..., 0].size / 2)
    return float(size) if size > 0.0 else 1.0


class CurrentRangeQuantizer(LastValueQuantizer):
    """Rounds a kernel to -127..127 of its channel's greatest value, as the file does.

    `LastValueQuantizer` evaluates with the range of the last training step,
    which the update after that step has changed.
    """

    def __init__(self) -> None:
        super().__init__(num_bits=8, per_axis=True, symmetric=True, narrow_range=True)

    @tf.autograph.experimental.do_not_convert
    def __call__(self, inputs: Any, training: bool, weights: Any, **kwargs: Any) -> tf.Tensor:
        """See `tfmot.quantization.keras.quantizers.Quantizer`."""
        return super().__call__(inputs, True, weights, **kwargs)


class CalibratedQuantizer(MovingAverageQuantizer):
    """Rounds an activation to the range that calibration chose, which stays.

    `MovingAverageQuantizer` follows each batch's extremes; tried on a V3-Small,
    that lost more than the training gained.

    Args:
        scale: of the range.
    """

    def __init__(self, scale: TensorScale) -> None:
        super().__init__(num_bits=8, per_axis=False, symmetric=False, narrow_range=False)
        self._scale = scale

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, tf.Variable]:
        """See `tfmot.quantization.keras.quantizers.Quantizer`."""
        weights = super().build(tensor_shape, name, layer)
        low, high = self._scale.real_range
        weights["min_var"].assign(low)
        weights["max_var"].assign(high)
        return weights

    @tf.autograph.experimental.do_not_convert
    def __call__(self, inputs: Any, training: bool, weights: Any, **kwargs: Any) -> tf.Tensor:
        """See `tfmot.quantization.keras.quantizers.Quantizer`."""
        low, high = weights["min_var"], weights["max_var"]
        return tf.quantization.fake_quant_with_min_max_vars(inputs, low, high)


class NodeConfig(QuantizeConfig):
    """What tfmot rounds of a `NodeLayer`.

    Args:
        output: quantizer of its output.
    """

    def __init__(self, output: CalibratedQuantizer) -> None:
        self._output = output

    def get_weights_and_quantizers(self, layer: NodeLayer) -> list:
        """The kernel, where there is one."""
        return [(layer.kernel, CurrentRangeQuantizer())] if hasattr(layer, "kernel") else []

    def get_activations_and_quantizers(self, layer: NodeLayer) -> list:
        """None: the activation is part of the node, and its output is rounded once."""
        return []

    def set_quantize_weights(self, layer: NodeLayer, quantize_weights: list) -> None:
        """Puts the rounded kernel in place."""
        if quantize_weights:
            layer.kernel = quantize_weights[0]

    def set_quantize_activations(self, layer: NodeLayer, quantize_activations: list) -> None:
        """Nothing to put in place."""
        del quantize_activations  # AutoGraph cannot read a function of a docstring only.

    def get_output_quantizers(self, layer: NodeLayer) -> list:
        """The output's."""
        return [self._output]

    def get_config(self) -> dict[str, Any]:
        """Refused: see Raises.

        Raises:
            NotImplementedError: these models are saved as graphs.
        """
        raise NotImplementedError("a quantization-aware model is saved as a graph")
