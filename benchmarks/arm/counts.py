"""Counts the ARM instructions of one inference."""

import dataclasses

from mobilenet_tf import cli

CLASSES = ("dot", "fp_mac", "int_mac", "load", "store", "other")


class ArmUnavailable(cli.WorkError):
    """The emulator or its set-up is missing; the message tells how to get it."""


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
        hot_blocks: all executed blocks, those with most instructions first.
        outputs_equal: "identical" to the host's output of the same input,
            "close" (floats in another order), or "different".
        max_difference: greatest difference of the outputs, as a share of the
            greatest output.
    """

    core: str
    instructions: int
    classes: dict[str, int]
    load_bytes: int
    store_bytes: int
    hot_blocks: tuple[HotBlock, ...]
    outputs_equal: str
    max_difference: float


def is_available() -> bool:
    """Whether `count` can run here."""
    return False


def count(path: str, core: str = "cortex-a76") -> ArmCounts:
    """Counts one inference of a .tflite.

    Args:
        path: of the file.
        core: key of `cores.CORES`.

    Returns:
        ArmCounts of the third inference.

    Raises:
        ArmUnavailable: no emulator or no set-up.
        WorkError: the file does not run.
        ValueError: an unknown core.
    """
    raise ArmUnavailable(
        "counting needs the ARM set-up; run python -m benchmarks.arm --setup. Received: none"
    )
