"""MODEL_CARD.md: what a bundled model is, how it was made, and what it is worth."""

import dataclasses
import os
import re
from collections.abc import Mapping
from typing import Any

_HASH_LINE = re.compile(r"^([0-9a-f]{64})  (\S+)$", re.MULTILINE)
_UNKNOWN = "not known"


@dataclasses.dataclass(frozen=True)
class ModelCard:
    """The facts of a model card; what is None is shown as not known.

    Attributes:
        name: of the model.
        license: of the weights.
        data: the data set's name.
        recipe: training settings, name to value.
        quantize: how the numbers are stored, a name of `RECIPES`.
        images: evaluated, in number.
        keras_top1, tflite_top1: accuracy of the float Keras model and of the
            file, 0..1.
        agreement: share of images on which both name the same class, 0..1.
        latency: one sentence with milliseconds and machine.
    """

    name: str
    license: str = "not stated"
    data: str | None = None
    recipe: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    quantize: str | None = None
    images: int | None = None
    keras_top1: float | None = None
    tflite_top1: float | None = None
    agreement: float | None = None
    latency: str | None = None


def card_of(report: Mapping[str, Any], name: str, recipe: Mapping[str, Any]) -> ModelCard:
    """Takes a card's facts from a conversion.

    Args:
        report: of `report.make_report`.
        name: of the model.
        recipe: training settings, name to value; None values are left out.
    """
    data, evaluation = report["data"] or {}, report["evaluation"] or {}
    dataset = data.get("dataset")
    return ModelCard(
        name=name,
        # A folder's place on this machine is nobody else's business.
        data=None if dataset is None else os.path.basename(os.path.normpath(dataset)),
        recipe={key: value for key, value in recipe.items() if value is not None},
        quantize=report["quantize"],
        images=evaluation.get("images"),
        keras_top1=evaluation.get("keras_top1"),
        tflite_top1=evaluation.get("tflite_top1"),
        agreement=evaluation.get("agreement"),
    )


def format_card(
    card: ModelCard,
    class_names: tuple[str, ...],
    size: tuple[int, int],
    dtype: str,
    hashes: Mapping[str, str],
) -> str:
    """The card as Markdown.

    Args:
        card: the facts.
        class_names: in the order of the outputs.
        size: (height, width) of the input in pixels.
        dtype: of the input.
        hashes: file name to SHA-256, hexadecimal.
    """
    height, width = size
    names = ", ".join(class_names[:20]) + (", ..." if len(class_names) > 20 else "")
    settings = ", ".join(f"{key} {value}" for key, value in card.recipe.items())
    lines = [
        f"# {card.name}",
        "",
        f"Names which of {len(class_names)} classes an image shows: {names}.",
        "",
        "| | |",
        "|---|---|",
        f"| input | {dtype} [1, {height}, {width}, 3], RGB in 0..255, the whole image stretched |",
        f"| output | float32 [1, {len(class_names)}], probabilities in the order of `labels.txt` |",
        f"| data | {card.data or _UNKNOWN} |",
        f"| recipe | {settings or _UNKNOWN} |",
        f"| quantization | {card.quantize or _UNKNOWN} |",
        f"| top-1, float Keras model | {_percent(card.keras_top1)} |",
        f"| top-1, this file | {_percent(card.tflite_top1)} |",
        f"| evaluated on | {_UNKNOWN if card.images is None else f'{card.images:,d} images'} |",
        f"| agreement of both | {_percent(card.agreement)} |",
        f"| latency | {card.latency or 'not measured'} |",
        f"| licence of the weights | {card.license} |",
        "",
        "## Limits",
        "",
        "- It names one of its classes for every image, also for images of none of them.",
        "- Its accuracy holds for images like those it was evaluated on; measure it on yours.",
        "- A probability is the model's confidence, not a measured frequency of being right.",
        "- The images of this bundle are those that the model is surest of, to compare programs;",
        "  they say nothing about accuracy.",
        "",
        "## SHA-256",
        "",
        "```",
        *(f"{digest}  {name}" for name, digest in hashes.items()),
        "```",
    ]
    return "\n".join(lines) + "\n"


def read_hashes(card: str) -> dict[str, str]:
    """File name to SHA-256, from a card's last section."""
    return {name: digest for digest, name in _HASH_LINE.findall(card)}


def _percent(value: float | None) -> str:
    return _UNKNOWN if value is None else f"{100 * value:.2f} %"
