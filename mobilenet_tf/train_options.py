"""The options of train.py, and which of them go together."""

import argparse
from collections.abc import Iterable

from mobilenet_tf import cli, cluster

EPOCHS, FINE_TUNING_EPOCHS = 20, 2
FINE_TUNING = ("quantization_aware", "prune", "cluster")
FINE_TUNING_DATA = ("train_split", "val_split", "data_dir")
_FINE_TUNING_RECIPE = (
    *("epochs", "batch_size", "optimizer", "learning_rate", "schedule", "warmup_epochs"),
    *("label_smoothing", "augmentation"),
)
_FINE_TUNING_RUN = ("strategy", "weights", "seed", "output_dir", "tensorboard")


def parse_args(argv: list[str] | None, description: str | None) -> argparse.Namespace:
    """Parses the command line; exits with 2 on wrong usage.

    Args:
        argv: without the program's name; None for this process's own.
        description: of the program, for --help.
    """
    parser = cli.parser(description, prog="train.py")
    cli.add_network_options(parser)
    parser.add_argument(
        "--image-size",
        type=cli.image_size,
        metavar="PIXELS",
        help="side of the square input (default: the data set's own, at most 224)",
    )
    _add_data_options(parser.add_argument_group("data"))
    _add_recipe_options(parser.add_argument_group("recipe"))
    _add_run_options(parser.add_argument_group("run"))
    _add_teacher_options(parser.add_argument_group("teacher"))
    args = parser.parse_args(argv)
    _check(parser, args, _given(parser, argv, vars(args)))
    return args


def _check(parser: argparse.ArgumentParser, args: argparse.Namespace, given: list[str]) -> None:
    """Exits with 2 where options do not go together."""
    ways = [way for way in FINE_TUNING if way in given]
    if args.resume is not None:
        _refuse(parser, given, ["resume", "strategy"], "--resume takes its settings from the run")
    elif len(ways) > 1:
        parser.error(
            f"one of {option_names(FINE_TUNING)} at a time. Received: {option_names(ways)}"
        )
    elif ways:
        rule = f"{option_names(ways)} takes network and data from the run of --weights"
        _refuse(
            parser,
            given,
            [*_FINE_TUNING_RECIPE, *_FINE_TUNING_RUN, *FINE_TUNING_DATA, *ways],
            rule,
        )
        if not args.weights:
            parser.error(
                f"{option_names(ways)} needs --weights: a finished float run. Received: none"
            )
    elif not args.teacher and {"teacher_temperature", "teacher_weight"} & set(given):
        parser.error(
            "--teacher-temperature and --teacher-weight need --teacher; name one or leave them "
            "out. Received: no --teacher"
        )
    elif args.freeze_backbone and not args.weights:
        parser.error(
            "--freeze-backbone needs --weights, since random features classify nothing. "
            "Received: no --weights"
        )
    elif args.go_on and not args.output_dir:
        parser.error(
            "--go-on needs --output-dir, the run to go on with or to start. Received: none"
        )
    _check_warmup(parser, args)


def _check_warmup(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    epochs = args.epochs or (FINE_TUNING_EPOCHS if is_fine_tuning(args) else EPOCHS)
    if args.warmup_epochs is not None and args.warmup_epochs > epochs:
        parser.error(
            f"--warmup-epochs must be at most the {epochs} of --epochs. "
            f"Received: {args.warmup_epochs:g}"
        )


def _given(
    parser: argparse.ArgumentParser, argv: list[str] | None, keys: Iterable[str]
) -> list[str]:
    """Options on the command line, also those with their default's value."""
    absent = object()
    parser.set_defaults(**dict.fromkeys(keys, absent))
    return [key for key, value in vars(parser.parse_args(argv)).items() if value is not absent]


def option_names(keys: Iterable[str]) -> str:
    """Keys as they are typed."""
    return ", ".join("--" + key.replace("_", "-") for key in keys)


def _refuse(
    parser: argparse.ArgumentParser, given: list[str], allowed: list[str], rule: str
) -> None:
    wrong = [key for key in given if key not in allowed]
    if wrong:
        parser.error(f"{rule}; leave the others out. Received: {option_names(wrong)}")


def _add_data_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--dataset",
        type=cli.name,
        default="cifar10",
        metavar="NAME|DIR",
        help="a TFDS data set, the built-in `shapes`, or a folder with a subfolder per class",
    )
    group.add_argument(
        "--val-dataset", type=cli.name, metavar="DIR", help="a folder to validate on"
    )
    group.add_argument(
        "--val-fraction", type=cli.part, default=0.2, help="of a folder held out to validate"
    )
    group.add_argument(
        "--train-split", type=cli.name, metavar="SPLIT", help="TFDS split, such as train[:90%%]"
    )
    group.add_argument(
        "--val-split", type=cli.name, metavar="SPLIT", help="TFDS split, such as train[90%%:]"
    )
    group.add_argument(
        "--data-dir", type=cli.name, metavar="DIR", help="where TFDS keeps its data sets"
    )
    group.add_argument(
        "--skip-bad-images", action="store_true", help="leave out unreadable images and go on"
    )


def _add_teacher_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--teacher",
        type=cli.name,
        metavar="PATH",
        help="a run or .keras of the same classes to learn from",
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
        help=f"passes (default: {EPOCHS}; {FINE_TUNING_EPOCHS} to fine-tune)",
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


def _add_run_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--weights", type=cli.name, metavar="PATH", help="a run, .keras or .h5 to start from"
    )
    group.add_argument(
        "--freeze-backbone", action="store_true", help="train the classifier only (with --weights)"
    )
    group.add_argument(
        "--quantization-aware",
        action="store_true",
        help="fine-tune the float run of --weights as its int8 file will compute",
    )
    group.add_argument(
        "--prune",
        type=cli.fraction,
        metavar="PART",
        help="fine-tune the run of --weights with this part of its weights 0; smaller when zipped",
    )
    group.add_argument(
        "--cluster",
        type=cli.several,
        metavar="N",
        help="fine-tune the run of --weights with N different weights per layer",
    )
    group.add_argument("--seed", type=cli.seed, default=0, help="of everything random")
    group.add_argument(
        "--output-dir", type=cli.name, metavar="DIR", help="new run folder (default: in runs/)"
    )
    group.add_argument(
        "--tensorboard", action="store_true", help="write event files for TensorBoard"
    )
    group.add_argument(
        "--resume",
        nargs="?",
        const=(),  # Without a name; "" is a name that is missing.
        type=cli.name,
        metavar="RUN",
        help="go on with an interrupted run (default: the newest) from its last checkpoint",
    )
    group.add_argument(
        "--strategy",
        choices=cluster.STRATEGIES,
        default="auto",
        help="mirrored: all GPUs of this machine; multi_worker: all processes of TF_CONFIG or "
        "srun; auto: multi_worker where there are several, else none; see docs/distributed.md",
    )
    group.add_argument(
        "--go-on",
        action="store_true",
        help="go on with the run in --output-dir where there is one, else start it",
    )


def is_fine_tuning(args: argparse.Namespace) -> bool:
    """True where a finished float run is trained further, with tf_keras."""
    return bool(args.quantization_aware) or args.prune is not None or args.cluster is not None
