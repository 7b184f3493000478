"""How well each predictor of latency does on networks that it was not fitted on.

python -m benchmarks.estimate.evaluation
"""

import argparse
import dataclasses
import sys
from collections.abc import Callable, Sequence

import numpy as np

from benchmarks.estimate.devices import DEVICES, Device
from benchmarks.estimate.fit import held_out, relative_errors, spearman, wrong_pairs
from benchmarks.estimate.records import Record, Records, load_records
from benchmarks.estimate.tables import Row, Table, load_tables
from mobilenet_tf import cli

Features = Callable[[Record], list[float]]


def _groups(record: Record) -> list[float]:
    return list(instruction_groups(record.counts))


def instruction_groups(counts: dict[str, int]) -> tuple[float, float, float]:
    """Instructions that multiply and add, that load or store, and all others."""
    arithmetic = counts["dot"] + counts["fp_mac"] + counts["int_mac"]
    return arithmetic, counts["load"] + counts["store"], counts["other"]


# A predictor is a list of features; each gets a weight, and there is no constant.
PREDICTORS: dict[str, Features] = {
    "MACs": lambda record: [record.macs],
    "MACs and bytes": lambda record: [record.macs, record.moved_bytes],
    "x86 time": lambda record: [record.host_ms],
    "ARM instructions": lambda record: [record.counts["instructions"]],
    "ARM instructions in three groups": _groups,
}
SHIPPED = "ARM instructions in three groups"


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """Rows of one phone, each predicted by a fit without its network.

    Attributes:
        tables: name of each row's table.
        rows: as published.
        predicted: (rows,) milliseconds.
    """

    tables: tuple[str, ...]
    rows: tuple[Row, ...]
    predicted: np.ndarray

    @property
    def ms(self) -> np.ndarray:
        """(rows,) published milliseconds."""
        return np.array([row.ms for row in self.rows])

    @property
    def errors(self) -> np.ndarray:
        """(rows,) |predicted / published - 1|."""
        return relative_errors(self.predicted, self.ms)

    def errors_of(self, form: str) -> np.ndarray:
        """`errors` of the rows of one form."""
        return self.errors[[row.network.form == form for row in self.rows]]


def rows_of(
    device: Device, tables: Sequence[Table], records: Records
) -> list[tuple[str, Row, Record]]:
    """The rows of a phone's tables that can be fitted: table, row and record.

    Those that were not recorded are left out; so is int8 where dot products
    would run it, since `devices.CORE` has none.
    """
    return [
        (table.name, row, records[row.network])
        for table in tables
        if table.device == device.name
        for row in table.rows
        if row.network in records and not (device.has_dot and row.network.form == "int8")
    ]


def leave_one_out(
    predictor: str, device: Device, tables: Sequence[Table], records: Records
) -> HeldOut:
    """Leaves out one network at a time: all its sizes, both forms, in all tables of the phone.

    Args:
        predictor: key of `PREDICTORS`.
        device: the phone.
        tables: published.
        records: of our builds.

    Returns:
        `HeldOut`.

    Raises:
        ValueError: too few networks.
    """
    names, rows, found = zip(*rows_of(device, tables, records))
    features = np.array([PREDICTORS[predictor](record) for record in found], float)
    ms = np.array([row.ms for row in rows])
    predicted = held_out(features, ms, names, [row.network.family for row in rows])
    return HeldOut(names, rows, predicted)


def markdown(tables: Sequence[Table], records: Records) -> str:
    """A row per predictor and phone, and one of all phones. Order is judged within tables."""
    lines = [
        "| predictor | phone | rows | float32 error, median / max | int8 error, median / max "
        "| least Spearman | wrong pairs |",
        "|---|---|---|---|---|---|---|",
    ]
    for predictor in PREDICTORS:
        results = [leave_one_out(predictor, d, tables, records) for d in DEVICES.values()]
        for name, result in zip([*DEVICES, "all"], [*map(_one, results), results]):
            lines.append(f"| {predictor} | {name} | {_cells(result)} |")
    return "\n".join(lines)


def _one(result: HeldOut) -> list[HeldOut]:
    return [result]


def _cells(results: Sequence[HeldOut]) -> str:
    orders = [order for result in results for order in orders_of(result)]
    wrong, pairs = sum(order[1] for order in orders), sum(order[2] for order in orders)
    return (
        f"{sum(len(result.rows) for result in results)} | {_errors(results, 'float32')} "
        f"| {_errors(results, 'int8')} | {min(order[0] for order in orders):.3f} "
        f"| {wrong:g} of {pairs} ({wrong / pairs:.1%})"
    )


def _errors(results: Sequence[HeldOut], form: str) -> str:
    errors = np.concatenate([result.errors_of(form) for result in results])
    return f"{np.median(errors):.1%} / {errors.max():.1%}" if len(errors) else "-"


def orders_of(result: HeldOut) -> list[tuple[float, float, int]]:
    """For each table: Spearman, pairs in the wrong order and all pairs, as in `wrong_pairs`."""
    orders = []
    for table in dict.fromkeys(result.tables):
        inside = np.array([name == table for name in result.tables])
        predicted, ms = result.predicted[inside], result.ms[inside]
        orders.append((spearman(predicted, ms), *wrong_pairs(predicted, ms)))
    return orders


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Parses the command line; exits with 2 on wrong usage."""
    return cli.parser(__doc__, prog="python -m benchmarks.estimate.evaluation").parse_args(argv)


@cli.exits
def main(argv: list[str] | None = None) -> int:
    """Prints the table of docs/latency.md."""
    parse_args(argv)
    print(markdown(load_tables(), load_records()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
