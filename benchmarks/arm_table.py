"""Counts V1, V2 and every V3 at full size, in float32 and int8, beside TensorFlow's own files.

    python -m benchmarks.arm_table OTHER.tflite... --json benchmarks/results/arm_table.json

Weights are random: counts do not depend on them. It takes a quarter of an hour.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

from benchmarks import latency
from benchmarks.arm import cache, cores, networks
from benchmarks.arm.counts import CLASSES, count_files
from benchmarks.arm.table import to_json
from benchmarks.report import add_json_options, check_json_path, write_json
from benchmarks.static import static_cost
from mobilenet_tf import cli
from mobilenet_tf.machine import describe_machine

_HOST = latency.LatencySettings(num_runs=5, rounds=5, warmup_runs=2)


def measure(others: Sequence[str], folder: str) -> dict[str, Any]:
    """Builds and counts.

    Args:
        others: further files to count.
        folder: for the files that are built.

    Returns:
        See `table.to_json`; a result also has "macs", and "host_ms": the median
        of this machine, all files in turn.

    Raises:
        ArmUnavailable: no emulator or no set-up.
    """
    setup = cache.find()
    paths = networks.build_files(networks.TABLE, folder)
    chosen = [cores.get_core(name) for name in cores.DEFAULT_CORES]
    rows, failures = count_files([*paths, *others], chosen, setup)
    stored = to_json(rows, failures, setup.versions, describe_machine())
    timed = latency.measure([*paths, *others], _HOST)
    host_ms = {os.path.basename(row.path): row.stats.median_ms for row in timed}
    macs = {os.path.basename(path): static_cost(path).total.macs for path in [*paths, *others]}
    for result in stored["results"]:
        result["macs"] = macs[result["file"]]
        result["host_ms"] = round(host_ms[result["file"]], 3)
    return stored


def markdown(stored: dict[str, Any]) -> str:
    """The counts as a table of Markdown, one row per file.

    Args:
        stored: what `measure` returned.

    Returns:
        Lines of text. Millions of instructions, of MACs and of bytes; a class
        is that on the first core / that on the second.
    """
    pairs: dict[str, list[dict[str, Any]]] = {}
    for result in stored["results"]:
        pairs.setdefault(result["file"], []).append(result)
    names = [result["core"] for result in next(iter(pairs.values()))]
    header = ["file", "MACs", *names, *CLASSES, "read", "written"]
    header += ["file MB", "partitions", "host ms"]
    lines = [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
    for file, results in pairs.items():
        cells = [
            file.removesuffix(".tflite"),
            f"{results[0]['macs'] / 1e6:.1f}",
            *(f"{result['instructions'] / 1e6:.2f}" for result in results),
            *(_both(result["classes"][kind] for result in results) for kind in CLASSES),
            *(_both(r[f"{way}_bytes"] for r in results) for way in ("load", "store")),
            f"{results[0]['size_bytes'] / 1e6:.2f}",
            str(results[0]["partitions"]),
            f"{results[0]['host_ms']:.2f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _both(values) -> str:
    return " / ".join(f"{value / 1e6:.1f}" for value in values)


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Parses the command line; exits with 2 on wrong usage."""
    parser = cli.parser(__doc__, prog="python -m benchmarks.arm_table")
    parser.add_argument("files", nargs="*", metavar="OTHER.tflite", help="to count as well")
    parser.add_argument("--folder", metavar="DIR", help="to keep the built files in, and to reuse")
    add_json_options(parser)
    return parser.parse_args(argv)


@cli.exits
def main(argv: list[str] | None = None) -> int:
    """Counts and prints; returns the exit code."""
    args = parse_args(argv)
    if args.json is not None:
        check_json_path(args.json, args.overwrite)
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or temporary
        os.makedirs(folder, exist_ok=True)
        stored = measure(args.files, folder)
    print(markdown(stored))
    if args.json is not None:
        write_json(args.json, stored, args.overwrite)
    return cli.WORK_ERROR if stored["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
