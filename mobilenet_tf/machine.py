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
from collections.abc import Iterable
from importlib import metadata
from typing import Any

from mobilenet_tf.arm_cores import describe_cores

UNKNOWN = "unknown"
_PACKAGES = ("ai-edge-litert", "tensorflow", "keras", "numpy")
_CPUINFO = pathlib.Path("/proc/cpuinfo")
_BOARD = pathlib.Path("/proc/device-tree/model")
_THERMAL = pathlib.Path("/sys/class/thermal")
_CPU_ZONES = ("cpu", "soc", "pkg", "tsens")  # Others are of the battery, the skin, the radio.
_GOVERNOR = pathlib.Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")


def describe_machine() -> dict[str, Any]:
    """Describes hardware, load and software versions as they are now.

    Returns:
        A dict that JSON can hold:
        cpu: the model, on ARM the cores, or "unknown".
        board: of a single-board computer or phone, or "unknown".
        architecture: such as "x86_64" or "aarch64".
        cores: logical processors.
        memory_bytes: physical memory, or None.
        governor: of the frequency of cpu0, or "unknown".
        temperature_c: of the processor's hottest sensor in degrees Celsius, or None.
        load_average: of the last 1, 5 and 15 minutes, or None.
        os, python: name and version.
        versions: package to version, None where it is not installed.
        date_time: ISO 8601 in UTC, to the second.
    """
    return {
        "cpu": _cpu_model(),
        "board": _read(_BOARD).strip("\0 \n") or UNKNOWN,
        "architecture": platform.machine() or UNKNOWN,
        "cores": os.cpu_count() or 1,
        "memory_bytes": _memory_bytes(),
        "governor": _read(_GOVERNOR).strip() or UNKNOWN,
        "temperature_c": _temperature_c(),
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
    cores = describe_cores(text)
    return ", ".join([*names, cores] if cores else names)


def hottest_cpu_c(zones: Iterable[tuple[str, str]]) -> float | None:
    """The processor's temperature from the kernel's thermal zones.

    Args:
        zones: type and temperature of each, as the kernel writes them: thousandths
            of a degree Celsius, on some phones whole degrees.

    Returns:
        Degrees Celsius; None where no zone is the processor's.
    """
    found = []
    for kind, text in zones:
        try:
            value = float(text)
        except ValueError:
            continue
        value = value / 1000 if abs(value) >= 1000 else value
        if 0 < value < 150 and any(name in kind.lower() for name in _CPU_ZONES):
            found.append(round(value, 1))
    return max(found, default=None)


def _temperature_c() -> float | None:
    zones = sorted(_THERMAL.glob("thermal_zone*"))
    return hottest_cpu_c((_read(zone / "type"), _read(zone / "temp")) for zone in zones)


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
