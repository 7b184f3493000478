"""How an exported convolution depends on the weights that training knows.

Folding is linear: kernel = trained kernel * kernel_factor, and bias = trained
bias * bias_factor + a constant, each per output channel. So a network can be
trained in the export form with the weights, and their sizes, of the original.
"""

import dataclasses

import numpy as np

from export.form import export_form
from export.graph import Graph, Node, rewrite
from export.quantization.quantizer import round_shift
from mobilenet_tf.weights import WeightsByLayer


@dataclasses.dataclass(frozen=True, eq=False)
class Folding:
    """Of one convolution of the export form.

    Attributes:
        kernel_factor, bias_factor: float64 (channels,).
        bias_layer: the layer that has the bias: its BatchNormalization, or
            itself.
    """

    kernel_factor: np.ndarray
    bias_factor: np.ndarray
    bias_layer: str


def integer_form(raw: Graph) -> Graph:
    """The export form that integers compute: split hard-swish, whole shift."""
    return round_shift(export_form(raw, "split"))


def foldings(raw: Graph) -> dict[str, Folding]:
    """Finds the factors of all convolutions.

    Args:
        raw: a network as `keras_graph.from_keras` reads it.

    Returns:
        A `Folding` by name of the convolution.
    """
    # What folding makes of ones is its factor; of biases, the difference that one makes.
    base = export_form(_probe(raw, 0.0), "split")
    raised = export_form(_probe(raw, 1.0), "split")
    owners = _bias_layers(raw)
    return {
        node.name: Folding(
            kernel_factor=_one_per_channel(node),
            bias_factor=(raised[node.name].numbers()[1] - node.numbers()[1]).astype(np.float64),
            bias_layer=owners[node.name],
        )
        for node in base.nodes
        if node.weighted
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


def _one_per_channel(node: Node) -> np.ndarray:
    flat = node.kernel_by_channel
    return flat.reshape(-1, flat.shape[-1])[0].astype(np.float64)


def unfold(
    raw: Graph, kernels: dict[str, np.ndarray], biases: dict[str, np.ndarray]
) -> WeightsByLayer:
    """What the original network's layers must hold to fold into trained numbers.

    Args:
        raw: the network before training, as `keras_graph.from_keras` reads it.
        kernels: trained, of all convolutions, in the original's sizes.
        biases: trained, of all convolutions of the `integer_form`.

    Returns:
        By layer name: a kernel under a convolution's; what to add to the bias
        under its `Folding.bias_layer`, last.
    """

    def visit(node: Node) -> list[Node]:
        return [dataclasses.replace(node, kernel=kernels[node.name]) if node.weighted else node]

    folded = integer_form(rewrite(raw, visit))
    found: WeightsByLayer = {name: [kernel] for name, kernel in kernels.items()}
    for name, folding in foldings(raw).items():
        missing = (biases[name] - folded[name].numbers()[1]) / folding.bias_factor
        found.setdefault(folding.bias_layer, []).append(missing.astype(np.float32))
    return found
