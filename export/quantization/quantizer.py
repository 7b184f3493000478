"""Post-training quantization's last step: kernels rounded in the way that measures best."""

import dataclasses
from typing import Literal, get_args

import numpy as np

from export.compute import probabilities
from export.graph import Graph, Node, rewrite
from export.quantization.correction import (
    balance_kernels,
    channel_means,
    correct_biases,
    fitting_images,
)
from export.quantization.divergence import mean_divergence
from export.quantization.fake import quantized_probabilities
from export.quantization.scale_choice import Chosen
from export.quantization.scales import Quantization
from mobilenet_tf.progress import progress

Rounding = Literal["nearest", "biases corrected", "balanced"]
_ROUNDINGS: tuple[Rounding, ...] = get_args(Rounding)


@dataclasses.dataclass(frozen=True)
class Quantized:
    """A graph ready to be written in integers.

    Attributes:
        graph: with the kernels and biases to write.
        quantization: its scales, and the nodes that stay in float.
        divergence_nats: see `Chosen.divergences`, before the held-out images helped
            with the final graph, too.
        rounding: how the kernels were rounded: each number to the nearest,
            with biases corrected for that, or with their errors balanced too.
    """

    graph: Graph
    quantization: Quantization
    divergence_nats: float
    rounding: Rounding


def quantize_graph(chosen: Chosen, float_nodes: frozenset[str] = frozenset()) -> Quantized:
    """Rounds the kernels in the way that keeps the held-out images closest to the float model.

    Args:
        chosen: from `choose_scales`.
        float_nodes: names of nodes that compute in float.

    Returns:
        A `Quantized`.
    """
    graph, held_out = chosen.graph, chosen.held_out
    quantization = Quantization(chosen.quantization.scales, float_nodes)

    def rounded(way: Rounding, images: np.ndarray, means: dict[str, np.ndarray]) -> Graph:
        if way == "nearest":
            return graph
        fit = correct_biases if way == "biases corrected" else balance_kernels
        return fit(graph, quantization, images, means)

    fitting = fitting_images(graph, chosen.fitting)
    expected, means = probabilities(graph, held_out), channel_means(graph, fitting)
    best, final, least = _ROUNDINGS[0], graph, np.inf
    for way in progress(_ROUNDINGS, len(_ROUNDINGS), "rounding kernels, ways"):
        found = rounded(way, fitting, means)
        divergence = mean_divergence(
            expected, quantized_probabilities(found, quantization, held_out)
        )
        if divergence < least:
            best, final, least = way, found, divergence
    # Once it is chosen, the images that compared have nothing better to do than to help.
    images = fitting_images(graph, np.concatenate([chosen.fitting, held_out]))
    if len(images) > len(fitting):
        final = rounded(best, images, channel_means(graph, images))
    return Quantized(final, quantization, float(least), best)


def biases_corrected(chosen: Chosen) -> Graph:
    """The graph with its kernels as they are, and biases for kernels rounded to the nearest.

    Training with rounding begins there. Rounded kernels lie on their grid, which moves
    with each channel's largest number: training would scale whole channels by that
    number's steps.

    Args:
        chosen: of any function of `scale_choice`.
    """
    graph, images = chosen.graph, fitting_images(chosen.graph, chosen.fitting)
    means = channel_means(graph, images)
    corrected = correct_biases(graph, chosen.quantization, images, means)

    def visit(node: Node) -> list[Node]:
        return [dataclasses.replace(node, bias=corrected[node.name].bias)]

    return rewrite(graph, visit)
