"""MODEL_CARD.md: what a bundled model is, how it was made, and what it is worth."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from mobilenet_tf.data.provenance import Provenance

_HASH_LINE = re.compile(r"^([0-9a-f]{64})  (\S+)$", re.MULTILINE)
_UNKNOWN = "not known"
_LIMITS = (
    "## Limits",
    "",
    "- It names one of its classes for every image, also for images of none of them.",
    "- Its accuracy holds for images like those it was evaluated on; measure it on yours.",
    "- A probability is the model's confidence, not a measured frequency of being right.",
    "- Its latency is another one on another processor; measure it on the phone.",
    "- The images of this bundle are of those on which the model is sure, to compare programs;",
    "  they say nothing about accuracy.",
)


@dataclasses.dataclass(frozen=True)
class Cost:
    """What an inference takes; what is None is not known.

    Attributes:
        size_bytes: of the file.
        parameters: of the Keras model, moving statistics included.
        macs: multiply-accumulates, as `mobilenet_tf.complexity` counts.
        partitions: how many XNNPACK runs, and what is outside of them.
        latency: milliseconds and how they were measured, with the processor.
        arm_instructions: how many, and for which kernels.
    """

    size_bytes: int | None = None
    parameters: int | None = None
    macs: int | None = None
    partitions: str | None = None
    latency: str | None = None
    arm_instructions: str | None = None


@dataclasses.dataclass(frozen=True)
class ModelCard:
    """The facts of a model card; what is None is shown as not known.

    Attributes:
        name: of the model.
        license: of the weights.
        data: where the images come from, and their licence.
        recipe: training settings, name to value.
        quantize: how the numbers are stored, a name of `RECIPES`.
        images: evaluated, in number.
        keras_top1, tflite_top1: accuracy of the float Keras model and of the
            file, 0..1.
        agreement: share of images on which both name the same class, 0..1.
        cost: see `Cost`.
        network: in words.
        made: date and versions.
    """

    name: str
    license: str = "not stated"
    data: Provenance | None = None
    recipe: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    quantize: str | None = None
    images: int | None = None
    keras_top1: float | None = None
    tflite_top1: float | None = None
    agreement: float | None = None
    cost: Cost = Cost()
    network: str | None = None
    made: str | None = None


def card_of(
    report: Mapping[str, Any],
    name: str,
    network: str | None,
    recipe: Mapping[str, Any],
    data: Provenance,
    cost: Cost,
) -> ModelCard:
    """Takes a card's facts from a conversion.

    Args:
        report: of `report.make_report`.
        name: of the model.
        network: in words.
        recipe: training settings, name to value; None values are left out.
        data: where the evaluated images come from.
        cost: of one inference.
    """
    evaluation = report["evaluation"] or {}
    return ModelCard(
        name=name,
        network=network,
        made=f"{report['date'][:10]}, "
        + ", ".join(f"{package} {version}" for package, version in report["versions"].items()),
        data=data,
        recipe={key: value for key, value in recipe.items() if value is not None},
        quantize=report["quantize"],
        images=evaluation.get("images"),
        keras_top1=evaluation.get("keras_top1"),
        tflite_top1=evaluation.get("tflite_top1"),
        agreement=evaluation.get("agreement"),
        cost=cost,
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
    names = ", ".join(class_names[:20]) + (", ..." if len(class_names) > 20 else "")
    rows = [*_input_rows(class_names, size, dtype), *_worth_rows(card), *_cost_rows(card.cost)]
    citation = "" if card.data is None else card.data.citation
    lines = [
        f"# {card.name}",
        "",
        f"Names which of {len(class_names)} classes an image shows: {names}.",
        "",
        "| | |",
        "|---|---|",
        *(f"| {label} | {text} |" for label, text in rows),
        "",
        *_LIMITS,
        "",
        *(["## Citation of the data", "", "```", citation, "```", ""] if citation else []),
        "## SHA-256",
        "",
        "```",
        *(f"{digest}  {name}" for name, digest in hashes.items()),
        "```",
    ]
    return "\n".join(lines) + "\n"


def _input_rows(
    class_names: tuple[str, ...], size: tuple[int, int], dtype: str
) -> list[tuple[str, str]]:
    height, width = size
    scores = f"float32 [1, {len(class_names)}], probabilities in the order of `labels.txt`"
    return [
        ("input", f"{dtype} [1, {height}, {width}, 3], RGB in 0..255, the whole image stretched"),
        ("output", scores),
    ]


def _worth_rows(card: ModelCard) -> list[tuple[str, str]]:
    settings = ", ".join(f"{key} {value}" for key, value in card.recipe.items())
    data = card.data or Provenance(_UNKNOWN)
    return [
        ("network", card.network or _UNKNOWN),
        ("data", data.source),
        ("licence of the data", data.license or "not known: fill in"),
        ("licence of the weights", card.license),
        ("recipe", settings or _UNKNOWN),
        ("quantization", card.quantize or _UNKNOWN),
        ("converted", card.made or _UNKNOWN),
        ("top-1, float Keras model", _percent(card.keras_top1)),
        ("top-1, this file", _percent(card.tflite_top1)),
        (
            "evaluated on",
            _UNKNOWN if card.images is None else f"{card.images:,d} images not trained on",
        ),
        ("agreement of both", _percent(card.agreement)),
    ]


def _cost_rows(cost: Cost) -> list[tuple[str, str]]:
    def number(value: int | None, unit: str = "") -> str:
        return _UNKNOWN if value is None else f"{value:,d}{unit}"

    return [
        ("size", number(cost.size_bytes, " bytes")),
        ("parameters of the Keras model", number(cost.parameters)),
        ("multiply-accumulates (MACs)", number(cost.macs)),
        ("XNNPACK partitions", cost.partitions or _UNKNOWN),
        (
            "latency",
            cost.latency or "not measured: run `python -m benchmarks.latency model.tflite`",
        ),
        (
            "ARM instructions",
            cost.arm_instructions or "not counted: run `python -m benchmarks.arm model.tflite`",
        ),
    ]


def read_hashes(card: str) -> dict[str, str]:
    """File name to SHA-256, from a card's last section."""
    return {name: digest for digest, name in _HASH_LINE.findall(card)}


def _percent(value: float | None) -> str:
    return _UNKNOWN if value is None else f"{100 * value:.2f} %"
