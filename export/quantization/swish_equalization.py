"""Equalized channels of a hard-swish: each gets a gate of its own scale.

A hard-swish is not homogeneous, so channels before it cannot simply be scaled.
In the split form x * relu6(x + 3) only the gate minds: where a convolution
writes s * x, a depthwise 1x1 convolution relu6((s * x) / s + 3) is its gate, in
place of the addition, and the product is s times the hard-swish, which the next
convolutions divide out. Training leaves single channels tens of times larger
than the others, since BatchNorm behind the next convolution hides their scale.
V3-Large adds its first hard-swish to the first block's output: there that
block's last convolution writes s times its output, too.
"""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from export.graph import Graph, Node, rewrite
from export.quantization.calibration import channel_maxima
from export.quantization.equalization import rescaled

SwishFactors = Mapping[str, np.ndarray]  # Of `swish_factors`.
NO_SWISHES: SwishFactors = MappingProxyType({})

_LEAST_RATIO = 4.0  # Of the largest channel to the median one; below, an addition is cheaper.
_MOST = 32.0  # A channel that is hardly ever active is not worth more.


@dataclasses.dataclass(frozen=True)
class SwishStream:
    """Where the channels of a hard-swish go.

    Attributes:
        tensors: the product itself, and the additions that carry its channels on.
        raised: convolutions whose output is added to them.
        readers: convolutions that read any of the tensors.
    """

    tensors: tuple[str, ...]
    raised: tuple[str, ...]
    readers: tuple[str, ...]


def swish_factors(graph: Graph, images: np.ndarray) -> dict[str, np.ndarray]:
    """Finds hard-swishes that need it, of those that only convolutions read.

    Args:
        graph: in the export form, split.
        images: uint8 (images, height, width, 3), which tell how large channels get.

    Returns:
        float32 (channels,) by name of the product: what brings each of its
        channels to one size.
    """
    streams = swish_streams(graph)
    if not streams:
        return {}
    tensors = {tensor for stream in streams.values() for tensor in stream.tensors}
    maxima = channel_maxima(graph, images, tensors)
    found = {}
    for name, stream in streams.items():
        # An addition has its own scale, so only the sizes within each tensor matter.
        sizes = np.max([_relative(maxima[tensor]) for tensor in stream.tensors], axis=0)
        if sizes.max() > _LEAST_RATIO:
            readers = {graph[reader].op for reader in stream.readers}
            found[name] = _factors(sizes, readers == {"depthwise"})
    return found


def equalize_swishes(graph: Graph, factors: SwishFactors) -> Graph:
    """Multiplies channels of hard-swishes.

    Args:
        graph: in the export form, split.
        factors: as of `swish_factors`, of hard-swishes that it may name.

    Returns:
        The same function.

    Raises:
        KeyError: other names.
    """
    streams = swish_streams(graph)
    outputs: dict[str, np.ndarray] = {}
    inputs: dict[str, np.ndarray] = {}
    gates: dict[str, np.ndarray] = {}
    for name, factor in factors.items():
        first, gate = graph[name].inputs
        gates[gate] = factor
        outputs.update(dict.fromkeys((first, *streams[name].raised), factor))
        inputs.update(dict.fromkeys(streams[name].readers, factor))

    def visit(node: Node) -> list[Node]:
        if node.name in gates:
            return [_gate(node, gates[node.name])]
        if not node.weighted:
            return [node]
        return [rescaled(node, outputs.get(node.name), inputs.get(node.name))]

    return rewrite(graph, visit)


def swish_streams(graph: Graph) -> dict[str, SwishStream]:
    """By name of the product: hard-swishes whose channels can be multiplied.

    Those are products of a convolution with its own gate, read by nothing but
    convolutions and additions of convolutions.
    """
    consumers = graph.consumers()
    found = {}
    for node in graph.nodes:
        if node.op != "multiply":
            continue
        first, gate = (graph[name] for name in node.inputs)
        own = gate.op == "gate" and gate.inputs == (first.name,)
        alone = len(consumers[first.name]) == 2 and len(consumers[gate.name]) == 1
        stream = _stream(graph, node.name, consumers)
        if own and alone and first.weighted and first.activation == "linear" and stream:
            found[node.name] = stream
    return found


def _stream(graph: Graph, product: str, consumers: dict[str, list[Node]]) -> SwishStream | None:
    """None where something reads it that the factors cannot pass."""
    tensors, raised, readers = [product], [], []
    for tensor in tensors:  # Grows while it is walked.
        for reader in consumers[tensor]:
            if reader.weighted:
                readers.append(reader.name)
            elif reader.op == "add" and reader.activation == "linear":
                others = [graph[name] for name in reader.inputs if name not in tensors]
                if not all(_only_added(other, consumers) for other in others):
                    return None
                raised += [other.name for other in others]
                tensors.append(reader.name)
            else:
                return None
    return SwishStream(tuple(tensors), tuple(raised), tuple(readers)) if readers else None


def _only_added(node: Node, consumers: dict[str, list[Node]]) -> bool:
    return node.weighted and node.activation == "linear" and len(consumers[node.name]) == 1


def _relative(maxima: np.ndarray) -> np.ndarray:
    """(channels,): in units of the median living one."""
    living = maxima[maxima > 0.0]
    return maxima / np.median(living) if len(living) else maxima


def _factors(sizes: np.ndarray, by_channel: bool) -> np.ndarray:
    """float32 (channels,): what brings every channel to the median one's size.

    Args:
        sizes: (channels,), in units of the median one.
        by_channel: True where only depthwise convolutions read them. A full one has
            one scale for all its inputs: meet halfway.
    """
    wanted = np.clip(1 / np.maximum(sizes, 1 / _MOST), 1 / _MOST, _MOST)
    return (wanted if by_channel else np.sqrt(wanted)).astype(np.float32)


def _gate(node: Node, factor: np.ndarray) -> Node:
    return dataclasses.replace(
        node,
        op="depthwise",
        kernel=(1.0 / factor).reshape(1, 1, -1, 1),
        bias=np.full(len(factor), 3.0, np.float32),
        padding="valid",
        activation="relu6",
    )
