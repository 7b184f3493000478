"""What makes tf_keras train as one process of Keras 3 does, however many replicas share a batch.

With it a run does not depend on the number of machines, but for rounding:
BatchNorm's statistics are those of the global batch, and dropout drops what it
drops in one process of Keras 3.
"""

import tensorflow as tf

from mobilenet_tf.engine import keras, layers, to_numpy

_AUTO, _NONE = tf.VariableSynchronization.AUTO, tf.VariableAggregation.NONE


def synchronized_layer(layer: layers.Layer) -> layers.Layer:
    """What stands for a layer of tf_keras where any number of replicas must train alike."""
    if isinstance(layer, layers.BatchNormalization):
        return SynchronizedBatchNormalization.from_config(layer.get_config())
    if isinstance(layer, layers.Dropout):
        return GlobalDropout.from_config(layer.get_config())
    return layer.__class__.from_config(layer.get_config())


class SynchronizedBatchNormalization(layers.BatchNormalization):
    """BatchNormalization over the images of all replicas.

    tf_keras' own `synchronized=True` sends three messages where this sends one,
    subtracts E[x]^2 from E[x^2], which loses digits, and keeps the biased
    variance, which its BatchNormalization of one replica does not.
    """

    def add_weight(self, *arguments, **settings):
        """See `keras.layers.Layer`."""
        if not settings.get("trainable", True):
            # Keras would let moving statistics differ between replicas and average them
            # when read, with messages that wait for all processes. Here they are equal.
            settings |= {"synchronization": _AUTO, "aggregation": _NONE}
        return super().add_weight(*arguments, **settings)

    def call(self, inputs, training=None):
        """See `keras.layers.BatchNormalization`; inputs (batch, h, w, channels)."""
        if not training or not self.trainable:
            return super().call(inputs, training=False)
        replica = tf.distribute.get_replica_context()
        own = tf.stack(tf.nn.moments(inputs, (0, 1, 2)))
        # A sum in which each replica fills its own row: all means and variances, in one message.
        row = tf.one_hot(replica.replica_id_in_sync_group, replica.num_replicas_in_sync)
        rows = replica.all_reduce(tf.distribute.ReduceOp.SUM, row[:, None, None] * own)
        mean = tf.reduce_mean(rows[:, 0], 0)
        variance = tf.reduce_mean(rows[:, 1] + tf.square(rows[:, 0] - mean), 0)
        count = tf.cast(tf.size(inputs[..., 0]) * replica.num_replicas_in_sync, inputs.dtype)
        population = variance * (count / tf.maximum(count - 1.0, 1.0))
        for moving, value in ((self.moving_mean, mean), (self.moving_variance, population)):
            moving.assign(moving * self.momentum + value * (1.0 - self.momentum))
        scale = self.gamma * tf.math.rsqrt(variance + self.epsilon)
        # Not tf.nn.batch_normalization, which adds beta - mean * scale: large numbers cancel.
        return (inputs - mean) * scale + self.beta


class _StepSeed:
    """A seed and a count of steps: what Keras 3 calls a seed generator.

    No layer and no module, so that Keras does not count its state as a weight.
    """

    def __init__(self) -> None:
        self.state = tf.Variable(
            [0, 0],
            trainable=False,
            dtype=tf.int64,
            aggregation=_NONE,
        )

    def next(self) -> tf.Tensor:
        """The seed of this step, int32 (2,)."""
        seed = tf.identity(self.state)
        self.state.assign(seed + tf.constant([0, 1], tf.int64))
        return tf.cast(tf.math.floormod(seed, tf.int32.max - 1), tf.int32)


class GlobalDropout(layers.Dropout):
    """Dropout whose mask is drawn for the global batch, from (seed, step).

    `seed_generator.state` is set where an epoch begins; see `Recorder`.
    """

    def build(self, input_shape) -> None:
        """See `keras.layers.Layer`."""
        super().build(input_shape)
        self.seed_generator = _StepSeed()

    def call(self, inputs, training=None):
        """See `keras.layers.Dropout`; inputs (batch of this replica, ...)."""
        if not training or not self.rate:
            return tf.identity(inputs)
        replica = tf.distribute.get_replica_context()
        shape = tf.shape(inputs)
        first = shape[0] * tf.cast(replica.replica_id_in_sync_group, tf.int32)
        whole = tf.concat([shape[:1] * replica.num_replicas_in_sync, shape[1:]], axis=0)
        mask = tf.nn.experimental.stateless_dropout(
            tf.ones(whole, inputs.dtype), self.rate, self.seed_generator.next()
        )
        return inputs * mask[first : first + shape[0]]


class AverageFromFirstStep(keras.callbacks.Callback):
    """Begins the moving average of the weights where Keras 3 does: after the first step.

    tf_keras begins with the weights before it.
    """

    _is_first = True  # Reading the optimizer's count in every step would cost.

    def on_train_batch_end(self, batch, logs=None):
        """Sets the averages once; a run that goes on has them."""
        optimizer = self.model.optimizer
        is_first, self._is_first = self._is_first, False
        if is_first and optimizer.use_ema and int(to_numpy(optimizer.iterations)) == 1:
            variables = self.model.trainable_variables
            for average, variable in zip(
                optimizer._model_variables_moving_average, variables, strict=True
            ):
                average.assign(to_numpy(variable))
