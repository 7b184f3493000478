"""Measures .tflite files on an Android phone, with TensorFlow Lite's own benchmark program.

    python -m benchmarks.adb --benchmark-model android_aarch64_benchmark_model FILE...

Files are measured in turn, a round each, so that a phone that gets warm slows all of
them. docs/benchmarks.md says where the program comes from.
"""

import argparse
import math
import statistics
import sys
from collections.abc import Sequence
from typing import Any

from benchmarks.benchmark_model import ModelRun, parse
from benchmarks.phone import Heat, Phone, find_phone, program_abi
from benchmarks.report import (
    add_json_options,
    aligned,
    check_distinct,
    check_json_path,
    format_machine,
    write_json,
)
from benchmarks.stats import MAX_ROUND_SPREAD, LatencySettings, display_names
from export.flatbuffer import intact, read_file
from export.inspection.file_graph import read_graph
from mobilenet_tf import cli, files
from mobilenet_tf.progress import progress

_PROGRAM = "benchmark_model"
_MOST_SECONDS = 150  # The program's own limit of a run, which it then cuts short.
_WHERE = (
    "program for the phone, such as TensorFlow Lite's android_aarch64_benchmark_model "
    "(ai.google.dev/edge/litert/models/measurement has links and build instructions)"
)


def measure(
    phone: Phone, program: str, paths: Sequence[str], settings: LatencySettings
) -> list[list[ModelRun]]:
    """Measures files on a phone and leaves nothing on it.

    Args:
        phone: to measure on.
        program: path of `benchmark_model`.
        paths: of the .tflite files.
        settings: how to measure; the seed is not used.

    Returns:
        For each file its rounds.

    Raises:
        WorkError: the phone, adb or the program failed.
    """
    with phone.folder() as folder:
        phone.push(program, f"{folder}/{_PROGRAM}")
        phone.shell(f"chmod 755 {folder}/{_PROGRAM}")
        for i, path in enumerate(progress(paths, len(paths), "copying to the phone")):
            phone.push(path, f"{folder}/{i}.tflite")
        turns = [i for _ in range(settings.rounds) for i in range(len(paths))]
        runs = [
            _run(phone, folder, i, paths[i], settings)
            for i in progress(turns, len(turns), "measuring")
        ]
    return [runs[i :: len(paths)] for i in range(len(paths))]


def _run(phone: Phone, folder: str, number: int, path: str, settings: LatencySettings) -> ModelRun:
    options = {
        "graph": f"{folder}/{number}.tflite",
        "num_threads": settings.num_threads,
        "use_xnnpack": "true",
        "num_runs": settings.num_runs,
        "min_secs": 0,
        "warmup_runs": settings.warmup_runs,
        "warmup_min_secs": 0,
    }
    flags = " ".join(f"--{name}={value}" for name, value in options.items())
    try:
        text = phone.shell(f"{folder}/{_PROGRAM} {flags}", timeout_s=4 * _MOST_SECONDS)
    except cli.WorkError as error:
        raise cli.WorkError(f"{error}, with {path}") from None
    try:
        return parse(text)
    except ValueError as error:
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        last = lines[-1][:200] if lines else "it printed nothing"
        raise cli.WorkError(
            f"{_PROGRAM} must print its timings; use TensorFlow Lite's own program and a model "
            f"that it can run. Received: {path} ({error}; last line: {last})"
        ) from None


def to_row(name: str, path: str, runs: Sequence[ModelRun], num_threads: int) -> dict[str, Any]:
    """A file's rounds as the record that `benchmarks.latency` stores.

    Args:
        name: to store in place of the path.
        path: of the file.
        runs: its rounds.
        num_threads: that the program was given.

    Returns:
        The same keys; None for what the program does not print. The median is that of
        the rounds' medians, the deviation is that of all inferences.
    """
    content = read_file(path)
    image = read_graph(content).inputs[0]
    total = sum(run.num_runs for run in runs)
    mean_ms = sum(run.mean_ms * run.num_runs for run in runs) / total
    squares = sum(run.num_runs * (run.std_ms**2 + (run.mean_ms - mean_ms) ** 2) for run in runs)
    medians = [run.median_ms for run in runs if run.median_ms is not None]
    is_complete = len(medians) == len(runs)
    peaks = [run.peak_memory_bytes for run in runs if run.peak_memory_bytes is not None]
    return {
        "file": name,
        "sha256": files.sha256(path),
        "size_bytes": len(content),
        "input_dtype": image.dtype,
        "input_shape": [abs(side) for side in image.shape],
        "num_threads": num_threads,
        "xnnpack_partitions": runs[0].xnnpack_partitions,
        "init_ms": runs[0].init_ms,
        "first_run_ms": runs[0].first_run_ms,
        "stats": {
            "num_runs": total,
            "median_ms": statistics.median(medians) if is_complete else None,
            "p90_ms": None,
            "p99_ms": None,
            "min_ms": min(run.min_ms for run in runs),
            "mean_ms": mean_ms,
            "std_ms": math.sqrt(squares / total),
        },
        "round_medians_ms": medians if is_complete else None,
        "cpu_ms": None,
        "peak_memory_bytes": max(peaks, default=None),
    }


