"""Keras' fit on a job's data, from any step of a run to its end."""

import contextlib
import os
import sys

from mobilenet_tf.data import pipeline
from mobilenet_tf.engine import USES_TF_KERAS, keras, to_numpy
from mobilenet_tf.job import Job
from mobilenet_tf.progress import say
from mobilenet_tf.synchronized import AverageFromFirstStep


def fit(
    job: Job, model: keras.Model, callbacks: list[keras.callbacks.Callback], first_step: int = 0
) -> None:
    """Trains a compiled model on a job's data, for as long as its recipe says.

    Args:
        job: with a run folder.
        model: float32 images in 0..255 to probabilities.
        callbacks: beside those that every training has.
        first_step: where to start, counted through all epochs.
    """
    config, recipe, steps = job.config, job.config.recipe, job.resolved.steps_per_epoch
    callbacks = [*callbacks, keras.callbacks.TerminateOnNaN()]
    if USES_TF_KERAS:
        callbacks.append(AverageFromFirstStep())
    if config.tensorboard:
        callbacks.append(keras.callbacks.TensorBoard(os.path.join(job.run, "tensorboard")))
    epoch, done = divmod(first_step, steps)
    say(f"training in {job.run}: {recipe.epochs} x {steps} steps")
    if done:  # Keras' fit knows whole epochs only.
        raw = _RawWeights()
        _fit_epochs(job, model, [*callbacks, raw], epoch, done)
        epoch += 1
        if epoch == recipe.epochs or model.stop_training:
            return
        raw.put_back()  # fit has left the averaged weights.
    _fit_epochs(job, model, callbacks, epoch, 0)


def _fit_epochs(
    job: Job,
    model: keras.Model,
    callbacks: list[keras.callbacks.Callback],
    epoch: int,
    done: int,
) -> None:
    """Trains the rest of an epoch of which some steps are done, or all from a whole one."""
    recipe, classes = job.config.recipe, len(job.class_names)
    steps = job.resolved.steps_per_epoch
    batches = pipeline.training_batches(
        job.train,
        classes,
        recipe.batch_size,
        recipe.augmentation,
        job.config.seed,
        epoch * steps + done,
    )
    validation = job.devices.validation(job.validation, classes, recipe.batch_size)
    with contextlib.redirect_stdout(sys.stderr):  # stdout is for results.
        model.fit(
            job.devices.training(batches),
            steps_per_epoch=steps - done,
            epochs=epoch + 1 if done else recipe.epochs,
            initial_epoch=epoch,
            validation_data=validation.batches,
            validation_steps=validation.steps,
            callbacks=callbacks,
            shuffle=False,  # The batches are shuffled already.
            verbose=1 if sys.stderr.isatty() else 0,
        )


class _RawWeights(keras.callbacks.Callback):
    """Remembers the trained weights, in whose place fit leaves their average."""

    def on_epoch_end(self, epoch, logs=None):
        """Copies them."""
        self._values = [to_numpy(variable) for variable in self.model.trainable_variables]

    def put_back(self) -> None:
        """Undoes what fit did at its end."""
        for variable, value in zip(self.model.trainable_variables, self._values, strict=True):
            variable.assign(value)
