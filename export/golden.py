"""golden.json: inputs and expected outputs of a bundle; format in docs/bundle.md."""

import base64
import binascii
import dataclasses
import json
import math
import os
from typing import Any

from mobilenet_tf import files

FORMAT = 1
MODEL, LABELS = "model.tflite", files.LABELS
GOLDEN, CARD, IMAGES = "golden.json", "MODEL_CARD.md", "images"
# Of scores: int8 kernels of other processors round otherwise.
TOLERANCE = 0.02
# How far a probability may lie outside of 0..1: what a softmax of 8 bits rounds.
_ROUNDING = 1e-4


@dataclasses.dataclass(frozen=True)
class GoldenImage:
    """One image and what the model says of it.

    Attributes:
        file: of the PNG, below the bundle's folder.
        pixels: height * width * 3 bytes, RGB by rows: the PNG's pixels and the
            model's input.
        label: what the image shows.
        top1: what the model says it shows.
        probabilities: the model's output, in the order of the labels.
    """

    file: str
    pixels: bytes
    label: str
    top1: str
    probabilities: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class Golden:
    """The content of golden.json.

    Attributes:
        model_sha256: of model.tflite, hexadecimal.
        width, height: of the input in pixels.
        dtype: of the input, "uint8" or "float32"; float inputs take the bytes'
            values, 0..255.
        tolerance: greatest difference of a score on other machines.
        images: at least one.
    """

    model_sha256: str
    width: int
    height: int
    dtype: str
    tolerance: float
    images: tuple[GoldenImage, ...]


def write_golden(folder: str, golden: Golden) -> None:
    """Writes golden.json into a folder."""
    content = {
        "format": FORMAT,
        "model": MODEL,
        "model_sha256": golden.model_sha256,
        "labels": LABELS,
        "input": {"width": golden.width, "height": golden.height, "dtype": golden.dtype},
        "tolerance": golden.tolerance,
        "images": [
            {
                "file": image.file,
                "input_base64": base64.b64encode(image.pixels).decode("ascii"),
                "label": image.label,
                "top1": image.top1,
                "probabilities": list(image.probabilities),
            }
            for image in golden.images
        ],
    }
    files.write_json(os.path.join(folder, GOLDEN), content)


def broken(rule: str, received: object) -> ValueError:
    """The error of a bundle that breaks a rule."""
    return ValueError(
        f"{rule}; write the bundle again with convert_tflite.py --bundle. Received: {received}"
    )


def read_golden(folder: str) -> Golden:
    """Reads golden.json from a folder.

    Raises:
        FileNotFoundError: no such file.
        ValueError: damaged, of another format, at odds with itself, or it names
            a file elsewhere.
    """
    path = os.path.join(folder, GOLDEN)
    try:
        with open(path, encoding="utf-8-sig") as file:
            return _parse(json.load(file))
    except KeyError as error:
        reason = f"no {error.args[0]!r}"
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        reason = str(error)
    raise broken(f"{GOLDEN} must be as --bundle wrote it", f"{path} ({reason})")


def _parse(content: dict[str, Any]) -> Golden:
    if content["format"] != FORMAT:
        raise ValueError(f"format {content['format']!r}, not {FORMAT}")
    if (content["model"], content["labels"]) != (MODEL, LABELS):
        raise ValueError(f"files {content['model']!r} and {content['labels']!r}")
    size, tolerance = content["input"], float(content["tolerance"])
    width, height, dtype = int(size["width"]), int(size["height"]), size["dtype"]
    if width < 1 or height < 1:
        raise ValueError(f"an input of {width}x{height} pixels")
    if dtype not in ("uint8", "float32"):
        raise ValueError(f"an input of {dtype}, not uint8 or float32")
    if not 0 < tolerance < 1:
        raise ValueError(f"a tolerance of {tolerance}, not between 0 and 1")
    images = tuple(_image(item, width * height * 3) for item in content["images"])
    if not images:
        raise ValueError("no images")
    return Golden(str(content["model_sha256"]), width, height, dtype, tolerance, images)


def _image(item: dict[str, Any], input_bytes: int) -> GoldenImage:
    name = item["file"]
    folder, base = os.path.split(name)
    if folder != IMAGES or base in ("", ".", "..") or "\\" in base:
        raise ValueError(f"an image outside {IMAGES}/, {name!r}")
    try:
        pixels = base64.b64decode(item["input_base64"], validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"input bytes of {name} that are no base64") from None
    if len(pixels) != input_bytes:
        raise ValueError(f"{len(pixels)} input bytes of {name}, not {input_bytes}")
    probabilities = tuple(map(float, item["probabilities"]))
    for score in probabilities:
        if not math.isfinite(score) or not -_ROUNDING <= score <= 1 + _ROUNDING:
            raise ValueError(f"a probability of {score} for {name}")
    return GoldenImage(name, pixels, str(item["label"]), str(item["top1"]), probabilities)
