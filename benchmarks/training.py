"""Images per second of train.py against keras.applications with a plain fit, taken in turn.

    python -m benchmarks.training --json training.json

Both train the same network on the same random images with as many
multiply-accumulates: train.py at 32x32 with its first strides dropped,
keras.applications, which cannot drop them, on the images enlarged to where
its count is the same; once as Keras compiles by default and once without XLA.
train.py augments and averages weights, the others do not. Only steps are timed:
what fit does before the first and after the last is left out, on either side.
Also measured: the input pipeline alone, and other batch sizes, of which the best
is compared, too.
"""

import argparse
import dataclasses
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks import report
from benchmarks.op_shares import op_shares
from mobilenet_tf import cli, layout
from mobilenet_tf.complexity import complexity
from mobilenet_tf.data import pipeline
from mobilenet_tf.data.datasets import DataConfig
from mobilenet_tf.data.store import ArrayImages, Split
from mobilenet_tf.engine import keras
from mobilenet_tf.job import Job, compiled_model
from mobilenet_tf.machine import describe_machine
from mobilenet_tf.progress import progress
from mobilenet_tf.recipe import Recipe, resolve
from mobilenet_tf.runs import NetworkConfig, TrainConfig

_SIDE, _CLASSES, _IMAGES = 32, 100, 4096
_APPLICATIONS = {
    "small": keras.applications.MobileNetV3Small,
    "large": keras.applications.MobileNetV3Large,
}
_OTHER_BATCHES = (32, 64, 128, 256, 512)
OURS = "train.py"
_WARM_UP_STEPS = 2


@dataclasses.dataclass(frozen=True)
class Loop:
    """A way to train, ready to go on.

    Attributes:
        name: what it is called in the table.
        macs: multiply-accumulates of an image, forward.
        batch_size: images of a step.
        train: takes that many further steps and returns the seconds that they took.
    """

    name: str
    macs: int
    batch_size: int
    train: Callable[[int], float]


def random_split(seed: int = 0) -> Split:
    """Images of noise in memory, as a small data set is."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (_IMAGES, _SIDE, _SIDE, 3), np.uint8)
    names = [str(i) for i in range(_IMAGES)]
    return Split(ArrayImages(pixels), rng.integers(0, _CLASSES, _IMAGES), names)


def job_of(split: Split, size: str, alpha: float, last_map: int, batch_size: int) -> Job:
    """What train.py would make of these options."""
    config = TrainConfig(
        NetworkConfig("v3", size, alpha=alpha, image_size=_SIDE, last_map=last_map),
        DataConfig("noise"),
        Recipe(batch_size=batch_size),
    )
    steps = pipeline.steps_per_epoch(split, batch_size)
    names = tuple(f"class {i}" for i in range(_CLASSES))
    return Job("", config, names, split, split, resolve(config.recipe, steps))


def batches_of(job: Job) -> tf.data.Dataset:
    """train.py's own input pipeline."""
    recipe = job.config.recipe
    return pipeline.training_batches(
        job.train, _CLASSES, recipe.batch_size, recipe.augmentation, job.config.seed
    )


def our_loop(job: Job) -> Loop:
    """train.py's network, optimizer and pipeline."""
    network, recipe = job.config.network, job.config.recipe
    strides = layout.strides_for(network.spec, _SIDE, network.last_map)
    macs = complexity(network.spec, network.alpha, _SIDE, _CLASSES, strides).macs
    return _loop(OURS, macs, recipe.batch_size, compiled_model(job), batches_of(job))


