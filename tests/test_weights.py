"""Tests of reading weights: every Keras file format, whole and in part."""

import csv
import os
import subprocess
import sys

import h5py
import keras
import numpy as np
import pytest

from mobilenet_tf import applications, weights
from mobilenet_tf.weights import load_weights, transfer_weights


def small_v3(**arguments):
    arguments = {"input_shape": (64, 64, 3), "weights": None, **arguments}
    return applications.MobileNetV3Small(**arguments)


def small_v1(**arguments):
    arguments = {"input_shape": (32, 32, 3), "alpha": 0.25, "weights": None, **arguments}
    return applications.MobileNetV1(**arguments)


def outputs(model, images):
    return np.asarray(model(images, training=False))


def random_images(size: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, (2, size, size, 3)).astype("float32")


def assert_same_weights(model, other):
    expected = {layer.name: layer.get_weights() for layer in model.layers if layer.weights}
    for layer in other.layers:
        for array, wanted in zip(layer.get_weights(), expected.get(layer.name, []), strict=True):
            np.testing.assert_array_equal(array, wanted)


@pytest.fixture(scope="module")
def source(randomize):
    """V1 0.25 with 10 classes."""
    return randomize(small_v1(classes=10), seed=5)


# Formats.


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5", ".h5"])
def test_round_trip(suffix, source, tmp_path):
    path = tmp_path / f"weights{suffix}"
    source.save_weights(path) if suffix == ".weights.h5" else source.save(path)
    model = small_v1(classes=10)
    load_weights(model, str(path))
    assert_same_weights(source, model)


def test_weights_of_another_engine(tmp_path):
    """A .h5 file of Keras 2, whose V3 layers have other names than those of Keras 3."""
    pytest.importorskip("tf_keras")
    script = """
import sys
import numpy as np
import tf_keras

model = tf_keras.applications.MobileNetV3Small(
    (64, 64, 3), weights=None, classifier_activation=None)
rng = np.random.default_rng(0)
for layer in model.layers:
    if isinstance(layer, tf_keras.layers.BatchNormalization):
        layer.set_weights([rng.uniform(0.5, 1, w.shape) for w in layer.get_weights()])
model.save_weights(sys.argv[1])
images = rng.uniform(0, 255, (2, 64, 64, 3)).astype("float32")
np.savez(sys.argv[2], images=images, outputs=model(images, training=False))
assert any("/" in layer.name for layer in model.layers)
"""
    files = [str(tmp_path / name) for name in ("x.h5", "outputs.npz")]
    environment = {**os.environ, "TF_USE_LEGACY_KERAS": "1"}
    subprocess.run([sys.executable, "-c", script, *files], env=environment, check=True)
    model = small_v3(weights=files[0], classifier_activation=None)
    expected = np.load(files[1])
    assert expected["outputs"].std() > 1e-3
    found = outputs(model, expected["images"])
    np.testing.assert_allclose(found, expected["outputs"], rtol=0, atol=1e-5)


# Partial transfer.


def test_another_class_count_keeps_its_classifier(source, tmp_path):
    path = str(tmp_path / "ten.weights.h5")
    source.save_weights(path)
    model = small_v1(classes=7)
    before = model.get_layer("conv_preds").get_weights()
    report = transfer_weights(model, path)
    # The stem and 13 blocks of two convolutions, each with its BatchNorm.
    assert len(report.loaded) == 2 * (1 + 13 * 2)
    assert report.missing == report.unused == ()
    assert report.mismatched == ("conv_preds is (1, 1, 256, 7), the file has (1, 1, 256, 10)",)
    assert report.left == report.mismatched
    assert str(report).startswith("loaded 54 of 55 layers; left as they were: conv_preds is")
    for kept, array in zip(model.get_layer("conv_preds").get_weights(), before, strict=True):
        np.testing.assert_array_equal(kept, array)
    for name in report.loaded:
        expected = source.get_layer(name).get_weights()
        for array, wanted in zip(model.get_layer(name).get_weights(), expected, strict=True):
            np.testing.assert_array_equal(array, wanted)


