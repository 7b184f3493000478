"""Time of each operation of a model on this machine, by LiteRT's own profiler."""

import dataclasses
import os
import re
import statistics
import subprocess

from mobilenet_tf.processes import last_error, run_module

_TIMEOUT_S = 120.0
ROUNDS, RUNS = 9, 5  # Medians over the rounds leave out what disturbed one.

KINDS = (
    "convolution",
    "matrix product",
    "depthwise",
    "elementwise",
    "pooling",
    "conversion",
    "other",
    "built-in kernel",
)

# Words in the names of XNNPACK's operators. A 1x1 convolution is a matrix product there.
_WORDS = {
    "DWConv": "depthwise",
    "Fully Connected": "matrix product",
    "GEMM": "matrix product",
    "IGEMM": "convolution",
    "Convolution": "convolution",
    "Deconvolution": "convolution",
    "Mean": "pooling",
    "Sum": "pooling",
    "Pooling": "pooling",
    "Reduce": "pooling",
    "Convert": "conversion",
    "Add": "elementwise",
    "Subtract": "elementwise",
    "Multiply": "elementwise",
    "Divide": "elementwise",
    "Maximum": "elementwise",
    "Minimum": "elementwise",
    "Clamp": "elementwise",
    "HardSwish": "elementwise",
    "Sigmoid": "elementwise",
    "Unary": "elementwise",
    "Binary": "elementwise",
    "Leaky": "elementwise",
    "PReLU": "elementwise",
}
_ROW = re.compile(
    r"^\s*(?P<name>\S.*?)\s+[\d.]+\s+[\d.]+\s+(?P<ms>[\d.]+)\s+[\d.]+%\s+[\d.]+%\s+[\d.]+\s+"
    r"(?P<times>\d+)\s+\[(?P<place>Builtin|Delegate)\]:(?P<number>\d+)\s*$"
)


@dataclasses.dataclass(frozen=True)
class OpTime:
    """One operation.

    Attributes:
        name: as the runtime calls it, such as "Convolution (NHWC, QC8) DWConv".
        kind: one of `KINDS`.
        ms: median of its time in an inference. Those that several partitions have under
            the same number are added up.
    """

    name: str
    kind: str
    ms: float


@dataclasses.dataclass(frozen=True)
class OpProfile:
    """Where the time of an inference goes.

    Attributes:
        ops: in the order in which they first run; empty where there is no profile.
        problem: why there is none; "" if there is.
    """

    ops: tuple[OpTime, ...]
    problem: str = ""

    @property
    def by_kind(self) -> dict[str, float]:
        """Milliseconds of each of `KINDS`."""
        sums = dict.fromkeys(KINDS, 0.0)
        for op in self.ops:
            sums[op.kind] += op.ms
        return sums


def profile(path: str, timeout_s: float = _TIMEOUT_S) -> OpProfile:
    """Profiles a model in another process, with one thread and an input of zeros.

    Args:
        path: of the .tflite file.
        timeout_s: seconds after which the process is ended.

    Returns:
        An `OpProfile`; never raises for a bad model.
    """
    arguments = [os.path.abspath(path), str(ROUNDS), str(RUNS)]
    try:
        done = run_module("benchmarks.native_profiler", arguments, timeout_s)
    except subprocess.TimeoutExpired:
        return OpProfile((), f"the profiler did not end in {timeout_s:g} s")
    if done.returncode < 0:
        return OpProfile((), f"the profiler crashed on it (signal {-done.returncode})")
    if done.returncode:
        return OpProfile((), last_error(done))
    ops = parse(done.stdout, RUNS)
    return OpProfile(ops, "" if ops else "the profiler's tables were not understood")


def parse(text: str, runs: int) -> tuple[OpTime, ...]:
    """Reads the profiler's tables "Run Order".

    Args:
        text: one or more summaries, one after the other.
        runs: inferences of each.

    Returns:
        The operations, each with the median over the summaries.
    """
    times: dict[tuple[str, str, str], list[float]] = {}
    for section in text.split(" Run Order ")[1:]:
        table = section.partition(" Top by Computation Time ")[0]
        for line in table.splitlines():
            row = _ROW.match(line)
            if row:
                key = (row["name"], row["place"], row["number"])
                times.setdefault(key, []).append(float(row["ms"]) * int(row["times"]) / runs)
    return tuple(
        OpTime(name.removeprefix("Delegate/"), kind_of(name, place), statistics.median(values))
        for (name, place, _), values in times.items()
    )


def kind_of(name: str, place: str) -> str:
    """One of `KINDS`.

    Args:
        name: of the operation.
        place: "Builtin" for TensorFlow Lite's own kernels, "Delegate" for XNNPACK's.
    """
    if place == "Builtin":
        return "built-in kernel"
    words = (kind for word, kind in _WORDS.items() if re.search(rf"\b{word}\b", name))
    return next(words, "other")
