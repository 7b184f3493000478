"""What convert_tflite.py reports: the same facts as JSON and as text."""

import dataclasses
import datetime
import hashlib
from typing import Any

import numpy as np

from export.evaluation import agreement, top_k_accuracy
from export.facts import inspect_file
from export.recipes import Recipe
from mobilenet_tf import runs
from mobilenet_tf.data.datasets import DataConfig


@dataclasses.dataclass(frozen=True)
class Scores:
    """Outputs of both models on the whole evaluation split.

    Attributes:
        labels: int64 (images,).
        keras, tflite: float32 (images, classes).
    """

    labels: np.ndarray
    keras: np.ndarray
    tflite: np.ndarray


def make_report(
    tflite_path: str,
    model_path: str,
    recipe: Recipe,
    class_names: list[str] | None,
    calibration_images: int,
    seed: int,
    seconds: float,
    data: DataConfig | None,
    scores: Scores | None,
) -> dict[str, Any]:
    """Collects the report.

    Returns:
        {"file", "sha256", "model", "quantize", "date", "seconds", "versions",
        "class_names", "facts": see `facts.FileFacts`, "calibration",
        "data", "evaluation": {"images", "keras_top1", "tflite_top1",
        "agreement", "max_difference"} or None}; accuracies are 0..1.
    """
    with open(tflite_path, "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    return {
        "file": tflite_path,
        "sha256": digest,
        "model": model_path,
        "quantize": recipe.name,
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "seconds": round(seconds, 1),
        "versions": runs.package_versions(),
        "class_names": class_names,
        "facts": dataclasses.asdict(inspect_file(tflite_path)),
        "calibration": {"images": calibration_images, "seed": seed} if calibration_images else None,
        "data": None if data is None else dataclasses.asdict(data),
        "evaluation": None if scores is None else _evaluation(scores),
    }


def _evaluation(scores: Scores) -> dict[str, Any]:
    return {
        "images": len(scores.labels),
        "keras_top1": top_k_accuracy(scores.keras, scores.labels, 1),
        "tflite_top1": top_k_accuracy(scores.tflite, scores.labels, 1),
        "agreement": agreement(scores.keras, scores.tflite),
        "max_difference": float(np.abs(scores.keras - scores.tflite).max()),
    }


def format_report(content: dict[str, Any]) -> str:
    """The report as lines for people."""
    facts, evaluation = content["facts"], content["evaluation"]
    (image,), (probabilities,) = facts["inputs"], facts["outputs"]
    census = ", ".join(f"{name} {count}" for name, count in facts["op_census"].items())
    lines = [
        f"file: {content['file']}",
        f"size: {facts['size_bytes'] / 1e6:.3f} MB ({facts['size_bytes']:,d} bytes)",
        f"input: {image['dtype']} {list(image['shape'])}, raw RGB 0..255",
        f"output: {probabilities['dtype']} {list(probabilities['shape'])}, probabilities",
        f"operations: {census}",
        f"XNNPACK partitions: {facts['partitions']['count']}",
    ]
    if evaluation is None:
        lines.append("accuracy: not measured, for want of a data set (--dataset)")
        return "\n".join(lines)
    drop = 100 * (evaluation["keras_top1"] - evaluation["tflite_top1"])
    lines += [
        f"top-1 on {evaluation['images']:,d} images: Keras {100 * evaluation['keras_top1']:.2f} %, "
        f".tflite {100 * evaluation['tflite_top1']:.2f} % (drop {drop:+.2f} points)",
        f"agreement with Keras: {100 * evaluation['agreement']:.2f} % of images",
    ]
    return "\n".join(lines)
