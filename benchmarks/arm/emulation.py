"""Runs a .tflite on the host and on an emulated core, and reads what was counted."""

import collections
import dataclasses
import json
import os
import pathlib
import resource
import signal
import subprocess
import sys
import tempfile

import numpy as np

from benchmarks.arm import cache, cores, emulator
from mobilenet_tf import cli

_GUEST = pathlib.Path(__file__).parent / "guest.py"
_HOST_TIMEOUT_S = 600
_GUEST_TIMEOUT_S = 3600
_VERSIONS = """
import json, platform, importlib.metadata as m
import ai_edge_litert.interpreter, numpy
names = ("ai-edge-litert", "numpy")
print(json.dumps({"arm64 python": platform.python_version(), **{n: m.version(n) for n in names}}))
"""


@dataclasses.dataclass(frozen=True)
class Run:
    """What a run of guest.py gave.

    Attributes:
        outputs: an array per output of the model.
        partitions: that XNNPACK runs.
        blocks: machine code to executions in the counted inference; empty on
            the host.
    """

    outputs: tuple[np.ndarray, ...]
    partitions: int
    blocks: dict[bytes, int]


def run_on_host(path: str) -> Run:
    """Runs a .tflite with the LiteRT of this Python.

    Args:
        path: of the file.

    Raises:
        FileNotFoundError: no such file.
        WorkError: it does not run.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f"no such model; check the path. Received: {path}")
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(_GUEST), os.path.abspath(path), "result.npz"]
        report = _run(command, dict(os.environ), folder, path, _HOST_TIMEOUT_S)
        return Run(_read_outputs(folder), report["partitions"], {})


def run_emulated(setup: cache.Setup, core: cores.Core, path: str) -> Run:
    """Runs a .tflite on an emulated core and counts.

    Args:
        setup: from `cache.find`.
        core: to emulate.
        path: of the file; `run_on_host` has run it.

    Raises:
        WorkError: it does not run.
    """
    plugin = emulator.build_plugin(setup.folder)
    with tempfile.TemporaryDirectory() as folder:
        # QEMU splits a plugin's arguments at commas, which a path may hold.
        os.symlink(plugin, os.path.join(folder, "plugin.so"))
        options = ["-plugin", "./plugin.so,out=blocks"]
        arguments = [str(_GUEST), os.path.abspath(path), "result.npz"]
        command = _command(setup, core, options, ["-B", *arguments])
        label = f"{path} on {core.name}"
        report = _run(command, _environment(setup), folder, label, _GUEST_TIMEOUT_S)
        blocks = _read_blocks(folder)
        return Run(_read_outputs(folder), report["partitions"], blocks)


def guest_versions(setup: cache.Setup, core: cores.Core) -> dict[str, str]:
    """Imports the runtime under emulation and asks for versions.

    Raises:
        WorkError: the set-up does not run.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = _command(setup, core, [], ["-c", _VERSIONS])
        return _run(command, _environment(setup), folder, "the new set-up", _GUEST_TIMEOUT_S)


def _command(
    setup: cache.Setup, core: cores.Core, options: list[str], arguments: list[str]
) -> list[str]:
    prefix = ["-L", str(setup.prefix(core)), "-cpu", core.qemu_cpu]
    python = [str(setup.folder / setup.python), "-s", "-S"]
    return [*setup.emulator.command, *prefix, *options, *python, *arguments]


def _environment(setup: cache.Setup) -> dict[str, str]:
    # Nothing of the host's: variables lie on the stack and move what is below.
    return {
        "PYTHONPATH": str(setup.site),
        "PYTHONHASHSEED": "0",
        "OPENBLAS_NUM_THREADS": "1",
    }


def _run(
    command: list[str], environment: dict[str, str], folder: str, label: str, timeout_s: int
) -> dict:
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=timeout_s,
            preexec_fn=_forbid_core_dumps,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise cli.WorkError(f"the model must end. Received: {label}, {timeout_s} s") from None
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        raise cli.WorkError(
            "the model must run without ending its process; convert or download it again, or "
            f"free memory. Received: {label} ({_reason(done)})"
        )
    report = json.loads(lines[-1])
    if "error" in report:
        raise cli.WorkError(
            "the model must be an intact .tflite file that LiteRT runs without custom operations; "
            f"convert or download it again. Received: {label} ({report['error']})"
        )
    return report


def _forbid_core_dumps() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _reason(done: subprocess.CompletedProcess) -> str:
    if done.returncode < 0:
        return f"process died: {signal.Signals(-done.returncode).name}"
    said = done.stderr.strip().splitlines()
    return said[-1] if said else f"exit code {done.returncode}"


def _read_outputs(folder: str) -> tuple[np.ndarray, ...]:
    with np.load(os.path.join(folder, "result.npz")) as arrays:
        return tuple(arrays[name] for name in arrays.files)


def _read_blocks(folder: str) -> dict[bytes, int]:
    """The counted inference, less what the marks and Python cost without it."""
    counted, empty = (
        parse_blocks(pathlib.Path(folder, f"blocks.{number}").read_text(encoding="ascii"))
        for number in (1, 0)
    )
    return {code: n - empty[code] for code, n in counted.items() if n > empty[code]}


def parse_blocks(text: str) -> collections.Counter[bytes]:
    """Reads a file that plugin.c wrote; see there."""
    blocks: collections.Counter[bytes] = collections.Counter()
    for line in text.splitlines():
        executions, code = line.split()
        blocks[bytes.fromhex(code)] += int(executions)
    return blocks
