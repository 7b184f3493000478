"""The same network from layers that train faster on TensorFlow.

Keras 3 computes a BatchNormalization in training from some ten operations, each
a pass over the whole feature map, and remembers their results for the gradient;
so it does for hard-swish. TensorFlow has one kernel for the former, and the
latter needs two values remembered. A convolution with a 1x1 kernel is a product
of matrices, whose gradients are two more; TensorFlow's convolutions take longer
for each on a CPU. `benchmarks.training` measures what that gives.
"""

import tensorflow as tf

from mobilenet_tf.engine import USES_TF_KERAS, hard_swish, keras, layers
from mobilenet_tf.synchronized import synchronized_layer


def training_form(model: keras.Model) -> keras.Model:
    """Copies a model into one that computes the same and trains faster.

    Args:
        model: of `models.build_model`.

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
    if isinstance(layer, layers.BatchNormalization):
        return FusedBatchNormalization.from_config(layer.get_config())
    if type(layer) is layers.Conv2D and layer.kernel_size == layer.strides == (1, 1):
        return PointwiseConv2D.from_config(layer.get_config())
    if isinstance(layer, layers.Activation) and layer.activation is hard_swish:
        return layers.Activation(_lean_hard_swish, name=layer.name)
    return layer.__class__.from_config(layer.get_config())


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
    """BatchNormalization whose training step is TensorFlow's fused kernel.

    Its moving variance is that of the population (divided by n - 1), as in
    tf_keras and PyTorch; Keras 3 divides by n.
    """

    def call(self, inputs, training=None, mask=None):
        """See `keras.layers.BatchNormalization`; inputs (batch, h, w, channels)."""
        if not training or not self.trainable:
            return super().call(inputs, training=False)
        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            inputs,
            tf.convert_to_tensor(self.gamma),
            tf.convert_to_tensor(self.beta),
            epsilon=self.epsilon,
            is_training=True,
        )
        for moving, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + value * (1.0 - self.momentum))
        return outputs


@tf.custom_gradient
def _lean_hard_swish(x):
    """x * relu6(x + 3) / 6, remembering x and the relu6 only."""
    gate = tf.nn.relu6(x + 3.0)

    def gradient(upstream):
        sixth = upstream * (1.0 / 6.0)
        return sixth * gate + tf.raw_ops.Relu6Grad(gradients=sixth * x, features=gate)

    return x * gate * (1.0 / 6.0), gradient
