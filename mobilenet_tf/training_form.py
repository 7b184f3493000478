"""The same network from layers that train faster on TensorFlow.

Keras 3 computes a BatchNormalization in training from some ten operations, each
a pass over the whole feature map, and remembers their results for the gradient;
so it does for hard-swish. TensorFlow has one kernel for the former, which in
inference it even joins to the convolution before, and the latter needs two
values remembered. A convolution with a 1x1 kernel is a product
of matrices, whose gradients are two more; TensorFlow's convolutions take longer
for each on a CPU. `benchmarks.training` measures what that gives.
"""

import tensorflow as tf

from mobilenet_tf.engine import USES_TF_KERAS, hard_swish, keras, layers
from mobilenet_tf.synchronized import synchronized_layer


def training_form(model: keras.Model) -> keras.Model:
    """Copies a model into one that computes the same and trains faster.

    Args:
        model: functional, of Keras' own layers; such as of `models.build_model`.

    Returns:
        A model with the same layer names, weights and weight order: with tf_keras
        of the layers of `synchronized`; the model itself on backends other than
        TensorFlow.
    """
    if not USES_TF_KERAS and keras.backend.backend() != "tensorflow":
        return model
    clone = synchronized_layer if USES_TF_KERAS else _fast_layer
    copy = keras.models.clone_model(model, clone_function=clone)
    copy.set_weights(model.get_weights())
    return copy


def _fast_layer(layer: layers.Layer) -> layers.Layer:
    if type(layer) is layers.BatchNormalization and _is_of_maps(layer):
        return FusedBatchNormalization.from_config(layer.get_config())
    if type(layer) is layers.Conv2D and _is_pointwise(layer):
        return PointwiseConv2D.from_config(layer.get_config())
    if isinstance(layer, layers.Activation) and layer.activation is hard_swish:
        return layers.Activation(_lean_hard_swish, name=layer.name)
    return layer.__class__.from_config(layer.get_config())


def _is_of_maps(norm: layers.BatchNormalization) -> bool:
    """True for one that the fused kernel knows; other people's networks have others."""
    of_channels_last = norm.axis in (-1, 3) and norm.input_spec.ndim == 4
    return of_channels_last and norm.scale and norm.center and norm.compute_dtype == "float32"


def _is_pointwise(conv: layers.Conv2D) -> bool:
    ones = conv.kernel_size == conv.strides == (1, 1)
    return ones and conv.groups == 1 and conv.data_format == "channels_last"


class PointwiseConv2D(layers.Conv2D):
    """A 1x1 convolution with stride 1, computed as a product of matrices."""

    def call(self, inputs):
        """See `keras.layers.Conv2D`; inputs (batch, h, w, channels)."""
        kernel = tf.convert_to_tensor(self.kernel)
        rows = tf.reshape(inputs, (-1, kernel.shape[2]))
        outputs = tf.matmul(rows, tf.reshape(kernel, kernel.shape[2:]))
        if self.use_bias:
            outputs = outputs + tf.convert_to_tensor(self.bias)
        return self.activation(tf.reshape(outputs, (-1, *inputs.shape[1:3], kernel.shape[3])))


class FusedBatchNormalization(layers.BatchNormalization):
    """BatchNormalization in one kernel of TensorFlow's.

    Its moving variance is that of the population (divided by n - 1), as in
    tf_keras and PyTorch; Keras 3 divides by n.
    """

    def call(self, inputs, training=None, mask=None):
        """See `keras.layers.BatchNormalization`; inputs (batch, h, w, channels)."""
        if not training or not self.trainable:
            mean = tf.convert_to_tensor(self.moving_mean)
            variance = tf.convert_to_tensor(self.moving_variance)
            return self._normalize(inputs, mean, variance, is_training=False)[0]
        outputs, mean, variance = self._normalize(inputs, None, None, is_training=True)
        for moving, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + value * (1.0 - self.momentum))
        return outputs

    def _normalize(self, inputs, mean, variance, is_training):
        gamma, beta = tf.convert_to_tensor(self.gamma), tf.convert_to_tensor(self.beta)
        return tf.compat.v1.nn.fused_batch_norm(
            inputs, gamma, beta, mean, variance, self.epsilon, is_training=is_training
        )


@tf.custom_gradient
def _lean_hard_swish(x):
    """x * relu6(x + 3) / 6, remembering x and the relu6 only."""
    gate = tf.nn.relu6(x + 3.0)

    def gradient(upstream):
        sixth = upstream * (1.0 / 6.0)
        return sixth * gate + tf.raw_ops.Relu6Grad(gradients=sixth * x, features=gate)

    return x * gate * (1.0 / 6.0), gradient
