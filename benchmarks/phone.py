"""An Android phone behind adb: what it is, how warm it is, running a program on it."""

import contextlib
import dataclasses
import datetime
import re
import subprocess
from collections.abc import Iterator
from typing import Any

from mobilenet_tf.cli import UsageError, WorkError
from mobilenet_tf.machine import UNKNOWN, hottest_cpu_c, parse_cpuinfo

MAX_BATTERY_C = 38.0  # Above, phones begin to lower their clock.
_FOLDER = "/data/local/tmp/mobilenet_tf_benchmark"  # The one place where the shell may execute.
_EXIT = "exit code of the phone:"
_STATES = {
    "unauthorized": 'unlock the phone and answer "Allow USB debugging" with yes',
    "no permissions": "let your user reach USB devices (udev rules on Linux)",
    "offline": "plug the phone in again, or restart adb with: adb kill-server",
    "recovery": "start Android on the phone",
    "sideload": "start Android on the phone",
    "bootloader": "start Android on the phone",
}
_ZONES = (
    'for zone in /sys/class/thermal/thermal_zone*; do echo "$(cat $zone/type)'
    '=$(cat $zone/temp)"; done 2>/dev/null'
)
_CPUFREQ = "/sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"
# ELF machine numbers and the names that Android gives them.
_ABIS = {3: "x86", 40: "armeabi-v7a", 62: "x86_64", 183: "arm64-v8a"}


@dataclasses.dataclass(frozen=True)
class Heat:
    """How warm a phone is.

    Attributes:
        battery_c: degrees Celsius; None where it does not say.
        cpu_c: of the processor's hottest sensor; None where the shell may not read it.
        is_throttled: Android says that it slows down.
    """

    battery_c: float | None
    cpu_c: float | None
    is_throttled: bool

    @property
    def complaint(self) -> str:
        """Why the phone is too hot to measure; "" if it is not."""
        if self.is_throttled:
            return "Android reports thermal throttling"
        if self.battery_c is not None and self.battery_c > MAX_BATTERY_C:
            return f"the battery has {self.battery_c:.1f} C, more than {MAX_BATTERY_C:.0f}"
        return ""


@dataclasses.dataclass(frozen=True)
class Phone:
    """A phone that adb reaches.

    Attributes:
        adb: the program.
        serial: of the phone, for adb only; it goes into no record.
    """

    adb: str
    serial: str

    def shell(self, command: str, timeout_s: float = 60.0) -> str:
        """Runs a command on the phone.

        Args:
            command: for its shell.
            timeout_s: seconds after which to give up.

        Returns:
            What it printed, stdout and stderr together.

        Raises:
            WorkError: it failed, or the phone has gone.
        """
        # Old versions of adb do not pass the exit code on.
        script = f"{{ {command}; }} 2>&1; echo; echo '{_EXIT}' $?"
        text = self._adb("shell", script, timeout_s=timeout_s).replace("\r\n", "\n")
        output, mark, code = text.rpartition(_EXIT)
        if not mark:
            raise WorkError(f"the phone must stay connected; plug it in again. Received: {text!r}")
        if code.strip() != "0":
            raise WorkError(
                "the command must succeed on the phone; see what it says. Received: "
                f"{command.split()[0]}, exit code {code.strip()} ({_tail(output)})"
            )
        return output.strip()

    def push(self, path: str, target: str) -> None:
        """Copies a file to the phone.

        Raises:
            WorkError: adb could not.
        """
        self._adb("push", path, target, timeout_s=600.0)

    @contextlib.contextmanager
    def folder(self) -> Iterator[str]:
        """A folder on the phone that is empty now and gone afterwards."""
        self.shell(f"rm -rf {_FOLDER} && mkdir {_FOLDER}")
        try:
            yield _FOLDER
        finally:
            # The first error is the one to report; a phone that has gone cannot be cleaned.
            with contextlib.suppress(WorkError):
                self.shell(f"rm -rf {_FOLDER}")

    def heat(self) -> Heat:
        """How warm it is now."""
        battery = re.search(r"^\s*temperature: (-?\d+)", self.shell("dumpsys battery"), re.M)
        # Before Android 10 there is no such service.
        status = re.search(r"Thermal Status: (\d+)", self._tolerant("dumpsys thermalservice"))
        zones = [line.partition("=") for line in self._tolerant(_ZONES).splitlines()]
        return Heat(
            battery_c=int(battery[1]) / 10 if battery else None,
            cpu_c=hottest_cpu_c((kind, value) for kind, _, value in zones),
            is_throttled=status is not None and int(status[1]) > 0,
        )

    def describe(self, heat: Heat) -> dict[str, Any]:
        """The same fields as `machine.describe_machine`, of the phone.

        Args:
            heat: of it.
        """
        properties = dict(re.findall(r"^\[(.+?)\]: \[(.*)\]$", self.shell("getprop"), re.M))
        cpuinfo = self._tolerant("cat /proc/cpuinfo")
        memory = re.search(r"MemTotal:\s*(\d+) kB", self._tolerant("cat /proc/meminfo"))
        load = self._tolerant("cat /proc/loadavg").split()[:3]
        governors = dict.fromkeys(self._tolerant(f"cat {_CPUFREQ}").split())

        def named(*keys: str) -> str:
            return " ".join(properties[key] for key in keys if properties.get(key)) or UNKNOWN

        chip = named("ro.soc.manufacturer", "ro.soc.model")
        chip = named("ro.board.platform") if chip == UNKNOWN else chip
        cores = parse_cpuinfo(cpuinfo)
        return {
            "cpu": f"{chip}, {cores}" if cores else chip,
            "board": named("ro.product.manufacturer", "ro.product.model"),
            "architecture": self._tolerant("uname -m") or UNKNOWN,
            "cores": len(re.findall(r"^processor\s*:", cpuinfo, re.M)) or 1,
            "memory_bytes": int(memory[1]) * 1024 if memory else None,
            "governor": ", ".join(governors) or UNKNOWN,
            "temperature_c": heat.cpu_c,
            "load_average": [float(value) for value in load] if len(load) == 3 else None,
            "os": f"Android {named('ro.build.version.release')}",
            "python": None,
            "versions": {},
            "date_time": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        }

    def abis(self) -> list[str]:
        """Kinds of programs that it runs, such as "arm64-v8a"; the best first."""
        return self.shell("getprop ro.product.cpu.abilist").split(",")

    def _tolerant(self, command: str) -> str:
        """As `shell`, but nothing where a phone does not allow it."""
        try:
            return self.shell(f"{command} 2>/dev/null")
        except WorkError:
            return ""

    def _adb(self, *arguments: str, timeout_s: float) -> str:
        return run_adb(self.adb, "-s", self.serial, *arguments, timeout_s=timeout_s)


