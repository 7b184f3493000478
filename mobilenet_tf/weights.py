"""Weights by layer name: reading every Keras file format, strict or partial.

Layers are matched by name, never by position, so that weights move between
Keras 3 and tf_keras, between networks with different tops, and from
keras.applications' files to ours.
"""

import collections
import dataclasses
import io
import json
import os
import re
import zipfile
from collections.abc import Iterable, Iterator
from typing import Any

import h5py
import numpy as np

from mobilenet_tf import files
from mobilenet_tf.engine import keras

WeightsByLayer = dict[str, list[np.ndarray]]

_TOP_LAYERS = 2  # Of one class: V3's classifier is two convolutions.
_NAMED_LAYERS = 6  # More names make a message that nobody reads.


@dataclasses.dataclass(frozen=True)
class TransferReport:
    """What a partial load did.

    Attributes:
        loaded: names of the layers that took weights.
        missing: layers of the model that the file does not have.
        mismatched: layers whose shapes differ, with both shapes as text.
        unused: layers of the file that the model does not have.
        sliced: those of `loaded` whose weights were cut out of a wider layer's.
    """

    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    mismatched: tuple[str, ...]
    unused: tuple[str, ...]
    sliced: tuple[str, ...] = ()

    def __str__(self) -> str:
        text = f"loaded {len(self.loaded)} of {len(self.loaded) + len(self.left)} layers"
        if self.sliced:
            text += f", {len(self.sliced)} of them sliced from wider ones"
        if not self.left:
            return text
        more = len(self.left) - _NAMED_LAYERS
        named = ", ".join(self.left[:_NAMED_LAYERS]) + (f" and {more} more" if more > 0 else "")
        return f"{text}; left as they were: {named}"

    @property
    def left(self) -> tuple[str, ...]:
        """Layers of the model that kept their weights."""
        return self.missing + self.mismatched


def check_path(path: str) -> None:
    """Raises `FileNotFoundError` or `ValueError` unless `path` may hold weights."""
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f'weights must be None, "imagenet" or the path of an existing file. Received: {path}'
        )
    if not str(path).endswith((".h5", ".keras")):
        raise ValueError(f"a weights file must end in .keras, .weights.h5 or .h5. Received: {path}")


def load_weights(model: keras.Model, path: str) -> None:
    """Loads a weights file that must fit exactly.

    Args:
        model: gets the weights.
        path: .keras, .weights.h5, or a .h5 file of Keras 1 or 2.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a weights file, or its layers differ from the model's.
    """
    report = transfer_weights(model, path)
    if report.left or report.unused:
        problems = [f"missing {name}" for name in report.missing]
        problems += list(report.mismatched) + [f"unused {name}" for name in report.unused]
        shown = ", ".join(problems[:4]) + (", ..." if len(problems) > 4 else "")
        raise ValueError(
            "the weights must fit the model layer by layer; check version, size, alpha, classes "
            f"and include_top. Received: {path} with {len(problems)} differences ({shown})"
        )


def transfer_weights(model: keras.Model, path: str) -> TransferReport:
    """Loads every layer whose name and shapes agree and leaves the others.

    Args:
        model: gets the weights.
        path: see `load_weights`.

    Returns:
        What was loaded and what was not.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a weights file.
    """
    return assign_weights(model, read_weights(path, model))


def read_weights(path: str, model: keras.Model) -> WeightsByLayer:
    """Reads a weights file.

    Args:
        path: see `load_weights`.
        model: whose layers a .weights.h5 file, which has no names, is read by.

    Returns:
        Arrays by layer name, in the model's spelling.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a weights file.
    """
    check_path(path)
    try:
        weights = _read(str(path), model)
    except (
        *(OSError, KeyError, TypeError, AttributeError),  # Damage may look like any of them.
        *(zipfile.BadZipFile, json.JSONDecodeError),
    ) as error:
        raise ValueError(
            f"a weights file must be an intact Keras file. Received: {path} ({error})"
        ) from None
    own = {_canonical(layer.name): layer.name for layer in model.layers}
    return {own.get(_canonical(name), name): arrays for name, arrays in weights.items()}


def assign_weights(model: keras.Model, weights: WeightsByLayer) -> TransferReport:
    """Gives each layer the arrays under its name; see `transfer_weights`."""
    loaded, missing, mismatched = [], [], []
    unused = {_canonical(name): (name, arrays) for name, arrays in weights.items()}
    for layer in model.layers:
        if not layer.weights:
            continue
        _, arrays = unused.pop(_canonical(layer.name), (None, None))
        if arrays is None:
            missing.append(layer.name)
            continue
        wanted = [tuple(variable.shape) for variable in layer.weights]
        given = [array.shape for array in arrays]
        if wanted != given:
            mismatched.append(f"{layer.name} is {wanted[0]}, the file has {given[0]}")
            continue
        layer.set_weights(arrays)
        loaded.append(layer.name)
    names = sorted(name for name, _ in unused.values())
    return TransferReport(tuple(loaded), tuple(missing), tuple(mismatched), tuple(names))


def _canonical(layer_name: str) -> str:
    """One spelling for both Kerases: Keras 2's V3 says Conv/BatchNorm for conv_bn."""
    return layer_name.replace("/BatchNorm", "_bn").replace("/", "_").lower()


def weights_by_layer(model: keras.Model) -> WeightsByLayer:
    """The arrays of every layer that has weights, by layer name."""
    return {layer.name: layer.get_weights() for layer in model.layers if layer.weights}


