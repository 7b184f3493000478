"""Which clients refuse a .tflite, or run it badly: why, and what to change."""

import collections
import dataclasses

from export.inspection.client_rules import RULES
from export.inspection.file_graph import Graph


@dataclasses.dataclass(frozen=True)
class Finding:
    """A rule that applies to a model; see `Rule`.

    Attributes:
        what: in the model it applies to, such as "HARD_SWISH x18".
    """

    client: str
    verdict: str
    what: str
    reason: str
    change: str
    source: str


def findings(graph: Graph) -> tuple[Finding, ...]:
    """Applies all rules to a model.

    Args:
        graph: of the model.

    Returns:
        What applies, in the order of `RULES`.
    """
    found = []
    for rule in RULES:
        counts = collections.Counter(rule.find(graph))
        if counts:
            what = [f"{name} x{n}" if n > 1 else name for name, n in counts.most_common()]
            text = ", ".join(what[:12]) + (f" and {len(what) - 12:,d} more" if what[12:] else "")
            found.append(
                Finding(rule.client, rule.verdict, text, rule.reason, rule.change, rule.source)
            )
    return tuple(found)
