"""golden.json: inputs and expected outputs of a bundle; format in docs/bundle.md."""

import base64
import binascii
import dataclasses
import json
import os
from typing import Any

from mobilenet_tf import files

FORMAT = 1
MODEL, LABELS, GOLDEN, CARD, IMAGES = (
    "model.tflite",
    "labels.txt",
    "golden.json",
    "MODEL_CARD.md",
    "images",
)
# Of scores: int8 kernels of other processors round otherwise.
TOLERANCE = 0.02


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


def read_golden(folder: str) -> Golden:
    """Reads golden.json from a folder.

    Raises:
        FileNotFoundError: no such file.
        ValueError: damaged, of another format, or names a file elsewhere.
    """
    path = os.path.join(folder, GOLDEN)
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
        if content["format"] != FORMAT:
            raise ValueError(f"format {content['format']!r}, not {FORMAT}")
        if (content["model"], content["labels"]) != (MODEL, LABELS):
            raise ValueError(f"files {content['model']!r} and {content['labels']!r}")
        size = content["input"]
        images = tuple(_image(item) for item in content["images"])
        if not images:
            raise ValueError("no images")
        return Golden(
            model_sha256=str(content["model_sha256"]),
            width=int(size["width"]),
            height=int(size["height"]),
            dtype=str(size["dtype"]),
            tolerance=float(content["tolerance"]),
            images=images,
        )
    except KeyError as error:
        reason = f"no {error.args[0]!r}"
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        reason = str(error)
    raise ValueError(f"{GOLDEN} must be as --bundle wrote it. Received: {path} ({reason})")


def _image(item: dict[str, Any]) -> GoldenImage:
    name = item["file"]
    folder, base = os.path.split(name)
    if folder != IMAGES or base in ("", ".", ".."):
        raise ValueError(f"an image outside {IMAGES}/, {name!r}")
    try:
        pixels = base64.b64decode(item["input_base64"], validate=True)
    except binascii.Error:
        raise ValueError(f"input bytes of {name} that are no base64") from None
    return GoldenImage(
        file=name,
        pixels=pixels,
        label=str(item["label"]),
        top1=str(item["top1"]),
        probabilities=tuple(map(float, item["probabilities"])),
    )
