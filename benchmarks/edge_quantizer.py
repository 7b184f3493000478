"""Compares this project's int8 with ai-edge-quantizer's, from the same float file and images.

    pip install -e .[edge-quantizer]
    python -m benchmarks.edge_quantizer runs/A runs/B --output OUT.json

Its static int8 recipe is given the float graph in the form that stays in one
XNNPACK partition (`export/form.py`), with float input, which is the best that
it can be given, and the calibration images that convert_tflite.py would draw.
"""

import argparse
import contextlib
import os
import sys
import tempfile
from typing import Any

import numpy as np

from benchmarks.int8 import FIGURES, format_rows
from benchmarks.report import add_output_options
from export import convert, report
from export.inspection.partitions import count_partitions
from export.judge import Judge
from export.recipes import RECIPES
from export.session import open_session
from export.writer import INPUT_NAME, SIGNATURE
from mobilenet_tf import cli, files, runs
from mobilenet_tf.classifier import KerasClassifier
from mobilenet_tf.data import datasets
from mobilenet_tf.machine import describe_machine
from mobilenet_tf.progress import say


def edge_quantized(float_path: str, images: np.ndarray) -> bytes:
    """What ai-edge-quantizer's static int8 recipe makes of a float file.

    Args:
        float_path: of a float .tflite.
        images: uint8 (images, height, width, 3) to calibrate with.

    Raises:
        UsageError: ai-edge-quantizer is not installed.
    """
    try:
        from ai_edge_quantizer import quantizer, recipe
    except ImportError as error:
        raise cli.UsageError(
            "the comparison needs ai-edge-quantizer; pip install -e '.[edge-quantizer]'. "
            f"Received: {error}"
        ) from error
    batches = [{INPUT_NAME: image[np.newaxis].astype(np.float32)} for image in images]
    with contextlib.redirect_stdout(sys.stderr):  # stdout is for results.
        made = quantizer.Quantizer(float_path, recipe.static_wi8_ai8())
        result = made.quantize(made.calibrate({SIGNATURE: batches}))
    return bytes(result.quantized_model)


def compare(run: str, samples: int, seed: int) -> dict[str, Any]:
    """Quantizes a run's network both ways and evaluates all of the split.

    Returns:
        {"network", "dataset", "ours", "edge_quantizer"}; of both "evaluation",
        see `report.evaluate`, "partitions" and "size_bytes".
    """
    session = open_session(run, None, None)
    assert session.data is not None
    model, source = KerasClassifier(session.model_path), datasets.open_source(session.data)
    judge, calibration = Judge(model, source), source.draw_train(model.image_size, samples, seed)
    row: dict[str, Any] = {
        "network": session.name,
        "dataset": os.path.basename(os.path.normpath(session.data.dataset)),
    }
    with tempfile.TemporaryDirectory() as folder:

        def write(content: bytes, name: str) -> str:
            path = os.path.join(folder, f"{name}.tflite")
            with open(path, "wb") as file:
                file.write(content)
            return path

        prepared = convert.prepare(model.model, RECIPES["int8"], calibration, "split", seed)
        plain = convert.prepare(model.model, RECIPES["none"], None, "split", seed)
        say(f"{session.name}: ai-edge-quantizer")
        theirs = edge_quantized(write(plain.convert().content, "float"), calibration)
        made = {"ours": prepared.convert().content, "edge_quantizer": theirs}
        for name, content in made.items():
            path = write(content, name)
            evaluation = report.evaluate(judge.scores(path))
            row[name] = {
                "evaluation": {key: evaluation[key] for key in FIGURES},
                "partitions": count_partitions(path).count,
                "size_bytes": len(content),
            }
    return row


@cli.exits
def main(argv: list[str] | None = None) -> int:
    """Measures; returns the exit code."""
    parser = cli.parser(__doc__, prog="python -m benchmarks.edge_quantizer")
    parser.add_argument("runs", nargs="+", metavar="RUN", help="finished float runs")
    parser.add_argument("--calibration-samples", type=cli.positive_int, default=200, metavar="N")
    parser.add_argument("--seed", type=cli.whole_number, default=0, help="of their choice")
    add_output_options(parser)
    args: argparse.Namespace = parser.parse_args(argv)
    if args.output:
        files.refuse_existing(args.output, args.overwrite)
    rows = [compare(run, args.calibration_samples, args.seed) for run in args.runs]
    print(format_rows(rows, "edge_quantizer", "ai-edge-quantizer's"))
    if args.output:
        content = {"machine": describe_machine(), "versions": runs.package_versions()}
        files.write_json(args.output, {**content, "seed": args.seed, "rows": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
