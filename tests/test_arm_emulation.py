"""What only the emulator can show; skipped where the ARM set-up is missing."""

import struct
import subprocess

import arm_setup
import pytest
import tiny_tflite

from benchmarks.arm import __main__ as command
from benchmarks.arm import cores, emulation, emulator
from benchmarks.arm.counts import count, summarize
from export import flatbuffer

# By LLVM's assembler: marks around a loop of 1000 turns of LDP q, SDOT, FMLA,
# SMLAL, STR x, ADD, SUBS, B.NE; then exit(0).
LOOP = (
    "808aa9d2681380d2010000d4017d80d222000010400440ad02e0814f03cc214e0480610ee10f1ff8ff430091"
    "210400f121ffff54200080d2808aa9f2681380d2010000d4000080d2a80b80d2010000d4"
)
# Bits of AT_HWCAP, from Linux' arch/arm64/include/uapi/asm/hwcap.h.
HWCAPS = (
    "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm jscvt fcma "
    "lrcpc dcpop sha3 sm3 sm4 asimddp sha512 sve asimdfhm dit uscat ilrcpc flagm ssbs sb"
).split()
PRINT_HWCAP = (
    "import ctypes, json; f = ctypes.CDLL(None).getauxval; f.restype = ctypes.c_ulong; "
    "print(json.dumps({'hwcap': f(16)}))"
)


@pytest.fixture(scope="module")
def setup():
    return arm_setup.require()


@pytest.fixture
def tiny(tmp_path):
    path = tmp_path / "tiny.tflite"
    path.write_bytes(tiny_tflite.tiny_model(height=32, width=32))
    return str(path)


def executable(code: bytes) -> bytes:
    """A static ELF program: a header, one segment, the code."""
    start, size = 0x400000, 64 + 56
    identity = b"\x7fELF\x02\x01\x01" + bytes(9)
    header = struct.pack("<HHIQQQIHHHHHH", 2, 183, 1, start + size, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    length = size + len(code)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, start, start, length, length, 0x1000)
    return identity + header + segment + code


def test_plugin_counts_a_loop_exactly(setup, tmp_path):
    program = tmp_path / "loop"
    program.write_bytes(executable(bytes.fromhex(LOOP)))
    program.chmod(0o755)
    plugin = emulator.build_plugin(tmp_path)
    options = ["-cpu", "cortex-a76", "-plugin", f"{plugin},out=blocks"]
    subprocess.run([*setup.emulator.command, *options, str(program)], cwd=tmp_path, check=True)
    blocks = emulation.parse_blocks((tmp_path / "blocks.0").read_text())
    counts = summarize("cortex-a76", emulation.Run((), 0, blocks), "identical", 0.0)
    # Before the loop 2 instructions, after it 4 with the mark's system call.
    assert counts.classes == {
        "dot": 1000,
        "fp_mac": 1000,
        "int_mac": 1000,
        "load": 1000,
        "store": 1000,
        "other": 2 + 3 * 1000 + 4,
    }
    assert (counts.load_bytes, counts.store_bytes) == (32_000, 8_000)


@pytest.mark.parametrize("name", ["cortex-a53", "cortex-a76"])
def test_emulated_features_are_those_of_the_core(setup, name, tmp_path):
    core = cores.CORES[name]
    command_line = emulation._command(setup, core, [], ["-c", PRINT_HWCAP])
    environment = emulation._environment(setup)
    report = emulation._run(command_line, environment, str(tmp_path), name, 60)
    shown = {word for bit, word in enumerate(HWCAPS) if report["hwcap"] >> bit & 1}
    # What QEMU adds is chosen by no kernel.
    assert set(core.features.split()) - {"evtstrm"} <= shown | {"cpuid"}
    assert ("asimddp" in shown) == core.has_dotprod


def test_count_repeats_and_agrees_with_the_host(setup, tiny):
    first, second = count(tiny, "cortex-a76"), count(tiny, "cortex-a76")
    assert abs(first.instructions - second.instructions) <= 0.001 * first.instructions
    assert first.outputs_equal in ("identical", "close")
    assert sum(first.classes.values()) == first.instructions
    assert sum(block.instructions for block in first.hot_blocks) == first.instructions
    # 3072 inputs times 3 outputs, filled up to the kernel's 16, 4 at a time; and a softmax.
    assert 3072 * 16 / 4 <= first.classes["fp_mac"] <= 3072 * 16 / 4 + 100


def broken(tmp_path, change) -> str:
    model = flatbuffer.read_model(tiny_tflite.tiny_model())
    change(model)
    path = tmp_path / "broken.tflite"
    path.write_bytes(flatbuffer.pack_model(model))
    return str(path)


def make_custom(model) -> None:
    model.operatorCodes[0].builtinCode = flatbuffer.schema.BuiltinOperator.CUSTOM
    model.operatorCodes[0].deprecatedBuiltinCode = flatbuffer.schema.BuiltinOperator.CUSTOM
    model.operatorCodes[0].customCode = b"FlexErf"


def make_dynamic(model) -> None:
    model.subgraphs[0].tensors[0].shapeSignature = [-1, 4, 4, 3]


@pytest.mark.parametrize(
    ("change", "line"),
    [(make_custom, "FlexErf"), (make_dynamic, "the input must have a fixed shape")],
)
def test_file_that_cannot_run_gets_one_line_and_the_others_are_counted(
    setup, change, line, tmp_path, tiny, capsys
):
    bad = broken(tmp_path, change)
    missing = str(tmp_path / "missing.tflite")
    text = tmp_path / "text.tflite"
    text.write_text("no model")
    assert command.main([bad, missing, str(text), tiny, "--core", "cortex-a53"]) == 1
    captured = capsys.readouterr()
    errors = [e for e in captured.err.splitlines() if e.startswith("error")]
    assert len(errors) == 3 and line in errors[0] and "no such model" in errors[1]
    assert captured.out.splitlines()[1].startswith("tiny.tflite")


def test_crash_of_the_guest_gets_one_line(setup, monkeypatch, tmp_path, tiny, capsys):
    guest = tmp_path / "guest.py"
    guest.write_text(
        "import os, platform, runpy, sys\n"
        "if platform.machine() == 'aarch64': os.abort()\n"
        f"runpy.run_path({str(emulation._GUEST)!r}, run_name='__main__')\n"
    )
    monkeypatch.setattr(emulation, "_GUEST", guest)
    assert command.main([tiny, "--core", "cortex-a53"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "on cortex-a53 (process died: SIGABRT)" in error
