"""Two 1x1 convolutions in a row as one: a product of matrices, worked out once.

V3-Small's first block (arXiv:1905.02244, table 2) ends in a linear 1x1
convolution that only the second block's expansion reads, which is linear in it.
The map between is no narrower than the one before it, so nothing gets smaller by
it: one convolution computes the same with fewer products, and one rounding less.
"""

import dataclasses
from typing import NamedTuple

import numpy as np

from export.graph import Graph, Node, rewrite


class Pair(NamedTuple):
    """Names of a linear 1x1 convolution, its BatchNorm, and the one that reads it."""

    first: str
    norm: str
    second: str


def merge_pointwise(raw: Graph) -> Graph:
    """Multiplies such pairs.

    Args:
        raw: a network as `keras_graph.read_layers` reads it.

    Returns:
        A graph of the same function without the first convolution and the
        BatchNorm of each of `pointwise_pairs`; the second's kernel and bias in
        float64.
    """
    pairs = pointwise_pairs(raw)
    merged = {pair.second: pair for pair in pairs}
    removed = {name for pair in pairs for name in (pair.first, pair.norm)}

    def visit(node: Node) -> list[Node]:
        if node.name in removed:
            return []
        pair = merged.get(node.name)
        if pair is None:
            return [node]
        first, norm = raw[pair.first].numbers(), raw[pair.norm].numbers()
        kernel, bias = (np.asarray(values, np.float64) for values in node.numbers())
        offset = first[1] * norm[0] + norm[1]
        bias = bias + offset @ kernel[0, 0]
        return [dataclasses.replace(node, kernel=(first[0] * norm[0]) @ kernel, bias=bias)]

    return rewrite(raw, visit)


def pointwise_pairs(raw: Graph) -> list[Pair]:
    """Finds the pairs whose product has fewer weights than both."""
    consumers = raw.consumers()
    found = []
    for first in raw.nodes:
        readers = consumers[first.name]
        if not _is_pointwise(first) or len(readers) != 1 or readers[0].op != "batch_norm":
            continue
        norm, readers = readers[0], consumers[readers[0].name]
        before, between = first.numbers()[0].shape[2:]
        if len(readers) == 1 and _is_pointwise(readers[0]) and before <= between:
            found.append(Pair(first.name, norm.name, readers[0].name))
    return found


def _is_pointwise(node: Node) -> bool:
    return node.op == "conv" and node.numbers()[0].shape[:2] == (1, 1) and node.stride == 1
