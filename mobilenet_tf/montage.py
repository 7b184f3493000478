"""A picture of images with what the models say of them."""

import os
import warnings
from collections.abc import Sequence

from mobilenet_tf import files
from mobilenet_tf.data.images import read_image
from mobilenet_tf.progress import say

_COLUMNS = 5
_MOST_IMAGES = 40  # More do not fit on a page that one can read.
_BARS = 3

Entry = tuple[str, str, Sequence[tuple[str, float]]]


def draw_montage(entries: Sequence[Entry], path: str) -> None:
    """Draws each image above bars of its most probable classes.

    Args:
        entries: (image path, model name, ((class name, probability), ...)).
            Of more than 40 images every second, third and so on is drawn.
        path: of the PNG; replaced if it exists.
    """
    import matplotlib  # Slow to import, and rarely needed.

    matplotlib.use("Agg")
    from matplotlib import pyplot

    by_image: dict[str, list[tuple[str, Sequence[tuple[str, float]]]]] = {}
    for image, model, top in entries:
        by_image.setdefault(image, []).append((model, top[:_BARS]))
    # Of more images than a page holds, some from the whole of their order.
    step = -(-len(by_image) // _MOST_IMAGES)
    shown = list(by_image.items())[::step]
    if step > 1:
        say(f"note: the montage shows {len(shown)} of {len(by_image)} images")
    several_folders = len({os.path.dirname(image) for image, _ in shown}) > 1
    models = max(len(predictions) for _, predictions in shown)
    bars = max(len(top) for _, predictions in shown for _, top in predictions)
    bars_height = 0.25 * bars + (0.25 if models > 1 else 0.1)  # Inches.
    columns = min(_COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    ratios = ([2.2] + [bars_height] * models) * rows
    figure, panels = pyplot.subplots(
        rows * (1 + models),
        columns,
        figsize=(2.6 * columns, rows * (2.4 + bars_height * models)),
        height_ratios=ratios,
        layout="constrained",
        squeeze=False,
    )
    for panel in panels.flat:
        panel.axis("off")
    for i, (image, predictions) in enumerate(shown):
        row, column = divmod(i, columns)
        top_panel = panels[row * (1 + models)][column]
        top_panel.imshow(read_image(image))
        parts = image.replace("\\", "/").split("/")[-2 if several_folders else -1 :]
        top_panel.set_title(_short("/".join(parts), 30), fontsize=8)
        for j, (model, top) in enumerate(predictions):
            panel = panels[row * (1 + models) + 1 + j][column]
            _draw_bars(panel, top, bars, model if models > 1 else "")
    with files.replacing(path) as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of glyphs, such as emoji, that the font lacks.
        figure.savefig(temporary, dpi=100)
    pyplot.close(figure)


def _draw_bars(panel, top: Sequence[tuple[str, float]], bars: int, title: str) -> None:
    panel.axis("on")
    positions = range(bars, bars - len(top), -1)
    panel.barh(positions, [1.0] * len(top), color="0.94", height=0.8)
    panel.barh(positions, [score for _, score in top], color="#9ecae1", height=0.8)
    for position, (name, score) in zip(positions, top):
        panel.text(0.02, position, _short(name, 20), va="center", fontsize=8)
        panel.text(0.98, position, f"{100 * score:.0f} %", va="center", ha="right", fontsize=8)
    panel.set_xlim(0, 1)
    panel.set_ylim(0.5, bars + 0.5)
    panel.set_xticks([])
    panel.set_yticks([])
    for spine in panel.spines.values():
        spine.set_visible(False)
    if title:
        panel.set_title(_short(title, 34), fontsize=6, pad=1, color="0.4")


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
