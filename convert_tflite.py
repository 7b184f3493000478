"""Converts a trained model to a .tflite and proves what it is worth."""

import argparse
import os
import sys

from export.recipes import RECIPES
from mobilenet_tf import cli


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Parses the command line; exits with 2 on wrong usage."""
    parser = cli.parser(__doc__, prog="convert_tflite.py")
    parser.add_argument(
        "--quantize",
        choices=tuple(RECIPES),
        required=True,
        help="none: float32; float16: half the size; dynamic: int8 weights; int8: all of it",
    )
    parser.add_argument(
        "--model", metavar="PATH", help="a run or a .keras file (default: the newest run)"
    )
    parser.add_argument(
        "--calibration-samples",
        type=cli.positive_int,
        default=200,
        metavar="N",
        help="training images that set the ranges of int8, class-balanced",
    )
    parser.add_argument("--seed", type=cli.whole_number, default=0, help="of their choice")
    parser.add_argument(
        "--dataset",
        metavar="NAME|DIR",
        help="calibrate and evaluate on (default: what the run was trained on)",
    )
    parser.add_argument("--data-dir", metavar="DIR", help="where TFDS keeps its data sets")
    parser.add_argument("--output", metavar="PATH", help="of the .tflite (default: in the run)")
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")
    args = parser.parse_args(argv)
    if args.output and not args.output.endswith(".tflite"):
        parser.error(f"--output must end in .tflite. Received: {args.output}")
    if args.data_dir and not args.dataset:
        parser.error("--data-dir goes with --dataset; the run knows its own")
    return args


@cli.exits
def main(argv: list[str] | None = None) -> int:
    """Converts, verifies and reports; returns the exit code."""
    args = parse_args(argv)
    from export import report, session  # TensorFlow: slow to import, not for --help.

    job = session.open_session(args.model, args.dataset, args.data_dir)
    output = args.output or job.default_output(args.quantize)
    conversion = session.convert(
        job,
        RECIPES[args.quantize],
        output,
        calibration_samples=args.calibration_samples,
        seed=args.seed,
        overwrite=args.overwrite,
    )
    print(report.format_report(conversion))
    print(f"next: python -m benchmarks.latency {os.path.relpath(output)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
