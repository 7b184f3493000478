"""The converter, in a process of its own: the only file that touches it.

    python -m export.tflite JOB.json

TensorFlow's converter can leak memory and can crash the process, so the caller
(`export.convert`) starts one process per conversion and reads its exit code.
"""

import dataclasses
import json
import sys
import tempfile
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from export.recipes import RECIPES, Recipe
from mobilenet_tf.engine import keras

INPUT_NAME, OUTPUT_NAME, SIGNATURE = "image", "probabilities", "serving_default"


@dataclasses.dataclass(frozen=True)
class Job:
    """One conversion.

    Attributes:
        model_path: a .keras file.
        recipe: a key of `RECIPES`.
        output_path: where to write the .tflite.
        calibration_path: .npy, uint8 (images, height, width, 3); None where
            the recipe needs none.
    """

    model_path: str
    recipe: str
    output_path: str
    calibration_path: str | None = None


def convert(model: keras.Model, recipe: Recipe, calibration: np.ndarray | None) -> bytes:
    """Converts a model with a batch of 1 and the project's input and output.

    Args:
        model: float32 (batch, height, width, 3) in [0, 255] to probabilities.
        recipe: from `RECIPES`.
        calibration: uint8 (images, height, width, 3); None where the recipe
            needs none.

    Returns:
        The .tflite: `image` (1, height, width, 3), RGB in 0..255, uint8 or
        float32, to `probabilities` float32 (1, classes).
    """
    height, width, channels = model.input_shape[1:]
    with tempfile.TemporaryDirectory() as folder:
        archive = keras.export.ExportArchive()
        archive.track(model)
        # A fixed batch: a dynamic one leaves SHAPE and PACK in the graph.
        archive.add_endpoint(
            SIGNATURE,
            lambda image: {OUTPUT_NAME: model(image, training=False)},
            [tf.TensorSpec((1, height, width, channels), tf.float32, name=INPUT_NAME)],
        )
        archive.write_out(folder, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        _configure(converter, recipe, calibration)
        return converter.convert()


def _configure(
    converter: tf.lite.TFLiteConverter, recipe: Recipe, calibration: np.ndarray | None
) -> None:
    if recipe.weights == "float32":
        return
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if recipe.weights == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if recipe.needs_calibration:
        assert calibration is not None
        converter.representative_dataset = lambda: _representative_dataset(calibration)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.uint8
        # The output stays float32: apps read probabilities without a scale.


def _representative_dataset(images: np.ndarray) -> Iterator[list[np.ndarray]]:
    for i, image in enumerate(images):
        sample = image[np.newaxis].astype(np.float32)
        if i == 0:
            # One black and one white value: the input's range is then exactly
            # 0..255, its scale 1, and the raw bytes of a picture are the input.
            sample[0, 0, 0, 0], sample[0, -1, -1, 0] = 0.0, 255.0
        yield [sample]


def main(argv: list[str]) -> int:
    """Runs one job; returns the exit code."""
    with open(argv[0], encoding="utf-8") as file:
        job = Job(**json.load(file))
    model = keras.models.load_model(job.model_path, compile=False)
    calibration = None if job.calibration_path is None else np.load(job.calibration_path)
    content = convert(model, RECIPES[job.recipe], calibration)
    with open(job.output_path, "wb") as output:
        output.write(content)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
