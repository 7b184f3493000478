"""The report of a conversion as one HTML page that needs nothing beside it."""

import base64
import html
import io
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from export import page_classes
from export.layer_plot import costs_svg
from export.quantization.layer_costs import LayerCost
from export.report import file_rows
from mobilenet_tf import files
from mobilenet_tf.data.store import ImageStore

_STYLE = pathlib.Path(__file__).with_suffix(".css")
_THUMBNAIL_PIXELS = 160  # Longest side.
_DEAREST = 8  # Layers in the table, as many as have their name in the picture.


def write_page(path: str, content: dict[str, Any], images: ImageStore) -> None:
    """Writes the page, whole or not at all.

    Args:
        path: of the .html; replaced if it exists.
        content: the report, with an evaluation; see `acceptance.accept`.
        images: of the evaluation split.
    """
    worst = [image["index"] for image in content["evaluation"]["worst_images"]]
    pixels = list(images.fetch(np.array(worst, np.int64))) if worst else []
    files.write_text(path, format_page(content, pixels))


def format_page(content: dict[str, Any], pixels: Sequence[np.ndarray]) -> str:
    """The page's HTML.

    Args:
        content: see `write_page`.
        pixels: uint8 (height, width, 3) each, of the report's `worst_images`.
    """
    name = _text(os.path.basename(content["file"]))
    parts = [
        f"<h1>{name}</h1>",
        f'<p class="faint">Conversion report, --quantize {_text(content["quantize"])}, '
        f'{_text(content["date"])}</p>',
        _verdict(content),
        _file(content),
        page_classes.section(content["evaluation"]["per_class"]),
        _worst(content["evaluation"], pixels),
        _layers(content),
        _origin(content),
    ]
    return document(f"{name}: conversion report", parts)


def document(title: str, parts: Sequence[str], style: str = "") -> str:
    """A whole page in this project's style, which needs nothing beside it.

    Args:
        title: HTML.
        parts: HTML of the body; empty ones are left out.
        style: CSS in addition to that of the reports.
    """
    body = "\n".join(part for part in parts if part)
    style = _STYLE.read_text(encoding="utf-8") + style
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>\n{style}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def _text(value: object) -> str:
    return html.escape(str(value))


def _verdict(content: dict[str, Any]) -> str:
    found, budget = content["evaluation"], content["budget"]
    kind, sentence = "", "No budget was set (--max-drop, --min-agreement)."
    if budget is not None:
        limits = []
        if budget["max_drop"] is not None:
            limits.append(f"a drop of at most {budget['max_drop']:g} points")
        if budget["min_agreement"] is not None:
            limits.append(f"an agreement of at least {100 * budget['min_agreement']:g} %")
        asked = " and ".join(limits)
        kind, sentence = " kept", f"Accepted: it keeps the budget, {asked}."
        if budget["complaint"] is not None:
            kind = " broken"
            sentence = f"Rejected: {budget['complaint']}. The budget was {asked}."
    drop = 100 * (found["keras_top1"] - found["tflite_top1"])
    figures = {
        "Keras float, top-1": f"{100 * found['keras_top1']:.2f} %",
        "This file, top-1": f"{100 * found['tflite_top1']:.2f} %",
        "Drop": f"{drop:+.2f} <small>points</small>",
        "Agreement": f"{100 * found['agreement']:.2f} %",
    }
    cells = "".join(f"<div><dt>{key}</dt><dd>{value}</dd></div>" for key, value in figures.items())
    reference = ""
    if content["reference"] != content["model"]:
        name = _text(_within_run(content["reference"]))
        reference = f" Keras float is {name}, which this was trained from."
    return (
        f'<p class="verdict{kind}">{_text(sentence)}</p>\n<dl class="figures">{cells}</dl>\n'
        f"<p>On all {found['images']:,d} evaluation images; agreement: both name the same class. "
        f"Right in Keras and wrong in this file: {found['lost']:,d}; the other way round: "
        f"{found['gained']:,d}. Largest difference of a probability: "
        f"{found['max_difference']:.4f}.{reference}</p>"
    )


def _file(content: dict[str, Any]) -> str:
    facts = content["facts"]
    minimum = facts["minimum_runtime"]
    runtime = f"TensorFlow Lite {minimum['release'] or 'unknown'}"
    if minimum["decided_by"]:
        runtime += f", for {', '.join(minimum['decided_by'][:3])}"
    if minimum["unknown"]:
        runtime += f"; at least: unknown for {', '.join(minimum['unknown'])}"
    rows = file_rows(content | {"file": os.path.basename(content["file"])}) + [
        ("arithmetic", facts["quantization"]),
        ("minimum runtime", runtime),
        ("SHA-256", content["sha256"]),
    ]
    return f"<h2>The file</h2>\n{fact_table(rows)}"


