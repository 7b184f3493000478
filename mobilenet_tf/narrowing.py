"""Narrow networks from wide ones: the same channels are kept wherever they appear.

A channel runs through several layers: the convolution that makes it, its
BatchNorm and activation, the depthwise convolution behind them, the additions
and gates that it meets, and the kernels that read it. All of them form one
group, found by following the model's graph, and of each group one set of
channels is kept, the most important ones in their old order. Where what was
dropped is zero everywhere, the narrow network computes what the wide one did.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from mobilenet_tf.engine import keras, layers
from mobilenet_tf.weights import WeightsByLayer

Norms = list[tuple[bool, np.ndarray]]

# Sums or products of equally wide maps: their channels are one another's.
_JOINING = (layers.Add, layers.Multiply)
_OUTPUTS = -1  # The group of the model's outputs: classes, never sliced.


@dataclasses.dataclass(frozen=True)
class _Port:
    """Where a layer meets channels: the group it reads and the one it makes."""

    reads: int
    makes: int


def norm_importance(norms: Norms) -> np.ndarray:
    """How much channels matter: the sum of BatchNorm's scales, where there is one, else of kernels.

    A BatchNorm undoes the size of the kernel before it, so only its own counts.

    Args:
        norms: of each layer that makes the channels, whether it is a BatchNorm,
            and the sum of the absolute weights of each channel: scales or kernel.

    Returns:
        One number for each channel.
    """
    scales = [norm for is_scale, norm in norms if is_scale]
    return np.sum(scales or [norm for _, norm in norms], axis=0)


def first_channels(norms: Norms) -> np.ndarray:
    """Importance that falls: the first stay, as in slimmable networks (arXiv:1812.08928)."""
    return -np.arange(len(norms[0][1]))


def narrowed(
    model: keras.Model,
    weights: WeightsByLayer,
    importance: Callable[[Norms], np.ndarray] = norm_importance,
) -> tuple[WeightsByLayer, tuple[str, ...]]:
    """Slices the weights of a wider network of the same kind.

    Args:
        model: the narrow one.
        weights: of the wide one, by the names of the model's layers. Sizes that
            are the model's already stay; what cannot be sliced, such as a
            classifier of other classes, stays as wide as it is.
        importance: of the channels of a group.

    Returns:
        Weights for `weights.assign_weights`, and the names of the sliced layers.
    """
    ports = _ports(model)
    choices = _choices(model, ports, weights, importance)
    result, sliced = dict(weights), []
    for layer in model.layers:
        if layer.name not in weights or layer.name not in ports:
            continue
        shapes = [tuple(variable.shape) for variable in layer.weights]
        arrays = weights[layer.name]
        if [array.shape for array in arrays] == shapes:
            continue
        cut = [_cut(layer, array, ports[layer.name], choices) for array in arrays]
        if [array.shape for array in cut] == shapes:
            result[layer.name] = cut
            sliced.append(layer.name)
    return result, tuple(sliced)


def _ports(model: keras.Model) -> dict[str, _Port]:
    """The groups of every layer with weights, by number."""
    parents: list[int] = []
    groups: dict[int, int] = {}  # Of each tensor, by identity.

    def find(group: int) -> int:
        while parents[group] != group:
            group = parents[group]
        return group

    found: dict[str, _Port] = {}
    for layer in model.layers:
        inputs = layer.input if isinstance(layer.input, list) else [layer.input]
        reads = [groups.get(id(tensor), -1) for tensor in inputs]
        if _keeps_channels(layer, inputs) and min(reads) >= 0:
            makes = reads[0]
            for group in reads[1:]:
                parents[find(group)] = find(makes)
        else:
            makes = len(parents)
            parents.append(makes)
        groups[id(layer.output)] = makes
        if layer.weights and reads[0] >= 0:
            found[layer.name] = _Port(reads[0], makes)
    ends = {find(groups[id(tensor)]) for tensor in model.outputs if id(tensor) in groups}

    def number(group: int) -> int:
        return _OUTPUTS if find(group) in ends else find(group)

    return {name: _Port(number(p.reads), number(p.makes)) for name, p in found.items()}


def _keeps_channels(layer: Any, inputs: list[Any]) -> bool:
    """True where output channel i comes from input channel i alone."""
    if isinstance(layer, (layers.Conv2D, layers.Dense)):
        if not isinstance(layer, layers.DepthwiseConv2D):
            return False
    same_width = len({tensor.shape[-1] for tensor in (*inputs, layer.output)}) == 1
    return same_width and (len(inputs) == 1 or isinstance(layer, _JOINING))


def _choices(
    model: keras.Model,
    ports: dict[str, _Port],
    weights: WeightsByLayer,
    importance: Callable[[Norms], np.ndarray],
) -> dict[tuple[int, int], np.ndarray]:
    """The channels that are kept, by group and by width in `weights`.

    Widths differ within a group where the narrow network adds what the wide
    one, whose channels were not equally many, did not.
    """
    makers: dict[tuple[int, int], Norms] = {}
    widths: dict[int, int] = {}
    for layer in model.layers:
        if layer.name not in ports or layer.name not in weights:
            continue
        array, group = weights[layer.name][0], ports[layer.name].makes
        axis = _axes(layer, array.ndim)[1]
        widths[group] = int(layer.weights[0].shape[axis])
        others = tuple(i for i in range(array.ndim) if i != axis)
        is_norm = isinstance(layer, layers.BatchNormalization)
        norms = makers.setdefault((group, array.shape[axis]), [])
        norms.append((is_norm, np.abs(array).sum(axis=others)))
    choices = {}
    for (group, wide), norms in makers.items():
        if group != _OUTPUTS and wide > widths[group]:
            order = np.argsort(-importance(norms), kind="stable")
            choices[group, wide] = np.sort(order[: widths[group]])
    return choices


def _axes(layer: Any, rank: int) -> tuple[int | None, int]:
    """Axes of a layer's array: of what it reads (None: nothing) and of what it makes."""
    if isinstance(layer, layers.DepthwiseConv2D) and rank == 4:
        return None, 2  # (h, w, channels, 1)
    return (rank - 2 if rank > 1 else None), rank - 1


def _cut(
    layer: Any, array: np.ndarray, port: _Port, choices: dict[tuple[int, int], np.ndarray]
) -> np.ndarray:
    reads, makes = _axes(layer, array.ndim)
    for axis, group in ((reads, port.reads), (makes, port.makes)):
        if axis is not None and (group, array.shape[axis]) in choices:
            array = np.take(array, choices[group, array.shape[axis]], axis=axis)
    return array
