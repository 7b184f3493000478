"""Tests of the statistics, warnings, table and machine of a latency measurement."""

import dataclasses
import json
import math
import os
import pathlib
import re

import pytest

from benchmarks import latency, report
from benchmarks.latency import LatencyResult, LatencySettings, LatencyStats
from mobilenet_tf import machine

QUIET = {"cores": 4, "load_average": [0.5, 0.5, 0.5], "governor": "performance"}
QUIET["temperature_c"] = 45.0


def make_result(**changes: object) -> LatencyResult:
    result = LatencyResult(
        path="folder/a.tflite",
        sha256="0" * 64,
        size_bytes=1_500_000,
        input_dtype="uint8",
        input_shape=(1, 224, 192, 3),
        num_threads=1,
        xnnpack_partitions=2,
        init_ms=7.0,
        first_run_ms=3.0,
        stats=latency.summarize([2.0, 2.0]),
        round_medians_ms=(2.0, 2.2),
        cpu_ms=2.0,
        peak_memory_bytes=12_300_000,
    )
    return dataclasses.replace(result, **changes)  # type: ignore[arg-type]


# Statistics.


def test_summarize_by_hand() -> None:
    # Of 5 sorted times, percentile q is at position q / 100 * 4: the median at 2,
    # p90 at 3.6 = 40 + 0.6 * 60, p99 at 3.96 = 40 + 0.96 * 60.
    stats = latency.summarize([40.0, 10.0, 100.0, 20.0, 30.0])
    assert stats.num_runs == 5
    assert stats.median_ms == 30.0
    assert stats.p90_ms == pytest.approx(76.0)
    assert stats.p99_ms == pytest.approx(97.6)
    assert stats.min_ms == 10.0
    assert stats.mean_ms == 40.0
    # Squared differences 900, 400, 100, 0, 3600: their mean is 1000.
    assert stats.std_ms == pytest.approx(math.sqrt(1000))


def test_summarize_interpolates_the_median_of_two() -> None:
    assert latency.summarize([1.0, 2.0]).median_ms == 1.5


def test_summarize_one_time() -> None:
    assert latency.summarize([3.0]) == LatencyStats(1, 3.0, 3.0, 3.0, 3.0, 3.0, 0.0)


def test_summarize_nothing() -> None:
    with pytest.raises(ValueError, match="run at least one inference"):
        latency.summarize([])


@pytest.mark.parametrize("field", ["num_threads", "num_runs", "rounds"])
def test_settings_that_must_be_positive(field: str) -> None:
    with pytest.raises(ValueError, match=f"{field} must be at least 1; .* Received: {field}=0"):
        LatencySettings(**{field: 0})


def test_settings_that_may_be_zero() -> None:
    assert LatencySettings(warmup_runs=0, seed=0).warmup_runs == 0
    with pytest.raises(ValueError, match="Received: seed=-1"):
        LatencySettings(seed=-1)


# Noise.


def test_quiet_machine_gives_no_warning() -> None:
    assert latency.noise_warnings([make_result()], QUIET) == []
    unknown = {**QUIET, "governor": "unknown", "load_average": None}
    assert latency.noise_warnings([make_result()], unknown) == []


@pytest.mark.parametrize(
    "changes, changed_machine, expected",
    [
        ({"round_medians_ms": (2.0, 2.6, 2.1)}, {}, r"a\.tflite range from 2\.000 to 2\.600 ms"),
        ({"cpu_ms": 1.5}, {}, r"a\.tflite waited .* 2\.000 ms of wall time for 1\.500 ms"),
        ({}, {"load_average": [4.5, 1.0, 1.0]}, r"load average was 4\.50 on 4 cores"),
        ({"num_threads": 8}, {}, "8 threads share 4 cores"),
        ({}, {"governor": "powersave"}, "governor is 'powersave'.*set it to 'performance'"),
        ({}, {"temperature_c": 81.2}, "had 81 C .* let it cool"),
    ],
)
def test_each_reason_gives_one_warning(changes: dict, changed_machine: dict, expected: str) -> None:
    results = [make_result(path="b.tflite"), make_result(**changes)]
    warnings = latency.noise_warnings(results, {**QUIET, **changed_machine})
    assert len(warnings) == 1
    assert re.search(expected, warnings[0])
    assert "folder" not in warnings[0]  # Goes into files that are passed on.


def test_limits_themselves_are_allowed() -> None:
    at_limit = make_result(round_medians_ms=(2.0, 2.5), cpu_ms=1.6)
    assert latency.noise_warnings([at_limit], {**QUIET, "load_average": [4.0, 0, 0]}) == []


def test_cpu_time_of_several_threads_is_no_noise() -> None:
    assert latency.noise_warnings([make_result(num_threads=2, cpu_ms=1.0)], QUIET) == []


# Table.


def test_table_of_one_file() -> None:
    header, row = latency.format_table([make_result()]).splitlines()
    assert "vs first" not in header
    times = "7.000 3.000 2.000 2.000 2.000 2.000 2.000 0.000 2.000"
    assert row.split() == f"a.tflite uint8 224x192 1.50 {times} 12.3 2".split()


