"""The numbers of a quantization-aware run, exact, as its int8 file must have them."""

import dataclasses
import os

import numpy as np

from export.folding import integer_form
from export.graph import Graph, Node, rewrite
from export.quantization.scales import Quantization, TensorScale
from export.quantization.swish_equalization import NO_SWISHES, SwishFactors
from mobilenet_tf import files, runs

_SWISH = "swish/"
_TOLERANCE = 1e-3  # Relative, between a run's two files: rounding, but no other training.


def save(
    path: str, graph: Graph, quantization: Quantization, swishes: SwishFactors = NO_SWISHES
) -> None:
    """Writes kernels, biases, scales and factors as .npz.

    Args:
        path: of the file; replaced if it exists.
        graph: of `folding.integer_form`, trained.
        quantization: 8 bits, as trained.
        swishes: factors of the graph's equalized hard-swishes.
    """
    arrays: dict[str, np.ndarray] = {}
    for node in graph.nodes:
        if node.weighted:
            arrays[f"kernel/{node.name}"], arrays[f"bias/{node.name}"] = node.numbers()
    for name, scale in quantization.scales.items():
        arrays[f"scale/{name}"] = np.array([scale.scale, scale.zero_point])
    for name, factors in swishes.items():
        arrays[f"{_SWISH}{name}"] = factors
    with files.replacing(path) as temporary:
        np.savez(temporary, **arrays)  # type: ignore[arg-type]


def is_beside(model_path: str) -> bool:
    """Whether a .keras file is a quantization-aware run's model.keras."""
    return os.path.basename(model_path) == runs.MODEL and os.path.isfile(_path_beside(model_path))


def _path_beside(model_path: str) -> str:
    return os.path.join(os.path.dirname(model_path), runs.QUANTIZATION)


def load_beside(model_path: str, raw: Graph) -> tuple[Graph, Quantization] | None:
    """What a quantization-aware run found, if a model is of one.

    Args:
        model_path: of a .keras file.
        raw: the model as `keras_graph.from_keras` reads it.

    Returns:
        The graph and the scales to write, or None where the model is no
        quantization-aware run's model.keras.

    Raises:
        ValueError: a damaged file, or one that belongs with another model.
    """
    if not is_beside(model_path):
        return None
    path = _path_beside(model_path)
    try:
        with np.load(path) as content:
            arrays = {key: content[key] for key in content.files}
        swishes = {
            key.removeprefix(_SWISH): factors
            for key, factors in arrays.items()
            if key.startswith(_SWISH)
        }
        graph = rewrite(integer_form(raw, swishes), lambda node: [_with_numbers(node, arrays)])
        scales = {
            node.name: TensorScale(float(scale), int(zero_point))
            for node in graph.nodes
            if node.op != "softmax"
            for scale, zero_point in [arrays[f"scale/{node.name}"]]
        }
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise ValueError(
            f"{runs.QUANTIZATION} must be as train.py wrote it, beside its own model.keras. "
            f"Received: {path} ({error})"
        ) from None
    return graph, Quantization(scales)


def _with_numbers(node: Node, arrays: dict[str, np.ndarray]) -> Node:
    if not node.weighted:
        return node
    kernel, bias = arrays[f"kernel/{node.name}"], arrays[f"bias/{node.name}"]
    for own, stored in zip(node.numbers(), (kernel, bias)):
        if own.shape != stored.shape:
            raise ValueError(f"{node.name} is {own.shape}, not {stored.shape}")
        if np.abs(own - stored).max() > _TOLERANCE * max(np.abs(own).max(), 1e-3):
            raise ValueError(f"{node.name} has other weights")
    return dataclasses.replace(node, kernel=kernel, bias=bias)
