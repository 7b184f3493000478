"""Decoded images of one split, read by index, in memory where they fit.

Access by index is what makes shuffling a permutation of numbers: exact, the
same on every machine, and able to start at any batch.
"""

import dataclasses
import hashlib
import os
import shutil
import tempfile
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from mobilenet_tf.data.images import load_image

_SHOWN_IMAGES = 256  # That tell data sets of the same labels apart.
_MEMORY_SHARE = 0.4  # Of the free memory; the rest is for the training.


class ImageStore(Protocol):
    """Prepared images by index."""

    def __len__(self) -> int: ...

    def fetch(self, indices: np.ndarray) -> np.ndarray:
        """uint8 (len(indices), image_size, image_size, 3), RGB in 0..255."""


@dataclasses.dataclass(frozen=True)
class ArrayImages:
    """Images in one array, in memory or mapped from disk.

    Attributes:
        pixels: uint8 (images, image_size, image_size, 3).
    """

    pixels: np.ndarray

    def __len__(self) -> int:
        return len(self.pixels)

    def fetch(self, indices: np.ndarray) -> np.ndarray:
        """See `ImageStore`."""
        return np.asarray(self.pixels[indices])


@dataclasses.dataclass(frozen=True)
class FileImages:
    """Images that are decoded each time they are asked for.

    Attributes:
        paths: of the files.
        image_size: side they are stretched to.
    """

    paths: Sequence[str]
    image_size: int

    def __len__(self) -> int:
        return len(self.paths)

    def fetch(self, indices: np.ndarray) -> np.ndarray:
        """See `ImageStore`."""
        return np.stack([load_image(self.paths[i], self.image_size) for i in indices])


@dataclasses.dataclass(frozen=True)
class Split:
    """The training or the evaluation part of a data set.

    Attributes:
        images: prepared images.
        labels: int64 (images,), class indices.
        names: of the images, for messages and reports: paths or numbers.
    """

    images: ImageStore
    labels: np.ndarray
    names: Sequence[str]

    def fingerprint(self) -> str:
        """SHA-256 of all labels and of the pixels of 256 images, evenly spread."""
        found = hashlib.sha256(self.labels.astype(np.int64).tobytes())
        shown = np.unique(np.linspace(0, len(self.labels) - 1, _SHOWN_IMAGES).astype(int))
        found.update(self.images.fetch(shown).tobytes())
        return found.hexdigest()

    def __len__(self) -> int:
        return len(self.labels)


def fits_in_memory(count: int, image_size: int) -> bool:
    """True where `count` prepared images take a moderate part of the free memory."""
    return count * image_size * image_size * 3 < _MEMORY_SHARE * available_memory_bytes()


def available_memory_bytes() -> int:
    """Memory that new work can have without swapping."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            fields = dict(line.split(":", 1) for line in file)
        return int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):  # Not Linux: count all of it.
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def empty_pixels(count: int, image_size: int) -> np.ndarray:
    """An array for `count` prepared images, on disk where memory is too small.

    Raises:
        OSError: the temporary folder is too small as well.
    """
    shape = (count, image_size, image_size, 3)
    if fits_in_memory(count, image_size):
        return np.empty(shape, np.uint8)
    needed, free = int(np.prod(shape)), shutil.disk_usage(tempfile.gettempdir()).free
    if needed > free:
        raise OSError(
            f"the decoded images need {needed / 1e9:.1f} GB of memory or of temporary disk; use "
            f"a smaller --image-size or set TMPDIR. Received: {free / 1e9:.1f} GB free"
        )
    with tempfile.TemporaryFile() as file:  # The mapping outlives the file's name.
        return np.memmap(file, np.uint8, "w+", shape=shape)


def balanced_indices(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Draws images with every class equally often, as far as there are enough.

    Args:
        labels: int64 (images,).
        count: how many to draw; all where there are fewer.
        seed: the same seed draws the same images.

    Returns:
        int64 indices, sorted, without repetition.
    """
    rng = np.random.default_rng(seed)
    queues = [rng.permutation(np.flatnonzero(labels == c)) for c in np.unique(labels)]
    longest = max((len(queue) for queue in queues), default=0)
    # One from each class in turn: round-robin keeps small classes whole.
    turns = [queue[i] for i in range(longest) for queue in queues if i < len(queue)]
    return np.sort(np.array(turns[:count], np.int64))