def test_table_of_several_files_is_aligned() -> None:
    slow = make_result(path="much_longer_name.tflite", stats=latency.summarize([300.0]))
    header, first, second = latency.format_table([make_result(), slow]).splitlines()
    assert header.endswith("vs first") and first.endswith(" 1.00x") and second.endswith(" 150.00x")
    assert len(header) == len(first) == len(second)
    assert header.index("input") == first.index("uint8") == second.index("uint8")


def test_same_file_names_are_told_apart() -> None:
    table = latency.format_table([make_result(), make_result(path="other/a.tflite")])
    assert "folder/a.tflite" in table and "other/a.tflite" in table


# Machine.


def test_machine_has_all_keys_and_no_names() -> None:
    described = machine.describe_machine()
    assert list(described) == [
        "cpu",
        "board",
        "architecture",
        "cores",
        "memory_bytes",
        "governor",
        "temperature_c",
        "load_average",
        "os",
        "python",
        "versions",
        "date_time",
    ]
    assert described["cpu"] and described["cores"] >= 1
    assert list(described["versions"]) == ["ai-edge-litert", "tensorflow", "keras", "numpy"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", described["date_time"])
    assert os.getcwd() not in json.dumps(described)
    assert report.format_machine(described).count("\n") == 0


def test_machine_that_tells_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    for name in ("_CPUINFO", "_GOVERNOR", "_BOARD", "_THERMAL"):
        monkeypatch.setattr(machine, name, tmp_path / "none")
    monkeypatch.setattr(machine, "_PACKAGES", ("no-such-package-here",))
    monkeypatch.setenv("PATH", str(tmp_path))
    described = machine.describe_machine()
    assert described["cpu"] == described["governor"] == described["board"] == "unknown"
    assert described["temperature_c"] is None
    assert described["versions"] == {"no-such-package-here": None}


@pytest.mark.parametrize(
    "text, expected",
    [
        (
            "model\t: 1\nmodel name\t: Some CPU\n\nmodel name\t: Some CPU",
            "Some CPU",
        ),
        (
            "CPU implementer\t: 0x41\nCPU part\t: 0xd05\n\nCPU implementer\t: 0x41\n"
            "CPU part\t: 0xd0a\n\nHardware\t: SomeChip\nModel\t: Some Board",
            "SomeChip, Some Board, 1 Cortex-A55 + 1 Cortex-A75",
        ),
        (4 * "CPU implementer\t: 0x41\nCPU part\t: 0xd0b\n\n", "Cortex-A76"),
        (
            4 * "CPU implementer : 0x51\nCPU part : 0x803\n\n"
            + 2 * "CPU implementer : 0x51\nCPU part : 0x802\n",
            "4 Kryo 3xx Silver + 2 Kryo 3xx Gold",
        ),
        ("CPU implementer: 0x99\nCPU part: 0x123", "implementer 0x99 part 0x123"),
        ("processor: 0\nmodel: 1", ""),
        ("", ""),
    ],
)
def test_parse_cpuinfo(text: str, expected: str) -> None:
    assert machine.parse_cpuinfo(text) == expected


def test_a_raspberry_pi(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    (tmp_path / "model").write_bytes(b"Raspberry Pi 5 Model B Rev 1.0\0")
    (tmp_path / "cpuinfo").write_text(4 * "CPU implementer\t: 0x41\nCPU part\t: 0xd0b\n\n")
    (tmp_path / "governor").write_text("ondemand\n")
    zones = {"cpu-thermal": "61850", "rp1_adc": "99000", "soc-thermal": "n/a"}
    for i, (kind, value) in enumerate(zones.items()):
        zone = tmp_path / "thermal" / f"thermal_zone{i}"
        zone.mkdir(parents=True)
        (zone / "type").write_text(f"{kind}\n")
        (zone / "temp").write_text(f"{value}\n")
    for name, path in (("_CPUINFO", "cpuinfo"), ("_GOVERNOR", "governor")):
        monkeypatch.setattr(machine, name, tmp_path / path)
    monkeypatch.setattr(machine, "_BOARD", tmp_path / "model")
    monkeypatch.setattr(machine, "_THERMAL", tmp_path / "thermal")
    described = machine.describe_machine()
    assert (described["cpu"], described["governor"]) == ("Cortex-A76", "ondemand")
    assert described["temperature_c"] == 61.9  # The ADC is not the processor's.
    line = report.format_machine(described)
    assert line.startswith("Raspberry Pi 5 Model B Rev 1.0, Cortex-A76 (") and "62 C" in line


def test_temperatures_of_phones() -> None:
    # Whole degrees on some; sensors that are off say 0 or far below.
    zones = [("cpu-0-0", "48"), ("cpuss-1-usr", "51200"), ("battery", "90000"), ("soc", "-40000")]
    assert machine.hottest_cpu_c(zones) == 51.2
    assert machine.hottest_cpu_c([("skin", "40000"), ("cpu", "0")]) is None