def test_missing_and_unused_layers(source, tmp_path):
    path = str(tmp_path / "top.keras")
    source.save(path)
    report = transfer_weights(small_v1(include_top=False), path)
    assert (len(report.loaded), report.missing, report.unused) == (54, (), ("conv_preds",))
    bare = str(tmp_path / "bare.keras")
    small_v1(include_top=False).save(bare)
    report = transfer_weights(small_v1(classes=10), bare)
    assert (len(report.loaded), report.missing, report.unused) == (54, ("conv_preds",), ())
    assert str(report) == "loaded 54 of 55 layers; left as they were: conv_preds"


# Errors.


def test_another_width_is_an_error(source, tmp_path):
    path = str(tmp_path / "weights.keras")
    source.save(path)
    message = (
        r"^the weights must fit the model layer by layer; check .*alpha.* differences \(conv1 "
    )
    with pytest.raises(ValueError, match=message) as error:
        load_weights(small_v1(alpha=0.5, classes=10), path)
    assert "conv1 is (3, 3, 3, 16), the file has (3, 3, 3, 8)" in str(error.value)


def test_another_class_count_is_an_error_when_strict(source, tmp_path):
    path = str(tmp_path / "weights.keras")
    source.save(path)
    with pytest.raises(
        ValueError, match=r" with 1 differences \(conv_preds is .*, 7\), .*, 10\)\)"
    ):
        small_v1(weights=path, classes=7)


def test_missing_file(tmp_path):
    path = str(tmp_path / "nothing.h5")
    with pytest.raises(FileNotFoundError, match=r"^weights must be None, .*nothing\.h5$"):
        weights.check_path(path)
    with pytest.raises(FileNotFoundError, match=r"^weights must be None, .*nothing\.h5$"):
        small_v1(weights=path)


def test_other_suffix(tmp_path):
    path = tmp_path / "weights.pth"
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"^a weights file must end in \.keras, .*weights\.pth$"):
        small_v1(weights=str(path))


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
def test_truncated_file(suffix, source, tmp_path):
    whole, half = tmp_path / f"whole{suffix}", tmp_path / f"half{suffix}"
    source.save(whole) if suffix == ".keras" else source.save_weights(whole)
    content = whole.read_bytes()
    half.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=rf"^a weights file must be an intact .*half{suffix} \("):
        transfer_weights(source, str(half))


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5", ".h5"])
def test_renamed_text_file(suffix, source, tmp_path):
    path = tmp_path / f"text{suffix}"
    path.write_text("not weights\n" * 100)
    with pytest.raises(ValueError, match=r"^a weights file must be an intact Keras file\. "):
        transfer_weights(source, str(path))


def test_hdf5_file_of_something_else(source, tmp_path):
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "other.h5"
    with h5py.File(path, "w") as file:
        file["numbers"] = [1, 2, 3]
    with pytest.raises(ValueError, match=r"^a weights file must be an intact Keras file\. "):
        transfer_weights(source, str(path))


# Published files, where they are at hand.


@pytest.mark.parametrize(
    "file, ours, theirs, alpha",
    [
        (
            "mobilenet_2_5_224_tf_no_top.h5",
            applications.MobileNetV1,
            keras.applications.MobileNet,
            0.25,
        ),
        (
            "mobilenet_v2_0.35_224_no_top.weights.h5",
            applications.MobileNetV2,
            keras.applications.MobileNetV2,
            0.35,
        ),
    ],
    ids=["v1", "v2"],
)
def test_official_weights_give_the_features_of_keras(file, ours, theirs, alpha, shared):
    path = str(shared(f"weights/{file}"))
    arguments = {"input_shape": (96, 96, 3), "alpha": alpha, "include_top": False}
    model, reference = ours(weights=path, **arguments), theirs(weights=None, **arguments)
    reference.load_weights(path)
    images = random_images(96) / 127.5 - 1
    expected = outputs(reference, images)
    assert expected.std() > 0.01
    np.testing.assert_allclose(outputs(model, images), expected, rtol=0, atol=1e-5)


