"""Every network in every mode, and the whole of convert_tflite.py once."""

import json
import math
import os
import re
import zipfile

import numpy as np
import pytest
from image_files import make_folder

import convert_tflite
from export import check_bundle, evaluation
from export.convert import prepare
from export.metadata import read_metadata
from export.recipes import RECIPES
from export.stock import convert_here
from mobilenet_tf import model_labels, runs, specs
from mobilenet_tf.data.datasets import DataConfig
from mobilenet_tf.engine import keras
from mobilenet_tf.models import ModelOptions, build_model
from mobilenet_tf.runtime import TFLiteModel

CLASSES = ("blue", "green", "red")
NETWORKS = (specs.V1, specs.V2, specs.V3_SMALL, specs.V3_LARGE)
PICTURES = np.random.default_rng(3).integers(0, 256, (8, 32, 32, 3), np.uint8)


@pytest.fixture(scope="module", params=NETWORKS, ids=lambda spec: spec.name)
def model(request, randomize):
    options = ModelOptions(input_shape=(32, 32, 3), alpha=0.25, classes=5, last_map=2)
    return randomize(build_model(request.param, options))


def _content(model, recipe, calibration) -> bytes:
    if recipe.stock:
        return convert_here(model, recipe, calibration)
    form = recipe.hard_swish_form("auto")
    return prepare(model, recipe, calibration, form, seed=0).convert().content


@pytest.mark.parametrize("mode", RECIPES)
def test_every_network_converts_in_every_mode(model, mode, tmp_path):
    path = str(tmp_path / "x.tflite")
    calibration = PICTURES if RECIPES[mode].needs_calibration else None
    with open(path, "wb") as file:
        file.write(_content(model, RECIPES[mode], calibration))
    converted = TFLiteModel(path)
    assert converted.input.shape == (1, 32, 32, 3) and converted.output.shape == (1, 5)
    assert converted.output.dtype == "float32"
    assert converted.input.dtype == RECIPES[mode].input_dtype
    census = TFLiteModel(path, use_xnnpack=False).op_counts()
    assert not {"SHAPE", "PACK", "STRIDED_SLICE", "PAD"} & set(census)
    expected = model.predict_on_batch(PICTURES.astype(np.float32))
    scores = np.stack(list(converted.predict(PICTURES)))
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=0.02)
    limits = {"none": 1e-5, "float16": 0.02, "dynamic": 0.2, "int16x8": 0.2}
    assert np.abs(scores - expected).max() < limits.get(mode, 0.4)
    if RECIPES[mode].input_dtype == "uint8":
        assert (converted.input.scale, converted.input.zero_point) == (1.0, 0)
    if mode in ("none", "float16", "dynamic", "int8"):
        assert converted.op_counts()["DELEGATE"] == 1


