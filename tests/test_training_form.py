"""The layers that train fast against Keras' own."""

import numpy as np
import pytest

from mobilenet_tf import specs
from mobilenet_tf.engine import keras
from mobilenet_tf.models import ModelOptions, build_model
from mobilenet_tf.training_form import training_form
from mobilenet_tf.weights import transfer_weights

tf = pytest.importorskip("tensorflow")


@pytest.fixture(scope="module")
def pair():
    keras.utils.set_random_seed(1)
    options = ModelOptions(
        input_shape=(32, 32, 3), alpha=0.25, classes=5, bn_momentum=0.9, dropout_rate=0.0
    )
    plain = build_model(specs.get_spec("v3", "small"), options)
    return plain, training_form(plain)


def test_names_and_weights_stay(pair):
    plain, fast = pair
    assert [layer.name for layer in fast.layers] == [layer.name for layer in plain.layers]
    for mine, theirs in zip(fast.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_training_outputs_and_gradients_equal_keras(pair):
    plain, fast = pair
    rng = np.random.default_rng(0)
    images = tf.constant(rng.uniform(0, 255, (16, 32, 32, 3)), tf.float32)
    labels = tf.one_hot(rng.integers(0, 5, 16), 5)

    def step(model):
        with tf.GradientTape() as tape:
            outputs = model(images, training=True)
            loss = tf.reduce_mean(keras.losses.categorical_crossentropy(labels, outputs))
        variables = [v.value for v in model.trainable_variables]
        return outputs.numpy(), [g.numpy() for g in tape.gradient(loss, variables)]

    before = plain.get_weights()
    theirs, their_gradients = step(plain)
    mine, my_gradients = step(fast)
    np.testing.assert_allclose(mine, theirs, atol=2e-5)
    for my_gradient, their_gradient in zip(my_gradients, their_gradients, strict=True):
        scale = np.abs(their_gradient).max() + 1e-3
        np.testing.assert_allclose(my_gradient / scale, their_gradient / scale, atol=2e-3)
    # Both moved their statistics; the variance differs by n / (n - 1), at most 16 / 15 here.
    for my_value, their_value in zip(fast.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(my_value, their_value, rtol=0.02, atol=2e-4)
    plain.set_weights(before)
    fast.set_weights(before)


def test_inference_is_keras_own(pair):
    plain, fast = pair
    images = np.random.default_rng(0).uniform(0, 255, (4, 32, 32, 3)).astype(np.float32)
    np.testing.assert_allclose(fast(images).numpy(), plain(images).numpy(), atol=1e-6)


def test_frozen_statistics_stay(pair):
    fast = pair[1]
    before = fast.get_weights()
    for layer in fast.layers:
        layer.trainable = False
    fast(np.full((4, 32, 32, 3), 100.0, np.float32), training=True)
    for layer in fast.layers:
        layer.trainable = True
    for value, old in zip(fast.get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, old)


def test_files_without_names_load(pair, tmp_path):
    """Keras counts a .weights.h5's layers by class, of which the faster ones have another."""
    plain, fast = pair
    path = str(tmp_path / "plain.weights.h5")
    plain.save_weights(path)
    report = transfer_weights(fast, path)
    assert len(report.loaded) == sum(bool(layer.weights) for layer in plain.layers)
    assert report.left == report.unused == ()


def test_foreign_networks_compute_the_same():
    """A teacher may be anybody's: without scale, over vectors, in groups, with strides, nested."""
    layers = keras.layers
    keras.utils.set_random_seed(2)
    image = layers.Input((16, 16, 3))
    x = layers.Conv2D(8, 1, strides=2)(image)
    x = layers.BatchNormalization(scale=False)(x)
    x = layers.Conv2D(8, 1, groups=2, activation="relu")(x)
    x = layers.BatchNormalization(axis=1)(x)
    inner = keras.Sequential([layers.Input((8, 8, 8)), layers.Conv2D(4, 1)])
    x = layers.BatchNormalization()(inner(x))
    x = layers.BatchNormalization()(layers.Flatten()(x))
    model = keras.Model(image, layers.Dense(5, activation="softmax")(x))
    rng = np.random.default_rng(3)
    model.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in model.get_weights()])
    images = rng.uniform(0, 1, (4, 16, 16, 3)).astype(np.float32)
    fast = training_form(model)
    np.testing.assert_allclose(fast(images).numpy(), model(images).numpy(), atol=1e-5)
    step = fast(images, training=True).numpy()
    np.testing.assert_allclose(step, model(images, training=True).numpy(), atol=1e-4)
