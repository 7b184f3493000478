"""Compares a network that learns from a teacher with the same one that learns from labels only.

python -m benchmarks.distillation --version v3 --alpha 0.25 --teacher RUN --dataset DIR \\
    --runs DIR --output OUT.json
"""

import argparse
import dataclasses
import os
import sys
from typing import Any

from benchmarks import transfer
from mobilenet_tf import cli, distillation
from mobilenet_tf.runs import TeacherConfig, TrainConfig

_NAMES = ("labels_only", "taught")


def compare(config: TrainConfig, teacher: TeacherConfig, folder: str) -> dict[str, Any]:
    """Trains with and without a teacher.

    Args:
        config: of both runs.
        teacher: of one of them.
        folder: for the run folders.

    Returns:
        {"seed", "labels_only", "taught"}, the last two of `transfer.timed_run`.
    """

    def run(name: str, taught_by: TeacherConfig | None) -> dict[str, Any]:
        output_dir = transfer.run_folder(folder, name, config.seed)
        return transfer.timed_run(
            dataclasses.replace(config, teacher=taught_by, output_dir=output_dir)
        )

    teachers = dict(zip(_NAMES, (None, teacher), strict=True))
    return {"seed": config.seed} | {name: run(name, by) for name, by in teachers.items()}


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Parses the command line; exits with 2 on wrong usage."""
    parser = cli.parser(__doc__, prog="python -m benchmarks.distillation")
    cli.add_network_options(parser)
    parser.add_argument("--teacher", required=True, metavar="PATH", help="a run or a .keras file")
    parser.add_argument(
        "--teacher-temperature", type=cli.positive_float, default=TeacherConfig.temperature
    )
    parser.add_argument("--teacher-weight", type=cli.share, default=TeacherConfig.weight)
    transfer.add_run_options(parser, epochs=12)
    return parser.parse_args(argv)


@cli.exits
def main(argv: list[str] | None = None) -> int:
    """Measures; returns the exit code."""
    args = parse_args(argv)
    cli.spec_from(args)
    distillation.model_path(args.teacher)  # Not after the first training.
    transfer.make_runs_folder(args, _NAMES)
    teacher = TeacherConfig(args.teacher, args.teacher_temperature, args.teacher_weight)
    settings = {
        "teacher": os.path.basename(os.path.normpath(args.teacher)),
        "temperature": teacher.temperature,
        "weight": teacher.weight,
    }
    rows: list[dict[str, Any]] = []
    for seed in args.seeds:
        config = transfer.config_of(args, seed)
        rows.append(compare(config, teacher, args.runs))
        transfer.write(args.output, config, settings, rows)
        for name in _NAMES:
            run = rows[-1][name]
            print(f"seed {seed}, {name}: {run['epochs']} epochs, top-1 {100 * run['top1']:.2f} %")
    return 0


if __name__ == "__main__":
    sys.exit(main())
