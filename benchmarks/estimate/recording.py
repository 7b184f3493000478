"""Builds the published networks, counts them on emulated ARM and times them on this machine.

python -m benchmarks.estimate.recording --overwrite    # half an hour
"""

import argparse
import dataclasses
import sys
import tempfile
from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.arm.counts import ArmCounts, count
from benchmarks.arm.networks import build_files
from benchmarks.estimate.devices import CORE
from benchmarks.estimate.records import RECORDS
from benchmarks.estimate.tables import CLASSES, SPECS, Network, Table, load_tables
from benchmarks.latency import LatencySettings, measure
from benchmarks.report import check_json_path, write_json
from benchmarks.sweep import Point
from mobilenet_tf import cli
from mobilenet_tf.machine import describe_machine
from mobilenet_tf.progress import progress

# Enough to see width, size and form; the sizes between are as expensive to count and say less.
_SIZES = {"v1": (224, 128), "v2": (224, 160, 96)}
_HOST = LatencySettings(num_runs=5, rounds=3, warmup_runs=2)
_MODES = {"float32": "none", "int8": "int8"}


def networks_to_record(tables: Iterable[Table]) -> list[Network]:
    """The networks of the tables at the sizes that are recorded, each once."""
    networks = dict.fromkeys(row.network for table in tables for row in table.rows)
    return [n for n in networks if n.image_size in _SIZES.get(n.name, (224,))]


def record(networks: Sequence[Network]) -> dict[str, Any]:
    """Builds, times and counts.

    Args:
        networks: to build with random weights.

    Returns:
        What `records.load_records` reads, the core and the machine.

    Raises:
        ArmUnavailable: no emulator or no set-up.
    """
    machine = describe_machine()
    with tempfile.TemporaryDirectory() as folder:
        paths = build_files([_point(network) for network in networks], folder)
        timed = [result.cpu_ms for result in measure(paths, _HOST)]
        counted = [count(path, CORE) for path in progress(paths, len(paths), "counting networks")]
    return to_json(networks, timed, counted, machine)


def to_json(
    networks: Sequence[Network],
    host_ms: Sequence[float],
    counts: Sequence[ArmCounts],
    machine: dict[str, Any],
) -> dict[str, Any]:
    """The form in which records are stored: a row per network."""
    rows = [
        {
            **dataclasses.asdict(network),
            "host_ms": round(ms, 4),
            "counts": {"instructions": found.instructions, **found.classes},
        }
        for network, ms, found in zip(networks, host_ms, counts, strict=True)
    ]
    return {"core": CORE, "machine": machine, "rows": rows}


def _point(network: Network) -> Point:
    spec, mode = SPECS[network.name], _MODES[network.form]
    return Point(spec, network.alpha, network.image_size, mode, CLASSES, last_map=None)


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Parses the command line; exits with 2 on wrong usage."""
    parser = cli.parser(__doc__, prog="python -m benchmarks.estimate.recording")
    parser.add_argument("--output", default=str(RECORDS), metavar="OUT.json", help="to write")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    return parser.parse_args(argv)


@cli.exits
def main(argv: list[str] | None = None) -> int:
    """Records all networks; returns the exit code."""
    args = parse_args(argv)
    check_json_path(args.output, args.overwrite)
    write_json(args.output, record(networks_to_record(load_tables())), args.overwrite)
    print(f"records: {args.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
