"""From a Keras model to the bytes of a .tflite, and to a file that keeps the contract."""

import dataclasses

import numpy as np

from export.form import HardSwish, export_form
from export.graph import Graph
from export.keras_graph import from_keras
from export.quantization.quantizer import Quantized, quantize_graph
from export.quantization.scale_choice import Chosen, choose_form_and_scales, choose_scales
from export.quantization.scales import Quantization
from export.recipes import RECIPES, Recipe
from export.writer import write_tflite
from mobilenet_tf import files
from mobilenet_tf.cli import WorkError
from mobilenet_tf.engine import keras
from mobilenet_tf.runtime import TFLiteModel


@dataclasses.dataclass(frozen=True)
class Conversion:
    """A converted model.

    Attributes:
        content: of the .tflite.
        quantized: how its integers were made; None for float activations.
    """

    content: bytes
    quantized: Quantized | None


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A model in the export form, its scales chosen; what is left can be done again cheaply.

    Attributes:
        name: of the model.
        recipe: from `export.recipes`.
        graph: in the export form.
        chosen: scales; None for float activations.
    """

    name: str
    recipe: Recipe
    graph: Graph
    chosen: Chosen | None

    def convert(self, float_layers: frozenset[str] = frozenset()) -> Conversion:
        """Corrects biases and writes the file.

        Args:
            float_layers: names of nodes that compute in float.

        Raises:
            ValueError: see `check_layers`.
        """
        check_layers(self.graph, float_layers)
        description = f"{self.name}, {self.recipe.name}, mobilenet_tf"
        if self.chosen is None:
            content = write_tflite(self.graph, self.recipe, Quantization(), description)
            return Conversion(content, None)
        quantized = quantize_graph(self.chosen, float_layers)
        content = write_tflite(quantized.graph, self.recipe, quantized.quantization, description)
        return Conversion(content, quantized)


def check_layers(graph: Graph, names: frozenset[str]) -> None:
    """Raises `ValueError` for names that a graph in the export form does not have."""
    unknown = sorted(names - {node.name for node in graph.nodes[1:]})
    if unknown:
        raise ValueError(
            "layers to keep in float must be layers of the model; see python -m "
            f"export.sensitivity. Received: {', '.join(unknown)}"
        )


def prepare(
    model: keras.Model,
    recipe: Recipe,
    calibration: np.ndarray | None,
    hard_swish: HardSwish,
    seed: int,
) -> Prepared:
    """Brings a model into the export form and chooses its scales.

    Args:
        model: float32 (batch, height, width, 3) in [0, 255] to probabilities.
        recipe: from `export.recipes`, not a stock one.
        calibration: uint8 (images, height, width, 3) for recipes that need it.
        hard_swish: see `form.export_form`.
        seed: see `scale_choice.choose_scales`.

    Returns:
        A `Prepared`.

    Raises:
        ValueError: layers that no MobileNet has, values that are not finite,
            or missing calibration images.
    """
    graph = export_form(from_keras(model), hard_swish)
    chosen = None
    if recipe.activation_bits is not None:
        if calibration is None or not len(calibration):
            raise ValueError(f"{recipe.name} needs calibration images. Received: none")
        if recipe.activation_bits == 8:
            chosen = choose_form_and_scales(graph, calibration, seed)
        else:
            chosen = choose_scales(graph, calibration, recipe.activation_bits, seed)
    return Prepared(model.name, recipe, graph, chosen)


def write_trained(name: str, graph: Graph, quantization: Quantization) -> bytes:
    """The int8 file of quantization-aware training: exactly its weights and ranges."""
    description = f"{name}, int8, quantization-aware, mobilenet_tf"
    return write_tflite(graph, RECIPES["int8"], quantization, description)


def write_file(content: bytes, recipe: Recipe, path: str) -> None:
    """Writes a .tflite after it ran once and kept the contract.

    Args:
        content: of the file.
        recipe: that made it.
        path: replaced if it exists.

    Raises:
        WorkError: the interpreter cannot run it, or it breaks the contract;
            nothing is written.
    """
    with files.replacing(path) as temporary:
        with open(temporary, "wb") as file:
            file.write(content)
        try:
            model = TFLiteModel(temporary)
            model.set_image(np.zeros((*model.image_size, 3), np.uint8))
            model.invoke()
        except (ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise WorkError(
                f"the installed LiteRT must have kernels for every operation of the file; use "
                f"another --quantize. Received: --quantize {recipe.name} ({reason})"
            ) from None
        _check_contract(model, recipe)


def _check_contract(model: TFLiteModel, recipe: Recipe) -> None:
    """What every client relies on; see docs/contract.md."""
    problems = []
    if model.input.dtype != recipe.input_dtype:
        problems.append(f"input {model.input.dtype}")
    if recipe.input_dtype == "uint8" and (model.input.scale, model.input.zero_point) != (1.0, 0):
        problems.append(f"input scale {model.input.scale}, zero point {model.input.zero_point}")
    if model.output.dtype != "float32" or len(model.output.shape) != 2:
        problems.append(f"output {model.output.dtype} {model.output.shape}")
    if problems:
        raise WorkError(
            f"the file must take raw RGB bytes as {recipe.input_dtype} and give float32 "
            f"probabilities; build the model with include_preprocessing=True and its top. "
            f"Received: {', '.join(problems)}"
        )
