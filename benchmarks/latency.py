"""Measures latency, memory and size of .tflite files on this machine.

Files are measured in turn, a round each and never two at once, so that a
machine that slows down slows all of them. Says so when the machine is too noisy
for the numbers to be compared.

    python -m benchmarks.latency float32.tflite int8.tflite --json result.json
"""

import argparse
import contextlib
import itertools
import os
import sys
from collections.abc import Sequence

from benchmarks.report import (
    add_json_options,
    check_distinct,
    check_json_path,
    format_machine,
    format_table,
    to_json,
    write_json,
)
from benchmarks.stats import (
    LatencyResult,
    LatencySettings,
    LatencyStats,
    noise_warnings,
    summarize,
)
from benchmarks.worker import Loaded, Round, Worker
from mobilenet_tf import cli, files
from mobilenet_tf.machine import describe_machine
from mobilenet_tf.progress import progress

__all__ = [
    "LatencyResult",
    "LatencySettings",
    "LatencyStats",
    "format_table",
    "main",
    "measure",
    "noise_warnings",
    "summarize",
]


def measure(paths: Sequence[str], settings: LatencySettings) -> list[LatencyResult]:
    """Measures .tflite files in turn, each in a process of its own.

    The processes are spawned, so a script that calls this needs the usual
    `if __name__ == "__main__":`.

    Args:
        paths: of the files; all different.
        settings: how to measure.

    Returns:
        One result per path, in the same order.

    Raises:
        FileNotFoundError: a path that is no file.
        ValueError: no path, an empty file, or the same file twice.
        WorkError: a file that the runtime cannot run, or that crashes it.
    """
    if not paths:
        raise ValueError("paths must hold a file; name at least one. Received: []")
    try:
        check_distinct(paths)
    except cli.UsageError as error:
        raise ValueError(str(error)) from None
    count = len(paths)
    for path in paths:
        _check_file(path)
    digests = [files.sha256(path) for path in paths]
    with contextlib.ExitStack() as stack:
        workers, loaded = [], []
        for path in progress(paths, count, "loading"):
            worker = Worker(path, settings)
            stack.callback(worker.stop)
            workers.append(worker)
            loaded.append(worker.load())
        turns = [worker for _ in range(settings.rounds) for worker in workers]
        reports = [worker.run_round() for worker in progress(turns, len(turns), "measuring")]
    return [
        _result(path, digests[i], settings, loaded[i], reports[i::count])
        for i, path in enumerate(paths)
    ]


def _result(
    path: str, sha256: str, settings: LatencySettings, loaded: Loaded, rounds: list[Round]
) -> LatencyResult:
    times_ms = list(itertools.chain.from_iterable(report.times_ms for report in rounds))
    return LatencyResult(
        path=path,
        sha256=sha256,
        size_bytes=os.path.getsize(path),
        input_dtype=loaded.input_dtype,
        input_shape=loaded.input_shape,
        num_threads=settings.num_threads,
        xnnpack_partitions=loaded.xnnpack_partitions,
        init_ms=loaded.init_ms,
        first_run_ms=loaded.first_run_ms,
        stats=summarize(times_ms),
        round_medians_ms=tuple(summarize(report.times_ms).median_ms for report in rounds),
        cpu_ms=sum(report.cpu_ms for report in rounds) / len(times_ms),
        peak_memory_bytes=max(report.peak_memory_bytes for report in rounds),
    )


def _check_file(path: str) -> None:
    if os.path.isdir(path):
        raise FileNotFoundError(
            f"the model must be a .tflite file; name the file. Received: {path} (folder)"
        )
    if not os.path.isfile(path):
        raise FileNotFoundError(f"the model must exist; check the path. Received: {path}")
    if not os.path.getsize(path):
        raise ValueError(
            f"the model must not be empty; convert or download it again. Received: {path} (0 bytes)"
        )


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Parses the command line."""
    parser = cli.parser(__doc__, prog="python -m benchmarks.latency")
    parser.add_argument("files", nargs="+", metavar="FILE.tflite", help="to measure in turn")
    parser.add_argument("--num-threads", type=cli.positive_int, default=1, help="of the kernels")
    parser.add_argument(
        "--num-runs", type=cli.positive_int, default=50, help="timed inferences per round"
    )
    parser.add_argument("--rounds", type=cli.positive_int, default=5, help="turns of each file")
    parser.add_argument(
        "--warmup-runs", type=cli.whole_number, default=5, help="uncounted, before each round"
    )
    parser.add_argument("--seed", type=cli.whole_number, default=0, help="of the input images")
    add_json_options(parser)
    return parser.parse_args(argv)


@cli.exits
def main(argv: list[str] | None = None) -> int:
    """Runs the command line; see `--help`."""
    args = parse_args(argv)
    settings = LatencySettings(
        num_threads=args.num_threads,
        num_runs=args.num_runs,
        rounds=args.rounds,
        warmup_runs=args.warmup_runs,
        seed=args.seed,
    )
    check_distinct(args.files)
    if args.json is not None:
        check_json_path(args.json, args.overwrite)
    machine = describe_machine()
    results = measure(args.files, settings)
    warnings = noise_warnings(results, machine)
    _print(results, settings, machine["architecture"], format_machine(machine))
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if args.json is not None:
        write_json(args.json, to_json(results, settings, machine, warnings), args.overwrite)
    return 0


def _print(
    results: list[LatencyResult], settings: LatencySettings, architecture: str, machine: str
) -> None:
    print(format_table(results))
    print()
    print(
        f"Times in ms of {settings.rounds} rounds of {settings.num_runs} runs, threads: "
        f"{settings.num_threads}. cpu is CPU time per run. peak MB is the growth of the process' "
        "memory over that just before the model was loaded."
    )
    if architecture != "aarch64":
        print(f"These are milliseconds of this {architecture} host, not those of a phone.")
    print(machine)


if __name__ == "__main__":
    sys.exit(main())