def _lone_model(path) -> str:
    options = ModelOptions(input_shape=(32, 32, 3), alpha=0.25, classes=3, last_map=2)
    build_model(specs.V1, options).save(path)
    return str(path)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run, as train.py leaves it, without the training."""
    data = make_folder(tmp_path_factory.mktemp("data"), dict.fromkeys(CLASSES, 10))
    folder = str(tmp_path_factory.mktemp("run"))
    network = runs.NetworkConfig("v1", alpha=0.25, image_size=32, last_map=2)
    config = runs.TrainConfig(network, DataConfig(data))
    runs.write_config(folder, config, {"class_names": list(CLASSES)})
    path = _lone_model(os.path.join(folder, runs.MODEL))
    model_labels.embed(path, CLASSES)
    return folder


def test_int8_of_a_run_reports_itself_and_keeps_existing_files(run, capsys):
    bundle = os.path.join(run, "bundle")
    arguments = ["--quantize", "int8", "--model", run, "--calibration-samples", "12"]
    assert convert_tflite.main([*arguments, "--bundle", bundle]) == 0
    assert check_bundle.main([bundle]) == 0
    with open(os.path.join(bundle, "MODEL_CARD.md"), encoding="utf-8") as file:
        card = file.read()
    assert "6 images" in card and "epochs 20" in card
    assert re.search(r"^\| data \| data\d+, a folder of images \|$", card, re.MULTILINE)
    assert "| licence of the data | not known: fill in |" in card
    model = keras.models.load_model(os.path.join(run, runs.MODEL), compile=False)
    kernels = [
        (math.prod(layer.kernel.shape), layer.output.shape)
        for layer in model.layers
        if hasattr(layer, "kernel")
    ]
    macs = sum(
        weights * (math.prod(shape[1:3]) if len(shape) == 4 else 1) for weights, shape in kernels
    )
    assert f"| multiply-accumulates (MACs) | {macs:,d} |" in card
    assert f"| parameters of the Keras model | {model.count_params():,d} |" in card
    assert re.search(
        r"^\| latency \| \d+\.\d\d ms on .+, 1 thread, median of 50 runs \|$", card, re.MULTILINE
    )
    assert "| XNNPACK partitions | 1" in card and "benchmarks.arm model.tflite" in card
    assert len(os.listdir(os.path.join(bundle, "images"))) == 6
    output = os.path.join(run, "mobilenet_v1_0.25_32_int8.tflite")
    with open(f"{output[:-7]}.json", encoding="utf-8") as file:
        report = json.load(file)
    printed = capsys.readouterr().out
    facts = report["facts"]
    assert facts["size_bytes"] == os.path.getsize(output)
    assert f"{facts['size_bytes']:,d} bytes" in printed and "partitions" in printed
    assert report["class_names"] == list(CLASSES)
    assert report["calibration"]["images"] == 12 and report["calibration"]["seed"] == 0
    assert sum(report["calibration"]["estimators"].values()) > 30  # V1 has 33 nodes.
    assert report["evaluation"]["images"] == 6  # A fifth of 3 x 10.
    assert [entry["images"] for entry in report["evaluation"]["per_class"]] == [2, 2, 2]
    assert report["layers"]["images"] == 3  # Every fourth of 12 sets no range.
    assert report["layers"]["costs"][0]["op"] == "input" and len(report["layers"]["costs"]) > 30
    with open(f"{output[:-7]}.html", encoding="utf-8") as file:
        text = file.read()
    dearest = max(report["layers"]["costs"], key=lambda cost: cost["divergence_nats"])
    assert report["sha256"] in text and dearest["name"] in text and run not in text
    model = keras.models.load_model(os.path.join(run, runs.MODEL))
    assert model.count_params() > 0
    assert convert_tflite.main(arguments) == 1
    assert "--overwrite" in capsys.readouterr().err
    with open(output, "rb") as file:
        found = read_metadata(file.read())
    assert found is not None and found.labels == CLASSES and found.name == "mobilenet_v1_0.25_32"
    assert (found.mean, found.std) == ((0.0,), (1.0,))
    os.remove(f"{output[:-7]}.json")  # The labels inside do without anything beside the file.
    assert model_labels.of_model(output) == list(CLASSES)
    assert [name for name in os.listdir(run) if name.startswith(".")] == []


def test_a_crashing_converter_is_one_line_and_leaves_nothing(run, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("export.stock.sys.executable", "/bin/false")
    output = str(tmp_path / "x.tflite")
    arguments = ["--quantize", "int8-float-fallback", "--model", run, "--output", output]
    code = convert_tflite.main(arguments)
    assert code == 1 and os.listdir(tmp_path) == []
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("error: the model could not be converted")
    assert [line.startswith("error") for line in lines].count(True) == 1


def test_model_outside_a_run_needs_data_for_int8(tmp_path, capsys):
    path = _lone_model(tmp_path / "lone.keras")
    assert convert_tflite.main(["--quantize", "int8", "--model", path]) == 2
    assert "--dataset" in capsys.readouterr().err
    bundle = str(tmp_path / "bundle")
    assert convert_tflite.main(["--quantize", "none", "--model", path, "--bundle", bundle]) == 2
    assert "--bundle" in capsys.readouterr().err and os.listdir(tmp_path) == ["lone.keras"]


def test_classes_of_another_data_set_are_refused(run, tmp_path, capsys):
    other = make_folder(tmp_path / "data", {"cat": 4, "dog": 4, "eel": 4})
    output = str(tmp_path / "x.tflite")
    arguments = ["--quantize", "int8", "--model", run, "--dataset", other, "--output", output]
    assert convert_tflite.main(arguments) == 1
    assert "cat first" in capsys.readouterr().err and not os.path.exists(output)


def test_labels_inside_the_file_come_first(tmp_path):
    path = str(tmp_path / "m.tflite")
    (tmp_path / "labels.txt").write_text("beside\n", encoding="utf-8")
    with open(path, "wb") as file:
        file.write(b"not a zip")
    assert model_labels.of_model(path) == ["beside"]
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("labels.txt", "ünder\nover\n")
    assert model_labels.of_model(path) == ["ünder", "over"]


def test_accuracy_figures_by_hand():
    scores = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7], [0.4, 0.35, 0.25], [0.2, 0.5, 0.3]])
    labels = np.array([0, 1, 1, 1])
    assert evaluation.top_k_accuracy(scores, labels, 1) == 0.5
    assert evaluation.top_k_accuracy(scores, labels, 2) == 1.0
    assert evaluation.agreement(scores, np.roll(scores, 1, axis=1)) == 0.0
    expected = [[1, 0, 0], [1, 1, 1], [0, 0, 0]]
    assert evaluation.confusion_matrix(scores, labels).tolist() == expected
