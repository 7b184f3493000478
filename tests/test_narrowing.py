"""Narrow networks cut out of wide ones: the same function where what goes is zero."""

import contextlib
import dataclasses
import io
import json
import os

import numpy as np
import pytest
from image_files import make_folder

from mobilenet_tf import narrowing, runs, specs, training, transfer
from mobilenet_tf.data.datasets import DataConfig, FolderSource
from mobilenet_tf.engine import keras, layers
from mobilenet_tf.job import compiled_model
from mobilenet_tf.models import ModelOptions, build_model
from mobilenet_tf.recipe import Recipe
from mobilenet_tf.runs import NetworkConfig, TrainConfig
from mobilenet_tf.weights import assign_weights, weights_by_layer

SIDE = 32


def build(version, alpha, classes=4, **options):
    spec = specs.get_spec(version, "small" if version == "v3" else None)
    return build_model(spec, ModelOptions((SIDE, SIDE, 3), alpha=alpha, classes=classes, **options))


def channels_by_name(model):
    """Layer name to the channels it reads and makes, from how the blocks are named.

    Written down without the model's graph: what stands in the papers' figures.
    """
    found, current = {}, "stem"
    names = [layer.name for layer in model.layers if layer.weights]
    for name in names:
        prefix = name.split("_squeeze")[0].split("_expand")[0] if "block" in name else name
        for end in ("_depthwise", "_project", "_squeeze", "_expand"):
            if end in name[1:]:
                prefix = name[: name.rindex(end)]
        inner = f"{prefix} inner"
        if name in ("conv1", "conv1_bn", "Conv1", "bn_Conv1", "conv", "conv_bn"):
            found[name] = ("image", "stem")
        elif name.startswith("conv_dw"):
            found[name] = (current, current)
        elif name.startswith("conv_pw"):
            current = name.removesuffix("_bn")
            reads = found[f"conv_dw_{current.split('_')[-1]}"][0]
            found[name] = (reads, current)
        elif "squeeze_excite_conv" in name:
            pair = (inner, f"{prefix} gate")
            found[name] = pair[::-1] if name.endswith("conv_1") else pair
        elif "_expand" in name[1:]:
            found[name] = (current, inner)
        elif "_depthwise" in name:
            expands = any(other == f"{prefix}_expand" for other in names)
            made = inner if expands else current
            found[name] = (made, made)
            last_inner = made
        elif "_project" in name:
            adds = any(layer.name == f"{prefix}_add" for layer in model.layers)
            if not adds and not found.get(f"{prefix}_project"):
                current = f"{prefix} out"
            found[name] = (last_inner, current)
        elif name in ("Conv_1", "Conv_1_bn", "conv_1", "conv_1_bn"):
            found[name] = (current, "last")
        elif name == "conv_2":
            found[name] = ("last", "head")
        else:  # The classifier.
            reads = (
                "head" if "conv_2" in found else "last" if "last" in map_makes(found) else current
            )
            found[name] = (reads, "classes")
    return found


def map_makes(found):
    return {makes for _, makes in found.values()}


def widened(narrow, wide, seed=0):
    """The narrow model's weights at random places of the wide one's, zeros between."""
    rng, channels, places = np.random.default_rng(seed), channels_by_name(narrow), {}

    def place(group, few, many):
        if group not in places:
            places[group] = np.sort(rng.choice(many, few, replace=False))
        assert len(places[group]) == few
        return places[group]

    result = {}
    for layer in narrow.layers:
        if not layer.weights:
            continue
        reads, makes = channels[layer.name]
        shapes = [variable.shape for variable in wide.get_layer(layer.name).weights]
        result[layer.name] = []
        for array, shape in zip(layer.get_weights(), shapes, strict=True):
            index = [np.arange(size) for size in array.shape]
            if isinstance(layer, layers.DepthwiseConv2D):
                index[2] = place(makes, array.shape[2], shape[2])
            else:
                index[-1] = place(makes, array.shape[-1], shape[-1])
                if array.ndim > 1:
                    index[-2] = place(reads, array.shape[-2], shape[-2])
            new = np.zeros(shape, array.dtype)
            new[np.ix_(*index)] = array
            result[layer.name].append(new)
    return result


@pytest.mark.parametrize(
    "version, alpha, wide_alpha", [("v1", 0.25, 0.4), ("v2", 0.35, 0.5), ("v3", 0.35, 0.5)]
)
def test_dropping_zeros_changes_nothing(version, alpha, wide_alpha, randomize):
    narrow, wide = randomize(build(version, alpha)), build(version, wide_alpha)
    given = widened(narrow, wide)
    assert not assign_weights(wide, given).left
    model = build(version, alpha)
    arrays, sliced = narrowing.narrowed(model, given)
    report = assign_weights(model, arrays)
    assert not report.left and not report.unused
    wider = [
        layer.name
        for layer in narrow.layers
        if [v.shape for v in layer.weights] != [a.shape for a in given.get(layer.name, [])]
    ]
    assert list(sliced) == wider and len(wider) > 20
    images = np.random.default_rng(0).uniform(0, 255, (4, SIDE, SIDE, 3)).astype(np.float32)
    expected = np.asarray(wide(images, training=False))
    assert expected.std() > 1e-3
    np.testing.assert_allclose(np.asarray(model(images, training=False)), expected, atol=1e-5)
    for name, expected in weights_by_layer(narrow).items():
        for array, wanted in zip(arrays[name], expected, strict=True):
            np.testing.assert_array_equal(array, wanted, err_msg=name)


