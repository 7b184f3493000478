"""A form of the network and the distributions of what it computes, to compare scales with."""

import dataclasses

import numpy as np
import tensorflow as tf

from export.compute import probabilities
from export.graph import Graph, Node
from export.quantization import calibration
from export.quantization.activation_scales import activation_scales
from export.quantization.correction import channel_means, correct_biases
from export.quantization.divergence import mean_divergence
from export.quantization.fake import fake_quantize, quantized_probabilities
from export.quantization.forms import Form
from export.quantization.ranges import LOGIT_ESTIMATORS, Histogram
from export.quantization.scales import Bits, Quantization, TensorScale

# While schemes are compared, as many pixels as 16 images of 224 correct biases, and twice
# that many are compared. Small images need more: after a mean, each is one sample.
_TRIAL_PIXELS = 16 * 224 * 224


@dataclasses.dataclass(frozen=True, eq=False)
class MeasuredForm:
    """One way to write the network, and what it was seen to compute.

    Attributes:
        form: see `forms.Form`.
        spread: the distribution of each node's output.
        trial_images: that correct biases while schemes are compared.
        means: `channel_means` on them.
        logit_estimator: what the range of the logits is taken from.
    """

    form: Form
    spread: dict[str, Histogram]
    trial_images: np.ndarray
    means: dict[str, np.ndarray]
    logit_estimator: str

    @property
    def graph(self) -> Graph:
        """The form's."""
        return self.form.graph

    @classmethod
    def seen_on(cls, form: Form, fitting: np.ndarray, held_out: np.ndarray) -> "MeasuredForm":
        """Computes it on the images that set ranges, and those that compare."""
        trial = fitting[: _trial_images(form.graph)]
        spread = calibration.histograms(form.graph, fitting)
        estimator = _logit_estimator(form.graph, spread, held_out)
        return cls(form, spread, trial, channel_means(form.graph, trial), estimator)

    def scheme(self, estimator: str, bits: Bits = 8) -> Quantization:
        """Scales by one estimator for all."""
        return self.mixed_scheme(dict.fromkeys(self.spread, estimator), bits)

    def mixed_scheme(self, estimators: dict[str, str], bits: Bits = 8) -> Quantization:
        """Scales by an estimator for each node but the logits."""
        if bits == 8:
            estimators = self.with_logits(estimators)
        return Quantization(activation_scales(self.graph, self.spread, estimators, bits))

    def with_logits(self, estimators: dict[str, str]) -> dict[str, str]:
        """Estimators by node, with the logits' own."""
        return {**estimators, _logits(self.graph).name: self.logit_estimator}

    def divergence(self, scheme: Quantization, held_out: np.ndarray, expected: np.ndarray) -> float:
        """From what was `expected` for the first of the held-out images."""
        # With corrected biases: uncorrected, their error hides all others.
        trial = correct_biases(self.graph, scheme, self.trial_images, self.means)
        scores = quantized_probabilities(trial, scheme, held_out[: len(expected)])
        return mean_divergence(expected, scores)


def expected_probabilities(graph: Graph, held_out: np.ndarray) -> np.ndarray:
    """What the float graph says to the images that compare schemes."""
    return probabilities(graph, held_out[: _compared(graph)])


def _trial_images(graph: Graph) -> int:
    height, width = graph.image_shape[:2]
    return max(16, _TRIAL_PIXELS // (height * width))


def _compared(graph: Graph) -> int:
    return 2 * _trial_images(graph)


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
