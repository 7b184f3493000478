"""The comparison of clients: what they get, and what is said of those that did not run."""

import json
import sys

import numpy as np
import pytest
from image_files import make_folder
from tiny_tflite import SIDE, expected_scores, tiny_model

from benchmarks import client_runs, clients
from mobilenet_tf.classifier import TFLiteClassifier
from mobilenet_tf.data.store import ArrayImages, Split

PIXELS = np.random.default_rng(3).integers(0, 256, (4, SIDE, SIDE, 3), np.uint8)
SCORES = np.stack([expected_scores(pixels, 3) for pixels in PIXELS])


@pytest.fixture
def model(tmp_path):
    """A model of three classes that knows nothing but arithmetic."""
    path = tmp_path / "tiny.tflite"
    path.write_bytes(tiny_model(3))
    return TFLiteClassifier(str(path))


def _python(name: str, code: str) -> client_runs.Client:
    """A client whose program is a line of Python, called with the folder of the inputs."""
    return client_runs.Client(name, lambda folder: [sys.executable, "-c", code, folder])


def _saying(name: str, scores, version: str = "echo 1") -> client_runs.Client:
    return _python(name, f"print({json.dumps({'version': version, 'scores': scores.tolist()})!r})")


def _compare(model, labels, *others):
    return clients.compare(model, clients.Images(PIXELS, np.array(labels)), others)


def test_a_draw_is_balanced_and_keeps_images_with_their_labels():
    labels = np.array([0] * 10 + [1] * 3 + [2] * 10)
    pixels = np.arange(23, dtype=np.uint8).reshape(23, 1, 1, 1).repeat(3, axis=3)
    split = Split(ArrayImages(pixels), labels, [str(i) for i in range(23)])
    drawn = clients.draw(split, 9, seed=0)
    assert np.bincount(drawn.labels).tolist() == [3, 3, 3]
    assert labels[drawn.pixels[:, 0, 0, 0]].tolist() == drawn.labels.tolist()
    assert not np.array_equal(drawn.pixels, clients.draw(split, 9, seed=1).pixels)
    assert len(clients.draw(split, 200, seed=0).labels) == 23


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_every_client_gets_the_same_pixels(dtype, tmp_path):
    content = tiny_model(3, dtype)
    path = tmp_path / "tiny.tflite"
    path.write_bytes(content)
    folder = tmp_path / "inputs"
    folder.mkdir()
    client_runs.write_inputs(str(folder), str(path), PIXELS)
    assert (folder / client_runs.MODEL).read_bytes() == content
    np.testing.assert_array_equal(np.load(folder / client_runs.ARRAY), PIXELS)
    assert (folder / client_runs.PIXELS).read_bytes() == bytes(PIXELS.ravel().tolist())
    tensors = np.fromfile(folder / client_runs.TENSORS, dtype)
    assert tensors.tolist() == PIXELS.ravel().tolist()


def test_figures_of_a_comparison(model):
    labels = SCORES.argmax(axis=1)
    labels[0] = (labels[0] + 1) % 3  # The model is wrong about the first image.
    other = SCORES.copy()
    other[0] = 0.0
    other[0, labels[0]] = 1.0  # And this client is right about it.
    own, same, better = _compare(model, labels, _saying("a", SCORES), _saying("b", other))
    assert (own.top1, own.agreement, own.difference) == (0.75, 1.0, 0.0)
    assert (same.top1, same.agreement, same.version) == (0.75, 1.0, "echo 1")
    assert same.difference < 1e-6
    assert (better.top1, better.agreement) == (1.0, 0.75)
    assert better.difference == pytest.approx(np.abs(other - SCORES).max(), abs=1e-6)


@pytest.mark.parametrize(
    "code, problem",
    [
        ("import sys; sys.exit('noise\\nerror: too old')", "failed: too old"),
        ("raise ValueError('the last line')", "failed: ValueError: the last line"),
        ("import sys; print('error: no x', file=sys.stderr); sys.exit(3)", "not run: no x"),
        ("import os; os._exit(9)", "failed: exit code 9"),
        ("print('hello')", "failed: it printed no scores"),
        ("pass", "failed: it printed no scores"),
        ("print('[1, 2]')", "failed: it printed no scores"),
        ("print('{\"scores\": [[0.5, 0.5]]}')", "failed: scores of shape (1, 2), not (4, 3)"),
        ("print('{\"scores\": [[1, 0, 0], [1]]}')", "failed: it printed no scores"),
        (
            "print('{\"scores\": [' + ', '.join(['[0, 1, NaN]'] * 4) + ']}')",
            "failed: scores that are no finite numbers",
        ),
    ],
)
def test_why_a_client_has_no_result(model, code, problem):
    _, result = _compare(model, [0, 0, 0, 0], _python("x", code))
    assert (result.problem, result.top1, result.version) == (problem, None, None)


