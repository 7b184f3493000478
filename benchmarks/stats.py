"""What a latency measurement says, and whether it can be trusted.

Kept apart from the measuring, so that all of it can be tested with made-up
numbers.
"""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

# Above these, two models on this machine cannot be told apart reliably.
MAX_ROUND_SPREAD = 1.25
MAX_WALL_TO_CPU = 1.25
HOT_C = 80.0  # Boards and laptops lower their clock from about here.


@dataclasses.dataclass(frozen=True)
class LatencySettings:
    """How to measure.

    Args:
        num_threads: that the kernels may use.
        num_runs: timed inferences in each round.
        rounds: turns that each file gets.
        warmup_runs: inferences before each round that do not count. Every
            round has them, since the other files have emptied the caches.
        seed: of the input images.

    Raises:
        ValueError: a number that is too small.
    """

    num_threads: int = 1
    num_runs: int = 50
    rounds: int = 5
    warmup_runs: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            least = 0 if name in ("warmup_runs", "seed") else 1
            if value < least:
                raise ValueError(
                    f"{name} must be at least {least}; choose a larger number. "
                    f"Received: {name}={value}"
                )


@dataclasses.dataclass(frozen=True)
class LatencyStats:
    """Statistics of wall times; see `summarize`."""

    num_runs: int
    median_ms: float
    p90_ms: float
    p99_ms: float
    min_ms: float
    mean_ms: float
    std_ms: float


@dataclasses.dataclass(frozen=True)
class LatencyResult:
    """What was measured of one file.

    Attributes:
        path: as it was given.
        sha256: of the file, so that a number can be tied to its model.
        size_bytes: of the file.
        input_dtype: "float32", "uint8" or "int8".
        input_shape: with the batch axis.
        num_threads: that the kernels were allowed.
        xnnpack_partitions: pieces that XNNPACK runs; 1 or 2 is healthy.
        init_ms: wall time to load the file and allocate its tensors; the file
            is in the page cache by then.
        first_run_ms: wall time of the first inference.
        stats: of the wall times of all rounds.
        round_medians_ms: median wall time of each round.
        cpu_ms: CPU time of the process per inference, all threads together.
        peak_memory_bytes: growth of the process' resident memory from just
            before the model was loaded to its peak. Holds the weights, the
            activations, one input image and the code that was paged in.
    """

    path: str
    sha256: str
    size_bytes: int
    input_dtype: str
    input_shape: tuple[int, ...]
    num_threads: int
    xnnpack_partitions: int
    init_ms: float
    first_run_ms: float
    stats: LatencyStats
    round_medians_ms: tuple[float, ...]
    cpu_ms: float
    peak_memory_bytes: int


def summarize(times_ms: Sequence[float]) -> LatencyStats:
    """Summarizes wall times.

    Percentiles interpolate linearly: of n sorted times, percentile q lies at
    position q / 100 * (n - 1), counted from 0. The standard deviation is that of
    the times themselves (divided by n, not n - 1).

    Args:
        times_ms: one wall time per inference, at least one.

    Returns:
        LatencyStats.

    Raises:
        ValueError: no times.
    """
    if not len(times_ms):
        raise ValueError("times_ms must hold a time; run at least one inference. Received: []")
    times = np.asarray(times_ms, np.float64)
    median, p90, p99 = np.percentile(times, [50, 90, 99])
    return LatencyStats(
        num_runs=times.size,
        median_ms=float(median),
        p90_ms=float(p90),
        p99_ms=float(p99),
        min_ms=float(times.min()),
        mean_ms=float(times.mean()),
        std_ms=float(times.std()),
    )


def display_names(paths: Sequence[str]) -> list[str]:
    """File names alone, or the paths where two of them have the same name."""
    names = [os.path.basename(path) for path in paths]
    return names if len(set(names)) == len(names) else list(paths)


def noise_warnings(results: Sequence[LatencyResult], machine: Mapping[str, Any]) -> list[str]:
    """Says why these numbers should not be compared.

    Args:
        results: of one measurement.
        machine: from `describe_machine` before the measurement, whose load is
            then not our own.

    Returns:
        One line per reason; empty where nothing speaks against comparing.
    """
    warnings = []
    for name, result in zip(display_names([result.path for result in results]), results):
        warnings += _result_warnings(name, result)
    return warnings + _machine_warnings(max(r.num_threads for r in results), machine)


def _result_warnings(name: str, result: LatencyResult) -> list[str]:
    warnings = []
    least, most = min(result.round_medians_ms), max(result.round_medians_ms)
    if most > MAX_ROUND_SPREAD * least:
        warnings.append(
            f"too noisy to compare: the medians of the rounds of {name} range from "
            f"{least:.3f} to {most:.3f} ms (more than {MAX_ROUND_SPREAD}x)"
        )
    wall_ms = result.stats.mean_ms
    # With more threads, CPU time is the sum over them and says nothing here.
    if result.num_threads == 1 and wall_ms > MAX_WALL_TO_CPU * result.cpu_ms:
        warnings.append(
            f"too noisy to compare: {name} waited for the processor, {wall_ms:.3f} ms of "
            f"wall time for {result.cpu_ms:.3f} ms of CPU time (more than {MAX_WALL_TO_CPU}x)"
        )
    return warnings


def _machine_warnings(num_threads: int, machine: Mapping[str, Any]) -> list[str]:
    warnings = []
    cores, load = machine["cores"], machine["load_average"]
    if load and load[0] > cores:
        warnings.append(
            f"too noisy to compare: the load average was {load[0]:.2f} on {cores} cores before "
            "the measurement; stop other work"
        )
    if num_threads > cores:
        warnings.append(f"too noisy to compare: {num_threads} threads share {cores} cores")
    temperature_c = machine["temperature_c"]
    if temperature_c is not None and temperature_c >= HOT_C:
        warnings.append(
            f"the processor had {temperature_c:.0f} C before the measurement and may slow down to "
            "cool; let it cool first"
        )
    if machine["governor"] not in ("performance", "unknown"):
        warnings.append(
            f"the CPU governor is {machine['governor']!r}, so the clock rate changes with the "
            "load; set it to 'performance'"
        )
    return warnings
