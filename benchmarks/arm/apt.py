"""Debian packages into a folder of ours: no root, nothing installed, another architecture too."""

import dataclasses
import os
import pathlib
import re
import shutil
import subprocess

from mobilenet_tf import cli

_TOOLS = ("apt-get", "apt-cache", "dpkg", "dpkg-deb")
_OS_RELEASE = pathlib.Path("/etc/os-release")
# Of Debian, on whatever host: counts are then the same everywhere, and later
# releases have a QEMU without plugins.
RELEASE, _CODENAME = 12, "bookworm"
_KEYS = "usr/share/keyrings/debian-archive-keyring.gpg"
_TIMEOUT_S = 900


@dataclasses.dataclass(frozen=True)
class Package:
    """A package to download.

    Attributes:
        name: of the package.
        size_bytes: of the download.
    """

    name: str
    size_bytes: int


@dataclasses.dataclass(frozen=True)
class Apt:
    """apt with lists, cache and state in a folder of its own.

    Attributes:
        folder: for its state.
        architecture: such as "arm64".
        sources: text of a sources.list; None for the system's own sources.
    """

    folder: pathlib.Path
    architecture: str
    sources: str | None = None

    def update(self, assumed: tuple[str, ...] = ()) -> None:
        """Makes the folder and fetches the lists of packages.

        Args:
            assumed: packages that count as installed, since nothing needs them.

        Raises:
            WorkError: apt failed.
        """
        for name in ("lists/partial", "cache/archives/partial"):
            (self.folder / name).mkdir(parents=True)
        stanzas = [
            f"Package: {name}\nStatus: install ok installed\nVersion: 9999\n"
            f"Architecture: {self.architecture}\nMaintainer: none\nDescription: none\n"
            for name in assumed
        ]
        self._status_path.write_text("\n".join(stanzas), encoding="utf-8")
        if self.sources is not None:
            (self.folder / "sources.list").write_text(self.sources, encoding="utf-8")
        self._run("apt-get", "update", "--error-on=any")

    def missing(self, names: tuple[str, ...]) -> list[Package]:
        """The packages and all that they depend on, less what is installed."""
        lines = self._run(
            "apt-get", "install", "--print-uris", "--yes", "--no-install-recommends", *names
        )
        # 'uri' file_version_architecture.deb bytes hash
        found = re.findall(r"^'\S+' ([^_\s]+)_\S*\.deb (\d+) ", lines, re.MULTILINE)
        return [Package(name, int(size_bytes)) for name, size_bytes in found]

    def dependencies(self, name: str) -> list[str]:
        """The names that a package depends on directly."""
        lines = self._run("apt-cache", "depends", name)
        return re.findall(r"Depends: (\S+)", lines)

    def version(self, name: str) -> str:
        """The version of a package that would be downloaded."""
        lines = self._run("apt-cache", "show", "--no-all-versions", name)
        found = re.search(r"^Version: (\S+)", lines, re.MULTILINE)
        if found is None:
            raise cli.WorkError(f"apt must know the package. Received: {name}")
        return found[1]

    def unpack(self, packages: list[Package], folder: pathlib.Path) -> None:
        """Downloads packages and unpacks them into a folder; runs none of their scripts."""
        archives = self.folder / "archives"
        archives.mkdir()
        self._run("apt-get", "download", *(package.name for package in packages), cwd=archives)
        folder.mkdir(parents=True, exist_ok=True)
        for archive in sorted(archives.glob("*.deb")):
            run_tool("dpkg-deb", "-x", str(archive), str(folder))

    @property
    def _status_path(self) -> pathlib.Path:
        return self.folder / "status"

    def _run(self, tool: str, *arguments: str, cwd: pathlib.Path | None = None) -> str:
        options = {
            "APT::Architecture": self.architecture,
            "APT::Architectures": self.architecture,
            "APT::Sandbox::User": "root",  # No other user could read our folder.
            "Dir::State": str(self.folder),
            "Dir::State::lists": str(self.folder / "lists"),
            "Dir::State::status": str(self._status_path),
            "Dir::Cache": str(self.folder / "cache"),
        }
        if self.sources is not None:
            options["Dir::Etc::sourcelist"] = str(self.folder / "sources.list")
            options["Dir::Etc::sourceparts"] = "-"
        settings = [part for pair in options.items() for part in ("-o", "=".join(pair))]
        return run_tool(tool, *settings, *arguments, cwd=cwd)


def run_tool(*command: str, cwd: pathlib.Path | None = None) -> str:
    """Runs a command and returns its output.

    Raises:
        WorkError: it failed; the line ends with the last thing it said.
    """
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            capture_output=True,
            text=True,
            errors="replace",
            env=os.environ | {"LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"},
            stdin=subprocess.DEVNULL,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise cli.WorkError(
            f"{command[0]} must end; check the network. Received: no end in {_TIMEOUT_S} s"
        ) from None
    if done.returncode:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        errors = [line for line in said if re.match(r"(E|ERROR|error)\b", line)] or said
        reason = errors[0] if errors else f"exit code {done.returncode}"
        raise cli.WorkError(
            f"the ARM set-up needs {command[0]} to succeed; check the network and the disk, then "
            f"run it again. Received: {reason}"
        )
    return done.stdout


def check_tools() -> None:
    """Raises `WorkError` where this is no Debian or Ubuntu."""
    absent = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if absent:
        raise cli.WorkError(
            "the ARM set-up needs Debian or Ubuntu, or another system with apt; run it in a "
            f"container of one. Received: no {', '.join(absent)}"
        )


def host_architecture() -> str:
    """Of the packages that run here, such as "amd64"."""
    return run_tool("dpkg", "--print-architecture").strip()


def sources(folder: pathlib.Path) -> str | None:
    """Where the packages come from.

    Args:
        folder: for the archive's keys, where the system lacks them.

    Returns:
        Text of a sources.list; None on that release itself, whose own sources
        may be mirrors.

    Raises:
        WorkError: apt cannot get the keys.
    """
    release = read_os_release()
    if (release.get("ID"), release.get("VERSION_ID")) == ("debian", str(RELEASE)):
        return None
    keys = pathlib.Path("/", _KEYS)
    if not keys.exists():  # Ubuntu vouches for them with a package.
        system = Apt(folder / "apt", host_architecture())
        system.update()
        system.unpack([Package("debian-archive-keyring", 0)], folder)
        keys = folder / _KEYS
    return "".join(
        f"deb [signed-by={keys}] http://deb.debian.org/{archive} {suite} main\n"
        for archive, suite in (
            ("debian", _CODENAME),
            ("debian", f"{_CODENAME}-updates"),
            ("debian-security", f"{_CODENAME}-security"),
        )
    )


def read_os_release() -> dict[str, str]:
    """The fields of os-release, such as ID and VERSION_ID; empty where there is none."""
    try:
        text = _OS_RELEASE.read_text(encoding="utf-8")
    except OSError:
        return {}
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line)
    return {key: value.strip("\"'") for key, value in pairs}
