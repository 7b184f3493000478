"""The model itself: milliseconds are weighted sums of counted instructions, per phone."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from benchmarks.arm.counts import count
from benchmarks.estimate.devices import CORE, Device, check_form, check_size, form_of, notes
from benchmarks.estimate.evaluation import (
    PREDICTORS,
    SHIPPED,
    instruction_groups,
    leave_one_out,
    rows_of,
)
from benchmarks.estimate.fit import fit_with_offsets
from benchmarks.estimate.records import Records
from benchmarks.estimate.tables import Table
from export.flatbuffer import intact, read_file
from export.inspection.file_graph import read_graph


@dataclasses.dataclass(frozen=True)
class Calibration:
    """What was fitted for one phone, and how far off it was on networks left out.

    Attributes:
        weights: milliseconds of one instruction of each group, in the terms of
            the table below.
        table: title and edition of the table that gives the milliseconds.
        offsets: by how much each table of the phone is slower than that one.
        fitted_instructions: of the networks of the fit.
        errors: |modelled / published - 1| of held-out rows of the file's form.
    """

    weights: tuple[float, ...]
    table: str
    offsets: dict[str, float]
    fitted_instructions: tuple[int, ...]
    errors: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A modelled latency, not a measured one.

    Attributes:
        file: path.
        device: name of the phone.
        form: "float32" or "int8".
        modelled_ms: one inference on one big core.
        core: that was emulated.
        instructions: of one inference there.
        table: that gives the milliseconds.
        offsets: by how much each table of the fit is slower than that one.
        fit_rows: of the fit.
        error_median, error_max: of held-out rows, as a share of the truth.
        error_rows: how many were held out.
        notes: what speaks against trusting that error here.
    """

    file: str
    device: str
    form: str
    modelled_ms: float
    core: str
    instructions: int
    table: str
    offsets: dict[str, float]
    fit_rows: int
    error_median: float
    error_max: float
    error_rows: int
    notes: tuple[str, ...]

    def __str__(self) -> str:
        """One line, and one more per note."""
        ms = f"{self.modelled_ms:.0f}" if self.modelled_ms >= 10 else f"{self.modelled_ms:.1f}"
        line = (
            f"{self.file}: modelled {ms} ms on {self.device} (fit on {self.fit_rows} published "
            f"rows, in the milliseconds of {self.table}; held-out error of {self.form}: median "
            f"{self.error_median:.0%}, max {self.error_max:.0%} of {self.error_rows} rows)"
        )
        return "\n".join([line, *(f"  note: {note}" for note in self.notes)])


def calibrate(device: Device, form: str, tables: Sequence[Table], records: Records) -> Calibration:
    """Fits one phone.

    Args:
        device: the phone.
        form: "float32" or "int8", of the errors; both are in the fit.
        tables: published.
        records: of our builds.

    Returns:
        A `Calibration`.
    """
    names, rows, found = zip(*rows_of(device, tables, records))
    features = np.array([PREDICTORS[SHIPPED](record) for record in found], float)
    weights, offsets = fit_with_offsets(features, np.array([row.ms for row in rows]), names)
    scale = next(table for table in tables if table.name == device.scale_table)
    errors = leave_one_out(SHIPPED, device, tables, records).errors_of(form)
    return Calibration(
        weights=tuple(float(weight * offsets[scale.name]) for weight in weights),
        table=f"{scale.title}, {scale.edition}",
        offsets={name: float(offset / offsets[scale.name]) for name, offset in offsets.items()},
        fitted_instructions=tuple(record.counts["instructions"] for record in found),
        errors=tuple(float(error) for error in errors),
    )


def estimate(path: str, device: Device, tables: Sequence[Table], records: Records) -> Estimate:
    """Counts a file and models its latency on a phone.

    Args:
        path: of the .tflite.
        device: the phone.
        tables: published.
        records: of our builds.

    Returns:
        An `Estimate`.

    Raises:
        Refused: where an estimate is known to be wrong.
        ArmUnavailable: the emulator is not set up.
        FileNotFoundError, ValueError: not an intact .tflite file.
    """
    content = read_file(path)
    with intact(path):
        graph = read_graph(content)
    form = form_of(graph)
    check_form(device, form)
    calibration = calibrate(device, form, tables, records)
    counts = count(path, CORE)
    check_size(counts.instructions, calibration.fitted_instructions)
    groups = instruction_groups(counts.classes)
    return Estimate(
        file=path,
        device=device.name,
        form=form,
        modelled_ms=float(np.dot(groups, calibration.weights)),
        core=CORE,
        instructions=counts.instructions,
        table=calibration.table,
        offsets=calibration.offsets,
        fit_rows=len(calibration.fitted_instructions),
        error_median=float(np.median(calibration.errors)),
        error_max=max(calibration.errors),
        error_rows=len(calibration.errors),
        notes=tuple(notes(graph)),
    )
