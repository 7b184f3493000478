"""Scales of a graph's activations, as integers and XNNPACK need them."""

from export.graph import Graph
from export.quantization.ranges import LOGIT_ESTIMATORS, Histogram
from export.quantization.scales import Bits, TensorScale


def activation_scales(
    graph: Graph, spread: dict[str, Histogram], estimators: dict[str, str], bits: Bits
) -> dict[str, TensorScale]:
    """Scales of all nodes but the softmax, which stays in float.

    Args:
        graph: in the export form.
        spread: the distribution of each node's output.
        estimators: of `ranges.LOGIT_ESTIMATORS`, by node name.
        bits: of the stored integers.

    Returns:
        A `TensorScale` by node name.
    """
    scales: dict[str, TensorScale] = {}
    for node in graph.nodes:
        if node.op == "softmax":
            continue
        histogram = spread[node.name]
        if node.op == "reshape":
            scales[node.name] = scales[node.inputs[0]]
        elif node.op == "input":
            scales[node.name] = TensorScale.of_range(0.0, 255.0, bits)
        elif node.op == "shift":
            scales[node.name] = TensorScale.of_range(node.offset, 255.0 + node.offset, bits)
        else:
            low, high = LOGIT_ESTIMATORS[estimators[node.name]](histogram)
            scales[node.name] = TensorScale.of_range(low, high, bits)
    return for_xnnpack(graph, scales)


def for_xnnpack(graph: Graph, scales: dict[str, TensorScale]) -> dict[str, TensorScale]:
    """Coarsens scales until XNNPACK takes every addition and product.

    It demands of an addition input scale / output scale from 2**-10 to below
    2**8, of a product both input scales / output scale from 2**-16. An input
    that is finer than that says nothing that the output could show, so
    nothing is lost; it happens where a channel's values are all but 0.
    """
    scales = dict(scales)
    for node in reversed(graph.nodes):  # Coarser inputs may need coarser inputs of their own.
        if node.op not in ("add", "gate", "shift", "multiply"):
            continue
        out = scales[node.name].scale
        for i, name in enumerate(node.inputs):
            least = out * 2.0**-9
            if node.op == "multiply":
                least = out * 2.0**-15 / scales[node.inputs[1 - i]].scale
            scales[name] = _at_least(scales[name], least)
    return scales


def _at_least(scale: TensorScale, least: float) -> TensorScale:
    """The same range in coarser steps, where they are finer than allowed."""
    if scale.scale >= least:
        return scale
    low, high = scale.real_range
    factor = least / scale.scale * 1.001
    return TensorScale.of_range(low * factor, high * factor, scale.bits)
