"""Second copies of the channels whose rounding costs most, in channels that are always 0.

Training leaves channels that never become active; they are computed all the
same. A copy of another channel in their place, half a step of the scale away,
rounds the other way: the mean of both, which the next convolution takes, has
half the step. That is channel splitting (Zhao et al. 2019, arXiv:1901.09504,
section 3.3) where it costs nothing.
"""

import dataclasses
import itertools
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from export.compute import activate, compute_linear, walk
from export.graph import Graph, Node, rewrite
from export.quantization.calibration import gradient_batches
from export.quantization.fake import fake_quantize
from export.quantization.kernel_rounding import padding_of
from export.quantization.scales import TensorScale

_BATCH = 16
_WEIGHING_IMAGES = 48
_DRAWS = 2  # Of labels for each.
_LEAST_INSIDE = 0.6  # Of a channel's values, on the images: not cut off by its activation.
_LEAST_COVER = 0.9  # Of a depthwise kernel that lies on the map and not on its padding.

_Ranges = dict[str, tuple[np.ndarray, np.ndarray]]  # Least and greatest value per channel.


class _Stack(NamedTuple):
    """A convolution, the depthwise one that alone reads it, and the 1x1 one that reads that."""

    first: Node
    depthwise: Node
    last: Node


@dataclasses.dataclass(frozen=True)
class _Copy:
    """Of a channel in a dead one's place, with offsets in real units."""

    source: int
    place: int
    first_offset: float
    depthwise_offset: float


def copy_channels(graph: Graph, images: np.ndarray, seed: int) -> tuple[Graph, int]:
    """Puts copies into dead channels of convolution, depthwise, 1x1 convolution.

    Args:
        graph: in the export form.
        images: uint8 (images, height, width, 3), which tell what channels are dead.
        seed: of the labels drawn to weigh errors.

    Returns:
        A graph and the number of copies in it: the same function on such
        images, but where a copied channel is cut off by its activation, there
        within a quarter of a step. The given graph where there are none.
    """
    stacks = _stacks(graph)
    ranges = _ranges(graph, images, stacks)
    dead = {stack.first.name: _dead_channels(stack.first, ranges) for stack in stacks}
    stacks = [stack for stack in stacks if dead[stack.first.name]]
    if not stacks:
        return graph, 0
    # About: the scale is chosen later.
    steps = {name: _step(graph[name], float(high.max())) for name, (_, high) in ranges.items()}
    gains = _gains(graph, images[:_WEIGHING_IMAGES], stacks, steps, seed)
    changes: dict[str, Node] = {}
    count = 0
    for stack in stacks:
        places = dead[stack.first.name]
        copies = _choose(gains[stack.first.name], gains[stack.depthwise.name], places)
        count += len(copies)
        # The last convolution of one may be the first of the next.
        current = _Stack(*(changes.get(node.name, node) for node in stack))
        changes.update({node.name: node for node in _with_copies(current, copies)})

    def visit(node: Node) -> list[Node]:
        found = changes.get(node.name, node)
        return [dataclasses.replace(node, kernel=found.kernel, bias=found.bias)]

    return (rewrite(graph, visit), count) if count else (graph, 0)


def _stacks(graph: Graph) -> list[_Stack]:
    """All of them, in network order."""
    consumers = graph.consumers()
    found: list[_Stack] = []
    for node in graph.nodes:
        readers = consumers[node.name]
        if node.op != "conv" or len(readers) != 1 or readers[0].op != "depthwise":
            continue
        nexts = consumers[readers[0].name]
        if (
            len(nexts) != 1
            or nexts[0].op != "conv"
            or nexts[0].kernel_by_channel.shape[:2] != (1, 1)
        ):
            continue
        stack = _Stack(node, readers[0], nexts[0])
        active = all(one.activation in ("relu", "relu6") for one in stack[:2])
        if active and readers[0].numbers()[0].shape[3] == 1:
            found.append(stack)
    return found


def _ranges(graph: Graph, images: np.ndarray, stacks: list[_Stack]) -> _Ranges:
    """Of the convolutions that channels are copied in, before their activations."""
    wanted = {node.name for stack in stacks for node in stack[:2]}
    found: _Ranges = {}
    for start in range(0, len(images), _BATCH):
        batch = tf.constant(images[start : start + _BATCH], tf.float32)

        def step(node: Node, inputs: list, batch=batch) -> tf.Tensor:
            value = compute_linear(node, inputs or [batch])
            if node.name in wanted:
                low = tf.reduce_min(value, (0, 1, 2)).numpy()
                high = tf.reduce_max(value, (0, 1, 2)).numpy()
                lows, highs = found.get(node.name, (low, high))
                found[node.name] = np.minimum(low, lows), np.maximum(high, highs)
            return activate(node, value)

        walk(graph, step)
    return found


def _dead_channels(node: Node, ranges: _Ranges) -> list[int]:
    """Channels that would round to 0 with twice the spread seen."""
    low, high = ranges[node.name]
    still_zero = 2 * high - low < 0.25 * _step(node, float(high.max()))
    return np.flatnonzero(still_zero).tolist()


