"""Describes the machine that a measurement ran on, for the record beside it.

A latency means nothing without the processor and the versions it was measured
with. What could tell who measured it, such as host name, user and paths, stays
out.
"""

import datetime
import os
import pathlib
import platform
import subprocess
from importlib import metadata
from typing import Any

UNKNOWN = "unknown"
_PACKAGES = ("ai-edge-litert", "tensorflow", "keras", "numpy")
_CPUINFO = pathlib.Path("/proc/cpuinfo")
_GOVERNOR = pathlib.Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")


def describe_machine() -> dict[str, Any]:
    """Describes hardware, load and software versions as they are now.

    Returns:
        A dict that JSON can hold:
        cpu: the model, or "unknown".
        architecture: such as "x86_64" or "aarch64".
        cores: logical processors.
        memory_bytes: physical memory, or None.
        governor: of the frequency of cpu0, or "unknown".
        load_average: of the last 1, 5 and 15 minutes, or None.
        os, python: name and version.
        versions: package to version, None where it is not installed.
        date_time: ISO 8601 in UTC, to the second.
    """
    return {
        "cpu": _cpu_model(),
        "architecture": platform.machine() or UNKNOWN,
        "cores": os.cpu_count() or 1,
        "memory_bytes": _memory_bytes(),
        "governor": _read(_GOVERNOR).strip() or UNKNOWN,
        "load_average": _load_average(),
        "os": f"{platform.system()} {platform.release()}".strip() or UNKNOWN,
        "python": platform.python_version(),
        "versions": {package: _version(package) for package in _PACKAGES},
        "date_time": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }


def parse_cpuinfo(text: str) -> str:
    """Finds the CPU model in the text of Linux' /proc/cpuinfo.

    Args:
        text: of the file. x86 kernels name the model; arm kernels often give
            the board and the numbers of implementer and part only.

    Returns:
        The model, or "" where the text has none.
    """
    fields: dict[str, list[str]] = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        values = fields.setdefault(key.strip(), [])
        if value.strip() and value.strip() not in values:
            values.append(value.strip())
    # "model" in lower case is a mere number on x86; "Model" is the board on arm.
    names = [name for key in ("model name", "Hardware", "Model") for name in fields.get(key, [])]
    parts = ", ".join(fields.get("CPU part", []))  # Several where cores are big and little.
    if parts:
        implementers = ", ".join(fields.get("CPU implementer", []))
        names.append(f"implementer {implementers or UNKNOWN} part {parts}")
    return ", ".join(names)


def _cpu_model() -> str:
    return parse_cpuinfo(_read(_CPUINFO)) or _sysctl("machdep.cpu.brand_string") or UNKNOWN


def _sysctl(name: str) -> str:
    """A value of the macOS kernel; "" elsewhere."""
    try:
        done = subprocess.run(
            ["sysctl", "-n", name], capture_output=True, text=True, timeout=5, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def _read(path: pathlib.Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _load_average() -> list[float] | None:
    try:
        return [round(load, 2) for load in os.getloadavg()]
    except (AttributeError, OSError):
        return None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
