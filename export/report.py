"""What convert_tflite.py reports: the same facts as JSON and as text."""

import dataclasses
import datetime
import hashlib
import resource
from typing import Any

import numpy as np

from export.evaluation import agreement, top_k_accuracy
from export.inspection.facts import inspect_file
from export.quantizer import Chosen, Quantized
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


@dataclasses.dataclass(frozen=True)
class Choices:
    """What post-training quantization chose, and what came of it."""

    chosen: Chosen
    quantized: Quantized


@dataclasses.dataclass(frozen=True)
class Converted:
    """A file that was written, and how.

    Attributes:
        path: of the .tflite.
        model_path: of the .keras.
        recipe: from `export.recipes`.
        hard_swish: "fused" or "split".
        calibration_images: how many; 0 for recipes without.
        seed: of their choice.
        seconds: that it took to load the model, read the images and convert.
        choices: of post-training quantization; None without.
    """

    path: str
    model_path: str
    recipe: Recipe
    hard_swish: str
    calibration_images: int
    seed: int
    seconds: float
    choices: Choices | None


def make_report(
    converted: Converted,
    class_names: list[str],
    data: DataConfig | None,
    scores: Scores | None,
) -> dict[str, Any]:
    """Collects the report.

    Returns:
        {"file", "sha256", "model", "quantize", "hard_swish", "date",
        "seconds", "peak_memory_bytes", "versions", "class_names", "facts":
        see `facts.FileFacts`, "calibration", "data", "evaluation":
        {"images", "keras_top1", "tflite_top1", "agreement",
        "max_difference"} or None}; accuracies are 0..1.
    """
    with open(converted.path, "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    return {
        "file": converted.path,
        "sha256": digest,
        "model": converted.model_path,
        "quantize": converted.recipe.name,
        "hard_swish": converted.hard_swish,
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "seconds": round(converted.seconds, 1),
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "versions": runs.package_versions(),
        "class_names": class_names,
        "facts": dataclasses.asdict(inspect_file(converted.path)),
        "calibration": _calibration(converted),
        "data": None if data is None else dataclasses.asdict(data),
        "evaluation": None if scores is None else evaluate(scores),
    }


def _calibration(converted: Converted) -> dict[str, Any] | None:
    if not converted.calibration_images:
        return None
    content: dict[str, Any] = {"images": converted.calibration_images, "seed": converted.seed}
    if converted.choices is None:
        return content
    chosen, quantized = converted.choices.chosen, converted.choices.quantized
    return content | {
        "estimator": chosen.estimator,
        "estimators": chosen.estimators,
        "channels_equalized": chosen.equalized,
        "held_out_images": len(chosen.held_out),
        "held_out_divergence_nats": chosen.divergences,
        "biases_corrected": quantized.corrected,
        "final_divergence_nats": quantized.divergence_nats,
        "float_layers": sorted(quantized.quantization.float_nodes),
    }


def evaluate(scores: Scores) -> dict[str, Any]:
    """Figures of a pair of models; see `make_report`."""
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
    calibration = content["calibration"]
    if calibration and "estimator" in calibration:
        lines.append(
            f"calibration: {calibration['images']} images, ranges by {calibration['estimator']}"
        )
        if calibration["float_layers"]:
            lines.append(f"in float: {', '.join(calibration['float_layers'])}")
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