def _step(node: Node, highest: float) -> float:
    """Of the scale that holds the whole range of the node's output."""
    top = min(highest, 6.0) if node.activation == "relu6" else highest
    return max(top, 1e-6) / 255


def _gains(
    graph: Graph, images: np.ndarray, stacks: list[_Stack], steps: dict[str, float], seed: int
) -> dict[str, tuple[np.ndarray, float]]:
    """What a copy of each channel wins, up and down by half a step, and that half step."""
    wanted = {node.name: node for stack in stacks for node in stack[:2]}
    found: dict[str, list[np.ndarray]] = {name: [] for name in wanted}
    inside: dict[str, list[np.ndarray]] = {name: [] for name in wanted}
    batches = itertools.chain.from_iterable(
        gradient_batches(graph, images, seed + draw, "choosing channels to copy")
        for draw in range(_DRAWS)
    )
    for values, gradients in batches:
        for name, node in wanted.items():
            value, gradient = values[name], gradients[name]
            errors = [
                # Not pixel by pixel: in even areas all of them err alike.
                tf.reduce_sum(tf.square(tf.reduce_sum(gradient * error, (1, 2))), 0).numpy()
                for error in _errors(node, value, steps[name])
            ]
            found[name].append(errors[0] - np.stack(errors[1:]))
            inside[name].append(np.mean(_is_inside(node, value), (0, 1, 2)))
    gains = {}
    for name in wanted:
        cut_off = np.mean(inside[name], axis=0) < _LEAST_INSIDE
        gains[name] = np.where(cut_off, -np.inf, np.sum(found[name], axis=0)), steps[name] / 2
    for stack in stacks:
        gain, _ = gains[stack.first.name]
        if _cover(stack.depthwise, graph[stack.first.name].shape) < _LEAST_COVER:
            # Padding has no offset that the depthwise bias could take off again.
            gains[stack.first.name] = np.minimum(gain, 0.0), 0.0
    return gains


def _cover(node: Node, shape: tuple[int, ...]) -> float:
    """The part of a depthwise kernel that lies on its input, on average over positions."""
    if node.padding == "valid":
        return 1.0
    parts = []
    for axis in (0, 1):
        taps = node.numbers()[0].shape[axis]
        before, _ = padding_of(node, shape[axis], axis)
        places = np.arange(node.shape[axis])[:, None] * node.stride - before
        places = places + np.arange(taps) * node.dilation
        parts.append(float(np.mean((places >= 0) & (places < shape[axis]))))
    return parts[0] * parts[1]


def _errors(node: Node, value: tf.Tensor, step: float) -> list[tf.Tensor]:
    """Of a channel as it is, and with a copy half a step above or below."""
    scale = TensorScale.of_range(0.0, 255 * step)
    rounded = fake_quantize(value, scale)
    highest = 6.0 if node.activation == "relu6" else np.inf
    inside = _is_inside(node, value)
    errors = [rounded - value]
    for offset in (step / 2, -step / 2):
        # Cut off, the copy is what the channel is: before, both are far outside.
        moved = tf.where(inside, tf.clip_by_value(value + offset, 0.0, highest), value)
        copy = fake_quantize(moved, scale) - offset
        errors.append((rounded + copy) / 2 - value)
    return errors


def _is_inside(node: Node, value: tf.Tensor) -> tf.Tensor:
    highest = 6.0 if node.activation == "relu6" else np.inf
    return tf.logical_and(value > 0.0, value < highest)


def _choose(
    first: tuple[np.ndarray, float],
    depthwise: tuple[np.ndarray, float],
    places: list[int],
) -> list[_Copy]:
    """The copies that win most, as many as there are places."""
    total = first[0].max(axis=0) + depthwise[0].max(axis=0)
    sources = [int(c) for c in np.argsort(-total) if total[c] > 0]
    copies = []
    for place, source in zip(places, sources):
        offsets = [half * (1, -1)[gain[:, source].argmax()] for gain, half in (first, depthwise)]
        copies.append(_Copy(source, place, *offsets))
    return copies


def _with_copies(stack: _Stack, copies: list[_Copy]) -> _Stack:
    """The three convolutions with other kernels and biases."""
    numbers = [[array.copy() for array in node.numbers()] for node in stack]
    (k1, b1), (k2, b2), (k3, b3) = numbers
    for copy in copies:
        here, there = copy.source, copy.place
        # What the dead channel gave after the depthwise convolution: its bias, everywhere.
        constant = activate(stack.depthwise, tf.constant([b2[there]])).numpy()[0]
        b3 += k3[0, 0, there] * constant - k3[0, 0, here] * copy.depthwise_offset / 2
        k1[..., there], b1[there] = k1[..., here], b1[here] + copy.first_offset
        k2[:, :, there] = k2[:, :, here]
        b2[there] = b2[here] - copy.first_offset * k2[:, :, here].sum() + copy.depthwise_offset
        k3[0, 0, here] /= 2
        k3[0, 0, there] = k3[0, 0, here]
    changed = [
        dataclasses.replace(node, kernel=kernel, bias=bias)
        for node, (kernel, bias) in zip(stack, numbers)
    ]
    return _Stack(*changed)
