"""Trains a MobileNet on a folder of labelled images or a TFDS data set."""

import argparse
import dataclasses
import os
import sys
from collections.abc import Iterable

from mobilenet_tf import cli, cluster, legacy
from mobilenet_tf.data.datasets import DataConfig

_FINE_TUNING = ("quantization_aware", "prune", "cluster")
_FINE_TUNING_DATA = ("train_split", "val_split", "data_dir")
_FINE_TUNING_OPTIONS = (
    *(
        "strategy",
        "weights",
        "seed",
        "output_dir",
        "tensorboard",
        "epochs",
        "batch_size",
        "optimizer",
    ),
    *("learning_rate", "schedule", "warmup_epochs", "label_smoothing", "augmentation"),
    *_FINE_TUNING_DATA,
)


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Parses the command line; exits with 2 on wrong usage."""
    parser = cli.parser(__doc__, prog="train.py")
    cli.add_network_options(parser)
    parser.add_argument(
        "--image-size",
        type=cli.image_size,
        metavar="PIXELS",
        help="side of the square input (default: the data set's own, at most 224)",
    )
    _add_data_options(parser.add_argument_group("data"))
    _add_recipe_options(parser.add_argument_group("recipe"))
    run = parser.add_argument_group("run")
    run.add_argument("--weights", metavar="PATH", help="a run, .keras or .h5 to start from")
    run.add_argument(
        "--freeze-backbone", action="store_true", help="train the classifier only (with --weights)"
    )
    _add_teacher_options(parser.add_argument_group("teacher"))
    run.add_argument(
        "--quantization-aware",
        action="store_true",
        help="fine-tune the float run of --weights as its int8 file will compute",
    )
    run.add_argument(
        "--prune",
        type=cli.fraction,
        metavar="PART",
        help="fine-tune the run of --weights with this part of its weights 0; smaller when zipped",
    )
    run.add_argument(
        "--cluster",
        type=cli.several,
        metavar="N",
        help="fine-tune the run of --weights with N different weights per layer",
    )
    run.add_argument("--seed", type=cli.whole_number, default=0, help="of everything random")
    run.add_argument("--output-dir", metavar="DIR", help="new run folder (default: in runs/)")
    run.add_argument("--tensorboard", action="store_true", help="write event files for TensorBoard")
    run.add_argument(
        "--resume",
        nargs="?",
        const="",
        metavar="RUN",
        help="go on with an interrupted run (default: the newest) from its last checkpoint",
    )
    run.add_argument(
        "--strategy",
        choices=cluster.STRATEGIES,
        default="auto",
        help="mirrored: all GPUs of this machine; multi_worker: all processes of TF_CONFIG or "
        "srun; auto: multi_worker where there are several, else none; see docs/distributed.md",
    )
    run.add_argument(
        "--go-on",
        action="store_true",
        help="go on with the run in --output-dir where there is one, else start it",
    )
    args = parser.parse_args(argv)
    given = _given(parser, argv, vars(args))
    ways = [way for way in _FINE_TUNING if way in given]
    if args.resume is not None:
        _refuse(parser, given, ["resume", "strategy"], "--resume takes its settings from the run")
    elif len(ways) > 1:
        parser.error(f"one of {_options(_FINE_TUNING)} at a time. Received: {_options(ways)}")
    elif ways:
        rule = f"{_options(ways)} takes network and data from the run of --weights"
        _refuse(parser, given, [*_FINE_TUNING_OPTIONS, *ways], rule)
        if not args.weights:
            parser.error(f"{_options(ways)} needs --weights: a finished float run")
    elif not args.teacher and {"teacher_temperature", "teacher_weight"} & set(given):
        parser.error("--teacher-temperature and --teacher-weight need --teacher")
    elif args.freeze_backbone and not args.weights:
        parser.error("--freeze-backbone needs --weights: random features classify nothing")
    elif args.go_on and not args.output_dir:
        parser.error("--go-on needs --output-dir: the run to go on with or to start")
    return args


def _given(
    parser: argparse.ArgumentParser, argv: list[str] | None, keys: Iterable[str]
) -> list[str]:
    """Options on the command line, also those with their default's value."""
    absent = object()
    parser.set_defaults(**dict.fromkeys(keys, absent))
    return [key for key, value in vars(parser.parse_args(argv)).items() if value is not absent]


def _options(keys: Iterable[str]) -> str:
    return ", ".join("--" + key.replace("_", "-") for key in keys)


def _refuse(
    parser: argparse.ArgumentParser, given: list[str], allowed: list[str], rule: str
) -> None:
    wrong = [key for key in given if key not in allowed]
    if wrong:
        parser.error(f"{rule}; leave out {_options(wrong)}")


