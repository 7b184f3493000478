"""What happens around each step and epoch of a run."""

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from mobilenet_tf import checkpoints, curves, runs
from mobilenet_tf.engine import keras, to_numpy
from mobilenet_tf.interruption import Interruption
from mobilenet_tf.job import Job, save_model
from mobilenet_tf.progress import duration, say

_LOG_SECONDS = 30.0  # Between lines within an epoch, where stderr is a file.
SAVE_SECONDS = 60.0  # Between checkpoints, at least;
SAVE_SHARE = 0.02  # and at most this part of the time goes into writing them.


@contextlib.contextmanager
def _outliving_a_full_disk(what: str) -> Iterator[None]:
    """Says what could not be written; the training goes on with what was before."""
    try:
        yield
    except OSError as error:
        say(f"note: no {what}, the last one stays: {error}")


class Recorder(keras.callbacks.Callback):
    """Sets the rate, evaluates the averaged weights, and saves after each epoch."""

    def __init__(
        self, job: Job, interruption: Interruption, start: checkpoints.State | None = None
    ) -> None:
        """Prepares to record a training.

        Args:
            job: what is trained.
            interruption: asked after each step.
            start: where the training goes on from; None for its beginning.
        """
        super().__init__()
        self._job, self._interruption, self._start_state = job, interruption, start
        self._step = start.step if start else 0
        self._first_step = self._step
        self.history = list(start.history) if start else []
        self._saved_best = self._best_to_beat()
        self._start = self._saved = self._logged = self._pace_start = time.monotonic()
        self._epoch_start, self._save_seconds = 0.0, 0.0
        self._raw: list[np.ndarray] | None = None

    @property
    def step(self) -> int:
        """Training steps done, of the whole run."""
        return self._step

    @property
    def saved_best(self) -> dict[str, float] | None:
        """The epoch of best.keras: the best of those that could be saved, if any could."""
        saved = [row for row in self.history if row["val_accuracy"] <= self._saved_best]
        return max(saved, key=lambda row: row["val_accuracy"], default=None)

    def _best_to_beat(self) -> float:
        """The validation accuracy of best.keras as the training begins or goes on, 0..1."""
        # Processes save together, so they must agree; only the chief's folder has the file.
        path = os.path.join(self._job.run, runs.BEST)
        if self._job.devices.is_one_process and not os.path.isfile(path):
            return -1.0
        return max((row["val_accuracy"] for row in self.history), default=-1.0)

    def save_best(self) -> None:
        """Writes the model of the best epoch so far."""
        save_model(self.model, self._job, os.path.join(self._job.run, runs.BEST))

    def save_checkpoint(self) -> None:
        """Writes what `--resume` goes on from."""
        began = time.monotonic()
        state = checkpoints.state_of(self.model, self._step, self.history)
        with _outliving_a_full_disk(f"checkpoint of step {self._step}"):
            checkpoints.save(self._job.run, state)
        self._saved = time.monotonic()
        self._save_seconds = self._saved - began

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Sets the learning rate of the step."""
        self.model.optimizer.learning_rate = self._job.resolved.learning_rate_at(self._step)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Counts the step, saves when it is time, and meets an interruption."""
        self._step += 1
        steps = self._job.resolved.steps_per_epoch
        left = -self._step % steps
        self._log_pace(batch, left)
        if self._start_state is not None:
            if self._first_step % steps:
                self._start_state.add_metrics(self.model)
            self._start_state = None
        if left == 0:
            return  # The end of the epoch saves, after the validation.
        alone = self._job.devices.is_one_process
        if self._interruption.received:
            if alone:
                self.save_checkpoint()
            raise KeyboardInterrupt
        if not alone:
            return  # Metrics are read by all processes together: at the end of the epoch.
        waited = time.monotonic() - self._saved
        if waited > max(SAVE_SECONDS, self._save_seconds / SAVE_SHARE):
            self.save_checkpoint()

    def _log_pace(self, batch: int, left: int) -> None:
        """Tells logs how far the epoch is; a terminal has Keras' own bar."""
        now, steps = time.monotonic(), self._job.resolved.steps_per_epoch
        if batch == 0:
            self._pace_start = now  # It compiles the network; the pace comes after it.
        elif not sys.stderr.isatty() and now - self._logged > _LOG_SECONDS:
            self._logged = now
            seconds = (now - self._pace_start) / batch * left
            say(f"step {steps - left} of {steps}, {duration(seconds)} left in this epoch")

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Starts the epoch's clock and dropout's random numbers."""
        self._epoch_start = self._logged = time.monotonic()
        # Each step counts one up, so a resumed run drops the same features.
        state = [self._job.config.seed, self._step]
        for layer in self.model.layers:
            if isinstance(layer, keras.layers.Dropout) and hasattr(layer, "seed_generator"):
                layer.seed_generator.state.assign(state)

    def on_test_begin(self, logs: Any = None) -> None:
        """Puts the averaged weights in place of the trained ones."""
        # Exchanged exactly; keras.callbacks.SwapEMAWeights adds and subtracts,
        # which rounds the trained weights at every evaluation.
        if self._job.resolved.ema_momentum is not None:
            variables = self.model.trainable_variables
            self._raw = [to_numpy(variable) for variable in variables]
            self.model.optimizer.finalize_variable_values(variables)

    def on_test_end(self, logs: Any = None) -> None:
        """Saves the best model, then puts the trained weights back."""
        if logs and np.isfinite(logs["loss"]) and logs["accuracy"] > self._saved_best:
            with _outliving_a_full_disk(runs.BEST):
                self.save_best()
                self._saved_best = logs["accuracy"]
            if not self._job.devices.is_one_process:  # The others cannot know what failed.
                self._saved_best = logs["accuracy"]
        if self._raw is not None:
            for variable, value in zip(self.model.trainable_variables, self._raw):
                variable.assign(value)
            self._raw = None

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Records the epoch and writes the checkpoint."""
        if not np.isfinite(logs["loss"]):
            return  # TerminateOnNaN has ended the run; the last good checkpoint stays.
        row = {key: float(logs[key]) for key in curves.FIELDS if key in logs}
        row["epoch"] = epoch + 1
        row["learning_rate"] = self._job.resolved.learning_rate_at(self._step - 1)
        row["seconds"] = round(time.monotonic() - self._epoch_start, 2)
        self.history.append(row)
        self.save_checkpoint()
        with _outliving_a_full_disk(runs.HISTORY):
            curves.write_history(os.path.join(self._job.run, runs.HISTORY), self.history)
        epochs, steps = self._job.config.recipe.epochs, self._job.resolved.steps_per_epoch
        left = (time.monotonic() - self._start) / (self._step - self._first_step)
        left *= epochs * steps - self._step
        say(
            f"epoch {epoch + 1}/{epochs}: accuracy {100 * row['accuracy']:.2f} %, "
            f"validation {100 * row['val_accuracy']:.2f} %, {duration(left)} left in all"
        )
        if self._interruption.received and epoch + 1 < epochs:
            raise KeyboardInterrupt
