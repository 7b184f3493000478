"""What a conversion is asked for."""

import dataclasses
import os
from typing import Any

from export.form import HardSwish
from export.recipes import Recipe

AUTO = "auto"


@dataclasses.dataclass(frozen=True)
class Budget:
    """What a file may cost, measured on the whole evaluation split. None: anything.

    Attributes:
        max_drop: greatest loss of top-1 in points against the Keras model.
        min_agreement: least share of images with the same answer, 0..1.
    """

    max_drop: float | None = None
    min_agreement: float | None = None

    def complaint(self, evaluation: dict[str, Any]) -> str | None:
        """What of a report's evaluation breaks the budget; None where nothing does."""
        drop = 100 * (evaluation["keras_top1"] - evaluation["tflite_top1"])
        if self.max_drop is not None and drop > self.max_drop + 1e-9:
            return f"a drop of {drop:.2f} points, more than --max-drop {self.max_drop:g}"
        agreement = evaluation["agreement"]
        if self.min_agreement is not None and agreement < self.min_agreement:
            return f"an agreement of {agreement:.4f}, less than {self.min_agreement:g}"
        return None


@dataclasses.dataclass(frozen=True)
class Settings:
    """How a model is converted.

    Attributes:
        recipe: from `export.recipes`.
        output: path of the .tflite; its report is written beside it, as .json
            and .html.
        hard_swish: one of `recipes.HARD_SWISH_FORMS`.
        calibration_samples: training images for recipes that calibrate.
        seed: of their choice.
        overwrite: replace existing files.
        budget: that the file must keep.
        keep_float: layers that compute in float: their names, or `AUTO` alone
            for the fewest that keep the budget.
        bundle: folder for a golden bundle; None for none.
    """

    recipe: Recipe
    output: str
    hard_swish: str = "auto"
    calibration_samples: int = 200
    seed: int = 0
    overwrite: bool = False
    budget: Budget = Budget()
    keep_float: tuple[str, ...] = ()
    bundle: str | None = None

    @property
    def hard_swish_form(self) -> HardSwish:
        """What `hard_swish` comes to."""
        return self.recipe.hard_swish_form(self.hard_swish)

    @property
    def report_path(self) -> str:
        """Of the report about an accepted file."""
        return f"{os.path.splitext(self.output)[0]}.json"

    @property
    def page_path(self) -> str:
        """Of the same report as a page."""
        return f"{os.path.splitext(self.output)[0]}.html"
