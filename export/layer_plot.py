"""A picture of what quantizing each layer costs, as PNG and as SVG for a page."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from export.svg import figure_svg
from mobilenet_tf import files

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from export.quantization.layer_costs import LayerCost  # It imports TensorFlow: slow.

_NAMED = 8  # Layers with their name in the picture.
_LEAST_NATS = 1e-9  # A logarithmic axis has no 0.


def in_order(costs: "Sequence[LayerCost]", order: Sequence[str]) -> "list[LayerCost]":
    """Costs in the order of the network, whose layers' names are `order`."""
    position = {name: i for i, name in enumerate(order)}
    return sorted(costs, key=lambda cost: position[cost.name])


def save_costs(costs: "Sequence[LayerCost]", title: str, path: str) -> None:
    """Draws every layer's cost, the dearest named, as a PNG.

    Args:
        costs: in the order of the network.
        title: above the picture.
        path: of the .png; replaced if it exists.
    """
    figure = _draw(costs)
    figure.suptitle(title, fontsize=10)
    with files.replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)


def costs_svg(costs: "Sequence[LayerCost]") -> str:
    """The same picture as an SVG element to put into HTML.

    Args:
        costs: in the order of the network.

    Returns:
        From <svg to </svg>, transparent; lines and text have the colour of the
        text around them.
    """
    return figure_svg(lambda: _draw(costs), "layers")


def _draw(costs: "Sequence[LayerCost]") -> "Figure":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5), layout="constrained")
    panel = figure.add_subplot()
    heights = np.array([[c.divergence_nats, c.kernel_divergence_nats] for c in costs])
    heights = np.maximum(heights, _LEAST_NATS)
    for column, label in enumerate(("kernel and output rounded", "kernel alone")):
        panel.bar(range(len(costs)), heights[:, column], color=f"C{column}", label=label)
    panel.set_yscale("log")
    panel.set_ylim(bottom=np.percentile(np.maximum(heights[:, 0], 1e-8), 5) / 3)
    named = sorted(np.argsort(-heights[:, 0], kind="stable")[:_NAMED].tolist())
    for i, place in zip(named, spread(named, len(costs) / 30, len(costs) - 1)):
        panel.annotate(
            costs[i].name,
            (i, heights[i, 0]),
            xytext=(place, 1.04),
            textcoords=panel.get_xaxis_transform(),
            arrowprops={
                "arrowstyle": "-",
                "color": "0.5",
                "linewidth": 0.6,
                "relpos": (0, 0),  # The line meets the text where it starts.
                "shrinkA": 0,
            },
            rotation=35,
            rotation_mode="anchor",
            fontsize=8,
        )
    panel.set_xlabel("layer, from input to output")
    panel.set_ylabel("divergence from float (nats)")
    panel.margins(x=0.01, y=0.05)
    panel.grid(axis="y", alpha=0.3)
    # Below: the dearest layers and the lines to their names may be anywhere above.
    figure.legend(frameon=False, fontsize=8, loc="outside lower center", ncols=2)
    return figure


def spread(positions: Sequence[float], gap: float, last: float) -> list[float]:
    """Moves sorted positions apart, so that texts at them do not meet.

    Args:
        positions: ascending.
        gap: least distance of two.
        last: greatest position to give, where there is room before it.

    Returns:
        As many positions, as near the given ones as going right allows.
    """
    places: list[float] = []
    for position in positions:
        places.append(max(position, places[-1] + gap) if places else position)
    limit = last
    for i in reversed(range(len(places))):
        places[i] = min(places[i], limit)
        limit = places[i] - gap
    return places
