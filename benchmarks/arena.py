"""Memory of a model's activations, as TensorFlow Lite's planner lays them out.

The planner gives each tensor an offset in one arena, the largest tensor first, in the
smallest gap between those that live at the same time ("greedy by size for offset
calculation", Pisarchyk and Lee 2020, arXiv:2001.03288).
"""

import dataclasses
from collections.abc import Sequence

from benchmarks.op_costs import stored_bytes, tensor_bytes
from export.inspection.file_graph import Graph

ALIGNMENT = 64  # Bytes; kDefaultTensorAlignment of TensorFlow Lite.
_MOST_TENSORS = 5000  # Planning takes their square; a classifier has some hundreds.


@dataclasses.dataclass(frozen=True)
class Lifetime:
    """A tensor that needs memory.

    Attributes:
        size_bytes: of the tensor.
        first: index of the operation that writes it; 0 for the model's inputs.
        last: of the operation that reads it last; the number of operations for the
            model's inputs and outputs, which are never overwritten.
    """

    size_bytes: int
    first: int
    last: int


@dataclasses.dataclass(frozen=True)
class Arena:
    """Memory that activations need.

    Attributes:
        planned_bytes: of the arena that the greedy planner makes.
        live_bytes: the most that is alive during any one operation; no planner
            can do with less.
    """

    planned_bytes: int
    live_bytes: int


def plan_arena(graph: Graph) -> Arena:
    """Plans the activations of a model; kernels' own scratch memory is not in it.

    Args:
        graph: of the model.

    Raises:
        ValueError: the model has more tensors than can be planned in seconds.
    """
    tensors = lifetimes(graph)
    if len(tensors) > _MOST_TENSORS:
        raise ValueError(f"it has {len(tensors):,d} activations, more than {_MOST_TENSORS:,d}")
    offsets = place(tensors)
    ends = [offset + tensor.size_bytes for offset, tensor in zip(offsets, tensors)]
    return Arena(planned_bytes=max(ends, default=0), live_bytes=_live_bytes(tensors))


def lifetimes(graph: Graph) -> list[Lifetime]:
    """When each computed tensor comes into being, and when it is last read.

    Args:
        graph: of the model.

    Returns:
        A `Lifetime` for each, in the order of their indices.
    """
    stored = stored_bytes(graph)
    end = len(graph.ops)
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for step, op in enumerate(graph.ops):
        for i in op.inputs:
            last[i] = step
        for i in op.outputs:
            first.setdefault(i, step)
            last.setdefault(i, step)
    first |= dict.fromkeys(graph.input_indices, 0)
    last |= dict.fromkeys(graph.input_indices + graph.output_indices, end)
    sizes = {i: tensor_bytes(graph.tensors[i]) for i in first if i not in stored}
    return [Lifetime(sizes[i], first[i], last[i]) for i in sorted(sizes) if sizes[i]]


def place(tensors: Sequence[Lifetime]) -> list[int]:
    """Gives each tensor an offset.

    Args:
        tensors: to place, in the order of their indices.

    Returns:
        Offsets in bytes, multiples of `ALIGNMENT`, in the same order.
    """
    end = max((tensor.last for tensor in tensors), default=0)

    def rank(i: int) -> tuple[bool, int, int]:
        tensor = tensors[i]
        if tensor.first == 0 and tensor.last == end:  # Always alive: at the arena's start.
            return False, 0, 0
        return True, -tensor.size_bytes, tensor.first

    offsets = [0] * len(tensors)
    placed: list[int] = []
    for i in sorted(range(len(tensors)), key=rank):
        rivals = [
            (offsets[j], tensors[j].size_bytes)
            for j in placed
            if tensors[j].first <= tensors[i].last and tensors[i].first <= tensors[j].last
        ]
        offsets[i] = _smallest_gap(sorted(rivals), tensors[i].size_bytes)
        placed.append(i)
    return offsets


def _smallest_gap(rivals: list[tuple[int, int]], size_bytes: int) -> int:
    """Offset in the smallest gap between (offset, size) pairs, or behind them all."""
    best, best_gap, free = None, 0, 0
    for offset, rival_bytes in rivals:
        gap = offset - free
        if gap >= size_bytes and (best is None or gap < best_gap):
            best, best_gap = free, gap
        free = max(free, _aligned(offset + rival_bytes))
    return free if best is None else best


def _aligned(position: int) -> int:
    return -(-position // ALIGNMENT) * ALIGNMENT


def _live_bytes(tensors: Sequence[Lifetime]) -> int:
    changes: dict[int, int] = {}
    for tensor in tensors:
        changes[tensor.first] = changes.get(tensor.first, 0) + tensor.size_bytes
        changes[tensor.last + 1] = changes.get(tensor.last + 1, 0) - tensor.size_bytes
    most = live = 0
    for step in sorted(changes):
        live += changes[step]
        most = max(most, live)
    return most
