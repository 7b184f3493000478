"""A small golden bundle, complete and sound; its model runs.

PYTHONPATH=. python tests/golden_bundle.py DIR    writes it, or writes it again
"""

import pathlib
import shutil
import sys

import numpy as np
from tiny_tflite import expected_scores, tiny_model

from export import bundle
from export.metadata import ModelMetadata, add_metadata
from export.model_card import ModelCard

LABELS = ("daisy", "rose", "tulip")
WIDTH, HEIGHT = 3, 2
IMAGES = 8


def clear_pixels(count: int, seed: int = 0) -> np.ndarray:
    """uint8 (count, HEIGHT, WIDTH, 3): noise; one class after the other leads by far."""
    # Black and white channels: grey noise would always be the same class.
    noise = 255 * np.random.default_rng(seed).integers(0, 2, (2000, HEIGHT, WIDTH, 3), np.uint8)
    scores = np.array([expected_scores(pixels, len(LABELS)) for pixels in noise])
    clearest = np.argsort(-scores.max(axis=1))
    by_class = [clearest[scores[clearest].argmax(axis=1) == i] for i in range(len(LABELS))]
    return noise[[by_class[i % len(LABELS)][i // len(LABELS)] for i in range(count)]]


def make_bundle(folder: pathlib.Path) -> pathlib.Path:
    """Writes a bundle of 8 images; returns its folder."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    model = folder.parent / "model_of_the_bundle"
    content = tiny_model(len(LABELS), height=HEIGHT, width=WIDTH)
    model.write_bytes(add_metadata(content, ModelMetadata(LABELS)))
    shown = np.arange(IMAGES) % len(LABELS)
    card = ModelCard("a made-up model")
    bundle.write_bundle(str(folder), str(model), LABELS, clear_pixels(IMAGES), shown, card)
    model.unlink()
    return folder


if __name__ == "__main__":
    shutil.rmtree(sys.argv[1], ignore_errors=True)
    make_bundle(pathlib.Path(sys.argv[1]))
