"""Records runs on CIFAR-100 and sets them beside published ones of the same cost.

    python -m benchmarks.cifar100 runs/A runs/B --output benchmarks/results/cifar100
    python -m benchmarks.cifar100 --records benchmarks/results/cifar100

The published ones are akrapukhin/MobileNetV3's: 20 epochs, batch 128, 32x32,
the last validation on 9,984 of the test images. A run that trained on all
50,000 images belongs to the cheapest of them that costs no less; one that held
some of them out belongs to the ablation.
"""

import argparse
import dataclasses
import glob
import json
import os
import sys
from typing import Any

from mobilenet_tf import cli, curves, files, layout, runs
from mobilenet_tf.complexity import complexity
from mobilenet_tf.machine import describe_machine

_TRAIN_IMAGES, _TEST_IMAGES = 50_000, 10_000
_OF_THE_MACHINE = ("output_dir", "data", "loaded")  # Paths, and layer by layer what one gave.
_RECIPE = ("batch_size", "optimizer", "augmentation", "label_smoothing", "dropout_rate", "ema")


@dataclasses.dataclass(frozen=True)
class Published:
    """A published run: https://github.com/akrapukhin/MobileNetV3, README.

    Attributes:
        size, alpha: of V3.
        top1: of the validation, percent.
        macs: multiply-accumulates at 32x32, counted from its code.
    """

    size: str
    alpha: float
    top1: float
    macs: int


PUBLISHED = (
    Published("small", 0.25, 60.13, 5_853_000),
    Published("small", 0.5, 66.37, 17_937_000),
    Published("small", 1.0, 69.44, 61_107_000),
    Published("large", 0.25, 65.03, 18_059_000),
    Published("large", 0.5, 69.50, 61_991_000),
    Published("large", 1.0, 71.75, 227_860_000),
)


def read_run(run: str) -> dict[str, Any]:
    """What is stored of a finished run.

    Args:
        run: its folder.

    Returns:
        A dict that JSON can hold: "name"; config.json without paths under
        "config"; "history", one dict per epoch; "macs" of the network;
        "top1" of the last epoch in percent; "weights_sha256" of model.keras.

    Raises:
        ValueError: no run, not of CIFAR-100, or not finished.
    """
    config, content = runs.read_config(run)
    network, model = config.network, os.path.join(run, runs.MODEL)
    if not config.data.dataset.startswith("cifar100"):
        raise ValueError(
            f"a run must have trained on cifar100; leave it out. Received: {run} on "
            f"{config.data.dataset}"
        )
    if not os.path.isfile(model):
        raise ValueError(f"a run must have ended; --resume it first. Received: {run}")
    assert network.image_size is not None
    strides = layout.strides_for(network.spec, network.image_size, network.last_map)
    macs = complexity(network.spec, network.alpha, network.image_size, 100, strides).macs
    settings = {key: value for key, value in content.items() if key not in _OF_THE_MACHINE}
    settings["data"] = {key: content["data"][key] for key in ("train_split", "val_split", "seed")}
    if config.weights is not None:
        settings["weights"] = _name_of(config.weights)
    if config.teacher is not None:
        settings["teacher"] = content["teacher"] | {"path": _name_of(config.teacher.path)}
    history = curves.read_history(os.path.join(run, runs.HISTORY))
    return {
        "name": os.path.basename(os.path.normpath(run)),
        "network": network.words,
        "macs": macs,
        "top1": round(100 * history[-1]["val_accuracy"], 2),
        "weights_sha256": files.sha256(model),
        "config": settings,
        "history": history,
    }


def _name_of(path: str) -> str:
    """The run's, or the file's where it lies in none."""
    folder, name = os.path.split(os.path.normpath(path))
    return os.path.basename(folder) if name == runs.MODEL else name


def is_whole(record: dict[str, Any]) -> bool:
    """True for a run on all training images, judged on all test images."""
    config = record["config"]
    return (config["train_images"], config["val_images"]) == (_TRAIN_IMAGES, _TEST_IMAGES)


def published_row(record: dict[str, Any]) -> Published | None:
    """The cheapest published run of the same network that costs no less."""
    size = record["config"]["network"]["size"]
    rows = [row for row in PUBLISHED if row.size == size and row.macs >= record["macs"]]
    return min(rows, key=lambda row: row.macs, default=None)


