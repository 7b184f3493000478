"""A made-up golden bundle, small and complete; its model is no model, but looks like one."""

import base64
import hashlib
import json
import pathlib

from PIL import Image

LABELS = ("daisy", "rose", "tulip")
WIDTH, HEIGHT = 3, 2
SCORES = (0.7, 0.2, 0.1)


def make_bundle(folder: pathlib.Path) -> pathlib.Path:
    """Writes a bundle of 8 images; returns its folder."""
    (folder / "images").mkdir(parents=True)
    model = b"\x1c\x00\x00\x00TFL3" + bytes(range(256))
    (folder / "model.tflite").write_bytes(model)
    (folder / "labels.txt").write_text("".join(f"{label}\n" for label in LABELS))
    (folder / "MODEL_CARD.md").write_text("# A made-up model\n")
    golden = {
        "format": 1,
        "model": "model.tflite",
        "model_sha256": hashlib.sha256(model).hexdigest(),
        "labels": "labels.txt",
        "input": {"width": WIDTH, "height": HEIGHT, "dtype": "uint8"},
        "tolerance": 0.02,
        "images": [_image(folder, number) for number in range(8)],
    }
    (folder / "golden.json").write_text(json.dumps(golden))
    return folder


def _image(folder: pathlib.Path, number: int) -> dict:
    pixels = bytes((31 * number + 17 * index) % 256 for index in range(WIDTH * HEIGHT * 3))
    Image.frombytes("RGB", (WIDTH, HEIGHT), pixels).save(folder / "images" / f"{number}.png")
    turn = number % len(LABELS)
    scores = SCORES[-turn:] + SCORES[:-turn] if turn else SCORES
    return {
        "file": f"images/{number}.png",
        "input_base64": base64.b64encode(pixels).decode(),
        "label": LABELS[turn],
        "top1": LABELS[turn],
        "probabilities": list(scores),
    }
