"""Counts what .tflite files of any maker compute, store and move, without running them.

    python -m benchmarks.static FILE... --json result.json

The figures come from the shapes in the file and are the same on every machine. For what
the columns mean, see docs/benchmarks.md.
"""

import argparse
import dataclasses
import hashlib
import sys
from collections.abc import Sequence
from typing import Any

from benchmarks.arena import Arena, plan_arena
from benchmarks.op_costs import OpCost, costs_by_class, uncounted
from benchmarks.report import aligned, check_json_path, write_json
from benchmarks.stats import display_names
from export.flatbuffer import intact, read_file
from export.inspection.file_graph import Graph, read_graph
from export.inspection.partitions import Partitions, count_partitions
from mobilenet_tf import cli


@dataclasses.dataclass(frozen=True)
class StaticCost:
    """What the bytes of one file tell of its cost.

    Attributes:
        path: as it was given.
        sha256: of the file.
        size_bytes: of the file.
        classes: one cost for each of `op_costs.CLASSES`.
        arena: memory of the activations.
        uncounted: operations whose multiplications are not in the MACs.
        open_inputs: names of inputs with open lengths, which count as 1.
    """

    path: str
    sha256: str
    size_bytes: int
    classes: dict[str, OpCost]
    arena: Arena
    uncounted: dict[str, int]
    open_inputs: tuple[str, ...]

    @property
    def total(self) -> OpCost:
        """Sum of all classes."""
        return sum(self.classes.values(), OpCost())


def static_cost(path: str) -> StaticCost:
    """Reads one file.

    Args:
        path: of a .tflite of any maker.

    Returns:
        A `StaticCost`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not an intact .tflite file; names it.
    """
    content = read_file(path)
    with intact(path):
        graph = read_graph(content)
        arena = plan_arena(graph)
    return StaticCost(
        path=path,
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        classes=costs_by_class(graph),
        arena=arena,
        uncounted=uncounted(graph),
        open_inputs=_open_inputs(graph),
    )


def _open_inputs(graph: Graph) -> tuple[str, ...]:
    return tuple(t.name for t in graph.inputs if any(side < 0 for side in t.shape))


def to_json(cost: StaticCost, name: str, partitions: Partitions | None) -> dict[str, Any]:
    """What is stored of one file.

    Args:
        cost: of the file.
        name: to store in place of its path.
        partitions: of XNNPACK; None where they were not asked for.

    Returns:
        A dict that JSON can hold.
    """
    total = cost.total
    return {
        "file": name,
        "sha256": cost.sha256,
        "size_bytes": cost.size_bytes,
        "macs": total.macs,
        "weight_bytes": total.weight_bytes,
        "activation_bytes": total.activation_bytes,
        "macs_per_byte": total.macs_per_byte,
        "arena_bytes": cost.arena.planned_bytes,
        "live_bytes": cost.arena.live_bytes,
        "classes": {kind: dataclasses.asdict(part) for kind, part in cost.classes.items()},
        "uncounted": cost.uncounted,
        "open_inputs": list(cost.open_inputs),
        "partitions": None if partitions is None else dataclasses.asdict(partitions),
    }


def format_files(
    costs: Sequence[StaticCost], partitions: Sequence[Partitions | None], names: Sequence[str]
) -> str:
    """A line for each file."""
    rows = [["file", "size MB", "M MACs", "weights MB", "activations MB", "MACs/byte", "arena MB"]]
    rows[0] += ["alive MB", "ops"]
    for name, cost in zip(names, costs):
        total = cost.total
        megabytes = (total.weight_bytes, total.activation_bytes)
        rows.append(
            [
                name,
                f"{cost.size_bytes / 1e6:.2f}",
                f"{total.macs / 1e6:.2f}",
                *(f"{size / 1e6:.2f}" for size in megabytes),
                f"{total.macs_per_byte:.1f}",
                f"{cost.arena.planned_bytes / 1e6:.2f}",
                f"{cost.arena.live_bytes / 1e6:.2f}",
                str(total.ops),
            ]
        )
    if any(found is not None for found in partitions):
        counts = [str(p.count) if p and p.count is not None else "-" for p in partitions]
        rows = [[*row, cell] for row, cell in zip(rows, ["XNNPACK parts", *counts])]
    return aligned(rows, left_columns=1)


def format_classes(name: str, cost: StaticCost) -> str:
    """A line for each class of operations that the file has."""
    rows = [[name, "ops", "M MACs", "MACs %", "weights kB", "activations kB", "MACs/byte"]]
    macs = cost.total.macs
    for kind, part in cost.classes.items():
        if part.ops:
            rows.append(
                [
                    f"  {kind}",
                    str(part.ops),
                    f"{part.macs / 1e6:.2f}",
                    f"{100 * part.macs / macs if macs else 0:.1f}",
                    f"{part.weight_bytes / 1e3:,.0f}",
                    f"{part.activation_bytes / 1e3:,.0f}",
                    f"{part.macs_per_byte:.1f}",
                ]
            )
    return aligned(rows, left_columns=1)


def notes(name: str, cost: StaticCost, partitions: Partitions | None) -> list[str]:
    """What a reader of the figures of one file must know."""
    found = []
    if cost.uncounted:
        ops = ", ".join(f"{op} x{count}" for op, count in cost.uncounted.items())
        found.append(f"{name}: the MACs leave out {ops}")
    if cost.open_inputs:
        found.append(f"{name}: open lengths count as 1, of {', '.join(cost.open_inputs)}")
    if partitions and partitions.problem:
        found.append(f"{name}: partitions not counted: {partitions.problem}")
    return found


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Parses the command line."""
    parser = cli.parser(__doc__, prog="python -m benchmarks.static")
    parser.add_argument("files", nargs="+", metavar="FILE.tflite", help="models of any maker")
    parser.add_argument(
        "--partitions",
        action="store_true",
        help="also load each file, in another process, to count XNNPACK's partitions",
    )
    parser.add_argument("--json", metavar="OUT.json", help="file to store the figures in")
    parser.add_argument("--overwrite", action="store_true", help="replace the --json file")
    return parser.parse_args(argv)


@cli.exits
def main(argv: list[str] | None = None) -> int:
    """Runs the command line; see `--help`."""
    args = parse_args(argv)
    if args.json is not None:
        check_json_path(args.json, args.overwrite)
    costs = [static_cost(path) for path in args.files]
    partitions = [count_partitions(path) if args.partitions else None for path in args.files]
    names = display_names(args.files)
    print(format_files(costs, partitions, names))
    for name, cost in zip(names, costs):
        print(f"\n{format_classes(name, cost)}")
    for name, cost, found in zip(names, costs, partitions):
        for note in notes(name, cost, found):
            print(f"note: {note}", file=sys.stderr)
    if args.json is not None:
        rows = [to_json(cost, name, p) for name, cost, p in zip(names, costs, partitions)]
        write_json(args.json, {"results": rows}, args.overwrite)
    return 0


if __name__ == "__main__":
    sys.exit(main())
