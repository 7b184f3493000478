"""Makes the ARM set-up: an emulator, an arm64 Python and LiteRT for it, all in one folder.

Nothing is installed into the system and no root is needed. The folder is built
beside its place and renamed when a first program ran in it.
"""

import contextlib
import dataclasses
import fcntl
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import metadata

from benchmarks.arm import apt, cache, cores, emulation, emulator
from mobilenet_tf import cli
from mobilenet_tf.progress import duration, say

# Of the arm64 Python and LiteRT; the rest follows from what they depend on.
_LIBRARIES = ("libstdc++6", "zlib1g")
# What they depend on and a counted program never loads. A name that a
# distribution does not have does no harm, only some megabytes.
_UNUSED = (
    "dpkg",
    "libdb5.3",
    "libncursesw6",
    "libnsl2",
    "libreadline8",
    "libreadline8t64",
    "libsqlite3-0",
    "libtirpc3",
    "libtirpc3t64",
    "media-types",
    "netbase",
    "tzdata",
)
_WHEELS_BYTES = 31_000_000  # Of LiteRT 2.3 and NumPy 2.4.
_LISTS_BYTES = 9_500_000  # Of one architecture.
_DISK_BYTES = 177_000_000


@dataclasses.dataclass(frozen=True)
class Plan:
    """What will be fetched.

    Attributes:
        host: packages of the emulator; empty where the system has one.
        guest: packages of the arm64 Python.
        python: its version, such as "3.11".
        wheels: requirements for pip.
        glibc: version of the guest's C library, such as (2, 36).
    """

    host: list[apt.Package]
    guest: list[apt.Package]
    python: str
    wheels: tuple[str, ...]
    glibc: tuple[int, int]

    def lines(self) -> list[str]:
        """The plan in words."""
        groups = [("for this machine", self.host), ("of arm64", self.guest)]
        said = [
            f"Debian packages {purpose}, {sum(p.size_bytes for p in packages) / 1e6:.1f} MB: "
            + " ".join(package.name for package in packages)
            for purpose, packages in groups
            if packages
        ]
        return said + [
            f"Python {self.python} wheels of arm64, about {_WHEELS_BYTES / 1e6:.0f} MB: "
            + " ".join(self.wheels)
        ]


