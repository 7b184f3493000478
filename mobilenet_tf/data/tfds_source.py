"""Data sets of TensorFlow Datasets, by name and supervised keys."""

import contextlib
import importlib
import os
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from mobilenet_tf.data.images import ImageError, resize_image, to_rgb_array
from mobilenet_tf.data.provenance import Provenance
from mobilenet_tf.data.store import ArrayImages, Split, balanced_indices, empty_pixels
from mobilenet_tf.progress import progress

_VALIDATION_SPLITS = ("validation", "val", "test")
_OWN_BUILDERS = {"shapes": "mobilenet_tf.data.shapes"}


def open_builder(name: str, data_dir: str | None) -> Any:
    """Finds a TFDS data set, downloading and preparing it if need be.

    Args:
        name: as `tfds.load` takes it, such as "cifar10" or "cars196:2.1.0".
        data_dir: where prepared data sets lie; None for TFDS's default.

    Returns:
        A prepared `tfds.core.DatasetBuilder` of labelled images.

    Raises:
        ValueError: no such data set, or not one of labelled images.
        ConnectionError: it must be downloaded and cannot be.
    """
    tfds = _import_tfds()
    if name.split(":")[0] in _OWN_BUILDERS:
        importlib.import_module(_OWN_BUILDERS[name.split(":")[0]])
    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except Exception as error:  # TFDS raises many kinds for a wrong name.
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise ValueError(
            "the data set must be an existing folder or the name of a TFDS data set; see "
            f"https://www.tensorflow.org/datasets/catalog. Received: {name} ({reason})"
        ) from None
    _check_labelled_images(builder, name)
    if not os.path.exists(str(builder.data_dir)):
        _prepare(tfds, builder, name)
    return builder


def _import_tfds() -> Any:
    import tensorflow_datasets as tfds  # Slow to import, and a folder needs none of it.

    return tfds


def _check_labelled_images(builder: Any, name: str) -> None:
    features, keys = builder.info.features, builder.info.supervised_keys
    kinds = [type(features[key]).__name__ for key in keys or () if key in features]
    if kinds != ["Image", "ClassLabel"]:
        raise ValueError(
            "the data set must hold images with one class label each. "
            f"Received: {name} with {', '.join(kinds) or 'no supervised keys'}"
        )


def _prepare(tfds: Any, builder: Any, name: str) -> None:
    print(f"preparing {name} in {builder.data_dir}", file=sys.stderr, flush=True)
    try:
        builder.download_and_prepare()
    except (AssertionError, ImportError):
        raise  # A defect of the code or of the installation.
    except Exception as error:  # Network, manual download, checksum, disk: all end here.
        reason = " ".join(str(error).split())[:300]
        raise ConnectionError(
            f"{name} must be downloaded once and could not be; go online, or prepare it in "
            f"--data-dir. Received: {reason}"
        ) from None


class TFDSSource:
    """A TFDS data set as training and validation splits.

    Args:
        builder: from `open_builder`.
        train_split: a TFDS split such as "train[:90%]"; None for "train".
        val_split: None for "validation" or "test", or, where there is neither,
            a part of "train".
        val_fraction: size of that part.

    Raises:
        ValueError: a split that the data set does not have.
    """

    def __init__(
        self,
        builder: Any,
        train_split: str | None = None,
        val_split: str | None = None,
        val_fraction: float = 0.2,
    ) -> None:
        self._builder = builder
        self._image_key, self._label_key = builder.info.supervised_keys
        self.class_names = tuple(builder.info.features[self._label_key].names)
        self.train_split, self.val_split = train_split, val_split
        if val_split is None:
            known = [split for split in _VALIDATION_SPLITS if split in builder.info.splits]
            self.val_split = known[0] if known else f"train[{_percent(val_fraction)}%:]"
            if not known and train_split is None:
                self.train_split = f"train[:{_percent(val_fraction)}%]"
        self.train_split = self.train_split or "train"
        for split in (self.train_split, self.val_split):
            self._examples(split)
        self.notes = [f"trains on {self.train_split}, validates on {self.val_split}"]

    @property
    def native_size(self) -> int | None:
        """Side of the images in pixels; None where it varies."""
        shape = self._builder.info.features[self._image_key].shape
        return min(shape[:2]) if shape[0] and shape[1] else None

    @property
    def provenance(self) -> Provenance:
        """What the data set says of itself."""
        info = self._builder.info
        if info.name in _OWN_BUILDERS:
            source = f"{info.full_name}, drawn by mobilenet_tf"
        else:
            source = f"{info.full_name} of TensorFlow Datasets, {info.homepage}"
        return Provenance(
            source,
            info.redistribution_info.license or None,
            (info.citation or "").strip(),
        )

    def read_train(self, image_size: int) -> Split:
        """Decodes and stretches the training images."""
        return self._read(self.train_split, image_size)

    def draw_train(self, image_size: int, count: int, seed: int) -> np.ndarray:
        """Some of the training images, uint8 (images, size, size, 3); see `balanced_indices`."""
        train = self.read_train(image_size)
        return train.images.fetch(balanced_indices(train.labels, count, seed))

    def read_validation(self, image_size: int) -> Split:
        """Decodes and stretches the validation images."""
        return self._read(self.val_split, image_size)

    def _examples(self, split: str | None) -> int:
        """How many images a split has, which must be some."""
        with contextlib.suppress(KeyError, ValueError, AssertionError):
            count = self._builder.info.splits[split].num_examples
            if count:
                return count
        raise ValueError(
            f"a split must be one of {', '.join(self._builder.info.splits)}, or a part such "
            f"as train[:90%] with images in it. Received: {split}"
        )

    def _read(self, split: str | None, image_size: int) -> Split:
        count = self._examples(split)
        pixels, labels = empty_pixels(count, image_size), np.empty(count, np.int64)
        examples = progress(self._decoded(split), count, f"reading {split}")
        for i, (image, label) in enumerate(examples):
            try:
                pixels[i] = resize_image(to_rgb_array(image), image_size)
            except ImageError as error:
                raise ValueError(f"every image must be 8- or 16-bit. Received: {error}") from None
            labels[i] = label
        return Split(ArrayImages(pixels), labels, [f"{split}[{i}]" for i in range(count)])

    def _decoded(self, split: str | None) -> Iterator[tuple[np.ndarray, int]]:
        dataset = self._builder.as_dataset(split, as_supervised=True, shuffle_files=False)
        if self.native_size is None:
            yield from dataset.as_numpy_iterator()
            return
        # Images of one size come many at a time: a third of the seconds.
        for images, labels in dataset.batch(256).as_numpy_iterator():
            yield from zip(images, labels)


def _percent(val_fraction: float) -> int:
    return min(99, max(1, round(100 * (1 - val_fraction))))
