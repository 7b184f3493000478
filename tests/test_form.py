"""The export form: the same function, in operations that delegates take."""

import dataclasses

import numpy as np
import pytest

from export.compute import probabilities
from export.form import export_form, fold_batch_norm, split_hard_swish
from export.graph import Graph, Node
from export.keras_graph import from_keras
from mobilenet_tf import specs
from mobilenet_tf.engine import keras
from mobilenet_tf.models import ModelOptions, build_model

NETWORKS = (
    specs.V1,
    specs.V2,
    specs.V3_SMALL,
    specs.V3_LARGE,
    specs.get_spec("v3", "small", use_minimalistic=True),
    specs.get_spec("v3", "large", use_minimalistic=True),
    specs.get_spec("v1", profile="0.5time"),
    specs.get_spec("v3", "large", reduced_tail=specs.REDUCED_TAILS[0]),
)
IMAGES = np.random.default_rng(5).integers(0, 256, (6, 64, 64, 3), np.uint8)


@pytest.fixture(scope="module", params=NETWORKS, ids=lambda spec: spec.name)
def model(request, randomize):
    return randomize(build_model(request.param, ModelOptions((64, 64, 3), alpha=0.5, classes=7)))


@pytest.mark.parametrize("form", ["fused", "split"])
def test_every_network_stays_the_same_function(model, form):
    graph = export_form(from_keras(model), form)
    expected = model.predict_on_batch(IMAGES.astype(np.float32))
    assert expected.max() - expected.min() > 0.05  # Or the comparison would say nothing.
    np.testing.assert_allclose(probabilities(graph, IMAGES), expected, atol=1e-5)
    kinds = {node.op for node in graph.nodes}
    assert not kinds & {"batch_norm", "rescale", "relu", "relu6", "hard_sigmoid"}
    assert ("hard_swish" in kinds) == (
        form == "fused" and "v3" in model.name.lower() and _swish(model)
    )


def _swish(model) -> bool:
    return any("hard_swish" in layer.name for layer in model.layers)


def test_gates_of_squeeze_excites_end_their_convolutions(model):
    layers = [layer.name for layer in model.layers]
    excites = [name for name in layers if name.endswith("squeeze_excite_conv_1")]
    graph = export_form(from_keras(model), "split")
    gates = [node for node in graph.nodes if node.op == "gate"]
    assert len(gates) == sum(node.op == "multiply" for node in graph.nodes) - len(excites)
    for name in excites:
        assert graph[name].activation == "relu6"
        # relu6(x + 3): the 3 is in the bias, which nothing else is folded into.
        own = model.get_layer(name).get_weights()[1]
        np.testing.assert_allclose(graph[name].bias, own + 3, rtol=1e-6)


def test_trained_weights_stay_the_same_function(shared):
    path = str(shared("weights/mobilenet_v1_0.25_224_1001_classes.h5"))
    options = ModelOptions((224, 224, 3), alpha=0.25, classes=1001)
    model = build_model(specs.V1, options)
    model.load_weights(path)
    graph = export_form(from_keras(model), "split")
    images = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), np.uint8)
    expected = model.predict_on_batch(images.astype(np.float32))
    np.testing.assert_allclose(probabilities(graph, images), expected, atol=1e-5)


def _chain(*nodes: Node) -> Graph:
    return Graph((Node("image", "input", (), (1, 1, 1)), *nodes))


def _one(name: str, source: str, value: float, bias: float = 0.0) -> Node:
    kernel = np.full((1, 1, 1, 1), value)
    return Node(name, "conv", (source,), (1, 1, 1), kernel=kernel, bias=np.array([bias]))


def test_batch_norm_by_hand():
    # conv: 2 x + 1; BatchNorm: y * 3 - 5, so together 6 x - 2.
    norm = Node(
        "bn", "batch_norm", ("conv",), (1, 1, 1), kernel=np.array([3.0]), bias=np.array([-5.0])
    )
    folded = fold_batch_norm(_chain(_one("conv", "image", 2.0, 1.0), norm))
    kernel, bias = folded["conv"].numbers()
    assert (float(kernel.squeeze()), float(bias[0])) == (6.0, -2.0)
    assert len(folded.nodes) == 2


