"""Modules of this project in a process of their own, where native code may crash or hang."""

import os
import pathlib
import subprocess
import sys
from collections.abc import Mapping
from types import MappingProxyType

ROOT = pathlib.Path(__file__).resolve().parents[1]


def run_module(
    module: str,
    arguments: list[str],
    timeout_s: float,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> subprocess.CompletedProcess:
    """Runs `python -m module`, found wherever this project lies.

    Args:
        module: dotted name.
        arguments: of its command line.
        timeout_s: seconds after which the process is ended.
        environment: variables that differ from this process's.

    Returns:
        The ended process, its output as text.

    Raises:
        subprocess.TimeoutExpired: it did not end in time.
    """
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        capture_output=True,
        text=True,
        errors="replace",
        env=os.environ
        | {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "TF_CPP_MIN_LOG_LEVEL": "3"}
        | dict(environment),
        timeout=timeout_s,
        check=False,
    )


def last_error(done: subprocess.CompletedProcess) -> str:
    """The reason that a failed module of this project gave, at most 500 characters."""
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    reason = lines[-1].removeprefix("error: ") if lines else f"exit code {done.returncode}"
    return reason[:500]
