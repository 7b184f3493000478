"""Runs a model under the profiler inside libLiteRt.so; for `op_profile` only.

The wheel's Python API has no profiler, its library has. A wrong call there ends the process,
so this is a process of its own: `python -m benchmarks.native_profiler FILE ROUNDS RUNS` prints the
library's own summaries. Prototypes are those of LiteRT 2.3.
"""

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator

import ai_edge_litert

from mobilenet_tf import cli

LIBRARY = os.path.join(os.path.dirname(ai_edge_litert.__file__), "libLiteRt.so")
_PROFILING = b"enable_profiling = true\n"  # TOML, read by the library.
_CPU, _WRITE = 1, 1
_Handle = ctypes.c_void_p


class _TensorType(ctypes.Structure):
    _fields_ = [
        ("element_type", ctypes.c_int32),
        ("rank_and_flags", ctypes.c_uint32),
        ("dimensions", ctypes.c_int32 * 8),
        ("strides", ctypes.c_uint32 * 8),
    ]


class _Library:
    """The library; every call is checked."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(LIBRARY)

    def call(self, name: str, *arguments: object) -> None:
        """Calls a function that returns a status."""
        function = getattr(self._library, name)
        function.restype = ctypes.c_int
        status = function(*arguments)
        if status:
            raise cli.WorkError(f"{name} failed with status {status}")

    def make(self, name: str, *arguments: object) -> ctypes.c_void_p:
        """Calls a function whose last argument receives a handle."""
        handle = _Handle()
        self.call(name, *arguments, ctypes.byref(handle))
        return handle


def summaries(path: str, rounds: int, runs: int) -> Iterator[str]:
    """Profiles a model on an input of zeros.

    Args:
        path: of the .tflite file.
        rounds: summaries, each of the model loaded anew: the library never empties them.
        runs: profiled inferences of each, after as many that are not.

    Yields:
        The tables that `benchmark_model` prints as well.

    Raises:
        WorkError: the library failed.
    """
    library = _Library()
    environment = library.make("LiteRtCreateEnvironment", 0, None)
    model = library.make("LiteRtCreateModelFromFile", environment, os.fsencode(path))
    signature = library.make("LiteRtGetModelSignature", model, ctypes.c_size_t(0))
    for _ in range(rounds):
        with _options(library) as options:
            compiled = library.make("LiteRtCreateCompiledModel", environment, model, options)
            sides = [
                _buffers(library, environment, compiled, signature, side)
                for side in ("Input", "Output")
            ]
            yield _summary(library, compiled, sides, runs)


def _summary(
    library: _Library, compiled: ctypes.c_void_p, sides: list[ctypes.Array], runs: int
) -> str:
    inputs, outputs = sides
    zero, counts = ctypes.c_size_t(0), [ctypes.c_size_t(len(side)) for side in sides]
    profiler = library.make("LiteRtCompiledModelGetProfiler", compiled)
    for is_profiled in (False, True):
        if is_profiled:
            library.call("LiteRtStartProfiler", profiler)
        for _ in range(runs):
            library.call(
                "LiteRtRunCompiledModel", compiled, zero, counts[0], inputs, counts[1], outputs
            )
    library.call("LiteRtStopProfiler", profiler)
    text = ctypes.c_char_p()
    library.call("LiteRtGetProfileSummary", profiler, compiled, ctypes.byref(text))
    return (text.value or b"").decode("utf-8", errors="replace")


@contextlib.contextmanager
def _options(library: _Library) -> Iterator[ctypes.c_void_p]:
    options = library.make("LiteRtCreateOptions")
    library.call("LiteRtSetOptionsHardwareAccelerators", options, _CPU)
    payload = ctypes.create_string_buffer(_PROFILING)
    # The library wants to free it, and may do so as long as the options live.
    release = ctypes.CFUNCTYPE(None, _Handle)(lambda address: None)
    opaque = library.make("LiteRtCreateOpaqueOptions", b"runtime_options_string", payload, release)
    library.call("LiteRtAddOpaqueOptions", options, opaque)
    yield options
    del payload, release


def _buffers(
    library: _Library,
    environment: ctypes.c_void_p,
    compiled: ctypes.c_void_p,
    signature: ctypes.c_void_p,
    side: str,
) -> ctypes.Array:
    """One buffer for each of the "Input" or "Output" tensors, filled with zeros."""
    count = ctypes.c_size_t()
    library.call(f"LiteRtGetNumSignature{side}s", signature, ctypes.byref(count))
    buffers = (_Handle * count.value)()
    for i in range(count.value):
        index = ctypes.c_size_t(i)
        tensor = library.make(f"LiteRtGetSignature{side}TensorByIndex", signature, index)
        kind = _TensorType()
        library.call("LiteRtGetRankedTensorType", tensor, ctypes.byref(kind))
        needs = library.make(
            f"LiteRtGetCompiledModel{side}BufferRequirements", compiled, ctypes.c_size_t(0), index
        )
        buffer = library.make(
            "LiteRtCreateManagedTensorBufferFromRequirements",
            environment,
            ctypes.byref(kind),
            needs,
        )
        size = ctypes.c_size_t()
        library.call("LiteRtGetTensorBufferPackedSize", buffer, ctypes.byref(size))
        memory = _Handle()
        library.call("LiteRtLockTensorBuffer", buffer, ctypes.byref(memory), _WRITE)
        ctypes.memset(memory, 0, size.value)
        library.call("LiteRtUnlockTensorBuffer", buffer)
        buffers[i] = buffer.value
    return buffers


@cli.exits
def main(argv: list[str] | None = None) -> int:
    """Prints the summary of one model."""
    path, rounds, runs = sys.argv[1:] if argv is None else argv
    for text in summaries(path, int(rounds), int(runs)):
        print(text)
    # The library's own tear-down is not worth a crash after the work is done.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
