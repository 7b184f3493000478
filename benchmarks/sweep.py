"""Builds, converts and times a grid of widths and input sizes.

    python -m benchmarks.sweep --version v3 --size small --alphas 0.5 1.0

Weights are random: latency does not depend on them, accuracy would.
"""

import argparse
import csv
import dataclasses
import os
import sys
import tempfile
from typing import Any

import numpy as np

from benchmarks.latency import LatencySettings, format_machine, measure, noise_warnings
from export.recipes import RECIPES
from mobilenet_tf import cli, files, layout
from mobilenet_tf.complexity import complexity
from mobilenet_tf.machine import describe_machine
from mobilenet_tf.progress import progress
from mobilenet_tf.specs import Spec

FIELDS = (
    "network",
    "alpha",
    "image_size",
    "quantize",
    "macs",
    "parameters",
    "size_bytes",
    "median_ms",
    "p90_ms",
    "min_ms",
    "partitions",
)
_CALIBRATION_IMAGES = 16


@dataclasses.dataclass(frozen=True)
class Point:
    """One network of the grid."""

    spec: Spec
    alpha: float
    image_size: int
    quantize: str
    classes: int
    last_map: int | None

    @property
    def strides(self) -> tuple[int, ...]:
        """As train.py chooses them."""
        return layout.strides_for(self.spec, self.image_size, self.last_map)


def grid(args: argparse.Namespace) -> list[Point]:
    """All combinations that the options ask for."""
    spec = cli.spec_from(args)
    return [
        Point(spec, alpha, image_size, quantize, args.classes, args.last_map)
        for alpha in args.alphas
        for image_size in args.image_sizes
        for quantize in args.quantize
    ]


def build_network(point: Point):
    """Builds one network with random weights; returns the Keras model."""
    from mobilenet_tf.engine import keras  # TensorFlow: not for --help.
    from mobilenet_tf.models import ModelOptions, build_model

    options = ModelOptions(
        input_shape=(point.image_size, point.image_size, 3),
        alpha=point.alpha,
        classes=point.classes,
        last_map=point.last_map or layout.DEFAULT_LAST_MAP,
    )
    keras.utils.set_random_seed(0)
    return build_model(point.spec, options)


def convert_file(model, point: Point, images: np.ndarray, path: str) -> None:
    """Converts what `build_network` returned and writes the .tflite.

    Args:
        model: the network.
        point: that it was built from.
        images: uint8 (images, height, width, 3) to calibrate on, if need be.
        path: of the .tflite.
    """
    from export import convert, stock  # TensorFlow: not for --help.
    from mobilenet_tf.engine import keras

    recipe = RECIPES[point.quantize]
    calibration = images if recipe.needs_calibration else None
    if recipe.stock:
        content = stock.convert_here(model, recipe, calibration)
    else:
        form = recipe.hard_swish_form("auto")
        content = convert.prepare(model, recipe, calibration, form, seed=0).convert().content
    convert.write_file(content, recipe, path)
    keras.backend.clear_session()


def pictures(image_size: int, count: int) -> np.ndarray:
    """Smooth colour gradients: ranges for networks whose accuracy nobody asks for."""
    ramp = np.linspace(0, 255, image_size)
    x, y = np.meshgrid(ramp, ramp)
    pictures = [
        np.stack([x, y, np.full_like(x, 255 * i / (count - 1))], axis=-1) for i in range(count)
    ]
    return np.stack(pictures).astype(np.uint8)


def run(points: list[Point], settings: LatencySettings) -> tuple[list[dict[str, Any]], list[str]]:
    """Builds and times the grid.

    Returns:
        One row of `FIELDS` per point; and warnings about the machine.
    """
    with tempfile.TemporaryDirectory() as folder:
        numbered = enumerate(progress(points, len(points), "building networks"))
        paths = []
        for number, point in numbered:
            paths.append(os.path.join(folder, f"{number}.tflite"))
            images = pictures(point.image_size, _CALIBRATION_IMAGES)
            convert_file(build_network(point), point, images, paths[-1])
        results = measure(paths, settings)
    rows = []
    for point, result in zip(points, results):
        counts = complexity(point.spec, point.alpha, point.image_size, point.classes, point.strides)
        rows.append(
            {
                "network": point.spec.name,
                "alpha": point.alpha,
                "image_size": point.image_size,
                "quantize": point.quantize,
                "macs": counts.macs,
                "parameters": counts.trainable_parameters,
                "size_bytes": result.size_bytes,
                "median_ms": round(result.stats.median_ms, 4),
                "p90_ms": round(result.stats.p90_ms, 4),
                "min_ms": round(result.stats.min_ms, 4),
                "partitions": result.xnnpack_partitions,
            }
        )
    return rows, noise_warnings(results, describe_machine())


