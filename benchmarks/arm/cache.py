"""Where the ARM set-up lies and what is in it."""

import dataclasses
import json
import os
import pathlib
from importlib import metadata

from benchmarks.arm import apt, cores, emulator
from mobilenet_tf import cli

SETUP_COMMAND = "python -m benchmarks.arm --setup (or make arm)"
RUNTIME = "ai-edge-litert"
_RECORD = "setup.json"  # Written last: where it is, the rest is complete.


class ArmUnavailable(cli.WorkError):
    """The emulator or its set-up is missing; the message tells how to get it."""


@dataclasses.dataclass(frozen=True)
class Setup:
    """A complete set-up.

    Attributes:
        folder: of all of it.
        emulator: that runs here.
        python: of arm64, path relative to `folder`.
        versions: of what runs emulated, and of the emulator.
    """

    folder: pathlib.Path
    emulator: emulator.Emulator
    python: str
    versions: dict[str, str]

    @property
    def site(self) -> pathlib.Path:
        """Of the emulated Python's packages."""
        return self.folder / "site"

    def prefix(self, core: cores.Core) -> pathlib.Path:
        """Root folder that a program sees on that core."""
        return self.folder / "cores" / core.name


def folder() -> pathlib.Path:
    """Of the set-up for the installed LiteRT, there or not."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    name = f"arm-debian{apt.RELEASE}-litert{metadata.version(RUNTIME)}"
    return pathlib.Path(base) / "mobilenet_tf" / name


def find() -> Setup:
    """The set-up, if it is complete.

    Raises:
        ArmUnavailable: it is missing.
    """
    where = folder()
    try:
        record = json.loads((where / _RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise ArmUnavailable(
            f"counting ARM instructions needs an emulator and an arm64 Python; run {SETUP_COMMAND}"
            f". Received: none in {where}"
        ) from None
    return load(where, record)


def load(where: pathlib.Path, record: dict) -> Setup:
    """The set-up that a record describes.

    Raises:
        ArmUnavailable: its emulator is gone.
    """
    found = emulator.find_unpacked(where / "qemu") or emulator.find_installed()
    if found is None:
        raise ArmUnavailable(
            f"counting needs QEMU before 9.0, with plugins; run {SETUP_COMMAND} to get one. "
            f"Received: none in {where}"
        )
    versions = record["versions"] | {"qemu": found.version}
    return Setup(where, found, record["python"], versions)


def write_record(where: pathlib.Path, python: str, versions: dict[str, str]) -> None:
    """Declares a set-up complete."""
    text = json.dumps({"python": python, "versions": versions}, indent=2)
    (where / _RECORD).write_text(text + "\n", encoding="utf-8")
