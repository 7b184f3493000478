"""The form and the scales of an int8 network, chosen by measurement."""

import collections
import dataclasses
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from export.form import round_shift
from export.graph import Graph
from export.quantization import calibration
from export.quantization.forms import CHANNELS, COPIES, SWISHES, Change, Form
from export.quantization.measured_form import MeasuredForm, expected_probabilities
from export.quantization.ranges import ESTIMATORS
from export.quantization.scales import Bits, Quantization
from mobilenet_tf.progress import progress

MIXED, _WHOLE = "per activation", "min-max"
_HELD_OUT = 4  # Every fourth calibration image compares what the others suggest.
_WEIGHING_IMAGES = 24  # Held-out images that compare estimators for one activation.


@dataclasses.dataclass(frozen=True, eq=False)
class Chosen:
    """Scales for every activation of a graph, and how they were chosen.

    Attributes:
        form: that they are for, its biases as trained.
        quantization: the scales.
        estimator: of `ranges.ESTIMATORS`, or "per activation".
        divergences: mean Kullback-Leibler divergence in nats of the held-out
            images' probabilities from the float model's, by estimator.
        estimators: how many activations each estimator's range was taken for.
        fitting, held_out: the calibration images, uint8 (images, h, w, 3).
    """

    form: Form
    quantization: Quantization
    estimator: str
    divergences: dict[str, float]
    estimators: dict[str, int]
    fitting: np.ndarray
    held_out: np.ndarray

    @property
    def graph(self) -> Graph:
        """The form's."""
        return self.form.graph


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
    seen = MeasuredForm.seen_on(Form(graph), fitting, held_out)
    expected = expected_probabilities(graph, held_out)
    return _choose(seen, expected, fitting, held_out, bits, seed)


def choose_form_and_scales(graph: Graph, images: np.ndarray, seed: int) -> Chosen:
    """As `choose_scales` for 8 bits, in the `forms.Form` that diverges least."""
    return _choose_after((COPIES, SWISHES, CHANNELS), graph, images, seed)


def choose_trainable_form_and_scales(graph: Graph, images: np.ndarray, seed: int) -> Chosen:
    """As `choose_form_and_scales`, of forms that `folding.foldings` can undo.

    Training evens out what the others would.
    """
    return _choose_after((SWISHES,), graph, images, seed)


def _choose_after(
    changes: tuple[Change, ...], graph: Graph, images: np.ndarray, seed: int
) -> Chosen:
    fitting, held_out = _divide(images)
    graph = round_shift(graph)
    # All against the network as it is: a changed one clips a little differently.
    expected = expected_probabilities(graph, held_out)

    def measured(form: Form) -> tuple[float, MeasuredForm]:
        seen = MeasuredForm.seen_on(form, fitting, held_out)
        # With the one estimator that no outlier misleads about what clipping costs.
        return seen.divergence(seen.scheme(_WHOLE), held_out, expected), seen

    divergence, best = measured(Form(graph))
    for change in changes:
        form = change.apply(best.form, fitting, seed)
        if form is best.form:
            continue
        other = measured(form)
        if other[0] < change.worth * divergence:
            divergence, best = other
    return _choose(best, expected, fitting, held_out, 8, seed, {_WHOLE: divergence})


def _divide(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Images that set ranges, and those that compare the results."""
    if len(images) < 2:
        raise ValueError(f"calibration needs 2 images or more. Received: {len(images)}")
    every = min(_HELD_OUT, len(images))
    held_out = np.s_[every - 1 :: every]
    return np.delete(images, held_out, axis=0), images[held_out]


def _choose(
    seen: MeasuredForm,
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
    schemes = {name: seen.scheme(name, bits) for name in names}
    best = dict.fromkeys(seen.spread, names[0])
    if len(names) > 1:
        best = _best_estimators(seen.graph, held_out, schemes, seed)
        schemes[MIXED] = seen.mixed_scheme(best)
    divergences = {
        name: known.get(name) or seen.divergence(schemes[name], held_out, expected)
        for name in progress(schemes, len(schemes), "comparing ranges")
    }
    chosen = min(divergences, key=lambda name: divergences[name])
    used = best if chosen == MIXED else dict.fromkeys(schemes[chosen].scales, chosen)
    if bits == 8:
        used = seen.with_logits(used)
    return Chosen(
        form=seen.form,
        quantization=schemes[chosen],
        estimator=chosen,
        divergences=divergences,
        estimators=dict(collections.Counter(used.values())),
        fitting=fitting,
        held_out=held_out,
    )


def _best_estimators(
    graph: Graph, images: np.ndarray, schemes: dict[str, Quantization], seed: int
) -> dict[str, str]:
    names = list(schemes)
    candidates = {
        node: [schemes[name].scales[node] for name in names] for node in schemes[names[0]].scales
    }
    errors = calibration.weighted_errors(graph, images[:_WEIGHING_IMAGES], candidates, seed)
    return {node: names[int(np.argmin(errors[node]))] for node in errors}
