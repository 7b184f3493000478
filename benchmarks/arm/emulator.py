"""Finds QEMU's user mode and builds the plugin that counts for it."""

import dataclasses
import hashlib
import os
import pathlib
import re
import shutil
import subprocess

from mobilenet_tf import cli, files

_PROGRAM = "qemu-aarch64"
_PLUGIN_SOURCE = pathlib.Path(__file__).parent / "plugin.c"
_COMPILERS = ("cc", "gcc", "clang")


@dataclasses.dataclass(frozen=True)
class Emulator:
    """A QEMU that takes plugins.

    Attributes:
        program: path of qemu-aarch64.
        libraries: folder of shared libraries that the system lacks; None
            where it lacks none.
        version: (major, minor).
    """

    program: str
    libraries: str | None
    version: tuple[int, int]

    @property
    def plugin_api(self) -> int:
        """Version of the plugin interface; see plugin.c for what changed."""
        if self.version < (9, 0):
            return 1
        return 2 if self.version < (9, 1) else 3

    def environment(self) -> dict[str, str]:
        """What the program needs in its environment."""
        return {} if self.libraries is None else {"LD_LIBRARY_PATH": self.libraries}


def find_installed() -> Emulator | None:
    """The system's QEMU, where it has one that takes plugins."""
    program = shutil.which(_PROGRAM)
    return None if program is None else _probe(program, None)


def find_unpacked(folder: pathlib.Path) -> Emulator | None:
    """The QEMU of a package that was unpacked into a folder."""
    program = folder / "usr" / "bin" / _PROGRAM
    if not program.exists():
        return None
    found = sorted({str(path.parent) for path in folder.glob("usr/lib/*/*.so.*")})
    return _probe(str(program), os.pathsep.join(found) or None)


def _probe(program: str, libraries: str | None) -> Emulator | None:
    environment = os.environ | ({"LD_LIBRARY_PATH": libraries} if libraries else {})
    texts = []
    for option in ("--version", "--help"):
        try:
            done = subprocess.run(
                [program, option], capture_output=True, text=True, env=environment, check=False
            )
        except OSError:
            return None
        texts.append(done.stdout)
    version = re.search(r"version (\d+)\.(\d+)", texts[0])
    if version is None or "-plugin" not in texts[1]:
        return None
    return Emulator(program, libraries, (int(version[1]), int(version[2])))


def build_plugin(emulator: Emulator, folder: pathlib.Path) -> pathlib.Path:
    """Compiles the plugin, once for each version of it and of its interface.

    Args:
        emulator: that will load it.
        folder: to keep it in.

    Returns:
        Path of the shared library.

    Raises:
        WorkError: no compiler, or it failed.
    """
    digest = hashlib.sha256(_PLUGIN_SOURCE.read_bytes()).hexdigest()[:12]
    path = folder / f"armcount-{emulator.plugin_api}-{digest}.so"
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
        command = [compiler, *options, f"-DAPI={emulator.plugin_api}", "-o", temporary]
        done = subprocess.run(
            [*command, str(_PLUGIN_SOURCE)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
            raise cli.WorkError(
                f"{compiler} must compile {_PLUGIN_SOURCE.name}; install the C library's headers, "
                f"for example with sudo apt-get install libc6-dev. Received: {lines[0]}"
            )
    return path
