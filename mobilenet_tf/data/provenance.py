"""Where a data set comes from, for those who must know whether they may use it."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Provenance:
    """Origin and licence of a data set.

    Attributes:
        source: what it is and where it can be had, in a line.
        license: of the data; None where nobody has said it.
        citation: BibTeX of its paper; "" if there is none.
    """

    source: str
    license: str | None = None
    citation: str = ""
