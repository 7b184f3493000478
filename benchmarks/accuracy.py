"""Measures top-1, top-5 and agreement of .keras and .tflite files.

python -m benchmarks.accuracy runs/NAME/model.keras runs/NAME/*.tflite
"""

import argparse
import os
import sys
from typing import Any

import numpy as np

from export import evaluation
from export.judge import check_classes
from mobilenet_tf import cli, files, runs
from mobilenet_tf.classifier import Classifier, load_classifier
from mobilenet_tf.data import datasets
from mobilenet_tf.data.store import ArrayImages, Split, balanced_indices
from mobilenet_tf.machine import describe_machine

_NAMED_CLASSES = 30  # More class names do not fit along the picture's sides.


def evaluate(
    classifiers: list[Classifier], source: datasets.Source, most_images: int | None = None
) -> list[dict[str, Any]]:
    """Evaluates models on the validation split.

    Args:
        classifiers: the first is what the others are compared with.
        source: the data set.
        most_images: of them, the classes as equally often as can be; None for all.

    Returns:
        For each model {"file", "images", "top1", "top5", "agreement" with the
        first model, "confusion": rows of counts by label}; shares are 0..1.
    """
    splits: dict[int, Split] = {}
    results: list[dict[str, Any]] = []
    reference = None
    for classifier in classifiers:
        check_classes(classifier, source)
        if classifier.image_size not in splits:
            splits[classifier.image_size] = source.read_validation(classifier.image_size)
        split = _drawn(splits[classifier.image_size], most_images)
        scores = evaluation.split_scores(classifier, split, os.path.basename(classifier.path))
        reference = scores if reference is None else reference
        results.append(
            {
                "file": classifier.path,
                "images": len(split),
                "top1": evaluation.top_k_accuracy(scores, split.labels, 1),
                "top5": evaluation.top_k_accuracy(scores, split.labels, 5),
                "agreement": evaluation.agreement(reference, scores),
                "confusion": evaluation.confusion_matrix(scores, split.labels).tolist(),
            }
        )
    return results


def _drawn(split: Split, most_images: int | None) -> Split:
    if most_images is None or most_images >= len(split):
        return split
    indices = balanced_indices(split.labels, most_images, seed=0)
    pixels, names = split.images.fetch(indices), [split.names[i] for i in indices]
    return Split(ArrayImages(pixels), split.labels[indices], names)


def format_table(results: list[dict[str, Any]]) -> str:
    """The results as aligned lines."""
    width = max(len(os.path.basename(result["file"])) for result in results)
    lines = [f"{'file':{width}s}  images   top-1 %  top-5 %  agreement with the first %"]
    for result in results:
        shares = [100 * result[key] for key in ("top1", "top5", "agreement")]
        lines.append(
            f"{os.path.basename(result['file']):{width}s}  {result['images']:6,d}  "
            f"{shares[0]:8.2f} {shares[1]:8.2f} {shares[2]:8.2f}"
        )
    return "\n".join(lines)


def worst_confusions(confusion: np.ndarray, class_names: list[str], most: int = 5) -> str:
    """The most frequent mistakes, such as "cat as dog 118"."""
    mistakes = confusion.copy()
    np.fill_diagonal(mistakes, 0)
    order = np.argsort(-mistakes, axis=None, kind="stable")[:most]
    rows, columns = np.unravel_index(order, mistakes.shape)
    named = [
        f"{class_names[r]} as {class_names[c]} {mistakes[r, c]}"
        for r, c in zip(rows, columns)
        if mistakes[r, c]
    ]
    return ", ".join(named) or "none"


def plot_confusion(confusion: np.ndarray, class_names: list[str], title: str, path: str) -> None:
    """Draws a confusion matrix, each row in per cent of its label's images."""
    import matplotlib  # Slow to import; --help does without.

    matplotlib.use("Agg")
    from matplotlib import pyplot

    classes = len(class_names)
    shares = 100 * confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    side = min(12.0, 4.0 + 0.35 * classes)
    figure, panel = pyplot.subplots(figsize=(side + 1, side), layout="constrained")
    image = panel.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    figure.colorbar(image, label="% of the label's images", shrink=0.8)
    panel.set(xlabel="predicted", ylabel="label", title=title)
    if classes <= _NAMED_CLASSES:
        panel.set_xticks(range(classes), class_names, rotation=60, ha="right")
        panel.set_yticks(range(classes), class_names)
        for row in range(classes):
            for column in range(classes):
                value = shares[row, column]
                if value >= 0.5:
                    color = "white" if value > 55 else "black"
                    text = f"{value:.0f}"
                    panel.text(column, row, text, ha="center", va="center", fontsize=8, color=color)
    with files.replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)
    pyplot.close(figure)


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Parses the command line; exits with 2 on wrong usage."""
    parser = cli.parser(__doc__, prog="python -m benchmarks.accuracy")
    parser.add_argument("files", nargs="+", metavar="FILE", help=".keras or .tflite models")
    parser.add_argument(
        "--dataset", metavar="NAME|DIR", help="(default: that of the first file's run)"
    )
    parser.add_argument("--data-dir", metavar="DIR", help="where TFDS keeps its data sets")
    parser.add_argument("--json", metavar="OUT.json", help="write the results here as well")
    parser.add_argument(
        "--confusion", metavar="OUT.png", help="draw the last file's confusion matrix"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")
    return parser.parse_args(argv)


def data_config(model: str, dataset: str | None, data_dir: str | None) -> datasets.DataConfig:
    """The data that a model is evaluated on.

    Args:
        model: path of its file.
        dataset: to use instead of that of the run it lies in; None for that.
        data_dir: where TFDS data sets lie.

    Raises:
        UsageError: the file is in no run folder, and no data set is given.
        ValueError: the run's settings are damaged.
    """
    if dataset:
        return datasets.DataConfig(dataset=dataset, data_dir=data_dir)
    folder = os.path.dirname(model)
    if not os.path.isfile(os.path.join(folder, runs.CONFIG)):
        raise cli.UsageError(f"a model outside a run folder needs --dataset. Received: {model}")
    return runs.read_config(folder)[0].data


@cli.exits
def main(argv: list[str] | None = None) -> int:
    """Evaluates; returns the exit code."""
    args = parse_args(argv)
    for path in (args.json, args.confusion):
        if path:
            files.refuse_existing(path, args.overwrite)
    classifiers = [load_classifier(path) for path in args.files]
    source = datasets.open_source(data_config(args.files[0], args.dataset, args.data_dir))
    results = evaluate(classifiers, source)
    print(format_table(results))
    last, class_names = results[-1], list(source.class_names)
    confusion = np.array(last["confusion"])
    print(f"most frequent mistakes: {worst_confusions(confusion, class_names)}")
    if args.confusion:
        title = f"{os.path.basename(last['file'])}, top-1 {100 * last['top1']:.2f} %"
        plot_confusion(confusion, class_names, title, args.confusion)
        print(f"confusion matrix: {args.confusion}")
    if args.json:
        content = {"machine": describe_machine(), "class_names": class_names, "results": results}
        files.write_json(args.json, content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
