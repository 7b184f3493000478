"""Which layers to compute in float first: sets that grow by what gains most for its size.

A layer's output stays in 8 bits until all that read it compute in float, too,
so the cost of quantizing a layer alone does not tell what keeping it gains.
"""

import heapq
import itertools
from collections.abc import Callable

import numpy as np

from export.compute import probabilities
from export.graph import Node, rewrite
from export.quantization.divergence import mean_divergence
from export.quantization.fake import quantized_probabilities
from export.quantization.layer_costs import layer_costs
from export.quantization.quantizer import biases_corrected
from export.quantization.scale_choice import Chosen
from export.quantization.scales import Quantization
from mobilenet_tf.progress import say

_IMAGES = 32  # That compare; each costs a pass per layer and per set.
_DEAREST = 12  # Layers whose outputs are tried first; the others follow by their costs.

Divergence = Callable[[frozenset[str]], float]  # Of the network with these nodes in float.


def growing_sets(chosen: Chosen) -> list[frozenset[str]]:
    """Sets of nodes to keep in float, each within the next.

    Args:
        chosen: from `choose_form_and_scales` or `choose_scales`.

    Returns:
        From none to all nodes that have a scale. At first a step is a layer,
        or one with all that read it: what lowers the divergence of held-out
        images most for each layer. The rest follows one by one.
    """
    graph, images = chosen.graph, chosen.held_out[:_IMAGES]
    costs = layer_costs(graph, chosen.quantization, images)
    ranking = [cost.name for cost in costs if graph[cost.name].inputs]
    consumers = graph.consumers()
    units = []
    for name in ranking[:_DEAREST]:
        readers = {reader.name for reader in consumers[name]} & set(ranking)
        units += [frozenset({name}), frozenset({name} | readers)]
    say(f"comparing {len(units)} ways to keep layers in float")
    sets = greedy(units, _divergence(chosen, images))
    for name in ranking:
        if name not in sets[-1]:
            sets.append(sets[-1] | {name})
    return sets


def greedy(units: list[frozenset[str]], divergence: Divergence) -> list[frozenset[str]]:
    """Unions of units, from none on, each with the one that gains most for its size.

    A unit that gains nothing is dropped. Gains are taken to shrink as the set grows, so
    that only the greatest is measured again.

    Args:
        units: to choose from.
        divergence: of a set.
    """
    sets, least = [frozenset[str]()], divergence(frozenset())
    order = itertools.count()  # Equal gains stay in their order.
    heap = [(-np.inf, next(order), unit) for unit in dict.fromkeys(units)]
    while heap:
        _, number, unit = heapq.heappop(heap)
        grown = sets[-1] | unit
        if grown == sets[-1]:
            continue
        found = divergence(grown)
        gain = (least - found) / len(grown - sets[-1])
        if gain <= 0.0:
            continue
        if heap and -heap[0][0] > gain:
            heapq.heappush(heap, (-gain, number, unit))
            continue
        sets.append(grown)
        least = found
    return sets


def _divergence(chosen: Chosen, images: np.ndarray) -> Divergence:
    graph, scales = chosen.graph, chosen.quantization.scales
    corrected, expected = biases_corrected(chosen), probabilities(graph, images)

    def divergence(float_nodes: frozenset[str]) -> float:
        def visit(node: Node) -> list[Node]:
            return [graph[node.name]] if node.name in float_nodes else [node]

        quantization = Quantization(scales, float_nodes)
        scores = quantized_probabilities(rewrite(corrected, visit), quantization, images)
        return mean_divergence(expected, scores)

    return divergence
