"""Distillation: a network learns from a teacher's probabilities as well as from labels.

The loss is that of Hinton et al. (arXiv:1503.02531): with probabilities p_T of
the teacher and q_T of the student, both softened by the temperature T,

    (1 - weight) * cross-entropy(labels, q_1) + weight * T^2 * KL(p_T || q_T)

T^2 keeps the gradients of the second part at the size of those of the first
whatever T is. The teacher sees the very view of the image that the student sees,
augmentation included, as consistent teaching does (arXiv:2106.05237).

keras.distillation.Distiller is not used: it wants logits and equal input sizes,
its evaluation asks the teacher too, and its checkpoint holds it. `Student` is
the network itself with another loss, so whatever saves, averages or resumes a
network needs to know nothing of teachers.
"""

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from mobilenet_tf import files, model_labels, runs
from mobilenet_tf.classifier import KerasClassifier
from mobilenet_tf.engine import USES_TF_KERAS, keras
from mobilenet_tf.progress import say
from mobilenet_tf.runs import TeacherConfig
from mobilenet_tf.training_form import training_form

# Layers that only pass the scores on.
_PASSING = ("Reshape", "Flatten", "Identity", "Dropout", "Activation")
_SMALLEST = 1e-30  # Probabilities below have no logarithm that float32 holds.


class Teacher:
    """A frozen classifier that says what it makes of a batch.

    Args:
        settings: where it lies; its hash is compared where there is one.
        class_names: of the data set, in output order.

    Raises:
        FileNotFoundError, ValueError: no Keras image classifier, one of other
            classes, or another file than the one that the hash is of.
    """

    def __init__(self, settings: TeacherConfig, class_names: Sequence[str]) -> None:
        if USES_TF_KERAS:
            raise ValueError(
                "a teacher needs Keras 3; unset TF_USE_LEGACY_KERAS. "
                f"Received: --teacher {settings.path} on tf_keras"
            )
        _check_hash(settings)
        classifier = KerasClassifier(settings.path)
        self.gives_logits = _gives_logits(classifier.model)
        _check_classes(classifier, class_names)
        self.has_names = model_labels.of_model(settings.path) is not None
        self.image_size = classifier.image_size
        self._model = training_form(classifier.model)  # Computes the same, faster.
        self._model.trainable = False

    def __call__(self, images: Any) -> Any:
        """Logits, up to a constant for each image.

        Args:
            images: float32 (batch, h, w, 3) in 0..255, of any size.

        Returns:
            float32 (batch, classes).
        """
        side = self.image_size
        if tuple(images.shape[1:3]) != (side, side):
            images = keras.ops.image.resize(images, (side, side), "bilinear")
        outputs = keras.ops.cast(self._model(images, training=False), "float32")
        return outputs if self.gives_logits else log_probabilities(outputs)


def log_probabilities(probabilities: Any) -> Any:
    """Their logarithm, which is finite and serves as logits."""
    return keras.ops.log(keras.ops.maximum(probabilities, _SMALLEST))


def soft_loss(teacher_logits: Any, student_logits: Any, temperature: float) -> Any:
    """T^2 * KL(p_T || q_T), the mean of the batch; see the module.

    Args:
        teacher_logits, student_logits: (batch, classes), each row up to a constant.
        temperature: T, above 0.

    Returns:
        A scalar in nats, at least 0.
    """
    teacher = keras.ops.log_softmax(teacher_logits / temperature)
    student = keras.ops.log_softmax(student_logits / temperature)
    divergence = keras.ops.sum(keras.ops.exp(teacher) * (teacher - student), axis=-1)
    return temperature**2 * keras.ops.mean(divergence)


class Student(keras.Model):
    """A network whose training loss has a teacher in it; evaluation has none.

    Args:
        network: float32 images (batch, side, side, 3) in 0..255 to
            probabilities (batch, classes); its layers are shared.
        teacher: images to logits (batch, classes).
        settings: temperature and weight.
    """

    def __init__(self, network: keras.Model, teacher: Any, settings: TeacherConfig) -> None:
        super().__init__(inputs=network.input, outputs=network.output, name=network.name)
        # In a dataclass Keras does not find it: no layer, no weight, not in any file.
        self._lesson = _Lesson(teacher, settings)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """See `keras.Model.compute_loss`; the teacher counts in training only."""
        hard = super().compute_loss(x, y, y_pred, sample_weight, training)
        if not training:
            return hard
        settings = self._lesson.settings
        soft = soft_loss(self._lesson.teacher(x), log_probabilities(y_pred), settings.temperature)
        return (1.0 - settings.weight) * hard + settings.weight * soft


@dataclasses.dataclass(frozen=True)
class _Lesson:
    teacher: Any
    settings: TeacherConfig


