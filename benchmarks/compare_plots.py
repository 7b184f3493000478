"""The comparison's pictures, each as an SVG element for a page."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from benchmarks.comparison import Entry, pareto_front
from export.svg import figure_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours: they stay apart for the colour-blind, and on light and dark paper.
_BLUE, _SKY, _ORANGE, _GREEN = "#0072b2", "#56b4e9", "#e69f00", "#009e73"
_PINK, _RED, _GRAY, _PURPLE = "#cc79a7", "#d55e00", "#8a8f94", "#7a4fa3"
_COLORS = {
    "conv": _BLUE,
    "convolution": _BLUE,
    "dense": _SKY,
    "matrix product": _SKY,
    "depthwise": _ORANGE,
    "elementwise": _GREEN,
    "pool": _PINK,
    "pooling": _PINK,
    "quantize": _RED,
    "conversion": _RED,
    "other": _GRAY,
    "built-in kernel": _PURPLE,
    "dot products": _BLUE,
    "float multiply-add": _SKY,
    "integer multiply-add": _ORANGE,
    "loads": _GREEN,
    "stores": _PINK,
}
_ON_FRONT, _BEATEN = "#c8590f", "#7b8794"
_SIZE_INCHES = (4.5, 3.4)
_FONT_POINTS = 9.5
_BADGE_POINTS = 7.5  # Radius.
_DOT_POINTS = 2.5
_LOG_RATIO = 15  # Beyond, the cheap ones would stick to the axis.


def accuracy_svg(
    entries: Sequence[Entry],
    costs: Sequence[float],
    label: str,
    name: str,
    spans: Sequence[tuple[float, float]] | None = None,
) -> str:
    """Accuracy against a cost, with the Pareto front.

    Args:
        entries: with accuracies.
        costs: of each, as many.
        label: of the cost, with its unit.
        name: of the picture; see `figure_svg`.
        spans: least and greatest measured cost of each; None for costs that are exact.
    """
    return figure_svg(lambda: _accuracy(entries, costs, label, spans), name)


def _accuracy(
    entries: Sequence[Entry],
    costs: Sequence[float],
    label: str,
    spans: Sequence[tuple[float, float]] | None,
) -> "Figure":
    figure, panel = _figure(*_SIZE_INCHES)
    found = [entry.accuracy for entry in entries]
    shares = [100 * accuracy.top1 for accuracy in found if accuracy]
    errors = [100 * accuracy.error for accuracy in found if accuracy]
    front = pareto_front(costs, shares)
    is_log = max(costs) > _LOG_RATIO * min(costs) > 0
    if is_log:
        panel.set_xscale("log")
    steps_x, steps_y = [costs[i] for i in front], [shares[i] for i in front]
    panel.step(steps_x, steps_y, where="post", color=_ON_FRONT, linewidth=1.2, alpha=0.7)
    for i, (cost, share) in enumerate(zip(costs, shares)):
        color = _ON_FRONT if i in front else _BEATEN
        sideways = None
        if spans is not None:
            sideways = [[cost - min(spans[i][0], cost)], [max(spans[i][1], cost) - cost]]
        panel.errorbar(
            [cost], [share], yerr=[errors[i]], xerr=sideways, color=color, linewidth=0.8, alpha=0.6
        )
        panel.plot([cost], [share], "o", markersize=2 * _DOT_POINTS, color=color)
    panel.set_xlabel(f"{label}, logarithmic" if is_log else label)
    panel.set_ylabel("top-1 accuracy (%)")
    panel.margins(0.14)
    if not is_log:
        # A bar that leaves the panel was noise; the points decide how wide it is.
        panel.set_xlim(0, 1.14 * max(costs) or 1.0)
    panel.grid(alpha=0.25, linewidth=0.6)
    _add_badges(figure, panel, entries, list(zip(costs, shares)), front)
    return figure


def _add_badges(
    figure: "Figure",
    panel: "Axes",
    entries: Sequence[Entry],
    points: Sequence[tuple[float, float]],
    front: Sequence[int],
) -> None:
    figure.draw_without_rendering()  # Only now is it known where the points lie.
    pixels = 72 / figure.dpi
    places = [tuple(pixels * x for x in panel.transData.transform(point)) for point in points]
    box = panel.get_window_extent()
    bounds = (pixels * box.x0, pixels * box.y0, pixels * box.x1, pixels * box.y1)
    badges = place_badges([(x, y) for x, y in places], bounds)
    for i, (entry, (x, y), badge) in enumerate(zip(entries, places, badges)):
        is_best = i in front
        panel.annotate(
            entry.letter,
            points[i],
            xytext=(badge[0] - x, badge[1] - y),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=8,
            fontweight="bold",
            color="white" if is_best else "black",
            arrowprops={"arrowstyle": "-", "color": _BEATEN, "linewidth": 0.6, "shrinkB": 2},
            bbox={
                "boxstyle": "circle,pad=0.25",
                "facecolor": _ON_FRONT if is_best else "none",
                "edgecolor": _ON_FRONT if is_best else _BEATEN,
                "linewidth": 1.0,
            },
        )


def place_badges(
    points: Sequence[tuple[float, float]], bounds: tuple[float, float, float, float]
) -> list[tuple[float, float]]:
    """Finds a place beside each point, so that nothing covers anything.

    Args:
        points: in typographic points.
        bounds: left, bottom, right and top of the panel.

    Returns:
        Centres of the badges, as near as there is room.
    """
    left, bottom, right, top = bounds
    placed: list[tuple[float, float]] = []
    for x, y in points:
        best, least = (x, y), math.inf
        for distance in (13, 20, 28, 38, 50, 64, 80):
            for turn in range(16):
                angle = math.pi / 4 + turn * math.pi / 8
                place = (x + distance * math.cos(angle), y + distance * math.sin(angle))
                outside = max(left - place[0], bottom - place[1], place[0] - right, place[1] - top)
                overlap = max(0.0, outside + _BADGE_POINTS)
                overlap += _overlap(place, placed, 2 * _BADGE_POINTS + 1)
                overlap += _overlap(place, points, _BADGE_POINTS + _DOT_POINTS + 1)
                if overlap < least:
                    best, least = place, overlap
        placed.append(best)
    return placed


def _overlap(
    place: tuple[float, float], others: Sequence[tuple[float, float]], distance: float
) -> float:
    return sum(max(0.0, distance - math.dist(place, other)) for other in others)


def stacked_svg(
    letters: Sequence[str], parts: Mapping[str, Sequence[float]], label: str, name: str
) -> str:
    """A bar for each file, made of parts.

    Args:
        letters: of the files.
        parts: name of the part, one of `_COLORS`, to its size in each file; those that are
            0 everywhere are left out of the key.
        label: of the sizes, with their unit.
        name: of the picture; see `figure_svg`.
    """
    return figure_svg(lambda: _stacked(letters, parts, label), name)


def _stacked(letters: Sequence[str], parts: Mapping[str, Sequence[float]], label: str) -> "Figure":
    height = 1.25 + 0.24 * len(letters)
    figure, panel = _figure(_SIZE_INCHES[0], max(height, 2.2))
    starts = [0.0] * len(letters)
    for kind, sizes in parts.items():
        if any(sizes):
            color = _COLORS[kind]
            panel.barh(letters, sizes, left=starts, color=color, label=kind, height=0.72)
            starts = [start + size for start, size in zip(starts, sizes)]
    for row, total in enumerate(starts):
        panel.annotate(
            significant(total),
            (total, row),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
        )
    panel.invert_yaxis()
    panel.margins(x=0.14)
    panel.set_xlim(left=0)
    panel.set_xlabel(label)
    panel.grid(axis="x", alpha=0.25, linewidth=0.6)
    panel.set_axisbelow(True)
    _key_above(figure)
    return figure


def timeline_svg(entries: Sequence[Entry], kinds: Sequence[str], name: str) -> str:
    """Every operation of each file in the order in which they run, as a share of its time.

    Args:
        entries: with profiles.
        kinds: of operations, in the order of the key.
        name: of the picture; see `figure_svg`.
    """
    return figure_svg(lambda: _timeline(entries, kinds), name)


def _timeline(entries: Sequence[Entry], kinds: Sequence[str]) -> "Figure":
    figure, panel = _figure(10.0, 1.2 + 0.3 * len(entries))
    for kind in kinds:
        bars = [bar for row, entry in enumerate(entries) for bar in _bars(entry, row, kind)]
        if bars:
            rows, starts, widths = zip(*bars)
            color = _COLORS[kind]
            panel.barh(rows, widths, left=starts, color=color, label=kind, height=0.74)
    for row, entry in enumerate(entries):
        total_ms = sum(op.ms for op in entry.profile.ops)
        text = f"{significant(total_ms)} ms, {len(entry.profile.ops)} operations"
        panel.annotate(text, (101, row), va="center", fontsize=8.5, annotation_clip=False)
    panel.set_yticks(range(len(entries)), [entry.letter for entry in entries])
    panel.invert_yaxis()
    panel.set_xlim(0, 100)
    panel.set_xlabel("share of the file's own time (%), operations in the order in which they run")
    _key_above(figure)
    return figure


def _bars(entry: Entry, row: int, kind: str) -> list[tuple[int, float, float]]:
    """Row, start and width of the operations of a kind, with a hair of paper between two."""
    total_ms = sum(op.ms for op in entry.profile.ops) or 1.0
    bars, start = [], 0.0
    for op in entry.profile.ops:
        width = 100 * op.ms / total_ms
        if op.kind == kind and width > 0:
            bars.append((row, start, max(width - 0.12, 0.6 * width)))
        start += width
    return bars


def significant(value: float) -> str:
    """A number with three digits that count, such as "0.0123", "4.56" or "1,230"."""
    if value <= 0:
        return "0"
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.{max(0, 2 - math.floor(math.log10(rounded)))}f}"


def _figure(width: float, height: float) -> "tuple[Figure, Axes]":
    from matplotlib.figure import Figure  # Slow to import; --help does without.

    figure = Figure(figsize=(width, height), layout="constrained")
    panel = figure.add_subplot()
    panel.spines[["top", "right"]].set_visible(False)
    panel.tick_params(labelsize=_FONT_POINTS - 0.5)
    panel.xaxis.label.set_fontsize(_FONT_POINTS)
    panel.yaxis.label.set_fontsize(_FONT_POINTS)
    return figure, panel


def _key_above(figure: "Figure") -> None:
    columns = 3 if figure.get_figwidth() < 8 else 8
    figure.legend(
        loc="outside upper center",
        ncols=columns,
        frameon=False,
        fontsize=8.5,
        handlelength=1.0,
        columnspacing=1.2,
        handletextpad=0.5,
    )
