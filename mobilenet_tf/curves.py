"""history.csv and its picture."""

import csv
import os

from mobilenet_tf import files

FIELDS = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds")
History = list[dict[str, float]]


def write_history(path: str, history: History) -> None:
    """Writes one row per epoch, whole or not at all."""
    with files.replacing(path) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        writer.writeheader()
        writer.writerows(row | {"epoch": int(row["epoch"])} for row in history)


def read_history(path: str) -> History:
    """Reads what `write_history` wrote; empty where there is no file."""
    if not os.path.isfile(path):
        return []
    try:
        with open(path, newline="") as file:
            rows = list(csv.DictReader(file))
        return [{key: float(row[key]) for key in FIELDS} for row in rows]
    except (ValueError, TypeError, KeyError, csv.Error):
        raise ValueError(
            f"a history must be as train.py wrote it; restore it. Received: {path}"
        ) from None


def plot_history(history: History, title: str, path: str) -> None:
    """Draws accuracy, loss and learning rate against epochs as a PNG.

    Args:
        history: at least one epoch.
        title: above the picture.
        path: of the PNG.
    """
    import matplotlib  # Slow to import, and needed once a run.

    matplotlib.use("Agg")
    from matplotlib import pyplot

    epochs = [row["epoch"] for row in history]
    figure, panels = pyplot.subplots(1, 3, figsize=(13, 4), layout="constrained")
    figure.suptitle(title)
    scaled = {"accuracy": 100.0, "loss": 1.0}
    for panel, metric, label in zip(panels, scaled, ("top-1 accuracy (%)", "loss")):
        for key, name, color in ((metric, "training", "C0"), (f"val_{metric}", "validation", "C1")):
            values = [row[key] * scaled[metric] for row in history]
            panel.plot(epochs, values, color=color, label=name, marker="." * (len(epochs) < 40))
        panel.set_ylabel(label)
        panel.legend(frameon=False)
    best = max(history, key=lambda row: row["val_accuracy"])
    text = (
        f"best {100 * best['val_accuracy']:.2f} %, last {100 * history[-1]['val_accuracy']:.2f} %"
    )
    panels[0].set_title(text, fontsize=10)
    rates = [row["learning_rate"] for row in history]
    panels[2].plot(epochs, rates, color="C2", marker="." * (len(epochs) < 40))
    panels[2].set_ylabel("learning rate at the end of the epoch")
    for panel in panels:
        panel.set_xlabel("epoch")
        panel.grid(alpha=0.3)
        panel.xaxis.set_major_locator(pyplot.MaxNLocator(integer=True, min_n_ticks=1))
    with files.replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)
    pyplot.close(figure)
