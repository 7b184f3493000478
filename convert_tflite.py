"""Converts a trained model to a .tflite and proves what it is worth."""

import argparse
import os
import shlex
import sys

from export.recipes import HARD_SWISH_FORMS, RECIPES
from mobilenet_tf import cli


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Parses the command line; exits with 2 on wrong usage."""
    parser = cli.parser(__doc__, prog="convert_tflite.py")
    parser.add_argument(
        "--quantize",
        choices=tuple(RECIPES),
        required=True,
        help="none: float32; float16: half the size; dynamic: int8 weights; int8: all of it; "
        "int16x8: activations of 16 bits; int8-float-fallback: any Keras layers, by TensorFlow's "
        "converter",
    )
    parser.add_argument(
        "--model", metavar="PATH", help="a run or a .keras file (default: the newest run)"
    )
    _add_data_options(parser.add_argument_group("data"))
    _add_conversion_options(parser.add_argument_group("conversion"))
    _add_budget_options(parser.add_argument_group("budget"))
    _add_output_options(parser.add_argument_group("output"))
    args = parser.parse_args(argv)
    _check(parser, args)
    return args


def _add_data_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--dataset",
        metavar="NAME|DIR",
        help="calibrate and evaluate on (default: what the run was trained on)",
    )
    group.add_argument("--data-dir", metavar="DIR", help="where TFDS keeps its data sets")
    group.add_argument(
        "--calibration-samples",
        type=cli.positive_int,
        metavar="N",
        help="training images that set the ranges of int8, class-balanced (default: 200)",
    )
    group.add_argument("--seed", type=cli.whole_number, default=0, help="of their choice")


def _add_conversion_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--hard-swish",
        choices=HARD_SWISH_FORMS,
        default="auto",
        help="V3's activation: one operation, or x * relu6(x + 3) in operations that every int8 "
        "delegate takes (auto: split in int8, fused in float)",
    )
    group.add_argument(
        "--keep-float",
        metavar="auto|LAYER,...",
        help="layers that compute in float; auto: the fewest that keep --max-drop",
    )


def _add_budget_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--max-drop",
        type=cli.non_negative_float,
        metavar="POINTS",
        help="fail where top-1 on the evaluation set falls by more",
    )
    group.add_argument(
        "--min-agreement",
        type=cli.share,
        metavar="PART",
        help="fail where fewer images get the Keras model's answer, from 0 to 1, such as 0.95",
    )


def _add_output_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--output", metavar="PATH", help="of the .tflite (default: in the run)")
    group.add_argument(
        "--bundle",
        metavar="DIR",
        help="also write the file with its labels, a model card, 8 evaluation images and the "
        "answers it must give to them; see docs/bundle.md",
    )
    group.add_argument("--overwrite", action="store_true", help="replace existing files")


def _check(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Ends with wrong usage where options do not belong together."""
    if args.output is not None and not args.output.endswith(".tflite"):
        parser.error(f"--output must end in .tflite. Received: {args.output or repr('')}")
    if args.quantize == "int16x8" and args.hard_swish == "fused":
        parser.error("TFLite has no HARD_SWISH of 16 bits. Received: --hard-swish fused")
    recipe = RECIPES[args.quantize]
    if recipe.stock and args.hard_swish != "auto":
        parser.error(
            "--hard-swish is for files that this project writes; TensorFlow's converter keeps the "
            f"model's layers. Received: --hard-swish {args.hard_swish}"
        )
    if args.calibration_samples is not None and not recipe.needs_calibration:
        parser.error(f"--calibration-samples goes with integers. Received: {args.quantize}")
    if args.keep_float is not None and not all(args.keep_float.split(",")):
        parser.error(f"--keep-float must name layers. Received: {args.keep_float!r}")
    if args.keep_float and args.quantize not in ("int8", "int16x8"):
        parser.error(f"--keep-float goes with int8 and int16x8. Received: {args.quantize}")
    if args.keep_float == "auto" and args.max_drop is None and args.min_agreement is None:
        parser.error("--keep-float auto needs a budget to keep: --max-drop or --min-agreement")
    if args.data_dir and not args.dataset:
        parser.error("--data-dir goes with --dataset; the run knows its own")


@cli.exits
def main(argv: list[str] | None = None) -> int:
    """Converts, verifies and reports; returns the exit code."""
    args = parse_args(argv)
    from benchmarks.arm.counts import instructions_by_core
    from export import report, session  # TensorFlow: slow to import, not for --help.
    from export.settings import Budget, Settings

    job = session.open_session(args.model, args.dataset, args.data_dir)
    output = args.output or job.default_output(args.quantize)
    settings = Settings(
        recipe=RECIPES[args.quantize],
        output=output,
        hard_swish=args.hard_swish,
        calibration_samples=args.calibration_samples or Settings.calibration_samples,
        seed=args.seed,
        overwrite=args.overwrite,
        budget=Budget(args.max_drop, args.min_agreement),
        keep_float=tuple(args.keep_float.split(",")) if args.keep_float else (),
        bundle=args.bundle,
    )
    print(report.format_report(session.convert(job, settings, instructions_by_core)))
    if args.bundle:
        folder = shlex.quote(args.bundle)
        print(f"bundle: {args.bundle}; check it with python -m export.check_bundle {folder}")
    print(f"next: python -m benchmarks.latency {shlex.quote(os.path.relpath(output))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
