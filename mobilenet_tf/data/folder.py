"""A folder with one subfolder of images per class."""

import dataclasses
import hashlib
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from mobilenet_tf.data.images import ImageError, is_image_path, load_image
from mobilenet_tf.data.store import ArrayImages, FileImages, Split, empty_pixels, fits_in_memory
from mobilenet_tf.progress import progress

_SHOWN = 5  # Paths named in a message; more do not help.


@dataclasses.dataclass(frozen=True)
class Folder:
    """What lies in a data folder, before any image is opened.

    Attributes:
        root: the folder.
        class_names: subfolder names, sorted.
        files: (path relative to root, class index), sorted by path.
        ignored: files that are no images by their names, or lie in no class.
        empty: class folders without images.
    """

    root: str
    class_names: tuple[str, ...]
    files: tuple[tuple[str, int], ...]
    ignored: tuple[str, ...]
    empty: tuple[str, ...]


def list_folder(root: str) -> Folder:
    """Lists a data folder.

    Args:
        root: holds one subfolder per class; images may lie deeper in them.

    Returns:
        A `Folder`. Class folders without images are left out of its classes.

    Raises:
        NotADirectoryError: `root` is no folder.
        ValueError: it has no class folders, or only one, or one whose name
            cannot be a label.
        OSError: a folder in it cannot be opened.
    """
    if not os.path.isdir(root):
        raise NotADirectoryError(
            f"the data set must be a folder with one subfolder per class. Received: {root}"
        )
    names, ignored = [], []
    for entry in sorted(os.scandir(root), key=lambda entry: entry.name):
        if entry.is_dir() and not entry.name.startswith((".", "__")):
            names.append(entry.name)
        elif not entry.name.startswith("."):
            ignored.append(entry.name)
    _check_names(root, names)
    by_class = {name: _class_files(root, name) for name in names}
    empty = tuple(name for name, (images, _) in by_class.items() if not images)
    class_names = tuple(name for name in names if name not in empty)
    for _, others in by_class.values():
        ignored += others
    if len(class_names) < 2:
        found = ", ".join(class_names) or f"none among {len(names)} subfolders"
        raise ValueError(
            f"a data folder must have at least 2 subfolders with images, one per class. "
            f"Received: {root} with {found}"
        )
    files = [(path, i) for i, name in enumerate(class_names) for path in by_class[name][0]]
    return Folder(root, class_names, tuple(files), tuple(ignored), empty)


def _check_names(root: str, names: list[str]) -> None:
    """Names become the lines of labels.txt: UTF-8, one line, and all different."""
    bad = [ascii(name) for name in names if not _is_utf8(name) or len(name.splitlines()) != 1]
    if bad:
        raise ValueError(
            "class folders must have names in UTF-8, without line breaks; rename them. "
            f"Received: {_shown(bad)} in {root}"
        )
    same = [name for name, count in Counter(map(_nfc, names)).items() if count > 1]
    if same:
        raise ValueError(
            "class folders must differ by more than the encoding of accents; merge or rename "
            f"them. Received: two of {_shown(same)} in {root}"
        )


