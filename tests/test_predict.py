"""Prediction and accuracy from the command line, with a model that knows colours.

Its weights are set by hand: the probability of a class is the softmax of the
mean of its channel, so a red picture is "red" by construction.
"""

import json

import numpy as np
import pytest
from image_files import make_folder, save
from PIL import Image

from benchmarks import accuracy
from mobilenet_tf import model_labels, predict
from mobilenet_tf.classifier import find_models, load_classifier
from mobilenet_tf.engine import keras, layers

CLASSES = ["red", "green", "blue"]


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("models")
    image = layers.Input((32, 32, 3))
    mean = layers.GlobalAveragePooling2D()(layers.Rescaling(1 / 64)(image))
    path = str(folder / "colours.keras")
    keras.Model(image, layers.Activation("softmax")(mean)).save(path)
    model_labels.embed(path, CLASSES)
    return path


@pytest.fixture
def pictures(tmp_path) -> str:
    for i, name in enumerate(CLASSES):
        pixels = np.zeros((40, 60, 3), np.uint8)
        pixels[..., i] = 128
        save(tmp_path / f"{name}.png", pixels)
    return str(tmp_path)


def test_json_names_the_colours(model, pictures, capsys):
    assert predict.main(["--model", model, "--json", "--top", "2", pictures]) == 0
    answers = json.loads(capsys.readouterr().out)
    assert [answer["top"][0][0] for answer in answers] == sorted(CLASSES)
    # The softmax of (2, 0, 0), by hand.
    assert answers[0]["top"][0][1] == pytest.approx(np.exp(2) / (np.exp(2) + 2), abs=1e-4)
    assert len(answers[0]["top"]) == 2


def test_table_and_montage(model, pictures, tmp_path, capsys):
    montage = str(tmp_path / "out" / "m.png")
    assert predict.main(["--model", model, "--montage", montage, pictures]) == 1  # No folder out.
    assert "folder to write to must exist" in capsys.readouterr().err
    montage = str(tmp_path / "m.png")
    assert predict.main(["--model", model, "--model", model, "--montage", montage, pictures]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6 and "blue 78.7 %" in lines[0]
    assert min(Image.open(montage).size) > 200
    assert predict.main(["--model", model, "--montage", montage, pictures]) == 1


def test_unreadable_images_are_named_and_the_others_classified(model, pictures, tmp_path, capsys):
    (tmp_path / "broken.jpg").write_text("no image")
    assert predict.main(["--model", model, pictures]) == 1
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 3 and "broken.jpg (not an image)" in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--model", "gone.keras", "x.png"],
        ["--model", "m", "gone.png"],
        ["--model", "notes.txt", "x"],
    ],
)
def test_missing_things_are_one_line(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    save(tmp_path / "x.png", np.zeros((9, 9, 3), np.uint8))
    assert predict.main(arguments) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: ") and "Received: " in line


def test_usage_error_without_images(model, capsys):
    with pytest.raises(SystemExit) as stop:
        predict.main(["--model", model])
    assert stop.value.code == 2


def test_folder_of_models_leaves_out_the_best_epoch(tmp_path):
    for name in ("model.keras", "best.keras", "a.tflite", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    assert [path.rsplit("/", 1)[1] for path in find_models(str(tmp_path))] == [
        "a.tflite",
        "model.keras",
    ]


def test_damaged_keras_file_is_one_error(tmp_path):
    (tmp_path / "x.keras").write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(
        ValueError, match="intact .keras file of Keras' own layers. Received: .*x.keras"
    ):
        load_classifier(str(tmp_path / "x.keras"))


def test_accuracy_of_a_model_that_mistakes_nothing(model, tmp_path, capsys):
    # image_files colours classes in the order blue, green, red.
    data = make_folder(tmp_path / "data", {"blue": 5, "green": 5, "red": 5})
    path = str(tmp_path / "sorted.keras")
    image = layers.Input((32, 32, 3))
    flipped = layers.Dense(3, use_bias=False, name="flip")
    mean = layers.GlobalAveragePooling2D()(layers.Rescaling(1 / 16)(image))
    network = keras.Model(image, layers.Activation("softmax")(flipped(mean)))
    flipped.set_weights([np.eye(3)[::-1]])
    network.save(path)
    model_labels.embed(path, ["blue", "green", "red"])
    confusion = str(tmp_path / "c.png")
    code = accuracy.main([path, "--dataset", data, "--confusion", confusion])
    out = capsys.readouterr().out
    assert code == 0 and "100.00   100.00   100.00" in out and "mistakes: none" in out
    assert min(Image.open(confusion).size) > 200
    assert accuracy.main([path, "--dataset", data, "--confusion", confusion]) == 1
    assert accuracy.main([path]) == 2
