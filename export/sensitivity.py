"""Ranks layers by what their quantization costs, as a table and a picture.

python -m export.sensitivity runs/NAME
"""

import argparse
import dataclasses
import os
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from mobilenet_tf import cli, files

if TYPE_CHECKING:  # It imports TensorFlow: slow, not for --help.
    from export.layer_costs import LayerCost


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


def plot_costs(costs: "list[LayerCost]", order: list[str], title: str, path: str) -> None:
    """Draws every layer's cost in the order of the network, the dearest named.

    Args:
        costs: from `layer_costs`.
        order: names in the order of the network.
        title: above the picture.
        path: of the .png; replaced if it exists.
    """
    import matplotlib  # Slow to import; --help does without.

    matplotlib.use("Agg")
    from matplotlib import pyplot

    position = {name: i for i, name in enumerate(order)}
    placed = sorted(costs, key=lambda cost: position[cost.name])
    figure, panel = pyplot.subplots(figsize=(12, 5), layout="constrained")
    for part, color in (("divergence_nats", "C0"), ("kernel_divergence_nats", "C1")):
        label = "kernel and output rounded" if part == "divergence_nats" else "kernel alone"
        heights = [max(getattr(cost, part), 1e-9) for cost in placed]
        panel.bar(range(len(placed)), heights, color=color, label=label, width=0.8)
    panel.set_yscale("log")
    floor = np.percentile([max(cost.divergence_nats, 1e-8) for cost in placed], 5) / 3
    panel.set_ylim(bottom=floor)
    dearest = {cost.name for cost in costs[:8]}
    for i, cost in enumerate(placed):
        if cost.name in dearest:
            panel.annotate(
                cost.name,
                (i, cost.divergence_nats),
                rotation=60,
                ha="left",
                va="bottom",
                fontsize=7,
                xytext=(0, 2),
                textcoords="offset points",
            )
    panel.set_title(title, fontsize=10)
    panel.set_xlabel("layer, from input to output")
    panel.set_ylabel("divergence from float (nats)")
    panel.margins(x=0.01, y=0.35)
    panel.grid(axis="y", alpha=0.3)
    panel.legend(frameon=False, fontsize=8)
    with files.replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)
    pyplot.close(figure)


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
    return args


@cli.exits
def main(argv: list[str] | None = None) -> int:
    """Measures, prints and draws; returns the exit code."""
    args = parse_args(argv)
    from export import session
    from export.layer_costs import layer_costs

    job = session.open_session(args.model, args.dataset, args.data_dir)
    plot = args.plot or os.path.join(os.path.dirname(job.model_path), "sensitivity.png")
    for path in (plot, args.json):
        if path:
            files.refuse_existing(path, args.overwrite)
    counts = args.calibration_samples, args.samples
    chosen, images = session.choose_for_measuring(job, args.hard_swish, *counts, args.seed)
    costs = layer_costs(chosen.graph, chosen.quantization, images)
    print(format_costs(costs, args.most))
    title = f"{job.name}: what quantizing each layer alone costs, {len(images)} images"
    plot_costs(costs, [node.name for node in chosen.graph.nodes], title, plot)
    if args.json:
        rows: list[dict[str, Any]] = [dataclasses.asdict(cost) for cost in costs]
        files.write_json(args.json, {"model": job.model_path, "images": len(images), "rows": rows})
    print(f"picture: {os.path.relpath(plot)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
