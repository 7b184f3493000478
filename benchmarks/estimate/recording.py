"""Builds the published networks, counts them on emulated ARM and times them on this machine.

python -m benchmarks.estimate.recording --overwrite    # a quarter of an hour
"""

import argparse
import sys
import tempfile
from collections.abc import Iterable, Mapping
from typing import Any

from benchmarks.arm.counts import count
from benchmarks.estimate.devices import DEVICES
from benchmarks.estimate.records import RECORDS
from benchmarks.estimate.tables import CLASSES, SPECS, Network, Table, load_tables
from benchmarks.latency import LatencySettings, measure
from benchmarks.report import check_json_path, write_json
from benchmarks.sweep import Point, build_file
from mobilenet_tf import cli
from mobilenet_tf.machine import describe_machine
from mobilenet_tf.progress import progress

# Enough to see width, size and form, few enough to count in a quarter of an hour.
_SIZES = {"v1": (224, 128), "v2": (224, 160, 96)}
_HOST = LatencySettings(num_runs=20, rounds=5, warmup_runs=3)
_MODES = {"float32": "none", "int8": "int8"}


def networks_to_record(tables: Iterable[Table]) -> dict[Network, list[str]]:
    """The networks that are recorded, and the cores of the phones that they were timed on."""
    cores: dict[Network, list[str]] = {}
    for table in tables:
        core = DEVICES[table.device].core
        for network in (row.network for row in table.rows):
            if network.image_size in _SIZES.get(network.name, (224,)):
                known = cores.setdefault(network, [])
                known += [core] if core not in known else []
    return cores


def record(networks: Mapping[Network, list[str]]) -> dict[str, Any]:
    """Builds, times and counts.

    Args:
        networks: to build with random weights, and the cores to count each on.

    Returns:
        What `records.load_records` reads, and the machine.

    Raises:
        ArmUnavailable: no emulator or no set-up.
    """
    machine = describe_machine()
    with tempfile.TemporaryDirectory() as folder:
        numbered = enumerate(progress(networks, len(networks), "building networks"))
        paths = [_build(network, folder, number) for number, network in numbered]
        timed = measure(paths, _HOST)
        jobs = progress(zip(paths, networks.values()), len(paths), "counting networks")
        counted = [{core: _counts(path, core) for core in cores} for path, cores in jobs]
    rows = [
        {
            "network": network.name,
            "alpha": network.alpha,
            "image_size": network.image_size,
            "form": network.form,
            "host_ms": round(result.stats.min_ms, 4),
            "counts": counts,
        }
        for network, result, counts in zip(networks, timed, counted)
    ]
    return {"machine": machine, "rows": rows}


def _build(network: Network, folder: str, number: int) -> str:
    spec, mode = SPECS[network.name], _MODES[network.form]
    point = Point(spec, network.alpha, network.image_size, mode, CLASSES, last_map=None)
    return build_file(point, folder, number)


def _counts(path: str, core: str) -> dict[str, int]:
    counts = count(path, core)
    return {"instructions": counts.instructions, **counts.classes}


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
