"""Compares .tflite files in one table and on one page with plots.

    python -m benchmarks.compare A.tflite B.tflite --accuracy --arm

The page needs nothing beside it: no network and no scripts. Accuracy is measured on the data set
of the first file's run, unless --dataset names another one.
"""

import argparse
import dataclasses
import os
import sys
from typing import Any

from benchmarks import static
from benchmarks.arm.cores import CORES
from benchmarks.comparison import AccuracyPlan, Comparison, Entry, compare
from benchmarks.report import aligned, check_distinct, check_json_path, format_machine, write_json
from benchmarks.stats import LatencySettings
from mobilenet_tf import cli, files


def format_table(comparison: Comparison) -> str:
    """A line for each file; what was not measured is left out."""
    entries = comparison.entries
    rows = [["", "file", "size MB", "M MACs", "arena MB", "host ms", "XNNPACK parts"]]
    for entry in entries:
        rows.append(
            [
                entry.letter,
                entry.name,
                f"{entry.static.size_bytes / 1e6:.2f}",
                f"{entry.static.total.macs / 1e6:.2f}",
                f"{entry.static.arena.planned_bytes / 1e6:.2f}",
                f"{entry.latency.stats.median_ms:.3f}",
                str(entry.latency.xnnpack_partitions),
            ]
        )
    if any(entry.arm for entry in entries):
        cells = [f"{e.arm.instructions / 1e6:.2f}" if e.arm else "-" for e in entries]
        rows = [[*row, cell] for row, cell in zip(rows, ["ARM M instr.", *cells])]
    if comparison.dataset is not None:
        cells = [f"{100 * e.accuracy.top1:.2f}" if e.accuracy else "-" for e in entries]
        rows = [[*row, cell] for row, cell in zip(rows, ["top-1 %", *cells])]
    return aligned(rows, left_columns=2)


def to_json(comparison: Comparison) -> dict[str, Any]:
    """All figures as a dict that JSON can hold."""
    return {
        "machine": comparison.machine,
        "settings": dataclasses.asdict(comparison.settings),
        "noisy": bool(comparison.noise_reasons),
        "noise_reasons": list(comparison.noise_reasons),
        "dataset": comparison.dataset and os.path.basename(os.path.normpath(comparison.dataset)),
        "arm_core": comparison.arm_core,
        "arm_problem": comparison.arm_problem,
        "results": [_row(entry) for entry in comparison.entries],
    }


def _row(entry: Entry) -> dict[str, Any]:
    latency = dataclasses.asdict(entry.latency)
    del latency["path"]
    arm = None
    if entry.arm is not None:
        arm = dataclasses.asdict(entry.arm)
        del arm["hot_blocks"]  # Machine code: megabytes that nobody compares.
    return {
        "file": entry.name,
        "static": static.to_json(entry.static, entry.name, None),
        "latency": latency,
        "profile": dataclasses.asdict(entry.profile),
        "accuracy": entry.accuracy and dataclasses.asdict(entry.accuracy),
        "arm": arm,
    }


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Parses the command line; exits with 2 on wrong usage."""
    parser = cli.parser(__doc__, prog="python -m benchmarks.compare")
    parser.add_argument("files", nargs="+", metavar="FILE.tflite", help="of any maker")
    parser.add_argument("--accuracy", action="store_true", help="measure top-1 as well")
    parser.add_argument(
        "--dataset", metavar="NAME|DIR", help="for --accuracy (default: that of the first's run)"
    )
    parser.add_argument("--data-dir", metavar="DIR", help="where TFDS keeps its data sets")
    parser.add_argument(
        "--images", type=cli.positive_int, metavar="N", help="for --accuracy (default: all)"
    )
    parser.add_argument("--arm", action="store_true", help="count ARM instructions (docs/arm.md)")
    parser.add_argument(
        "--core", choices=tuple(CORES), default="cortex-a76", help="that --arm counts for"
    )
    parser.add_argument(
        "--num-runs", type=cli.positive_int, default=30, metavar="N", help="per round"
    )
    parser.add_argument("--rounds", type=cli.positive_int, default=5, metavar="N")
    parser.add_argument("--output", default="comparison.html", metavar="FILE.html")
    parser.add_argument("--json", metavar="OUT.json", help="file to store all figures in")
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")
    return parser.parse_args(argv)


def _check(args: argparse.Namespace) -> None:
    """Raises before any work what would fail after it."""
    if not args.accuracy and (args.dataset or args.data_dir or args.images):
        raise cli.UsageError("--dataset, --data-dir and --images need --accuracy; add it")
    if not args.output.endswith(".html"):  # Also keeps a slip of the pen from replacing a model.
        raise cli.UsageError(f"--output must name an .html file. Received: {args.output}")
    files.refuse_existing(args.output, args.overwrite)
    if not os.path.isdir(os.path.dirname(os.path.abspath(args.output))):
        raise ValueError(f"the folder of --output must exist. Received: {args.output}")
    if args.json is not None:
        check_json_path(args.json, args.overwrite)
    check_distinct(args.files)


def _plan(args: argparse.Namespace) -> AccuracyPlan | None:
    if not args.accuracy:
        return None
    from benchmarks.accuracy import data_config  # Loads TensorFlow; see comparison.py.

    return AccuracyPlan(data_config(args.files[0], args.dataset, args.data_dir), args.images)


@cli.exits
def main(argv: list[str] | None = None) -> int:
    """Runs the command line; see `--help`."""
    args = parse_args(argv)
    _check(args)
    from benchmarks.compare_page import write_page  # Loads TensorFlow; see comparison.py.

    settings = LatencySettings(num_runs=args.num_runs, rounds=args.rounds)
    comparison = compare(args.files, settings, _plan(args), args.core if args.arm else None)
    print(format_table(comparison))
    print(format_machine(comparison.machine))
    if comparison.machine["architecture"] != "aarch64":
        architecture = comparison.machine["architecture"]
        print(f"host ms are those of this {architecture} host, not those of a phone.")
    if comparison.arm_problem:
        print(f"warning: ARM instructions are missing: {comparison.arm_problem}", file=sys.stderr)
    for reason in comparison.noise_reasons:
        print(f"warning: {reason}", file=sys.stderr)
    write_page(args.output, comparison)
    print(f"page: {args.output}")
    if args.json is not None:
        write_json(args.json, to_json(comparison), args.overwrite)
    return 0


if __name__ == "__main__":
    sys.exit(main())
