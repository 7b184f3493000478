"""What it costs to quantize each layer of a graph, measured one at a time."""

import dataclasses

import numpy as np
import tensorflow as tf

from export.compute import compute
from export.graph import Graph
from export.quantization.divergence import mean_divergence
from export.quantization.fake import fake_kernels, rounding
from export.quantization.scales import Quantization
from mobilenet_tf.progress import progress

_BATCH = 8  # All activations of a batch are in memory at once.


@dataclasses.dataclass(frozen=True)
class LayerCost:
    """What it costs to quantize one layer and nothing else.

    Attributes:
        name: of the Keras layer, or of a part of it, such as "conv_gate".
        op: what it computes; see `graph.Op`.
        divergence_nats: mean Kullback-Leibler divergence of the probabilities
            from the float model's.
        kernel_divergence_nats: with the kernel rounded and the output not; 0
            for layers without kernel.
        agreement: share of images with the float model's answer, 0..1.
    """

    name: str
    op: str
    divergence_nats: float
    kernel_divergence_nats: float
    agreement: float


def layer_costs(graph: Graph, quantization: Quantization, images: np.ndarray) -> list[LayerCost]:
    """Measures each layer alone.

    Args:
        graph: in the export form.
        quantization: with scales for its layers.
        images: uint8 (images, height, width, 3).

    Returns:
        A `LayerCost` for each layer with a scale, dearest first.
    """
    names = [n.name for n in graph.nodes if n.name in quantization.scales and n.op != "reshape"]
    rows: dict[str, list[np.ndarray]] = {name: [] for name in names}
    kernel_rows: dict[str, list[np.ndarray]] = {n: [] for n in names if graph[n].weighted}
    expected = []
    rounded, finish = fake_kernels(graph, quantization), rounding(graph, quantization)
    starts = range(0, len(images), _BATCH)
    for start in progress(starts, len(starts), "measuring layers, batches"):
        values = _all_values(graph, images[start : start + _BATCH])
        expected.append(values[graph.output.name].numpy())
        for name in names:
            node = rounded[name]
            inputs = [values[i] for i in node.inputs] or [values[name]]
            alone = compute(node, inputs)
            if name in kernel_rows:
                kernel_rows[name].append(_from(graph, values, name, alone))
            rows[name].append(_from(graph, values, name, finish(node, alone)))
    float_scores = np.concatenate(expected)
    costs = []
    for name in names:
        scores = np.concatenate(rows[name])
        kernel_cost = 0.0
        if name in kernel_rows:
            kernel_cost = mean_divergence(float_scores, np.concatenate(kernel_rows[name]))
        same = float(np.mean(scores.argmax(1) == float_scores.argmax(1)))
        divergence = mean_divergence(float_scores, scores)
        costs.append(LayerCost(name, graph[name].op, divergence, kernel_cost, same))
    return sorted(costs, key=lambda cost: -cost.divergence_nats)


def _all_values(graph: Graph, images: np.ndarray) -> dict[str, tf.Tensor]:
    values: dict[str, tf.Tensor] = {}
    for node in graph.nodes:
        inputs = [values[name] for name in node.inputs]
        values[node.name] = compute(node, inputs or [tf.constant(images, tf.float32)])
    return values


def _from(graph: Graph, values: dict[str, tf.Tensor], name: str, value: tf.Tensor) -> np.ndarray:
    """The output after one node's value changed: only what depends on it is computed."""
    changed = {name: value}
    for node in graph.nodes:
        if node.name != name and any(i in changed for i in node.inputs):
            inputs = [changed.get(i, values[i]) for i in node.inputs]
            changed[node.name] = compute(node, inputs)
    return np.asarray(changed[graph.output.name])
