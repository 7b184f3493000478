"""Wrong command lines: an exit code, one clear line, and nothing written."""

import os

import pytest
from image_files import BAD, make_folder

import convert_tflite
import train
from mobilenet_tf import complexity


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A current folder with sound data, a text file and a full folder in it."""
    monkeypatch.chdir(tmp_path)
    make_folder(tmp_path / "pets", {"cat": 3, "dog": 3})
    make_folder(tmp_path / "lonely", {"cat": 3})
    make_folder(tmp_path / "uneven", {"cat": 3, "dog": 1})
    os.makedirs(tmp_path / "pets_and_nothing" / "bird")
    make_folder(tmp_path / "pets_and_nothing", {"cat": 3, "dog": 3})
    make_folder(tmp_path / "spoilt", {"cat": 3, "dog": 3})
    BAD["text.jpg"][0](str(tmp_path / "spoilt" / "dog" / "text.jpg"))
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.keras").write_text("no model")
    (tmp_path / "text.h5").write_text("no weights")
    (tmp_path / "notes.txt").write_text("kept")
    return tmp_path


def _run(main, line: str, capfd) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command."""
    try:
        code = main(line.split())
    except SystemExit as exit_:
        code = exit_.code
    out, err = capfd.readouterr()
    return code, out, err


def _listing(folder) -> list[str]:
    return sorted(os.path.join(at, name) for at, _, names in os.walk(folder) for name in names)


def _assert_refused(main, line, code, words, workplace, capfd) -> None:
    before = _listing(workplace)
    got, out, err = _run(main, line, capfd)
    lines = [text for text in err.splitlines() if text.strip()]
    problems = [text for text in lines if text.startswith(("error:", "train.py:", "convert_"))]
    problems += [text for text in lines if ".py: argument" in text and text not in problems]
    assert got == code, err
    assert out == "" and "Traceback" not in err
    assert problems == lines[-1:], err
    assert all(word in problems[0] for word in words), problems[0]
    assert _listing(workplace) == before


