"""Measuring on a phone, against a fake adb that replays what phones and the program print.

No real phone was there. The program's lines are in the form of logs that its users have made
public (tensorflow/tensorflow issues 42507, 43541, 56301 and later ones with a median).
"""

import dataclasses
import json
import pathlib
import shutil
import sys

import pytest

from benchmarks import adb, phone
from benchmarks.benchmark_model import parse
from benchmarks.stats import LatencyResult, LatencyStats
from tests import fake_adb
from tests.tiny_models import float_classifier, int8_classifier

OLD = """STARTING!
Min num runs: [50]
Num threads: [1]
Graph: [/data/local/tmp/mobilenet_tf_benchmark/0.tflite]
#threads used for CPU inference: [1]
Loaded model /data/local/tmp/mobilenet_tf_benchmark/0.tflite
INFO: Initialized TensorFlow Lite runtime.
INFO: Created TensorFlow Lite XNNPACK delegate for CPU.
Explicitly applied XNNPACK delegate, and the model graph will be partially executed by the \
delegate w/ 2 delegate kernels.
The input model file size (MB): 0.004448
Initialized session in 0.855ms.
Running benchmark for at least 5 iterations and at least 0 seconds but terminate if exceeding \
150 seconds.
count=5 first=49060 curr=33682 min=32825 max=49060 avg=34825.1 std=3930

Running benchmark for at least 50 iterations and at least 0 seconds but terminate if exceeding \
150 seconds.
count=50 first=32891 curr=33978 min=32641 max=34005 avg=33209.4 std=450

Inference timings in us: Init: 855, First inference: 49060, Warmup (avg): 34825.1, Inference \
(avg): 33209.4
Note: as the benchmark tool itself affects memory footprint, the following is only APPROXIMATE to \
the actual memory footprint of the model at runtime. Take the information at your discretion.
Peak memory footprint (MB): init=0 overall=12.5
"""
NEW = """INFO: STARTING!
INFO: Signature to run: []
INFO: Created TensorFlow Lite XNNPACK delegate for CPU.
VERBOSE: Replacing 792 out of 836 node(s) with delegate (TfLiteXNNPackDelegate) node, yielding 21 \
partitions for subgraph 0.
INFO: The input model file size (MB): 5.44486
INFO: Initialized session in 125.518ms.
INFO: count=2 first=344846 curr=313209 min=313209 max=344846 avg=329028 std=15818 p5=313209 \
median=344846 p95=344846

INFO: count=10 first=307053 curr=281739 min=281739 max=331407 avg=295775 std=16924 p5=281739 \
median=286332 p95=331407

INFO: Inference timings in us: Init: 125518, First inference: 344846, Warmup (avg): 329028, \
Inference (avg): 295775
INFO: Memory footprint delta from the start of the tool (MB): init=8.5 overall=10.5
"""
PIXEL = """[ro.board.platform]: [zumapro]
[ro.build.version.release]: [15]
[ro.product.cpu.abilist]: [arm64-v8a]
[ro.product.manufacturer]: [Google]
[ro.product.model]: [Pixel 9]
[ro.serialno]: [SECRET123]
[ro.soc.manufacturer]: [Google]
[ro.soc.model]: [Tensor G4]
"""
CPUINFO = "".join(
    f"processor\t: {i}\nCPU implementer\t: 0x41\nCPU part\t: {part}\n\n"
    for i, part in enumerate(4 * ["0xd80"] + 3 * ["0xd81"] + ["0xd82"])
)
ANSWERS = {
    "=devices": "SECRET123\tdevice\n",
    r"^getprop ro\.product\.cpu\.abilist$": "arm64-v8a",
    "^getprop$": PIXEL,
    "^dumpsys battery": "Current Battery Service state:\n  level: 80\n  temperature: 312\n",
    "^dumpsys thermalservice": "IsStatusOverride: false\nThermal Status: 0\n",
    "thermal_zone": "battery=31200\nBIG=52000\ncpu-1-0=47300\n",
    "cpuinfo": CPUINFO,
    "meminfo": "MemTotal:       11873232 kB\n",
    "loadavg": "2.12 2.40 2.60 1/6123 9000",
    "scaling_governor": "sched_pixel\nsched_pixel\n",
    "uname": "aarch64",
    "benchmark_model --graph": OLD,
}


