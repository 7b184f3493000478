"""Kills a training again and again, and compares its end with that of one left alone.

    python -m benchmarks.resume --kills 200 --json resume.json

The training is a small V1 on noise, with dropout, augmentation and averaged
weights, that saves after every step. Each life of it ends by SIGKILL, a random
time after a random number of checkpoints: within a step, a validation, the
writing of a checkpoint, or before the first of them. Linux and macOS.
"""

import argparse
import dataclasses
import os
import signal
import sys
import tempfile
import time
from typing import Any

import numpy as np
from PIL import Image

from benchmarks import report
from mobilenet_tf import checkpoints, cli, curves, files, recorder, resuming, runs, training
from mobilenet_tf.data.datasets import DataConfig
from mobilenet_tf.engine import keras, to_numpy
from mobilenet_tf.machine import describe_machine
from mobilenet_tf.progress import progress
from mobilenet_tf.recipe import Recipe
from mobilenet_tf.runs import NetworkConfig, TrainConfig

_SIDE, _CLASSES, _IMAGES = 32, 3, 30  # Images of a class, a fifth to validate.
_BATCH, _STEPS = 8, 9  # Steps of an epoch.
_LONGEST_DELAY_S = 0.15  # A step, a save and a validation take less.
_START_S = 4.0  # Every eighth life ends within this time, mostly before its first step.
_POLL_S = 0.002


@dataclasses.dataclass(frozen=True)
class Life:
    """A process that trained until it was killed or had done its work.

    Attributes:
        first_step, last_step: of its checkpoints; None for none.
        ended: it came to the end of the run by itself.
        leftovers: files that it was writing when it died.
        error: the last line of its log, where it failed by itself.
    """

    first_step: int | None
    last_step: int | None
    ended: bool
    leftovers: int
    error: str | None = None


def make_images(folder: str, seed: int) -> None:
    """Writes images of noise, each class around a colour of its own."""
    rng = np.random.default_rng(seed)
    for k in range(_CLASSES):
        os.makedirs(os.path.join(folder, f"class {k}"))
        for i in range(_IMAGES):
            pixels = rng.integers(0, 160, (_SIDE, _SIDE, 3)) + 60 * (np.arange(3) == k)
            path = os.path.join(folder, f"class {k}", f"{i:03d}.png")
            Image.fromarray(pixels.astype(np.uint8)).save(path)


def config_of(dataset: str, run: str, epochs: int, seed: int) -> TrainConfig:
    """The training that is killed."""
    recipe = Recipe(epochs, _BATCH, learning_rate=1e-3, dropout_rate=0.2)
    network = NetworkConfig("v1", alpha=0.25, image_size=_SIDE)
    return TrainConfig(network, DataConfig(dataset), recipe, seed=seed, output_dir=run)


def _start(config: TrainConfig, log: str) -> int:
    """Trains in a process of its own, which has TensorFlow imported already."""
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        with open(log, "a", encoding="utf-8") as file:
            os.dup2(file.fileno(), sys.stdout.fileno())
            os.dup2(file.fileno(), sys.stderr.fileno())
        recorder.SAVE_SECONDS, recorder.SAVE_SHARE = 0.0, 1e9  # After every step.
        run = str(config.output_dir)
        begun = os.path.isfile(os.path.join(run, runs.CONFIG))
        code = cli.exits(lambda _: _train(config, run if begun else None))(None)
    finally:
        os._exit(code)


def _train(config: TrainConfig, run: str | None) -> int:
    training.train(config) if run is None else resuming.resume(run)
    return 0


def live(config: TrainConfig, log: str, steps: int | None, delay_s: float) -> Life:
    """Starts or goes on with the training and kills it.

    Args:
        config: with a run folder.
        log: file that its output is added to.
        steps: training steps to let it do; None for no limit.
        delay_s: to wait after them before it is killed.

    Returns:
        What became of it.
    """
    run = str(config.output_dir)
    first = _last_step(run)
    goal = None if steps is None else (first or 0) + steps
    process, deadline, ended = _start(config, log), None, False
    if steps == 0:
        deadline = time.monotonic() + delay_s
    while True:
        ended, status = _has_ended(process)
        if ended:
            break
        now = time.monotonic()
        if deadline is None and goal is not None and (_last_step(run) or 0) >= goal:
            deadline = now + delay_s
        if deadline is not None and now >= deadline:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            break
        time.sleep(_POLL_S)
    error = _last_line(log) if ended and status else None
    return Life(first, _last_step(run), ended, _leftovers(run), error)


