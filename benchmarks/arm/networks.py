"""The untrained networks whose counts are committed: of the gate and of the full table."""

import os
from collections.abc import Sequence

import numpy as np

from benchmarks import sweep
from export.recipes import RECIPES
from mobilenet_tf import specs
from mobilenet_tf.progress import progress

FLOAT32, INT8, TENSORFLOW_INT8 = "none", "int8", "int8-float-fallback"
TENSORFLOW_FLOAT32 = "tensorflow-none"  # No option of convert_tflite.py: only compared with.
_SUFFIXES = {
    FLOAT32: "float32",
    TENSORFLOW_FLOAT32: "tensorflow_float32",
    INT8: "int8",
    TENSORFLOW_INT8: "tensorflow_int8",
}
_CLASSES = 1000
_IMAGES = 4  # Counts do not depend on the scales.

# Small and few, so that CI can build and count them in a minute.
GATE = tuple(
    sweep.Point(spec, alpha, 96, quantize, _CLASSES, None)
    for spec, alpha, quantize in (
        (specs.V1, 0.25, INT8),
        (specs.V3_SMALL, 0.35, FLOAT32),
        (specs.V3_SMALL, 0.35, INT8),
    )
)
TABLE = tuple(
    sweep.Point(spec, 1.0, 224, quantize, _CLASSES, None)
    for spec in specs.NETWORKS
    for quantize in _SUFFIXES
)


def file_name(point: sweep.Point) -> str:
    """How the file of a network is called."""
    network = f"mobilenet_{point.spec.name}_{point.alpha}_{point.image_size}"
    return f"{network}_{_SUFFIXES[point.quantize]}.tflite"


def build_files(points: Sequence[sweep.Point], folder: str) -> list[str]:
    """Builds and converts networks with seeded random weights.

    Args:
        points: what to build.
        folder: to write to; a file that is there already is kept.

    Returns:
        A path per point, in the same order.
    """
    paths = []
    for point in progress(points, len(points), "building networks"):
        path = os.path.join(folder, file_name(point))
        if not os.path.exists(path):
            model = sweep.build_network(point)
            images = _noise(point.image_size)
            _settle(model, images)
            _convert(model, point, images, path)
        paths.append(path)
    return paths


def _convert(model, point: sweep.Point, images: np.ndarray, path: str) -> None:
    if point.quantize != TENSORFLOW_FLOAT32:
        sweep.convert_file(model, point, images, path)
        return
    from export import convert, stock  # TensorFlow: not for --help.

    recipe = RECIPES[FLOAT32]
    convert.write_file(stock.convert_here(model, recipe, None), recipe, path)


def _noise(image_size: int) -> np.ndarray:
    """uint8 images like the one that is counted: ranges and outputs are then not extreme."""
    shape = (_IMAGES, image_size, image_size, 3)
    return np.random.default_rng(1).integers(0, 256, shape, np.uint8)


def _settle(model, images: np.ndarray) -> None:
    """Gives BatchNorm the statistics of images, without which all outputs are alike."""
    for layer in model.layers:
        if type(layer).__name__ == "BatchNormalization":
            layer.momentum = 0.0  # The moving statistics become those of this batch.
    model(images.astype(np.float32), training=True)