def fact_table(rows: Sequence[tuple[str, str]]) -> str:
    """HTML of a table of labels and values, which are text."""
    cells = "\n".join(
        f'<tr><th scope="row">{_text(label)}</th><td>{_text(value)}</td></tr>'
        for label, value in rows
    )
    return f'<table class="facts">\n{cells}\n</table>'


def _worst(found: dict[str, Any], pixels: Sequence[np.ndarray]) -> str:
    images = found["worst_images"]
    if found["lost"]:
        title = "Images that the conversion lost"
        note = (
            f"Right in Keras, wrong in this file: {len(images)} of {found['lost']:,d}, first those "
            "whose label lost most probability."
        )
    elif images:
        title = "Images that changed most"
        note = "No image was lost. These have the largest difference of any class's probability."
    else:
        return "<h2>Images that changed most</h2>\n<p>No probability changed by 0.001 or more.</p>"
    figures = "\n".join(_figure(image, pixel) for image, pixel in zip(images, pixels))
    return (
        f"<h2>{title}</h2>\n<p>{note} Shown as the model sees them.</p>\n"
        f'<div class="images">\n{figures}\n</div>'
    )


def _figure(image: dict[str, Any], pixels: np.ndarray) -> str:
    thumbnail = Image.fromarray(pixels)
    thumbnail.thumbnail((_THUMBNAIL_PIXELS, _THUMBNAIL_PIXELS))
    stream = io.BytesIO()
    thumbnail.save(stream, "PNG")
    source = f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"
    name = os.path.basename(image["name"])
    answers = "<br>".join(
        f"{model}: <bdi>{_text(image[key])}</bdi> {100 * image[f'{key}_probability']:.1f}&nbsp;%"
        for model, key in (("Keras", "keras"), ("File", "tflite"))
    )
    return (
        f'<figure><img src="{source}" alt="evaluation image {_text(name)}"><figcaption>'
        f'<b><bdi>{_text(image["label"])}</bdi></b> <span class="faint">{_text(name)}</span><br>'
        f"{answers}</figcaption></figure>"
    )


def _layers(content: dict[str, Any]) -> str:
    if content["layers"] is None:
        return ""
    costs = [LayerCost(**cost) for cost in content["layers"]["costs"]]
    dearest = sorted(costs, key=lambda cost: -cost.divergence_nats)[:_DEAREST]
    rows = "\n".join(
        f'<tr><th scope="row" class="name">{_text(cost.name)}</th><td>{_text(cost.op)}</td>'
        f'<td class="number">{cost.divergence_nats:.6f}</td><td class="number">'
        f"{f'{cost.kernel_divergence_nats:.6f}' if cost.kernel_divergence_nats else ''}</td></tr>"
        for cost in dearest
    )
    return (
        "<h2>What quantizing each layer costs</h2>\n<p>Each layer quantized alone, all others in "
        "float: how far the probabilities move from the float model's (Kullback-Leibler "
        f"divergence, mean of {content['layers']['images']} calibration images that set no range). "
        "For a finer ranking: <code>python -m export.sensitivity</code>.</p>\n"
        f'<figure class="plot">{costs_svg(costs)}</figure>\n<table class="layers">\n<tr>'
        '<th scope="col">dearest layers</th><th scope="col">operation</th>'
        '<th scope="col" class="number">divergence (nats)</th>'
        f'<th scope="col" class="number">of the kernel</th></tr>\n{rows}\n</table>'
    )


def _within_run(path: str) -> str:
    """Folders of the machine are nobody else's business, and a page gets passed on."""
    folder, name = os.path.split(os.path.abspath(path))
    return os.path.join(os.path.basename(folder), name)


def _origin(content: dict[str, Any]) -> str:
    machine, data = content["machine"], content["data"]
    versions = {"python": machine["python"]} | content["versions"] | machine["versions"]
    rows = [
        ("model", _within_run(content["model"])),
        ("data set", os.path.basename(os.path.normpath(data["dataset"]))),
        ("hard-swish", content["hard_swish"]),
        (
            "conversion",
            f"{content['seconds']:g} s, peak memory of the process "
            f"{content['peak_memory_bytes'] / 1e6:,.0f} MB",
        ),
        (
            "machine",
            f"{machine['cpu']}, {machine['architecture']}, {machine['cores']} cores, "
            f"{machine['os']}",
        ),
        ("versions", ", ".join(f"{name} {version}" for name, version in versions.items())),
        ("date", content["date"]),
    ]
    return f"<h2>Where it comes from</h2>\n{fact_table(rows)}"
