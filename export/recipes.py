"""The ways to store a model's numbers, by the names of `--quantize`."""

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What the converter is told.

    Attributes:
        name: of `--quantize`.
        weights: how weights are stored.
        input_dtype: of the image tensor, always raw RGB in 0..255.
        needs_calibration: True where activations are quantized too.
        file_suffix: at the end of the file's name.
    """

    name: str
    weights: Literal["float32", "float16", "int8"]
    input_dtype: Literal["float32", "uint8"]
    needs_calibration: bool
    file_suffix: str


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("none", "float32", "float32", False, "float32"),
        Recipe("float16", "float16", "float32", False, "float16"),
        Recipe("dynamic", "int8", "float32", False, "dynamic"),
        Recipe("int8", "int8", "uint8", True, "int8"),
    )
}
