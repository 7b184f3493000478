"""The ways to store a model's numbers, by the names of `--quantize`."""

import dataclasses
from typing import Literal

HARD_SWISH_FORMS = ("auto", "fused", "split")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a model is stored.

    Attributes:
        name: of `--quantize`.
        weights: how weights are stored.
        activation_bits: of activations; None for float32.
        input_dtype: of the image tensor, always raw RGB in 0..255.
        stock: True where TensorFlow's converter writes the file, which takes
            layers that the export form does not know.
        file_suffix: at the end of the file's name.
    """

    name: str
    weights: Literal["float32", "float16", "int8"]
    activation_bits: Literal[8, 16] | None
    input_dtype: Literal["float32", "uint8"]
    stock: bool
    file_suffix: str

    @property
    def needs_calibration(self) -> bool:
        """True where activations are quantized too."""
        return self.activation_bits is not None

    def hard_swish_form(self, asked: str) -> Literal["fused", "split"]:
        """How hard-swish is written; see docs/quantization.md for what decides "auto".

        Args:
            asked: one of `HARD_SWISH_FORMS`.

        Raises:
            ValueError: "fused" where no kernel exists for it.
        """
        if asked == "fused":
            if self.activation_bits == 16:
                raise ValueError(
                    "TFLite has no HARD_SWISH of 16 bits; use --hard-swish split or auto. "
                    "Received: --hard-swish fused"
                )
            return "fused"
        return "split" if asked == "split" or self.needs_calibration else "fused"


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("none", "float32", None, "float32", False, "float32"),
        Recipe("float16", "float16", None, "float32", False, "float16"),
        Recipe("dynamic", "int8", None, "float32", False, "dynamic"),
        Recipe("int8", "int8", 8, "uint8", False, "int8"),
        # TFLite cannot turn bytes into 16 bits: the image comes as floats.
        Recipe("int16x8", "int8", 16, "float32", False, "int16x8"),
        Recipe("int8-float-fallback", "int8", 8, "uint8", True, "int8_float_fallback"),
    )
}
