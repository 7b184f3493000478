"""Which Keras the project runs on: every other module imports it from here.

Keras 3 by default, on whichever backend it is configured for. With
TF_USE_LEGACY_KERAS=1, TensorFlow's own switch, it is tf_keras (Keras 2), which
quantization-aware training and multi-worker training need.
"""

import os

USES_TF_KERAS = os.environ.get("TF_USE_LEGACY_KERAS", "").lower() in ("1", "true")

if USES_TF_KERAS:
    import tf_keras as keras

    @keras.saving.register_keras_serializable("mobilenet_tf")
    def hard_sigmoid(x):
        """relu6(x + 3) / 6. Keras 2's own is another function: clip(0.2 x + 0.5)."""
        return keras.activations.relu(x + 3.0, max_value=6.0) * (1.0 / 6.0)

    @keras.saving.register_keras_serializable("mobilenet_tf")
    def hard_swish(x):
        """x * relu6(x + 3) / 6 (arXiv:1905.02244, section 5.2)."""
        return x * hard_sigmoid(x)

    is_keras_tensor = keras.backend.is_keras_tensor
    to_numpy = keras.backend.get_value
else:
    import keras

    hard_sigmoid = keras.activations.hard_sigmoid
    hard_swish = keras.activations.hard_swish
    is_keras_tensor = keras.utils.is_keras_tensor
    to_numpy = keras.ops.convert_to_numpy

layers = keras.layers

__all__ = [
    "USES_TF_KERAS",
    "hard_sigmoid",
    "hard_swish",
    "is_keras_tensor",
    "keras",
    "layers",
    "to_numpy",
]