def _is_utf8(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _nfc(name: str) -> str:
    """The name with composed accents: file systems differ in how they keep them."""
    return unicodedata.normalize("NFC", name)


def _fail(error: OSError) -> None:
    raise error


def _class_files(root: str, name: str) -> tuple[list[str], list[str]]:
    """Paths relative to root: images, and other visible files."""
    images, others = [], []
    for folder, subfolders, files in os.walk(os.path.join(root, name), onerror=_fail):
        subfolders[:] = sorted(s for s in subfolders if not s.startswith((".", "__")))
        for file in sorted(files):
            path = os.path.relpath(os.path.join(folder, file), root)
            if is_image_path(file):
                images.append(path)
            elif not file.startswith(".") and file != "Thumbs.db":
                others.append(path)
    return images, others


def match_classes(folder: Folder, class_names: tuple[str, ...]) -> Folder:
    """Renumbers a validation folder's labels as the training folder's.

    Raises:
        ValueError: it has a class that the training folder lacks.
    """
    index = {_nfc(name): i for i, name in enumerate(class_names)}
    unknown = sorted(name for name in folder.class_names if _nfc(name) not in index)
    if unknown:
        raise ValueError(
            "the validation folder must have the training folder's classes; rename or remove "
            f"the others. Received: {', '.join(unknown[:_SHOWN])}"
        )
    new_index = [index[_nfc(name)] for name in folder.class_names]
    files = tuple((path, new_index[label]) for path, label in folder.files)
    return dataclasses.replace(folder, class_names=class_names, files=files)


def split_folder(folder: Folder, fraction: float, seed: int) -> tuple[Folder, Folder]:
    """Divides every class into training and validation images.

    The choice depends on seed and path alone, so adding images later moves few
    of the old ones across.

    Args:
        folder: to divide.
        fraction: of each class's images that validate, at least one.
        seed: another seed, another choice.

    Returns:
        The training and the validation folder.

    Raises:
        ValueError: a class has fewer than two images.
    """
    held_out = set()
    for label, name in enumerate(folder.class_names):
        paths = [path for path, owner in folder.files if owner == label]
        if len(paths) < 2:
            raise ValueError(
                "every class must have at least 2 images, one to train and one to validate; add "
                f"images or give --val-dataset. Received: {name} with {len(paths)}"
            )
        paths.sort(key=lambda path: _rank(path, seed))
        held_out.update(paths[: min(len(paths) - 1, max(1, round(fraction * len(paths))))])
    return _subset(folder, held_out, False), _subset(folder, held_out, True)


def _rank(path: str, seed: int) -> bytes:
    text = _nfc(path.replace(os.sep, "/"))
    return hashlib.sha256(f"{seed}/{text}".encode("utf-8", "surrogateescape")).digest()


def _subset(folder: Folder, held_out: set[str], wanted: bool) -> Folder:
    files = tuple(entry for entry in folder.files if (entry[0] in held_out) == wanted)
    return dataclasses.replace(folder, files=files)


def check_folder(folder: Folder, skip_bad_images: bool) -> list[str]:
    """Notes on what was left out; problems are errors unless they may be skipped.

    Raises:
        ValueError: class folders without images, unless `skip_bad_images`.
    """
    notes = []
    if folder.empty:
        named = _shown(folder.empty)
        if not skip_bad_images:
            raise ValueError(
                "every class folder must have images; add some, remove the folder, or pass "
                f"--skip-bad-images. Received: {named} in {folder.root}"
            )
        notes.append(f"left out class folders without images: {named}")
    if folder.ignored:
        notes.append(f"ignored {len(folder.ignored)} other files: {_shown(folder.ignored)}")
    return notes


def read_folder(folder: Folder, image_size: int) -> tuple[Split, list[str]]:
    """Opens every image once, and keeps the prepared ones where they fit.

    Args:
        folder: from `list_folder` or `split_folder`.
        image_size: side to stretch the images to.

    Returns:
        The split of the readable images, and the others as "path (reason)".
    """
    paths = [os.path.join(folder.root, path) for path, _ in folder.files]
    labels = np.array([label for _, label in folder.files], np.int64)
    in_memory = fits_in_memory(len(paths), image_size)
    pixels = empty_pixels(len(paths), image_size) if in_memory else None

    def read(i: int) -> str | None:
        try:
            image = load_image(paths[i], image_size)
        except (ImageError, OSError) as error:
            return getattr(error, "strerror", None) or str(error)
        if pixels is not None:
            pixels[i] = image
        return None

    problems = list(_in_threads(read, len(paths), "checking images"))
    bad = [f"{path} ({reason})" for path, reason in zip(paths, problems) if reason]
    good = np.array([i for i, reason in enumerate(problems) if not reason], np.int64)
    kept = [paths[i] for i in good]
    if pixels is None:
        return Split(FileImages(kept, image_size), labels[good], kept), bad
    images = ArrayImages(pixels[good] if bad else pixels)
    return Split(images, labels[good], kept), bad


def _in_threads(read, count: int, label: str) -> Iterable[str | None]:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from progress(pool.map(read, range(count)), count, label)


def refuse_bad(bad: list[str]) -> None:
    """Raises `ValueError` where there are unreadable images, from `read_folder`."""
    if bad:
        raise ValueError(
            "every image must be readable; mend or remove those that are not, or pass "
            f"--skip-bad-images. Received: {len(bad)} unreadable: {_shown(bad)}"
        )


def require_images(folder: Folder, split: Split) -> None:
    """Raises `ValueError` where a class of `folder` has no image in what was read of it."""
    lost = sorted({label for _, label in folder.files} - set(split.labels.tolist()))
    if lost:
        named = _shown([folder.class_names[i] for i in lost])
        raise ValueError(
            f"every class must have readable images. Received: none of {named} in {folder.root}"
        )


def _shown(items: Iterable[str]) -> str:
    items = list(items)
    text = ", ".join(items[:_SHOWN])
    return f"{text} and {len(items) - _SHOWN} more" if len(items) > _SHOWN else text
