"""Where a finished file and its reports go, by whether it keeps its budget."""

import dataclasses
import os
from typing import Any

from export import report
from export.page import write_page
from export.settings import Budget, Settings
from mobilenet_tf import files
from mobilenet_tf.cli import WorkError
from mobilenet_tf.data.store import Split


def accept(
    content: dict[str, Any], settings: Settings, written: str, split: Split | None
) -> dict[str, Any]:
    """Puts a file that keeps the budget, and the reports, where they belong.

    Args:
        content: from `report.make_report`.
        settings: with the budget.
        written: path of the file as yet.
        split: evaluation images, for the page; None without a page.

    Returns:
        The report as written: with {"budget": {"max_drop", "min_agreement",
        "complaint"} or None}, and the file's final path.

    Raises:
        WorkError: the file breaks the budget; its reports are beside it.
    """
    evaluated, budget = content["evaluation"], settings.budget
    complaint = None if evaluated is None else budget.complaint(evaluated)
    limits = None if budget == Budget() else dataclasses.asdict(budget) | {"complaint": complaint}
    content = content | {"budget": limits}
    base = f"{os.path.splitext(settings.output)[0]}.rejected"
    if complaint is not None:
        _write(content, f"{base}.json", f"{base}.html", split)
        print(report.format_report(content))
        earlier = ""
        if os.path.exists(settings.output):
            earlier = f"; {settings.output} is of an earlier conversion"
        raise WorkError(
            f"the file must keep the budget on all {evaluated['images']:,d} evaluation images; "
            f"see docs/quantization.md for what to try. Received: {complaint}; it is kept as "
            f"{written}{earlier}"
        )
    if written != settings.output:
        os.replace(written, settings.output)
        for path in (f"{base}.json", f"{base}.html"):
            if os.path.exists(path):  # With --overwrite: of a file that is no longer there.
                os.remove(path)
        content = content | {"file": settings.output}
    _write(content, settings.report_path, settings.page_path, split)
    return content


def _write(content: dict[str, Any], report_path: str, page_path: str, split: Split | None) -> None:
    files.write_json(report_path, content)
    if split is not None:
        write_page(page_path, content, split.images)
    elif os.path.exists(page_path):  # With --overwrite: a page about the file before this one.
        os.remove(page_path)
