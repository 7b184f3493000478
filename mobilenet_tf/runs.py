"""Run folders: what training writes and everything later reads.

runs/<name>/model.keras              the trained network, labels inside
            best.keras               the same, of the epoch with the best accuracy
            labels.txt               class names, one a line, in output order
            config.json              everything needed to repeat the run
            history.csv, curves.png  one row, one point per epoch
            checkpoints/             the whole state of the last steps, for
                                     --resume; gone when the run has ended

A run of --prune, --cluster or --quantization-aware has no best.keras and no
checkpoints. That of --quantization-aware also has

            quantization.npz         what its int8 file is made of: scales of all
                                     activations, kernels and biases after folding
            int8_check.json          that file against the trained model
"""

import argparse
import dataclasses
import importlib.metadata
import json
import os
import platform
from typing import Any

from mobilenet_tf import files, specs, typed
from mobilenet_tf.data.datasets import DataConfig
from mobilenet_tf.recipe import Recipe

MODEL, BEST, LABELS = "model.keras", "best.keras", files.LABELS
CONFIG, HISTORY, CURVES = "config.json", "history.csv", "curves.png"
QUANTIZATION, INT8_CHECK = "quantization.npz", "int8_check.json"
# Not in the files of the first releases.
_LATER_SETTINGS = ("quantization_aware", "sparsity", "clusters", "teacher")
_PATHS = ("data.dataset", "data.val_dataset", "data.data_dir", "weights", "teacher.path")
_PACKAGES = ("tensorflow", "keras", "tensorflow-datasets", "numpy", "pillow")


@dataclasses.dataclass(frozen=True)
class NetworkConfig:
    """Which network; see `specs.get_spec` and `layout.build_layout`.

    Attributes:
        image_size: side of the square input in pixels; None to take the data
            set's, up to 224.
    """

    version: specs.Version
    size: str | None = None
    minimalistic: bool = False
    profile: str | None = None
    reduced_tail: specs.ReducedTail | None = None
    alpha: float = 1.0
    image_size: int | None = None
    last_map: int | None = None

    @property
    def spec(self) -> specs.Spec:
        """The network's table."""
        return specs.get_spec(
            self.version, self.size, self.minimalistic, self.profile, self.reduced_tail
        )

    @property
    def words(self) -> str:
        """What it is called in a text, such as "MobileNetV3-Small, alpha 0.5"."""
        kind = {"v1": "MobileNetV1", "v2": "MobileNetV2", "v3": "MobileNetV3"}[self.version]
        size = f"-{self.size.capitalize()}" if self.size else ""
        forms = [
            "minimalistic" if self.minimalistic else "",
            f"profile {self.profile}" if self.profile else "",
            f"{self.reduced_tail} reduced tail" if self.reduced_tail else "",
            f"alpha {self.alpha:g}",
        ]
        return f"{kind}{size}, {', '.join(filter(None, forms))}"

    @property
    def file_name(self) -> str:
        """How its files are called, such as mobilenet_v3_small_1.0_224."""
        alpha = f"{self.alpha:.4f}".rstrip("0")
        return f"mobilenet_{self.spec.name}_{alpha}{'0' * alpha.endswith('.')}_{self.image_size}"


def network_config(options: argparse.Namespace) -> NetworkConfig:
    """The network that the options of `cli.add_network_options` and --image-size name."""
    return NetworkConfig(
        version=options.version,
        size=options.size or ("small" if options.version == "v3" else None),
        minimalistic=options.minimalistic,
        profile=options.profile,
        reduced_tail=options.reduced_tail,
        alpha=options.alpha,
        image_size=options.image_size,
        last_map=options.last_map,
    )


@dataclasses.dataclass(frozen=True)
class TeacherConfig:
    """A teacher to learn from; see `distillation`.

    Attributes:
        path: a run or a .keras file.
        temperature: softens the probabilities of both networks, above 0.
        weight: of the teacher in the loss, 0..1; the labels have the rest.
        sha256: of the file; None until it is read.
    """

    path: str
    temperature: float = 4.0
    weight: float = 0.9
    sha256: str | None = None


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """A whole training run.

    Attributes:
        network, data, recipe: what, on what, and how.
        weights: a file or run to start from; None for random weights.
        freeze_backbone: train the classifier only.
        seed: of weights, order and augmentation.
        output_dir: the run folder; None for runs/<network>_<data set>.
        tensorboard: write event files too.
        quantization_aware: fine-tune the run `weights` as its int8 file computes.
        sparsity: part of the weights of each convolution that becomes 0 while
            the run `weights` is fine-tuned.
        clusters: different weights that each convolution keeps while the run
            `weights` is fine-tuned.
        teacher: to learn from beside the labels; None for labels only.
    """

    network: NetworkConfig
    data: DataConfig = DataConfig()
    recipe: Recipe = Recipe()
    weights: str | None = None
    freeze_backbone: bool = False
    seed: int = 0
    output_dir: str | None = None
    tensorboard: bool = False
    quantization_aware: bool = False
    sparsity: float | None = None
    clusters: int | None = None
    teacher: TeacherConfig | None = None

    @property
    def fine_tunes(self) -> bool:
        """True for the ways of training that need a finished float run."""
        return self.quantization_aware or self.sparsity is not None or self.clusters is not None


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on."""
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        versions[name] = importlib.metadata.version(name)
    return versions


def write_config(run: str, config: TrainConfig, details: dict[str, Any]) -> None:
    """Writes config.json: the settings, what they came to, and versions."""
    content = dataclasses.asdict(config) | details | {"versions": package_versions()}
    files.write_json(os.path.join(run, CONFIG), content)


def read_config(run: str) -> tuple[TrainConfig, dict[str, Any]]:
    """Reads a run's config.json.

    Returns:
        The settings, and everything in the file.

    Raises:
        ValueError: the folder is no run, or its file is damaged.
    """
    path = os.path.join(run, CONFIG)
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
        names = [field.name for field in dataclasses.fields(TrainConfig)]
        wanted = [name for name in names if name in content or name not in _LATER_SETTINGS]
        config = typed.build(TrainConfig, {name: content[name] for name in wanted})
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(
            f"a run must be a folder that train.py made. Received: {run} without {CONFIG}"
        ) from None
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{CONFIG} must be as train.py wrote it. Received: {path} ({error!r})"
        ) from None
    return config, content


def differences(begun: TrainConfig, asked: TrainConfig) -> list[str]:
    """Settings that `asked` has otherwise than a run that has begun, in words.

    Paths are compared by the place that they mean; what a run found out by
    itself (the data set's image size, the teacher's hash) is not asked for.
    """
    mine, theirs = _flat(dataclasses.asdict(begun)), _flat(dataclasses.asdict(asked))
    found = []
    for key in sorted(mine | theirs):
        old, new = mine.get(key), theirs.get(key)
        known_later = key in ("network.image_size", "teacher.sha256") and new is None
        if key == "output_dir" or known_later or old == new:
            continue
        if key in _PATHS and old and new and _place(old) == _place(new):
            continue
        found.append(f"{key.rpartition('.')[2]} {new} for {old}")
    return found


def _flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat = {}
    for key, value in settings.items():
        nested = isinstance(value, dict)
        flat.update(_flat(value, f"{prefix}{key}.") if nested else {f"{prefix}{key}": value})
    return flat


def _place(path: str) -> str:
    return os.path.realpath(model_path(path)) if os.path.exists(path) else path


def model_path(path: str) -> str:
    """The model file that a path means: of a run its finished network, else itself."""
    return os.path.join(path, MODEL) if os.path.isdir(path) else path