def plain_loop(job: Job, jit_compile: bool | str) -> Loop:
    """keras.applications and what its documentation does with it.

    Args:
        job: whose data, network and batch size it takes.
        jit_compile: as of `keras.Model.compile`; "auto" is its default.
    """
    network, batch_size = job.config.network, job.config.recipe.batch_size
    strides = layout.strides_for(network.spec, _SIDE, network.last_map)
    dropped = sum(a < b for a, b in zip(strides, layout.build_layout(network.spec, 1.0).strides))
    side = _SIDE * 2**dropped
    model = _APPLICATIONS[str(network.size)](
        (side, side, 3), network.alpha, weights=None, classes=_CLASSES
    )
    model.compile(
        optimizer="adam",
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=jit_compile,
    )
    pixels, labels = job.train.images.fetch(np.arange(_IMAGES)), job.train.labels
    batches = tf.data.Dataset.from_tensor_slices((pixels, labels)).shuffle(_IMAGES).repeat()
    batches = batches.batch(batch_size, drop_remainder=True).map(
        lambda images, classes: (tf.image.resize(images, (side, side)), classes),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    macs = complexity(network.spec, network.alpha, side, _CLASSES).macs
    name = "plain fit" if jit_compile == "auto" else "plain fit, jit_compile=False"
    return _loop(name, macs, batch_size, model, batches.prefetch(tf.data.AUTOTUNE))


def _loop(
    name: str, macs: int, batch_size: int, model: keras.Model, batches: tf.data.Dataset
) -> Loop:
    def train(steps: int) -> float:
        clock = _StepClock()
        model.fit(batches, steps_per_epoch=steps, verbose=0, shuffle=False, callbacks=[clock])
        return clock.seconds

    return Loop(name, macs, batch_size, train)


class _StepClock(keras.callbacks.Callback):
    """Seconds from the first step's beginning to the last one's end.

    With tf.data's tuner, fit may go on for seconds after its last step; see
    `data.pipeline`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seconds, self._start = 0.0, 0.0

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        """Remembers the first step's beginning."""
        if batch == 0:
            self._start = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Its logs are values, so the step is done."""
        self.seconds = time.perf_counter() - self._start


def in_turn(loops: list[Loop], seconds: float, rounds: int) -> Iterator[tuple[str, float]]:
    """Times loops in turn.

    Args:
        loops: with different names.
        seconds: that a turn takes, about.
        rounds: turns of each loop.

    Yields:
        A loop's name and the images per second of one turn.
    """
    steps = {}
    for loop in loops:
        loop.train(_WARM_UP_STEPS)  # Traces and compiles.
        step_s = loop.train(_WARM_UP_STEPS) / _WARM_UP_STEPS
        steps[loop.name] = max(1, round(seconds / step_s))
    for _ in range(rounds):
        for loop in loops:
            images = steps[loop.name] * loop.batch_size
            yield loop.name, images / loop.train(steps[loop.name])


def pipeline_images_per_s(job: Job, seconds: float) -> float:
    """How fast the input pipeline is where nothing else computes."""
    batches = iter(batches_of(job))
    next(batches)
    start, images = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        images += len(next(batches)[1])
    return images / (time.perf_counter() - start)


def compare(job: Job, seconds: float, rounds: int, label: str) -> dict[str, Any]:
    """train.py and keras.applications in turn, at one batch size.

    Returns:
        {"macs", "images_per_s": of each turn}, both by the loop's name.
    """
    loops = [our_loop(job), plain_loop(job, jit_compile="auto"), plain_loop(job, jit_compile=False)]
    turns = in_turn(loops, seconds, rounds)
    rates = list(progress(turns, len(loops) * rounds, label))
    return {
        "macs": {loop.name: loop.macs for loop in loops},
        "images_per_s": {
            loop.name: [round(rate, 1) for name, rate in rates if name == loop.name]
            for loop in loops
        },
    }


def measure(split: Split, size: str, options: argparse.Namespace) -> dict[str, Any]:
    """Everything about one network.

    Args:
        split: images to train on.
        size: "small" or "large".
        options: of the command line.

    Returns:
        A dict that JSON can hold: see docs/recipes.md.
    """

    def job_at(batch_size: int) -> Job:
        return job_of(split, size, options.alpha, options.last_map, batch_size)

    asked = options.batch_size
    by_batch = {str(asked): compare(job_at(asked), options.seconds, options.rounds, size)}
    found = {asked: statistics.median(by_batch[str(asked)]["images_per_s"][OURS])}
    for batch_size in set(_OTHER_BATCHES) - {asked}:
        ((_, found[batch_size]),) = in_turn([our_loop(job_at(batch_size))], options.seconds, 1)
    best = max(found, key=lambda batch_size: found[batch_size])
    if best != asked:
        label = f"{size}, batch {best}"
        by_batch[str(best)] = compare(job_at(best), options.seconds, options.rounds, label)
    row = {
        "network": f"v3-{size}",
        "alpha": options.alpha,
        "by_batch_size": by_batch,
        "batch_sizes_images_per_s": {str(key): round(found[key], 1) for key in sorted(found)},
        "pipeline_images_per_s": round(pipeline_images_per_s(job_at(asked), options.seconds), 1),
    }
    if options.profile:
        loops = [our_loop(job_at(asked)), plain_loop(job_at(asked), jit_compile=False)]
        for loop in loops:
            loop.train(_WARM_UP_STEPS)
        row["op_shares"] = {loop.name: op_shares(lambda: loop.train(3)) for loop in loops}
    return row


def _spread(values: list[float], digits: int) -> str:
    middle, low, high = statistics.median(values), min(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def _print_row(row: dict[str, Any]) -> None:
    print(f"{row['network']} alpha {row['alpha']:g}")
    for batch_size, compared in row["by_batch_size"].items():
        print(f"  batch {batch_size}")
        rates = compared["images_per_s"]
        for name, turns in rates.items():
            macs = compared["macs"][name] / 1e6
            line = f"    {name}: {_spread(turns, 0)} images/s, {macs:.2f} M MACs"
            if name != OURS:
                line += f"; ratio {_spread([a / b for a, b in zip(rates[OURS], turns)], 2)}"
            print(line)
    mine = statistics.median(next(iter(row["by_batch_size"].values()))["images_per_s"][OURS])
    print(f"  input pipeline alone: {row['pipeline_images_per_s'] / mine:.1f} times train.py")
    batches = row["batch_sizes_images_per_s"].items()
    print("  batch sizes: " + ", ".join(f"{key}: {rate:.0f}" for key, rate in batches))
    for name, shares in row.get("op_shares", {}).items():
        top = ", ".join(f"{op} {100 * share:.0f} %" for op, share in list(shares.items())[:8])
        print(f"  {name} spends: {top}")


@cli.exits
def main(argv: list[str] | None = None) -> int:
    """Measures and prints; returns the exit code."""
    parser = cli.parser(__doc__, prog="python -m benchmarks.training")
    parser.add_argument("--size", choices=("small", "large"), action="append", help="of V3 (both)")
    parser.add_argument("--alpha", type=cli.positive_float, default=1.0, help="width")
    parser.add_argument("--last-map", type=int, choices=layout.LAST_MAPS, default=2, help="side")
    parser.add_argument("--batch-size", type=cli.positive_int, default=128, help="images of a step")
    parser.add_argument("--rounds", type=cli.positive_int, default=5, help="turns of each loop")
    parser.add_argument("--seconds", type=cli.positive_float, default=8.0, help="of a turn")
    parser.add_argument("--profile", action="store_true", help="also say which operations take it")
    report.add_json_options(parser)
    args = parser.parse_args(argv)
    if args.json:
        report.check_json_path(args.json, args.overwrite)
    machine, split = describe_machine(), random_split()
    rows = []
    for size in args.size or ("small", "large"):
        rows.append(measure(split, size, args))
        _print_row(rows[-1])
    if args.json:
        report.write_json(args.json, {"rows": rows, "machine": machine}, args.overwrite)
    return 0


if __name__ == "__main__":
    sys.exit(main())
