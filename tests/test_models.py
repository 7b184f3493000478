"""Tests of the networks, against keras.applications and the papers' tables."""

import dataclasses
import inspect
import math

import keras
import numpy as np
import pytest
from keras.src.applications import mobilenet_v3 as keras_v3
from keras.src.utils import file_utils

import mobilenet_tf
from mobilenet_tf import applications, imagenet, specs
from mobilenet_tf.backbone import build_backbone
from mobilenet_tf.complexity import complexity
from mobilenet_tf.models import ModelOptions, build_model

NETWORKS = ("v1", "v2", "v3_small", "v3_large")
every_network = pytest.mark.parametrize("network", NETWORKS)

OURS = {
    "v1": applications.MobileNetV1,
    "v2": applications.MobileNetV2,
    "v3_small": applications.MobileNetV3Small,
    "v3_large": applications.MobileNetV3Large,
}
THEIRS = {
    "v1": keras.applications.MobileNet,
    "v2": keras.applications.MobileNetV2,
    "v3_small": keras.applications.MobileNetV3Small,
    "v3_large": keras.applications.MobileNetV3Large,
}
SPECS = {
    "v1": specs.V1,
    "v2": specs.V2,
    "v3_small": specs.V3_SMALL,
    "v3_large": specs.V3_LARGE,
    "v3_small_minimalistic": specs.minimalistic(specs.V3_SMALL),
    "v3_large_minimalistic": specs.minimalistic(specs.V3_LARGE),
}
# Channels of C1..C5 and of the last map, from the papers' tables.
FILTERS = {
    "v1": (64, 128, 256, 512, 1024, 1024),
    "v2": (16, 24, 32, 96, 320, 1280),
    "v3_large": (16, 24, 40, 112, 160, 960),
    "v3_small": (16, 16, 24, 48, 96, 576),
}


def build(constructors, network: str, **arguments):
    """A network by name from `OURS` or `THEIRS`, with random weights."""
    name = network.removesuffix("_minimalistic")
    if name != network:
        arguments["minimalistic"] = True
    return constructors[name](weights=None, **arguments)


def short(spec: specs.Spec) -> specs.Spec:
    """The blocks that stride, once each: quick to build, all kinds of layers."""
    rows = (row for row in spec.rows if row.stride == 2)
    if spec.version == "v2":
        rows = (dataclasses.replace(row, repeats=2 if i else 1) for i, row in enumerate(rows))
    return dataclasses.replace(spec, rows=tuple(rows))


def tiny(network: str, **options):
    """A short network for 32 pixels, alpha 0.25 and 5 classes."""
    options = {"input_shape": (32, 32, 3), "alpha": 0.25, "classes": 5, **options}
    return build_model(short(SPECS[network]), ModelOptions(**options))


def image_batch(size: int, low: float = 0, high: float = 255, count: int = 2) -> np.ndarray:
    shape = (count, size, size, 3)
    images = np.random.default_rng(size).uniform(low, high, shape).astype("float32")
    images[0] *= 0.25  # So that the images differ in more than their noise.
    return images


def weight_shapes(model) -> dict[str, list[tuple[int, ...]]]:
    return {x.name: [tuple(w.shape) for w in x.weights] for x in model.layers if x.weights}


def outputs(model, images: np.ndarray) -> np.ndarray:
    return np.asarray(model(images, training=False))


# Equality with keras.applications.


@every_network
def test_signature_starts_with_that_of_keras(network):
    theirs = list(inspect.signature(THEIRS[network]).parameters.values())
    ours = list(inspect.signature(OURS[network]).parameters.values())
    common, extras = ours[: len(theirs)], ours[len(theirs) :]
    assert [(p.name, p.default) for p in common] == [(p.name, p.default) for p in theirs]
    assert {p.kind for p in common} == {inspect.Parameter.POSITIONAL_OR_KEYWORD}
    assert {p.kind for p in extras} == {inspect.Parameter.KEYWORD_ONLY}