def format_rows(rows: list[dict[str, Any]]) -> str:
    """The rows as an aligned table."""
    lines = [
        "network                alpha  input  quantize    MACs M   size MB  median ms   p90 ms"
    ]
    for row in rows:
        lines.append(
            f"{row['network']:22s} {row['alpha']:5g} {row['image_size']:6d}  {row['quantize']:8s} "
            f"{row['macs'] / 1e6:9.2f} {row['size_bytes'] / 1e6:9.3f} {row['median_ms']:10.3f} "
            f"{row['p90_ms']:8.3f}"
        )
    return "\n".join(lines)


def plot(rows: list[dict[str, Any]], title: str, path: str) -> None:
    """Draws latency against MACs and against size, a line per mode and input size."""
    import matplotlib  # Slow to import; --help does without.

    matplotlib.use("Agg")
    from matplotlib import pyplot

    modes = sorted({row["quantize"] for row in rows})
    sizes = sorted({row["image_size"] for row in rows})
    figure, panels = pyplot.subplots(1, 2, figsize=(12, 4.8), layout="constrained")
    figure.suptitle(title, fontsize=10)
    axes = (("macs", "multiply-accumulates (millions)"), ("size_bytes", "file size (MB)"))
    for panel, (key, label) in zip(panels, axes):
        for mode_number, mode in enumerate(modes):
            for size_number, size in enumerate(sizes):
                line = sorted(
                    (row for row in rows if (row["quantize"], row["image_size"]) == (mode, size)),
                    key=lambda row: row["alpha"],
                )
                panel.plot(
                    [row[key] / 1e6 for row in line],
                    [row["median_ms"] for row in line],
                    color=f"C{mode_number}",
                    marker="osD^vP*X"[size_number % 8],
                    label=f"{'float32' if mode == 'none' else mode}, {size}x{size}",
                )
                for row in line:
                    panel.annotate(
                        f"{row['alpha']:g}",
                        (row[key] / 1e6, row["median_ms"]),
                        textcoords="offset points",
                        xytext=(4, 4),
                        fontsize=7,
                    )
        panel.set_xlabel(label)
        panel.set_ylabel("median latency (ms)")
        panel.margins(0.08)  # Room for the labels of the outermost points.
        panel.set_xlim(left=0)
        panel.set_ylim(bottom=0)
        panel.grid(alpha=0.3)
    panels[0].legend(frameon=False, fontsize=8, title="points: alpha", title_fontsize=8)
    with files.replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)
    pyplot.close(figure)


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Parses the command line; exits with 2 on wrong usage."""
    parser = cli.parser(__doc__, prog="python -m benchmarks.sweep")
    cli.add_network_options(parser, with_alpha=False)
    parser.add_argument(
        "--alphas", nargs="+", type=cli.positive_float, default=[0.25, 0.5, 0.75, 1.0], metavar="A"
    )
    parser.add_argument(
        "--image-sizes", nargs="+", type=cli.image_size, default=[224], metavar="PIXELS"
    )
    parser.add_argument(
        "--quantize", nargs="+", choices=tuple(RECIPES), default=["none", "int8"], metavar="MODE"
    )
    parser.add_argument("--classes", type=cli.positive_int, default=1000, metavar="N")
    parser.add_argument("--num-threads", type=cli.positive_int, default=1, metavar="N")
    parser.add_argument("--num-runs", type=cli.positive_int, default=30, metavar="N")
    parser.add_argument("--rounds", type=cli.positive_int, default=5, metavar="N")
    parser.add_argument(
        "--output", default="sweep", metavar="NAME", help="of NAME.csv, .json and .png"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")
    return parser.parse_args(argv)


@cli.exits
def main(argv: list[str] | None = None) -> int:
    """Sweeps; returns the exit code."""
    args = parse_args(argv)
    points = grid(args)
    csv_path, png_path, json_path = (f"{args.output}.{kind}" for kind in ("csv", "png", "json"))
    for path in (csv_path, png_path, json_path):
        files.refuse_existing(path, args.overwrite)
    folder = os.path.dirname(os.path.abspath(args.output))
    if not os.path.isdir(folder):  # Not after an hour of measuring.
        raise ValueError(f"the folder of --output must exist. Received: {args.output}")
    settings = LatencySettings(
        num_threads=args.num_threads, num_runs=args.num_runs, rounds=args.rounds
    )
    machine = describe_machine()  # Before our own work adds to its load.
    rows, warnings = run(points, settings)
    print(format_rows(rows))
    print(format_machine(machine))
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    with files.replacing(csv_path) as temporary:
        with open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, FIELDS)
            writer.writeheader()
            writer.writerows(rows)
    content = {"machine": machine, "settings": dataclasses.asdict(settings), "noise": warnings}
    files.write_json(json_path, content | {"rows": rows})
    threads = f"{args.num_threads} thread{'s' * (args.num_threads > 1)}"
    plot(rows, f"{points[0].spec.name}, {threads}, {machine['cpu']}", png_path)
    print(f"table: {csv_path}")
    print(f"plot: {png_path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
