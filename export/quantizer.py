"""Post-training quantization: scales, corrected biases, and their choice by measurement."""

import dataclasses

import numpy as np
import tensorflow as tf

from export import calibration
from export.compute import activate, compute_linear, probabilities, walk
from export.equalization import equalize
from export.fake import fake_kernels, quantized_probabilities, rounding
from export.graph import Graph, Node, rewrite
from export.ranges import ESTIMATORS, Histogram
from export.scales import Bits, Quantization, TensorScale

MIXED = "per activation"
_HELD_OUT = 4  # Every fourth calibration image compares what the others suggest.
_TRIAL_IMAGES = 48  # That correct biases while estimators are compared.
_WEIGHING_IMAGES = 24  # Held-out images that compare estimators for one activation.
_CORRECTION_BYTES = 1e9  # Of all images' copies of the largest activation.


@dataclasses.dataclass(frozen=True)
class Chosen:
    """Scales for every activation of a graph, and how they were chosen.

    Attributes:
        graph: that they are for, in the export form, its biases as trained.
        quantization: the scales.
        estimator: of `ranges.ESTIMATORS`, or "per activation".
        divergences: mean Kullback-Leibler divergence in nats of the held-out
            images' probabilities from the float model's, by estimator.
        estimators: how many activations each estimator's range was taken for.
        equalized: True where the graph's channels were equalized.
        fitting, held_out: the calibration images, uint8 (images, h, w, 3).
    """

    graph: Graph
    quantization: Quantization
    estimator: str
    divergences: dict[str, float]
    estimators: dict[str, int]
    equalized: bool
    fitting: np.ndarray
    held_out: np.ndarray


@dataclasses.dataclass(frozen=True)
class Quantized:
    """A graph ready to be written in integers.

    Attributes:
        graph: its biases corrected where that helps.
        quantization: its scales, and the nodes that stay in float.
        divergence_nats: see `Chosen.divergences`, of the final graph.
        corrected: True where biases were corrected.
    """

    graph: Graph
    quantization: Quantization
    divergence_nats: float
    corrected: bool


def choose_scales(graph: Graph, images: np.ndarray, bits: Bits, seed: int) -> Chosen:
    """Chooses a scale for every activation by measurement.

    Args:
        graph: in the export form.
        images: uint8 (images, height, width, 3); 2 or more.
        bits: of activations; kernels always have 8.
        seed: of the labels drawn to weigh errors.

    Returns:
        A `Chosen`: of one estimator for all activations and the best one for
        each, what diverges least on the held-out quarter of the images.

    Raises:
        ValueError: fewer than 2 images, or activations that are not finite.
    """
    fitting, held_out = _divide(images)
    graph = round_shift(graph) if bits == 8 else graph
    return _choose(graph, probabilities(graph, held_out), fitting, held_out, bits, seed)


def choose_form_and_scales(graph: Graph, images: np.ndarray, seed: int) -> Chosen:
    """As `choose_scales` for 8 bits, with channels equalized where that diverges less."""
    fitting, held_out = _divide(images)
    graph = round_shift(graph)
    # Both against the network as it is: the equalized one clips a little differently.
    expected = probabilities(graph, held_out)
    chosen = _choose(graph, expected, fitting, held_out, 8, seed)
    equalized = equalize(graph, fitting)
    if equalized is graph:
        return chosen
    other = _choose(equalized, expected, fitting, held_out, 8, seed)
    other = dataclasses.replace(other, equalized=True)
    return min(chosen, other, key=lambda choice: choice.divergences[choice.estimator])


