"""A run in memory: its data, its network, and how that is saved."""

import dataclasses

from mobilenet_tf import distillation, files, model_labels, weights
from mobilenet_tf.data.store import Split
from mobilenet_tf.distribution import ONE_DEVICE, Devices
from mobilenet_tf.engine import USES_TF_KERAS, keras
from mobilenet_tf.layout import DEFAULT_LAST_MAP
from mobilenet_tf.models import ModelOptions, build_model
from mobilenet_tf.recipe import ResolvedRecipe, make_optimizer
from mobilenet_tf.runs import TrainConfig
from mobilenet_tf.training_form import training_form

# What `freeze_backbone` leaves trainable: the layers after pooling.
HEAD_LAYERS = ("conv_preds", "conv_2", "logits", "predictions")


@dataclasses.dataclass(frozen=True)
class Job:
    """Everything that the training of a run needs.

    Attributes:
        run: its folder.
        config: its settings, with an image size.
        class_names: in output order.
        train, validation: prepared images.
        resolved: what the recipe came to.
        devices: what trains it.
        template: a .keras file of the network, needed to save on tf_keras; see
            `plain_model`.
    """

    run: str
    config: TrainConfig
    class_names: tuple[str, ...]
    train: Split
    validation: Split
    resolved: ResolvedRecipe
    devices: Devices = ONE_DEVICE
    template: str = ""


def network_options(
    config: TrainConfig, classes: int, bn_momentum: float | None = None
) -> ModelOptions:
    """The options that a run's network is built with."""
    network = config.network
    assert network.image_size is not None
    return ModelOptions(
        input_shape=(network.image_size, network.image_size, 3),
        alpha=network.alpha,
        classes=classes,
        dropout_rate=config.recipe.dropout_rate,
        name=network.file_name.replace(".", "_"),
        last_map=network.last_map or DEFAULT_LAST_MAP,
        bn_momentum=bn_momentum,
    )


def untrained_model(config: TrainConfig, classes: int, bn_momentum: float) -> keras.Model:
    """A run's network with the random weights of its seed."""
    keras.utils.set_random_seed(config.seed)
    return build_model(config.network.spec, network_options(config, classes, bn_momentum))


def compiled_model(job: Job) -> keras.Model:
    """The job's network with random weights, ready for `fit`."""
    with job.devices.scope():
        return _compiled_model(job)


def _compiled_model(job: Job) -> keras.Model:
    config, bn_momentum = job.config, job.resolved.bn_momentum
    model = training_form(untrained_model(config, len(job.class_names), bn_momentum))
    if config.freeze_backbone:
        for layer in model.layers:
            layer.trainable = layer.name in HEAD_LAYERS
    if config.teacher is not None:
        model = distillation.student(model, config.teacher, job.class_names)
    model.compile(
        optimizer=make_optimizer(job.resolved, model),
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=config.recipe.label_smoothing),
        metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
        jit_compile=False,  # XLA on a CPU trains depthwise networks ten times slower.
    )
    # Variables made within the first step would have it traced twice: those of
    # the optimizer, and of a metric that is given by name.
    model.optimizer.build(model.trainable_variables)
    return model


def save_model(model: keras.Model, job: Job, path: str) -> None:
    """Writes a .keras without optimizer, loadable by plain Keras, labels inside."""
    if USES_TF_KERAS:
        # Read by all: some are means over all replicas.
        values = weights.weights_by_layer(model)
        if job.devices.is_chief:
            weights.rewrite_weights(job.template, path, values)
        return
    options = network_options(job.config, len(job.class_names), job.resolved.bn_momentum)
    plain = build_model(job.config.network.spec, options)
    plain.set_weights(model.get_weights())
    with files.replacing(path) as temporary:
        plain.save(temporary)
        model_labels.embed(temporary, job.class_names)
