"""What convert_tflite.py reports: the same facts as JSON and as text."""

import dataclasses
import datetime
import resource
from collections.abc import Sequence
from typing import Any

import numpy as np

from export.evaluation import agreement, confusion_matrix, top_k_accuracy
from export.inspection.facts import inspect_file
from export.layer_plot import in_order
from export.quantization.layer_costs import layer_costs
from export.quantization.quantizer import Quantized
from export.quantization.scale_choice import Chosen
from export.recipes import Recipe
from mobilenet_tf import files, runs
from mobilenet_tf.data.datasets import DataConfig
from mobilenet_tf.machine import describe_machine

_WORST_IMAGES = 12
_LEAST_DIFFERENCE = 0.001  # Of probabilities, to speak of it.
_LAYER_IMAGES = 8  # That layers are measured on: one batch, for a picture and not a ranking.


@dataclasses.dataclass(frozen=True)
class Scores:
    """Outputs of both models on the whole evaluation split.

    Attributes:
        labels: int64 (images,).
        keras, tflite: float32 (images, classes).
        names: of the images: paths or numbers.
        reference: path of the .keras file.
    """

    labels: np.ndarray
    keras: np.ndarray
    tflite: np.ndarray
    names: Sequence[str]
    reference: str


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
        arm_instructions: of one inference by core; None where nothing counts them.
    """

    path: str
    model_path: str
    recipe: Recipe
    hard_swish: str
    calibration_images: int
    seed: int
    seconds: float
    choices: Choices | None
    arm_instructions: dict[str, int] | None = None


def make_report(
    converted: Converted,
    class_names: list[str],
    data: DataConfig | None,
    scores: Scores | None,
) -> dict[str, Any]:
    """Collects the report.

    Returns:
        {"file", "sha256", "model", "reference": what it is compared with, a
        .keras file or None, "quantize", "hard_swish", "date",
        "seconds", "peak_memory_bytes", "versions", "machine", "class_names",
        "facts": see `facts.FileFacts`, "arm_instructions", "calibration", "data", "evaluation":
        {"images", "keras_top1", "tflite_top1", "agreement",
        "max_difference", "per_class": see `per_class`, and see
        `worst_images`} or None, "layers": {"images", "costs": see
        `layer_costs.LayerCost`, in network order} or None}; accuracies are
        0..1.
    """
    return {
        "file": converted.path,
        "sha256": files.sha256(converted.path),
        "model": converted.model_path,
        "reference": None if scores is None else scores.reference,
        "quantize": converted.recipe.name,
        "hard_swish": converted.hard_swish,
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "seconds": round(converted.seconds, 1),
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "versions": runs.package_versions(),
        "machine": describe_machine(),
        "class_names": class_names,
        "facts": dataclasses.asdict(inspect_file(converted.path)),
        "arm_instructions": converted.arm_instructions,
        "calibration": _calibration(converted),
        "data": None if data is None else dataclasses.asdict(data),
        "evaluation": None if scores is None else _evaluation(scores, class_names),
        "layers": None if converted.choices is None else _layers(converted.choices.chosen),
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
        "channels_copied": chosen.form.copies,
        "swishes_equalized": bool(chosen.form.swishes),
        "channels_equalized": chosen.form.equalized,
        "held_out_images": len(chosen.held_out),
        "held_out_divergence_nats": chosen.divergences,
        "rounding": quantized.rounding,
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


def _evaluation(scores: Scores, class_names: list[str]) -> dict[str, Any]:
    classes = {"per_class": per_class(scores, class_names)}
    return evaluate(scores) | classes | worst_images(scores, class_names)


def per_class(scores: Scores, class_names: list[str]) -> list[dict[str, Any]]:
    """Top-1 accuracy of both models on each class.

    Args:
        scores: of all evaluation images.
        class_names: in the order of the outputs.

    Returns:
        A dict for each class: {"class", "images", "keras", "tflite"};
        accuracies are 0..1, None for classes without images.
    """
    counts = np.bincount(scores.labels, minlength=len(class_names)).tolist()
    keras, tflite = (
        np.diagonal(confusion_matrix(both, scores.labels)).tolist()
        for both in (scores.keras, scores.tflite)
    )
    return [
        {
            "class": name,
            "images": count,
            "keras": right / count if count else None,
            "tflite": right_int / count if count else None,
        }
        for name, count, right, right_int in zip(class_names, counts, keras, tflite)
    ]


def worst_images(scores: Scores, class_names: list[str]) -> dict[str, Any]:
    """Chooses the images that the conversion hurt most.

    Args:
        scores: of all evaluation images.
        class_names: in the order of the outputs.

    Returns:
        {"lost", "gained": how many images the Keras model alone, the .tflite
        alone has right, "worst_images"}: up to 12 of those lost, first those
        whose label lost most probability; where none is lost, those in which
        any probability changed most, by 0.001 or more. Each is a dict:
        {"index", "name", "label", "keras", "keras_probability", "tflite",
        "tflite_probability"}, with both models' answers.
    """
    labels, rows = scores.labels, np.arange(len(scores.labels))
    answers, new_answers = scores.keras.argmax(1), scores.tflite.argmax(1)
    right, new_right = answers == labels, new_answers == labels
    lost = np.flatnonzero(right & ~new_right)
    if len(lost):
        candidates, harm = lost, (scores.keras - scores.tflite)[lost, labels[lost]]
    else:
        difference = np.abs(scores.keras - scores.tflite).max(1)
        candidates = rows[difference >= _LEAST_DIFFERENCE]
        harm = difference[candidates]
    worst = candidates[np.argsort(-harm, kind="stable")][:_WORST_IMAGES].tolist()
    images = [
        {
            "index": i,
            "name": str(scores.names[i]),
            "label": class_names[labels[i]],
            "keras": class_names[answers[i]],
            "keras_probability": float(scores.keras[i, answers[i]]),
            "tflite": class_names[new_answers[i]],
            "tflite_probability": float(scores.tflite[i, new_answers[i]]),
        }
        for i in worst
    ]
    gained = int(np.sum(new_right & ~right))
    return {"lost": len(lost), "gained": gained, "worst_images": images}


def _layers(chosen: Chosen) -> dict[str, Any]:
    spread = np.linspace(0, len(chosen.held_out) - 1, _LAYER_IMAGES)
    images = chosen.held_out[np.unique(spread.astype(int))]
    costs = layer_costs(chosen.graph, chosen.quantization, images)
    rows = in_order(costs, [node.name for node in chosen.graph.nodes])
    return {"images": len(images), "costs": [dataclasses.asdict(cost) for cost in rows]}


def format_report(content: dict[str, Any]) -> str:
    """The report as lines for people."""
    lines = [f"{label}: {text}" for label, text in file_rows(content)]
    evaluation = content["evaluation"]
    if evaluation is None:
        lines.append("accuracy: not measured, for want of a data set (--dataset)")
        return "\n".join(lines)
    drop = 100 * (evaluation["keras_top1"] - evaluation["tflite_top1"])
    if content["reference"] != content["model"]:
        lines.append(f"compared with: {content['reference']}")
    lines += [
        f"top-1 on {evaluation['images']:,d} images: Keras {100 * evaluation['keras_top1']:.2f} %, "
        f".tflite {100 * evaluation['tflite_top1']:.2f} % (drop {drop:+.2f} points)",
        f"agreement with Keras: {100 * evaluation['agreement']:.2f} % of images",
    ]
    return "\n".join(lines)


def format_partitions(partitions: dict[str, Any]) -> str:
    """How many, and what XNNPACK leaves to slower kernels."""
    left = [f"{name} {count}" for name, count in partitions["outside"].items()]
    return f"{partitions['count']}" + (f"; outside them {', '.join(left)}" if left else "")


def format_arm(instructions: dict[str, int]) -> str:
    """Instructions by core, such as "7.25 M on cortex-a53"."""
    return ", ".join(f"{count / 1e6:,.2f} M on {core}" for core, count in instructions.items())


def file_rows(content: dict[str, Any]) -> list[tuple[str, str]]:
    """What the file is: (label, text), for lines or a table."""
    facts = content["facts"]
    (image,), (probabilities,) = facts["inputs"], facts["outputs"]
    census = ", ".join(f"{name} {count}" for name, count in facts["op_census"].items())
    rows = [
        ("file", content["file"]),
        ("size", f"{facts['size_bytes'] / 1e6:.3f} MB ({facts['size_bytes']:,d} bytes)"),
        ("input", f"{image['dtype']} {list(image['shape'])}, raw RGB 0..255"),
        ("output", f"{probabilities['dtype']} {list(probabilities['shape'])}, probabilities"),
        ("operations", census),
        ("XNNPACK partitions", format_partitions(facts["partitions"])),
    ]
    if content["arm_instructions"]:
        rows.append(("ARM instructions", format_arm(content["arm_instructions"])))
    calibration = content["calibration"]
    if calibration:
        text = f"{calibration['images']} images"
        if "estimator" in calibration:
            text += f", ranges by {calibration['estimator']}"
            copies = calibration.get("channels_copied")
            text += f", {copies} channels copied into dead ones" if copies else ""
            text += ", hard-swishes equalized" if calibration.get("swishes_equalized") else ""
            text += ", channels equalized" if calibration["channels_equalized"] else ""
        rows.append(("calibration", text))
        if calibration.get("float_layers"):
            rows.append(("in float", ", ".join(calibration["float_layers"])))
    return rows