def test_package_offers_the_constructors():
    for name in ("MobileNetV1", "MobileNetV2", "MobileNetV3Small", "MobileNetV3Large"):
        assert getattr(mobilenet_tf, name) is getattr(applications, name)
    with pytest.raises(AttributeError, match="has no attribute 'MobileNetV4'"):
        mobilenet_tf.MobileNetV4  # noqa: B018


@pytest.mark.parametrize(
    "network, sizes",
    [
        ("v1", (224, 96)),
        ("v2", (224, 96, 75)),
        ("v3_small", (224, 96, 75)),
        ("v3_large", (224, 96)),
        ("v3_small_minimalistic", (96,)),
        ("v3_large_minimalistic", (96,)),
    ],
)
def test_layers_and_outputs_equal_keras(network, sizes, randomize):
    """One model of ours with open sizes, against one of Keras' for each size.

    V1 is left out at 75 pixels, where Keras pads on another side than TF-slim.
    """
    open_size = {"input_shape": (None, None, 3), "classifier_activation": None}
    ours = randomize(build(OURS, network, **open_size))
    arrays = {layer.name: layer.get_weights() for layer in ours.layers}
    for size in sizes:
        theirs = build(THEIRS, network, input_shape=(size, size, 3), classifier_activation=None)
        assert weight_shapes(ours) == weight_shapes(theirs)
        assert ours.count_params() == theirs.count_params() == complexity(SPECS[network]).parameters
        for layer in theirs.layers:
            if layer.weights:
                layer.set_weights(arrays[layer.name])
        images = image_batch(size) if "v3" in network else image_batch(size, -1, 1)
        expected = outputs(theirs, images)
        assert np.ptp(expected, axis=0).max() > 0.01, "the outputs must depend on the images"
        # Logits of up to about 15 in float32; measured: 1e-6 of the largest.
        scale = max(1.0, np.abs(expected).max())
        np.testing.assert_allclose(outputs(ours, images), expected, rtol=0, atol=1e-5 * scale)


@pytest.mark.parametrize("network", ["v1", "v2", "v3_large"])
def test_default_name_and_shape_equal_keras(network):
    theirs = build(THEIRS, network, include_top=False, input_shape=(224, 224, 3))
    ours = build(OURS, network, include_top=False)
    assert ours.name == theirs.name
    assert ours.input_shape == theirs.input_shape
    assert ours.output_shape == theirs.output_shape
    assert weight_shapes(ours) == weight_shapes(theirs)


@pytest.mark.parametrize(
    "network, arguments, count",
    [
        ("v2", {"alpha": 0.35}, 1_691_208),
        ("v3_small", {"alpha": 0.35}, 1_354_680),
    ],
)
def test_parameters_at_other_widths(network, arguments, count):
    """Expected numbers: keras 3.15.1 (data/golden_counts.csv)."""
    assert build(OURS, network, input_shape=(32, 32, 3), **arguments).count_params() == count


@pytest.mark.parametrize(
    "network, arguments, trainable",
    [
        ("v1", {"profile": "0.5flops"}, 2_408_232),
        ("v2", {"profile": "0.7flops"}, 2_330_272),
        ("v3_small", {"reduced_tail": "torchvision"}, 1_099_672),
    ],
)
def test_parameters_of_the_extras(network, arguments, trainable):
    """Expected numbers: the AMC authors' and torchvision's models."""
    model = build(OURS, network, input_shape=(32, 32, 3), **arguments)
    assert sum(math.prod(w.shape) for w in model.trainable_weights) == trainable


def test_depth_multiplier_widens_every_depthwise_layer():
    arguments = {"depth_multiplier": 2, "alpha": 0.25, "input_shape": (32, 32, 3)}
    ours, theirs = (build(constructors, "v1", **arguments) for constructors in (OURS, THEIRS))
    assert weight_shapes(ours) == weight_shapes(theirs)


# Names, files and gradients.


