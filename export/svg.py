"""Figures of matplotlib as SVG elements for a page."""

import io
import re
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def figure_svg(draw: "Callable[[], Figure]", name: str) -> str:
    """Draws a figure as an SVG element to put into HTML.

    Args:
        draw: makes the figure.
        name: of the figure, unlike that of any other on the same page: the parts
            that refer to each other are named after it.

    Returns:
        From <svg to </svg>, transparent; black lines and text have the colour of
        the text around them.
    """
    import matplotlib  # Slow to import; most callers do without.

    stream = io.StringIO()
    # Text stays text: small, searchable, and in the reader's fonts.
    context = matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name})
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with context, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # Not our fonts.
        draw().savefig(stream, format="svg", transparent=True, metadata=nothing)
    text = stream.getvalue()
    text = re.sub(r'<g id="[^"]*">', "<g>", text)  # Every figure has the same; none is referred to.
    return text[text.index("<svg") :].replace("#000000", "currentColor").strip()
