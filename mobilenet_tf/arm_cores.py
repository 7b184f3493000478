"""Names of ARM cores, which Linux gives as the numbers of implementer and part only."""

import collections

# Main ID register: implementer, part. From Arm's reference manuals and the tables of util-linux.
_ARM = {
    0xD01: "Cortex-A32",
    0xD03: "Cortex-A53",
    0xD04: "Cortex-A35",
    0xD05: "Cortex-A55",
    0xD06: "Cortex-A65",
    0xD07: "Cortex-A57",
    0xD08: "Cortex-A72",
    0xD09: "Cortex-A73",
    0xD0A: "Cortex-A75",
    0xD0B: "Cortex-A76",
    0xD0C: "Neoverse-N1",
    0xD0D: "Cortex-A77",
    0xD0E: "Cortex-A76AE",
    0xD40: "Neoverse-V1",
    0xD41: "Cortex-A78",
    0xD42: "Cortex-A78AE",
    0xD44: "Cortex-X1",
    0xD46: "Cortex-A510",
    0xD47: "Cortex-A710",
    0xD48: "Cortex-X2",
    0xD49: "Neoverse-N2",
    0xD4A: "Neoverse-E1",
    0xD4B: "Cortex-A78C",
    0xD4C: "Cortex-X1C",
    0xD4D: "Cortex-A715",
    0xD4E: "Cortex-X3",
    0xD4F: "Neoverse-V2",
    0xD80: "Cortex-A520",
    0xD81: "Cortex-A720",
    0xD82: "Cortex-X4",
    0xD84: "Neoverse-V3",
    0xD85: "Cortex-X925",
    0xD87: "Cortex-A725",
    0xD8E: "Neoverse-N3",
    0xC07: "Cortex-A7",
    0xC09: "Cortex-A9",
    0xC0F: "Cortex-A15",
}
_QUALCOMM = {
    0x001: "Oryon",
    0x201: "Kryo",
    0x205: "Kryo",
    0x211: "Kryo",
    0x800: "Kryo 2xx Gold",
    0x801: "Kryo 2xx Silver",
    0x802: "Kryo 3xx Gold",
    0x803: "Kryo 3xx Silver",
    0x804: "Kryo 4xx Gold",
    0x805: "Kryo 4xx Silver",
}
_CORES = {0x41: _ARM, 0x51: _QUALCOMM}


def core_name(implementer: str, part: str) -> str:
    """Names a core.

    Args:
        implementer, part: as in /proc/cpuinfo, such as "0x41" and "0xd0b".

    Returns:
        Such as "Cortex-A76"; the numbers where they are not known.
    """
    try:
        return _CORES[int(implementer, 0)][int(part, 0)]
    except (KeyError, ValueError):
        return f"implementer {implementer or 'unknown'} part {part}"


def describe_cores(text: str) -> str:
    """The cores in the text of /proc/cpuinfo, such as "4 Cortex-A55 + 2 Cortex-A76".

    Returns:
        The name alone where all cores are alike; "" where the text has no parts.
    """
    names: collections.Counter[str] = collections.Counter()
    implementer = ""
    for line in text.splitlines():
        key, _, value = (field.strip() for field in line.partition(":"))
        if key == "CPU implementer":
            implementer = value
        elif key == "CPU part":
            names[core_name(implementer, value)] += 1
    if len(names) < 2:
        return "".join(names)
    return " + ".join(f"{count} {name}" for name, count in names.items())
