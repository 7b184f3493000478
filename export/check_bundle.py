"""Replays a golden bundle with the LiteRT interpreter.

    python -m export.check_bundle DIR

Checks that all files are there and unchanged, that each PNG holds the input bytes, and
that the model gives the expected answers.
"""

import os
import sys

import numpy as np
from PIL import Image, UnidentifiedImageError

from export import bundle, golden, labels, metadata, model_card
from mobilenet_tf import cli
from mobilenet_tf.runtime import TFLiteModel


def check_bundle(folder: str) -> list[float]:
    """Checks everything in a bundle.

    Args:
        folder: that `bundle.write_bundle` wrote.

    Returns:
        The greatest difference of a score, of each image.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: something was changed or does not fit.
    """
    if not os.path.isdir(folder):
        raise FileNotFoundError(
            f"a bundle must be a folder that --bundle wrote. Received: {folder}"
        )
    content = golden.read_golden(folder)
    names = [golden.MODEL, golden.LABELS, golden.CARD, *(image.file for image in content.images)]
    for name in names:
        if not os.path.isfile(os.path.join(folder, name)):
            raise FileNotFoundError(
                f"a bundle must be whole; write it again. Received: {folder} without {name}"
            )
    path = os.path.join(folder, golden.MODEL)
    model = TFLiteModel(path)
    class_names = _class_names(folder, path, model.classes)
    _check_hashes(folder, content)
    _check_input(model, content)
    return [_difference(folder, model, content, class_names, image) for image in content.images]


def _class_names(folder: str, path: str, classes: int) -> tuple[str, ...]:
    with open(os.path.join(folder, golden.LABELS), "rb") as file:
        names = labels.parse_labels(file.read())
    labels.check_labels(names, classes)
    with open(path, "rb") as file:
        inside = metadata.read_metadata(file.read())
    if inside is not None and inside.labels and inside.labels != names:
        raise ValueError(
            f"{golden.LABELS} must be the labels inside {golden.MODEL}; write the bundle again. "
            f"Received: {folder} with others"
        )
    return names


def _check_hashes(folder: str, content: golden.Golden) -> None:
    with open(os.path.join(folder, golden.CARD), encoding="utf-8") as file:
        expected = model_card.read_hashes(file.read())
    names = (golden.MODEL, golden.LABELS, golden.GOLDEN, *(i.file for i in content.images))
    for name in names:
        wanted = {expected.get(name), content.model_sha256 if name == golden.MODEL else None}
        if wanted - {None} != {bundle.sha256(os.path.join(folder, name))} or name not in expected:
            raise ValueError(
                f"files must have the hashes in {golden.CARD}; write the bundle again. "
                f"Received: {os.path.join(folder, name)}, changed"
            )


def _check_input(model: TFLiteModel, content: golden.Golden) -> None:
    wanted = (content.height, content.width, content.dtype)
    if (*model.image_size, model.input.dtype) != wanted:
        raise ValueError(
            f"the model's input must be {wanted}, as {golden.GOLDEN} says; write the bundle again. "
            f"Received: {(*model.image_size, model.input.dtype)}"
        )


def _difference(
    folder: str,
    model: TFLiteModel,
    content: golden.Golden,
    class_names: tuple[str, ...],
    image: golden.GoldenImage,
) -> float:
    pixels = _read_png(os.path.join(folder, image.file))
    if pixels.shape != (content.height, content.width, 3) or pixels.tobytes() != image.pixels:
        raise ValueError(
            f"the pixels of a PNG must be the input bytes in {golden.GOLDEN}; write the bundle "
            f"again. Received: {image.file} with others"
        )
    if len(image.probabilities) != len(class_names):
        raise ValueError(
            f"there must be one probability per label. Received: {len(image.probabilities)} "
            f"for {len(class_names)} labels and {image.file}"
        )
    (scores,) = model.predict([pixels])
    difference = float(np.abs(scores - np.array(image.probabilities)).max())
    if not difference <= content.tolerance:
        raise ValueError(
            f"scores must be within {content.tolerance} of the expected ones; this runtime or "
            f"machine computes otherwise. Received: {difference:.4f} for {image.file}"
        )
    top1 = class_names[int(scores.argmax())]
    if top1 != image.top1:
        raise ValueError(
            f"the most probable class must be {image.top1}, as {golden.GOLDEN} says. "
            f"Received: {top1} for {image.file}"
        )
    return difference


def _read_png(path: str) -> np.ndarray:
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise ValueError(
            f"an image must be an intact PNG; write the bundle again. Received: {path} ({error})"
        ) from None


@cli.exits
def main(argv: list[str] | None = None) -> int:
    """Checks a bundle; returns the exit code."""
    parser = cli.parser(__doc__, "python -m export.check_bundle")
    parser.add_argument("folder", metavar="DIR", help="that convert_tflite.py --bundle wrote")
    args = parser.parse_args(argv)
    differences = check_bundle(args.folder)
    print(
        f"{args.folder}: {len(differences)} images as expected, "
        f"largest score difference {max(differences):.6f}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