@pytest.fixture
def device(tmp_path):
    """Gives a function that sets what the phone answers, and the fake's path."""
    program = tmp_path / "adb"
    program.write_text(f"#!{sys.executable} -SE\n{pathlib.Path(fake_adb.__file__).read_text()}")
    program.chmod(0o755)

    def set_up(**changes) -> str:
        (tmp_path / "answers.json").write_text(json.dumps(ANSWERS | changes))
        return str(program)

    return set_up


@pytest.fixture
def run(device, tmp_path, capsys):
    """Gives a function that runs the command and returns exit code, stdout, lines of stderr."""
    for name, content in (("a", int8_classifier()), ("b", float_classifier())):
        (tmp_path / f"{name}.tflite").write_bytes(content)
    elf = b"\x7fELF\2\1\1" + 9 * b"\0" + b"\3\0" + (183).to_bytes(2, "little")
    (tmp_path / "program").write_bytes(elf)

    def call(*options: str, **changes):
        arguments = [str(tmp_path / "a.tflite"), str(tmp_path / "b.tflite")]
        arguments += ["--benchmark-model", str(tmp_path / "program"), "--adb", device(**changes)]
        try:
            code = adb.main([*arguments, *options])
        except SystemExit as exit_:
            code = exit_.code
        out, err = capsys.readouterr()
        return code, out, err.splitlines()

    return call


def _calls(tmp_path) -> list[list[str]]:
    return [json.loads(line) for line in (tmp_path / "calls.txt").read_text().splitlines()]


def test_output_of_an_old_build():
    found = parse(OLD)
    assert (found.num_runs, found.min_ms, found.max_ms) == (50, 32.641, 34.005)
    assert (found.mean_ms, found.std_ms, found.median_ms) == (33.2094, 0.45, None)
    assert (found.init_ms, found.first_run_ms) == (0.855, 49.06)
    assert found.peak_memory_bytes == 12.5 * 2**20 and found.xnnpack_partitions == 2


def test_output_of_a_new_build_and_of_equal_times():
    found = parse(NEW.replace("INFO:", "07-08 15:40:34.276 I/tflite  ( 6794):"))
    assert (found.num_runs, found.median_ms, found.mean_ms) == (10, 286.332, 295.775)
    assert found.xnnpack_partitions == 21 and found.peak_memory_bytes == 10.5 * 2**20
    equal = (
        "count=1 curr=3512391\nInference timings in us: Init: 17187, First inference: 3512391, "
        "Warmup (avg): 3.51239e+06, Inference (avg): 3.51239e+06\n"
    )
    found = parse(equal)
    assert (found.min_ms, found.max_ms, found.median_ms) == (3512.391, 3512.391, 3512.391)
    assert (found.mean_ms, found.std_ms, found.peak_memory_bytes) == (3512.39, 0.0, None)
    whole = "Explicitly applied XNNPACK delegate, and the model graph will be completely executed"
    assert parse(f"{whole} by the delegate.\n{equal}").xnnpack_partitions == 1


@pytest.mark.parametrize(
    "text, reason",
    [
        ("", "Inference timings"),
        (OLD.replace("count=", "n="), "count="),
        (OLD.replace("max=34005", "max=-nan"), "'-nan' is no time"),
        (OLD.replace("Init: 855", "Init: e-e"), "'e-e' is no time"),
    ],
)
def test_output_that_is_not_understood(text, reason):
    with pytest.raises(ValueError, match=reason):
        parse(text)


