"""Sound bundles made unsound: what is done to one, and what the line about it must say."""

import json
import os
import pathlib
import shutil

import numpy as np
from golden_bundle import HEIGHT, WIDTH, clear_pixels
from image_files import encoded, png_header
from PIL import Image
from tiny_tflite import tiny_model

from export.metadata import ModelMetadata, add_metadata
from mobilenet_tf import files

PIXELS = clear_pixels(1)[0]  # Of images/0.png.


def edit_golden(folder: pathlib.Path, change) -> None:
    """Changes golden.json, and its hash in the card with it."""
    path = folder / "golden.json"
    content = json.loads(path.read_text("utf-8"))
    change(content)
    path.write_text(json.dumps(content), "utf-8")
    rehash(folder)


def rehash(folder: pathlib.Path) -> None:
    """Makes the card's hashes right again, so that only the defect itself is left."""
    card = folder / "MODEL_CARD.md"
    lines = []
    for line in card.read_text("utf-8").splitlines():
        name = line[66:]
        if line[64:66] == "  " and (folder / name).is_file():
            line = f"{files.sha256(str(folder / name))}  {name}"
        lines.append(line)
    card.write_text("\n".join(lines), "utf-8")


def _set(key: str, value):
    return lambda folder: edit_golden(folder, lambda content: content.update({key: value}))


def _set_input(key: str, value):
    return lambda folder: edit_golden(folder, lambda content: content["input"].update({key: value}))


def _set_image(key: str, value):
    return lambda folder: edit_golden(
        folder, lambda content: content["images"][0].update({key: value})
    )


def _without_top1(folder: pathlib.Path) -> None:
    edit_golden(folder, lambda content: content["images"][0].pop("top1"))


def _write(name: str, content: bytes, hashed: bool = False):
    def write(folder: pathlib.Path) -> None:
        (folder / name).write_bytes(content)
        if hashed:
            rehash(folder)

    return write


def _remove(name: str):
    return lambda folder: (folder / name).unlink()


def _make_folder(name: str):
    def replace(folder: pathlib.Path) -> None:
        (folder / name).unlink()
        (folder / name).mkdir()

    return replace


def _cut(name: str, length: int):
    def cut(folder: pathlib.Path) -> None:
        path = folder / name
        path.write_bytes(path.read_bytes()[:length])

    return cut


def _hashed(damage):
    def both(folder: pathlib.Path) -> None:
        damage(folder)
        rehash(folder)

    return both


def _flip_byte(folder: pathlib.Path) -> None:
    path = folder / "images" / "0.png"
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)


def _swap_images(folder: pathlib.Path) -> None:
    first, second, spare = (folder / "images" / name for name in ("0.png", "1.png", "spare"))
    os.rename(first, spare)
    os.rename(second, first)
    os.rename(spare, second)


def _save(pixels: np.ndarray, kind: str = "PNG"):
    def save(folder: pathlib.Path) -> None:
        Image.fromarray(pixels).save(folder / "images" / "0.png", kind)
        rehash(folder)

    return save


def _model(content: bytes, hashed: bool = False):
    """Swaps another model in; `hashed` as by somebody who repairs all hashes."""

    def swap(folder: pathlib.Path) -> None:
        (folder / "model.tflite").write_bytes(content)
        if hashed:
            digest = files.sha256(str(folder / "model.tflite"))
            edit_golden(folder, lambda golden: golden.update(model_sha256=digest))

    return swap


def _tiny(labels: str, dtype: str = "uint8", height: int = HEIGHT) -> bytes:
    content = tiny_model(len(labels.split()), dtype, height, WIDTH)
    return add_metadata(content, ModelMetadata(tuple(labels.split())))


_NAMES = "daisy rose tulip"
_AGAIN = "write the bundle again with convert_tflite.py --bundle"
_CHANGED = ["SHA-256 that MODEL_CARD.md lists", _AGAIN]

