"""Compares training from published weights with training from scratch, for as many epochs.

python -m benchmarks.transfer --version v2 --alpha 0.35 --weights FILE.h5 --dataset DIR \\
    --runs DIR --output OUT.json
"""

import argparse
import dataclasses
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

from mobilenet_tf import cli, files, runs, training
from mobilenet_tf.data.datasets import DataConfig
from mobilenet_tf.machine import describe_machine
from mobilenet_tf.recipe import Recipe
from mobilenet_tf.runs import TrainConfig

_NAMES = ("frozen", "fine_tuned", "from_scratch")


def timed_run(config: TrainConfig) -> dict[str, Any]:
    """Trains a run.

    Returns:
        {"run": its folder's name, "top1": of model.keras on the whole validation
        split, 0..1, "epochs", "seconds": passed, and "cpu_seconds": of all
        cores together, both with compiling, evaluating and saving}.
    """
    start, cpu_start = time.monotonic(), time.process_time()
    result = training.train(config)
    return {
        "run": os.path.basename(result.run),
        "top1": result.val_accuracy,
        "epochs": config.recipe.epochs,
        "seconds": round(time.monotonic() - start, 1),
        "cpu_seconds": round(time.process_time() - cpu_start, 1),
    }


def compare(config: TrainConfig, frozen_epochs: int, rate: float, folder: str) -> dict[str, Any]:
    """Trains from `config.weights`, first the classifier and then all, and from scratch.

    Args:
        config: of all three runs, with all epochs.
        frozen_epochs: how many of them train the classifier only.
        rate: peak learning rate of the rest.
        folder: for the run folders.

    Returns:
        {"seed", "frozen", "fine_tuned", "from_scratch"}, the last three of `timed_run`.
    """
    recipe = config.recipe
    frozen, fine_tuned, scratch = (run_folder(folder, name, config.seed) for name in _NAMES)
    first = dataclasses.replace(
        config,
        recipe=dataclasses.replace(recipe, epochs=frozen_epochs),
        freeze_backbone=True,
        output_dir=frozen,
    )
    second = dataclasses.replace(
        config,
        recipe=dataclasses.replace(
            recipe, epochs=recipe.epochs - frozen_epochs, learning_rate=rate
        ),
        weights=frozen,
        output_dir=fine_tuned,
    )
    third = dataclasses.replace(config, weights=None, output_dir=scratch)
    steps = zip(_NAMES, (first, second, third), strict=True)
    return {"seed": config.seed} | {name: timed_run(step) for name, step in steps}


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Parses the command line; exits with 2 on wrong usage."""
    parser = cli.parser(__doc__, prog="python -m benchmarks.transfer")
    cli.add_network_options(parser)
    parser.add_argument("--weights", required=True, metavar="PATH", help="to start from")
    add_run_options(parser, epochs=10)
    parser.add_argument(
        "--frozen-epochs", type=cli.positive_int, default=3, metavar="N", help="of --epochs"
    )
    parser.add_argument(
        "--fine-tuning-rate", type=cli.positive_float, default=5e-4, metavar="RATE", help="peak"
    )
    args = parser.parse_args(argv)
    if args.frozen_epochs >= args.epochs:
        parser.error(f"--frozen-epochs must be below --epochs. Received: {args.frozen_epochs}")
    return args


def add_run_options(parser: argparse.ArgumentParser, epochs: int) -> None:
    """Adds what comparisons of runs share."""
    parser.add_argument("--dataset", required=True, metavar="NAME|DIR", help="see train.py")
    parser.add_argument("--image-size", type=cli.image_size, default=96, metavar="PIXELS")
    parser.add_argument("--epochs", type=cli.positive_int, default=epochs, metavar="N")
    parser.add_argument("--batch-size", type=cli.positive_int, default=64, metavar="N")
    parser.add_argument("--seeds", type=cli.whole_number, nargs="+", default=[0], metavar="N")
    parser.add_argument("--runs", required=True, metavar="DIR", help="for the run folders")
    parser.add_argument("--output", required=True, metavar="OUT.json", help="for the figures")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing --output")


def make_runs_folder(args: argparse.Namespace, folders: Sequence[str]) -> None:
    """Makes --runs and refuses what is there already, before the first training.

    Args:
        args: of `add_run_options`.
        folders: names in --runs that the seeds' numbers complete, see `run_folder`.

    Raises:
        ValueError: a run folder or --output that exists.
    """
    files.refuse_existing(args.output, args.overwrite)
    for path in (run_folder(args.runs, name, seed) for seed in args.seeds for name in folders):
        if os.path.lexists(path):
            raise ValueError(f"runs need new folders; choose another --runs. Received: {path}")
    os.makedirs(args.runs, exist_ok=True)


def run_folder(runs_folder: str, name: str, seed: int) -> str:
    """Where one of the compared runs goes."""
    return os.path.join(runs_folder, f"{name}_{seed}")


def config_of(args: argparse.Namespace, seed: int) -> TrainConfig:
    """The config of options of `add_run_options`."""
    return TrainConfig(
        network=runs.network_config(args),
        data=DataConfig(args.dataset),
        recipe=Recipe(epochs=args.epochs, batch_size=args.batch_size),
        seed=seed,
    )


def write(path: str, config: TrainConfig, settings: dict[str, Any], rows: list[Any]) -> None:
    """Writes what was measured so far; folders are named without their place."""
    content = {
        "machine": describe_machine(),
        "versions": runs.package_versions(),
        "network": config.network.file_name,
        "dataset": os.path.basename(os.path.normpath(config.data.dataset)),
        "recipe": dataclasses.asdict(config.recipe),
        **settings,
        "rows": rows,
    }
    files.write_json(path, content)


@cli.exits
def main(argv: list[str] | None = None) -> int:
    """Measures; returns the exit code."""
    args = parse_args(argv)
    cli.spec_from(args)
    make_runs_folder(args, _NAMES)
    settings = {
        "weights": os.path.basename(os.path.normpath(args.weights)),
        "frozen_epochs": args.frozen_epochs,
        "fine_tuning_rate": args.fine_tuning_rate,
    }
    rows: list[dict[str, Any]] = []
    for seed in args.seeds:
        config = dataclasses.replace(config_of(args, seed), weights=args.weights)
        rows.append(compare(config, args.frozen_epochs, args.fine_tuning_rate, args.runs))
        write(args.output, config, settings, rows)
        for name in _NAMES:
            run = rows[-1][name]
            print(
                f"seed {seed}, {name}: {run['epochs']} epochs, top-1 {100 * run['top1']:.2f} %, "
                f"{run['cpu_seconds'] / 60:.1f} minutes of one core"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