@pytest.mark.parametrize("network", ["v1", "v2", "v3_small"])
def test_every_layer_has_a_stable_name(network):
    """Automatic names count up from one model to the next."""
    arguments = {"input_shape": (32, 32, 3), "include_preprocessing": True}
    first, second = (build(OURS, network, **arguments) for _ in range(2))
    assert [layer.name for layer in first.layers] == [layer.name for layer in second.layers]


@every_network
def test_file_loads_in_plain_keras(network, randomize, tmp_path):
    model = randomize(tiny(network))
    path = tmp_path / "model.keras"
    model.save(path)
    loaded = keras.models.load_model(path)
    images = image_batch(32)
    np.testing.assert_array_equal(outputs(loaded, images), outputs(model, images))


@pytest.mark.parametrize("network", ["v1", "v2", "v3_small"])
def test_every_trainable_weight_gets_a_gradient(network):
    tf = pytest.importorskip("tensorflow")
    keras.utils.set_random_seed(0)
    model = tiny(network, last_map=4)
    with tf.GradientTape() as tape:
        probabilities = model(image_batch(32, count=8), training=True)
        loss = -tf.reduce_mean(tf.math.log(probabilities[:, 0]))
    weights = model.trainable_weights
    for weight, gradient in zip(weights, tape.gradient(loss, [w.value for w in weights])):
        assert gradient is not None, weight.path
        assert np.isfinite(gradient).all() and np.any(gradient), weight.path


# Options.


