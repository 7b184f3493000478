"""Class names that travel with a model: labels.txt inside it or beside it."""

import contextlib
import json
import os
import zipfile
from collections.abc import Sequence

from mobilenet_tf import files
from mobilenet_tf.files import LABELS


def write(path: str, class_names: Sequence[str]) -> None:
    """Writes class names, one a line, in the order of the outputs; not again if they are there."""
    text = _text(class_names)
    with contextlib.suppress(OSError, ValueError), open(path, encoding="utf-8") as file:
        if file.read() == text:
            return
    files.write_text(path, text)


def embed(model_path: str, class_names: Sequence[str]) -> None:
    """Puts labels.txt into a .keras file, which is a zip; Keras ignores it."""
    with zipfile.ZipFile(model_path, "a") as archive:
        archive.writestr(LABELS, _text(class_names))


def _text(class_names: Sequence[str]) -> str:
    return "".join(f"{name}\n" for name in class_names)


def of_model(model_path: str) -> list[str] | None:
    """Class names that travel with a model.

    Args:
        model_path: a .keras or .tflite file.

    Returns:
        Those inside the file, else those of labels.txt or <model>.json beside
        it, else None.

    Raises:
        ValueError: a labels.txt that is not UTF-8.
    """
    if zipfile.is_zipfile(model_path):
        with zipfile.ZipFile(model_path) as archive:
            if LABELS in archive.namelist():
                return _lines(archive.read(LABELS), f"{model_path}, {LABELS} in it")
    names = _names_in_report(os.path.splitext(model_path)[0] + ".json")
    if names:
        return names
    beside = os.path.join(os.path.dirname(model_path), LABELS)
    if os.path.isfile(beside):
        with open(beside, "rb") as file:
            return _lines(file.read(), beside)
    return None


def _lines(content: bytes, place: str) -> list[str]:
    try:
        return content.decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"labels must be UTF-8 text. Received: {place} ({error})") from None


def _names_in_report(path: str) -> list[str] | None:
    """Class names of a conversion's report; another program's file of that name has none."""
    try:
        with open(path, encoding="utf-8") as file:
            names = json.load(file)["class_names"]
    except (OSError, ValueError, TypeError, KeyError):
        return None
    is_list = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return names if is_list else None
