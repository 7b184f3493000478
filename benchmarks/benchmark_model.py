"""Reads what TensorFlow Lite's `benchmark_model` prints."""

import dataclasses
import re

_NUMBER = r"([-+0-9.eE]+)"
_STATISTICS = re.compile(r"\bcount=(\d+) ((?:\w+=\S+ ?)+)")
_TIMINGS = re.compile(
    rf"Inference timings in us: Init: {_NUMBER}, First inference: {_NUMBER}, "
    rf"Warmup \(avg\): {_NUMBER}, Inference \(avg\): {_NUMBER}"
)
_MEMORY = re.compile(rf"emory footprint[^:]*\(MB\): init={_NUMBER} overall={_NUMBER}")
_PARTITIONS = (
    re.compile(r"XNNPack\w*\) node, yielding (\d+) partitions"),
    re.compile(r"XNNPACK delegate, and the model graph will be .* w/ (\d+) delegate kernels"),
)
_WHOLE = "XNNPACK delegate, and the model graph will be completely executed"


@dataclasses.dataclass(frozen=True)
class ModelRun:
    """One run of the program.

    Attributes:
        num_runs: timed inferences.
        min_ms, max_ms, mean_ms, std_ms: of their wall times.
        median_ms: of the same; None from older builds, which do not print it.
        init_ms: to load the model.
        first_run_ms: the first inference of all, in the warm-up.
        peak_memory_bytes: growth of the process's memory, as the program says; or None.
        xnnpack_partitions: None where the build does not say.
    """

    num_runs: int
    min_ms: float
    max_ms: float
    mean_ms: float
    std_ms: float
    median_ms: float | None
    init_ms: float
    first_run_ms: float
    peak_memory_bytes: int | None
    xnnpack_partitions: int | None


def parse(text: str) -> ModelRun:
    """Finds the figures in the program's output; other lines may stand between.

    Args:
        text: all that it printed, on stdout and stderr.

    Returns:
        A `ModelRun`.

    Raises:
        ValueError: the figures are missing or are no times.
    """
    timings = _TIMINGS.search(text)
    if timings is None:
        raise ValueError('no line with "Inference timings in us"')
    # The last statistics are of the timed inferences, those before of the warm-up.
    statistics = _STATISTICS.findall(text[: timings.start()])
    if not statistics:
        raise ValueError('no line with "count="')
    count, fields = int(statistics[-1][0]), _milliseconds(statistics[-1][1])
    mean_ms = _positive_us(timings[4]) / 1000
    only_ms = fields.get("curr", mean_ms)  # Equal times are printed as one.
    memory = _MEMORY.search(text)
    return ModelRun(
        num_runs=count,
        min_ms=fields.get("min", only_ms),
        max_ms=fields.get("max", only_ms),
        mean_ms=mean_ms,
        std_ms=fields.get("std", 0.0),
        median_ms=fields.get("median", None if "avg" in fields else only_ms),
        init_ms=_positive_us(timings[1]) / 1000,
        first_run_ms=_positive_us(timings[2]) / 1000,
        peak_memory_bytes=round(float(memory[2]) * 2**20) if memory else None,
        xnnpack_partitions=_partitions(text),
    )


def _milliseconds(text: str) -> dict[str, float]:
    pairs = (field.partition("=") for field in text.split())
    return {name: _positive_us(value) / 1000 for name, _, value in pairs}


def _positive_us(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{text!r} is no time") from None
    if not 0 <= value < 1e12:
        raise ValueError(f"{text!r} is no time")
    return value


def _partitions(text: str) -> int | None:
    for pattern in _PARTITIONS:
        found = pattern.search(text)
        if found:
            return int(found[1])
    return 1 if _WHOLE in text else None
