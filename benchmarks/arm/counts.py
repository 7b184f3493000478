"""Counts the ARM instructions of one inference."""

import collections
import dataclasses
from collections.abc import Sequence
from typing import Literal

import numpy as np

from benchmarks.arm import cache, cores, emulation
from benchmarks.arm.cache import ArmUnavailable
from benchmarks.arm.decode import CLASSES, decode
from mobilenet_tf import cli
from mobilenet_tf.progress import progress, say

__all__ = [
    "CLASSES",
    "ArmCounts",
    "ArmUnavailable",
    "Counted",
    "HotBlock",
    "count",
    "count_files",
    "instructions_by_core",
    "is_available",
]

Agreement = Literal["identical", "close", "different"]

# Of the greatest output: floats are added in another order on another core.
_CLOSE = 1e-4


@dataclasses.dataclass(frozen=True)
class HotBlock:
    """A straight run of instructions, always entered at its start.

    Attributes:
        code: machine code as hexadecimal digits, in the order of memory: 8 for
            each instruction, little-endian.
        executions: in the counted inference.
    """

    code: str
    executions: int

    @property
    def instructions(self) -> int:
        """Executed in all executions together."""
        return len(self.code) // 8 * self.executions


@dataclasses.dataclass(frozen=True)
class ArmCounts:
    """What one inference executes on an emulated core, single-threaded.

    Attributes:
        core: key of `cores.CORES`.
        instructions: executed.
        classes: instructions by class, a key for each of `CLASSES`; they sum
            to `instructions`.
        load_bytes: read by load instructions.
        store_bytes: written by store instructions.
        partitions: pieces that XNNPACK runs.
        outputs_equal: "identical" to the host's output of the same input,
            "close" (floats added in another order), or "different".
        max_difference: greatest difference of the outputs, as a share of the
            greatest output of the host.
        hot_blocks: all executed blocks, those with most instructions first.
    """

    core: str
    instructions: int
    classes: dict[str, int]
    load_bytes: int
    store_bytes: int
    partitions: int
    outputs_equal: Agreement
    max_difference: float
    hot_blocks: tuple[HotBlock, ...] = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True)
class Counted:
    """A file and what was counted of it on one core."""

    path: str
    counts: ArmCounts


def is_available() -> bool:
    """Whether `count` can run here."""
    try:
        cache.find()
    except ArmUnavailable:
        return False
    return True


def count(path: str, core: str = "cortex-a76") -> ArmCounts:
    """Counts one inference of a .tflite.

    Args:
        path: of the file.
        core: key of `cores.CORES`.

    Returns:
        ArmCounts of the third inference.

    Raises:
        ArmUnavailable: no emulator or no set-up.
        FileNotFoundError: no such file.
        WorkError: the file does not run, here or on the core.
        ValueError: an unknown core.
    """
    described, setup = cores.get_core(core), cache.find()
    return _count(emulation.run_on_host(path), setup, described, path)


def instructions_by_core(path: str) -> dict[str, int] | None:
    """Counts one inference on the cores of `cores.DEFAULT_CORES`, where counting is set up.

    Args:
        path: of the .tflite.

    Returns:
        Instructions by core; None where there is no set-up, or where the file
        does not run on the emulated core, which is then said on stderr.
    """
    try:
        setup = cache.find()
    except ArmUnavailable:
        return None
    chosen = [cores.get_core(name) for name in cores.DEFAULT_CORES]
    rows, failures = count_files([path], chosen, setup)
    return None if failures else {row.counts.core: row.counts.instructions for row in rows}


def count_files(
    paths: Sequence[str], chosen: Sequence[cores.Core], setup: cache.Setup
) -> tuple[list[Counted], list[str]]:
    """Counts files one after the other, each in processes of its own.

    Args:
        paths: of the files.
        chosen: cores to count on.
        setup: from `cache.find`.

    Returns:
        What could be counted, files in the order given; and an error line for
        each that could not.
    """
    rows, failures = [], []
    hosts: dict[str, emulation.Run | None] = {}
    turns = [(path, core) for path in paths for core in chosen]
    for path, core in progress(turns, len(turns), "counting"):
        try:
            if path not in hosts:
                hosts[path] = None
                hosts[path] = emulation.run_on_host(path)
            host = hosts[path]
            if host is not None:
                rows.append(Counted(path, _count(host, setup, core, path)))
        except (cli.WorkError, OSError) as error:
            failures.append(" ".join(str(error).split()))
            say(f"error: {failures[-1]}")
    return rows, failures


def _count(host: emulation.Run, setup: cache.Setup, core: cores.Core, path: str) -> ArmCounts:
    emulated = emulation.run_emulated(setup, core, path)
    agreement, difference = compare(emulated.outputs, host.outputs)
    return summarize(core.name, emulated, agreement, difference)


def summarize(
    core: str, emulated: emulation.Run, agreement: Agreement, difference: float
) -> ArmCounts:
    """Sorts executed blocks into classes."""
    classes: collections.Counter[str] = collections.Counter({name: 0 for name in CLASSES})
    load_bytes = store_bytes = 0
    for code, executions in emulated.blocks.items():
        for i in range(0, len(code), 4):
            instruction = decode(int.from_bytes(code[i : i + 4], "little"))
            classes[instruction.kind] += executions
            load_bytes += executions * instruction.load_bytes
            store_bytes += executions * instruction.store_bytes
    blocks = [HotBlock(code.hex(), executions) for code, executions in emulated.blocks.items()]
    blocks.sort(key=lambda block: (-block.instructions, block.code))
    return ArmCounts(
        core=core,
        instructions=sum(classes.values()),
        classes=dict(classes),
        load_bytes=load_bytes,
        store_bytes=store_bytes,
        partitions=emulated.partitions,
        outputs_equal=agreement,
        max_difference=difference,
        hot_blocks=tuple(blocks),
    )


def compare(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray]) -> tuple[Agreement, float]:
    """Compares the outputs of two machines.

    Args:
        ours: an array per output.
        theirs: those of the host, of the same shapes.

    Returns:
        See `ArmCounts.outputs_equal` and `max_difference`.
    """
    pairs = list(zip(ours, theirs, strict=True))
    if all(np.array_equal(own, other) for own, other in pairs):
        return "identical", 0.0
    differences, sizes = [], []
    for own, other in pairs:
        wide = other.astype(np.float64)
        differences.append(float(np.abs(own.astype(np.float64) - wide).max()))
        sizes.append(float(np.abs(wide).max()))
    share = max(differences) / (max(sizes) or 1.0)
    is_float = all(other.dtype.kind == "f" for _, other in pairs)
    return ("close" if is_float and share <= _CLOSE else "different"), share
