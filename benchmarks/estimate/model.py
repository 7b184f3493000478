"""The model itself: milliseconds are instructions times one factor per phone."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from benchmarks.arm.counts import count
from benchmarks.estimate.devices import Device, check_form, form_of, notes
from benchmarks.estimate.evaluation import SHIPPED, transfer_errors
from benchmarks.estimate.fit import fit
from benchmarks.estimate.records import Records, recorded_rows
from benchmarks.estimate.tables import Table
from export.inspection.file_graph import read_file, read_graph


@dataclasses.dataclass(frozen=True)
class Calibration:
    """One phone's factor and how far off it was on networks left out.

    Attributes:
        device: the phone.
        ms_per_instruction: milliseconds of one emulated instruction.
        table: title and edition of the table that gives the milliseconds.
        fitted_instructions: of the networks of the fit.
        errors: |modelled / published - 1| of held-out rows of all the phone's
            tables, each predicted within its own table.
    """

    device: Device
    ms_per_instruction: float
    table: str
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
    fit_rows: int
    error_median: float
    error_max: float
    error_rows: int
    notes: tuple[str, ...]

    def __str__(self) -> str:
        """One line, and one more per note."""
        ms = f"{self.modelled_ms:.0f}" if self.modelled_ms >= 10 else f"{self.modelled_ms:.1f}"
        line = (
            f"{self.file}: modelled {ms} ms on {self.device} (fit on {self.table}, {self.fit_rows} "
            f"networks; held-out error median {self.error_median:.0%}, max {self.error_max:.0%} of "
            f"{self.error_rows} rows)"
        )
        return "\n".join([line, *(f"  note: {note}" for note in self.notes)])


def calibrate(device: Device, form: str, tables: Sequence[Table], records: Records) -> Calibration:
    """Fits a phone's factor, and collects the errors of what was left out.

    The factor is fitted on the float32 rows of the phone's scale table. The
    errors are those of rows of `form` in every table of the phone, by the
    factor of that table's float32 rows of other networks: tables disagree with
    one another by up to two times, which is an offset and no error of order.

    Args:
        device: the phone.
        form: "float32" or "int8".
        tables: published.
        records: of our builds.

    Returns:
        A `Calibration`.
    """
    own = [table for table in tables if table.device == device.name]
    scale = next(table for table in own if table.name == device.scale_table)
    rows = [pair for pair in recorded_rows(scale, records) if pair[0].network.form == "float32"]
    instructions = [record.counts[device.core]["instructions"] for _, record in rows]
    ms = np.array([row.ms for row, _ in rows])
    (factor,) = fit(np.array(instructions, float)[:, None], ms)
    errors = [error for table in own for error in transfer_errors(SHIPPED, table, records, form)]
    return Calibration(
        device, factor, f"{scale.title}, {scale.edition}", tuple(instructions), tuple(errors)
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
    graph = read_graph(read_file(path))
    form = form_of(graph)
    check_form(device, form)
    calibration = calibrate(device, form, tables, records)
    instructions = count(path, device.core).instructions
    return Estimate(
        file=path,
        device=device.name,
        form=form,
        modelled_ms=instructions * calibration.ms_per_instruction,
        core=device.core,
        instructions=instructions,
        table=calibration.table,
        fit_rows=len(calibration.fitted_instructions),
        error_median=float(np.median(calibration.errors)),
        error_max=max(calibration.errors),
        error_rows=len(calibration.errors),
        notes=tuple(notes(graph, instructions, calibration.fitted_instructions)),
    )
