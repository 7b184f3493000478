"""Quantizes a network with published weights and compares it with float on photographs.

python -m benchmarks.photographs --weights mobilenet_v1_0.25_224_1001_classes.h5 \
    --version v1 --alpha 0.25 --images imagenet_sample
"""

import argparse
import csv
import os
import sys
import tempfile
import time
from typing import Any

import numpy as np

from benchmarks.report import add_output_options
from export.convert import Prepared, prepare, write_file
from export.inspection.partitions import count_partitions
from export.recipes import RECIPES
from mobilenet_tf import cli, files, models, specs
from mobilenet_tf.data.images import load_image
from mobilenet_tf.data.store import balanced_indices
from mobilenet_tf.imagenet import CLASSES
from mobilenet_tf.machine import describe_machine
from mobilenet_tf.progress import progress, say
from mobilenet_tf.runtime import TFLiteModel

LIST = "labels.csv"


def read_photographs(folder: str, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Reads photographs and their classes.

    Args:
        folder: with the images and labels.csv, whose columns "file" and
            "class_index" (0..999) are read.
        size: of the square images, pixels.

    Returns:
        uint8 (images, size, size, 3) and int64 (images,).

    Raises:
        ValueError: no such list, or one without those columns.
    """
    path = os.path.join(folder, LIST)
    if not os.path.isfile(path):
        raise ValueError(f"--images must be a folder with {LIST}. Received: {folder}")
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows or not {"file", "class_index"} <= rows[0].keys():
        raise ValueError(f"{LIST} must have rows with file and class_index. Received: {path}")
    named = progress(rows, len(rows), "reading photographs")
    images = [load_image(os.path.join(folder, row["file"]), size) for row in named]
    return np.stack(images), np.array([int(row["class_index"]) for row in rows])


def compare(
    model: Any, images: np.ndarray, labels: np.ndarray, calibration: np.ndarray, seed: int
) -> dict[str, Any]:
    """Converts to int8 and compares the file with the model.

    Args:
        model: of the library, with its top.
        images: uint8 (images, height, width, 3).
        labels: their classes, as the model counts them.
        calibration: indices of the images that calibrate.
        seed: see `convert.prepare`.

    Returns:
        "images", "calibration_images", "float_top1", "int8_top1", "agreement",
        "agreement_of_others" (than those that calibrated; None if all did),
        "partitions", "size_bytes", "seconds", "calibration".
    """
    parts = range(0, len(images), 50)
    batches = [model.predict_on_batch(images[i : i + 50].astype(np.float32)) for i in parts]
    expected = np.concatenate(batches)
    say("converting, --quantize int8")
    start = time.monotonic()
    prepared = prepare(model, RECIPES["int8"], images[calibration], "split", seed)
    converted = prepared.convert()
    seconds = time.monotonic() - start
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.tflite")
        write_file(converted.content, RECIPES["int8"], path)
        tflite = TFLiteModel(path)
        found = np.stack(list(progress(tflite.predict(images), len(images), "evaluating")))
        partitions = count_partitions(path).count
    same = found.argmax(axis=1) == expected.argmax(axis=1)
    others = np.delete(same, calibration)
    return {
        "images": len(images),
        "calibration_images": len(calibration),
        "float_top1": float(np.mean(expected.argmax(axis=1) == labels)),
        "int8_top1": float(np.mean(found.argmax(axis=1) == labels)),
        "agreement": float(same.mean()),
        "agreement_of_others": float(others.mean()) if len(others) else None,
        "partitions": partitions,
        "size_bytes": len(converted.content),
        "seconds": round(seconds, 1),
        "calibration": _describe(prepared),
    }


def _describe(prepared: Prepared) -> dict[str, Any]:
    chosen = prepared.chosen
    assert chosen is not None
    chosen_form = {"copies": chosen.form.copies, "equalized": chosen.form.equalized}
    return (
        {"estimator": chosen.estimator}
        | chosen_form
        | {"divergences": {name: round(value, 5) for name, value in chosen.divergences.items()}}
    )


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Parses the command line; exits with 2 on wrong usage."""
    parser = cli.parser(__doc__.split("\n")[0], prog="python -m benchmarks.photographs")
    parser.add_argument("--weights", required=True, metavar="FILE", help="published, with the top")
    parser.add_argument("--images", required=True, metavar="DIR", help=f"photographs and {LIST}")
    parser.add_argument("--version", choices=("v1", "v2"), default="v1", help="default: v1")
    parser.add_argument("--alpha", type=float, default=0.25, help="width (default: 0.25)")
    parser.add_argument("--image-size", type=int, default=224, metavar="PIXELS")
    parser.add_argument("--classes", type=int, default=1001, help="1001 with a background class")
    parser.add_argument(
        "--calibration-samples", type=int, default=200, metavar="N", help="of the photographs"
    )
    parser.add_argument(
        "--seeds",
        type=cli.whole_number,
        nargs="+",
        default=[0],
        metavar="N",
        help="of their choice",
    )
    add_output_options(parser)
    return parser.parse_args(argv)


@cli.exits
def main(argv: list[str] | None = None) -> int:
    """Compares, prints and writes; returns the exit code."""
    args = parse_args(argv)
    if args.output:
        files.refuse_existing(args.output, args.overwrite)
    images, labels = read_photographs(args.images, args.image_size)
    spec = {"v1": specs.V1, "v2": specs.V2}[args.version]
    shape = (args.image_size, args.image_size, 3)
    options = models.ModelOptions(shape, alpha=args.alpha, classes=args.classes)
    model = models.build_model(spec, options)
    model.load_weights(args.weights)
    counted = labels + (args.classes - CLASSES)  # The background class comes first.
    rows = []
    for seed in args.seeds:
        calibration = balanced_indices(labels, args.calibration_samples, seed)
        row = compare(model, images, counted, calibration, seed)
        names = {"network": model.name, "weights": os.path.basename(args.weights), "seed": seed}
        rows.append({**names, **row})
        _print_row(rows[-1])
    if args.output:
        files.write_json(args.output, {"machine": describe_machine(), "rows": rows})
    return 0


def _print_row(row: dict[str, Any]) -> None:
    others = row["agreement_of_others"]
    print(
        f"{row['network']}, {row['images']} photographs, {row['calibration_images']} of them to "
        f"calibrate, seed {row['seed']}: float {100 * row['float_top1']:.2f} %, "
        f"int8 {100 * row['int8_top1']:.2f} %, agreement {100 * row['agreement']:.2f} %"
        + ("" if others is None else f" ({100 * others:.2f} % of those not calibrated with)")
    )


if __name__ == "__main__":
    sys.exit(main())
