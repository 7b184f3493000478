"""Sums, comparisons, the table and the command's error lines, without an emulator."""

import dataclasses
import json

import numpy as np
import pytest

from benchmarks import arm_gate, arm_table
from benchmarks.arm import __main__ as command
from benchmarks.arm import cache, emulation
from benchmarks.arm.counts import Counted, HotBlock, compare, is_available, summarize
from benchmarks.arm.table import format_table, to_json

SDOT, LDP_Q, STR_Q, NOP = 0x4E829420, 0xACC10820, 0x3C810C20, 0xD503201F


def code(*words: int) -> bytes:
    return b"".join(word.to_bytes(4, "little") for word in words)


def run(blocks: dict[bytes, int]) -> emulation.Run:
    return emulation.Run((np.zeros(3, np.float32),), 1, blocks)


@pytest.fixture
def counts():
    return summarize(
        "cortex-a76",
        run({code(SDOT, SDOT, LDP_Q): 1_000_000, code(STR_Q, NOP): 10}),
        "identical",
        0.0,
    )


def test_sums(counts):
    assert counts.instructions == 3_000_020
    assert counts.classes == {
        "dot": 2_000_000,
        "fp_mac": 0,
        "int_mac": 0,
        "load": 1_000_000,
        "store": 10,
        "other": 10,
    }
    assert (counts.load_bytes, counts.store_bytes) == (32_000_000, 160)
    assert counts.hot_blocks == (
        HotBlock("2094824e2094824e2008c1ac", 1_000_000),
        HotBlock("200c813c1f2003d5", 10),
    )


def test_blocks_of_the_same_code_are_one():
    text = "2 1f2003d5\n1 2094824e\n5 1f2003d5\n"
    assert emulation.parse_blocks(text) == {code(NOP): 7, code(SDOT): 1}


def test_comparison():
    pixels = np.array([1, 200], np.uint8)
    assert compare([pixels], [pixels]) == ("identical", 0.0)
    # One step of 200: 8-bit outputs must agree exactly.
    assert compare([pixels + np.uint8(1)], [pixels]) == ("different", 1 / 200)
    floats = np.array([0.25, 0.5], np.float32)
    assert compare([floats + np.float32(2**-20)], [floats]) == ("close", 2**-19)
    assert compare([floats + np.float32(0.125)], [floats]) == ("different", 0.25)


def test_table(counts):
    half = dataclasses.replace(
        counts, instructions=1_500_010, outputs_equal="close", max_difference=1e-7
    )
    lines = format_table([Counted("a/x.tflite", counts), Counted("a/y.tflite", half)]).splitlines()
    assert (
        lines[0].split()
        == (
            "file core Minstr dot fp mac int mac load store other MB read MB written XNNPACK parts "
            "output vs host vs first"
        ).split()
    )
    assert (
        lines[1].split()
        == (
            "x.tflite cortex-a76 3.000 2.000 0.000 0.000 1.000 0.000 0.000 32.00 0.00 1 identical "
            "1.000x"
        ).split()
    )
    assert lines[2].split()[-3:] == ["close", "1.0e-07", "0.500x"]
    assert "vs first" not in format_table([Counted("a/x.tflite", counts)])


def test_record(counts, tmp_path):
    path = tmp_path / "x.tflite"
    path.write_bytes(b"abc")
    stored = to_json([Counted(str(path), counts)], ["no.tflite"], {"qemu": "7.2.22"}, {"cpu": "z"})
    text = json.dumps(stored)
    assert str(tmp_path) not in text and "hot_blocks" not in text
    (result,) = stored["results"]
    # From sha256sum.
    assert result["sha256"].startswith("ba7816bf8f01cfea")
    assert (result["file"], result["size_bytes"], result["core"]) == ("x.tflite", 3, "cortex-a76")
    assert result["classes"]["dot"] == 2_000_000 and stored["failures"] == ["no.tflite"]


def test_markdown(counts, tmp_path):
    path = tmp_path / "x.tflite"
    path.write_bytes(b"abc")
    other = dataclasses.replace(counts, core="cortex-a53", instructions=4_000_000)
    rows = [Counted(str(path), other), Counted(str(path), counts)]
    stored = to_json(rows, [], {}, {})
    for result in stored["results"]:
        result |= {"macs": 12_340_000, "host_ms": 1.234}
    header, _, line = arm_table.markdown(stored).splitlines()
    assert header.startswith("| file | MACs | cortex-a53 | cortex-a76 | dot |")
    assert line.startswith("| x | 12.3 | 4.00 | 3.00 | 2.0 / 2.0 |")
    assert line.endswith("| 1.23 |")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "a FILE.tflite is required"),
        (["x.tflite", "x.tflite"], "each file must be given once"),
        (["x.tflite", "--core", "cortex-a99"], "'cortex-a53'"),
        (["x.tflite", "--json", "x.tflite"], "--json must name a .json file"),
    ],
)
def test_wrong_usage(arguments, line, capsys):
    with pytest.raises(SystemExit) as caught:
        raise SystemExit(command.main(arguments))
    error = capsys.readouterr().err
    assert caught.value.code == 2
    assert line in error and error.count("\n") == 1


@pytest.mark.parametrize("main", [command.main, arm_gate.main, arm_table.main])
def test_without_a_set_up(main, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not is_available()
    arguments = ["x.tflite"] if main is command.main else ["--json", str(tmp_path / "x.json")]
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert "python -m benchmarks.arm --setup" in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_record_of_a_damaged_set_up_is_none(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cache.folder().mkdir(parents=True)
    (cache.folder() / "setup.json").write_text("{")
    assert not is_available()
