"""The part of the report's page that compares both models class by class."""

import html
from collections.abc import Sequence
from typing import Any

_MOST = 40  # Classes that are all shown; of more only the worst.
_WORST = 20
_TICKS = (0, 25, 50, 75, 100)


def choose_classes(per_class: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Chooses what is shown: classes that have images, the greatest loss first.

    Args:
        per_class: see `report.per_class`.

    Returns:
        All of up to 40 classes, else the worst 20. Of equal losses the class
        with the lower accuracy comes first.
    """
    known = [entry for entry in per_class if entry["images"]]
    ranked = sorted(known, key=lambda entry: (entry["tflite"] - entry["keras"], entry["tflite"]))
    return ranked if len(ranked) <= _MOST else ranked[:_WORST]


def section(per_class: Sequence[dict[str, Any]]) -> str:
    """HTML of the heading, the key and a row of bars for each class.

    Args:
        per_class: see `report.per_class`.
    """
    shown = choose_classes(per_class)
    rows = "\n".join(_row(entry) for entry in shown)
    key = "".join(
        f'<span><svg width="14" height="10"><rect class="{kind}" width="14" height="10"/></svg>'
        f"{label}</span>"
        for kind, label in (("keras", "Keras float"), ("tflite", "this file"))
    )
    axis = "".join(
        f'<text x="{tick}%" y="12" text-anchor="middle">{tick}</text>' for tick in _TICKS[::2]
    )
    return (
        f"<h2>Accuracy per class</h2>\n<p>{_note(per_class, len(shown))}</p>\n"
        f'<div class="key">{key}</div>\n<table class="classes">\n<tr><th scope="col">class</th>'
        '<th scope="col" class="bars">top-1 accuracy (%)'
        f'<svg width="100%" height="14" aria-hidden="true">{axis}</svg></th>'
        '<th scope="col" class="number">Keras<br>%</th><th scope="col" class="number">file<br>%'
        f'</th><th scope="col" class="number">change<br>points</th></tr>\n{rows}\n</table>'
    )


def _note(per_class: Sequence[dict[str, Any]], shown: int) -> str:
    known = sum(1 for entry in per_class if entry["images"])
    text = "Sorted by the loss, the greatest first."
    if shown < known:
        text = (
            f"The {shown} classes of {known:,d} that lost most, the greatest loss first; the JSON "
            "beside this page has all."
        )
    missing = len(per_class) - known
    return text + (f" Without evaluation images: {missing:,d} classes." if missing else "")


def _row(entry: dict[str, Any]) -> str:
    keras, tflite = 100 * entry["keras"], 100 * entry["tflite"]
    change = tflite - keras
    kind = "loss" if change < 0 else "gain" if change > 0 else ""
    lines = "".join(f'<line x1="{tick}%" x2="{tick}%" y1="0" y2="22"/>' for tick in _TICKS)
    bars = (
        f'<rect class="keras" y="2" width="{keras:.2f}%" height="8"/>'
        f'<rect class="tflite" y="12" width="{tflite:.2f}%" height="8"/>'
    )
    plural = "" if entry["images"] == 1 else "s"
    return (
        f'<tr><th scope="row" class="name"><bdi>{html.escape(entry["class"])}</bdi> '
        f'<small>{entry["images"]:,d} image{plural}</small></th><td class="bars">'
        f'<svg width="100%" height="22" aria-hidden="true">{lines}{bars}</svg></td>'
        f'<td class="number">{keras:.1f}</td><td class="number">{tflite:.1f}</td>'
        f'<td class="number {kind}">{f"{change:+.1f}" if change else "0.0"}</td></tr>'
    )
