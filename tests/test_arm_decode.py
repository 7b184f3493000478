"""Classes and bytes of A64 instructions, on words by another assembler."""

import csv
import pathlib

import pytest

from benchmarks.arm.cores import CORES
from benchmarks.arm.decode import CLASSES, Instruction, decode

WORDS = pathlib.Path(__file__).parent / "data" / "a64_instructions.csv"


def rows() -> list[dict[str, str]]:
    with open(WORDS, encoding="utf-8") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


@pytest.mark.parametrize("row", rows(), ids=lambda row: row["assembly"])
def test_instruction(row):
    expected = Instruction(row["kind"], int(row["load_bytes"]), int(row["store_bytes"]))
    assert decode(int(row["word"], 16)) == expected


def test_every_class_is_covered():
    assert {row["kind"] for row in rows()} == set(CLASSES)


@pytest.mark.parametrize("word", [0x00000000, 0xFFFFFFFF, 0x04000000, 0x0D800400 | 0xF000])
def test_what_is_no_instruction_of_these_cores_is_no_error(word):
    assert decode(word).kind in CLASSES


@pytest.mark.parametrize(
    ("core", "midr"),
    [  # From Linux: MIDR_CORTEX_A76 and so on, with variant and revision.
        ("cortex-a53", 0x410FD034),
        ("cortex-a72", 0x410FD083),
        ("cortex-a76", 0x414FD0B1),
        ("neoverse-n1", 0x414FD0C1),
        ("pixel1", 0x511F2051),
    ],
)
def test_id_register(core, midr):
    assert CORES[core].midr == midr
