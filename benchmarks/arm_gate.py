"""Counts the small networks that the test of tests/test_arm_gate.py counts again.

    python -m benchmarks.arm_gate --overwrite

To be run, and its result committed, when a change of the counts is meant.
"""

import argparse
import os
import sys
import tempfile
from typing import Any

from benchmarks.arm import cache, cores, networks
from benchmarks.arm.counts import count_files
from benchmarks.arm.table import format_table, to_json
from benchmarks.report import check_json_path, write_json
from mobilenet_tf import cli
from mobilenet_tf.machine import describe_machine

RESULTS = os.path.join(os.path.dirname(__file__), "results", "arm_counts.json")


def measure(folder: str) -> dict[str, Any]:
    """Builds and counts the networks of the gate.

    Args:
        folder: for the files.

    Returns:
        See `table.to_json`.

    Raises:
        ArmUnavailable: no emulator or no set-up.
        WorkError: a file does not run.
    """
    setup = cache.find()
    paths = networks.build_files(networks.GATE, folder)
    chosen = [cores.get_core(name) for name in cores.DEFAULT_CORES]
    rows, failures = count_files(paths, chosen, setup)
    if failures:
        raise cli.WorkError(failures[0])
    print(format_table(rows))
    return to_json(rows, failures, setup.versions, describe_machine())


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Parses the command line; exits with 2 on wrong usage."""
    parser = cli.parser(__doc__, prog="python -m benchmarks.arm_gate")
    parser.add_argument("--json", metavar="OUT.json", default=RESULTS, help="to write")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    return parser.parse_args(argv)


@cli.exits
def main(argv: list[str] | None = None) -> int:
    """Counts and writes; returns the exit code."""
    args = parse_args(argv)
    check_json_path(args.json, args.overwrite)
    with tempfile.TemporaryDirectory() as folder:
        write_json(args.json, measure(folder), args.overwrite)
    return 0


if __name__ == "__main__":
    sys.exit(main())
