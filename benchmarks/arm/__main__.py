"""Counts the ARM instructions of one inference of .tflite files, under emulation.

    python -m benchmarks.arm FILE... --core cortex-a76
    python -m benchmarks.arm --setup

A count is no time. It repeats to 0.1 % on any machine, so it can be compared and
gated on; see docs/arm.md for what it is worth.
"""

import argparse
import sys
from collections.abc import Sequence

from benchmarks.arm import cache, cores, install
from benchmarks.arm.counts import Counted, count_files
from benchmarks.arm.table import format_table, to_json
from benchmarks.report import add_json_options, check_json_path, format_machine, write_json
from mobilenet_tf import cli
from mobilenet_tf.machine import describe_machine


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Parses the command line; exits with 2 on wrong usage."""
    parser = cli.parser(__doc__, prog="python -m benchmarks.arm")
    parser.add_argument("files", nargs="*", metavar="FILE.tflite", help="to count")
    parser.add_argument(
        "--core",
        action="append",
        choices=tuple(cores.CORES),
        metavar="NAME",
        help=f"of {', '.join(cores.CORES)}; may be given again (default: "
        f"{' and '.join(cores.DEFAULT_CORES)})",
    )
    parser.add_argument(
        "--setup", action="store_true", help="fetch emulator and arm64 Python first, if need be"
    )
    add_json_options(parser)
    args = parser.parse_args(argv)
    if not args.files and (not args.setup or args.json):
        parser.error("a FILE.tflite is required, or --setup alone. Received: no file")
    if len(set(args.files)) < len(args.files):
        parser.error("each file must be given once. Received: a file twice")
    return args


@cli.exits
def main(argv: list[str] | None = None) -> int:
    """Runs the command line; see `--help`."""
    args = parse_args(argv)
    if args.json is not None:
        check_json_path(args.json, args.overwrite)
    setup = install.install() if args.setup else cache.find()
    if not args.files:
        print(f"the ARM set-up is complete: {setup.folder}")
        return 0
    machine = describe_machine()
    names = dict.fromkeys(args.core or cores.DEFAULT_CORES)
    rows, failures = count_files(args.files, [cores.get_core(name) for name in names], setup)
    if rows:
        _print(rows, setup, format_machine(machine))
        if args.json is not None:
            stored = to_json(rows, failures, setup.versions, machine)
            write_json(args.json, stored, args.overwrite)
    return cli.WORK_ERROR if failures else 0


def _print(rows: Sequence[Counted], setup: cache.Setup, machine: str) -> None:
    print(format_table(rows))
    print()
    print(
        "Millions of executed ARM instructions of one inference (the third), one thread. A count, "
        "not a time."
    )
    print(", ".join(f"{name} {version}" for name, version in setup.versions.items()))
    print(machine)


if __name__ == "__main__":
    sys.exit(main())
