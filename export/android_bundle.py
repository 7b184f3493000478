"""Reading a golden bundle before it goes into an app: all files there, and of one piece."""

import base64
import binascii
import dataclasses
import hashlib
import json
import math
import os
import re
from typing import Any

MODEL = "model.tflite"
LABELS = "labels.txt"
GOLDEN = "golden.json"

_FORMAT = 1
_PNG_START = b"\x89PNG\r\n\x1a\n"


@dataclasses.dataclass(frozen=True)
class GoldenBundle:
    """A bundle that was checked.

    Attributes:
        folder: where it lies.
        files: what an app needs of it, by path inside the folder.
        classes: how many labels.
        images: how many golden images.
        input_size: (width, height) in pixels.
        input_dtype: "uint8" or "float32".
    """

    folder: str
    files: tuple[str, ...]
    classes: int
    images: int
    input_size: tuple[int, int]
    input_dtype: str


def read_bundle(folder: str) -> GoldenBundle:
    """Reads a bundle and checks that its files agree; the model is not run.

    Args:
        folder: with model.tflite, labels.txt, golden.json and the images.

    Returns:
        What it holds.

    Raises:
        ValueError: no bundle, a damaged one, or files of different bundles.
        OSError: a file cannot be read.
    """
    if not os.path.isdir(folder):
        raise ValueError(f"the bundle must be a folder; make one first. Received: {folder}")
    golden = _read_golden(folder)
    labels = _read_labels(folder)
    _check_model(folder, golden)
    width, height, dtype = _read_input(golden)
    images = _field(golden, "images", list)
    if not images:
        raise _broken("needs one golden image at least", "none")
    files = [_check_image(folder, image, labels, width * height * 3) for image in images]
    return GoldenBundle(
        folder,
        (MODEL, LABELS, GOLDEN, *sorted(set(files))),
        len(labels),
        len(images),
        (width, height),
        dtype,
    )


def _broken(rule: str, received: object) -> ValueError:
    return ValueError(f"the bundle {rule}; make it again. Received: {received}")


def _read(folder: str, name: str) -> bytes:
    path = os.path.join(folder, name)
    if not os.path.isfile(path):
        raise _broken(f"must hold {name}", f"{folder} without it")
    with open(path, "rb") as file:
        return file.read()


def _read_text(folder: str, name: str) -> str:
    try:
        return _read(folder, name).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _broken(f"needs UTF-8 in {name}", f"byte {error.start}") from None


def _read_golden(folder: str) -> dict[str, Any]:
    try:
        golden = json.loads(_read_text(folder, GOLDEN))
    except (json.JSONDecodeError, RecursionError) as error:
        raise _broken(f"needs valid JSON in {GOLDEN}", error) from None
    if not isinstance(golden, dict):
        raise _broken(f"needs an object in {GOLDEN}", type(golden).__name__)
    expected = {"format": _FORMAT, "model": MODEL, "labels": LABELS}
    for name, value in expected.items():
        if golden.get(name) != value:
            raise _broken(f"needs {name} {value} in {GOLDEN}", repr(golden.get(name)))
    tolerance = _field(golden, "tolerance", (int, float))
    if not 0 < tolerance < 1:
        raise _broken("needs a tolerance between 0 and 1", tolerance)
    return golden


def _field(values: dict[str, Any], name: str, kind: type | tuple[type, ...]) -> Any:
    value = values.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise _broken(f"needs a valid {name} in {GOLDEN}", repr(value)[:40])
    return value


def _read_labels(folder: str) -> list[str]:
    labels = re.split(r"\r\n|\n|\r", _read_text(folder, LABELS).rstrip())  # As the app does.
    if len(labels) < 2 or not all(label.strip() for label in labels):
        raise _broken(f"needs two names or more in {LABELS}, and no blank line", len(labels))
    return labels


def _check_model(folder: str, golden: dict[str, Any]) -> None:
    content = _read(folder, MODEL)
    if content[4:8] != b"TFL3":
        raise _broken(f"needs a .tflite file as {MODEL}", f"{content[4:8]!r} at byte 4")
    digest = hashlib.sha256(content).hexdigest()
    if digest != golden.get("model_sha256"):
        raise _broken(
            f"needs the {MODEL} that {GOLDEN} was made with",
            f"SHA-256 {digest[:12]}..., not {str(golden.get('model_sha256'))[:12]}...",
        )


def _read_input(golden: dict[str, Any]) -> tuple[int, int, str]:
    values = _field(golden, "input", dict)
    width, height = _field(values, "width", int), _field(values, "height", int)
    if width < 1 or height < 1:
        raise _broken("needs an input of one pixel at least", f"{width}x{height}")
    dtype = values.get("dtype")
    if dtype not in ("uint8", "float32"):
        raise _broken("needs an input of uint8 or float32", repr(dtype))
    return width, height, dtype


def _check_image(folder: str, image: Any, labels: list[str], input_bytes: int) -> str:
    """Checks one entry of "images"; returns its file's path inside the bundle."""
    if not isinstance(image, dict):
        raise _broken(f"needs objects as images in {GOLDEN}", type(image).__name__)
    file = _field(image, "file", str)
    parts = file.split("/")
    if len(parts) != 2 or parts[0] != "images" or parts[1] in ("", ".", "..") or "\\" in file:
        raise _broken("needs its images in images/", file)
    if not _read(folder, file).startswith(_PNG_START):
        raise _broken("needs PNG images", file)
    try:
        size = len(base64.b64decode(_field(image, "input_base64", str), validate=True))
    except (binascii.Error, ValueError):
        raise _broken("needs base64 as input_base64", file) from None
    if size != input_bytes:
        raise _broken(f"needs inputs of {input_bytes} bytes", f"{size} in {file}")
    _check_probabilities(file, image, labels)
    return file


def _check_probabilities(file: str, image: dict[str, Any], labels: list[str]) -> None:
    scores = _field(image, "probabilities", list)
    if len(scores) != len(labels):
        raise _broken(
            "needs as many labels as probabilities", f"{len(labels)} and {len(scores)} in {file}"
        )
    for score in scores:
        if isinstance(score, bool) or not isinstance(score, int | float) or not _is_share(score):
            raise _broken("needs probabilities from 0 to 1", f"{score!r} in {file}")
    best = labels[scores.index(max(scores))]
    if image.get("top1") != best:
        raise _broken(f"needs its best class as top1 of {file}", f"{image.get('top1')}, not {best}")


def _is_share(score: float) -> bool:
    return math.isfinite(score) and -1e-4 <= score <= 1 + 1e-4  # int8 softmax may round.
