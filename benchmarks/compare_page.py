"""The comparison as one HTML page that needs nothing beside it."""

import html
import os
import pathlib
from collections.abc import Callable, Sequence

from benchmarks.compare_plots import accuracy_svg, stacked_svg, timeline_svg
from benchmarks.comparison import Comparison, Entry
from benchmarks.op_costs import CLASSES
from benchmarks.op_profile import KINDS
from benchmarks.op_profile import ROUNDS as PROFILE_ROUNDS
from benchmarks.op_profile import RUNS
from export.page import document, fact_table
from mobilenet_tf import files

_STYLE = pathlib.Path(__file__).with_name("compare.css")
_DEAREST = 3  # Operations of each file in the table.
_ARM_LABELS = {
    "dot": "dot products",
    "fp_mac": "float multiply-add",
    "int_mac": "integer multiply-add",
    "load": "loads",
    "store": "stores",
    "other": "other",
}


def write_page(path: str, comparison: Comparison) -> None:
    """Writes the page, whole or not at all.

    Args:
        path: of the .html; replaced if it exists.
        comparison: to show.
    """
    files.write_text(path, format_page(comparison))


def format_page(comparison: Comparison) -> str:
    """The page's HTML."""
    entries = comparison.entries
    title = f"Comparison of {len(entries)} .tflite files"
    machine = comparison.machine
    parts = [
        f"<h1>{title}</h1>",
        f'<p class="faint">{_text(machine["date_time"][:10])}, {_text(machine["cpu"])}</p>',
        _warning(comparison.noise_reasons),
        _table(comparison),
        _arm_note(comparison),
        _accuracy(comparison),
        _computation(comparison),
        _profiles(entries),
        _origin(comparison),
        _noise(comparison.noise_reasons),
    ]
    return document(title, parts, _STYLE.read_text(encoding="utf-8"))


def _text(value: object) -> str:
    return html.escape(str(value))


def _file_name(entry: Entry) -> str:
    """Names have no spaces: they may break after their underscores."""
    return _text(entry.name).replace("_", "_<wbr>")


def _section(*parts: str) -> str:
    body = "\n".join(part for part in parts if part)
    return f"<section>\n{body}\n</section>"


def _warning(reasons: Sequence[str]) -> str:
    if not reasons:
        return ""
    return (
        '<p class="warning">The latencies on this page should not be compared; the reasons are at '
        "its end, under Noise.</p>"
    )


def _noise(reasons: Sequence[str]) -> str:
    if not reasons:
        return ""
    items = "".join(f"<li>{_text(reason)}</li>" for reason in reasons)
    return f'<h2>Noise</h2>\n<ul class="noise">{items}</ul>'


def _table(comparison: Comparison) -> str:
    entries = comparison.entries
    columns: list[tuple[str, Callable[[Entry], float | None], Callable[[float], str], int]] = [
        ("top-1<br>%", _top1, lambda value: f"{100 * value:.2f}", -1),
        ("size<br>MB", lambda e: e.static.size_bytes / 1e6, lambda value: f"{value:.2f}", 1),
        ("MACs<br>M", lambda e: e.static.total.macs / 1e6, lambda value: f"{value:.2f}", 1),
        ("ARM<br>M instr.", _arm_millions, lambda value: f"{value:.2f}", 1),
        ("host<br>ms", lambda e: e.latency.stats.median_ms, lambda value: f"{value:.3f}", 1),
        (
            "arena<br>MB",
            lambda e: e.static.arena.planned_bytes / 1e6,
            lambda value: f"{value:.3f}",
            1,
        ),
        ("XNNPACK<br>parts", lambda e: e.latency.xnnpack_partitions, lambda value: f"{value:g}", 1),
    ]
    columns = [column for column in columns if any(column[1](e) is not None for e in entries)]
    head = "".join(f'<th scope="col" class="number">{column[0]}</th>' for column in columns)
    rows = [
        f'<tr><td><span class="badge">{entry.letter}</span></td>'
        f'<th scope="row" class="name">{_file_name(entry)}</th>'
        for entry in entries
    ]
    for _, value_of, format_value, sign in columns:
        values = [value_of(entry) for entry in entries]
        known = [sign * value for value in values if value is not None]
        for row, value in enumerate(values):
            is_best = value is not None and sign * value == min(known) < max(known)
            cell = "" if value is None else format_value(value)
            rows[row] += f'<td class="number{" best" if is_best else ""}">{cell}</td>'
    body = "\n".join(f"{row}</tr>" for row in rows)
    return (
        f'<div class="scroll"><table class="files">\n<tr><th></th><th scope="col">file</th>{head}'
        f"</tr>\n{body}\n</table></div>\n<p>The best of each column is bold. {_host(comparison)} "
        "MACs and arena (memory for activations) are counted from the file.</p>"
    )