def test_factor_of_a_squeeze_excite_on_hard_swish_is_36():
    # x -> hard-swish s; gate = hard-sigmoid(conv(mean(s))); s * gate; conv by 1.
    nodes = (
        Node("swish", "hard_swish", ("image",), (1, 1, 1)),
        Node("pool", "mean", ("swish",), (1, 1, 1)),
        _one("squeeze", "pool", 1.0),
        Node("sigmoid", "hard_sigmoid", ("squeeze",), (1, 1, 1)),
        Node("scaled", "multiply", ("swish", "sigmoid"), (1, 1, 1)),
        _one("project", "scaled", 1.0),
        _one("next", "project", 1.0),
    )
    split = split_hard_swish(_chain(*nodes), keep=False)
    assert split["squeeze"].numbers()[0].item() == pytest.approx(1 / 6)
    assert split["project"].numbers()[0].item() == pytest.approx(1 / 36)
    assert split["next"].numbers()[0].item() == 1.0
    # hard-swish(2) = 2 * 5 / 6; hard-sigmoid of that = (5/3 + 3) / 6: by hand 1.2963.
    image = np.full((1, 1, 1, 1), 2.0, np.float32)
    assert probabilities(split, image).item() == pytest.approx(5 / 3 * (5 / 3 + 3) / 6, abs=1e-6)


def test_the_other_side_of_an_addition_is_raised():
    # As V3-Large adds its stem's hard-swish to the first block's linear output.
    nodes = (
        Node("swish", "hard_swish", ("image",), (1, 1, 1)),
        _one("block", "swish", 2.0, 1.0),
        Node("sum", "add", ("swish", "block"), (1, 1, 1)),
        _one("next", "sum", 1.0),
    )
    split = split_hard_swish(_chain(*nodes), keep=False)
    assert split["block"].numbers()[0].item() == pytest.approx(2.0)  # 2 * 6 / 6.
    assert split["block"].numbers()[1].item() == pytest.approx(6.0)
    image = np.full((1, 1, 1, 1), 4.0, np.float32)  # hard-swish(4) = 4; 4 + 2 * 4 + 1.
    assert probabilities(split, image).item() == pytest.approx(13.0)


def test_what_cannot_be_split_is_refused():
    nodes = (
        Node("swish", "hard_swish", ("image",), (1, 1, 1)),
        Node("relu6", "relu6", ("swish",), (1, 1, 1)),
    )
    with pytest.raises(ValueError, match="Received: 'relu6'"):
        split_hard_swish(_chain(*nodes), keep=False)


def test_weights_that_are_not_finite_are_refused(randomize):
    model = randomize(build_model(specs.V1, ModelOptions((32, 32, 3), alpha=0.25, classes=2)))
    layer = model.get_layer("conv_pw_3")
    layer.set_weights([np.where(layer.get_weights()[0] > 0, np.nan, 1.0)])
    with pytest.raises(ValueError, match="layer 'conv_pw_3'"):
        export_form(from_keras(model), "split")


def test_foreign_layers_are_named():
    image = keras.layers.Input((32, 32, 3))
    x = keras.layers.MaxPooling2D(name="pool")(image)
    outputs = keras.layers.Dense(2)(keras.layers.Flatten()(x))
    with pytest.raises(ValueError, match="int8-float-fallback.*layer 'pool' of class MaxPooling2D"):
        from_keras(keras.Model(image, outputs))


def test_a_graph_is_never_changed_in_place(model):
    graph = from_keras(model)
    before = [dataclasses.astuple(node)[:3] for node in graph.nodes]
    kernels = [None if n.kernel is None else n.kernel.copy() for n in graph.nodes]
    export_form(graph, "split")
    assert before == [dataclasses.astuple(node)[:3] for node in graph.nodes]
    for node, kernel in zip(graph.nodes, kernels):
        assert kernel is None or np.array_equal(node.kernel, kernel)
