"""What is compared of several .tflite files, and how it is measured."""

import dataclasses
import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from benchmarks.arm.counts import ArmCounts, ArmUnavailable, count
from benchmarks.latency import LatencyResult, LatencySettings, measure, noise_warnings
from benchmarks.op_profile import OpProfile, profile
from benchmarks.static import StaticCost, static_cost
from benchmarks.stats import display_names
from mobilenet_tf import cli
from mobilenet_tf.machine import describe_machine
from mobilenet_tf.progress import progress

if TYPE_CHECKING:
    from mobilenet_tf.data import datasets


@dataclasses.dataclass(frozen=True)
class Accuracy:
    """How often a file is right.

    Attributes:
        top1: share of the images, 0..1.
        images: how many.
    """

    top1: float
    images: int

    @property
    def error(self) -> float:
        """Standard error of `top1`, of images drawn at random."""
        return math.sqrt(self.top1 * (1 - self.top1) / self.images)


@dataclasses.dataclass(frozen=True)
class Entry:
    """One file.

    Attributes:
        letter: that stands for it in the plots: "A", "B" and so on.
        name: of the file, with its folder where two have the same.
        static: counted from its bytes.
        latency: measured on this machine.
        profile: of its operations, on this machine.
        accuracy: None where it was not asked for.
        arm: None where it was not asked for or cannot be counted.
    """

    letter: str
    name: str
    static: StaticCost
    latency: LatencyResult
    profile: OpProfile
    accuracy: Accuracy | None = None
    arm: ArmCounts | None = None


@dataclasses.dataclass(frozen=True)
class Comparison:
    """All that one table and one page show.

    Attributes:
        entries: one for each file, in the order given.
        machine: see `machine.describe_machine`, before the measurement.
        settings: of the latency.
        noise_reasons: why latencies should not be compared; empty if nothing is known.
        dataset: that accuracy was measured on; None for no accuracy.
        arm_core: that instructions were counted for; None where they were not asked for.
        arm_problem: why they could not be counted; "" if they were.
    """

    entries: tuple[Entry, ...]
    machine: dict[str, Any]
    settings: LatencySettings
    noise_reasons: tuple[str, ...]
    dataset: str | None
    arm_core: str | None
    arm_problem: str


@dataclasses.dataclass(frozen=True)
class AccuracyPlan:
    """What accuracy is measured on.

    Attributes:
        data: the data set.
        most_images: of its evaluation split; None for all.
    """

    data: "datasets.DataConfig"
    most_images: int | None


def compare(
    paths: Sequence[str],
    settings: LatencySettings,
    plan: AccuracyPlan | None,
    arm_core: str | None,
) -> Comparison:
    """Measures files, the latency of all of them in turn.

    Args:
        paths: of the .tflite files; all different.
        settings: of the latency.
        plan: of the accuracy; None for none.
        arm_core: to count instructions of, such as "cortex-a76"; None not to.

    Returns:
        A `Comparison`.

    Raises:
        FileNotFoundError: a path that is no file.
        ValueError: not a .tflite, or the same file twice, or other classes than the data's.
        WorkError: a file that the runtime cannot run.
    """
    machine = describe_machine()  # Before our own work adds to its load.
    statics = [static_cost(path) for path in paths]
    accuracies = _accuracies(paths, plan)
    counts, arm_problem = _arm_counts(paths, arm_core)
    profiles = [profile(path) for path in progress(paths, len(paths), "profiling")]
    latencies = measure(paths, settings)
    entries = tuple(
        Entry(letter(i), name, statics[i], latencies[i], profiles[i], accuracies[i], counts[i])
        for i, name in enumerate(display_names(paths))
    )
    return Comparison(
        entries=entries,
        machine=machine,
        settings=settings,
        noise_reasons=tuple(noise_warnings(latencies, machine)),
        dataset=None if plan is None else plan.data.dataset,
        arm_core=arm_core,
        arm_problem=arm_problem,
    )


def _accuracies(paths: Sequence[str], plan: AccuracyPlan | None) -> list[Accuracy | None]:
    if plan is None:
        return [None] * len(paths)
    # Not above: the measuring processes import this module, and these load TensorFlow.
    from benchmarks import accuracy
    from mobilenet_tf.classifier import load_classifier
    from mobilenet_tf.data import datasets

    classifiers = [load_classifier(path) for path in paths]
    results = accuracy.evaluate(classifiers, datasets.open_source(plan.data), plan.most_images)
    return [Accuracy(result["top1"], result["images"]) for result in results]


def _arm_counts(paths: Sequence[str], core: str | None) -> tuple[list[ArmCounts | None], str]:
    """Counts of each file, and why those that are missing are."""
    if core is None:
        return [None] * len(paths), ""
    counts: list[ArmCounts | None] = []
    problem = ""
    for path in progress(paths, len(paths), "counting ARM instructions"):
        try:
            counts.append(count(path, core))
        except ArmUnavailable as error:
            return [None] * len(paths), _without_paths(error)
        except cli.WorkError as error:  # The other figures of the file are still worth showing.
            counts.append(None)
            problem = f"{os.path.basename(path)}: {_without_paths(error)}"
    return counts, problem


def _without_paths(error: Exception) -> str:
    # Folders of the machine are nobody else's business, and a page gets passed on.
    return str(error).partition(" Received: ")[0]


def letter(index: int) -> str:
    """ "A" for 0, "Z" for 25, "AA" for 26."""
    head = letter(index // 26 - 1) if index >= 26 else ""
    return head + chr(ord("A") + index % 26)


def pareto_front(costs: Sequence[float], accuracies: Sequence[float]) -> list[int]:
    """Those that no other beats: cheaper and at least as accurate, or more accurate for as much.

    Args:
        costs: less is better.
        accuracies: more is better; as many.

    Returns:
        Indices, the cheapest first.
    """
    order = sorted(range(len(costs)), key=lambda i: (costs[i], -accuracies[i]))
    front: list[int] = []
    for i in order:
        best = front[-1] if front else None
        is_equal = best is not None and (costs[i], accuracies[i]) == (costs[best], accuracies[best])
        if best is None or accuracies[i] > accuracies[best] or is_equal:
            front.append(i)
    return front
