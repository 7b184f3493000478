"""Augmentation policies, from Keras' own preprocessing layers.

Every random number depends on (seed, step) only. So batches can be made in
parallel, a run can be repeated, and one that starts again at a step sees what
it would have seen.
"""

from collections.abc import Callable

import keras  # Keras 3 for the input pipeline, also where tf_keras trains.
import tensorflow as tf

POLICIES = ("none", "light", "strong")
_RAND_AUGMENT_OPS = 2

Augment = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


class _StepSeeds(keras.random.SeedGenerator):
    """Hands Keras' layers seeds made of the step instead of a counter.

    A counter's state would depend on the order in which parallel batches
    happen to be made.
    """

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self._seed = seed
        self._step: tf.Tensor | None = None
        self._calls = 0

    def begin(self, step: tf.Tensor) -> None:
        """Starts the seeds of a step; called while the pipeline is traced."""
        self._step, self._calls = step, 0

    def next(self, ordered: bool = True) -> tf.Tensor:
        """The next seed of this step, int64 (2,)."""
        assert self._step is not None
        self._calls += 1  # A constant of each place in the traced graph.
        return tf.stack([tf.cast(self._seed, tf.int64), self._step * 1000 + self._calls])


def make_augment(policy: str, seed: int) -> Augment | None:
    """Builds a policy.

    Args:
        policy: "none"; "light": mirroring and shifts, right for short runs;
            "strong": also zoom, RandAugment, erasing, and MixUp or CutMix, for
            runs long enough to need them.
        seed: of all its random numbers.

    Returns:
        None for "none"; otherwise a function of (step, images, labels), with
        int64 step, float32 images (batch, h, w, 3) in [0, 255] and float32
        labels (batch, classes), that returns augmented images and labels of
        the same shapes and ranges.

    Raises:
        ValueError: an unknown policy.
    """
    if policy not in POLICIES:
        raise ValueError(f"augmentation must be one of {', '.join(POLICIES)}. Received: {policy}")
    if policy == "none":
        return None
    seeds = _StepSeeds(seed)
    light = [
        keras.layers.RandomFlip("horizontal"),
        # By whole pixels up to an eighth: what padding by 4 and cropping to
        # 32x32 does, but for each image of the batch its own.
        keras.layers.RandomTranslation(0.125, 0.125, "reflect", interpolation="nearest"),
    ]
    strong = policy == "strong"
    before = light + ([keras.layers.RandomZoom((-0.25, 0.1), fill_mode="reflect")] * strong)
    choices = _rand_augment_choices() if strong else []
    after = [keras.layers.RandomErasing(factor=0.25, scale=(0.02, 0.2))] * strong
    mixers = [keras.layers.MixUp(alpha=0.2), keras.layers.CutMix()] if strong else []
    for layer in before + choices + after + mixers:
        layer.generator = seeds

    def augment(
        step: tf.Tensor, images: tf.Tensor, labels: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        seeds.begin(step)
        for layer in before:
            images = layer(images, training=True)
        for _ in range(_RAND_AUGMENT_OPS if choices else 0):
            images = _one_of(choices, seeds, images)
        for layer in after:
            images = layer(images, training=True)
        if mixers:
            images, labels = _mix(mixers, seeds, images, labels)
        return tf.clip_by_value(images, 0.0, 255.0), labels

    return augment


def _rand_augment_choices() -> list[keras.layers.Layer]:
    """The operations of RandAugment (arXiv:1909.13719), at a moderate strength."""
    factor, pixels = 0.3, (0, 255)
    return [
        keras.layers.AutoContrast(value_range=pixels),
        keras.layers.Equalization(value_range=pixels),
        keras.layers.RandomBrightness(factor, value_range=pixels),
        keras.layers.RandomColorDegeneration(factor, value_range=pixels),
        keras.layers.RandomContrast(factor, value_range=pixels),
        keras.layers.RandomPosterization(4, value_range=pixels),
        keras.layers.RandomRotation(factor / 6, fill_mode="reflect"),
        keras.layers.RandomSharpness(factor, value_range=pixels),
        keras.layers.RandomShear(factor, factor, fill_mode="reflect"),
        keras.layers.Solarization(factor, factor, value_range=pixels),
    ]


def _one_of(layers: list[keras.layers.Layer], seeds: _StepSeeds, images: tf.Tensor) -> tf.Tensor:
    """Applies one layer, drawn for the whole batch.

    So does keras.layers.RandAugment, which however computes all of them for
    every batch and keeps one: too slow to feed a CPU.
    """
    choice = tf.random.stateless_uniform([], seeds.next(), 0, len(layers), tf.int32)
    branches = [lambda layer=layer: layer(images, training=True) for layer in layers]
    augmented = tf.switch_case(choice, branches)
    return tf.ensure_shape(augmented, images.shape)


def _mix(
    mixers: list, seeds: _StepSeeds, images: tf.Tensor, labels: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """MixUp for one half of the batches, CutMix for the other."""
    coin = tf.random.stateless_uniform([], seeds.next())
    batch = {"images": images, "labels": labels}
    first, second = (mixer(dict(batch), training=True) for mixer in mixers)
    use_first = coin < 0.5
    return (
        tf.where(use_first, first["images"], second["images"]),
        tf.where(use_first, first["labels"], second["labels"]),
    )