def _add_data_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--dataset",
        default="cifar10",
        metavar="NAME|DIR",
        help="a TFDS data set, the built-in `shapes`, or a folder with a subfolder per class",
    )
    group.add_argument("--val-dataset", metavar="DIR", help="a folder to validate on")
    group.add_argument(
        "--val-fraction", type=cli.fraction, default=0.2, help="of a folder held out to validate"
    )
    group.add_argument("--train-split", metavar="SPLIT", help="TFDS split, such as train[:90%%]")
    group.add_argument("--val-split", metavar="SPLIT", help="TFDS split, such as train[90%%:]")
    group.add_argument("--data-dir", metavar="DIR", help="where TFDS keeps its data sets")
    group.add_argument(
        "--skip-bad-images", action="store_true", help="leave out unreadable images and go on"
    )


def _add_teacher_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--teacher", metavar="PATH", help="a run or .keras of the same classes to learn from"
    )
    group.add_argument(
        "--teacher-temperature",
        type=cli.positive_float,
        metavar="T",
        help="softens both networks' probabilities (default: 4)",
    )
    group.add_argument(
        "--teacher-weight",
        type=cli.share,
        metavar="PART",
        help="of the teacher in the loss; the labels have the rest (default: 0.9)",
    )


def _add_recipe_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--epochs",
        type=cli.positive_int,
        metavar="N",
        help="passes (default: 20; 2 to fine-tune)",
    )
    group.add_argument(
        "--batch-size", type=cli.positive_int, default=128, metavar="N", help="images of a step"
    )
    group.add_argument(
        "--optimizer", choices=("adamw", "sgd", "rmsprop"), default="adamw", help="see docs"
    )
    group.add_argument(
        "--learning-rate",
        type=cli.positive_float,
        metavar="RATE",
        help="at its peak (default: by optimizer and batch size; adamw 0.002 at 128; "
        "to fine-tune 0.0001)",
    )
    group.add_argument(
        "--schedule",
        choices=("cosine", "step", "exponential", "constant"),
        default="cosine",
        help="of the learning rate",
    )
    group.add_argument(
        "--warmup-epochs",
        type=cli.non_negative_float,
        metavar="N",
        help="(default: a tenth of the epochs, at most 5)",
    )
    group.add_argument(
        "--weight-decay",
        type=cli.non_negative_float,
        metavar="RATE",
        help="not on BatchNorm, biases and depthwise kernels (default: by optimizer; adamw 0.05)",
    )
    group.add_argument(
        "--label-smoothing", type=cli.fraction, default=0.1, metavar="PART", help="from 0"
    )
    group.add_argument(
        "--augmentation",
        choices=("none", "light", "strong"),
        default="light",
        help="light: mirroring and shifts; strong: much more, for long runs",
    )
    group.add_argument(
        "--dropout-rate", type=cli.fraction, metavar="RATE", help="(default: the network's own)"
    )
    group.add_argument(
        "--bn-momentum", type=cli.fraction, metavar="RATE", help="(default: by number of steps)"
    )
    group.add_argument(
        "--no-ema", action="store_true", help="ship the last weights, not their moving average"
    )


@cli.exits
def main(argv: list[str] | None = None) -> int:
    """Trains; returns the exit code."""
    args = parse_args(argv)
    choice = _choice(args)
    if args.quantization_aware or args.prune is not None or args.cluster is not None:
        return _fine_tune(args) if legacy.is_chosen() else legacy.run_again(__file__, argv)
    if args.resume is None:
        cli.spec_from(args)
    if choice.strategy != "none" and not legacy.is_chosen():
        legacy.replace_process(__file__, argv)
    from mobilenet_tf import strategies  # Keras: slow to import, not for --help.

    run = args.resume or args.output_dir
    with strategies.only_the_chief_talks(choice), strategies.naming_losses(choice, run):
        return _train(args, choice)


def _choice(args: argparse.Namespace) -> cluster.Choice:
    """How the training is spread; errors before anything slow is imported."""
    choice = cluster.choose(args.strategy, os.environ)
    if choice.strategy == "none":
        return choice
    if args.quantization_aware or args.prune is not None or args.cluster is not None:
        raise cli.UsageError(
            f"{_options(_FINE_TUNING)} train in one process; pass --strategy none. "
            f"Received: {choice.strategy}"
        )
    if choice.strategy == "multi_worker" and not (args.resume or args.output_dir):
        raise cli.UsageError(
            "several workers need --output-dir or --resume with a folder that all of them see. "
            "Received: neither"
        )
    return choice