def test_a_measurement_becomes_the_record_of_latency(run, tmp_path):
    out = tmp_path / "out.json"
    code, stdout, err = run("--rounds", "2", "--json", str(out))
    assert code == 0 and [line.startswith("warning: the CPU governor") for line in err] == [True]
    stored = json.loads(out.read_text())
    assert list(stored) == ["machine", "settings", "noisy", "noise_reasons", "results"]
    first, second = stored["results"]
    fields = {field.name for field in dataclasses.fields(LatencyResult)}
    assert set(first) == fields - {"path"} | {"file"}
    assert set(first["stats"]) == {field.name for field in dataclasses.fields(LatencyStats)}
    assert first["stats"]["num_runs"] == 100 and first["stats"]["mean_ms"] == 33.2094
    assert first["stats"]["std_ms"] == pytest.approx(0.45)
    assert first["stats"]["median_ms"] is None is first["cpu_ms"]
    assert (first["input_dtype"], first["input_shape"]) == ("uint8", [1, 8, 8, 3])
    assert (second["file"], second["input_dtype"]) == ("b.tflite", "float32")
    machine = stored["machine"]
    assert machine["cpu"] == "Google Tensor G4, 4 Cortex-A520 + 3 Cortex-A720 + 1 Cortex-X4"
    assert (machine["board"], machine["os"]) == ("Google Pixel 9", "Android 15")
    assert (machine["cores"], machine["governor"]) == (8, "sched_pixel")
    assert machine["memory_bytes"] == 11873232 * 1024 and machine["temperature_c"] == 47.3
    assert machine["load_average"] == [2.12, 2.4, 2.6]
    assert "SECRET123" not in out.read_text() + stdout  # Tells whose phone it is.
    assert "a.tflite" in stdout and "Google Pixel 9" in stdout


def test_files_take_turns_and_nothing_is_left_on_the_phone(run, tmp_path):
    run("--rounds", "2", "--threads", "2", "--runs", "9", **{"benchmark_model --graph": NEW})
    calls = _calls(tmp_path)
    assert all(call[:2] == ["-s", "SECRET123"] for call in calls[1:])
    folder = "/data/local/tmp/mobilenet_tf_benchmark"
    pushed = [call[-1] for call in calls if call[2:3] == ["push"]]
    assert pushed == [f"{folder}/{name}" for name in ("benchmark_model", "0.tflite", "1.tflite")]
    scripts = [call[3] for call in calls if call[2:3] == ["shell"]]
    measured = [script for script in scripts if "--graph" in script]
    assert [f"{folder}/{i}.tflite" in s for i, s in zip((0, 1, 0, 1), measured)] == 4 * [True]
    for flag in ("--num_threads=2", "--num_runs=9", "--use_xnnpack=true", "--min_secs=0"):
        assert all(flag in script for script in measured)
    removals = [i for i, s in enumerate(scripts) if f"rm -rf {folder}" in s]
    assert removals[-1] > scripts.index(measured[-1])


def test_rounds_are_put_together_by_hand():
    base = dataclasses.replace(parse(NEW), num_runs=1, std_ms=0.0)
    runs = [
        dataclasses.replace(base, num_runs=n, mean_ms=mean, median_ms=mean, min_ms=mean)
        for n, mean in ((1, 4.0), (3, 8.0), (1, 6.0))
    ]
    machine = {"governor": "performance"}
    calm = phone.Heat(31.0, 50.0, False)
    (reason,) = adb.noise_reasons(["a"], [runs], machine, calm)
    assert "4.000 to 8.000 ms" in reason
    assert adb.noise_reasons(["a"], [runs[:1]], machine, calm) == []
    (hot,) = adb.noise_reasons(["a"], [runs[:1]], machine, phone.Heat(40.0, None, False))
    assert "hot at the end" in hot


def test_median_and_deviation_of_rounds_by_hand(tmp_path):
    path = tmp_path / "a.tflite"
    path.write_bytes(int8_classifier())
    base = parse(NEW)
    runs = [
        dataclasses.replace(base, num_runs=1, mean_ms=4.0, median_ms=4.0, std_ms=0.0, min_ms=4.0),
        dataclasses.replace(base, num_runs=3, mean_ms=8.0, median_ms=7.0, std_ms=2.0, min_ms=5.0),
    ]
    stats = adb.to_row("a", str(path), runs, 1)["stats"]
    # Mean (4 + 3 * 8) / 4 = 7; squares (9 + 3 * (4 + 1)) / 4 = 6; median of 4 and 7.
    assert (stats["mean_ms"], stats["median_ms"], stats["min_ms"]) == (7.0, 5.5, 4.0)
    assert stats["std_ms"] == pytest.approx(6**0.5)