BROKEN = {
    "no folder": (shutil.rmtree, ["must be a folder", "check the path", "bundle"]),
    "an empty folder": (
        lambda folder: (shutil.rmtree(folder), folder.mkdir()),
        ["whole", "without golden.json"],
    ),
    "no model": (_remove("model.tflite"), ["whole", "without model.tflite", _AGAIN]),
    "no labels": (_remove("labels.txt"), ["without labels.txt"]),
    "no golden.json": (_remove("golden.json"), ["without golden.json", _AGAIN]),
    "no card": (_remove("MODEL_CARD.md"), ["without MODEL_CARD.md"]),
    "no image": (_remove("images/3.png"), ["without images/3.png"]),
    "a folder as model": (_make_folder("model.tflite"), ["without model.tflite"]),
    "an empty model": (_write("model.tflite", b""), ["model.tflite", *_CHANGED]),
    "a text as model": (_write("model.tflite", b"no model" * 99), ["model.tflite", *_CHANGED]),
    "a cut model": (_cut("model.tflite", 700), ["model.tflite", *_CHANGED]),
    "another network": (_model(_tiny(_NAMES, height=4)), ["model.tflite", *_CHANGED]),
    "another network, hashed": (
        _model(_tiny(_NAMES, height=4), hashed=True),
        ["input must be (2, 3, 'uint8')", "model.tflite with (4, 3, 'uint8')", _AGAIN],
    ),
    "another type, hashed": (
        _model(_tiny(_NAMES, "float32"), hashed=True),
        ["model.tflite with (2, 3, 'float32')"],
    ),
    "other labels inside, hashed": (
        _model(_tiny("rose daisy tulip"), hashed=True),
        ["labels inside model.tflite", "labels.txt with others"],
    ),
    "a cut model, hashed": (
        _model(_tiny(_NAMES)[:900], hashed=True),
        ["intact", "model.tflite", "convert or download it again"],
    ),
    "a PNG as model, hashed": (_model(encoded(), hashed=True), ["TFL3", "model.tflite)"]),
    "only the card's hash": (
        _hashed(_model(_tiny(_NAMES, "float32"))),
        ["that golden.json was made with", "model.tflite"],
    ),
    "a changed image": (_flip_byte, ["images/0.png", *_CHANGED]),
    "swapped images": (_swap_images, ["images/0.png", *_CHANGED]),
    "swapped images, hashed": (_hashed(_swap_images), ["pixels", "images/0.png with others"]),
    "a text as image": (_write("images/1.png", b"no image"), ["images/1.png", *_CHANGED]),
    "a cut image, hashed": (
        _hashed(_cut("images/0.png", 45)),
        ["intact PNG", "images/0.png", _AGAIN],
    ),
    "a JPEG, hashed": (_save(PIXELS, "JPEG"), ["intact PNG", "images/0.png"]),
    "a bomb, hashed": (
        _write("images/0.png", png_header(20_000, 20_000), hashed=True),
        ["intact PNG", "images/0.png"],
    ),
    "other pixels, hashed": (_save(PIXELS ^ 1), ["pixels", "images/0.png"]),
    "another size, hashed": (_save(PIXELS[:, :2]), ["pixels", "images/0.png"]),
    "a changed label": (_write("labels.txt", b"daisy\nrose\noak\n"), ["labels.txt", *_CHANGED]),
    "a changed label, hashed": (
        _write("labels.txt", b"daisy\nrose\noak\n", hashed=True),
        ["labels inside model.tflite", "labels.txt"],
    ),
    "a label less, hashed": (
        _write("labels.txt", b"daisy\nrose\n", hashed=True),
        ["2 for 3 outputs", "labels.txt)"],
    ),
    "no label, hashed": (
        _write("labels.txt", b"", hashed=True),
        ["write one a line", "no label", "labels.txt)"],
    ),
    "a blank last label, hashed": (
        _write("labels.txt", b"daisy\nrose\ntulip\n\n", hashed=True),
        ["remove the line", "blank", "label 4 of 4", "labels.txt)"],
    ),
    "Latin-1 labels, hashed": (
        _write("labels.txt", "daisy\nröse\ntulip\n".encode("latin-1"), hashed=True),
        ["UTF-8", "0xf6", "labels.txt)"],
    ),
    "a card without hashes": (
        _write("MODEL_CARD.md", b"# card\n"),
        ["MODEL_CARD.md must list", "model.tflite", _AGAIN],
    ),
    "a binary card": (
        _write("MODEL_CARD.md", b"\x89PNG\xff\x00"),
        ["MODEL_CARD.md must be UTF-8 text", _AGAIN],
    ),
    "half a golden.json": (_write("golden.json", b'{"format": 1,'), ["golden.json (", _AGAIN]),
    "a binary golden.json": (_write("golden.json", b"\xff\xfe{}"), ["golden.json (", _AGAIN]),
    "a list": (_write("golden.json", b"[]"), ["golden.json (", _AGAIN]),
    "a deep list": (_write("golden.json", b"[" * 100_000), ["golden.json (", _AGAIN]),
    "another format": (_set("format", 2), ["golden.json", "format 2"]),
    "another model's name": (_set("model", "m.tflite"), ["golden.json", "'m.tflite'"]),
    "no images": (_set("images", []), ["golden.json", "no images"]),
    "no tolerance": (_set("tolerance", None), ["golden.json", _AGAIN]),
    "a tolerance of 0": (_set("tolerance", 0), ["tolerance of 0.0, not between 0 and 1"]),
    "another hash": (_set("model_sha256", "0" * 64), ["that golden.json was made with"]),
    "an int8 input": (_set_input("dtype", "int8"), ["an input of int8, not uint8 or float32"]),
    "no pixels": (_set_input("width", 0), ["an input of 0x2 pixels"]),
    "a wider input": (_set_input("width", 4), ["18 input bytes", "not 24"]),
    "no base64": (_set_image("input_base64", "?"), ["no base64", "images/0.png"]),
    "other input bytes": (_set_image("input_base64", "AAAA"), ["3 input bytes", "images/0.png"]),
    "a path outside": (_set_image("file", "../../x.png"), ["outside images/"]),
    "a path of Windows": (_set_image("file", "images/..\\x.png"), ["outside images/"]),
    "no probabilities": (_set_image("probabilities", []), ["one probability per label", "0 for 3"]),
    "a text as score": (_set_image("probabilities", ["a", 0, 0]), ["golden.json (", "'a'"]),
    "altered scores": (_set_image("probabilities", [0, 0, 0]), ["images/0.png"]),
    "scores above 1": (_set_image("probabilities", [0.1, 2, 0.1]), ["probability of 2.0"]),
    "NaN scores": (_set_image("probabilities", [float("nan")] * 3), ["probability of nan"]),
    "another top1": (_set_image("top1", "oak"), ["top1", "most probable", "oak, not "]),
    "no top1": (_without_top1, ["no 'top1'"]),
}