def _host(comparison: Comparison) -> str:
    machine, settings = comparison.machine, comparison.settings
    text = (
        f"Host ms: median of {settings.rounds} rounds of {settings.num_runs} inferences, files in "
        "turn, 1 thread."
    )
    if machine["architecture"] != "aarch64":
        text += (
            f" They are those of this {_text(machine['architecture'])} host and do not rank int8 "
            "files as phones do."
        )
    return text


def _top1(entry: Entry) -> float | None:
    return entry.accuracy.top1 if entry.accuracy else None


def _arm_millions(entry: Entry) -> float | None:
    return entry.arm.instructions / 1e6 if entry.arm else None


def _letters(entries: Sequence[Entry]) -> str:
    items = "".join(
        f'<li><span class="badge">{entry.letter}</span> {_file_name(entry)}</li>'
        for entry in entries
    )
    return f'<ul class="letters">{items}</ul>'


def _figure(caption: str, svg: str) -> str:
    return f"<figure><figcaption>{caption}</figcaption>{svg}</figure>"


def _accuracy(comparison: Comparison) -> str:
    entries = comparison.entries
    first = entries[0].accuracy
    if first is None or comparison.dataset is None:
        return "<p>Accuracy was not measured (<code>--accuracy</code> does).</p>"
    counted = [entry for entry in entries if entry.arm]
    plots = []
    if counted:
        label = f"ARM instructions of one inference (M), {comparison.arm_core}"
        millions = [entry.arm.instructions / 1e6 for entry in counted if entry.arm]
        plots.append(
            _figure("Against ARM instructions", accuracy_svg(counted, millions, label, "arm"))
        )
    medians = [entry.latency.stats.median_ms for entry in entries]
    rounds = [entry.latency.round_medians_ms for entry in entries]
    spans = [(min(values), max(values)) for values in rounds]
    svg = accuracy_svg(entries, medians, "latency on this host (ms), median", "host", spans)
    plots.append(_figure("Against latency on this host", svg))
    sizes = [entry.static.size_bytes / 1e6 for entry in entries]
    svg = accuracy_svg(entries, sizes, "size of the file (MB)", "size")
    plots.append(_figure("Against size", svg))
    data = os.path.basename(os.path.normpath(comparison.dataset))
    return _section(
        f"<h2>Accuracy against cost</h2>\n<p>Top-1 on {first.images:,d} evaluation images of "
        f"{_text(data)}. Filled letters and the line are the Pareto front: no other file is both "
        "cheaper and more accurate. Bars: one standard error of the accuracy, and the range of the "
        f"rounds' median latencies.</p>\n{_letters(entries)}\n"
        f'<div class="plots">{"".join(plots)}</div>'
    )


def _arm_note(comparison: Comparison) -> str:
    if comparison.arm_core is None:
        return "<p>ARM instructions were not counted (<code>--arm</code> does).</p>"
    if comparison.arm_problem:
        return f"<p>ARM instructions are missing: {_text(comparison.arm_problem)}</p>"
    return ""


