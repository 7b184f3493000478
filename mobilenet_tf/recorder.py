"""What happens around each step and epoch of a run."""

import os
import sys
import time
from typing import Any

import numpy as np

from mobilenet_tf import curves, files, runs
from mobilenet_tf.engine import keras, to_numpy
from mobilenet_tf.job import Job, save_model
from mobilenet_tf.progress import duration, say

_LOG_SECONDS = 30.0  # Between lines within an epoch, where stderr is a file.


class Recorder(keras.callbacks.Callback):
    """Sets the rate, evaluates the averaged weights, and saves after each epoch."""

    def __init__(self, job: Job, first_epoch: int) -> None:
        super().__init__()
        self._job = job
        self._step = first_epoch * job.resolved.steps_per_epoch
        history = curves.read_history(os.path.join(job.run, runs.HISTORY))
        self.history = history[:first_epoch]
        self._first_epoch, self._start, self._epoch_start = first_epoch, time.monotonic(), 0.0
        self._raw: list[np.ndarray] | None = None
        self._logged = self._first_step = time.monotonic()

    @property
    def best(self) -> float:
        """The best validation accuracy so far, 0..1."""
        return max((row["val_accuracy"] for row in self.history), default=-1.0)

    def save_best(self) -> None:
        """Writes the model of the best epoch so far."""
        save_model(self.model, self._job, os.path.join(self._job.run, runs.BEST))

    def save_checkpoint(self) -> None:
        """Writes what `--resume` goes on from."""
        with files.replacing(os.path.join(self._job.run, runs.CHECKPOINT)) as temporary:
            self.model.save_weights(temporary, overwrite=True)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Sets the learning rate of the step."""
        self.model.optimizer.learning_rate = self._job.resolved.learning_rate_at(self._step)
        self._step += 1

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Tells logs how far the epoch is; a terminal has Keras' own bar."""
        now, steps = time.monotonic(), self._job.resolved.steps_per_epoch
        if batch == 0:
            self._first_step = now  # It compiles the network; the pace comes after it.
        if batch and not sys.stderr.isatty() and now - self._logged > _LOG_SECONDS:
            self._logged = now
            left = (now - self._first_step) / max(batch, 1) * (steps - batch - 1)
            say(f"step {batch + 1} of {steps}, {duration(left)} left in this epoch")

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Starts the epoch's clock and dropout's random numbers."""
        self._epoch_start = self._logged = time.monotonic()
        # Keras keeps their state out of the checkpoint, so a resumed run would
        # drop other features than one that never stopped.
        state = [self._job.config.seed, epoch * self._job.resolved.steps_per_epoch]
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
        if logs and np.isfinite(logs["loss"]) and logs["accuracy"] > self.best:
            self.save_best()
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
        # The checkpoint last: resuming from it cuts off rows that are ahead of it.
        curves.write_history(os.path.join(self._job.run, runs.HISTORY), self.history)
        self.save_checkpoint()
        epochs, done = self._job.config.recipe.epochs, epoch + 1 - self._first_epoch
        left = (time.monotonic() - self._start) / done * (epochs - epoch - 1)
        say(
            f"epoch {epoch + 1}/{epochs}: accuracy {100 * row['accuracy']:.2f} %, "
            f"validation {100 * row['val_accuracy']:.2f} %, {duration(left)} left in all"
        )