def photographs(folder) -> tuple[np.ndarray, np.ndarray]:
    """The sample in [-1, 1] at 224 pixels, and its classes from 0 to 999."""
    from PIL import Image

    with open(folder / "labels.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    images = np.empty((len(rows), 224, 224, 3), np.float32)
    for i, row in enumerate(rows):
        with Image.open(folder / row["file"]) as image:
            resized = image.convert("RGB").resize((224, 224), Image.Resampling.BILINEAR)
        images[i] = np.asarray(resized, np.float32) / 127.5 - 1
    return images, np.array([int(row["class_index"]) for row in rows])


def tflite_outputs(path, images: np.ndarray) -> np.ndarray:
    interpreter = pytest.importorskip("ai_edge_litert.interpreter").Interpreter(str(path))
    interpreter.allocate_tensors()
    results = []
    for image in images:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image[None])
        interpreter.invoke()
        results.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0])
    return np.array(results)


def test_published_classifier_on_photographs(shared):
    """V1 0.25 with 1001 classes, class 0 the background, against its makers' .tflite."""
    path = str(shared("weights/mobilenet_v1_0.25_224_1001_classes.h5"))
    peer = shared("peers/mobilenet_v1_0.25_224_float.tflite")
    images, labels = photographs(shared("data/imagenet_sample"))
    model = applications.MobileNetV1(alpha=0.25, classes=1001, weights=path)
    ours = model.predict(images, batch_size=50, verbose=0).argmax(axis=1)
    theirs = tflite_outputs(peer, images).argmax(axis=1)
    np.testing.assert_array_equal(ours, theirs)
    # Measured once with the peer alone.
    assert np.mean(ours == labels + 1) == pytest.approx(0.58, abs=1e-9)


# Files of Keras 3 without layer names: today's Keras writes them, earlier ones did not.


def _without_names(path: str) -> str:
    with h5py.File(path, "r+") as file:
        for group in file["layers"].values():
            if "vars" in group:
                group["vars"].attrs.pop("name", None)
    return path


def test_names_in_a_weights_file_decide(source, tmp_path):
    path = str(tmp_path / "x.weights.h5")
    source.save_weights(path)
    with h5py.File(path, "r+") as file:
        first, second = (file["layers"][key]["vars"] for key in ("conv2d", "conv2d_1"))
        assert (first.attrs["name"], second.attrs["name"]) == ("conv1", "conv_pw_1")
        first.attrs["name"], second.attrs["name"] = "other", "conv1"
    report = transfer_weights(small_v1(classes=10), path)
    assert "conv_pw_1" in report.missing and "other" in report.unused
    assert any(line.startswith("conv1 ") for line in report.mismatched)


def test_layers_without_names_are_counted(source, tmp_path):
    path = str(tmp_path / "x.weights.h5")
    source.save_weights(path)
    model = small_v1(classes=10)
    load_weights(model, _without_names(path))
    assert_same_weights(source, model)
    other = small_v1(classes=3)
    assert transfer_weights(other, path).left  # The classifier.
    top = small_v1(include_top=False)
    assert transfer_weights(top, path).left == ()
    for network in (
        applications.MobileNetV2(input_shape=(32, 32, 3), alpha=0.35, weights=None),
        small_v3(alpha=0.5),
    ):
        with pytest.raises(ValueError, match="same network.*Received: .*batch_normalization"):
            transfer_weights(network, path)


@pytest.mark.parametrize("content", [{"layers": 3}, {"layer_names": 3}])
def test_a_file_of_another_structure_is_refused(content, tmp_path):
    path = str(tmp_path / "x.h5")
    with h5py.File(path, "w") as file:
        if "layers" in content:
            file["layers"] = content["layers"]
        else:
            file.attrs["layer_names"] = content["layer_names"]
    with pytest.raises(ValueError, match="intact Keras file. Received"):
        transfer_weights(small_v1(), path)
