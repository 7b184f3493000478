"""Trains a MobileNet on a folder of labelled images or a TFDS data set."""

import argparse
import os
import shlex
import sys

from mobilenet_tf import cli, cluster, legacy, train_options


@cli.exits
def main(argv: list[str] | None = None) -> int:
    """Trains; returns the exit code."""
    args = train_options.parse_args(argv, __doc__)
    choice = _choice(args)
    if train_options.is_fine_tuning(args):
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
    if args.teacher:
        raise cli.UsageError(
            "--teacher trains in one process on one device; pass --strategy none. "
            f"Received: {choice.strategy}"
        )
    if train_options.is_fine_tuning(args):
        raise cli.UsageError(
            f"{train_options.option_names(train_options.FINE_TUNING)} train in one process; pass "
            f"--strategy none. Received: {choice.strategy}"
        )
    if choice.strategy == "multi_worker" and not (args.resume or args.output_dir):
        raise cli.UsageError(
            "several workers need --output-dir or --resume with a folder that all of them see. "
            "Received: neither"
        )
    return choice


def _train(args: argparse.Namespace, choice: cluster.Choice) -> int:
    from mobilenet_tf import resuming, run_folders, runs, strategies, train_settings, training

    begun = args.go_on and os.path.isfile(os.path.join(args.output_dir, runs.CONFIG))
    if begun:
        _check_same(args)
    if begun and os.path.isfile(os.path.join(args.output_dir, runs.MODEL)):
        print(f"run: {args.output_dir}, which has ended already")
        return 0
    devices = strategies.open_devices(choice)
    if args.resume is not None:
        run = args.resume or run_folders.newest_interrupted("runs")
        result = resuming.resume(run, devices)
    elif begun:
        result = resuming.resume(args.output_dir, devices)
    else:
        result = training.train(train_settings.train_config(args), devices)
    print(f"run: {result.run}")
    print(f"validation accuracy: {100 * result.val_accuracy:.2f} % (model.keras, last epoch)")
    print(f"best epoch: {result.best_epoch}, {100 * result.best_val_accuracy:.2f} % (best.keras)")
    print(f"curves: {os.path.join(result.run, runs.CURVES)}")
    print(f"next: python convert_tflite.py --quantize int8 --model {shlex.quote(result.run)}")
    return 0


def _check_same(args: argparse.Namespace) -> None:
    """Raises `ValueError` where the run of --output-dir was started with other settings."""
    from mobilenet_tf import runs, train_settings

    begun, _ = runs.read_config(args.output_dir)
    different = runs.differences(begun, train_settings.train_config(args))
    if different:
        raise ValueError(
            "--go-on takes the options that the run was started with; choose another --output-dir "
            f"for others. Received: {args.output_dir} with {', '.join(different)}"
        )


def _fine_tune(args: argparse.Namespace) -> int:
    from mobilenet_tf import train_settings

    config = train_settings.fine_tuning_config(args)
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
    print(f"next: python convert_tflite.py --quantize int8 --model {shlex.quote(run)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