def _read(path: str, model: keras.Model) -> WeightsByLayer:
    if path.endswith(".keras"):
        with zipfile.ZipFile(path) as archive:
            layers = _layers_of(archive)
            with archive.open("model.weights.h5") as stream, h5py.File(stream, "r") as file:
                return _read_numbered(file, layers)
    with h5py.File(path, "r") as file:
        if "layers" in file or "_layer_checkpoint_dependencies" in file:
            return _read_weights_h5(file, model, path)
        return _read_named(file["model_weights"] if "model_weights" in file else file)


def _read_weights_h5(file: Any, model: keras.Model, path: str) -> WeightsByLayer:
    """A .weights.h5 of Keras 3: by the names in it, else by class and number."""
    groups = _groups(file)
    kept = {key: groups[key]["vars"] for key in groups if len(groups[key].get("vars", ()))}
    names = {key: variables.attrs.get("name") for key, variables in kept.items()}
    if kept and all(names.values()):
        return {str(names[key]): _arrays(variables) for key, variables in kept.items()}
    own = {layer.name for layer in model.layers}
    if not own & set(kept):  # Some files have layers' names for keys.
        _check_counts(kept, model, path)
    return _read_numbered(file, [(_class_name(layer), layer.name) for layer in model.layers])


def _check_counts(keys: Iterable[str], model: keras.Model, path: str) -> None:
    """Refuses another network's file, whose n-th convolution is another layer than ours.

    A top is a convolution or two, or a dense layer: those may differ.
    """
    stored = collections.Counter(re.sub(r"_\d+$", "", key) for key in keys)
    wanted = collections.Counter(
        _snake_case(_class_name(layer)) for layer in model.layers if layer.weights
    )
    for kind in sorted(stored | wanted):
        spare = _TOP_LAYERS if kind in ("conv2d", "dense") else 0
        if abs(stored[kind] - wanted[kind]) > spare:
            raise ValueError(
                "a weights file without layer names must be of the same network; check version, "
                f"size and form. Received: {path} with {stored[kind]} layers of kind {kind}, not "
                f"{wanted[kind]}"
            )


def _class_name(layer: keras.layers.Layer) -> str:
    """Of Keras' own layer, from which `training_form` derives faster ones."""
    own = (keras.layers.BatchNormalization, keras.layers.Conv2D)
    return next((kind.__name__ for kind in own if isinstance(layer, kind)), type(layer).__name__)


def _read_named(group: Any) -> WeightsByLayer:
    """The layout of Keras 1 and 2: groups with the layers' names."""
    weights = {}
    for layer_name in _decoded(group.attrs["layer_names"]):
        names = _decoded(group[layer_name].attrs["weight_names"])
        if names:
            weights[layer_name] = [np.asarray(group[layer_name][name]) for name in names]
    return weights


def _decoded(names: Any) -> list[str]:
    return [name.decode() if isinstance(name, bytes) else str(name) for name in names]


def _layers_of(archive: zipfile.ZipFile) -> list[tuple[str, str]]:
    """Class and name of each layer of a .keras file."""
    config = json.loads(archive.read("config.json"))
    return [(x["class_name"], x["config"]["name"]) for x in config["config"]["layers"]]


def _read_numbered(file: Any, layers: list[tuple[str, str]]) -> WeightsByLayer:
    return {
        layer_name: _arrays(variables) for layer_name, variables in _numbered_groups(file, layers)
    }


def _arrays(variables: Any) -> list[np.ndarray]:
    return [np.asarray(variables[str(i)]) for i in range(len(variables))]


def _groups(file: Any) -> Any:
    return file["layers"] if "layers" in file else file["_layer_checkpoint_dependencies"]


def _numbered_groups(file: Any, layers: list[tuple[str, str]]) -> Iterator[tuple[str, Any]]:
    """Keras 3's layout: groups named by class and counted in layer order."""
    groups = _groups(file)
    counts: dict[str, int] = {}
    for class_name, layer_name in layers:
        kind = _snake_case(class_name)
        count = counts.get(kind, 0)
        counts[kind] = count + 1
        key = f"{kind}_{count}" if count else kind
        # Files that are saved by name rather than by class exist as well.
        variables = groups.get(f"{key}/vars", groups.get(f"{layer_name}/vars"))
        if variables is not None and len(variables):
            yield layer_name, variables


def _snake_case(class_name: str) -> str:
    """Keras' own spelling: DepthwiseConv2D is depthwise_conv2d."""
    name = re.sub(r"\W+", "", class_name)
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def rewrite_weights(template: str, path: str, weights: WeightsByLayer) -> None:
    """Copies a Keras 3 .keras file with other weights in some of its layers.

    tf_keras cannot write a file that Keras 3 reads; this needs neither.

    Args:
        template: an existing .keras file.
        path: of the new one; replaced if it exists.
        weights: all arrays of each layer that changes, in their old shapes.
    """
    with (
        zipfile.ZipFile(template) as source,
        files.replacing(path) as temporary,
        zipfile.ZipFile(temporary, "w") as target,
    ):
        for entry in source.infolist():
            content = source.read(entry)
            if entry.filename == "model.weights.h5":
                content = _with_weights(content, _layers_of(source), weights)
            target.writestr(entry, content)


def _with_weights(content: bytes, layers: list[tuple[str, str]], weights: WeightsByLayer) -> bytes:
    stream = io.BytesIO(content)
    with h5py.File(stream, "r+") as file:
        for layer_name, variables in _numbered_groups(file, layers):
            for i, array in enumerate(weights.get(layer_name, ())):
                variables[str(i)][...] = array
    return stream.getvalue()