def test_a_client_that_hangs_is_ended():
    with pytest.raises(client_runs.ClientFailed, match="not done after 0 s"):
        client_runs.run([sys.executable, "-c", "import time; time.sleep(60)"], timeout_s=0.2)


def test_what_this_computer_lacks(model, tmp_path, monkeypatch):
    monkeypatch.setenv("MOBILENET_TF_CLIENTS", str(tmp_path / "envs"))
    monkeypatch.setenv("PATH", "")
    _, *results = _compare(model, [0, 0, 0, 0], *client_runs.CLIENTS)
    assert [result.problem for result in results] == [
        "not run: no gcc: install it",
        "not run: no environment envs/mediapipe: run make test-clients",
        "not run: no node: install Node.js 20 or newer",
        "not run: no node: install Node.js 20 or newer",
        "not run: no environment envs/tflite-runtime: run make test-clients",
    ]


def test_table():
    results = [
        clients.Result("LiteRT", "litert 2", 0.705, 1.0, 0.0),
        clients.Result("old", "old 1.25", 0.69, 0.9712, 0.01234),
        clients.Result("browser", problem="not run: no node"),
    ]
    assert clients.format_table(results, 1200).splitlines() == [
        "client   version   images  top-1 %  agreement %  largest difference",
        "LiteRT   litert 2   1,200    70.50       100.00                   0",
        "old      old 1.25   1,200    69.00        97.12               0.012",
        "browser  not run: no node",
    ]


@pytest.fixture
def workplace(model, tmp_path, monkeypatch):
    """Current folder with the model, its data, and no client but one."""
    make_folder(tmp_path / "pets", {"cat": 10, "dog": 10, "owl": 10})
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _with_clients(monkeypatch, *others):
    real = clients.compare
    monkeypatch.setattr(clients, "compare", lambda model, images: real(model, images, others))


def test_command(workplace, monkeypatch, capfd):
    _with_clients(monkeypatch, _saying("three", SCORES[:3]))
    line = ["tiny.tflite", "--dataset", "pets", "--images", "3", "--json", "out.json"]
    assert clients.main(line) == 0
    assert "three" in capfd.readouterr().out
    record = json.loads((workplace / "out.json").read_text())
    assert (record["model"], record["dataset"], record["images"]) == ("tiny.tflite", "pets", 3)
    assert [result["client"] for result in record["results"]] == ["LiteRT interpreter", "three"]
    assert str(workplace) not in json.dumps(record)
    assert clients.main(line) == 1
    assert "--overwrite" in capfd.readouterr().err


def test_a_client_that_fails_fails_the_command(workplace, monkeypatch, capfd):
    _with_clients(monkeypatch, _python("broken", "raise ValueError('why')"))
    assert clients.main(["tiny.tflite", "--dataset", "pets", "--images", "3"]) == 1
    out, err = capfd.readouterr()
    assert "failed: ValueError: why" in out and "Received: broken" in err.splitlines()[-1]


@pytest.mark.parametrize(
    "line, code, words",
    [
        ("tiny.keras", 2, "must be a .tflite file. Received: tiny.keras"),
        ("tiny.tflite", 2, "needs --dataset. Received: tiny.tflite"),
        ("tiny.tflite --images 0", 2, "a whole number of at least 1"),
        ("none.tflite --dataset pets", 1, "no such model"),
        ("tiny.tflite --dataset nothing", 1, "nothing"),
    ],
)
def test_wrong_command_lines(workplace, line, code, words, capfd):
    try:
        given = clients.main(line.split())
    except SystemExit as exit_:
        given = exit_.code
    error = capfd.readouterr().err.splitlines()[-1]
    assert (given, words in error) == (code, True), error