@pytest.mark.parametrize(
    "network, output_stride",
    [(network, stride) for network in ("v2", "v3_small") for stride in (8, 16, 32)]
    + [("v1", 8), ("v1", 32), ("v3_large", 16)],
)
def test_backbone_endpoint_shapes(network, output_stride):
    model = build_backbone(SPECS[network], (64, 64, 3), output_stride=output_stride)
    shapes = {name: tuple(tensor.shape[1:]) for name, tensor in model.output.items()}
    expanded = shapes.pop("C4/expanded", None)
    sides = [64 // min(2**level, output_stride) for level in (1, 2, 3, 4, 5, 5)]
    names = ("C1", "C2", "C3", "C4", "C5", "final")
    expected = {n: (s, s, f) for n, s, f in zip(names, sides, FILTERS[network])}
    assert shapes == expected
    # SSDLite's tap: the expansion 6 x 96, 672 or 288 in the block that leaves C4.
    tap = {"v1": None, "v2": 576, "v3_large": 672, "v3_small": 288}[network]
    assert expanded == (tap and (sides[3], sides[3], tap))


def test_dilated_maps_hold_the_strided_ones(randomize):
    """Atrous convolution computes the same features at more places.

    On even maps a "same" convolution with stride 2 looks at the odd places.
    """
    spec = short(specs.V2)
    strided = randomize(build_backbone(spec, (64, 64, 3), alpha=0.35))
    images = image_batch(64, -1, 1)
    expected = np.asarray(strided(images, training=False)["C5"])
    for output_stride in (16, 8):
        dilated = build_backbone(spec, (64, 64, 3), 0.35, output_stride)
        dilated.set_weights(strided.get_weights())
        step = 32 // output_stride
        found = np.asarray(dilated(images, training=False)["C5"])[:, step - 1 :: step]
        found = found[:, :, step - 1 :: step]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("network", ["v1", "v3_small"])
@pytest.mark.parametrize("last_map, side", [(None, 1), (2, 2), (4, 4), (8, 8)])
def test_last_map_at_32_pixels(network, last_map, side):
    model = tiny(network, include_top=False, last_map=last_map)
    assert model.output_shape[1:3] == (side, side)


def test_last_map_follows_the_shorter_side():
    model = tiny("v1", input_shape=(32, 64, 3), include_top=False, last_map=4)
    assert model.output_shape[1:3] == (4, 8)


@pytest.mark.parametrize("network", ["v1", "v3_small"])
def test_preprocessing_inside_equals_outside(network, randomize):
    inside = randomize(tiny(network, include_preprocessing=True))
    outside = tiny(network, include_preprocessing=False)
    outside.set_weights(inside.get_weights())
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype("float32")
    expected = outputs(outside, pixels / 127.5 - 1.0)
    np.testing.assert_allclose(outputs(inside, pixels), expected, rtol=0, atol=1e-5)
    assert np.abs(outputs(outside, pixels) - expected).max() > 1e-3


@pytest.mark.parametrize("network", ["v1", "v3_small"])
def test_pooling(network, randomize):
    """Global pooling of the map that the same network gives without it."""
    arguments = {"include_top": False, "last_map": 4}
    plain = randomize(tiny(network, **arguments))
    images = image_batch(32)
    maps = outputs(plain, images)
    for pooling, reduce in (("avg", np.mean), ("max", np.max)):
        pooled = tiny(network, pooling=pooling, **arguments)
        pooled.set_weights(plain.get_weights())
        expected = reduce(maps, axis=(1, 2))
        np.testing.assert_allclose(outputs(pooled, images), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("network", ["v1", "v3_small"])
def test_input_tensor(network, randomize):
    """The model starts where the tensor comes from."""
    image = keras.Input((32, 32, 3), name="pixels")
    flipped = keras.layers.Rescaling(-1.0, name="flip")(image)
    built = randomize(tiny(network, input_shape=None, input_tensor=flipped))
    plain = tiny(network)
    plain.set_weights(built.get_weights())
    assert [tensor.name for tensor in built.inputs] == ["pixels"]
    images = image_batch(32)
    np.testing.assert_allclose(outputs(built, images), outputs(plain, -images), atol=1e-6)


@every_network
def test_logits_and_probabilities(network, randomize):
    probabilities = randomize(tiny(network))
    logits = tiny(network, classifier_activation=None)
    logits.set_weights(probabilities.get_weights())
    images = image_batch(32)
    exponentials = np.exp(outputs(logits, images))
    expected = exponentials / exponentials.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(outputs(probabilities, images), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "network, argument, rate",
    [
        ("v1", {}, 0.001),
        ("v1", {"dropout_rate": 0.3}, 0.3),
        ("v2", {"dropout_rate": 0.4}, 0.4),
        ("v3_small", {}, 0.2),
        ("v3_large", {"dropout_rate": 0.5}, 0.5),
    ],
)
def test_dropout_rate(network, argument, rate):
    assert tiny(network, **argument).get_layer("dropout").rate == rate


@pytest.mark.parametrize(
    "network, momentum, default", [("v1", 0.9, 0.99), ("v2", 0.8, 0.999), ("v3_small", 0.7, 0.999)]
)
def test_batch_norm_settings(network, momentum, default):
    """Defaults are those of keras.applications."""
    for argument, expected in ((None, default), (momentum, momentum)):
        layers = tiny(network, bn_momentum=argument).layers
        norms = [x for x in layers if isinstance(x, keras.layers.BatchNormalization)]
        assert {layer.momentum for layer in norms} == {expected}
        assert {layer.epsilon for layer in norms} == {1e-3}


@every_network
def test_constructors_pass_every_argument_on(network, monkeypatch):
    calls = []
    monkeypatch.setattr(applications, "_with_weights", lambda *arguments: calls.append(arguments))
    arguments = {
        "input_shape": (48, 64, 1),
        "alpha": 0.6,
        "depth_multiplier": 3,
        "dropout": 0.4,
        "dropout_rate": 0.4,
        "include_top": False,
        "input_tensor": "tensor",
        "pooling": "max",
        "classes": 12,
        "classifier_activation": "sigmoid",
        "include_preprocessing": network[:2] in ("v1", "v2"),
        "name": "mine",
        "output_stride": 16,
        "last_map": 8,
        "bn_momentum": 0.5,
    }
    taken = inspect.signature(OURS[network]).parameters
    OURS[network](weights="file.h5", **{k: v for k, v in arguments.items() if k in taken})
    spec, options, weights = calls[0]
    assert (spec, weights) == (SPECS[network], "file.h5")
    expected = ModelOptions(**{k: v for k, v in arguments.items() if k != "dropout"})
    if network != "v1":
        expected = dataclasses.replace(expected, depth_multiplier=1)
    assert options == expected


# Errors.


@pytest.mark.parametrize(
    "network, arguments, message",
    [
        ("v1", {"classes": 0}, r"^classes must be 1 or more\. Received: classes=0$"),
        ("v2", {"pooling": "sum"}, r"^pooling must be None, \"avg\" or \"max\"\. .*'sum'$"),
        ("v1", {"dropout_rate": 1.0}, r"^dropout_rate must be from 0 to below 1\. Received: 1\.0$"),
        ("v3_small", {"dropout_rate": -0.1}, r"^dropout_rate must be .* Received: -0\.1$"),
        ("v1", {"input_shape": (32, 32)}, r"^input_shape must be \(height, width, channels\)"),
        ("v1", {"input_shape": (32, 32, None)}, r"^input_shape must be \(height, width, channels"),
        ("v2", {"input_shape": (31, 32, 3)}, r"^height and width must be at least 32\. .*\(31, 32"),
        ("v2", {"input_shape": (64, 16, 3)}, r"^height and width must be at least 32\. "),
        (
            "v3_large",
            {"input_shape": (None, 32, 3), "last_map": 4},
            r"^last_map needs a fixed input size; .*\(None, 32, 3\)$",
        ),
        ("v3_small", {"alpha": 0}, r"^alpha must be a number above 0\. Received: alpha=0$"),
        ("v2", {"output_stride": 12}, r"^output_stride must be one of .*output_stride=12$"),
        ("v1", {"depth_multiplier": 0}, r"^depth_multiplier must be 1 or more\. "),
    ],
)
def test_errors(network, arguments, message):
    with pytest.raises(ValueError, match=message):
        tiny(network, **arguments)


def test_input_tensor_and_another_input_shape():
    image = keras.Input((64, 64, 3))
    with pytest.raises(ValueError, match=r"^input_shape must equal .*\(64, 64, 3\); .*\(32, 32, 3"):
        build_model(specs.V1, ModelOptions(input_shape=(32, 32, 3), input_tensor=image))


def test_channels_first_is_refused(monkeypatch):
    monkeypatch.setattr(keras.backend, "image_data_format", lambda: "channels_first")
    with pytest.raises(ValueError, match=r"^images must be channels-last, .*: channels_first$"):
        tiny("v1")


@pytest.mark.parametrize(
    "network, arguments, error, message",
    [
        ("v1", {"classes": 10}, ValueError, r"with its top has 1000 classes; .*classes=10$"),
        ("v1", {"depth_multiplier": 2}, ValueError, r"for depth_multiplier=1 only\. .*=2$"),
        ("v1", {"alpha": 0.4}, ValueError, r"of v1 exists for alpha \(0\.25, .*alpha=0\.4$"),
        ("v3_small", {"alpha": 0.5}, ValueError, r"of v3_small exists for .*alpha=0\.5$"),
        (
            "v3_large",
            {"minimalistic": True, "alpha": 0.75},
            ValueError,
            r"of v3_large_minimalistic exists for .*alpha=0\.75$",
        ),
        ("v2", {"profile": "0.7flops"}, ValueError, r"exists for v1, v2, .*: v2_0\.7flops$"),
        (
            "v2",
            {"classifier_activation": "relu"},
            ValueError,
            r"^classifier_activation must be \"softmax\" or None .*'relu'$",
        ),
        ("v1", {"profile": "none"}, ValueError, r"^profile must be one that .*profile=none$"),
        ("v2", {"weights": "imagnet"}, FileNotFoundError, r"^weights must be .*: imagnet$"),
    ],
)
def test_errors_with_weights(network, arguments, error, message, no_download):
    with pytest.raises(error, match=message):
        OURS[network](**arguments)
    assert no_download == []


# Downloads, never from the network.


class Offline(Exception):
    """What the replaced download raises."""


@pytest.fixture
def no_download(monkeypatch):
    """Records (url, hash) of each download, ours and Keras' own, and makes it fail."""
    calls = []

    def get_file(fname, origin, *args, file_hash=None, **kwargs):
        assert origin.endswith(f"/{fname}")
        calls.append((origin, file_hash))
        raise Offline("URL fetch failure\non this machine")

    monkeypatch.setattr(keras.utils, "get_file", get_file)
    monkeypatch.setattr(file_utils, "get_file", get_file)
    return calls


def test_offline_error_is_one_line(no_download):
    with pytest.raises(ConnectionError) as error:
        applications.MobileNetV2()
    assert len(no_download) == 1
    message = str(error.value)
    assert message.startswith('weights="imagenet" must be downloaded and could not be; ')
    assert message.endswith("Received: URL fetch failure on this machine")
    assert "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224.h5" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "network, arguments",
    [
        ("v1", {"alpha": 0.25, "input_shape": (128, 128, 3), "include_top": False}),
        ("v1", {"alpha": 0.5, "input_shape": (128, 160, 3), "include_top": False}),
        ("v1", {}),
        ("v2", {"alpha": 1.4, "input_shape": (96, 96, 3), "include_top": False}),
        ("v3_large", {"alpha": 0.75, "include_top": False, "input_shape": (224, 224, 3)}),
        ("v3_small", {"minimalistic": True}),
    ],
)
def test_download_is_the_one_of_keras(network, arguments, no_download):
    """Keras gives hashes for V3 only; one for V1 is ours."""
    with pytest.raises(Offline):
        THEIRS[network](**arguments)
    with pytest.raises(ConnectionError):
        OURS[network](**arguments)
    theirs, ours = no_download
    assert ours[0] == theirs[0]
    assert theirs[1] is None or ours[1] == theirs[1]


def test_every_v3_hash_is_the_one_of_keras():
    for stem, hashes in keras_v3.WEIGHTS_HASHES.items():
        kind, alpha = stem.replace("_224", "").rsplit("_", 2)[0:2]
        for include_top, expected in zip((True, False), hashes):
            url = imagenet.weights_url(f"v3_{kind}", float(alpha), 224, include_top)
            assert imagenet._HASHES[url.rsplit("/", 1)[1]] == expected


def test_downloaded_file_is_loaded(monkeypatch, randomize, tmp_path):
    source = randomize(build(OURS, "v1", alpha=0.25, include_top=False))
    path = str(tmp_path / "cached.weights.h5")
    source.save_weights(path)
    monkeypatch.setattr(keras.utils, "get_file", lambda *args, **kwargs: path)
    model = applications.MobileNetV1(alpha=0.25, include_top=False)
    for expected, found in zip(source.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)


# Images and predictions.


def test_preprocess_input_leaves_its_argument_alone():
    pixels = np.array([0.0, 127.5, 255.0], np.float32)
    np.testing.assert_array_equal(imagenet.preprocess_input(pixels), [-1.0, 0.0, 1.0])
    np.testing.assert_array_equal(pixels, [0.0, 127.5, 255.0])
    integers = np.array([0, 255], np.uint8)
    np.testing.assert_array_equal(imagenet.preprocess_input(integers), [-1.0, 1.0])


def test_decode_predictions():
    names = ["cat", "dog", "owl"]
    decoded = imagenet.decode_predictions(np.array([[0.2, 0.5, 0.3], [0.6, 0.4, 0.0]]), names, 2)
    assert decoded == [[("dog", 0.5), ("owl", 0.3)], [("cat", 0.6), ("dog", 0.4)]]
    with pytest.raises(ValueError, match=r"must have shape \(batch, 3\).*shape=\(1, 2\)"):
        imagenet.decode_predictions(np.zeros((1, 2)), names)