def _train(args: argparse.Namespace, choice: cluster.Choice) -> int:
    from mobilenet_tf import runs, strategies, training

    begun = args.go_on and os.path.isfile(os.path.join(args.output_dir, runs.CONFIG))
    if begun:
        _check_same(args)
    if begun and os.path.isfile(os.path.join(args.output_dir, runs.MODEL)):
        print(f"run: {args.output_dir}, which has ended already")
        return 0
    devices = strategies.open_devices(choice)
    if args.resume is not None:
        run = args.resume or runs.newest_run("runs", runs.CONFIG)
        result = training.resume(run, devices)
    elif begun:
        result = training.resume(args.output_dir, devices)
    else:
        result = training.train(_config(args), devices)
    print(f"run: {result.run}")
    print(f"validation accuracy: {100 * result.val_accuracy:.2f} % (model.keras, last epoch)")
    print(f"best epoch: {result.best_epoch}, {100 * result.best_val_accuracy:.2f} % (best.keras)")
    print(f"curves: {os.path.join(result.run, runs.CURVES)}")
    print(f"next: python convert_tflite.py --quantize int8 --model {result.run}")
    return 0


def _check_same(args: argparse.Namespace) -> None:
    """Raises `ValueError` where the run of --output-dir was started with other settings."""
    from mobilenet_tf import runs

    begun, _ = runs.read_config(args.output_dir)
    asked = _config(args)
    if asked.network.image_size is None:
        network = dataclasses.replace(asked.network, image_size=begun.network.image_size)
        asked = dataclasses.replace(asked, network=network)
    if dataclasses.replace(begun, output_dir=args.output_dir) != asked:
        raise ValueError(
            "--go-on takes the options that the run was started with; choose another --output-dir "
            f"for others. Received: {args.output_dir}"
        )


def _fine_tune(args: argparse.Namespace) -> int:
    config = _fine_tuning_config(args)
    if args.quantization_aware:
        from export import qat

        result = qat.train(config)
        print(f"run: {result.run}")
        print(f"validation accuracy: {100 * result.val_accuracy:.2f} % (as it rounds)")
        print(
            f"its int8 file: {100 * result.file_accuracy:.2f} %, the same class for "
            f"{100 * result.agreement:.2f} % of the images, "
            f"XNNPACK partitions: {result.partitions}"
        )
        run = result.run
    else:
        from mobilenet_tf import compression

        compressed = compression.train(config)
        print(f"run: {compressed.run}")
        print(f"validation accuracy: {100 * compressed.val_accuracy:.2f} % (model.keras)")
        run = compressed.run
    print(f"next: python convert_tflite.py --quantize int8 --model {run}")
    return 0


def _fine_tuning_config(args: argparse.Namespace):
    from mobilenet_tf import fine_tuning, recipe

    settings = recipe.Recipe(
        epochs=args.epochs or fine_tuning.EPOCHS,
        batch_size=args.batch_size,
        optimizer=args.optimizer,
        learning_rate=args.learning_rate or fine_tuning.LEARNING_RATE,
        schedule=args.schedule,
        warmup_epochs=args.warmup_epochs,
        weight_decay=0.0,
        label_smoothing=args.label_smoothing,
        augmentation=args.augmentation,
        ema=False,
    )
    changes = {
        "seed": args.seed,
        "output_dir": args.output_dir,
        "tensorboard": args.tensorboard,
        "quantization_aware": args.quantization_aware,
        "sparsity": args.prune,
        "clusters": args.cluster,
    }
    config = fine_tuning.config_from(args.weights, settings, changes)
    given = {key: getattr(args, key) for key in _FINE_TUNING_DATA if getattr(args, key) is not None}
    return dataclasses.replace(config, data=dataclasses.replace(config.data, **given))


def _config(args: argparse.Namespace):
    from mobilenet_tf import recipe, runs

    return runs.TrainConfig(
        network=runs.network_config(args),
        data=DataConfig(
            dataset=args.dataset,
            val_dataset=args.val_dataset,
            train_split=args.train_split,
            val_split=args.val_split,
            val_fraction=args.val_fraction,
            data_dir=args.data_dir,
            seed=args.seed,
            skip_bad_images=args.skip_bad_images,
        ),
        recipe=recipe.Recipe(
            epochs=args.epochs or 20,
            batch_size=args.batch_size,
            optimizer=args.optimizer,
            learning_rate=args.learning_rate,
            schedule=args.schedule,
            warmup_epochs=args.warmup_epochs,
            weight_decay=args.weight_decay,
            label_smoothing=args.label_smoothing,
            augmentation=args.augmentation,
            ema=not args.no_ema,
            bn_momentum=args.bn_momentum,
            dropout_rate=args.dropout_rate,
        ),
        weights=args.weights,
        freeze_backbone=args.freeze_backbone,
        seed=args.seed,
        output_dir=args.output_dir,
        tensorboard=args.tensorboard,
        teacher=_teacher(args),
    )


def _teacher(args: argparse.Namespace):
    from mobilenet_tf.runs import TeacherConfig

    if not args.teacher:
        return None
    given = {"temperature": args.teacher_temperature, "weight": args.teacher_weight}
    return TeacherConfig(args.teacher, **{k: v for k, v in given.items() if v is not None})


if __name__ == "__main__":
    sys.exit(main())
