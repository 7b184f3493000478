"""How well each predictor of latency does on networks that it was not fitted on.

python -m benchmarks.estimate.evaluation
"""

import argparse
import dataclasses
import sys
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from benchmarks.estimate.devices import DEVICES
from benchmarks.estimate.fit import fit, held_out, relative_errors, spearman, wrong_pairs
from benchmarks.estimate.records import Record, Records, load_records, recorded_rows
from benchmarks.estimate.tables import Row, Table, load_tables
from mobilenet_tf import cli

Features = Callable[[Record, str], list[float]]


def _instructions(record: Record, core: str) -> list[float]:
    return [record.counts[core]["instructions"]]


def _classes(record: Record, core: str) -> list[float]:
    counts = record.counts[core]
    arithmetic = counts["fp_mac"] + counts["int_mac"] + counts["dot"]
    return [arithmetic, counts["load"], counts["store"], counts["other"]]


# A predictor is a list of features; each gets a weight, and there is no constant.
PREDICTORS: dict[str, Features] = {
    "MACs": lambda record, core: [record.macs],
    "MACs and bytes": lambda record, core: [record.macs, record.moved_bytes],
    "x86 time": lambda record, core: [record.host_ms],
    "ARM instructions": _instructions,
    "ARM instructions by class": _classes,
}
SHIPPED = "ARM instructions"


@dataclasses.dataclass(frozen=True)
class Outcome:
    """One predictor on one table.

    Attributes:
        predictor: key of `PREDICTORS`.
        table: name of the table; "all" for all of them.
        rows: that were held out.
        errors: |predicted / published - 1| of each.
        spearman: rank correlation of the table's rows; for "all", the least.
        wrong: pairs more than 10 % apart in the wrong order.
        pairs: more than 10 % apart.
    """

    predictor: str
    table: str
    rows: int
    errors: tuple[float, ...]
    spearman: float
    wrong: float
    pairs: int


def evaluate(tables: Iterable[Table], records: Records) -> list[Outcome]:
    """Leaves out one network at a time (all its sizes and both forms), within each table.

    Args:
        tables: published.
        records: of our builds.

    Returns:
        For each predictor an outcome per table and one of all tables.
    """
    usable = [(table, recorded_rows(table, records)) for table in tables]
    outcomes = []
    for name in PREDICTORS:
        found = [_outcome(name, table, rows) for table, rows in usable]
        outcomes += [*found, _together(name, found)]
    return outcomes


def _outcome(name: str, table: Table, rows: list[tuple[Row, Record]]) -> Outcome:
    features, ms = _arrays(name, table, rows)
    predicted = held_out(features, ms, [row.network.family for row, _ in rows])
    wrong, pairs = wrong_pairs(predicted, ms)
    errors = tuple(relative_errors(predicted, ms))
    return Outcome(name, table.name, len(rows), errors, spearman(predicted, ms), wrong, pairs)


def _together(name: str, outcomes: Sequence[Outcome]) -> Outcome:
    return Outcome(
        predictor=name,
        table="all",
        rows=sum(outcome.rows for outcome in outcomes),
        errors=tuple(error for outcome in outcomes for error in outcome.errors),
        spearman=min(outcome.spearman for outcome in outcomes),
        wrong=sum(outcome.wrong for outcome in outcomes),
        pairs=sum(outcome.pairs for outcome in outcomes),
    )


def _arrays(
    name: str, table: Table, rows: Sequence[tuple[Row, Record]]
) -> tuple[np.ndarray, np.ndarray]:
    core = DEVICES[table.device].core
    features = np.array([PREDICTORS[name](record, core) for _, record in rows], float)
    return features, np.array([row.ms for row, _ in rows])


def transfer_errors(name: str, table: Table, records: Records, form: str) -> tuple[float, ...]:
    """Errors of rows of a form, predicted from the float32 rows of the table's other networks.

    Args:
        name: key of `PREDICTORS`.
        table: published.
        records: of our builds.
        form: "float32" or "int8".

    Returns:
        |predicted / published - 1| of each row of that form.
    """
    rows = recorded_rows(table, records)
    errors = []
    for row, record in rows:
        others = [
            (other, counted)
            for other, counted in rows
            if other.network.form == "float32" and other.network.family != row.network.family
        ]
        if row.network.form == form and others:
            weights = fit(*_arrays(name, table, others))
            features, ms = _arrays(name, table, [(row, record)])
            errors += list(relative_errors(features @ weights, ms))
    return tuple(errors)


def markdown(outcomes: Sequence[Outcome]) -> str:
    """A row per predictor and table."""
    lines = [
        "| predictor | table | rows | median error | max error | Spearman | wrong pairs |",
        "|---|---|---|---|---|---|---|",
    ]
    for outcome in outcomes:
        lines.append(
            f"| {outcome.predictor} | {outcome.table} | {outcome.rows} "
            f"| {np.median(outcome.errors):.1%} | {max(outcome.errors):.1%} "
            f"| {outcome.spearman:.3f} | {outcome.wrong:g} of {outcome.pairs} "
            f"({outcome.wrong / outcome.pairs:.1%}) |"
        )
    return "\n".join(lines)


def transfer_markdown(tables: Sequence[Table], records: Records) -> str:
    """int8 predicted from float32: a row per predictor, a column per table with both."""
    both = [t for t in tables if any(row.network.form == "int8" for row in t.rows)]
    lines = [
        f"| int8 from float32, median / max error | {' | '.join(t.name for t in both)} |",
        f"|---|{'---|' * len(both)}",
    ]
    for name in PREDICTORS:
        errors = [transfer_errors(name, table, records, "int8") for table in both]
        cells = [f"{np.median(found):.1%} / {max(found):.1%}" for found in errors]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Parses the command line; exits with 2 on wrong usage."""
    return cli.parser(__doc__, prog="python -m benchmarks.estimate.evaluation").parse_args(argv)


@cli.exits
def main(argv: list[str] | None = None) -> int:
    """Prints the tables of docs/latency.md."""
    parse_args(argv)
    tables, records = load_tables(), load_records()
    print(markdown(evaluate(tables, records)))
    print()
    print(transfer_markdown(tables, records))
    return 0


if __name__ == "__main__":
    sys.exit(main())
