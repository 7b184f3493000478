"""A golden bundle: a model with images and the answers it must give to them.

Layout of the folder: model.tflite, labels.txt, golden.json, MODEL_CARD.md and
images/0.png, images/1.png, ...; see docs/bundle.md.
"""

import os
import shutil
from collections.abc import Sequence

import numpy as np
from PIL import Image

from export import golden, labels
from export.golden import Golden, GoldenImage
from export.model_card import ModelCard, format_card
from mobilenet_tf import files
from mobilenet_tf.data.store import balanced_indices
from mobilenet_tf.runtime import TFLiteModel

IMAGES = 8


def choose_images(scores: np.ndarray, true_labels: np.ndarray, seed: int) -> np.ndarray:
    """Chooses evaluation images of many classes whose answer no rounding changes.

    Args:
        scores: float32 (images, classes), the file's own.
        true_labels: int64 (images,).
        seed: of the choice.

    Returns:
        int64 indices, at most `IMAGES`. Where too few images are clear, the
        clearest of the others follow.
    """
    best_two = np.sort(scores, axis=1)[:, -2:]
    margins = best_two[:, -1] - best_two[:, 0] if scores.shape[1] > 1 else best_two[:, -1]
    clear = np.flatnonzero(margins > 2 * golden.TOLERANCE)
    chosen = clear[balanced_indices(true_labels[clear], IMAGES, seed)] if len(clear) else clear
    others = np.setdiff1d(np.argsort(-margins, kind="stable"), clear, assume_unique=True)
    return np.concatenate([chosen, others[: IMAGES - len(chosen)]]).astype(np.int64)


def check_target(folder: str, overwrite: bool) -> None:
    """Raises `ValueError` or `OSError` unless a bundle may be written to the folder."""
    files.require_parent(folder)
    if not os.path.lexists(folder):
        return
    if not os.path.isdir(folder) or os.path.islink(folder):
        raise ValueError(f"the bundle must be a new folder; name another. Received: {folder}")
    names = set(os.listdir(folder))
    known = {golden.MODEL, golden.LABELS, golden.GOLDEN, golden.CARD, golden.IMAGES}
    if names - known:
        raise ValueError(
            "the bundle must be a new folder or an earlier bundle; name another. "
            f"Received: {folder} with {min(names - known)}"
        )
    if names and not overwrite:
        raise ValueError(
            f"existing files are kept; pass --overwrite or another path. Received: {folder}"
        )


def write_bundle(
    folder: str,
    model_path: str,
    class_names: Sequence[str],
    pixels: np.ndarray,
    true_labels: np.ndarray,
    card: ModelCard,
    overwrite: bool = False,
) -> None:
    """Writes a whole bundle, or nothing.

    Args:
        folder: new or empty, or an earlier bundle with `overwrite`.
        model_path: of the .tflite.
        class_names: in the order of its outputs.
        pixels: uint8 (images, height, width, 3) of the model's input size.
        true_labels: int64 (images,), what they show.
        card: facts for MODEL_CARD.md.
        overwrite: replace an earlier bundle.

    Raises:
        ValueError: a folder that must be kept, or images or names that do not
            fit the model.
        OSError: the folder cannot be written.
    """
    check_target(folder, overwrite)
    model = TFLiteModel(model_path)
    labels.check_labels(class_names, model.classes)
    if not len(pixels) or pixels.shape[1:] != (*model.image_size, 3):
        raise ValueError(
            f"a bundle needs images of the model's input size. Received: {pixels.shape}"
        )
    with files.staging(folder) as staging:
        new, old = os.path.join(staging, "new"), os.path.join(staging, "old")
        _fill(new, model, model_path, tuple(class_names), pixels, true_labels, card)
        if os.path.isdir(folder):
            os.rename(folder, old)
        os.rename(new, folder)


def _fill(
    folder: str,
    model: TFLiteModel,
    model_path: str,
    class_names: tuple[str, ...],
    pixels: np.ndarray,
    true_labels: np.ndarray,
    card: ModelCard,
) -> None:
    os.makedirs(os.path.join(folder, golden.IMAGES))
    target = os.path.join(folder, golden.MODEL)
    shutil.copyfile(model_path, target)
    with open(os.path.join(folder, golden.LABELS), "wb") as file:
        file.write(labels.format_labels(class_names))
    images = []
    for i, (image, scores) in enumerate(zip(pixels, model.predict(pixels))):
        name = f"{golden.IMAGES}/{i}.png"
        Image.fromarray(image).save(os.path.join(folder, name))
        images.append(
            GoldenImage(
                file=name,
                pixels=image.tobytes(),
                label=class_names[int(true_labels[i])],
                top1=class_names[int(scores.argmax())],
                probabilities=tuple(float(score) for score in scores),
            )
        )
    height, width = model.image_size
    content = Golden(
        files.sha256(target), width, height, model.input.dtype, golden.TOLERANCE, tuple(images)
    )
    golden.write_golden(folder, content)
    names = (golden.MODEL, golden.LABELS, golden.GOLDEN, *(image.file for image in images))
    hashes = {name: files.sha256(os.path.join(folder, name)) for name in names}
    text = format_card(card, class_names, model.image_size, model.input.dtype, hashes)
    with open(os.path.join(folder, golden.CARD), "w", encoding="utf-8", newline="\n") as file:
        file.write(text)
