"""XNNPACK's partitions of a model, found in a process of its own.

A hostile model can crash the interpreter, hang it or ask for all memory.
"""

import dataclasses
import json
import os
import resource
import subprocess
import sys

from mobilenet_tf import cli, runtime
from mobilenet_tf.processes import last_error, run_module

_TIMEOUT_S = 60.0  # Loading takes a second or so.
_MEMORY_BYTES = 8 * 2**30  # Of address space, beside four times the file.


@dataclasses.dataclass(frozen=True)
class Partitions:
    """How the interpreter takes a model.

    Attributes:
        count: pieces that XNNPACK runs, 1 or 2 is healthy; None where the model does not load.
        outside: operation to count of those left to the built-in kernels.
        problem: why it does not load; "" if it does.
    """

    count: int | None
    outside: dict[str, int]
    problem: str = ""


def count_partitions(path: str, timeout_s: float = _TIMEOUT_S) -> Partitions:
    """Loads a model in the interpreter, in another process.

    Args:
        path: of the .tflite file.
        timeout_s: seconds after which the process is ended.

    Returns:
        What the interpreter made of it; never raises for a bad model.
    """
    try:
        done = run_module("export.inspection.partitions", [os.path.abspath(path)], timeout_s)
    except subprocess.TimeoutExpired:
        return Partitions(None, {}, f"the interpreter did not load it in {timeout_s:g} s")
    if done.returncode == 0:
        return Partitions(**json.loads(done.stdout.splitlines()[-1]))
    return Partitions(None, {}, _problem(done))


def _problem(done: subprocess.CompletedProcess) -> str:
    if done.returncode < 0:
        return f"the interpreter crashed on it (signal {-done.returncode})"
    return last_error(done)


@cli.exits
def main(argv: list[str] | None = None) -> int:
    """Prints the partitions of one model as JSON; for `count_partitions` only."""
    (path,) = sys.argv[1:] if argv is None else argv
    memory = _MEMORY_BYTES + 4 * os.path.getsize(path)
    for limit, most in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_CORE, 0)):
        resource.setrlimit(limit, (most, resource.getrlimit(limit)[1]))
    try:
        found = runtime.delegation(path)
    except MemoryError:
        raise cli.WorkError("the model asks for more memory than there is") from None
    print(json.dumps({"count": found.partitions, "outside": found.outside}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