def install() -> cache.Setup:
    """Makes the set-up, or returns at once where it is complete.

    Returns:
        The set-up.

    Raises:
        WorkError: a tool, the network or the disk failed; nothing is left.
    """
    place = cache.folder()
    place.parent.mkdir(parents=True, exist_ok=True)
    with _locked(place.with_name(f"{place.name}.lock")):
        with contextlib.suppress(cache.ArmUnavailable):
            return cache.find()
        if place.exists():  # Complete once, but the system's emulator that it used is gone.
            shutil.rmtree(place)
        partial = place.with_name(f"{place.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        try:
            _build(partial)
            partial.rename(place)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return cache.find()


@contextlib.contextmanager
def _locked(path: pathlib.Path) -> Iterator[None]:
    """Only one process at a time builds; the others wait and find it built."""
    with open(path, "w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build(folder: pathlib.Path) -> None:
    start = time.monotonic()
    apt.check_tools()
    say(
        f"setting up in {folder.with_suffix('')}, about {_DISK_BYTES / 1e6:.0f} MB, one or two "
        f"minutes; reading the lists of packages, {_LISTS_BYTES / 1e6:.0f} MB for each architecture"
    )
    sources = apt.sources(folder / "keys")
    host = apt.Apt(folder / "apt-host", apt.host_architecture(), sources)
    guest = apt.Apt(folder / "apt-guest", "arm64", sources)
    planned = plan(host, guest)
    for line in planned.lines():
        say(line)
    if planned.host:
        host.unpack(planned.host, folder / "qemu")
    guest.unpack(planned.guest, folder / "root")
    _remove_unused(folder)
    _install_wheels(planned, folder / "site")
    for name in ("keys", "apt-host", "apt-guest"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for core in cores.CORES.values():
        _write_prefix(folder, core)
    _finish(folder, planned)
    size_bytes = sum(path.lstat().st_size for path in folder.rglob("*"))
    say(f"done in {duration(time.monotonic() - start)}, {size_bytes / 1e6:.0f} MB on disk")


def plan(host: apt.Apt, guest: apt.Apt) -> Plan:
    """Asks apt what is needed.

    Args:
        host: apt of this machine; asked only where no emulator is installed.
        guest: apt of arm64.

    Raises:
        WorkError: apt failed, or knows no Python.
    """
    needed: list[apt.Package] = []
    if emulator.find_installed() is None:
        host.update(assumed=_UNUSED)
        needed = host.missing(("qemu-user",))
    guest.update(assumed=_UNUSED)
    minimal = [
        name
        for name in guest.dependencies("python3-minimal")
        if re.fullmatch(r"python3\.\d+-minimal", name)
    ]
    if not minimal:
        raise cli.WorkError("apt must know python3-minimal of arm64. Received: no such package")
    python = minimal[0].removeprefix("python").removesuffix("-minimal")
    packages = guest.missing((minimal[0], f"libpython{python}-stdlib", *_LIBRARIES))
    wheels = (
        f"{cache.RUNTIME}=={metadata.version(cache.RUNTIME)}",
        # The emulated Python may be too old for the NumPy that is installed here.
        f"numpy<={metadata.version('numpy')}",
    )
    glibc = re.match(r"(\d+)\.(\d+)", guest.version("libc6"))
    assert glibc is not None
    return Plan(needed, packages, python, wheels, (int(glibc[1]), int(glibc[2])))


def _remove_unused(folder: pathlib.Path) -> None:
    """Two thirds of what was unpacked: emulators of other processors, documentation."""
    for program in folder.glob("qemu/usr/bin/qemu-*"):
        if program.name != emulator.PROGRAM:
            program.unlink()
    for name in ("qemu", "root"):
        shutil.rmtree(folder / name / "usr" / "share", ignore_errors=True)


def _install_wheels(planned: Plan, site: pathlib.Path) -> None:
    major, minor = planned.glibc
    platforms = ["manylinux2014_aarch64"]
    platforms += [f"manylinux_{major}_{number}_aarch64" for number in range(17, minor + 1)]
    abi = f"cp{planned.python.replace('.', '')}"
    options = ["--target", str(site), "--no-deps", "--only-binary=:all:", "--no-compile"]
    options += ["--quiet", "--disable-pip-version-check", "--no-input"]
    options += ["--python-version", planned.python, "--implementation", "cp"]
    options += [part for platform in platforms for part in ("--platform", platform)]
    options += [part for name in (abi, "abi3", "none") for part in ("--abi", name)]
    pip = [sys.executable, "-m", "pip"]
    if subprocess.run([*pip, "--version"], capture_output=True, check=False).returncode:
        raise cli.WorkError(
            "the ARM set-up needs pip; add it with python -m ensurepip. Received: none in "
            f"{sys.executable}"
        )
    apt.run_tool(*pip, "install", *options, *planned.wheels)
    for accelerator in site.glob("ai_edge_litert/*Accelerator*.so"):
        accelerator.unlink()  # Of GPUs: the largest file, never loaded.


def _write_prefix(folder: pathlib.Path, core: cores.Core) -> None:
    """A root folder for one core: its own /proc and /sys, all else shared."""
    prefix = folder / "cores" / core.name
    for name, text in cores.system_files(core).items():
        (prefix / name).parent.mkdir(parents=True, exist_ok=True)
        (prefix / name).write_text(text, encoding="utf-8")
    for name in ("lib", "lib64", "usr", "etc"):
        if (folder / "root" / name).exists():
            (prefix / name).symlink_to(os.path.join("..", "..", "root", name))


def _finish(folder: pathlib.Path, planned: Plan) -> None:
    """Runs a first program, which also compiles what Python imports, and records versions."""
    python = f"root/usr/bin/python{planned.python}"
    setup = cache.load(folder, {"python": python, "versions": {}})
    emulator.build_plugin(folder)
    versions = emulation.guest_versions(setup, cores.get_core(cores.DEFAULT_CORES[0]))
    cache.write_record(folder, python, versions)
