"""Tests of benchmarks.latency from end to end. No test asserts a wall time."""

import dataclasses
import json
import os
import pathlib
import re
import signal

import pytest

from benchmarks import latency, report, worker
from benchmarks.latency import LatencyResult, LatencySettings
from mobilenet_tf import cli

QUICK = ["--num-runs", "2", "--rounds", "2", "--warmup-runs", "1"]


def convert(channels: int, path: pathlib.Path) -> str:
    """Writes a .tflite with a 1x1 convolution and a softmax over 4 classes."""
    tf = pytest.importorskip("tensorflow")
    kernel = tf.random.stateless_uniform((1, 1, channels, 4), (0, 1))

    def classify(image):
        return tf.nn.softmax(tf.reduce_mean(tf.nn.conv2d(image, kernel, 1, "SAME"), (1, 2)))

    function = tf.function(classify, [tf.TensorSpec((1, 32, 32, channels), tf.float32)])
    concrete = function.get_concrete_function()
    path.write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([concrete]).convert())
    return str(path)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return convert(3, tmp_path_factory.mktemp("models") / "tiny.tflite")


# End to end.


def test_two_files_to_table_and_json(
    model: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    copy = tmp_path / "copy.tflite"
    copy.write_bytes(pathlib.Path(model).read_bytes())
    out = tmp_path / "out.json"
    assert latency.main([model, str(copy), *QUICK, "--seed", "7", "--json", str(out)]) == 0

    stdout, stderr = capsys.readouterr()
    assert re.search(r"^tiny\.tflite +float32 32x32 ", stdout, re.MULTILINE)
    assert re.search(r"^copy\.tflite +float32 32x32 .*x$", stdout, re.MULTILINE)
    stored = json.loads(out.read_text())
    assert list(stored) == ["machine", "settings", "noisy", "noise_reasons", "results"]
    on_phone = stored["machine"]["architecture"] == "aarch64"
    assert ("not those of a phone" in stdout) != on_phone
    assert stored["settings"] == {
        "num_threads": 1,
        "num_runs": 2,
        "rounds": 2,
        "warmup_runs": 1,
        "seed": 7,
    }
    assert stored["noisy"] == bool(stored["noise_reasons"])
    assert stderr.count("warning: ") == len(stored["noise_reasons"])
    assert [row["file"] for row in stored["results"]] == ["tiny.tflite", "copy.tflite"]
    check_row(stored["results"][0], os.path.getsize(model))
    assert sorted(tmp_path.iterdir()) == [copy, out]  # No leftovers.


def check_row(row: dict, size_bytes: int) -> None:
    expected = {field.name for field in dataclasses.fields(LatencyResult)} - {"path"} | {"file"}
    assert set(row) == expected
    assert row["size_bytes"] == size_bytes and len(row["sha256"]) == 64
    assert row["input_dtype"] == "float32" and row["input_shape"] == [1, 32, 32, 3]
    assert row["xnnpack_partitions"] >= 1
    assert row["stats"]["num_runs"] == 4 and len(row["round_medians_ms"]) == 2
    assert 0 < row["stats"]["min_ms"] <= row["stats"]["median_ms"] <= row["stats"]["p99_ms"]
    assert row["cpu_ms"] > 0 and row["init_ms"] > 0 and row["first_run_ms"] > 0
    # Far below what this test's own process holds: it must not be inherited.
    assert 0 < row["peak_memory_bytes"] < 100e6


def test_json_is_replaced_only_with_overwrite(
    model: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "out.json"
    out.write_text("mine")
    assert latency.main([model, *QUICK, "--json", str(out)]) == 2
    assert "add --overwrite. Received: " in capsys.readouterr().err
    assert out.read_text() == "mine"
    assert latency.main([model, *QUICK, "--json", str(out), "--overwrite"]) == 0
    assert json.loads(out.read_text())["results"]


def test_failed_write_leaves_the_old_file(tmp_path: pathlib.Path) -> None:
    out = tmp_path / "out.json"
    out.write_text("old")
    with pytest.raises(TypeError):
        report.write_json(str(out), {"bad": object()}, overwrite=True)
    assert out.read_text() == "old" and list(tmp_path.iterdir()) == [out]


# Wrong usage and bad files.


def run_and_get_error(arguments: list[str], capsys: pytest.CaptureFixture, code: int) -> str:
    assert latency.main(arguments) == code
    stdout, stderr = capsys.readouterr()
    assert stdout == "" and stderr.count("\n") == 1
    assert re.match(r"error: [^;]+; .+\. Received: ", stderr)
    return stderr


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["a", "--num-runs", "0"],
        ["a", "--rounds", "-1"],
        ["a", "--num-threads", "x"],
        ["a", "-z"],
    ],
)
def test_wrong_options(arguments: list[str], capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as exit_info:
        latency.main(arguments)
    assert exit_info.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    "name, code, expected",
    [
        ("missing/out.json", 1, "must exist and be writable"),
        ("out.txt", 2, r"must name a \.json file"),
        ("folder.json", 2, "must name a file"),
    ],
)
def test_bad_json_paths(
    name: str,
    code: int,
    expected: str,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(latency, "measure", lambda paths, settings: pytest.fail("measured"))
    (tmp_path / "folder.json").mkdir()
    error = run_and_get_error(["a.tflite", "--json", str(tmp_path / name)], capsys, code)
    assert re.search(expected, error)


def test_same_file_twice(model: str, capsys: pytest.CaptureFixture) -> None:
    folder, name = os.path.split(model)
    error = run_and_get_error([model, os.path.join(folder, ".", name)], capsys, 2)
    assert "each file must be given once" in error


@pytest.mark.parametrize(
    "name, content, expected",
    [
        ("missing.tflite", None, "must exist; check the path"),
        ("empty.tflite", b"", "must not be empty"),
        ("text.tflite", b"This is not a model, whatever its name says.\n", "must be an intact"),
    ],
)
def test_bad_files(
    name: str,
    content: bytes | None,
    expected: str,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture,
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    error = run_and_get_error([str(path), *QUICK], capsys, 1)
    assert expected in error and str(path) in error


def test_folder(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture) -> None:
    assert "name the file" in run_and_get_error([str(tmp_path)], capsys, 1)


def test_truncated_file(model: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture) -> None:
    path = tmp_path / "truncated.tflite"
    path.write_bytes(pathlib.Path(model).read_bytes()[:-200])
    assert "must be an intact" in run_and_get_error([str(path), *QUICK], capsys, 1)


def test_input_that_is_no_rgb_image(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture) -> None:
    path = convert(1, tmp_path / "grey.tflite")
    assert "one RGB image" in run_and_get_error([path, *QUICK], capsys, 1)


def test_no_files_at_all() -> None:
    with pytest.raises(ValueError, match="name at least one"):
        latency.measure([], LatencySettings())


# Processes.


class DyingWorker(worker.Worker):
    """Crashes as a native fault would, in its own process only."""

    def load(self) -> worker.Loaded:
        loaded = super().load()
        assert self.pid is not None
        os.kill(self.pid, signal.SIGSEGV)
        return loaded


def test_crash_is_one_line(
    model: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(latency, "Worker", DyingWorker)
    error = run_and_get_error([model, *QUICK], capsys, 1)
    assert "tiny.tflite (process died: SIGSEGV)" in error


def test_stop_ends_the_process(model: str) -> None:
    handle = worker.Worker(model, LatencySettings())
    pid = handle.pid
    assert pid is not None
    handle.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_interrupt_ends_the_workers(
    model: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    pids: list[int] = []

    class InterruptedWorker(worker.Worker):
        def run_round(self) -> worker.Round:
            pids.append(self.pid or 0)
            raise KeyboardInterrupt

    monkeypatch.setattr(latency, "Worker", InterruptedWorker)
    assert latency.main([model, *QUICK]) == 130
    assert capsys.readouterr().err == "error: interrupted\n"
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


def test_workers_take_turns(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    calls = []

    class FakeWorker:
        def __init__(self, path: str, settings: LatencySettings) -> None:
            self.name = os.path.basename(path)

        def load(self) -> worker.Loaded:
            calls.append(f"load {self.name}")
            return worker.Loaded("uint8", (1, 8, 8, 3), 1, 5.0, 4.0)

        def run_round(self) -> worker.Round:
            calls.append(self.name)
            time_ms = float(len(calls))
            return worker.Round((time_ms, time_ms), 3 * time_ms, len(calls))

        def stop(self) -> None:
            calls.append(f"stop {self.name}")

    monkeypatch.setattr(latency, "Worker", FakeWorker)
    for name in "ab":
        (tmp_path / name).write_text("x")
    paths = [str(tmp_path / name) for name in "ab"]
    first, second = latency.measure(paths, LatencySettings(rounds=2, num_runs=2))
    assert calls == ["load a", "load b", "a", "b", "a", "b", "stop b", "stop a"]
    # Rounds of a are calls 3 and 5, those of b 4 and 6.
    assert first.round_medians_ms == (3.0, 5.0) and second.round_medians_ms == (4.0, 6.0)
    assert first.stats.num_runs == 4 and first.stats.mean_ms == 4.0
    assert first.cpu_ms == 3 * (3 + 5) / 4 and first.peak_memory_bytes == 5
    assert first.path == paths[0] and first.init_ms == 5.0 and first.first_run_ms == 4.0


def test_failure_is_a_work_error(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "text.tflite"
    path.write_text("no model")
    with pytest.raises(cli.WorkError, match="must be an intact"):
        latency.measure([str(path)], LatencySettings())
