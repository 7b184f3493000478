"""`FileFacts` as text for people."""

from export.inspection.client_rules import ANY, CLIENTS, NOTE, PARTLY, REFUSES
from export.inspection.clients import Finding
from export.inspection.facts import FileFacts
from export.inspection.file_graph import Tensor
from export.inspection.runtime_versions import MinimumRuntime

_MOST = 12  # Entries of a list that are printed.
_BYTE_RANGES = {"int8": (-128, 127), "uint8": (0, 255)}


def format_facts(path: str, facts: FileFacts) -> str:
    """One file, in full.

    Args:
        path: to head it with.
        facts: of the file.

    Returns:
        Lines without the last newline.
    """
    weights = [f"{dtype} {size / 1e6:.3f} MB" for dtype, size in facts.weight_bytes.items()]
    lines = [
        f"file: {path}",
        f"size: {facts.size_bytes / 1e6:.3f} MB, weights {', '.join(weights) or 'none'}",
        f"arithmetic: {facts.quantization}",
        *[f"input: {_tensor(tensor)}" for tensor in facts.inputs[:_MOST]],
        *[f"output: {_tensor(tensor)}" for tensor in facts.outputs[:_MOST]],
        f"signatures: {_listed(facts.signatures) or 'none'}",
        f"metadata: {_attachments(facts)}",
        f"operations: {sum(facts.op_census.values()):,d}: {_census(facts.op_census)}"
        + (f" (in {facts.subgraphs:,d} subgraphs)" if facts.subgraphs > 1 else ""),
        f"float left in it: {_leftovers(facts)}",
        f"XNNPACK partitions: {_partitions(facts)}",
        f"minimum runtime: {_runtime(facts)}",
    ]
    return "\n".join(lines + _clients(facts.findings))


def format_comparison(files: list[tuple[str, FileFacts]]) -> str:
    """Several files side by side, a line each.

    Args:
        files: (path, facts) of each.

    Returns:
        An aligned table without the last newline.
    """
    head = (
        "file",
        "MB",
        "arithmetic",
        "input",
        "output",
        "ops",
        "float left",
        "partitions",
        "runtime",
        "refused by",
    )
    rows = [head] + [_row(path, facts) for path, facts in files]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def _row(path: str, facts: FileFacts) -> tuple[str, ...]:
    refusing = [f.client.split(" (")[0] for f in facts.findings if f.verdict == REFUSES]
    count = facts.partitions.count
    return (
        path,
        f"{facts.size_bytes / 1e6:.3f}",
        facts.quantization,
        "+".join(tensor.dtype for tensor in facts.inputs[:3]),
        "+".join(tensor.dtype for tensor in facts.outputs[:3]),
        str(sum(facts.op_census.values())),
        str(len(facts.float_leftovers)),
        "-" if count is None else str(count),
        facts.minimum_runtime.release or "unknown",
        ", ".join(dict.fromkeys(refusing)) or "none",
    )


def _listed(entries: tuple[str, ...], most: int = _MOST) -> str:
    more = f" and {len(entries) - most:,d} more" if len(entries) > most else ""
    return ", ".join(entries[:most]) + more


def _census(counts: dict[str, int]) -> str:
    return _listed(tuple(f"{name} {count}" for name, count in counts.items()))


def _tensor(tensor: Tensor) -> str:
    shape = "[" + ", ".join(str(side) for side in tensor.shape[:_MOST]) + "]"
    text = f"{tensor.name!r} {tensor.dtype} {shape}"
    if not tensor.channels:
        return text
    text += f", scale {tensor.scale:.6g}, zero point {tensor.zero_point}"
    if tensor.dtype not in _BYTE_RANGES:
        return text
    low, high = (tensor.scale * (end - tensor.zero_point) for end in _BYTE_RANGES[tensor.dtype])
    return f"{text}: {low:.4g} to {high:.4g}"


def _attachments(facts: FileFacts) -> str:
    attached = facts.attachments
    if not attached.has_metadata:
        return "none, so no labels and no normalization"
    if attached.problem:
        return f"broken ({attached.problem})"
    labels = "no labels"
    if attached.label_file:
        count = "missing" if attached.labels is None else f"{attached.labels:,d} labels"
        labels = f"{count} ({attached.label_file[:100]!r})"
    return f"{labels}, {'with' if attached.normalizes else 'no'} normalization"


def _leftovers(facts: FileFacts) -> str:
    if not facts.float_leftovers:
        return "none"
    places = [f"{left.name} {left.tensor} ({left.place})" for left in facts.float_leftovers]
    return f"{len(places)}: {_listed(tuple(places))}"


def _partitions(facts: FileFacts) -> str:
    partitions = facts.partitions
    if partitions.count is None:
        return f"not counted: {partitions.problem}"
    return f"{partitions.count}, outside them {_census(partitions.outside) or 'nothing'}"


def _runtime(facts: FileFacts) -> str:
    minimum: MinimumRuntime = facts.minimum_runtime
    text = "unknown"
    if minimum.release:
        text = f"TensorFlow Lite {minimum.release} ({_listed(minimum.decided_by, 3)})"
    if minimum.unknown:
        text += f"; at least: unknown for {_listed(minimum.unknown)}"
    declared = facts.declared_runtime
    return text + (f"; the file says {declared}" if declared else "")


def _clients(findings: tuple[Finding, ...]) -> list[str]:
    lines = ["clients:"]
    for client in (ANY, *CLIENTS):
        found = [finding for finding in findings if finding.client == client]
        if client == ANY and not found:
            continue
        verdicts = {finding.verdict for finding in found}
        worst = next((v for v in (REFUSES, PARTLY, NOTE) if v in verdicts), "")
        verdict = {REFUSES: "refuses it", PARTLY: "runs it in part"}.get(
            worst, "no objection known"
        )
        lines.append(f"  {client}: {verdict}")
        lines += [f"    {f.what}: {f.reason}; {f.change} [{f.source}]" for f in found]
    return lines
