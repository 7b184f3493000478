"""The float model that a conversion is compared with."""

import os

from mobilenet_tf import runs
from mobilenet_tf.classifier import KerasClassifier
from mobilenet_tf.progress import say


def of_trained(model: KerasClassifier) -> KerasClassifier:
    """The float run that a quantization-aware one was trained from, if it is still there.

    The latter's own weights were trained to be rounded: computed in float they
    answer otherwise than their file, and than the network that they learned from.

    Args:
        model: model.keras of a quantization-aware run.

    Returns:
        The float run's model; the given one, with a note, where that is gone.
    """
    config, _ = runs.read_config(os.path.dirname(model.path))
    path = runs.model_path(str(config.weights))
    try:
        found = KerasClassifier(path)
    except (OSError, ValueError):
        found = None
    if found is not None and _alike(found, model):
        say(f"compared with {path}, which it was trained from")
        return found
    say(
        "note: compared with its own weights in float, which were trained to be rounded; the float "
        f"run that it was trained from is not at {path}"
    )
    return model


def _alike(one: KerasClassifier, other: KerasClassifier) -> bool:
    return (one.class_names, one.image_size) == (other.class_names, other.image_size)
