"""Writes some evaluation images of a data set as PNG files, to look at or predict.

python -m mobilenet_tf.data.samples --dataset cifar10 --count 20 --output-dir images
"""

import argparse
import os
import sys

import numpy as np
from PIL import Image

from mobilenet_tf import cli
from mobilenet_tf.data import datasets
from mobilenet_tf.data.store import balanced_indices


def write_samples(config: datasets.DataConfig, count: int, seed: int, folder: str) -> list[str]:
    """Writes class-balanced validation images, named by class and number.

    Args:
        config: the data set.
        count: how many images.
        seed: of their choice.
        folder: new or empty.

    Returns:
        Paths of the PNG files.

    Raises:
        ValueError: the folder has files in it already.
    """
    if os.path.isdir(folder) and os.listdir(folder):
        raise ValueError(f"the folder must be new or empty; choose another. Received: {folder}")
    source = datasets.open_source(config)
    split = source.read_validation(datasets.default_image_size(source.native_size))
    indices = balanced_indices(split.labels, count, seed)
    os.makedirs(folder, exist_ok=True)
    paths = []
    for index, pixels in zip(indices, split.images.fetch(np.asarray(indices))):
        name = source.class_names[split.labels[index]].replace(os.sep, "_")
        paths.append(os.path.join(folder, f"{name}_{index:05d}.png"))
        Image.fromarray(pixels).save(paths[-1])
    return paths


@cli.exits
def main(argv: list[str] | None = None) -> int:
    """Writes samples; returns the exit code."""
    parser: argparse.ArgumentParser = cli.parser(__doc__, "python -m mobilenet_tf.data.samples")
    parser.add_argument("--dataset", required=True, metavar="NAME|DIR")
    parser.add_argument("--data-dir", metavar="DIR", help="where TFDS keeps its data sets")
    parser.add_argument("--count", type=cli.positive_int, default=20, metavar="N")
    parser.add_argument("--seed", type=cli.whole_number, default=0, help="of their choice")
    parser.add_argument("--output-dir", required=True, metavar="DIR", help="new or empty folder")
    args = parser.parse_args(argv)
    config = datasets.DataConfig(dataset=args.dataset, data_dir=args.data_dir)
    paths = write_samples(config, args.count, args.seed, args.output_dir)
    print(f"{len(paths)} images in {args.output_dir}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
