"""Which layers stay in float: the fewest that a budget needs."""

import itertools

import numpy as np
import pytest
from graphs import conv

from export.compute import probabilities
from export.graph import Graph, Node
from export.quantization import float_layers, mixed, scale_choice
from export.quantization.divergence import mean_divergence
from export.quantization.fake import quantized_probabilities
from export.quantization.scales import Quantization, TensorScale

IMAGES = np.random.default_rng(1).integers(0, 256, (40, 2, 2, 3), np.uint8)


@pytest.mark.parametrize("enough", [0, 1, 2, 3, 5, 8, 13, 20])
def test_fewest_finds_the_least_number(enough):
    tried = []

    def meets(count: int) -> bool:
        tried.append(count)
        return count >= enough

    assert mixed.fewest(meets, 20) == enough
    assert len(tried) <= 10 and len(set(tried)) == len(tried)


def test_fewest_says_where_nothing_is_enough():
    assert mixed.fewest(lambda count: False, 6) is None
    assert mixed.fewest(lambda count: False, 0) is None


@pytest.mark.parametrize("necessary", ["", "a", "h", "cd", "ah", "bdf", "abcdefgh"])
def test_needed_leaves_out_the_rest(necessary):
    tried = []

    def meets(layers) -> bool:
        tried.append("".join(layers))
        return set(necessary) <= set(layers)

    assert "".join(mixed.needed(meets, "abcdefgh", 40)) == necessary
    assert len(tried) <= 40


def test_needed_where_one_of_two_is_enough():
    kept = mixed.needed(lambda layers: "b" in layers or "e" in layers, "abcdef", 40)
    assert len(kept) == 1 and kept[0] in "be"


def test_needed_ends_after_its_tries():
    tried = []

    def meets(layers) -> bool:
        tried.append(layers)
        return "a" in layers

    kept = mixed.needed(meets, "abcdefgh", 2)
    assert len(tried) == 2 and "a" in kept


def test_greedy_by_hand():
    # Alone "a" gains 2; "b" and "c" gain nothing without each other, and 3 for each together;
    # "d" harms; "e" is worth nothing any more once "a" is in.
    def divergence(layers: frozenset[str]) -> float:
        gain = 2.0 * bool(layers & {"a", "e"}) + 6.0 * (layers >= {"b", "c"}) - ("d" in layers)
        return 10.0 - gain

    units = [frozenset(unit) for unit in ("d", "a", "e", "b", "bc")]
    sets = float_layers.greedy(units, divergence)
    assert ["".join(sorted(one)) for one in sets] == ["", "bc", "abc"]


def _chain() -> Graph:
    rng = np.random.default_rng(4)
    nodes = [
        Node("image", "input", (), (2, 2, 3)),
        Node("rescaling", "shift", ("image",), (2, 2, 3), offset=-128.0),
    ]
    for k, inputs in enumerate((3, 4, 4, 4)):
        kernel = rng.normal(0, 0.02 if k == 0 else 0.6, (1, 1, inputs, 4))
        nodes.append(conv(f"conv{k}", nodes[-1].name, kernel, np.zeros(4), (2, 2, 4)))
    nodes += [
        Node("sum", "add", ("conv1", "conv3"), (2, 2, 4)),
        Node("pool", "mean", ("sum",), (1, 1, 4)),
        Node("flatten", "reshape", ("pool",), (4,)),
        Node("predictions", "softmax", ("flatten",), (4,)),
    ]
    return Graph(tuple(nodes))


def test_the_smallest_set_that_helps_is_found():
    """All subsets are tried to know it: an output of few steps, and what reads it."""
    chosen = scale_choice.choose_scales(_chain(), IMAGES, 8, seed=0)
    scales = dict(chosen.quantization.scales)
    coarse = scales["conv1"].scale * 40
    scales["conv1"] = TensorScale(coarse, 0)
    quantization = Quantization(scales)
    object.__setattr__(chosen, "quantization", quantization)

    held_out = chosen.held_out
    expected = probabilities(chosen.graph, held_out)

    def divergence(layers) -> float:
        with_floats = Quantization(scales, frozenset(layers))
        return mean_divergence(
            expected, quantized_probabilities(chosen.graph, with_floats, held_out)
        )

    budget = divergence(()) / 20
    names = ("conv0", "conv1", "conv2", "conv3", "sum", "pool")
    sizes = itertools.chain.from_iterable(
        itertools.combinations(names, size) for size in range(len(names) + 1)
    )
    smallest = next(set(one) for one in sizes if divergence(one) <= budget)
    assert smallest == {"conv1", "conv2", "sum"}  # As the graph has it.

    sets = float_layers.growing_sets(chosen)
    assert sets[0] == frozenset() and all(a < b for a, b in itertools.pairwise(sets))
    assert {"rescaling", *names} <= set(sets[-1])
    steps = mixed.fewest(lambda count: divergence(sets[count]) <= budget, len(sets) - 1)
    assert steps is not None
    kept = mixed.needed(lambda layers: divergence(layers) <= budget, sorted(sets[steps]), 40)
    assert set(kept) == smallest
