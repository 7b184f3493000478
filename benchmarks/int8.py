"""Compares the int8 files of runs with TensorFlow's own: one table from the reports of conversions.

python -m benchmarks.int8 runs/A runs/B --output benchmarks/results/int8.json
"""

import argparse
import glob
import json
import os
import sys
from typing import Any

from benchmarks.report import add_output_options
from mobilenet_tf import cli, files, runs
from mobilenet_tf.machine import describe_machine

_SUFFIXES = {"ours": "_int8.json", "tensorflow": "_int8_float_fallback.json"}
_KEPT = (
    "quantize",
    "date",
    "seconds",
    "peak_memory_bytes",
    "versions",
    "calibration",
    "evaluation",
)
FIGURES = ("images", "keras_top1", "tflite_top1", "agreement", "max_difference")


def read_run(run: str) -> dict[str, Any]:
    """What the reports of a run's two int8 files say.

    Args:
        run: its folder, after convert_tflite.py with --quantize int8 and with
            int8-float-fallback.

    Returns:
        {"network", "dataset", "epochs", "seed", "ours", "tensorflow"}; of both
        files what the report says, but for paths and single images.

    Raises:
        ValueError: a folder that is no run, or a report that is missing.
    """
    config, _ = runs.read_config(run)
    row: dict[str, Any] = {
        "network": config.network.file_name,
        "dataset": os.path.basename(os.path.normpath(config.data.dataset)),
        "epochs": config.recipe.epochs,
        "weights": None if config.weights is None else os.path.basename(config.weights),
        "seed": config.seed,
    }
    for maker, suffix in _SUFFIXES.items():
        found = glob.glob(os.path.join(glob.escape(run), f"*{suffix}"))
        if len(found) != 1:
            quantize = suffix[1:-5].replace("_", "-")
            raise ValueError(
                f"a run needs one report of each int8 file; run convert_tflite.py --quantize "
                f"{quantize} --model {run}. Received: {len(found)} named *{suffix}"
            )
        with open(found[0], encoding="utf-8") as file:
            report = json.load(file)
        row[maker] = {key: report[key] for key in _KEPT if key in report}
        evaluation = report["evaluation"]
        row[maker]["evaluation"] = {key: evaluation[key] for key in FIGURES}
        row[maker]["partitions"] = report["facts"]["partitions"]["count"]
        row[maker]["size_bytes"] = report["facts"]["size_bytes"]
    return row


def format_rows(rows: list[dict[str, Any]], other: str, title: str) -> str:
    """The rows as a table of Markdown.

    Args:
        rows: with "network", "dataset", "ours" and `other`, of which both have
            an "evaluation" and "partitions".
        other: the key of whom ours are compared with.
        title: what the table calls them.
    """
    lines = [
        f"| network, data | images | float | int8 | agreement | {title} | agreement | partitions |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        ours, theirs = row["ours"], row[other]
        own, their = ours["evaluation"], theirs["evaluation"]
        lines.append(
            f"| {row['network']}, {row['dataset']} | {own['images']:,d} "
            f"| {100 * own['keras_top1']:.2f} % | {100 * own['tflite_top1']:.2f} % "
            f"| {100 * own['agreement']:.2f} % | {100 * their['tflite_top1']:.2f} % "
            f"| {100 * their['agreement']:.2f} % | {ours['partitions']} / {theirs['partitions']} |"
        )
    return "\n".join(lines)


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Parses the command line; exits with 2 on wrong usage."""
    parser = cli.parser(__doc__.split("\n")[0], prog="python -m benchmarks.int8")
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folders with both int8 files")
    add_output_options(parser)
    return parser.parse_args(argv)


@cli.exits
def main(argv: list[str] | None = None) -> int:
    """Collects and prints; returns the exit code."""
    args = parse_args(argv)
    if args.output:
        files.refuse_existing(args.output, args.overwrite)
    rows = [read_run(run) for run in args.runs]
    print(format_rows(rows, "tensorflow", "TensorFlow's"))
    if args.output:
        files.write_json(args.output, {"machine": describe_machine(), "rows": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