def find_phone(adb: str, serial: str | None) -> Phone:
    """Finds the phone to measure on.

    Args:
        adb: the program.
        serial: which phone; None where there is only one.

    Raises:
        UsageError: several phones and no serial.
        WorkError: no adb, no phone, or one that does not let us in.
    """
    listed = run_adb(adb, "devices", timeout_s=60.0).partition("List of devices attached")[2]
    states = dict(re.findall(r"^(\S+)[ \t]+(\S.*?)\s*$", listed, re.M))
    if serial is not None:
        states = {key: state for key, state in states.items() if key == serial}
    if not states:
        wanted = "none" if serial is None else f"none with serial {serial}"
        raise WorkError(
            "a phone must be connected; plug one in and enable USB debugging in its developer "
            f"options. Received: {wanted}"
        )
    if len(states) > 1:
        raise UsageError(
            f"--serial must choose one of several phones. Received: {', '.join(states)}"
        )
    ((found, state),) = states.items()
    if state != "device":
        remedies = (remedy for name, remedy in _STATES.items() if state.startswith(name))
        remedy = next(remedies, "see the documentation of adb")
        raise WorkError(f"the phone must accept commands; {remedy}. Received: {found} ({state})")
    return Phone(adb, found)


def run_adb(adb: str, *arguments: str, timeout_s: float) -> str:
    """Runs adb.

    Returns:
        Its stdout.

    Raises:
        WorkError: it is not there, failed, or took too long.
    """
    try:
        done = subprocess.run(
            [adb, *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (FileNotFoundError, PermissionError):
        raise WorkError(
            "adb must be installed; get Android's platform-tools, or name the program with --adb. "
            f"Received: {adb}"
        ) from None
    except subprocess.TimeoutExpired:
        raise WorkError(
            f"adb must answer within {timeout_s:.0f} s; plug the phone in again. "
            f"Received: {_command(arguments)}"
        ) from None
    if done.returncode:
        raise WorkError(
            f"adb must succeed; see what it says. Received: {_command(arguments)} "
            f"({_tail(done.stderr) or _tail(done.stdout) or f'exit code {done.returncode}'})"
        )
    return done.stdout


def program_abi(path: str) -> str:
    """The kind of phone that a program is for, such as "arm64-v8a".

    Raises:
        ValueError: the file is no program of Android's.
    """
    with open(path, "rb") as file:
        head = file.read(20)
    machine = int.from_bytes(head[18:20], "little")
    if head[:4] != b"\x7fELF" or machine not in _ABIS:
        raise ValueError(
            "--benchmark-model must be an Android program (an ELF file for ARM or x86); download "
            f"or build it again. Received: {path}"
        )
    return _ABIS[machine]


def _command(arguments: tuple[str, ...]) -> str:
    words = arguments[2:] if arguments[0] == "-s" else arguments
    return f"adb {words[0]}"


def _tail(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else ""