def format_table(records: list[dict[str, Any]]) -> str:
    """The published rows and what ours came to, as Markdown; rows without a run say so."""
    lines = [
        "| published | MACs | top-1 | ours | MACs | epochs, batch, seed | top-1 | difference |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in PUBLISHED:
        theirs = f"| V3-{row.size.capitalize()} {row.alpha:g} | {row.macs / 1e6:.1f} M "
        theirs += f"| {row.top1:.2f} % "
        mine = [record for record in records if published_row(record) == row]
        lines += [theirs + _our_cells(record, row) for record in mine]
        if not mine:
            lines.append(f"{theirs}| not run | | | | |")
    return "\n".join(lines)


def _our_cells(record: dict[str, Any], row: Published) -> str:
    config = record["config"]
    recipe = config["recipe"]
    taught = f", taught by {config['teacher']['path']}" if config.get("teacher") else ""
    return (
        f"| {record['network']}, {_side(record)}{taught} | {_macs(record)} | {recipe['epochs']}, "
        f"{recipe['batch_size']}, {config['seed']} | {record['top1']:.2f} % "
        f"| {record['top1'] - row.top1:+.2f} |"
    )


def _side(record: dict[str, Any]) -> str:
    side = record["config"]["network"]["image_size"]
    return f"{side}x{side}"


def _macs(record: dict[str, Any]) -> str:
    return f"{record['macs'] / 1e6:.1f} M"


def format_ablation(records: list[dict[str, Any]]) -> str:
    """Runs on a part of the training images, judged on the rest of them, as Markdown."""
    names = ["network", "input, last map", "MACs", "epochs"]
    names += [key.replace("_", " ") for key in _RECIPE]
    names += ["learning rate", "weight decay", "top-1 on the rest"]
    lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    for record in sorted(records, key=lambda record: record["config"]["recipe"]["epochs"]):
        config = record["config"]
        recipe, resolved = config["recipe"], config["resolved"]
        last_map = _or_own(config["network"]["last_map"])
        cells = [record["network"], f"{_side(record)}, {last_map}"]
        cells += [_macs(record), str(recipe["epochs"])]
        cells += [_or_own(recipe[key]) for key in _RECIPE]
        cells += [f"{resolved['learning_rate']:g}", f"{resolved['weight_decay']:g}"]
        lines.append(f"| {' | '.join(cells)} | {record['top1']:.2f} % |")
    return "\n".join(lines)


def _or_own(setting: Any) -> str:
    return "network's own" if setting is None else str(setting)


def read_records(folder: str) -> list[dict[str, Any]]:
    """Every record in a folder, by name; raises `ValueError` where there is no folder."""
    if not os.path.isdir(folder):
        raise ValueError(f"--records must be an existing folder. Received: {folder}")
    records = []
    for path in sorted(glob.glob(os.path.join(glob.escape(folder), "*.json"))):
        with open(path, encoding="utf-8") as file:
            records.append(json.load(file))
    return records


@cli.exits
def main(argv: list[str] | None = None) -> int:
    """Records runs or prints records; returns the exit code."""
    parser = cli.parser(__doc__, prog="python -m benchmarks.cifar100")
    parser.add_argument("runs", nargs="*", metavar="RUN", help="finished runs to record")
    parser.add_argument("--output", metavar="DIR", help="existing folder for one .json per run")
    parser.add_argument("--records", metavar="DIR", help="folder with records to print as well")
    parser.add_argument("--overwrite", action="store_true", help="replace existing records")
    args: argparse.Namespace = parser.parse_args(argv)
    if not args.runs and not args.records:
        parser.error("runs or --records must be named; see docs/recipes.md. Received: neither")
    records = read_records(args.records) if args.records else []
    made = [read_run(run) for run in args.runs]
    for record in made if args.output else ():
        path = os.path.join(args.output, record["name"] + ".json")
        files.refuse_existing(path, args.overwrite)
        files.write_json(path, record | {"machine": describe_machine()})
    names = {record["name"] for record in made}
    records = made + [record for record in records if record["name"] not in names]
    whole = [record for record in records if is_whole(record)]
    print(format_table(whole))
    if len(whole) < len(records):
        print(f"\n{format_ablation([record for record in records if not is_whole(record)])}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