def _has_ended(process: int) -> tuple[bool, int]:
    pid, status = os.waitpid(process, os.WNOHANG)
    return pid != 0, status


def _last_step(run: str) -> int | None:
    paths = checkpoints.paths(run)
    return paths[0][0] if paths else None


def _leftovers(run: str) -> int:
    return sum(files.is_leftover(name) for _, _, names in os.walk(run) for name in names)


def _last_line(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read().strip().splitlines()[-1]


def experiment(kills: int, seed: int) -> dict[str, Any]:
    """Trains once without and once with kills.

    Args:
        kills: how many.
        seed: of when they come.

    Returns:
        What is stored: settings, the lives' counts, and whether all arrays of
        both final models and both histories are equal.

    Raises:
        WorkError: a life failed by itself.
    """
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        images, log = os.path.join(folder, "images"), os.path.join(folder, "log")
        make_images(images, seed)
        names = ("alone", "killed")
        alone, killed = (
            config_of(images, os.path.join(folder, name), kills + 2, seed) for name in names
        )
        lives = [_checked(live(alone, log, None, 0.0))]
        for number in progress(range(kills), kills, "kills"):
            early = number % 8 == 7
            steps = 0 if early else int(rng.integers(1, 2 * _STEPS - 2))
            delay_s = rng.uniform(0, _START_S if early else _LONGEST_DELAY_S)
            lives.append(_checked(live(killed, log, steps, delay_s)))
            if lives[-1].ended:
                break
        if not lives[-1].ended:
            lives.append(_checked(live(killed, log, None, 0.0)))
        return _summary(lives[1:], *(str(config.output_dir) for config in (alone, killed)))


def _checked(life: Life) -> Life:
    if life.error:
        raise cli.WorkError(f"the training must not fail by itself. Received: {life.error}")
    return life


def _summary(lives: list[Life], alone: str, killed: str) -> dict[str, Any]:
    resumed = [life for life in lives[1:] if life.first_step is not None]
    mid_epoch = sum((life.first_step or 0) % _STEPS != 0 for life in resumed)
    return {
        "kills": sum(not life.ended for life in lives),
        "killed_while_writing": sum(life.leftovers > 0 for life in lives),
        "killed_before_their_first_step": sum(
            not life.ended and life.first_step == life.last_step for life in lives
        ),
        "gone_on_within_an_epoch": mid_epoch,
        "different_arrays": different_arrays(alone, killed),
        "same_history": history_of(alone) == history_of(killed),
    }


def different_arrays(one: str, other: str) -> list[str]:
    """Weights of two runs' models that differ in any bit, of both .keras files."""
    different = []
    for name in (runs.MODEL, runs.BEST):
        mine, theirs = (keras.models.load_model(os.path.join(run, name)) for run in (one, other))
        for a, b in zip(mine.weights, theirs.weights, strict=True):
            if not np.array_equal(to_numpy(a), to_numpy(b)):
                different.append(f"{name}: {a.path}")
    return different


def history_of(run: str) -> list[dict[str, float]]:
    """The run's epochs without the time they took."""
    history = curves.read_history(os.path.join(run, runs.HISTORY))
    return [{key: value for key, value in row.items() if key != "seconds"} for row in history]


@cli.exits
def main(argv: list[str] | None = None) -> int:
    """Runs the experiment; 1 where the two ends differ."""
    parser = cli.parser(__doc__, prog="python -m benchmarks.resume")
    parser.add_argument("--kills", type=cli.positive_int, default=20, help="how often")
    parser.add_argument("--seed", type=cli.whole_number, default=0, help="of when")
    report.add_json_options(parser)
    args: argparse.Namespace = parser.parse_args(argv)
    if args.json:
        report.check_json_path(args.json, args.overwrite)
    result = experiment(args.kills, args.seed)
    for key, value in result.items():
        print(f"{key.replace('_', ' ')}: {value}")
    if args.json:
        content = {"seed": args.seed, **result, "machine": describe_machine()}
        report.write_json(args.json, content, args.overwrite)
    return 0 if not result["different_arrays"] and result["same_history"] else 1


if __name__ == "__main__":
    sys.exit(main())
