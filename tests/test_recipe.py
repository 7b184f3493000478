"""Schedules against a calculator, and weight decay where it belongs."""

import dataclasses

import numpy as np
import pytest

from mobilenet_tf import specs
from mobilenet_tf.engine import keras
from mobilenet_tf.models import ModelOptions, build_model
from mobilenet_tf.recipe import Recipe, make_optimizer, resolve, undecayed_variables


def _rates(schedule: str, steps: list[int], **changes) -> list[float]:
    """Rates of a run of 10 epochs of 10 steps that peaks at 0.8."""
    recipe = Recipe(epochs=10, learning_rate=0.8, schedule=schedule, **changes)
    resolved = resolve(recipe, steps_per_epoch=10)
    return [resolved.learning_rate_at(step) for step in steps]


def test_cosine_with_warm_up():
    # Two epochs up: step s gives 0.8 (s + 1) / 20. Then 80 steps down:
    # 0.4 (1 + cos(pi (s - 20) / 80)), a half at step 60, nearly 0 at step 99.
    rates = _rates("cosine", [0, 9, 19, 20, 40, 60, 80, 99], warmup_epochs=2.0)
    # Near the end, 1 + cos(pi - x) is x^2 / 2: here 0.2 (pi / 80)^2.
    quarter = 0.5**0.5
    expected = [0.04, 0.4, 0.8, 0.8, 0.4 * (1 + quarter), 0.4, 0.4 * (1 - quarter), 3.084e-4]
    np.testing.assert_allclose(rates, expected, rtol=1e-3)


def test_cosine_ends_at_zero_and_stays_there():
    np.testing.assert_allclose(_rates("cosine", [100, 500], warmup_epochs=0.0), 0, atol=1e-12)


def test_step():
    # 100 steps without warm-up: a tenth from step 50, a hundredth from step 75.
    rates = _rates("step", [0, 49, 50, 74, 75, 99], warmup_epochs=0.0)
    np.testing.assert_allclose(rates, [0.8, 0.8, 0.08, 0.08, 0.008, 0.008])


def test_exponential():
    # By 0.96 with each epoch after the warm-up of one: 0.96^2 = 0.9216.
    rates = _rates("exponential", [4, 10, 19, 20, 30], warmup_epochs=1.0)
    np.testing.assert_allclose(rates, [0.4, 0.8, 0.8, 0.8 * 0.96, 0.8 * 0.9216])


def test_constant():
    np.testing.assert_allclose(
        _rates("constant", [0, 4, 5, 99], warmup_epochs=0.5), [0.16, 0.8, 0.8, 0.8]
    )


def test_warm_up_is_a_tenth_of_the_epochs_but_at_most_five():
    assert resolve(Recipe(epochs=20), 10).warmup_steps == 20
    assert resolve(Recipe(epochs=3), 10).warmup_steps == 3
    assert resolve(Recipe(epochs=300), 10).warmup_steps == 50
    assert resolve(Recipe(epochs=20, warmup_epochs=0.0), 10).warmup_steps == 0


def test_warm_up_never_takes_the_whole_run():
    resolved = resolve(Recipe(epochs=1, warmup_epochs=7.0), 4)
    assert resolved.warmup_steps == 3
    assert resolve(Recipe(epochs=1), 1).learning_rate_at(0) > 0


@pytest.mark.parametrize(
    "optimizer, batch_size, expected",
    # Linear in the batch for SGD, its square root for the adaptive ones.
    [
        ("adamw", 128, 0.002),
        ("adamw", 32, 0.001),
        ("rmsprop", 512, 0.004),
        ("sgd", 128, 0.1),
        ("sgd", 32, 0.025),
    ],
)
def test_default_rate_follows_the_batch(optimizer, batch_size, expected):
    recipe = Recipe(optimizer=optimizer, batch_size=batch_size)
    assert resolve(recipe, 10).learning_rate == pytest.approx(expected)


def test_given_numbers_are_kept():
    recipe = Recipe(batch_size=7, learning_rate=0.3, weight_decay=0.0, bn_momentum=0.5)
    resolved = resolve(recipe, 10)
    assert (resolved.learning_rate, resolved.weight_decay) == (0.3, 0.0)
    assert resolved.bn_momentum == 0.5 and resolved.recipe is recipe


@pytest.mark.parametrize(
    "epochs, bn_momentum, ema_momentum",
    # 1 - 1/n for a twentieth n of the steps: at least 5, at most 100 and 10,000.
    [(1, 0.8, 0.8), (20, 0.9, 0.9), (200, 0.99, 0.99), (2000, 0.99, 0.999), (40_000, 0.99, 0.9999)],
)
def test_averages_span_a_twentieth_of_the_run(epochs, bn_momentum, ema_momentum):
    resolved = resolve(Recipe(epochs=epochs), 10)
    assert resolved.bn_momentum == pytest.approx(bn_momentum)
    assert resolved.ema_momentum == pytest.approx(ema_momentum)
    assert resolve(Recipe(epochs=epochs, ema=False), 10).ema_momentum is None


@pytest.mark.parametrize("field", ["optimizer", "schedule"])
def test_unknown_names_are_refused(field):
    recipe = dataclasses.replace(Recipe(), **{field: "magic"})
    with pytest.raises(ValueError, match="must be one of .*Received: magic"):
        resolve(recipe, 10)


@pytest.fixture(scope="module")
def model() -> keras.Model:
    """V3 small, narrow: convolutions with and without bias, squeeze-excite, BatchNorm."""
    options = ModelOptions(input_shape=(32, 32, 3), alpha=0.25, classes=3, name="tiny")
    return build_model(specs.get_spec("v3", "small"), options)


def _is_undecayed(path: str) -> bool:
    layer, variable = path.split("/")[-2:]
    return variable in ("gamma", "beta", "bias") or "depthwise" in layer and variable == "kernel"


def test_vectors_and_depthwise_kernels_are_not_decayed(model):
    paths = [variable.path for variable in model.trainable_variables]
    undecayed = {variable.path for variable in undecayed_variables(model)}
    assert undecayed == {path for path in paths if _is_undecayed(path)}
    kernels = [path for path in paths if path.endswith("/kernel")]
    # Eleven blocks: one depthwise kernel each. All other kernels decay.
    assert len(undecayed & set(kernels)) == 11
    assert set(paths) - undecayed == {path for path in kernels if "depthwise" not in path}


@pytest.mark.parametrize("name", ["adamw", "sgd", "rmsprop"])
def test_optimizer_shrinks_decayed_variables_only(model, name):
    recipe = Recipe(optimizer=name, learning_rate=0.1, weight_decay=0.5)
    optimizer = make_optimizer(resolve(recipe, 10), model)
    variables = model.trainable_variables
    for variable in variables:
        variable.assign(np.ones(variable.shape, np.float32))
    optimizer.apply([keras.ops.zeros_like(variable) for variable in variables], variables)
    for variable in variables:
        # Decoupled decay: 1 - rate x decay = 0.95. A zero gradient moves nothing.
        expected = 1.0 if _is_undecayed(variable.path) else 0.95
        np.testing.assert_allclose(variable.numpy(), expected, rtol=1e-6, err_msg=variable.path)


def test_optimizer_averages_only_when_asked(model):
    averaged = make_optimizer(resolve(Recipe(), 100), model)
    plain = make_optimizer(resolve(Recipe(ema=False), 100), model)
    assert averaged.use_ema and averaged.ema_momentum == pytest.approx(0.99)
    assert not plain.use_ema
