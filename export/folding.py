"""How an exported convolution depends on the weights that training knows.

Folding is linear: kernel = trained kernel * kernel_factor, and bias = trained
bias * bias_factor + a constant, each per output channel. So a network can be
trained in the export form with the weights, and their sizes, of the original.
Only what an equalized hard-swish multiplied, per input channel, stays divided
out of a kernel while it trains: it decides how the kernel rounds.
"""

import dataclasses

import numpy as np

from export.form import export_form, round_shift
from export.graph import Graph, Node, rewrite
from export.quantization.swish_equalization import (
    NO_SWISHES,
    SwishFactors,
    equalize_swishes,
    swish_streams,
)
from mobilenet_tf.weights import WeightsByLayer


@dataclasses.dataclass(frozen=True, eq=False)
class Folding:
    """Of one convolution of the export form.

    Attributes:
        kernel_factor, bias_factor: float64 (channels,).
        input_factor: float64 (input channels, 1), what the kernel's input is
            multiplied with; or 1.0.
        bias_layer: the layer that has the bias: its BatchNormalization, or
            itself.
    """

    kernel_factor: np.ndarray
    bias_factor: np.ndarray
    input_factor: np.ndarray | float
    bias_layer: str


def integer_form(raw: Graph, swishes: SwishFactors = NO_SWISHES) -> Graph:
    """The export form that integers compute: split hard-swish, whole shift.

    Args:
        raw: a network as `keras_graph.from_keras` reads it.
        swishes: factors of the hard-swishes to equalize.
    """
    return round_shift(equalize_swishes(export_form(raw, "split"), swishes))


def foldings(raw: Graph, swishes: SwishFactors = NO_SWISHES) -> dict[str, Folding]:
    """Finds the factors of all convolutions of the network.

    Args:
        raw, swishes: see `integer_form`.

    Returns:
        A `Folding` by name of the convolution; none for the gates of equalized
        hard-swishes, which are constants.
    """
    # What folding makes of ones is its factor; of biases, the difference that one makes.
    plain = export_form(_probe(raw, 0.0), "split")
    base = equalize_swishes(plain, swishes)
    raised = equalize_swishes(export_form(_probe(raw, 1.0), "split"), swishes)
    owners, inputs = _bias_layers(raw), _input_factors(plain, swishes)
    return {
        node.name: Folding(
            kernel_factor=_one_per_channel(node, inputs.get(node.name, 1.0)),
            bias_factor=(raised[node.name].numbers()[1] - node.numbers()[1]).astype(np.float64),
            input_factor=inputs.get(node.name, 1.0),
            bias_layer=owners[node.name],
        )
        for node in base.nodes
        if node.name in owners
    }


def _input_factors(graph: Graph, swishes: SwishFactors) -> dict[str, np.ndarray]:
    """By name of the full convolutions that read an equalized hard-swish.

    A depthwise one has a single input for each channel: its factor is per output.
    """
    streams = swish_streams(graph)
    return {
        reader: factors.astype(np.float64)[:, np.newaxis]
        for name, factors in swishes.items()
        for reader in streams[name].readers
        if graph[reader].op == "conv"
    }


def _bias_layers(raw: Graph) -> dict[str, str]:
    readers = raw.consumers()
    found = {}
    for node in raw.nodes:
        if node.weighted:
            norms = [reader.name for reader in readers[node.name] if reader.op == "batch_norm"]
            found[node.name] = norms[0] if norms else node.name
    return found


def _probe(raw: Graph, bias: float) -> Graph:
    """Kernels of ones; `bias` where a trained bias is."""
    owners = set(_bias_layers(raw).values())

    def visit(node: Node) -> list[Node]:
        if node.kernel is None:
            return [node]
        kernel, old = node.numbers()
        value = np.full(old.shape, bias if node.name in owners else 0.0)
        return [
            dataclasses.replace(
                node, kernel=np.ones(kernel.shape) if node.weighted else kernel, bias=value
            )
        ]

    return rewrite(raw, visit)


def _one_per_channel(node: Node, input_factor: np.ndarray | float) -> np.ndarray:
    flat = node.kernel_by_channel * input_factor
    return flat.reshape(-1, flat.shape[-1])[0].astype(np.float64)


def unfold(
    raw: Graph,
    swishes: SwishFactors,
    kernels: dict[str, np.ndarray],
    biases: dict[str, np.ndarray],
) -> WeightsByLayer:
    """What the original network's layers must hold to fold into trained numbers.

    Args:
        raw, swishes: see `integer_form`; the network before training.
        kernels: trained, of all convolutions, in the original's sizes but for
            `Folding.input_factor`.
        biases: trained, of all convolutions of the `integer_form`.

    Returns:
        By layer name: a kernel under a convolution's; what to add to the bias
        under its `Folding.bias_layer`, last.
    """
    factors = foldings(raw, swishes)
    original = {
        name: (kernel * factors[name].input_factor).astype(np.float32)
        for name, kernel in kernels.items()
    }

    def visit(node: Node) -> list[Node]:
        return [dataclasses.replace(node, kernel=original[node.name]) if node.weighted else node]

    folded = integer_form(rewrite(raw, visit), swishes)
    found: WeightsByLayer = {name: [kernel] for name, kernel in original.items()}
    for name, folding in factors.items():
        missing = (biases[name] - folded[name].numbers()[1]) / folding.bias_factor
        found.setdefault(folding.bias_layer, []).append(missing.astype(np.float32))
    return found
