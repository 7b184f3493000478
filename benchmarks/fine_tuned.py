"""What fine-tuning float runs gives: quantization-aware, pruned and clustered ones beside them.

    python -m benchmarks.fine_tuned runs/A runs/B --runs DIR --output OUT.json

Each way is train.py with that option and convert_tflite.py, for float32 and
int8, as a user would type them. A run or file that lies in --runs already is
not made again, so a measurement that was stopped goes on.
"""

import argparse
import gzip
import json
import os
import subprocess
import sys
from typing import Any

from mobilenet_tf import cli, files, runs
from mobilenet_tf.machine import describe_machine
from mobilenet_tf.processes import ROOT
from mobilenet_tf.progress import say

WAYS = {
    "quantization-aware": ["--quantization-aware"],
    "prune 0.5": ["--prune", "0.5"],
    "cluster 16": ["--cluster", "16"],
}
_FILES = {"float32": "none", "int8": "int8"}  # What --quantize calls them.


def compare(run: str, ways: list[str], options: list[str], folder: str) -> dict[str, Any]:
    """Fine-tunes a float run in several ways and converts all of them.

    Args:
        run: folder of a finished float run; its files go to `folder`, too.
        ways: of `WAYS`.
        options: of train.py, for all ways.
        folder: for the runs and files made, in one of its own for each network and data set.

    Returns:
        {"run", "network", "dataset", "float_run", and each way: see `measure`}.

    Raises:
        ValueError: no such run.
        WorkError: a command failed.
    """
    config, _ = runs.read_config(run)
    name = os.path.basename(os.path.normpath(run))
    row: dict[str, Any] = {
        "run": name,
        "network": config.network.file_name,
        "dataset": os.path.basename(os.path.normpath(config.data.dataset)),
        "float_run": measure(run, os.path.join(folder, name, "float_run")),
    }
    for way in ways:
        made = os.path.join(folder, name, way.replace(" ", "_"))
        if not os.path.exists(os.path.join(made, runs.MODEL)):
            say(f"{name}, {way}")
            arguments = [*WAYS[way], "--weights", run, *options, "--output-dir", made]
            _run_script("train.py", arguments)
        row[way] = measure(made, made)
    return row


def measure(run: str, folder: str) -> dict[str, Any]:
    """Converts a run and says what came of it.

    Args:
        run: its folder.
        folder: for the files.

    Returns:
        {"images", "partitions" of the int8 file, "model_top1" of model.keras in
        float, "top1", "size_bytes" and "gzip_bytes" (gzip -9) of the files, by
        kind: "float32", "int8"; of a quantization-aware run also "check", see
        `qat.train`}; accuracies are 0..1 on the whole evaluation split.
    """
    os.makedirs(folder, exist_ok=True)
    row: dict[str, Any] = {"top1": {}, "size_bytes": {}, "gzip_bytes": {}}
    for kind, quantize in _FILES.items():
        path = os.path.join(folder, f"{kind}.tflite")
        # A trained int8 network has no float file that anyone would ship.
        if kind == "float32" and os.path.exists(os.path.join(run, runs.INT8_CHECK)):
            continue
        if not os.path.exists(path):
            _run_script(
                "convert_tflite.py", ["--model", run, "--quantize", quantize, "--output", path]
            )
        report, content = _report_of(path), _content(path)
        row["images"] = report["evaluation"]["images"]
        row["model_top1"] = report["evaluation"]["keras_top1"]
        row["top1"][kind] = report["evaluation"]["tflite_top1"]
        row["size_bytes"][kind] = len(content)
        row["gzip_bytes"][kind] = len(gzip.compress(content, 9, mtime=0))
        if kind == "int8":
            row["partitions"] = report["facts"]["partitions"]["count"]
    check = os.path.join(run, runs.INT8_CHECK)
    if os.path.exists(check):
        with open(check, encoding="utf-8") as file:
            row["check"] = json.load(file)
    return row


def _content(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _report_of(path: str) -> dict[str, Any]:
    with open(f"{os.path.splitext(path)[0]}.json", encoding="utf-8") as file:
        return json.load(file)


def _run_script(script: str, arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, os.path.join(ROOT, script), *arguments], stdout=sys.stderr, check=False
    )
    if done.returncode:
        raise cli.WorkError(
            f"{script} must end well; its message stands above. Received: exit code "
            f"{done.returncode} of {script} {' '.join(arguments)}"
        )


def format_accuracies(rows: list[dict[str, Any]]) -> str:
    """Top-1 of every way, as Markdown."""
    lines = [
        "| network, data | images | float | int8 | quantization-aware int8 | model and file agree "
        "| partitions | pruned, float | int8 | clustered, float | int8 |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        base, aware = row["float_run"], row.get("quantization-aware")
        check = (aware or {}).get("check", {})
        cells = [
            f"{row['network']}, {row['dataset']}",
            f"{base['images']:,d}",
            _percent(base["model_top1"]),
            _percent(base["top1"]["int8"]),
            _percent(aware and aware["top1"]["int8"]),
            _percent(check.get("agreement")),
            str(aware["partitions"]) if aware else "",
        ]
        for way in ("prune 0.5", "cluster 16"):
            made = row.get(way)
            cells += [_percent(made and made["top1"][kind]) for kind in _FILES]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def format_sizes(rows: list[dict[str, Any]]) -> str:
    """Bytes of files and of what gzip makes of them, as Markdown."""
    lines = [
        "| network, data | way | float32 file | gzip -9 | int8 file | gzip -9 |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        for way in ("float_run", "prune 0.5", "cluster 16"):
            if way in row:
                made, name = row[way], way.replace("_", " ")
                sizes = [made[key][kind] for kind in _FILES for key in ("size_bytes", "gzip_bytes")]
                cells = " | ".join(f"{size:,d}" for size in sizes)
                lines.append(f"| {row['network']}, {row['dataset']} | {name} | {cells} |")
    return "\n".join(lines)


def _percent(part: float | None) -> str:
    return "" if part is None else f"{100 * part:.2f} %"


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Parses the command line; exits with 2 on wrong usage."""
    parser = cli.parser(__doc__, prog="python -m benchmarks.fine_tuned")
    parser.add_argument("float_runs", nargs="+", metavar="RUN", help="finished float runs")
    parser.add_argument("--runs", required=True, metavar="DIR", help="for what is made of them")
    parser.add_argument("--output", required=True, metavar="OUT.json", help="for the figures")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing --output")
    parser.add_argument("--ways", nargs="+", choices=tuple(WAYS), default=list(WAYS))
    parser.add_argument("--epochs", type=cli.positive_int, default=2, metavar="N")
    parser.add_argument("--learning-rate", type=cli.positive_float, default=1e-4, metavar="RATE")
    return parser.parse_args(argv)


@cli.exits
def main(argv: list[str] | None = None) -> int:
    """Measures; returns the exit code."""
    args = parse_args(argv)
    files.refuse_existing(args.output, args.overwrite)
    options = ["--epochs", str(args.epochs), "--learning-rate", str(args.learning_rate)]
    rows: list[dict[str, Any]] = []
    for run in args.float_runs:
        rows.append(compare(run, args.ways, options, args.runs))
        content = {
            "machine": describe_machine(),
            "versions": runs.package_versions(),
            "epochs": args.epochs,
            "learning_rate": args.learning_rate,
            "rows": rows,
        }
        files.write_json(args.output, content)
    print(format_accuracies(rows), format_sizes(rows), sep="\n\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
