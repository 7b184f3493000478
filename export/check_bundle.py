"""Replays a golden bundle with the LiteRT interpreter.

    python -m export.check_bundle DIR

Checks that all files are there and unchanged, that each PNG holds the input bytes, and
that the model gives the expected answers.
"""

import dataclasses
import os
import sys

import numpy as np
from PIL import Image

from export import golden, labels, metadata, model_card
from export.golden import broken
from mobilenet_tf import cli, files
from mobilenet_tf.runtime import TFLiteModel


@dataclasses.dataclass(frozen=True)
class CheckedBundle:
    """A bundle that passed every check.

    Attributes:
        folder: where it lies.
        content: of golden.json.
        class_names: in the order of the outputs.
        differences: the greatest one of a score, of each image.
    """

    folder: str
    content: golden.Golden
    class_names: tuple[str, ...]
    differences: tuple[float, ...]

    @property
    def asset_names(self) -> tuple[str, ...]:
        """What an app needs of it, by path inside the folder."""
        images = sorted({image.file for image in self.content.images})
        return (golden.MODEL, golden.LABELS, golden.GOLDEN, *images)


def check_bundle(folder: str) -> CheckedBundle:
    """Checks everything in a bundle; the only reader of bundles.

    Args:
        folder: that `bundle.write_bundle` wrote.

    Returns:
        What it holds.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: something was changed or does not fit.
        OSError: a file cannot be read.
    """
    if not os.path.isdir(folder):
        raise FileNotFoundError(
            "a bundle must be a folder that convert_tflite.py --bundle wrote; check the path. "
            f"Received: {folder}"
        )
    _require(folder, golden.GOLDEN, golden.MODEL, golden.LABELS, golden.CARD)
    content = golden.read_golden(folder)
    _require(folder, *(image.file for image in content.images))
    _check_hashes(folder, content)
    class_names = _read_labels(folder)
    model = _open_model(folder, content, class_names)
    differences = [_difference(folder, model, content, class_names, i) for i in content.images]
    return CheckedBundle(folder, content, class_names, tuple(differences))


def _require(folder: str, *names: str) -> None:
    for name in names:
        if not os.path.isfile(os.path.join(folder, name)):
            raise FileNotFoundError(
                str(broken("a bundle must be whole", f"{folder} without {name}"))
            )


def _check_hashes(folder: str, content: golden.Golden) -> None:
    path = os.path.join(folder, golden.CARD)
    try:
        with open(path, encoding="utf-8") as file:
            expected = model_card.read_hashes(file.read())
    except UnicodeDecodeError as error:
        raise broken(f"{golden.CARD} must be UTF-8 text", f"{path} ({error.reason})") from None
    names = (golden.MODEL, golden.LABELS, golden.GOLDEN, *(i.file for i in content.images))
    for name in names:
        if name not in expected:
            raise broken(f"{golden.CARD} must list the SHA-256 of {name}", f"{path} without it")
        if expected[name] != files.sha256(os.path.join(folder, name)):
            raise broken(
                f"files must have the SHA-256 that {golden.CARD} lists",
                f"{os.path.join(folder, name)}, changed or of another bundle",
            )
    if content.model_sha256 != expected[golden.MODEL]:
        raise broken(
            f"{golden.MODEL} must be the model that {golden.GOLDEN} was made with",
            f"{os.path.join(folder, golden.MODEL)}, another one",
        )


def _read_labels(folder: str) -> tuple[str, ...]:
    path = os.path.join(folder, golden.LABELS)
    with files.naming(path), open(path, "rb") as file:
        return labels.parse_labels(file.read())


def _open_model(folder: str, content: golden.Golden, class_names: tuple[str, ...]) -> TFLiteModel:
    """The model, when labels and input fit it."""
    path = os.path.join(folder, golden.MODEL)
    with files.naming(path), open(path, "rb") as file:
        inside = metadata.read_metadata(file.read())  # Refuses what would crash the interpreter.
    model = TFLiteModel(path)
    with files.naming(os.path.join(folder, golden.LABELS)):
        labels.check_labels(class_names, model.classes)
    if inside is not None and inside.labels and inside.labels != class_names:
        raise broken(
            f"{golden.LABELS} must be the labels inside {golden.MODEL}",
            f"{os.path.join(folder, golden.LABELS)} with others",
        )
    wanted = (content.height, content.width, content.dtype)
    received = (*model.image_size, model.input.dtype)
    if received != wanted:
        raise broken(
            f"the model's input must be {wanted}, as {golden.GOLDEN} says",
            f"{path} with {received}",
        )
    return model


def _difference(
    folder: str,
    model: TFLiteModel,
    content: golden.Golden,
    class_names: tuple[str, ...],
    image: golden.GoldenImage,
) -> float:
    """Replays one image."""
    path = os.path.join(folder, image.file)
    pixels = _read_png(path)
    if pixels.shape != (content.height, content.width, 3) or pixels.tobytes() != image.pixels:
        raise broken(
            f"the pixels of a PNG must be the input bytes in {golden.GOLDEN}", f"{path} with others"
        )
    expected = _expected(image, class_names, path)
    (scores,) = model.predict([pixels])
    difference = float(np.abs(scores - expected).max())
    if not difference <= content.tolerance:
        raise ValueError(
            f"scores must be within {content.tolerance} of the expected ones; this runtime or "
            f"machine computes otherwise. Received: {difference:.4f} for {path}"
        )
    top1 = class_names[int(scores.argmax())]
    best_two = np.sort(expected)[-2:]
    is_close = best_two[-1] - best_two[0] <= 2 * content.tolerance and len(best_two) == 2
    if top1 != image.top1 and not is_close:  # Where it is close, rounding may change the answer.
        raise ValueError(
            f"the most probable class must be {image.top1}, as {golden.GOLDEN} says; this runtime "
            f"or machine computes otherwise. Received: {top1} for {path}"
        )
    return difference


def _expected(image: golden.GoldenImage, class_names: tuple[str, ...], path: str) -> np.ndarray:
    """The probabilities that golden.json has for an image, when they fit the labels."""
    expected = np.array(image.probabilities)
    if len(expected) != len(class_names):
        raise broken(
            "there must be one probability per label",
            f"{len(expected)} for {len(class_names)} labels and {path}",
        )
    best = class_names[int(expected.argmax())]
    if image.top1 != best:
        raise broken(
            f"top1 in {golden.GOLDEN} must be the most probable class",
            f"{image.top1}, not {best}, for {path}",
        )
    return expected


def _read_png(path: str) -> np.ndarray:
    try:
        with Image.open(path, formats=["PNG"]) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise broken("an image must be an intact PNG", f"{path} ({error})") from None


@cli.exits
def main(argv: list[str] | None = None) -> int:
    """Checks a bundle; returns the exit code."""
    parser = cli.parser(__doc__, "python -m export.check_bundle")
    parser.add_argument("folder", metavar="DIR", help="that convert_tflite.py --bundle wrote")
    args = parser.parse_args(argv)
    checked = check_bundle(args.folder)
    print(
        f"{args.folder}: {len(checked.differences)} images as expected, "
        f"largest score difference {max(checked.differences):.6f}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
