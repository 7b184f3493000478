"""Going on with an interrupted run, to the same end."""

import dataclasses
import os
import shlex
from typing import Any

from mobilenet_tf import checkpoints, files, model_labels, run_folders, runs, training, transfer
from mobilenet_tf.data import datasets
from mobilenet_tf.distribution import ONE_DEVICE, Devices
from mobilenet_tf.job import Job, compiled_model
from mobilenet_tf.progress import say
from mobilenet_tf.runs import TrainConfig


def resume(run: str, devices: Devices = ONE_DEVICE) -> training.TrainResult:
    """Goes on with an interrupted run from its last checkpoint, to the same end.

    Args:
        run: its folder.
        devices: what trains it.

    Returns, raises: see `training.train`.
    """
    config, content = runs.read_config(run)
    if config.fine_tunes:
        raise ValueError(
            "a run of --quantization-aware, --prune or --cluster cannot go on; start it again "
            f"with --weights {shlex.quote(str(config.weights))}. Received: {run}"
        )
    if content.get("engine", "keras") != training.ENGINE:
        raise ValueError(
            "a run goes on as it began: keras with --strategy none, tf_keras with mirrored (also "
            f"on one CPU) or multi_worker. Received: {run}, begun with {content.get('engine')}"
        )
    devices.check_batch(config.recipe.batch_size)
    own = devices.open_run(run)
    with run_folders.locked(own):
        if os.path.isfile(os.path.join(run, runs.MODEL)):
            raise ValueError(
                f"a run that has ended cannot go on; start a new one with --weights "
                f"{shlex.quote(run)}. "
                f"Received: {run} with its {runs.MODEL}"
            )
        checkpoints.clean(own)
        state = checkpoints.newest(run)
        job = dataclasses.replace(_reopened(own, config, content), devices=devices)
        devices.check_batch(min(config.recipe.batch_size, len(job.train)))
        return _resume(job, state)


def _reopened(run: str, config: TrainConfig, content: dict[str, Any]) -> Job:
    """Reads the images of a run that goes on."""
    source = datasets.open_source(config.data)
    if list(source.class_names) != content.get("class_names"):
        raise ValueError(
            "a run must go on with the classes it began with; restore the data set. "
            f"Received: {len(source.class_names)} classes in {config.data.dataset}"
        )
    job = training.prepare(config, source, run)
    _check_same_images(job, content)
    _check_same_recipe(job, content)
    return job


def _resume(job: Job, state: checkpoints.State | None) -> training.TrainResult:
    model = compiled_model(job)
    job.devices.agree(training.facts(job, step=state.step if state else 0))
    model_labels.write(os.path.join(job.run, runs.LABELS), job.class_names)
    job = training.with_template(job)
    if state is not None:
        with files.naming(job.run), job.devices.scope():
            state.apply(model)
        say(f"going on after step {state.step}")
    else:
        transfer.start(model, job)
        training.set_first_weights(job, model)
    return training.fit_run(job, model, state)


def _check_same_images(job: Job, content: dict[str, Any]) -> None:
    for kind, split in (("train", job.train), ("val", job.validation)):
        begun = content.get(f"{kind}_images")
        if begun != len(split):
            difference = f"{len(split)} {kind}_images, {begun} before"
        elif content.get(f"{kind}_fingerprint") != split.fingerprint():
            difference = f"other {kind}_images of the same number"
        else:
            continue
        raise ValueError(
            "a run must go on with the images it began with; restore the data set. "
            f"Received: {difference}, in {job.config.data.dataset}"
        )


def _check_same_recipe(job: Job, content: dict[str, Any]) -> None:
    """An edited config.json would go on as no run that began with it."""
    begun, now = content.get("resolved") or {}, training.resolved_recipe(job)
    changed = [
        f"{key} {now[key]} for {begun.get(key)}" for key in now if now[key] != begun.get(key)
    ]
    if changed:
        raise ValueError(
            f"a run must go on with the recipe it began with; restore {runs.CONFIG} or start "
            f"again. Received: {', '.join(changed)}, in {job.run}"
        )
