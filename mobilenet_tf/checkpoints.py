"""Checkpoints: the whole state of a training after a step.

runs/<name>/checkpoints/step_00001234.npz

Each is a zip, so every array has a checksum, and is on the disk before its name
is there. The last two are kept: where the newest is broken, training goes on
from the one before.
"""

import contextlib
import dataclasses
import os
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from mobilenet_tf import files
from mobilenet_tf.curves import FIELDS, History
from mobilenet_tf.engine import keras, to_numpy
from mobilenet_tf.progress import say

FOLDER = "checkpoints"
_KEPT = 2
_HISTORY, _NAMES = "history", "names"  # Beside the arrays of a state.
_NAME = re.compile(r"step_(\d{8,})\.npz")


@dataclasses.dataclass(frozen=True)
class State:
    """A training after some steps.

    Attributes:
        step: how many there were.
        history: rows of the whole epochs.
        arrays: values of the model's weights, of the optimizer with its
            averages, and of the epoch's metrics so far, by group and number.
    """

    step: int
    history: History
    arrays: dict[str, np.ndarray]

    def apply(self, model: keras.Model) -> None:
        """Gives the weights to a model whose optimizer is built, and that its state.

        Raises:
            ValueError: they are those of another network or optimizer.
        """
        self._assign("model", model.weights)
        self._assign("optimizer", model.optimizer.variables)

    def add_metrics(self, model: keras.Model) -> None:
        """Adds the epoch's accuracy and loss so far to those of the first step since.

        Keras makes some of these variables within that step. They are sums and
        counts, so adding later gives the same bits.
        """
        for variable, value in zip(metrics_variables(model), self._values("metrics"), strict=True):
            variable.assign(variable + value)

    def _values(self, group: str) -> list[np.ndarray]:
        keys = sorted(key for key in self.arrays if key.startswith(f"{group}_"))
        return [self.arrays[key] for key in keys]

    def _assign(self, group: str, variables: Sequence[Any]) -> None:
        values = self._values(group)
        wanted = [tuple(variable.shape) for variable in variables]
        if wanted != [value.shape for value in values]:
            raise ValueError(
                "a run must go on with the network and optimizer it began with; restore its "
                "config.json. Received: a checkpoint with arrays of other shapes"
            )
        for variable, value in zip(variables, values):
            variable.assign(value)


def state_of(model: keras.Model, step: int, history: History) -> State:
    """Copies the state of a compiled model after `step` steps and these whole epochs."""
    groups = {
        "model": model.weights,
        "optimizer": model.optimizer.variables,
        "metrics": metrics_variables(model),
    }
    arrays = {
        f"{group}_{i:04d}": np.asarray(to_numpy(variable))
        for group, variables in groups.items()
        for i, variable in enumerate(variables)
    }
    return State(step, list(history), arrays)


def save(run: str, state: State) -> None:
    """Writes a checkpoint, then removes all but the last ones, and later steps.

    Later ones are broken, or the training would have gone on from them.

    Args:
        run: the run's folder.
        state: to write.

    Raises:
        OSError: it could not be written; earlier ones are as they were.
    """
    folder = os.path.join(run, FOLDER)
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, f"step_{state.step:08d}.npz")
    with files.replacing(path) as temporary:
        with open(temporary, "wb") as file:
            np.savez(file, allow_pickle=False, **_stored(state))
            file.flush()
            os.fsync(file.fileno())
    found = paths(run)
    kept = [path for step, path in found if step <= state.step][:_KEPT]
    for _, path in found:
        if path not in kept:
            os.remove(path)


def newest(run: str) -> State | None:
    """Reads the newest checkpoint that is intact; says which are not.

    Args:
        run: the run's folder.

    Returns:
        None where the run has no checkpoint yet.

    Raises:
        ValueError: it has some, and all are broken.
    """
    found = paths(run)
    for step, path in found:
        try:
            with np.load(path, allow_pickle=False) as archive:
                return _restored(step, {key: archive[key] for key in archive.files})
        except Exception as error:  # Damage may look like any feature of a zip.
            reason = " ".join(str(error).split())
            say(f"note: a broken checkpoint is passed over: {path} ({reason})")
    if found:
        raise ValueError(
            "one checkpoint at least must be intact; remove them to start the run again from its "
            f"beginning. Received: {', '.join(path for _, path in found)}"
        )
    return None


def _stored(state: State) -> dict[str, np.ndarray]:
    rows = [[row[key] for key in FIELDS] for row in state.history]
    history = np.array(rows, np.float64).reshape(-1, len(FIELDS))
    return state.arrays | {_HISTORY: history, _NAMES: np.array(sorted(state.arrays))}


def _restored(step: int, stored: dict[str, np.ndarray]) -> State:
    """The state that `_stored` made; checksums do not cover the arrays' names."""
    names, rows = stored.pop(_NAMES), stored.pop(_HISTORY)
    if sorted(stored) != names.tolist():
        raise ValueError("its arrays have other names")
    return State(step, [dict(zip(FIELDS, row, strict=True)) for row in rows.tolist()], stored)


def remove(run: str) -> None:
    """Removes a run's checkpoints: it has ended and needs them no more."""
    clean(run)
    with contextlib.suppress(OSError):  # It has ended well, whatever stays.
        for _, path in paths(run):
            os.remove(path)
        os.rmdir(os.path.join(run, FOLDER))  # Not where somebody else's files are in it.


def remove_older(run: str) -> bool:
    """Removes all checkpoints but the newest intact one, for room; says whether there were any."""
    with contextlib.suppress(ValueError):  # None is intact: leave them to whoever looks closer.
        state = newest(run)
        others = [path for step, path in paths(run) if state is not None and step != state.step]
        for path in others:
            os.remove(path)
        return bool(others)
    return False


def clean(run: str) -> None:
    """Removes what a process that was killed while it wrote has left behind."""
    for folder in (run, os.path.join(run, FOLDER)):
        for entry in os.scandir(folder) if os.path.isdir(folder) else ():
            if files.is_leftover(entry.name) and entry.is_file():
                with contextlib.suppress(FileNotFoundError):
                    os.remove(entry.path)


def metrics_variables(model: keras.Model) -> list[Any]:
    """Sums and counts behind the accuracy and the loss that an epoch has so far."""
    return [variable for metric in model.metrics for variable in metric.variables]


def paths(run: str) -> list[tuple[int, str]]:
    """Step and path of each checkpoint, the newest first."""
    folder = os.path.join(run, FOLDER)
    names = os.listdir(folder) if os.path.isdir(folder) else []
    found = [(match, name) for name in names if (match := _NAME.fullmatch(name))]
    return sorted(((int(m[1]), os.path.join(folder, name)) for m, name in found), reverse=True)
