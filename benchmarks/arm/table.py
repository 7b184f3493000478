"""How ARM counts are shown and stored."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.arm.counts import CLASSES, ArmCounts, Counted
from benchmarks.report import aligned
from benchmarks.stats import display_names
from mobilenet_tf import files

_HEADINGS = {"dot": "dot", "fp_mac": "fp mac", "int_mac": "int mac"}


def format_table(rows: Sequence[Counted]) -> str:
    """Formats counts as an aligned table, one row per file and core.

    Args:
        rows: at least one. With several files, the last column is the ratio of
            a file's instructions to those of the first file on the same core.

    Returns:
        Lines of text. Instructions are in millions, sizes in millions of bytes.
    """
    header = ["file", "core", "Minstr", *(_HEADINGS.get(name, name) for name in CLASSES)]
    header += ["MB read", "MB written", "XNNPACK parts", "output vs host"]
    names = _names(rows)
    cells = [header] + [_row(names[row.path], row.counts) for row in rows]
    if len(names) > 1:
        ratios = ["vs first"] + _ratios(rows)
        cells = [[*row, ratio] for row, ratio in zip(cells, ratios)]
    return aligned(cells, left_columns=2)


def _names(rows: Sequence[Counted]) -> dict[str, str]:
    """What each path is shown as."""
    paths = list(dict.fromkeys(row.path for row in rows))
    return dict(zip(paths, display_names(paths)))


def _row(name: str, counts: ArmCounts) -> list[str]:
    classes = [f"{counts.classes[kind] / 1e6:.3f}" for kind in CLASSES]
    moved = [f"{size / 1e6:.2f}" for size in (counts.load_bytes, counts.store_bytes)]
    millions = f"{counts.instructions / 1e6:.3f}"
    agreement = describe_agreement(counts)
    return [name, counts.core, millions, *classes, *moved, str(counts.partitions), agreement]


def describe_agreement(counts: ArmCounts) -> str:
    """How the emulated output compares with the host's, in a word and a number."""
    if counts.outputs_equal == "identical":
        return "identical"
    return f"{counts.outputs_equal} {counts.max_difference:.1e}"


def _ratios(rows: Sequence[Counted]) -> list[str]:
    firsts: dict[str, int] = {}
    for row in rows:
        firsts.setdefault(row.counts.core, row.counts.instructions)
    return [f"{r.counts.instructions / firsts[r.counts.core]:.3f}x" for r in rows]


def to_json(
    rows: Sequence[Counted],
    failures: Sequence[str],
    versions: Mapping[str, str],
    machine: Mapping[str, Any],
) -> dict[str, Any]:
    """Puts counts into the form that is stored.

    Returns:
        A dict of
        machine: from `describe_machine`;
        emulated: versions of the emulator and of what ran on it;
        failures: an error line per file that could not be counted;
        results: one dict per file and core with "file" (its name), "sha256",
        "size_bytes" and the fields of `ArmCounts` but the blocks.
    """
    results = []
    names = _names(rows)
    for row in rows:
        fields = {
            field.name: getattr(row.counts, field.name)
            for field in dataclasses.fields(row.counts)
            if field.name != "hot_blocks"
        }
        known = {"sha256": files.sha256(row.path), "size_bytes": os.path.getsize(row.path)}
        results.append({"file": names[row.path], **known, **fields})
    return {
        "machine": dict(machine),
        "emulated": dict(versions),
        "failures": list(failures),
        "results": results,
    }