DEVICES = {
    "": (1, "a phone must be connected"),
    "X\tunauthorized\n": (1, "Allow USB debugging"),
    "X\toffline\n": (1, "plug the phone in again"),
    "X\tno permissions (user in plugdev group); see [http://a.b]\n": (1, "udev rules"),
    "X\tdevice\nY\tdevice\n": (2, "--serial must choose one of several phones. Received: X, Y"),
}


@pytest.mark.parametrize("devices, expected", DEVICES.items())
def test_phones_that_cannot_be_used(devices, expected, run):
    code, out, err = run(**{"=devices": devices})
    assert (code, out, len(err)) == (expected[0], "", 1) and expected[1] in err[0], err


def test_serial_chooses(run, tmp_path):
    both = "SECRET123\tdevice\nOTHER\tdevice\n"
    assert run("--serial", "OTHER", "--rounds", "1", **{"=devices": both})[0] == 0
    assert all(call[1] == "OTHER" for call in _calls(tmp_path)[1:])
    code, _, err = run("--serial", "MISSING", **{"=devices": both})
    assert code == 1 and "none with serial MISSING" in err[0]


FAILURES = {
    "push": ({"=push": "adb: error: failed to copy: No space left on device"}, "No space left"),
    "crash": ({"benchmark_model --graph": ["Segmentation fault", 139]}, "exit code 139"),
    "cable": ({"benchmark_model --graph": ["", None]}, "must stay connected"),
    "output": ({"benchmark_model --graph": "usage: ./benchmark_model"}, "usage: ./benchmark_model"),
    "hot": ({"^dumpsys battery": "  temperature: 401"}, "--allow-hot"),
    "throttled": ({"^dumpsys thermalservice": "Thermal Status: 2"}, "thermal throttling"),
    "other ABI": (
        {r"^getprop ro\.product\.cpu\.abilist$": "armeabi-v7a,armeabi"},
        "the one for armeabi-v7a",
    ),
}


@pytest.mark.parametrize("changes, said", FAILURES.values(), ids=FAILURES)
def test_failures_are_one_line_and_clean_up(changes, said, run, tmp_path):
    code, out, err = run("--rounds", "1", "--json", str(tmp_path / "out.json"), **changes)
    assert (code, out, len(err)) == (1, "", 1) and err[0].startswith("error: ") and said in err[0]
    assert not (tmp_path / "out.json").exists()
    scripts = [call[3] for call in _calls(tmp_path) if call[2:3] == ["shell"]]
    made = any("mkdir" in script for script in scripts)
    assert not made or "rm -rf" in scripts[-1] and "mkdir" not in scripts[-1]


def test_a_hot_phone_on_request(run):
    code, _, err = run("--allow-hot", "--rounds", "1", **{"^dumpsys battery": " temperature: 401"})
    assert code == 0 and any("hot at the end: the battery has 40.1 C" in line for line in err)


def test_what_is_wrong_on_this_side(run, tmp_path):
    code, _, err = run("--adb", str(tmp_path / "none"))
    assert code == 1 and len(err) == 1 and "platform-tools" in err[0]
    (tmp_path / "program").write_text("#!/bin/sh")
    code, _, err = run()
    assert code == 1 and len(err) == 1 and "ELF" in err[0]
    b = tmp_path / "b.tflite"
    b.unlink()
    b.symlink_to(tmp_path / "a.tflite")
    code, _, err = run()
    assert code == 2 and "given once" in err[0]
    b.unlink()
    shutil.copyfile(tmp_path / "program", b)
    code, _, err = run()
    assert code == 1 and "intact .tflite" in err[0]
    assert not (tmp_path / "calls.txt").exists() or all(
        call[2:3] != ["push"] for call in _calls(tmp_path)
    )