def tiny(channels, with_norm=True):
    image = keras.Input((4, 4, 3))
    x = layers.Conv2D(channels, 1, use_bias=False, name="conv")(image)
    x = layers.BatchNormalization(name="norm")(x) if with_norm else x
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(image, layers.Dense(2, name="top")(x))


@pytest.mark.parametrize("with_norm, kept", [(True, [0, 2]), (False, [1, 2])])
def test_most_important_channels_stay_in_order(with_norm, kept):
    kernel = np.array([1.0, -9.0, 5.0]) * np.ones((1, 1, 3, 1))  # Largest: 1, then 2.
    norm = [np.array(x) for x in ([-3.0, 0.5, 2.0], [1.0, 2, 3], [4.0, 5, 6], [7.0, 8, 9])]
    top = [np.arange(6.0).reshape(3, 2), np.array([1.0, 2.0])]
    given = {"conv": [kernel], "top": top} | ({"norm": norm} if with_norm else {})
    arrays, sliced = narrowing.narrowed(tiny(2, with_norm), given)
    np.testing.assert_array_equal(arrays["conv"][0], kernel[..., kept])
    np.testing.assert_array_equal(arrays["top"][0], top[0][kept])
    np.testing.assert_array_equal(arrays["top"][1], top[1])
    if with_norm:
        np.testing.assert_array_equal(arrays["norm"], np.array(norm)[:, kept])
    assert sliced == (("conv", "norm", "top") if with_norm else ("conv", "top"))


def test_classes_and_what_is_too_narrow_are_left(randomize):
    # The file has more classes and fewer channels: nothing is sliced.
    model, file = build("v3", 0.5, classes=4), build("v3", 0.35, classes=6)
    arrays, sliced = narrowing.narrowed(model, weights_by_layer(file))
    assert sliced == ()
    report = assign_weights(model, arrays)
    assert any(line.startswith("logits is") for line in report.mismatched)
    assert any(line.startswith("expanded_conv_1_project is") for line in report.mismatched)
    # And with more channels, its classifier alone is left.
    model, file = build("v3", 0.35, classes=4), build("v3", 0.5, classes=6)
    arrays, sliced = narrowing.narrowed(model, weights_by_layer(file))
    report = assign_weights(model, arrays)
    assert [line.split(" is ")[0] for line in report.left] == ["logits"]
    assert "logits" not in sliced and "conv_2" in sliced


# Runs.


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> str:
    return make_folder(tmp_path_factory.mktemp("data"), {"blue": 20, "red": 20}, SIDE)


def _config(data, **changes) -> TrainConfig:
    recipe = Recipe(1, 8, learning_rate=0.01, augmentation="none")
    network = NetworkConfig("v1", alpha=0.25, image_size=SIDE)
    return dataclasses.replace(TrainConfig(network, DataConfig(data), recipe), **changes)


def test_statistics_are_those_of_the_images(data):
    config = _config(data, weights="x", freeze_backbone=True)
    job = training.prepare(config, FolderSource(DataConfig(data)), run="")
    model = compiled_model(job)
    norm, momentum = model.get_layer("conv1_bn"), model.get_layer("conv1_bn").momentum
    assert transfer.estimate_statistics(model, job) == len(job.train) == 32
    images = job.train.images.fetch(np.arange(32)).astype(np.float32)
    inner = keras.Model(model.inputs, model.get_layer("conv1").output)(images).numpy()
    _, _, mean, variance = norm.get_weights()
    np.testing.assert_allclose(mean, inner.mean(axis=(0, 1, 2)), rtol=1e-4, atol=1e-5)
    # Of batches of 8: a little less than of all images.
    batches = inner.reshape(4, 8, *inner.shape[1:])
    assert np.all(variance < 1.01 * inner.var(axis=(0, 1, 2)))
    assert variance.mean() > 0.5 * np.mean(batches.var(axis=(1, 2, 3)))
    assert norm.momentum == momentum and not norm.trainable


def test_run_from_a_wider_network_says_and_records_it(data, tmp_path):
    path = str(tmp_path / "wide.keras")
    build("v1", 0.5, classes=3).save(path)
    err = io.StringIO()
    with contextlib.redirect_stderr(err):
        done = training.train(_config(data, weights=path, output_dir=str(tmp_path / "run")))
    assert f"{path}: loaded 54 of 55 layers, 54 of them sliced from wider ones; " in err.getvalue()
    assert "left as they were: conv_preds is" in err.getvalue()
    assert "BatchNorm's statistics estimated again, from 32 images" in err.getvalue()
    loaded = json.load(open(os.path.join(done.run, runs.CONFIG)))["loaded"]
    assert loaded["file"] == path and len(loaded["sliced"]) == len(loaded["loaded"]) == 54
    assert len(loaded["mismatched"]) == 1 and loaded["missing"] == loaded["unused"] == []