def _divide(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Images that set ranges, and those that compare the results."""
    if len(images) < 2:
        raise ValueError(f"calibration needs 2 images or more. Received: {len(images)}")
    every = min(_HELD_OUT, len(images))
    held_out = np.s_[every - 1 :: every]
    return np.delete(images, held_out, axis=0), images[held_out]


def _choose(
    graph: Graph,
    expected: np.ndarray,
    fitting: np.ndarray,
    held_out: np.ndarray,
    bits: Bits,
    seed: int,
) -> Chosen:
    """The best estimator for one form of the graph, `expected` being what the model says."""
    spread = calibration.histograms(graph, fitting)
    # Rounding to 16 bits is fine enough for everything that was seen.
    names = list(ESTIMATORS) if bits == 8 else ["min-max"]
    schemes = {
        name: Quantization(_scales(graph, spread, dict.fromkeys(spread, name), bits))
        for name in names
    }
    best = dict.fromkeys(spread, names[0])
    if len(names) > 1:
        best = _best_estimators(graph, held_out, schemes, seed)
        schemes[MIXED] = Quantization(_scales(graph, spread, best, bits))
    divergences = {}
    for name, scheme in schemes.items():
        # Compared with corrected biases: uncorrected, their error hides all others.
        trial = correct_biases(graph, scheme, fitting[:_TRIAL_IMAGES])
        scores = quantized_probabilities(trial, scheme, held_out)
        divergences[name] = mean_divergence(expected, scores)
    chosen = min(divergences, key=lambda name: divergences[name])
    used = [best[name] if chosen == MIXED else chosen for name in schemes[chosen].scales]
    counts = {name: used.count(name) for name in names if name in used}
    return Chosen(graph, schemes[chosen], chosen, divergences, counts, False, fitting, held_out)


def quantize_graph(chosen: Chosen, float_nodes: frozenset[str] = frozenset()) -> Quantized:
    """Corrects biases where that brings the held-out images closer to the float model.

    Args:
        chosen: from `choose_scales`.
        float_nodes: names of nodes that compute in float.

    Returns:
        A `Quantized`.
    """
    quantization = Quantization(chosen.quantization.scales, float_nodes)
    expected = probabilities(chosen.graph, chosen.held_out)

    def divergence(graph: Graph) -> float:
        scores = quantized_probabilities(graph, quantization, chosen.held_out)
        return mean_divergence(expected, scores)

    corrected = correct_biases(chosen.graph, quantization, chosen.fitting)
    before, after = divergence(chosen.graph), divergence(corrected)
    if after < before:
        return Quantized(corrected, quantization, after, True)
    return Quantized(chosen.graph, quantization, before, False)


def mean_divergence(expected: np.ndarray, scores: np.ndarray) -> float:
    """Mean Kullback-Leibler divergence of rows of probabilities, in nats."""
    expected, scores = np.maximum(expected, 1e-9), np.maximum(scores, 1e-9)
    return float(np.mean(np.sum(expected * np.log(expected / scores), axis=1)))


def round_shift(graph: Graph) -> Graph:
    """Makes the shift of the input a whole number, its rest in the readers' biases.

    Scale 1 then holds the shifted bytes exactly, in the same 8 bits. Only the
    padding of the first convolution changes, by half a byte value.
    """
    rests: dict[str, float] = {}

    def visit(node: Node) -> list[Node]:
        if node.op == "shift":
            whole = float(np.floor(node.offset))
            rests[node.name] = node.offset - whole
            return [dataclasses.replace(node, offset=whole)]
        rest = rests.get(node.inputs[0]) if node.inputs else None
        if rest is None or not node.weighted:
            return [node]
        kernel, bias = node.numbers()
        axes = (0, 1) if node.op == "depthwise" else (0, 1, 2)
        return [dataclasses.replace(node, bias=bias + rest * kernel.sum(axes).reshape(-1))]

    return rewrite(graph, visit)


def _scales(
    graph: Graph, spread: dict[str, Histogram], estimators: dict[str, str], bits: Bits
) -> dict[str, TensorScale]:
    """Scales of all nodes but the softmax, which stays in float."""
    scales: dict[str, TensorScale] = {}
    for node in graph.nodes:
        if node.op == "softmax":
            continue
        histogram = spread[node.name]
        if node.op == "reshape":
            scales[node.name] = scales[node.inputs[0]]
        elif node.op == "input":
            scales[node.name] = TensorScale.of_range(0.0, 255.0, bits)
        elif node.op == "shift":
            scales[node.name] = TensorScale.of_range(node.offset, 255.0 + node.offset, bits)
        else:
            low, high = ESTIMATORS[estimators[node.name]](histogram)
            scales[node.name] = TensorScale.of_range(low, high, bits)
    return for_xnnpack(graph, scales)


def for_xnnpack(graph: Graph, scales: dict[str, TensorScale]) -> dict[str, TensorScale]:
    """Coarsens scales until XNNPACK takes every addition and product.

    It demands of an addition input scale / output scale from 2**-10 to below
    2**8, of a product both input scales / output scale from 2**-16. An input
    that is finer than that says nothing that the output could show, so
    nothing is lost; it happens where a channel's values are all but 0.
    """
    scales = dict(scales)
    for node in reversed(graph.nodes):  # Coarser inputs may need coarser inputs of their own.
        if node.op not in ("add", "gate", "shift", "multiply"):
            continue
        out = scales[node.name].scale
        for i, name in enumerate(node.inputs):
            least = out * 2.0**-9
            if node.op == "multiply":
                least = out * 2.0**-15 / scales[node.inputs[1 - i]].scale
            scales[name] = _at_least(scales[name], least)
    return scales


def _at_least(scale: TensorScale, least: float) -> TensorScale:
    """The same range in coarser steps, where they are finer than allowed."""
    if scale.scale >= least:
        return scale
    low, high = scale.real_range
    factor = least / scale.scale * 1.001
    return TensorScale.of_range(low * factor, high * factor, scale.bits)


def _best_estimators(
    graph: Graph, images: np.ndarray, schemes: dict[str, Quantization], seed: int
) -> dict[str, str]:
    names = list(schemes)
    candidates = {
        node: [schemes[name].scales[node] for name in names] for node in schemes[names[0]].scales
    }
    errors = calibration.weighted_errors(graph, images[:_WEIGHING_IMAGES], candidates, seed)
    return {node: names[int(np.argmin(errors[node]))] for node in errors}


def correct_biases(graph: Graph, quantization: Quantization, images: np.ndarray) -> Graph:
    """Moves each bias by the mean error that quantization makes there.

    Node by node, with all nodes before it quantized and corrected already
    (Nagel et al. 2019, arXiv:1906.04721, section 4.2, the empirical form).

    Args:
        graph: in the export form.
        quantization: its scales.
        images: uint8 (images, height, width, 3).

    Returns:
        The graph with other biases.
    """
    largest = max(int(np.prod(node.shape)) for node in graph.nodes) * 4
    images = images[: max(1, int(_CORRECTION_BYTES / largest))]
    batch = tf.constant(images, tf.float32)
    quantized = fake_kernels(graph, quantization)
    finish = rounding(graph, quantization)
    biases: dict[str, np.ndarray] = {}

    def step(node: Node, inputs: list) -> tuple[tf.Tensor, tf.Tensor]:
        exact_inputs = [exact for exact, _ in inputs] or [batch]
        rounded_inputs = [rounded for _, rounded in inputs] or [batch]
        exact = compute_linear(node, exact_inputs)
        rounded = compute_linear(quantized[node.name], rounded_inputs)
        if node.weighted and quantization.computes_in_integers(node.name):
            error = tf.reduce_mean(exact - rounded, (0, 1, 2))
            biases[node.name] = node.numbers()[1] + error.numpy()
            rounded += error
        return activate(node, exact), finish(node, activate(node, rounded))

    walk(graph, step)
    return rewrite(
        graph,
        lambda node: [
            dataclasses.replace(node, bias=biases[node.name]) if node.name in biases else node
        ],
    )
