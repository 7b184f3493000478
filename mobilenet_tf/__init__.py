"""MobileNet V1, V2 and V3 in Keras, from training to a verified .tflite."""

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mobilenet_tf.applications import (
        MobileNetV1,
        MobileNetV2,
        MobileNetV3Large,
        MobileNetV3Small,
    )
    from mobilenet_tf.imagenet import decode_predictions, preprocess_input

# Before anything imports TensorFlow, whose start-up chatter hides our own messages; a user's
# setting wins.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

__version__ = "0.1.0"

__all__ = [
    "MobileNetV1",
    "MobileNetV2",
    "MobileNetV3Large",
    "MobileNetV3Small",
    "decode_predictions",
    "preprocess_input",
]


def __getattr__(name: str) -> Any:
    """Imports Keras only when a model is asked for: tables and --help do without."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "applications" if name.startswith("MobileNet") else "imagenet"
    return getattr(importlib.import_module(f"mobilenet_tf.{module}"), name)
