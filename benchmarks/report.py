"""How a latency measurement is shown and stored."""

import argparse
import dataclasses
import os
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.stats import LatencyResult, LatencySettings, display_names
from mobilenet_tf import cli, files

_LEFT_COLUMNS = 2  # Text; the others are numbers.


def format_table(results: Sequence[LatencyResult]) -> str:
    """Formats results as an aligned table, one row per file.

    Args:
        results: at least one. With several, the last column is the ratio of a
            file's median to that of the first.

    Returns:
        Lines of text. Times are in milliseconds, sizes in millions of bytes.
    """
    header = ["file", "input", "size MB", "init", "first run", "median", "p90", "p99", "min"]
    header += ["mean", "std", "cpu", "peak MB", "XNNPACK parts"]
    names = display_names([result.path for result in results])
    rows = [header] + [_row(name, result) for name, result in zip(names, results)]
    if len(results) > 1:
        first_ms = results[0].stats.median_ms
        ratios = [f"{result.stats.median_ms / first_ms:.2f}x" for result in results]
        rows = [[*row, cell] for row, cell in zip(rows, ["vs first", *ratios])]
    return aligned(rows, _LEFT_COLUMNS)


def _row(name: str, result: LatencyResult) -> list[str]:
    stats = result.stats
    _, height, width, _ = result.input_shape
    times_ms = [result.init_ms, result.first_run_ms, stats.median_ms, stats.p90_ms, stats.p99_ms]
    times_ms += [stats.min_ms, stats.mean_ms, stats.std_ms, result.cpu_ms]
    return [
        name,
        f"{result.input_dtype} {height}x{width}",
        f"{result.size_bytes / 1e6:.2f}",
        *(f"{time_ms:.3f}" for time_ms in times_ms),
        f"{result.peak_memory_bytes / 1e6:.1f}",
        str(result.xnnpack_partitions),
    ]


def aligned(rows: Sequence[Sequence[str]], left_columns: int) -> str:
    """Formats cells as lines of equal columns.

    Args:
        rows: of equally many cells each.
        left_columns: how many columns hold text; the others, numbers, are flush right.
    """
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if i < left_columns else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def format_machine(machine: Mapping[str, Any]) -> str:
    """Formats what `describe_machine` returned as one line."""
    memory_bytes, load = machine["memory_bytes"], machine["load_average"]
    board, temperature_c = machine["board"], machine["temperature_c"]
    parts = [
        *([board] if board != "unknown" else []),
        f"{machine['cpu']} ({machine['architecture']}), {machine['cores']} cores",
        f"{memory_bytes / 1e9:.1f} GB" if memory_bytes else "memory unknown",
        f"governor {machine['governor']}",
        *([f"{temperature_c:.0f} C"] if temperature_c is not None else []),
        "load " + (" ".join(f"{value:.2f}" for value in load) if load else "unknown"),
        machine["os"],
        *([f"Python {machine['python']}"] if machine["python"] else []),
        *(f"{package} {version}" for package, version in machine["versions"].items() if version),
        machine["date_time"],
    ]
    return ", ".join(parts)


def to_json(
    results: Sequence[LatencyResult],
    settings: LatencySettings,
    machine: Mapping[str, Any],
    warnings: Sequence[str],
) -> dict[str, Any]:
    """Puts a measurement into the form that is stored.

    Returns:
        A dict of
        machine: from `describe_machine`, taken before the measurement;
        settings: the fields of `LatencySettings`;
        noisy: whether something speaks against comparing the numbers;
        noise_reasons: from `noise_warnings`, empty where noisy is false;
        results: one dict per file in the order given, with the fields of
        `LatencyResult`, but "file" (the name, with its folder only where two
        files have the same name) in place of path, and the fields of
        `LatencyStats` under "stats".
    """
    rows = []
    for name, result in zip(display_names([result.path for result in results]), results):
        fields = dataclasses.asdict(result)
        del fields["path"]
        rows.append({"file": name, **fields})
    return {
        "machine": dict(machine),
        "settings": dataclasses.asdict(settings),
        "noisy": bool(warnings),
        "noise_reasons": list(warnings),
        "results": rows,
    }


def check_distinct(paths: Sequence[str]) -> None:
    """Raises `UsageError` where the same file is named twice, under whatever path."""
    seen: set[str] = set()
    for path in paths:
        if os.path.realpath(path) in seen:
            raise cli.UsageError(
                f"each file must be given once; remove one. Received: {path} twice"
            )
        seen.add(os.path.realpath(path))


def add_json_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that `check_json_path` and `write_json` are for."""
    parser.add_argument("--json", metavar="OUT.json", help="file to store the results in")
    parser.add_argument("--overwrite", action="store_true", help="replace the --json file")


def add_output_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that `files.refuse_existing` is asked about."""
    parser.add_argument("--output", metavar="PATH", help="of a .json with all figures")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")


def check_json_path(path: str, overwrite: bool) -> None:
    """Checks, before any work, that a result can be stored.

    Raises:
        UsageError: not a .json file, or one that exists without `overwrite`.
        WorkError: its folder is missing or cannot be written to.
    """
    if not path.endswith(".json"):
        # Also keeps a slip of the pen from replacing a model.
        raise cli.UsageError(f"--json must name a .json file; choose another. Received: {path}")
    if os.path.isdir(path):
        raise cli.UsageError(f"--json must name a file; choose another. Received: {path} (folder)")
    if os.path.lexists(path) and not overwrite:
        raise cli.UsageError(
            f"--json must name a new file; choose another or add --overwrite. Received: {path}"
        )
    try:
        # Trying is the only reliable test: read-only disks ignore permissions.
        with tempfile.TemporaryFile(dir=os.path.dirname(path) or "."):
            pass
    except OSError as error:
        raise cli.WorkError(
            "the folder of --json must exist and be writable; create it or choose another. "
            f"Received: {path} ({error.strerror})"
        ) from None


def write_json(path: str, content: Mapping[str, Any], overwrite: bool) -> None:
    """Writes beside the file and renames, so that no reader meets half of it.

    Raises:
        UsageError, WorkError: see `check_json_path`; the file may have appeared
            during the measurement.
    """
    check_json_path(path, overwrite)
    files.write_json(path, content)
