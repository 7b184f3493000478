"""Ways to write the same network so that rounding costs less, to be compared by measurement."""

import dataclasses
from collections.abc import Callable

import numpy as np

from export.graph import Graph
from export.quantization.channel_copies import copy_channels
from export.quantization.equalization import equalize
from export.quantization.swish_equalization import (
    SwishFactors,
    equalize_swishes,
    swish_factors,
)


@dataclasses.dataclass(frozen=True, eq=False)
class Form:
    """A graph and how it was made from the network as it is.

    Attributes:
        graph: in the export form.
        copies: how many channels have a second copy; see `channel_copies`.
        swishes: factors of equalized hard-swishes; see `swish_equalization`.
        equalized: True where the graph's other channels were equalized.
    """

    graph: Graph
    copies: int = 0
    swishes: SwishFactors = dataclasses.field(default_factory=dict)
    equalized: bool = False


@dataclasses.dataclass(frozen=True)
class Change:
    """One way to change a form.

    Attributes:
        apply: from a form, uint8 images and a seed to another form, or to the
            given one where there is nothing to change.
        worth: part of the divergence before that it must come below.
    """

    apply: Callable[[Form, np.ndarray, int], Form]
    worth: float


def _copied(form: Form, images: np.ndarray, seed: int) -> Form:
    graph, copies = copy_channels(form.graph, images, seed)
    return dataclasses.replace(form, graph=graph, copies=copies) if copies else form


def _swishes_equalized(form: Form, images: np.ndarray, seed: int) -> Form:
    factors = swish_factors(form.graph, images)
    if not factors:
        return form
    graph = equalize_swishes(form.graph, factors)
    return dataclasses.replace(form, graph=graph, swishes=factors)


def _equalized(form: Form, images: np.ndarray, seed: int) -> Form:
    graph = equalize(form.graph, images)
    return form if graph is form.graph else dataclasses.replace(form, graph=graph, equalized=True)


COPIES = Change(_copied, 1.0)
SWISHES = Change(_swishes_equalized, 0.8)  # It computes more.
CHANNELS = Change(_equalized, 1.0)
