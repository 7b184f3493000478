"""The cores that can be emulated: what the kernels' dispatch sees of each."""

import dataclasses

_V8_0 = "fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid"
_V8_2 = (
    "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop "
    "asimddp"
)


@dataclasses.dataclass(frozen=True)
class Core:
    """A core as /proc/cpuinfo shows it, and the emulator's CPU with the same features.

    XNNPACK chooses kernels by the features and by the part, so both must be
    those of the core.

    Attributes:
        name: on the command line.
        qemu_cpu: of `qemu-aarch64 -cpu`.
        implementer, variant, part, revision: of the Main ID Register.
        features: in the words of /proc/cpuinfo.
    """

    name: str
    qemu_cpu: str
    implementer: int
    variant: int
    part: int
    revision: int
    features: str

    @property
    def midr(self) -> int:
        """The Main ID Register."""
        architecture = 0xF  # The features are in the ID registers.
        return (
            self.implementer << 24
            | self.variant << 20
            | architecture << 16
            | self.part << 4
            | self.revision
        )

    @property
    def has_dotprod(self) -> bool:
        """Whether it multiplies and adds four int8 at a time (sdot)."""
        return "asimddp" in self.features.split()


# Parts as in Linux' arch/arm64/include/asm/cputype.h. The features are those of
# qemu_cpu, which is another core where QEMU 7.2 has none of that name.
CORES = {
    core.name: core
    for core in (
        Core("cortex-a53", "cortex-a53", 0x41, 0, 0xD03, 4, _V8_0),
        Core("cortex-a55", "cortex-a76", 0x41, 1, 0xD05, 0, _V8_2),
        Core("cortex-a57", "cortex-a57", 0x41, 1, 0xD07, 3, _V8_0),
        Core("cortex-a72", "cortex-a72", 0x41, 0, 0xD08, 3, _V8_0),
        Core("cortex-a76", "cortex-a76", 0x41, 4, 0xD0B, 1, _V8_2),
        Core("neoverse-n1", "neoverse-n1", 0x41, 4, 0xD0C, 1, _V8_2),
        Core("pixel1", "cortex-a72", 0x51, 1, 0x205, 1, _V8_0),  # Kryo.
        Core("pixel3", "cortex-a76", 0x51, 6, 0x802, 13, _V8_2),  # Kryo 385 Gold.
    )
}
DEFAULT_CORES = ("cortex-a53", "cortex-a76")


def get_core(name: str) -> Core:
    """The core of that name.

    Raises:
        ValueError: an unknown name.
    """
    if name not in CORES:
        raise ValueError(f"the core must be one of {', '.join(CORES)}. Received: {name}")
    return CORES[name]


def system_files(core: Core) -> dict[str, str]:
    """What a Linux with this one core shows, relative path to text.

    QEMU shows its guest the host's /proc/cpuinfo, on which the library that
    XNNPACK asks for the core crashes.
    """
    cpu = "sys/devices/system/cpu"
    cpuinfo = (
        "processor\t: 0\n"
        "BogoMIPS\t: 38.40\n"
        f"Features\t: {core.features}\n"
        f"CPU implementer\t: 0x{core.implementer:02x}\n"
        "CPU architecture: 8\n"
        f"CPU variant\t: 0x{core.variant:x}\n"
        f"CPU part\t: 0x{core.part:03x}\n"
        f"CPU revision\t: {core.revision}\n\n"
    )
    return {
        "proc/cpuinfo": cpuinfo,
        f"{cpu}/possible": "0\n",
        f"{cpu}/present": "0\n",
        f"{cpu}/online": "0\n",
        f"{cpu}/kernel_max": "0\n",
        f"{cpu}/cpu0/cpufreq/cpuinfo_max_freq": "2000000\n",
        f"{cpu}/cpu0/cpufreq/cpuinfo_min_freq": "2000000\n",
        f"{cpu}/cpu0/topology/physical_package_id": "0\n",
        f"{cpu}/cpu0/topology/core_id": "0\n",
        f"{cpu}/cpu0/topology/core_siblings_list": "0\n",
        f"{cpu}/cpu0/topology/thread_siblings_list": "0\n",
        f"{cpu}/cpu0/regs/identification/midr_el1": f"0x{core.midr:016x}\n",
    }
