"""Post-training quantization: scales and rounding, chosen by measurement."""

import collections
import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, get_args

import numpy as np
import tensorflow as tf

from export.compute import probabilities
from export.graph import Graph, Node, rewrite
from export.quantization import calibration
from export.quantization.activation_scales import activation_scales
from export.quantization.channel_copies import copy_channels
from export.quantization.correction import balance_kernels, channel_means, correct_biases
from export.quantization.equalization import equalize
from export.quantization.fake import fake_quantize, quantized_probabilities
from export.quantization.ranges import ESTIMATORS, LOGIT_ESTIMATORS, Histogram
from export.quantization.scales import Bits, Quantization, TensorScale
from export.quantization.swish_equalization import equalize_swishes
from mobilenet_tf.progress import progress

MIXED, _WHOLE = "per activation", "min-max"
Rounding = Literal["nearest", "biases corrected", "balanced"]
_ROUNDINGS: tuple[Rounding, ...] = get_args(Rounding)
_DEARER = 0.8  # Of the divergence before: what a form that computes more must be worth.
_HELD_OUT = 4  # Every fourth calibration image compares what the others suggest.
# While schemes are compared, as many pixels as 16 images of 224 correct biases, and twice
# that many are compared. Small images need more: after a mean, each is one sample.
_TRIAL_PIXELS = 16 * 224 * 224
_WEIGHING_IMAGES = 24  # Held-out images that compare estimators for one activation.


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
        copies: how many channels have a second copy; see `channel_copies`.
        swishes_equalized: True where channels of hard-swishes were.
        equalized: True where the graph's other channels were equalized.
        fitting, held_out: the calibration images, uint8 (images, h, w, 3).
    """

    graph: Graph
    quantization: Quantization
    estimator: str
    divergences: dict[str, float]
    estimators: dict[str, int]
    copies: int
    swishes_equalized: bool
    equalized: bool
    fitting: np.ndarray
    held_out: np.ndarray


@dataclasses.dataclass(frozen=True)
class Quantized:
    """A graph ready to be written in integers.

    Attributes:
        graph: with the kernels and biases to write.
        quantization: its scales, and the nodes that stay in float.
        divergence_nats: see `Chosen.divergences`, before the held-out images helped
            with the final graph, too.
        rounding: how the kernels were rounded: each number to the nearest,
            with biases corrected for that, or with their errors balanced too.
    """

    graph: Graph
    quantization: Quantization
    divergence_nats: float
    rounding: Rounding


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
    expected = probabilities(graph, held_out[: _compared(graph)])
    return _choose(_Form.seen_on(graph, fitting, held_out), expected, fitting, held_out, bits, seed)


def choose_form_and_scales(graph: Graph, images: np.ndarray, seed: int) -> Chosen:
    """As `choose_scales` for 8 bits, channels copied and equalized where that diverges less."""
    fitting, held_out = _divide(images)
    graph = round_shift(graph)
    # All against the network as it is: a changed one clips a little differently.
    expected = probabilities(graph, held_out[: _compared(graph)])

    def measured(changed: Graph) -> tuple[float, _Form]:
        form = _Form.seen_on(changed, fitting, held_out)
        # With the one estimator that no outlier misleads about what clipping costs.
        return form.divergence(form.scheme(_WHOLE), held_out, expected), form

    def better(
        current: tuple[float, _Form], changed: Graph, part: float = 1.0
    ) -> tuple[float, _Form]:
        if changed is current[1].graph:
            return current
        other = measured(changed)
        return other if other[0] < part * current[0] else current

    plain = measured(graph)
    copied, count = copy_channels(graph, fitting, seed)
    with_copies = better(plain, copied)
    swishes = better(with_copies, equalize_swishes(with_copies[1].graph, fitting), _DEARER)
    divergence, form = best = better(swishes, equalize(swishes[1].graph, fitting))
    return dataclasses.replace(
        _choose(form, expected, fitting, held_out, 8, seed, {_WHOLE: divergence}),
        copies=0 if with_copies is plain else count,
        swishes_equalized=swishes is not with_copies,
        equalized=best is not swishes,
    )


def _divide(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Images that set ranges, and those that compare the results."""
    if len(images) < 2:
        raise ValueError(f"calibration needs 2 images or more. Received: {len(images)}")
    every = min(_HELD_OUT, len(images))
    held_out = np.s_[every - 1 :: every]
    return np.delete(images, held_out, axis=0), images[held_out]


