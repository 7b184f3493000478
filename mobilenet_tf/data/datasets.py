"""Opening any data set: a folder of images or a TFDS name."""

import dataclasses
import os
from typing import Protocol

import numpy as np
from PIL import Image

from mobilenet_tf.cli import UsageError
from mobilenet_tf.data import folder, tfds_source
from mobilenet_tf.data.provenance import Provenance
from mobilenet_tf.data.store import Split, balanced_indices
from mobilenet_tf.layout import MIN_IMAGE_SIZE

MAX_DEFAULT_SIZE = 224  # What the papers use; more is asked for explicitly.
_SIZE_SAMPLES = 100  # Files whose header tells the usual size of a folder.


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Which images train and which validate; enough to find them again.

    Attributes:
        dataset: a folder of class subfolders, or a TFDS name.
        val_dataset: a second such folder; None to hold out a part.
        train_split, val_split: TFDS only, such as "train[:90%]".
        val_fraction: part of a folder's images that validate.
        data_dir: where TFDS data sets lie; None for TFDS's default.
        seed: of the division of a folder.
        skip_bad_images: leave out unreadable images instead of failing.
    """

    dataset: str = "cifar10"
    val_dataset: str | None = None
    train_split: str | None = None
    val_split: str | None = None
    val_fraction: float = 0.2
    data_dir: str | None = None
    seed: int = 0
    skip_bad_images: bool = False


class Source(Protocol):
    """An opened data set. Images are read when a split is."""

    class_names: tuple[str, ...]
    notes: list[str]

    @property
    def native_size(self) -> int | None:
        """Usual side of the images in pixels; None where it is not known."""

    @property
    def provenance(self) -> Provenance:
        """Where the data come from."""

    def read_train(self, image_size: int) -> Split:
        """The training images, stretched to the size."""

    def draw_train(self, image_size: int, count: int, seed: int) -> np.ndarray:
        """Some of the training images, uint8 (images, size, size, 3); see `balanced_indices`."""

    def read_validation(self, image_size: int) -> Split:
        """The validation images, stretched to the size."""


def open_source(config: DataConfig) -> Source:
    """Opens a data set without reading its images.

    Raises:
        UsageError: options for the other kind of data set.
        ValueError: no such data set, or one that cannot train a classifier.
        NotADirectoryError: `val_dataset` is no folder.
        ConnectionError: a TFDS data set that cannot be downloaded.
    """
    if os.path.isdir(config.dataset):
        if config.train_split or config.val_split:
            raise UsageError(
                "splits are for TFDS data sets; use --val-dataset or --val-fraction. "
                f"Received: a folder, {config.dataset}"
            )
        return FolderSource(config)
    if config.val_dataset:
        raise UsageError(
            "--val-dataset is for folders; use --val-split with TFDS data sets. "
            f"Received: --dataset {config.dataset}"
        )
    if os.sep in config.dataset or config.dataset.startswith("."):
        raise ValueError(
            "the data set must be an existing folder or the name of a TFDS data set; name one "
            "with --dataset. "
            f"Received: {config.dataset}"
        )
    builder = tfds_source.open_builder(config.dataset, config.data_dir)
    return tfds_source.TFDSSource(
        builder, config.train_split, config.val_split, config.val_fraction
    )


class FolderSource:
    """A folder, or a pair of them, as training and validation splits.

    Args:
        config: its `dataset` is an existing folder.

    Raises:
        ValueError, NotADirectoryError: see `open_source`.
    """

    def __init__(self, config: DataConfig) -> None:
        listed = folder.list_folder(config.dataset)
        self.class_names = listed.class_names
        self.notes = folder.check_folder(listed, config.skip_bad_images)
        self._skip = config.skip_bad_images
        # A folder's place on this machine is nobody else's business.
        self._name = os.path.basename(os.path.abspath(config.dataset))
        if config.val_dataset:
            self._train = listed
            validation = folder.list_folder(config.val_dataset)
            self.notes += folder.check_folder(validation, config.skip_bad_images)
            self._validation = folder.match_classes(validation, listed.class_names)
        else:
            self._train, self._validation = folder.split_folder(
                listed, config.val_fraction, config.seed
            )

    @property
    def provenance(self) -> Provenance:
        """A folder says nothing of its licence."""
        return Provenance(f"{self._name}, a folder of images")

    @property
    def native_size(self) -> int | None:
        """Median of the images' shorter sides, from a sample of their headers."""
        files = self._train.files
        step = max(1, len(files) // _SIZE_SAMPLES)
        sides = []
        for path, _ in files[::step]:
            try:
                with Image.open(os.path.join(self._train.root, path)) as image:
                    sides.append(min(image.size))
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
                continue  # The check of all images reports it.
        return int(np.median(sides)) if sides else None

    def read_train(self, image_size: int) -> Split:
        """See `Source`; unreadable images are left out, or reported with the validation's."""
        split, bad = folder.read_folder(self._train, image_size)
        if bad and not self._skip:  # All of them in one message.
            folder.refuse_bad(bad + folder.read_folder(self._validation, image_size)[1])
        folder.require_images(self._train, split)
        self._note(bad)
        return split

    def draw_train(self, image_size: int, count: int, seed: int) -> np.ndarray:
        """See `Source`; no other image is read."""
        labels = np.array([label for _, label in self._train.files], np.int64)
        drawn = balanced_indices(labels, count, seed)
        files = tuple(self._train.files[i] for i in drawn)
        part = dataclasses.replace(self._train, files=files)
        split, bad = folder.read_folder(part, image_size)
        if not self._skip:
            folder.refuse_bad(bad)
        if not len(split):
            folder.require_images(part, split)
        return split.images.fetch(np.arange(len(split)))

    def read_validation(self, image_size: int) -> Split:
        """See `Source`; a class may lose all its validation images, but not every class."""
        split, bad = folder.read_folder(self._validation, image_size)
        if not self._skip:
            folder.refuse_bad(bad)
        if not len(split):
            folder.require_images(self._validation, split)
        self._note(bad)
        return split

    def _note(self, bad: list[str]) -> None:
        self.notes += [f"left out {entry}" for entry in bad]


def default_image_size(native_size: int | None) -> int:
    """The input size for images of a size: theirs, but at most 224.

    Args:
        native_size: usual side of the images in pixels; None if unknown.

    Returns:
        A multiple of 32 from 32 to 224.
    """
    if native_size is None:
        return MAX_DEFAULT_SIZE
    rounded = native_size // MIN_IMAGE_SIZE * MIN_IMAGE_SIZE
    return min(MAX_DEFAULT_SIZE, max(MIN_IMAGE_SIZE, rounded))
