"""TensorFlow's own converter, for layers that the export form does not know, and to compare.

    python -m export.stock JOB.json

It can leak memory and can crash the process, so `convert_with_tensorflow`
starts one process per conversion and reads its exit code.
"""

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from export.recipes import RECIPES, Recipe
from export.writer import INPUT_NAME, OUTPUT_NAME, SIGNATURE
from mobilenet_tf import files
from mobilenet_tf.cli import WorkError
from mobilenet_tf.engine import keras
from mobilenet_tf.processes import run_module

_TIMEOUT_S = 3600  # A conversion takes seconds; an hour means that it hangs.


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


def convert_with_tensorflow(
    model_path: str, recipe: Recipe, calibration: np.ndarray | None
) -> bytes:
    """Converts a .keras file in a process of its own.

    Args:
        model_path: of the .keras file.
        recipe: from `export.recipes`; of 8 bits or float.
        calibration: uint8 (images, height, width, 3) for recipes that need it.

    Returns:
        The .tflite: `image` (1, height, width, 3), RGB in 0..255, uint8 or
        float32, to `probabilities` float32 (1, classes).

    Raises:
        WorkError: the conversion failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        calibration_path = None
        if calibration is not None:
            calibration_path = os.path.join(folder, "calibration.npy")
            np.save(calibration_path, calibration)
        output_path, job_path = os.path.join(folder, "x.tflite"), os.path.join(folder, "job.json")
        job = Job(os.path.abspath(model_path), recipe.name, output_path, calibration_path)
        files.write_json(job_path, dataclasses.asdict(job))
        _run_converter(job_path)
        with open(output_path, "rb") as file:
            return file.read()


def _run_converter(job_path: str) -> None:
    try:
        done = run_module("export.stock", [job_path], _TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise WorkError(f"the converter must end. Received: no end in {_TIMEOUT_S} s") from None
    if done.returncode < 0:
        raise WorkError(
            "the converter crashed; check the model for values that are not finite. "
            f"Received: signal {-done.returncode}"
        )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        reason = lines[-1].strip() if lines else f"exit code {done.returncode}"
        raise WorkError(f"the model could not be converted. Received: {reason}")


def convert_here(model: keras.Model, recipe: Recipe, calibration: np.ndarray | None) -> bytes:
    """Converts in this process; see `convert_with_tensorflow`."""
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
        operations = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        if recipe.stock:  # What has no int8 kernel stays in float.
            operations.append(tf.lite.OpsSet.TFLITE_BUILTINS)
        converter.target_spec.supported_ops = operations
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
    content = convert_here(model, RECIPES[job.recipe], calibration)
    with open(job.output_path, "wb") as output:
        output.write(content)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
