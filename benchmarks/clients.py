"""Compares what the programs that an app may use say of the same images.

python -m benchmarks.clients runs/NAME/FILE.tflite
"""

import argparse
import dataclasses
import hashlib
import os
import sys
import tempfile
from collections.abc import Sequence
from importlib import metadata
from typing import Any

import numpy as np

from benchmarks import client_runs
from benchmarks.accuracy import data_config
from benchmarks.client_runs import Client, ClientFailed, NotAvailable
from export import evaluation
from export.judge import check_classes
from mobilenet_tf import cli, files
from mobilenet_tf.classifier import TFLiteClassifier
from mobilenet_tf.data import datasets
from mobilenet_tf.data.store import Split, balanced_indices
from mobilenet_tf.machine import describe_machine
from mobilenet_tf.progress import progress

_LITERT = f"ai-edge-litert {metadata.version('ai-edge-litert')}"
_REFERENCE = "LiteRT interpreter"
_NOT_RUN, _FAILED = "not run", "failed"


@dataclasses.dataclass(frozen=True)
class Images:
    """Evaluation images that every client gets.

    Attributes:
        pixels: uint8 (images, side, side, 3), RGB, of the model's size.
        labels: int64 (images,).
    """

    pixels: np.ndarray
    labels: np.ndarray


@dataclasses.dataclass(frozen=True)
class Result:
    """What one client made of the images.

    Attributes:
        client: its name.
        version: of its packages; None where it was not run.
        top1: share of images whose label has the best score, 0..1.
        agreement: share for which it names the interpreter's class, 0..1.
        difference: greatest difference of a score from the interpreter's.
        problem: why there is no result, "not run: ..." or "failed: ...".
    """

    client: str
    version: str | None = None
    top1: float | None = None
    agreement: float | None = None
    difference: float | None = None
    problem: str | None = None


def draw(split: Split, count: int, seed: int) -> Images:
    """Draws class-balanced images; all where there are fewer than `count`."""
    indices = balanced_indices(split.labels, count, seed)
    return Images(split.images.fetch(indices), split.labels[indices])


def compare(
    model: TFLiteClassifier, images: Images, clients: Sequence[Client] = client_runs.CLIENTS
) -> list[Result]:
    """Gives the same bytes to the interpreter and to every client.

    Args:
        model: what they run.
        images: of its size.
        clients: the others.

    Returns:
        The interpreter's result, then one for each client, in order.

    Raises:
        ValueError: the model takes neither uint8 nor float32.
    """
    with tempfile.TemporaryDirectory() as folder:
        client_runs.write_inputs(folder, model.path, images.pixels)
        expected = model.scores(images.pixels)
        results = [_judge(_REFERENCE, _LITERT, expected, expected, images.labels)]
        for client in progress(clients, len(clients), "running clients"):
            results.append(_result(client, folder, expected, images.labels))
    return results


def _result(client: Client, folder: str, expected: np.ndarray, labels: np.ndarray) -> Result:
    try:
        said = client_runs.answer(client, folder, len(labels))
        scores = client_runs.scores_of(said, expected.shape)
    except NotAvailable as error:
        return Result(client.name, problem=f"{_NOT_RUN}: {error}")
    except ClientFailed as error:
        return Result(client.name, problem=f"{_FAILED}: {error}")
    # The C program links the very library that the interpreter is in.
    return _judge(client.name, said.get("version", _LITERT), scores, expected, labels)


def _judge(
    name: str, version: str, scores: np.ndarray, expected: np.ndarray, labels: np.ndarray
) -> Result:
    return Result(
        client=name,
        version=version,
        top1=evaluation.top_k_accuracy(scores, labels, 1),
        agreement=evaluation.agreement(expected, scores),
        difference=float(np.abs(scores - expected).max()),
    )


def format_table(results: Sequence[Result], images: int) -> str:
    """The results as aligned lines; a client without one says why.

    Args:
        results: from `compare`.
        images: how many each client got.
    """
    names = max(len(result.client) for result in results)
    versions = max(len(result.version or "") for result in results)
    lines = [
        f"{'client':{names}s}  {'version':{versions}s}  images  top-1 %  agreement %  "
        "largest difference"
    ]
    lines += [
        f"{result.client:{names}s}  {result.problem or _cells(result, versions, images)}"
        for result in results
    ]
    return "\n".join(lines)


def _cells(result: Result, versions: int, images: int) -> str:
    assert result.top1 is not None and result.agreement is not None
    return (
        f"{result.version:{versions}s}  {images:6,d}  {100 * result.top1:7.2f}  "
        f"{100 * result.agreement:11.2f}  {result.difference:18.2g}"
    )


def to_json(
    model: str, data: datasets.DataConfig, seed: int, images: Images, results: Sequence[Result]
) -> dict[str, Any]:
    """The record: what was given to whom, and what came of it; no paths."""
    with open(model, "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    return {
        "machine": describe_machine(),
        "model": os.path.basename(model),
        "model_sha256": digest,
        "dataset": os.path.basename(os.path.normpath(data.dataset)),
        "seed": seed,
        "images": len(images.labels),
        "images_sha256": hashlib.sha256(images.pixels.tobytes()).hexdigest(),
        "results": [dataclasses.asdict(result) for result in results],
    }


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Parses the command line; exits with 2 on wrong usage."""
    parser = cli.parser(__doc__, prog="python -m benchmarks.clients")
    parser.add_argument("model", metavar="MODEL.tflite", help="made by convert_tflite.py")
    parser.add_argument("--dataset", metavar="NAME|DIR", help="(default: that of the file's run)")
    parser.add_argument("--data-dir", metavar="DIR", help="where TFDS keeps its data sets")
    parser.add_argument(
        "--images", type=cli.positive_int, default=200, help="evaluation images, class-balanced"
    )
    parser.add_argument("--seed", type=cli.whole_number, default=0, help="that draws them")
    parser.add_argument("--json", metavar="OUT.json", help="write the results here as well")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    return parser.parse_args(argv)


@cli.exits
def main(argv: list[str] | None = None) -> int:
    """Compares; returns the exit code."""
    args = parse_args(argv)
    if not args.model.endswith(".tflite"):
        raise cli.UsageError(f"the model must be a .tflite file. Received: {args.model}")
    if args.json:
        files.refuse_existing(args.json, args.overwrite)
    model = TFLiteClassifier(args.model)
    data = data_config(args.model, args.dataset, args.data_dir)
    source = datasets.open_source(data)
    check_classes(model, source)
    images = draw(source.read_validation(model.image_size), args.images, args.seed)
    results = compare(model, images)
    print(format_table(results, len(images.labels)))
    if args.json:
        files.write_json(args.json, to_json(args.model, data, args.seed, images, results))
    failed = [r.client for r in results if r.problem and r.problem.startswith(_FAILED)]
    if failed:
        raise cli.WorkError(
            "every client that this computer has must run the file; the table says why one does "
            f"not. Received: {', '.join(failed)}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
