"""The published latencies that the model is fitted on, with their sources."""

import dataclasses
import json
import pathlib

from mobilenet_tf import specs
from mobilenet_tf.complexity import Complexity, complexity

PUBLISHED = pathlib.Path(__file__).parent / "published.json"
CLASSES = 1001  # Of the published checkpoints: ImageNet's and a background.
SPECS = {spec.name: spec for spec in specs.NETWORKS}


@dataclasses.dataclass(frozen=True)
class Network:
    """A network as a table names it.

    Attributes:
        name: key of `SPECS`.
        alpha: width multiplier.
        image_size: side of the square input, in pixels.
        form: "float32" or "int8".
    """

    name: str
    alpha: float
    image_size: int
    form: str

    @property
    def family(self) -> tuple[str, float]:
        """What is held out together: the same layers at all sizes and in both forms."""
        return self.name, self.alpha

    @property
    def complexity(self) -> Complexity:
        """Parameters and MACs."""
        return complexity(SPECS[self.name], self.alpha, self.image_size, CLASSES)


@dataclasses.dataclass(frozen=True)
class Row:
    """One published latency, in milliseconds."""

    network: Network
    ms: float


@dataclasses.dataclass(frozen=True)
class Table:
    """Latencies of one device, measured by one author with one runtime.

    Attributes:
        name: unique.
        device: key of `devices.DEVICES`.
        title: short, for sentences.
        source: repository, file, table and column.
        url: of the edition that was read.
        edition: commit and, where stated, the date of the measurement.
        runtime: that ran the networks.
        threads: of the runtime.
        core: of the phone, as far as it is stated.
        rows: at least one.
    """

    name: str
    device: str
    title: str
    source: str
    url: str
    edition: str
    runtime: str
    threads: int
    core: str
    rows: tuple[Row, ...]


def load_tables() -> tuple[Table, ...]:
    """Reads the tables that are shipped."""
    content = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    return tuple(
        Table(**{key: value for key, value in table.items() if key != "rows"}, rows=_rows(table))
        for table in content["tables"]
    )


def _rows(table: dict[str, list[list]]) -> tuple[Row, ...]:
    return tuple(Row(Network(*cells[:-1]), cells[-1]) for cells in table["rows"])
