"""Names what images show, with any number of trained models.

python -m mobilenet_tf.predict --model runs/NAME photo.jpg holiday/
"""

import argparse
import dataclasses
import json
import os
import sys

import numpy as np

from mobilenet_tf import cli, files
from mobilenet_tf.classifier import Classifier, find_models, load_classifier
from mobilenet_tf.data.images import ImageError, is_image_path, read_image, resize_image
from mobilenet_tf.montage import draw_montage
from mobilenet_tf.progress import progress


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What one model says of one image.

    Attributes:
        image, model: paths.
        top: (class name, probability), most probable first.
    """

    image: str
    model: str
    top: tuple[tuple[str, float], ...]


def predict(
    classifiers: list[Classifier], images: list[str], top: int
) -> tuple[list[Prediction], dict[str, str]]:
    """Classifies images.

    Args:
        classifiers: from `classifier.load_classifier`.
        images: paths.
        top: how many classes to name.

    Returns:
        Predictions, image by image and in it model by model; and the images
        that cannot be read, with the reason.
    """
    predictions, unreadable = [], {}
    for path in progress(images, len(images), "classifying"):
        try:
            pixels = read_image(path)
        except (ImageError, OSError) as error:
            unreadable[path] = getattr(error, "strerror", None) or str(error)
            continue
        for classifier in classifiers:
            batch = resize_image(pixels, classifier.image_size)[np.newaxis]
            scores = classifier.scores(batch)[0]
            best = np.argsort(-scores, kind="stable")[:top]
            named = tuple((classifier.class_names[i], float(scores[i])) for i in best)
            predictions.append(Prediction(path, classifier.path, named))
    return predictions, unreadable


def find_images(paths: list[str]) -> list[str]:
    """The image files that paths mean: themselves, or all below a folder.

    Raises:
        FileNotFoundError: no such path, or a folder without images.
    """
    found = []
    for path in paths:
        if os.path.isfile(path):
            found.append(path)
            continue
        if not os.path.isdir(path):
            raise FileNotFoundError(f"no such image or folder; check the path. Received: {path}")
        inside = [
            os.path.join(folder, name)
            for folder, _, names in sorted(os.walk(path))
            for name in sorted(names)
            if is_image_path(name) and not name.startswith(".")
        ]
        if not inside:
            raise FileNotFoundError(f"an image folder must hold images. Received: {path}")
        found += inside
    return found


def format_table(predictions: list[Prediction]) -> str:
    """One line per image and model: the classes and their probabilities."""
    several = len({prediction.model for prediction in predictions}) > 1
    width = max(len(prediction.image) for prediction in predictions)
    model_width = max(len(os.path.basename(prediction.model)) for prediction in predictions)
    lines = []
    for prediction in predictions:
        named = ", ".join(f"{name} {100 * score:.1f} %" for name, score in prediction.top)
        model = f"{os.path.basename(prediction.model):{model_width}s}  " if several else ""
        lines.append(f"{prediction.image:{width}s}  {model}{named}")
    return "\n".join(lines)


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Parses the command line; exits with 2 on wrong usage."""
    parser = cli.parser(__doc__, prog="python -m mobilenet_tf.predict")
    parser.add_argument(
        "--model",
        required=True,
        action="append",
        metavar="PATH",
        help="a .keras or .tflite file, or a folder of them, such as a run; may be repeated",
    )
    parser.add_argument(
        "images", nargs="+", metavar="IMAGE", help="image files, or folders of them"
    )
    parser.add_argument(
        "--top", type=cli.positive_int, default=5, metavar="K", help="classes to name"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--montage", metavar="OUT.png", help="draw the images with their classes")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing montage")
    args = parser.parse_args(argv)
    if args.montage and not args.montage.lower().endswith(".png"):
        parser.error(f"--montage must end in .png. Received: {args.montage}")
    return args


@cli.exits
def main(argv: list[str] | None = None) -> int:
    """Predicts; returns the exit code: 1 where an image could not be read."""
    args = parse_args(argv)
    if args.montage:
        files.refuse_existing(args.montage, args.overwrite)
    images = find_images(args.images)
    models = [path for given in args.model for path in find_models(given)]
    predictions, unreadable = predict([load_classifier(path) for path in models], images, args.top)
    for path, reason in unreadable.items():
        print(f"error: the image must be readable. Received: {path} ({reason})", file=sys.stderr)
    if args.json:
        print(json.dumps([dataclasses.asdict(p) for p in predictions], ensure_ascii=False))
    elif predictions:
        print(format_table(predictions))
    if args.montage and predictions:
        draw_montage(
            [(p.image, os.path.basename(p.model), p.top) for p in predictions], args.montage
        )
        print(f"montage: {args.montage}", file=sys.stderr)
    return cli.WORK_ERROR if unreadable else 0


if __name__ == "__main__":
    sys.exit(main())