def noise_reasons(
    names: Sequence[str], runs: Sequence[Sequence[ModelRun]], machine: dict[str, Any], heat: Heat
) -> list[str]:
    """Why the numbers should not be compared; empty if nothing speaks against it.

    Args:
        names: of the files.
        runs: their rounds.
        machine: the phone, see `Phone.describe`.
        heat: after the measurement.
    """
    reasons = []
    for name, rounds in zip(names, runs):
        typical = [run.mean_ms if run.median_ms is None else run.median_ms for run in rounds]
        if max(typical) > MAX_ROUND_SPREAD * min(typical):
            reasons.append(
                f"too noisy to compare: the rounds of {name} range from {min(typical):.3f} to "
                f"{max(typical):.3f} ms (more than {MAX_ROUND_SPREAD}x)"
            )
    if heat.complaint:
        reasons.append(f"the phone was hot at the end: {heat.complaint}; let it cool")
    if machine["governor"] not in ("performance", "unknown"):
        reasons.append(
            f"the CPU governor is {machine['governor']!r}, so the clock rate changes with the "
            "load; only a rooted phone lets you choose 'performance'"
        )
    return reasons


def format_table(rows: Sequence[dict[str, Any]]) -> str:
    """A line for each file."""
    table = [["file", "input", "size MB", "init", "first run", "median", "min", "mean", "std"]]
    table[0] += ["XNNPACK parts"]
    for row in rows:
        stats, shape = row["stats"], "x".join(str(side) for side in row["input_shape"][1:3])
        times = [row["init_ms"], row["first_run_ms"]]
        times += [stats[f"{name}_ms"] for name in ("median", "min", "mean", "std")]
        table.append(
            [
                row["file"],
                f"{row['input_dtype']} {shape}",
                f"{row['size_bytes'] / 1e6:.2f}",
                *("-" if time is None else f"{time:.3f}" for time in times),
                str(row["xnnpack_partitions"] or "-"),
            ]
        )
    return aligned(table, left_columns=2)


def check_program(phone: Phone, program: str) -> None:
    """Raises `WorkError` where the phone cannot run a program of that kind."""
    abi, known = program_abi(program), phone.abis()
    if abi not in known:
        raise cli.WorkError(
            "--benchmark-model must be a program for this phone; download or build the one for "
            f"{known[0] or 'its processor'}. Received: {program} for {abi}"
        )


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Parses the command line; exits with 2 on wrong usage."""
    parser = cli.parser(__doc__, prog="python -m benchmarks.adb")
    parser.add_argument("files", nargs="+", metavar="FILE.tflite", help="to measure in turn")
    parser.add_argument("--benchmark-model", required=True, metavar="PATH", help=_WHERE)
    parser.add_argument("--serial", help="of the phone, where several are connected")
    parser.add_argument("--adb", default="adb", metavar="PATH", help="the program")
    parser.add_argument("--num-threads", "--threads", type=cli.positive_int, default=1, metavar="N")
    parser.add_argument(
        "--num-runs", "--runs", type=cli.positive_int, default=50, metavar="N", help="per round"
    )
    parser.add_argument("--rounds", type=cli.positive_int, default=5, metavar="N")
    parser.add_argument("--warmup-runs", type=cli.positive_int, default=5, metavar="N")
    parser.add_argument("--allow-hot", action="store_true", help="measure a hot phone as well")
    add_json_options(parser)
    return parser.parse_args(argv)


def _check_files(args: argparse.Namespace) -> None:
    check_distinct(args.files)
    for path in args.files:
        content = read_file(path)
        with intact(path):
            graph = read_graph(content)
        if len(graph.inputs) != 1:
            raise cli.WorkError(
                f"the model must have one input. Received: {path} with {len(graph.inputs)}"
            )


@cli.exits
def main(argv: list[str] | None = None) -> int:
    """Runs the command line; see `--help`."""
    args = parse_args(argv)
    settings = LatencySettings(args.num_threads, args.num_runs, args.rounds, args.warmup_runs)
    if args.json is not None:
        check_json_path(args.json, args.overwrite)
    _check_files(args)
    phone = find_phone(args.adb, args.serial)
    check_program(phone, args.benchmark_model)
    heat = phone.heat()
    if heat.complaint and not args.allow_hot:
        raise cli.WorkError(
            "the phone must be cool to give figures that can be compared; let it lie for some "
            f"minutes, or pass --allow-hot. Received: {heat.complaint}"
        )
    machine = phone.describe(heat)
    machine["versions"][_PROGRAM] = f"sha256:{files.sha256(args.benchmark_model)[:12]}"
    runs = measure(phone, args.benchmark_model, args.files, settings)
    names = display_names(args.files)
    reasons = noise_reasons(names, runs, machine, phone.heat())
    rows = [
        to_row(name, path, rounds, settings.num_threads)
        for name, path, rounds in zip(names, args.files, runs)
    ]
    print(format_table(rows))
    print(f"\nTimes in ms of {settings.rounds} rounds of {settings.num_runs} runs on the phone.")
    print(format_machine(machine))
    for reason in reasons:
        print(f"warning: {reason}", file=sys.stderr)
    if args.json is not None:
        write_json(args.json, _record(machine, settings, reasons, rows), args.overwrite)
    return 0


def _record(
    machine: dict[str, Any],
    settings: LatencySettings,
    reasons: list[str],
    rows: list[dict[str, Any]],
) -> dict[str, Any]:
    return {
        "machine": machine,
        "settings": {
            "num_threads": settings.num_threads,
            "num_runs": settings.num_runs,
            "rounds": settings.rounds,
            "warmup_runs": settings.warmup_runs,
            "seed": None,  # The program fills the input with random numbers of its own.
        },
        "noisy": bool(reasons),
        "noise_reasons": reasons,
        "results": rows,
    }


if __name__ == "__main__":
    sys.exit(main())
