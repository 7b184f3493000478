"""The training recipe: schedule, optimizer and averaging, from a few numbers.

Everything that depends on the length of a run (warm-up, BatchNorm momentum,
averaging of weights) is derived from the number of its steps, so that three
epochs of CIFAR-10 and three hundred of photographs both converge.
"""

import dataclasses
import math

from mobilenet_tf.engine import keras, layers

OPTIMIZERS = ("adamw", "sgd", "rmsprop")
SCHEDULES = ("cosine", "step", "exponential", "constant")

# Peak learning rates at a batch of 128.
_LEARNING_RATES = {"adamw": 2e-3, "sgd": 0.1, "rmsprop": 2e-3}
_WEIGHT_DECAYS = {"adamw": 0.05, "sgd": 2e-3, "rmsprop": 1e-5}
_REFERENCE_BATCH = 128


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a network is trained. None means: chosen by the rules below.

    Attributes:
        epochs: passes over the training images.
        batch_size: images of a step.
        optimizer: one of `OPTIMIZERS`.
        learning_rate: at its peak.
        schedule: one of `SCHEDULES`: "cosine" to zero; "step", a tenth after
            half and after three quarters; "exponential", by 0.96 an epoch.
        warmup_epochs: during which the rate rises from zero.
        weight_decay: decoupled; not on BatchNorm, biases and depthwise
            kernels (V1, section 3.3, warns of the last).
        label_smoothing: from 0 to below 1.
        augmentation: see `data.augmentation`.
        ema: average the weights and evaluate and ship the average.
        bn_momentum: of every BatchNormalization.
        dropout_rate: in front of the classifier; None for the network's own.
    """

    epochs: int = 20
    batch_size: int = 128
    optimizer: str = "adamw"
    learning_rate: float | None = None
    schedule: str = "cosine"
    warmup_epochs: float | None = None
    weight_decay: float | None = None
    label_smoothing: float = 0.1
    augmentation: str = "light"
    ema: bool = True
    bn_momentum: float | None = None
    dropout_rate: float | None = None


@dataclasses.dataclass(frozen=True)
class ResolvedRecipe:
    """The numbers a recipe comes to for a run of a certain length.

    Attributes:
        recipe: where they come from.
        steps_per_epoch: steps of one epoch.
        learning_rate, weight_decay, bn_momentum: as used.
        warmup_steps: steps with a rising rate.
        ema_momentum: of the average of weights; None without one.
    """

    recipe: Recipe
    steps_per_epoch: int
    learning_rate: float
    weight_decay: float
    warmup_steps: int
    bn_momentum: float
    ema_momentum: float | None

    def learning_rate_at(self, step: int) -> float:
        """The rate for training step `step`, counted from 0."""
        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / self.warmup_steps
        total = self.recipe.epochs * self.steps_per_epoch
        done = (step - self.warmup_steps) / max(1, total - self.warmup_steps)
        if self.recipe.schedule == "cosine":
            return self.learning_rate * 0.5 * (1.0 + math.cos(math.pi * min(done, 1.0)))
        if self.recipe.schedule == "step":
            return self.learning_rate * 0.1 ** ((done >= 0.5) + (done >= 0.75))
        if self.recipe.schedule == "exponential":
            epochs = (step - self.warmup_steps) // self.steps_per_epoch
            return self.learning_rate * 0.96**epochs
        return self.learning_rate


def resolve(recipe: Recipe, steps_per_epoch: int) -> ResolvedRecipe:
    """Fills in what a recipe leaves open.

    Args:
        recipe: to resolve.
        steps_per_epoch: steps of one epoch.

    Returns:
        A `ResolvedRecipe`.

    Raises:
        ValueError: an unknown optimizer or schedule.
    """
    for key, known in (("optimizer", OPTIMIZERS), ("schedule", SCHEDULES)):
        value = getattr(recipe, key)
        if value not in known:
            raise ValueError(f"{key} must be one of {', '.join(known)}. Received: {value}")
    steps = recipe.epochs * steps_per_epoch
    scale = recipe.batch_size / _REFERENCE_BATCH
    if recipe.optimizer != "sgd":
        scale **= 0.5  # Adaptive optimizers: the square root of the batch's growth.
    warmup_epochs = recipe.warmup_epochs
    if warmup_epochs is None:
        warmup_epochs = min(5.0, 0.1 * recipe.epochs)
    rate, decay = recipe.learning_rate, recipe.weight_decay
    momentum = recipe.bn_momentum
    return ResolvedRecipe(
        recipe=recipe,
        steps_per_epoch=steps_per_epoch,
        learning_rate=_LEARNING_RATES[recipe.optimizer] * scale if rate is None else rate,
        weight_decay=_WEIGHT_DECAYS[recipe.optimizer] if decay is None else decay,
        warmup_steps=min(steps - 1, round(warmup_epochs * steps_per_epoch)),
        # Averages over a twentieth of the run, so that the end of it counts.
        bn_momentum=_horizon_momentum(steps, 100) if momentum is None else momentum,
        ema_momentum=_horizon_momentum(steps, 10_000) if recipe.ema else None,
    )


def _horizon_momentum(steps: int, longest: int) -> float:
    return round(1.0 - 1.0 / min(longest, max(5.0, steps / 20)), 5)


def make_optimizer(resolved: ResolvedRecipe, model: keras.Model) -> keras.optimizers.Optimizer:
    """The optimizer for a model, with weight decay where it belongs.

    Args:
        resolved: from `resolve`.
        model: tells which variables are BatchNorm's, biases or depthwise.

    Returns:
        An optimizer, not built yet.
    """
    ema = resolved.ema_momentum
    settings = {
        "learning_rate": resolved.learning_rate,
        "weight_decay": resolved.weight_decay,
        "use_ema": ema is not None,
        "ema_momentum": 0.99 if ema is None else ema,
    }
    if resolved.recipe.optimizer == "adamw":
        optimizer = keras.optimizers.AdamW(**settings)
    elif resolved.recipe.optimizer == "sgd":
        optimizer = keras.optimizers.SGD(momentum=0.9, nesterov=True, **settings)
    else:
        # V3's settings (arXiv:1905.02244, section 6.1), epsilon as in TF-slim.
        optimizer = keras.optimizers.RMSprop(rho=0.9, momentum=0.9, epsilon=1e-3, **settings)
    optimizer.exclude_from_weight_decay(var_list=undecayed_variables(model))
    return optimizer


def undecayed_variables(model: keras.Model) -> list:
    """Trainable variables without weight decay: vectors and depthwise kernels."""
    return [
        variable
        for layer in model.layers
        for variable in layer.trainable_variables
        if len(variable.shape) < 2 or isinstance(layer, layers.DepthwiseConv2D)
    ]
