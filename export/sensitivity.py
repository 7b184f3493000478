"""Ranks layers by what their quantization costs, as a table and a picture.

python -m export.sensitivity runs/NAME
"""

import argparse
import dataclasses
import os
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from export import layer_plot
from export.recipes import RECIPES
from mobilenet_tf import cli, files
from mobilenet_tf.data import datasets

if TYPE_CHECKING:  # It imports TensorFlow: slow, not for --help.
    from export.form import HardSwish
    from export.quantization.layer_costs import LayerCost
    from export.quantization.scale_choice import Chosen
    from export.session import Session


def format_costs(costs: "list[LayerCost]", most: int) -> str:
    """The dearest layers as an aligned table."""
    width = max([len(cost.name) for cost in costs[:most]] + [5])
    lines = [f"{'layer':{width}s}  {'operation':10s}  divergence  of the kernel  agreement"]
    for cost in costs[:most]:
        kernel = f"{cost.kernel_divergence_nats:13.6f}" if cost.kernel_divergence_nats else " " * 13
        lines.append(
            f"{cost.name:{width}s}  {cost.op:10s}  {cost.divergence_nats:10.6f}  {kernel}  "
            f"{100 * cost.agreement:8.2f} %"
        )
    if len(costs) > most:
        rest = sum(cost.divergence_nats for cost in costs[most:])
        lines.append(f"and {len(costs) - most} more, {rest:.6f} nats together (--most)")
    return "\n".join(lines)


def choose_for_measuring(
    job: "Session", hard_swish: "HardSwish", calibration_samples: int, samples: int, seed: int
) -> "tuple[Chosen, np.ndarray]":
    """Chooses int8 scales, and draws other training images to measure them on.

    Args:
        job: from `session.open_session`.
        hard_swish: see `form.export_form`.
        calibration_samples: images that set the ranges.
        samples: images to measure on.
        seed: of the choice of both.

    Returns:
        The scales; and uint8 (samples, height, width, 3).

    Raises:
        UsageError: no data set.
        ValueError: see `convert.prepare`.
    """
    from export import convert  # TensorFlow: slow to import, not for --help.
    from export.judge import check_classes
    from mobilenet_tf.classifier import KerasClassifier

    if job.data is None:
        raise cli.UsageError(
            "measuring needs images; name the training data with --dataset. "
            f"Received: {job.model_path}, which is in no run folder"
        )
    model = KerasClassifier(job.model_path)
    source = datasets.open_source(job.data)
    check_classes(model, source)
    images = source.draw_train(model.image_size, calibration_samples + samples, seed)
    measured = np.unique(np.linspace(0, len(images) - 1, samples).astype(int))
    recipe, calibration = RECIPES["int8"], np.delete(images, measured, axis=0)
    prepared = convert.prepare(model.model, recipe, calibration, hard_swish, seed)
    assert prepared.chosen is not None
    return prepared.chosen, images[measured]


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Parses the command line; exits with 2 on wrong usage."""
    parser = cli.parser(__doc__.split("\n")[0], prog="python -m export.sensitivity")
    parser.add_argument("model", metavar="MODEL", help="a run or a .keras file")
    parser.add_argument("--dataset", metavar="NAME|DIR", help="(default: what the run has)")
    parser.add_argument("--data-dir", metavar="DIR", help="where TFDS keeps its data sets")
    parser.add_argument(
        "--calibration-samples", type=cli.positive_int, default=200, metavar="N", help="for ranges"
    )
    parser.add_argument(
        "--samples", type=cli.positive_int, default=64, metavar="N", help="to measure layers on"
    )
    parser.add_argument("--hard-swish", choices=("fused", "split"), default="split")
    parser.add_argument("--seed", type=cli.whole_number, default=0, help="of the images' choice")
    parser.add_argument("--most", type=cli.positive_int, default=20, metavar="N", help="rows shown")
    parser.add_argument(
        "--plot", metavar="PATH", help="(default: sensitivity.png beside the model)"
    )
    parser.add_argument("--json", metavar="PATH", help="write all rows here")
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")
    args = parser.parse_args(argv)
    if args.plot and not args.plot.endswith(".png"):
        parser.error(f"--plot must end in .png. Received: {args.plot}")
    if args.json and args.json.endswith(".png"):
        parser.error(f"--json is no picture. Received: {args.json}")
    return args


@cli.exits
def main(argv: list[str] | None = None) -> int:
    """Measures, prints and draws; returns the exit code."""
    args = parse_args(argv)
    from export import session
    from export.quantization.layer_costs import layer_costs

    job = session.open_session(args.model, args.dataset, args.data_dir)
    plot = args.plot or os.path.join(os.path.dirname(job.model_path), "sensitivity.png")
    for path in (plot, args.json):
        if path:
            files.refuse_existing(path, args.overwrite)
            files.require_parent(path)
    counts = args.calibration_samples, args.samples
    chosen, images = choose_for_measuring(job, args.hard_swish, *counts, args.seed)
    costs = layer_costs(chosen.graph, chosen.quantization, images)
    print(format_costs(costs, args.most))
    title = f"{job.name}: what quantizing each layer alone costs, {len(images)} images"
    order = [node.name for node in chosen.graph.nodes]
    layer_plot.save_costs(layer_plot.in_order(costs, order), title, plot)
    if args.json:
        rows: list[dict[str, Any]] = [dataclasses.asdict(cost) for cost in costs]
        files.write_json(args.json, {"model": job.model_path, "images": len(images), "rows": rows})
    print(f"picture: {os.path.relpath(plot)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
