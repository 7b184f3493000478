"""Finds QEMU's user mode and builds the plugin that counts for it."""

import dataclasses
import hashlib
import os
import pathlib
import re
import shutil
import subprocess

from mobilenet_tf import cli, files

PROGRAM = "qemu-aarch64"
_PLUGIN_SOURCE = pathlib.Path(__file__).parent / "plugin.c"
_COMPILERS = ("cc", "gcc", "clang")


@dataclasses.dataclass(frozen=True)
class Emulator:
    """A QEMU that takes our plugin.

    Attributes:
        command: that starts it, without options.
        version: such as "7.2.22".
    """

    command: tuple[str, ...]
    version: str


def find_installed() -> Emulator | None:
    """The system's QEMU, where it has one that takes our plugin."""
    program = shutil.which(PROGRAM)
    return None if program is None else _probe((program,))


def find_unpacked(folder: pathlib.Path) -> Emulator | None:
    """The QEMU of a package that was unpacked into a folder with all that it depends on."""
    program = folder / "usr" / "bin" / PROGRAM
    loaders = sorted(folder.glob("lib*/ld-linux-*.so.*"))
    if not program.exists() or not loaders:
        return None
    libraries = sorted({str(path.parent) for path in folder.glob("**/lib/*/*.so.*")})
    # Its own C library, which may be older or newer than the system's.
    options = ("--library-path", os.pathsep.join(libraries))
    return _probe((str(loaders[0]), *options, str(program)))


def _probe(command: tuple[str, ...]) -> Emulator | None:
    texts = []
    for option in ("--version", "--help"):
        try:
            done = subprocess.run([*command, option], capture_output=True, text=True, check=False)
        except OSError:
            return None
        texts.append(done.stdout)
    version = re.search(r"version ((\d+)[.\d]*)", texts[0])
    # Static builds take no plugins, and from 9.0 on another version of the interface.
    if version is None or int(version[2]) >= 9 or "-plugin" not in texts[1]:
        return None
    return Emulator(command, version[1])


def build_plugin(folder: pathlib.Path) -> pathlib.Path:
    """Compiles the plugin, once for each version of it.

    Args:
        folder: to keep it in.

    Returns:
        Path of the shared library.

    Raises:
        WorkError: no compiler, or it failed.
    """
    digest = hashlib.sha256(_PLUGIN_SOURCE.read_bytes()).hexdigest()[:12]
    path = folder / f"armcount-{digest}.so"
    if path.exists():
        return path
    compiler = next((name for name in _COMPILERS if shutil.which(name)), None)
    if compiler is None:
        raise cli.WorkError(
            "counting needs a C compiler; install one, for example with sudo apt-get install gcc. "
            f"Received: no {', '.join(_COMPILERS)}"
        )
    with files.replacing(str(path)) as temporary:
        options = ["-std=gnu11", "-O2", "-shared", "-fPIC", "-fvisibility=hidden"]
        command = [compiler, *options, "-o", temporary, str(_PLUGIN_SOURCE)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
            raise cli.WorkError(
                f"{compiler} must compile {_PLUGIN_SOURCE.name}; install the C library's headers, "
                f"for example with sudo apt-get install libc6-dev. Received: {lines[0]}"
            )
    return path
