"""Feeds broken and hostile .tflite files to the reader and to all that judges a model.

python -m tests.fuzz_inspect --cases 10000 --seed 0 [FILE.tflite...]
"""

import argparse
import contextlib
import dataclasses
import json
import os
import resource
import signal
import struct
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator

import numpy as np

from export.inspection.facts import FileFacts, inspect_content
from export.inspection.facts_text import format_comparison, format_facts
from export.inspection.partitions import Partitions, count_partitions
from mobilenet_tf import cli
from mobilenet_tf.progress import progress, say
from tests.tiny_models import float_classifier, int8_classifier

_HANG_S = 10
_WORDS = (0, 1, 2, 3, 4, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFC, 0xFFFFFFFF)


@dataclasses.dataclass
class Outcome:
    """What became of all cases."""

    accepted: int = 0
    refused: int = 0
    failures: list[str] = dataclasses.field(default_factory=list)
    slowest_s: float = 0.0
    slowest_case: int = -1


def sound_models() -> list[bytes]:
    """What is broken where no files are given."""
    labels = [f"class {i}" for i in range(4)]
    return [int8_classifier(labels=labels), int8_classifier("RELU6"), float_classifier()]


def broken(models: list[bytes], seed: int, case: int) -> bytes:
    """The content of one case; the same numbers give the same bytes."""
    rng = np.random.default_rng((seed, case))
    content = bytearray(models[rng.integers(len(models))])
    other = models[rng.integers(len(models))]
    kind = case % 8
    if kind == 0:
        return bytes(content[: rng.integers(len(content) + 1)])
    if kind == 1:
        return b"\x1c\0\0\0TFL3" + rng.bytes(int(rng.integers(4000)))
    if kind == 2:  # One file's start, another's end.
        cut = int(rng.integers(min(len(content), len(other))))
        return bytes(content[:cut]) + other[cut:]
    if kind == 3:  # Bytes left out or put in, so that all offsets behind are off.
        at, size = int(rng.integers(len(content))), int(rng.integers(1, 64))
        content[at : at + size * int(rng.integers(2))] = rng.bytes(size)
        return bytes(content)
    for _ in range(int(rng.choice([1, 1, 2, 4, 16, 64]))):
        _damage(content, rng, kind)
    return bytes(content)


def _damage(content: bytearray, rng: np.random.Generator, kind: int) -> None:
    at = int(rng.integers(8, len(content) - 8))
    if kind == 4:  # A bit.
        content[at] ^= 1 << int(rng.integers(8))
    elif kind == 5:  # A byte.
        content[at] = int(rng.integers(256))
    elif kind == 6:  # An offset, a length or an index.
        words = (*_WORDS, len(content), len(content) - at, int(rng.integers(len(content))))
        struct.pack_into("<I", content, at - at % 4, words[rng.integers(len(words))])
    else:  # An offset to where another one leads: shared and overlapping parts.
        at -= at % 4
        target = int(rng.integers(len(content)))
        struct.pack_into("<I", content, at, (target - target % 4 - at) & 0xFFFFFFFF)


@contextlib.contextmanager
def _deadline() -> Iterator[None]:
    def ring(*_: object) -> None:
        raise TimeoutError(f"no end in {_HANG_S} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(_HANG_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def judge(content: bytes) -> None:
    """All that `export.inspect` does with a file, but for the interpreter."""
    static = inspect_content(content)
    values = {f.name: getattr(static, f.name) for f in dataclasses.fields(static)}
    facts = FileFacts(**values, partitions=Partitions(None, {}, "not loaded"))
    text = format_facts("x", facts) + format_comparison([("x", facts), ("y", facts)])
    json.loads(json.dumps(dataclasses.asdict(facts)))
    assert len(text) < 100_000 and text.replace("\n", "").isprintable()


def run(models: list[bytes], cases: int, seed: int) -> Outcome:
    """Judges all cases; nothing but `ValueError` of one line may come out."""
    outcome = Outcome()
    for case in progress(range(cases), cases, "fuzzing"):
        content = broken(models, seed, case)
        start = time.monotonic()
        try:
            with _deadline():
                judge(content)
            outcome.accepted += 1
        except ValueError as error:
            outcome.refused += 1
            if "\n" in str(error) or len(str(error)) > 300:
                outcome.failures.append(f"case {case}: message of many lines: {error!r:.200}")
        except Exception:  # Whatever else comes out is a defect; that is what this looks for.
            outcome.failures.append(f"case {case}: {traceback.format_exc(limit=-3)}")
        seconds = time.monotonic() - start
        if seconds > outcome.slowest_s:
            outcome.slowest_s, outcome.slowest_case = seconds, case
    return outcome


def run_interpreter(models: list[bytes], cases: int, seed: int) -> dict[str, int]:
    """Loads cases that the reader accepts in the interpreter; counts what came of it."""
    counts: dict[str, int] = {}
    found, case = 0, 0
    while found < cases and case < 100 * cases:
        content, case = broken(models, seed, case), case + 1
        try:
            judge(content)
        except ValueError:
            continue
        found += 1
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "case.tflite")
            with open(path, "wb") as file:
                file.write(content)
            problem = count_partitions(path, timeout_s=30).problem or "loaded"
        kind = problem if "signal" in problem or "not load it in" in problem else problem[:60]
        counts[kind] = counts.get(kind, 0) + 1
    return counts


@cli.exits
def main(argv: list[str] | None = None) -> int:
    """Fuzzes; returns 1 where something else than a clean refusal came out."""
    parser = cli.parser(__doc__, prog="python -m tests.fuzz_inspect")
    parser.add_argument(
        "files", nargs="*", metavar="FILE.tflite", help="(default: built-in models)"
    )
    parser.add_argument("--cases", type=cli.whole_number, default=10_000, help="broken files")
    parser.add_argument("--interpreter-cases", type=cli.whole_number, default=0)
    parser.add_argument("--seed", type=cli.whole_number, default=0, help="of the damage")
    args: argparse.Namespace = parser.parse_args(argv)
    models = sound_models()
    if args.files:
        models = []
        for path in args.files:
            with open(path, "rb") as file:
                models.append(file.read())
    outcome = run(models, args.cases, args.seed)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{args.cases:,d} cases: {outcome.refused:,d} refused in one line, {outcome.accepted:,d} "
        f"judged, {len(outcome.failures):,d} defects; slowest {1000 * outcome.slowest_s:.0f} ms "
        f"(case {outcome.slowest_case}), peak memory {peak:.0f} MiB"
    )
    for failure in outcome.failures[:20]:
        say(failure)
    for kind, count in run_interpreter(models, args.interpreter_cases, args.seed).items():
        print(f"interpreter: {count} x {kind}")
    return cli.WORK_ERROR if outcome.failures else 0


if __name__ == "__main__":
    sys.exit(main())
