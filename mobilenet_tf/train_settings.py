"""From the options of train.py's command line to the settings of a run."""

import argparse
import dataclasses

from mobilenet_tf import fine_tuning, recipe, runs
from mobilenet_tf.data.datasets import DataConfig
from mobilenet_tf.train_options import EPOCHS, FINE_TUNING_DATA, FINE_TUNING_EPOCHS


def fine_tuning_config(args: argparse.Namespace) -> runs.TrainConfig:
    """The settings of a fine-tuning, most of them of the run that --weights names.

    Raises:
        ValueError, OSError: see `fine_tuning.config_from`.
    """
    settings = recipe.Recipe(
        epochs=args.epochs or FINE_TUNING_EPOCHS,
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
    asked = {key: getattr(args, key) for key in FINE_TUNING_DATA}
    given = {key: value for key, value in asked.items() if value is not None}
    return dataclasses.replace(config, data=dataclasses.replace(config.data, **given))


def train_config(args: argparse.Namespace) -> runs.TrainConfig:
    """The settings of a training from the options of its command line."""
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
            epochs=args.epochs or EPOCHS,
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


def _teacher(args: argparse.Namespace) -> runs.TeacherConfig | None:
    if not args.teacher:
        return None
    given = {"temperature": args.teacher_temperature, "weight": args.teacher_weight}
    return runs.TeacherConfig(args.teacher, **{k: v for k, v in given.items() if v is not None})