def _computation(comparison: Comparison) -> str:
    entries = comparison.entries
    letters = [entry.letter for entry in entries]
    classes = [entry.static.classes for entry in entries]
    macs = {kind: [found[kind].macs / 1e6 for found in classes] for kind in CLASSES}
    moved = {
        kind: [(f[kind].weight_bytes + f[kind].activation_bytes) / 1e6 for f in classes]
        for kind in CLASSES
    }
    plots = [
        _figure("Multiply-accumulates", stacked_svg(letters, macs, "MACs (M)", "macs")),
        _figure(
            "Bytes read and written",
            stacked_svg(letters, moved, "memory traffic (MB)", "moved"),
        ),
    ]
    counted = [entry for entry in entries if entry.arm]
    if counted:
        parts = {
            label: [e.arm.classes.get(kind, 0) / 1e6 for e in counted if e.arm]
            for kind, label in _ARM_LABELS.items()
        }
        svg = stacked_svg(
            [entry.letter for entry in counted],
            parts,
            f"instructions (M), {comparison.arm_core}",
            "in",
        )
        plots.append(_figure("ARM instructions", svg))
    return _section(
        "<h2>What they compute</h2>\n<p>By class of operation, for one inference. Elementwise "
        f"operations have no MACs, but they move bytes.</p>\n{_letters(entries)}\n"
        f'<div class="plots">{"".join(plots)}</div>'
    )


def _profiles(entries: Sequence[Entry]) -> str:
    known = [entry for entry in entries if entry.profile.ops]
    missing = "".join(
        f"<p>No profile of {_text(entry.name)}: {_text(entry.profile.problem)}</p>\n"
        for entry in entries
        if entry.profile.problem
    )
    if not known:
        return f"<h2>Where the time goes</h2>\n{missing}"
    parts = {kind: [entry.profile.by_kind[kind] for entry in known] for kind in KINDS}
    svg = stacked_svg(
        [entry.letter for entry in known],
        parts,
        "time of the operations on this host (ms)",
        "kinds",
    )
    section = _section(
        "<h2>Where the time goes</h2>\n<p>LiteRT's own profiler on this host, 1 thread: medians of "
        f"{PROFILE_ROUNDS} rounds of {RUNS} inferences, to the microsecond. XNNPACK runs 1x1 "
        "convolutions as matrix products; built-in kernels are what it left to TensorFlow "
        "Lite.</p>\n"
        f"{missing}{_letters(known)}\n"
        f'<div class="plots">{_figure("By kind of kernel", svg)}</div>\n'
        f'<figure class="plot wide">{timeline_svg(known, KINDS, "timeline")}</figure>'
    )
    return f"{section}\n{_dearest(known)}"


def _dearest(entries: Sequence[Entry]) -> str:
    rows = []
    for entry in entries:
        total_ms = sum(op.ms for op in entry.profile.ops) or 1.0
        ops = sorted(enumerate(entry.profile.ops, 1), key=lambda item: -item[1].ms)[:_DEAREST]
        cells = "".join(
            f'<td>{_text(op.name)}<br><span class="faint">no. {number}, {op.ms:.3f} ms, '
            f"{100 * op.ms / total_ms:.0f} %</span></td>"
            for number, op in ops
        )
        rows.append(
            f'<tr><th scope="row"><span class="badge">{entry.letter}</span></th>{cells}</tr>'
        )
    body = "\n".join(rows)
    return (
        f"<p>The {_DEAREST} dearest operations of each file, with their place in that order.</p>\n"
        f'<div class="scroll"><table class="dearest">\n{body}\n</table></div>'
    )


def _origin(comparison: Comparison) -> str:
    machine = comparison.machine
    memory, load = machine["memory_bytes"], machine["load_average"]
    temperature_c = machine["temperature_c"]
    rows = [
        ("machine", f"{machine['cpu']}, {machine['architecture']}, {machine['cores']} cores"),
        ("memory", f"{memory / 1e9:.1f} GB" if memory else "unknown"),
        ("governor", machine["governor"]),
        ("load before", " ".join(f"{value:.2f}" for value in load) if load else "unknown"),
        ("temperature", f"{temperature_c:.0f} C" if temperature_c is not None else "unknown"),
        ("system", f"{machine['os']}, Python {machine['python']}"),
        ("versions", ", ".join(f"{k} {v}" for k, v in machine["versions"].items() if v)),
        ("date", machine["date_time"]),
        *((f"SHA-256 of {entry.letter}", entry.static.sha256) for entry in comparison.entries),
    ]
    return f"<h2>Where it comes from</h2>\n{fact_table(rows)}"
