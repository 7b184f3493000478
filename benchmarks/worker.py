"""One process per measured file: the child that measures and its parent's handle.

A process of its own keeps the memory of one model apart from the others', and a
model that crashes the interpreter takes only its own process with it. Linux and
macOS.
"""

import contextlib
import dataclasses
import multiprocessing
import multiprocessing.connection
import os
import pathlib
import resource
import signal
import sys
import time
from collections.abc import Iterator
from multiprocessing import resource_tracker

import numpy as np

from benchmarks.stats import LatencySettings
from mobilenet_tf import cli, runtime


@dataclasses.dataclass(frozen=True)
class Loaded:
    """The child's first report; see `LatencyResult` for the fields."""

    input_dtype: str
    input_shape: tuple[int, ...]
    xnnpack_partitions: int
    init_ms: float
    first_run_ms: float


@dataclasses.dataclass(frozen=True)
class Round:
    """The child's report of a round.

    Attributes:
        times_ms: wall time of each inference.
        cpu_ms: CPU time of the process during all these inferences.
        peak_memory_bytes: since the child started to load; see `LatencyResult`.
    """

    times_ms: tuple[float, ...]
    cpu_ms: float
    peak_memory_bytes: int


@dataclasses.dataclass(frozen=True)
class _Failed:
    message: str


class Worker:
    """The parent's handle of a measuring process, which starts to load at once.

    Args:
        path: of the .tflite file.
        settings: of the measurement.
    """

    def __init__(self, path: str, settings: LatencySettings) -> None:
        self._path = path
        # Not forked: a copy of the parent would carry its memory and threads.
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, path, settings), daemon=True)
        with _interrupts_blocked():
            self._process.start()
        theirs.close()

    @property
    def pid(self) -> int | None:
        """Id of the process."""
        return self._process.pid

    def load(self) -> Loaded:
        """Waits until the model is loaded and has run once.

        Raises:
            WorkError: the model cannot be run, or the process has died.
        """
        reply = self._receive()
        assert isinstance(reply, Loaded)
        return reply

    def run_round(self) -> Round:
        """Measures one round.

        Raises:
            WorkError: as `load`.
        """
        # A process that has died is reported by _receive.
        with contextlib.suppress(OSError):
            self._connection.send("go")
        reply = self._receive()
        assert isinstance(reply, Round)
        return reply

    def stop(self) -> None:
        """Ends the process, whatever it is doing."""
        self._connection.close()
        self._process.terminate()
        self._process.join(timeout=5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._process.close()

    def _receive(self) -> Loaded | Round:
        # The sentinel too: a pipe stays open as long as any process holds its end.
        multiprocessing.connection.wait([self._connection, self._process.sentinel])
        try:
            reply = self._connection.recv() if self._connection.poll() else None
        except (EOFError, OSError):
            reply = None
        if reply is None:
            raise cli.WorkError(
                "the model must run without ending its process; convert or download it again, or "
                f"free memory. Received: {self._path} (process died: {self._cause_of_death()})"
            )
        if isinstance(reply, _Failed):
            raise cli.WorkError(reply.message)
        return reply

    def _cause_of_death(self) -> str:
        self._process.join(timeout=5)
        code = self._process.exitcode
        if code is None or code >= 0:
            return f"exit code {code}"
        try:
            return signal.Signals(-code).name
        except ValueError:
            return f"signal {-code}"


@contextlib.contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Lets a child inherit that Ctrl-C is blocked: its parent ends it, silently."""
    resource_tracker.ensure_running()  # Its first start would unblock the signal again.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(
    connection: multiprocessing.connection.Connection, path: str, settings: LatencySettings
) -> None:
    """The child: sends a report, waits to be asked for the next one."""
    # The runtime's native log goes nowhere; Python's own errors stay visible.
    sys.stderr = os.fdopen(os.dup(2), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    with contextlib.suppress(EOFError, ConnectionError):  # The parent has gone.
        for report in _reports(path, settings):
            connection.send(report)
            connection.recv()


def _reports(path: str, settings: LatencySettings) -> Iterator[Loaded | Round | _Failed]:
    try:
        yield from _measure(path, settings)
    except (ValueError, OSError) as error:
        yield _Failed(str(error))
    except RuntimeError as error:
        yield _Failed(f"the model must run; convert it again. Received: {path} ({error})")


def _measure(path: str, settings: LatencySettings) -> Iterator[Loaded | Round]:
    """Yields one `Loaded`, then a `Round` whenever the next one is asked for."""
    rng = np.random.default_rng(settings.seed)
    _reset_peak_memory()
    resident_bytes, _ = _memory_bytes()
    start = time.perf_counter()
    model = runtime.TFLiteModel(path, settings.num_threads)
    init_ms = (time.perf_counter() - start) * 1000
    _check_input(path, model.input.shape)
    first_run_ms, _ = _timed_inference(model, rng)
    yield Loaded(
        input_dtype=model.input.dtype,
        input_shape=model.input.shape,
        xnnpack_partitions=model.op_counts().get("DELEGATE", 0),
        init_ms=init_ms,
        first_run_ms=first_run_ms,
    )
    while True:
        for _ in range(settings.warmup_runs):
            _timed_inference(model, rng)
        runs = [_timed_inference(model, rng) for _ in range(settings.num_runs)]
        _, peak_bytes = _memory_bytes()
        yield Round(
            times_ms=tuple(wall_ms for wall_ms, _ in runs),
            cpu_ms=sum(cpu_ms for _, cpu_ms in runs),
            peak_memory_bytes=max(0, peak_bytes - resident_bytes),
        )


def _timed_inference(model: runtime.TFLiteModel, rng: np.random.Generator) -> tuple[float, float]:
    """Wall and CPU milliseconds of one inference on a new random image.

    The image is made and copied in outside the clock, one at a time: a stock of
    them would count as the model's memory.
    """
    model.set_image(rng.integers(0, 256, (*model.image_size, 3), np.uint8))
    cpu_start, start = time.process_time(), time.perf_counter()
    model.invoke()
    stop, cpu_stop = time.perf_counter(), time.process_time()
    return (stop - start) * 1000, (cpu_stop - cpu_start) * 1000


def _check_input(path: str, shape: tuple[int, ...]) -> None:
    # A side of unknown length is stored as 1.
    if shape[0] != 1 or shape[3] != 3 or min(shape[1:3]) < 2:
        raise ValueError(
            "the input must be one RGB image of a fixed size, (1, height, width, 3); convert the "
            f"model with such an input. Received: {path} with {shape}"
        )


def _reset_peak_memory() -> None:
    """Forgets the peak of the imports, where the kernel can."""
    with contextlib.suppress(OSError):
        pathlib.Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _memory_bytes() -> tuple[int, int]:
    """Resident memory of this process: now, and at its peak."""
    try:
        text = pathlib.Path("/proc/self/status").read_text(encoding="utf-8")
        fields = dict(line.split(":", 1) for line in text.splitlines())
        now, peak = (int(fields[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM"))
    except (OSError, KeyError):
        # Second choice: on Linux this peak begins with the parent's memory.
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        now = peak = peak * (1 if sys.platform == "darwin" else 1024)
    return now, peak
