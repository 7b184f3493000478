"""Converting safely: checked input, a process of its own, a whole file or none."""

import os
import subprocess
import sys
import tempfile

import numpy as np

from export.recipes import Recipe
from mobilenet_tf import files
from mobilenet_tf.cli import WorkError
from mobilenet_tf.runtime import TFLiteModel

_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_TIMEOUT_S = 3600  # A conversion takes seconds; an hour means that it hangs.


def convert_file(
    model_path: str, recipe: Recipe, calibration: np.ndarray | None, output_path: str
) -> None:
    """Converts a .keras file to a .tflite file that keeps the project's contract.

    Args:
        model_path: of the .keras file.
        recipe: from `export.recipes`.
        calibration: uint8 (images, height, width, 3) for recipes that need
            it.
        output_path: of the .tflite; replaced if it exists.

    Raises:
        WorkError: the conversion failed; nothing is written.
    """
    with files.replacing(output_path) as temporary, tempfile.TemporaryDirectory() as folder:
        calibration_path = None
        if recipe.needs_calibration:
            if calibration is None or not len(calibration):
                raise ValueError(f"{recipe.name} needs calibration images. Received: none")
            calibration_path = os.path.join(folder, "calibration.npy")
            np.save(calibration_path, calibration)
        job_path = os.path.join(folder, "job.json")
        job = {
            "model_path": os.path.abspath(model_path),
            "recipe": recipe.name,
            "output_path": temporary,
            "calibration_path": calibration_path,
        }
        files.write_json(job_path, job)
        _run_converter(job_path)
        _check_contract(TFLiteModel(temporary), recipe)


def _run_converter(job_path: str) -> None:
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([_ROOT, os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    }
    try:
        done = subprocess.run(
            [sys.executable, "-m", "export.tflite", job_path],
            capture_output=True,
            text=True,
            errors="replace",
            env=environment,
            timeout=_TIMEOUT_S,
            check=False,
        )
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


def _check_contract(model: TFLiteModel, recipe: Recipe) -> None:
    """What every client relies on; see docs/contract.md."""
    problems = []
    if model.input.dtype != recipe.input_dtype:
        problems.append(f"input {model.input.dtype}")
    if recipe.input_dtype == "uint8" and (model.input.scale, model.input.zero_point) != (1.0, 0):
        problems.append(f"input scale {model.input.scale}, zero point {model.input.zero_point}")
    if model.output.dtype != "float32" or len(model.output.shape) != 2:
        problems.append(f"output {model.output.dtype} {model.output.shape}")
    if problems:
        raise WorkError(
            f"the file must take raw RGB bytes as {recipe.input_dtype} and give float32 "
            f"probabilities; build the model with include_preprocessing=True and its top. "
            f"Received: {', '.join(problems)}"
        )
