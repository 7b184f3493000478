"""Two 1x1 convolutions in a row are one."""

import numpy as np
import pytest

from export.graph import Graph, Node
from export.keras_graph import from_keras, read_layers
from export.pointwise import Pair, merge_pointwise, pointwise_pairs
from mobilenet_tf import specs
from mobilenet_tf.models import ModelOptions, build_model
from tests.graphs import conv

PROJECTION = Pair("expanded_conv_project", "expanded_conv_project_bn", "expanded_conv_1_expand")


def _chain(first, second, norm=((1, 1), (0, 0)), **options) -> Graph:
    """image, two 1x1 convolutions with a BatchNorm between them, softmax."""
    first, second = (
        np.asarray(kernel, float)[np.newaxis, np.newaxis] for kernel in (first, second)
    )
    read, between, out = *first.shape[2:], second.shape[-1]
    kernel, bias = (np.asarray(values, float) for values in norm)
    return Graph(
        (
            Node("image", "input", (), (2, 2, read)),
            conv("first", "image", first, np.zeros(between), (2, 2, between), **options),
            Node("norm", "batch_norm", ("first",), (2, 2, between), kernel=kernel, bias=bias),
            conv("second", "norm", second, np.full(out, 10.0), (2, 2, out)),
            Node("output", "relu", ("second",), (2, 2, out)),
        )
    )


def test_a_product_by_hand():
    # 3 x + 4 y and 5 x, times 2 plus 1, times 1 plus -1; their sum and their difference, plus 10.
    graph = _chain([[3, 5], [4, 0]], [[1, 1], [1, -1]], norm=((2, 1), (1, -1)))
    merged = merge_pointwise(graph)
    assert [node.name for node in merged.nodes] == ["image", "second", "output"]
    kernel, bias = merged["second"].numbers()
    # x: 6 and 5; y: 8 and 0; the constants 1 and -1.
    np.testing.assert_array_equal(kernel[0, 0], [[6 + 5, 6 - 5], [8 + 0, 8 - 0]])
    np.testing.assert_array_equal(bias, [10 + 1 - 1, 10 + 1 + 1])
    assert merged["second"].inputs == ("image",)


def _second_reader(graph: Graph, name: str) -> Graph:
    extra = Node("extra", "add", (name, name), graph[name].shape)
    return Graph((*graph.nodes[:-1], extra, graph.output))


def test_what_stays_apart():
    square = [[1, 2], [3, 4]]
    assert pointwise_pairs(_chain(square, square)) == [Pair("first", "norm", "second")]
    narrower = _chain([[1], [2]], [[1, 2]], norm=((1,), (0,)))  # A bottleneck costs less apart.
    assert not pointwise_pairs(narrower)
    assert len(merge_pointwise(narrower).nodes) == len(narrower.nodes)
    assert not pointwise_pairs(_chain(square, square, stride=2))
    for name in ("first", "norm"):
        assert not pointwise_pairs(_second_reader(_chain(square, square), name))
    nodes = list(_chain(square, square).nodes)
    nodes[2] = Node("norm", "relu", ("first",), (2, 2, 2))
    assert not pointwise_pairs(Graph(tuple(nodes)))


@pytest.mark.parametrize("alpha", [0.75, 1.0])
@pytest.mark.parametrize(
    "spec, pairs",
    [
        (specs.V1, []),
        (specs.V2, []),
        (specs.V3_SMALL, [PROJECTION]),
        (specs.get_spec("v3", "small", use_minimalistic=True), [PROJECTION]),
        (specs.V3_LARGE, []),
    ],
)
def test_pairs_of_the_networks(spec, pairs, alpha):
    """V3-Small's first block has stride 2 and so no residual (arXiv:1905.02244, table 2)."""
    model = build_model(spec, ModelOptions((64, 64, 3), alpha=alpha, classes=3))
    assert pointwise_pairs(read_layers(model)) == pairs
    assert len(from_keras(model).nodes) == len(read_layers(model).nodes) - 2 * len(pairs)


def test_a_narrow_v3_small_has_a_bottleneck_there():
    # alpha 0.35: 16 channels, 8, 24; 320 products apart and 384 as one.
    model = build_model(specs.V3_SMALL, ModelOptions((64, 64, 3), alpha=0.35, classes=3))
    assert not pointwise_pairs(read_layers(model))
