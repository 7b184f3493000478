"""The set-up's planning and its failures, with programs that only look like apt."""

import os
import pathlib

import pytest

from benchmarks.arm import __main__ as command
from benchmarks.arm import apt, cache, emulator, install

APT_GET = """#!/bin/sh
echo "apt-get $*" >> "$LOG"
case "$*" in
*arm64*--print-uris*)
    echo "Reading package lists..."
    echo "'http://x/libc6_2.36-9_arm64.deb' libc6_2.36-9_arm64.deb 2000000 SHA256:ab"
    echo "'http://x/python3.11-minimal_3.11_arm64.deb' python3.11-minimal_3.11_arm64.deb 500000 X:a"
    ;;
*--print-uris*) echo "'http://x/q_amd64.deb' qemu-user_1%3a7.2_amd64.deb 12000000 SHA256:ab" ;;
*download*) : > "libc6_2.36-9_arm64.deb" ;;
*update*) test -z "$FAIL" || { echo "W: slow" >&2; echo "E: no network" >&2; exit 100; } ;;
esac
"""
APT_CACHE = """#!/bin/sh
case "$*" in
*depends*) printf 'python3-minimal\\n  PreDepends: python3.11-minimal\\n  Depends: dpkg\\n' ;;
*show*) printf 'Package: libc6\\nVersion: 2.36-9+deb12u14\\n' ;;
esac
"""
DPKG_DEB = '#!/bin/sh\n/bin/mkdir -p "$3/lib" && : > "$3/lib/$(/usr/bin/basename "$2")"\n'
QEMU = """#!/bin/sh
case "$1" in
--version) echo "qemu-aarch64 version {version} (Debian)" ;;
--help) echo "{option}  QEMU_PLUGIN" ;;
esac
"""


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Folder that is the whole PATH, with imitations of apt and dpkg."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("LOG", str(tmp_path / "log"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_program(folder / "apt-get", APT_GET)
    write_program(folder / "apt-cache", APT_CACHE)
    write_program(folder / "dpkg", "#!/bin/sh\necho amd64\n")
    write_program(folder / "dpkg-deb", DPKG_DEB)
    return folder


def write_program(path: pathlib.Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def planned(tmp_path: pathlib.Path) -> install.Plan:
    host = apt.Apt(tmp_path / "host", "amd64")
    return install.plan(host, apt.Apt(tmp_path / "guest", "arm64"))


def test_plan(programs, tmp_path):
    plan = planned(tmp_path)
    assert plan.host == [apt.Package("qemu-user", 12_000_000)]
    assert [package.name for package in plan.guest] == ["libc6", "python3.11-minimal"]
    assert (plan.python, plan.glibc) == ("3.11", (2, 36))
    assert plan.wheels[0].startswith("ai-edge-litert==")
    assert plan.lines()[0] == "Debian packages for this machine, 12.0 MB: qemu-user"
    assert plan.lines()[1] == "Debian packages of arm64, 2.5 MB: libc6 python3.11-minimal"


def test_plan_asks_for_the_python_that_apt_names(programs, tmp_path):
    planned(tmp_path)
    log = (tmp_path / "log").read_text()
    assert "python3.11-minimal libpython3.11-stdlib libstdc++6 zlib1g" in log
    # What nothing needs counts as installed.
    assert "Package: dpkg\nStatus: install ok installed" in (tmp_path / "guest/status").read_text()


@pytest.mark.parametrize(
    ("version", "option", "used"),
    [("7.2.22", "-plugin", True), ("8.2.2", "-plugin", True)]
    + [("9.0.0", "-plugin", False), ("7.2.22", "-static", False)],
)
def test_an_installed_emulator_is_used_where_it_takes_the_plugin(
    programs, tmp_path, version, option, used
):
    write_program(programs / "qemu-aarch64", QEMU.format(version=version, option=option))
    found = emulator.find_installed()
    assert (found is not None) == used
    assert (not planned(tmp_path).host) == used
    if found is not None:
        assert found.version == version


def test_packages_are_unpacked_into_the_folder(programs, tmp_path):
    source = apt.Apt(tmp_path / "guest", "arm64")
    source.update()
    source.unpack([apt.Package("libc6", 1)], tmp_path / "root")
    assert (tmp_path / "root/lib/libc6_2.36-9_arm64.deb").exists()


def test_failure_leaves_nothing(programs, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FAIL", "1")
    assert command.main(["--setup"]) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert errors == [
        "error: the ARM set-up needs apt-get to succeed; check the network and the disk, then run "
        "it again. Received: E: no network"
    ]
    left = [path.name for path in (tmp_path / "cache" / "mobilenet_tf").iterdir()]
    assert left == [f"{cache.folder().name}.lock"]


def test_complete_set_up_is_not_made_again(programs, tmp_path, capsys):
    write_program(programs / "qemu-aarch64", QEMU.format(version="7.2.22", option="-plugin"))
    cache.folder().mkdir(parents=True)
    cache.write_record(cache.folder(), "root/usr/bin/python3.11", {"numpy": "2"})
    assert command.main(["--setup"]) == 0
    assert "the ARM set-up is complete" in capsys.readouterr().out
    assert not (tmp_path / "log").exists()


def test_other_systems_get_one_line(programs, capsys):
    (programs / "apt-get").unlink()
    assert command.main(["--setup"]) == 1
    error = capsys.readouterr().err
    assert "needs Debian or Ubuntu" in error and "no apt-get" in error and error.count("\n") == 1


def test_missing_compiler_gets_one_line(programs, tmp_path):
    with pytest.raises(ValueError, match="counting needs a C compiler") as caught:
        raise ValueError(str(pytest.raises(Exception, emulator.build_plugin, tmp_path).value))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("release", "expected"),
    [('ID=debian\nVERSION_ID="12"\n', None), ('ID=debian\nVERSION_ID="13"\n', "bookworm-security")],
)
def test_sources_are_those_of_one_release(release, expected, programs, tmp_path, monkeypatch):
    (tmp_path / "os-release").write_text(release)
    monkeypatch.setattr(apt, "_OS_RELEASE", tmp_path / "os-release")
    sources = apt.sources(tmp_path)
    if expected is None:
        assert sources is None
    else:
        assert expected in sources and "signed-by=" in sources


def test_names_of_the_cache_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.folder().parent == pathlib.Path(os.path.expanduser("~/.cache/mobilenet_tf"))