def model_path(path: str) -> str:
    """The .keras file of a teacher that may be named by its run.

    Raises:
        ValueError: there is none.
    """
    found = runs.model_path(path)
    if not found.endswith(".keras") or not os.path.isfile(found):
        raise ValueError(f"a teacher must be a finished run or a .keras file. Received: {path}")
    return found


def identified(settings: TeacherConfig, class_names: Sequence[str]) -> TeacherConfig:
    """The settings with the teacher's file and hash, once it is known to be of use.

    Args:
        settings: whose path may be a run.
        class_names: of the data set, in output order.

    Raises:
        FileNotFoundError, ValueError: see `Teacher`.
    """
    path = model_path(settings.path)
    settings = dataclasses.replace(settings, path=path)
    teacher = Teacher(settings, class_names)
    _try(teacher, path)
    kind = "logits" if teacher.gives_logits else "probabilities"
    size = f"{teacher.image_size}x{teacher.image_size}"
    say(
        f"teacher: {path}, {size} pixels in (others are resized, bilinear), {kind} out; "
        f"temperature {settings.temperature:g}, weight {settings.weight:g}"
    )
    if not teacher.has_names:
        say(f"note: it names no classes; only their number, {len(class_names)}, was compared")
    return dataclasses.replace(settings, sha256=files.sha256(path))


def _try(teacher: Teacher, path: str) -> None:
    """Asks a teacher about an image of noise: what breaks should not do so in the first step."""
    side = teacher.image_size
    image = np.random.default_rng(0).uniform(0, 255, (1, side, side, 3)).astype(np.float32)
    try:
        scores = keras.ops.convert_to_numpy(teacher(keras.ops.convert_to_tensor(image)))
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise ValueError(
            "a teacher must take float32 images and give one score per class. "
            f"Received: {path} ({reason})"
        ) from None
    if not np.isfinite(scores).all():
        raise ValueError(
            f"a teacher's scores must be finite numbers. Received: {path}, whose are not"
        )


def student(
    network: keras.Model, settings: TeacherConfig, class_names: Sequence[str]
) -> keras.Model:
    """The network with a teacher in its loss, not compiled.

    Args:
        network: see `Student`.
        settings: of `identified`.
        class_names: in output order.

    Raises:
        FileNotFoundError, ValueError: see `Teacher`.
    """
    return Student(network, Teacher(settings, class_names), settings)


def _check_hash(settings: TeacherConfig) -> None:
    if settings.sha256 is None or not os.path.isfile(settings.path):
        return  # KerasClassifier names a missing file.
    found = files.sha256(settings.path)
    if found != settings.sha256:
        raise ValueError(
            "a run must go on with the teacher it began with; restore the file or start a new "
            f"run. Received: {settings.path} with SHA-256 {found[:12]}..., not "
            f"{settings.sha256[:12]}..."
        )


def _check_classes(classifier: KerasClassifier, class_names: Sequence[str]) -> None:
    rule = "a teacher must have the data set's classes in the same order"
    shape = classifier.model.output_shape
    if len(shape) != 2 or shape[-1] != len(class_names):
        raise ValueError(
            f"{rule}. Received: {classifier.path} with outputs {tuple(shape)} for "
            f"{len(class_names)} classes"
        )
    if model_labels.of_model(classifier.path) is None:
        return
    for i, (theirs, ours) in enumerate(zip(classifier.class_names, class_names, strict=True)):
        if theirs != ours:
            raise ValueError(
                f"{rule}. Received: {classifier.path}, whose class {i} is {theirs}, while the "
                f"data set's is {ours}"
            )


def _gives_logits(model: keras.Model) -> bool:
    """True without a last activation, False after a softmax.

    Raises:
        ValueError: another activation, whose scores are no distribution, or a
            subclassed model, which does not show its layers.
    """
    if not getattr(model, "outputs", None):
        raise ValueError(
            "a teacher must be a functional or sequential Keras model. "
            f"Received: {model.name}, a {type(model).__name__}"
        )
    tensor = model.outputs[0]
    while True:
        operation, node_index, _ = tensor._keras_history
        name = _activation_name(operation)
        if name == "softmax":
            return False
        if name != "linear":
            raise ValueError(
                "a teacher must end in a softmax or without activation. "
                f"Received: {model.name}, whose last layer is {operation.name} ({name})"
            )
        if isinstance(operation, keras.Model):
            tensor = operation.outputs[0]
        elif type(operation).__name__ in _PASSING:
            tensor = operation._inbound_nodes[node_index].input_tensors[0]
        else:
            return True


def _activation_name(operation: Any) -> str:
    kind = type(operation).__name__.lower()
    if kind in ("softmax", "sigmoid", "relu", "hardsigmoid"):
        return kind
    activation = getattr(operation, "activation", None)
    return "linear" if activation is None else getattr(activation, "__name__", "unknown")