USAGE = [
    ("", ["--version", "Received: none"]),
    ("--version v4", ["--version", "'v4'", "v3"]),
    ("--version v1 --size small", ["size", "v3", "Received"]),
    ("--version v2 --size large", ["size", "v3", "Received"]),
    ("--version v3 --size medium", ["--size", "'medium'"]),
    ("--version v1 --alpha 0", ["--alpha", "above 0", "Received: 0"]),
    ("--version v1 --alpha -1", ["--alpha", "Received: -1"]),
    ("--version v1 --alpha nan", ["--alpha", "Received: nan"]),
    ("--version v1 --alpha inf", ["--alpha", "Received: inf"]),
    ("--version v1 --alpha abc", ["--alpha", "Received: abc"]),
    ("--version v1 --image-size 16", ["--image-size", "32", "Received: 16"]),
    ("--version v1 --image-size 64.5", ["--image-size", "Received: 64.5"]),
    ("--version v1 --last-map 3", ["--last-map", "3"]),
    ("--version v2 --profile amc", ["profile", "Received"]),
    ("--version v1 --profile 0.7flops", ["profile", "Received"]),
    ("--version v1 --minimalistic", ["minimalistic", "Received"]),
]
TRAIN_USAGE = [
    ("--version v1 --seed 99999999999999", ["--seed", "4294967295", "Received: 99999999999999"]),
    ("--version v1 --val-fraction 0", ["--val-fraction", "above 0", "Received: 0"]),
    ("--version v1 --output-dir=", ["--output-dir", "not be empty", "Received: ''"]),
    ("--version v1 --weights=", ["--weights", "not be empty"]),
    ("--version v1 --teacher=", ["--teacher", "not be empty"]),
    ("--resume=", ["--resume", "not be empty"]),
    ("--version v1 --epochs 0", ["--epochs", "at least 1", "Received: 0"]),
    ("--version v1 --epochs 1.5", ["--epochs", "Received: 1.5"]),
    ("--version v1 --batch-size -1", ["--batch-size", "Received: -1"]),
    ("--version v1 --learning-rate 0", ["--learning-rate", "Received: 0"]),
    ("--version v1 --val-fraction 1", ["--val-fraction", "below 1", "Received: 1"]),
    ("--version v1 --seed -3", ["--seed", "Received: -3"]),
    ("--version v1 --optimizer magic", ["--optimizer", "'magic'"]),
    ("--version v1 --augmentation wild", ["--augmentation", "'wild'"]),
    ("--version v1 --no-such-option", ["--no-such-option"]),
    ("--version v1 --epoch 3", ["--epoch 3"]),
    ("--version v1 --dataset pets --freeze-backbone", ["--freeze-backbone", "Received: no"]),
    ("--resume somewhere --epochs 3", ["--resume", "Received: --epochs"]),
    ("--version v1 --epochs 3 --warmup-epochs 4", ["--warmup-epochs", "the 3", "Received: 4"]),
    ("--prune 0.5 --weights x --warmup-epochs 3", ["the 2", "Received: 3"]),
]
V1 = "--version v1 --alpha 0.25 --image-size 32 --epochs 1 --dataset"
DATA_USAGE = [
    (f"{V1} cifar10 --val-dataset pets", ["--val-dataset", "Received"]),
    (f"{V1} pets --train-split train", ["--val-fraction", "Received"]),
    (f"{V1} pets --val-split test", ["--val-fraction", "Received"]),
]
TRAIN_WORK = [
    (f"{V1} ./missing", ["existing folder", "Received: ./missing"]),
    (f"{V1} no_such_tfds_name", ["TFDS", "Received: no_such_tfds_name"]),
    (f"{V1} pets --val-dataset missing", ["folder", "Received: missing"]),
    (f"{V1} pets --val-dataset uneven/cat", ["at least 2", "Received"]),
    (f"{V1} empty", ["at least 2", "Received: empty"]),
    (f"{V1} lonely", ["at least 2", "Received: lonely with cat"]),
    (f"{V1} uneven", ["at least 2 images", "Received: dog with 1"]),
    (f"{V1} pets_and_nothing", ["--skip-bad-images", "Received: bird"]),
    (f"{V1} spoilt", ["--skip-bad-images", "spoilt/dog/text.jpg (not an image)"]),
    (f"{V1} notes.txt", ["existing folder", "Received: notes.txt"]),
    (f"{V1} pets --weights missing.keras", ["Received: missing.keras"]),
    (f"{V1} pets --weights imagenet", ["finished run", "Received: imagenet"]),
    (f"{V1} pets --weights text.keras", ["Received: text.keras"]),
    (f"{V1} pets --weights text.h5", ["Received: text.h5"]),
    (f"{V1} pets --weights notes.txt", ["Received: notes.txt"]),
    (f"{V1} pets --weights empty", ["Received: empty"]),
    (f"{V1} pets --output-dir lonely", ["new or empty", "--resume", "Received: lonely"]),
    ("--resume", ["no interrupted run", "Received"]),
    ("--resume missing", ["Received: missing"]),
]
CONVERT = [
    ("", 2, ["--quantize"]),
    ("--quantize int9", 2, ["--quantize", "'int9'"]),
    ("--quantize none", 1, ["train.py first", "Received: runs/"]),
    ("--quantize none --model missing.keras", 1, ["train.py first", "Received: missing.keras"]),
    ("--quantize none --model empty", 1, ["finished run", "Received: empty"]),
    ("--quantize none --model notes.txt", 1, [".keras", "Received: notes.txt"]),
    ("--quantize none --model text.keras", 1, ["intact .keras", "text.keras"]),
    ("--quantize int8 --model text.keras", 2, ["--dataset", "Received: text.keras"]),
    ("--quantize none --model text.keras --output a.bin", 2, [".tflite", "Received: a.bin"]),
    (
        "--quantize none --model text.keras --output gone/a.tflite",
        1,
        ["make it first", "gone/a.tflite"],
    ),
    ("--quantize none --calibration-samples 0", 2, ["--calibration-samples", "Received: 0"]),
    ("--quantize none --data-dir x", 2, ["--data-dir", "--dataset"]),
]


@pytest.mark.parametrize("line, words", USAGE)
@pytest.mark.parametrize("main", [train.main, complexity.main], ids=["train", "complexity"])
def test_wrong_networks(main, line, words, workplace, capfd):
    _assert_refused(main, line, 2, words, workplace, capfd)


@pytest.mark.parametrize("line, words", TRAIN_USAGE + DATA_USAGE)
def test_wrong_usage_of_training(line, words, workplace, capfd):
    _assert_refused(train.main, line, 2, words, workplace, capfd)


@pytest.mark.parametrize("line, words", TRAIN_WORK)
def test_training_that_cannot_begin(line, words, workplace, capfd):
    _assert_refused(train.main, line, 1, words, workplace, capfd)


@pytest.mark.parametrize("line, code, words", CONVERT)
def test_conversion_that_cannot_begin(line, code, words, workplace, capfd):
    _assert_refused(convert_tflite.main, line, code, words, workplace, capfd)


@pytest.mark.parametrize("existing", ["a.tflite", "a.json"])
def test_conversion_keeps_existing_files(existing, workplace, capfd):
    (workplace / existing).write_text("precious")
    line = "--quantize none --model text.keras --output a.tflite"
    words = ["--overwrite", f"Received: {existing}"]
    _assert_refused(convert_tflite.main, line, 1, words, workplace, capfd)
    assert (workplace / existing).read_text() == "precious"