def _trial_images(graph: Graph) -> int:
    height, width = graph.image_shape[:2]
    return max(16, _TRIAL_PIXELS // (height * width))


def _compared(graph: Graph) -> int:
    return 2 * _trial_images(graph)


@dataclasses.dataclass(frozen=True)
class _Form:
    """One way to write the network, and what it was seen to compute.

    Attributes:
        graph: in the export form.
        spread: the distribution of each node's output.
        trial_images: that correct biases while schemes are compared.
        means: `channel_means` on them.
        logit_estimator: what the range of the logits is taken from.
    """

    graph: Graph
    spread: dict[str, Histogram]
    trial_images: np.ndarray
    means: dict[str, np.ndarray]
    logit_estimator: str

    @classmethod
    def seen_on(cls, graph: Graph, fitting: np.ndarray, held_out: np.ndarray) -> "_Form":
        trial = fitting[: _trial_images(graph)]
        spread = calibration.histograms(graph, fitting)
        estimator = _logit_estimator(graph, spread, held_out)
        return cls(graph, spread, trial, channel_means(graph, trial), estimator)

    def scheme(self, estimator: str, bits: Bits = 8) -> Quantization:
        """Scales by one estimator for all."""
        return self.mixed_scheme(dict.fromkeys(self.spread, estimator), bits)

    def mixed_scheme(self, estimators: dict[str, str], bits: Bits = 8) -> Quantization:
        """Scales by an estimator for each node but the logits."""
        if bits == 8:
            estimators = {**estimators, _logits(self.graph).name: self.logit_estimator}
        return Quantization(activation_scales(self.graph, self.spread, estimators, bits))

    def divergence(self, scheme: Quantization, held_out: np.ndarray, expected: np.ndarray) -> float:
        """From what was `expected` for the first of the held-out images."""
        # With corrected biases: uncorrected, their error hides all others.
        trial = correct_biases(self.graph, scheme, self.trial_images, self.means)
        scores = quantized_probabilities(trial, scheme, held_out[: len(expected)])
        return mean_divergence(expected, scores)


def _choose(
    form: _Form,
    expected: np.ndarray,
    fitting: np.ndarray,
    held_out: np.ndarray,
    bits: Bits,
    seed: int,
    known: Mapping[str, float] = MappingProxyType({}),
) -> Chosen:
    """The best estimator for one form of the graph, `expected` being what the model says.

    Estimators whose divergence is `known` are not measured again.
    """
    # Rounding to 16 bits is fine enough for everything that was seen.
    names = list(ESTIMATORS) if bits == 8 else [_WHOLE]
    schemes = {name: form.scheme(name, bits) for name in names}
    best = dict.fromkeys(form.spread, names[0])
    if len(names) > 1:
        best = _best_estimators(form.graph, held_out, schemes, seed)
        schemes[MIXED] = form.mixed_scheme(best)
    divergences = {
        name: known.get(name) or form.divergence(schemes[name], held_out, expected)
        for name in progress(schemes, len(schemes), "comparing ranges")
    }
    chosen = min(divergences, key=lambda name: divergences[name])
    used = best if chosen == MIXED else dict.fromkeys(schemes[chosen].scales, chosen)
    if bits == 8:
        used = {**used, _logits(form.graph).name: form.logit_estimator}
    counts = dict(collections.Counter(used.values()))
    return Chosen(
        graph=form.graph,
        quantization=schemes[chosen],
        estimator=chosen,
        divergences=divergences,
        estimators=counts,
        copies=0,
        swishes_equalized=False,
        equalized=False,
        fitting=fitting,
        held_out=held_out,
    )


def quantize_graph(chosen: Chosen, float_nodes: frozenset[str] = frozenset()) -> Quantized:
    """Rounds the kernels in the way that keeps the held-out images closest to the float model.

    Args:
        chosen: from `choose_scales`.
        float_nodes: names of nodes that compute in float.

    Returns:
        A `Quantized`.
    """
    graph, held_out = chosen.graph, chosen.held_out
    quantization = Quantization(chosen.quantization.scales, float_nodes)

    def rounded(way: Rounding, images: np.ndarray, means: dict[str, np.ndarray]) -> Graph:
        if way == "nearest":
            return graph
        fit = correct_biases if way == "biases corrected" else balance_kernels
        return fit(graph, quantization, images, means)

    expected, means = probabilities(graph, held_out), channel_means(graph, chosen.fitting)
    divergences: dict[Rounding, float] = {}
    for way in progress(_ROUNDINGS, len(_ROUNDINGS), "rounding kernels, ways"):
        found = rounded(way, chosen.fitting, means)
        scores = quantized_probabilities(found, quantization, held_out)
        divergences[way] = mean_divergence(expected, scores)
    best = min(divergences, key=lambda way: divergences[way])
    # Once it is chosen, the images that compared have nothing better to do than to help.
    final = graph
    if best != "nearest":
        images = np.concatenate([chosen.fitting, held_out])
        final = rounded(best, images, channel_means(graph, images))
    return Quantized(final, quantization, divergences[best], best)


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


def _logits(graph: Graph) -> Node:
    """What the softmax reads, before it is reshaped."""
    return next(node for node in reversed(graph.nodes) if node.op not in ("softmax", "reshape"))


def _logit_estimator(graph: Graph, spread: dict[str, Histogram], held_out: np.ndarray) -> str:
    """The range that changes the probabilities least, all else being exact."""
    node = _logits(graph)
    logits = probabilities(Graph(graph.nodes[:-1]), held_out[: _compared(graph)])
    exact = tf.nn.softmax(logits).numpy()

    def divergence(estimator: str) -> float:
        low, high = LOGIT_ESTIMATORS[estimator](spread[node.name])
        rounded = fake_quantize(logits, TensorScale.of_range(low, high))
        return mean_divergence(exact, tf.nn.softmax(rounded).numpy())

    return min(LOGIT_ESTIMATORS, key=divergence)


def _best_estimators(
    graph: Graph, images: np.ndarray, schemes: dict[str, Quantization], seed: int
) -> dict[str, str]:
    names = list(schemes)
    candidates = {
        node: [schemes[name].scales[node] for name in names] for node in schemes[names[0]].scales
    }
    errors = calibration.weighted_errors(graph, images[:_WEIGHING_IMAGES], candidates, seed)
    return {node: names[int(np.argmin(errors[node]))] for node in errors}
