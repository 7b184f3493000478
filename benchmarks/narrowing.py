"""Slices a run's network to a smaller alpha, and says what each choice of channels keeps.

python -m benchmarks.narrowing RUN --alpha 0.25 --output OUT.json
"""

import argparse
import dataclasses
import os
import sys
from typing import Any

from benchmarks.report import add_output_options
from mobilenet_tf import cli, files, narrowing, runs, training, transfer, weights
from mobilenet_tf.data import datasets, pipeline
from mobilenet_tf.job import Job, compiled_model
from mobilenet_tf.machine import describe_machine

CHOICES = {"first": narrowing.first_channels, "norm": narrowing.norm_importance}


def measure(job: Job, run: str) -> list[dict[str, Any]]:
    """Accuracy of the sliced networks, before and after a short training.

    Args:
        job: of the narrow network; its learning rate stays constant.
        run: of the wide one.

    Returns:
        {"choice", "sliced": layers, "top1": on the whole validation split, 0..1, as
        sliced, "top1_statistics": with BatchNorm's statistics estimated again,
        "top1_trained": after the recipe's epochs}.
    """
    recipe, classes = job.config.recipe, len(job.class_names)
    validation = pipeline.evaluation_batches(job.validation, classes, recipe.batch_size)
    rows = []
    for name, importance in CHOICES.items():
        model = compiled_model(job)
        arrays = weights.read_weights(os.path.join(run, runs.MODEL), model)
        narrow, sliced = narrowing.narrowed(model, arrays, importance)
        report = weights.assign_weights(model, narrow)
        if report.left or not sliced:
            raise ValueError(
                "the run must be wider than --alpha and of as many classes; name another. "
                f"Received: {run}, {len(sliced)} layers sliced, {len(report.left)} left"
            )
        row: dict[str, Any] = {"choice": name, "sliced": len(sliced)}
        row["top1"] = model.evaluate(validation, verbose=0)[1]
        transfer.estimate_statistics(model, job)
        row["top1_statistics"] = model.evaluate(validation, verbose=0)[1]
        batches = pipeline.training_batches(
            job.train, classes, recipe.batch_size, recipe.augmentation, job.config.seed
        )
        steps = job.resolved.steps_per_epoch
        model.fit(batches, steps_per_epoch=steps, epochs=recipe.epochs, shuffle=False, verbose=0)
        row["top1_trained"] = model.evaluate(validation, verbose=0)[1]
        rows.append(row)
    return rows


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Parses the command line; exits with 2 on wrong usage."""
    parser = cli.parser(__doc__, prog="python -m benchmarks.narrowing")
    parser.add_argument("run", metavar="RUN", help="a finished run")
    parser.add_argument("--alpha", type=cli.positive_float, required=True, help="to slice to")
    parser.add_argument("--epochs", type=cli.positive_int, default=2, metavar="N", help="to train")
    parser.add_argument(
        "--learning-rate", type=cli.positive_float, default=5e-4, metavar="RATE", help="constant"
    )
    add_output_options(parser)
    return parser.parse_args(argv)


@cli.exits
def main(argv: list[str] | None = None) -> int:
    """Measures; returns the exit code."""
    args = parse_args(argv)
    if args.output:
        files.refuse_existing(args.output, args.overwrite)
    config, _ = runs.read_config(args.run)
    wide = config.network.file_name
    network = dataclasses.replace(config.network, alpha=args.alpha)
    recipe = dataclasses.replace(
        config.recipe, epochs=args.epochs, learning_rate=args.learning_rate
    )
    config = dataclasses.replace(config, network=network, recipe=recipe, weights=args.run)
    config = dataclasses.replace(config, teacher=None, freeze_backbone=False)
    job = training.prepare(config, datasets.open_source(config.data), run="")
    rows = measure(job, args.run)
    for row in rows:
        print(
            f"{row['choice']}: {row['sliced']} layers sliced, top-1 {100 * row['top1']:.2f} %, "
            f"with new statistics {100 * row['top1_statistics']:.2f} %, "
            f"after {args.epochs} epochs {100 * row['top1_trained']:.2f} %"
        )
    if args.output:
        content = {"machine": describe_machine(), "wide": wide, "narrow": network.file_name}
        details = {"images": len(job.validation), "recipe": dataclasses.asdict(recipe)}
        files.write_json(args.output, content | details | {"rows": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
