"""What was counted and timed of our builds of the published networks."""

import dataclasses
import json
import pathlib
from typing import Any

from benchmarks.estimate.tables import Network

RECORDS = pathlib.Path(__file__).parent.parent / "results" / "published_counts.json"


@dataclasses.dataclass(frozen=True)
class Record:
    """One build of a published network.

    Attributes:
        network: which.
        host_ms: mean CPU time of an inference on the machine of the record,
            one thread. Wall time there says more of what else was running.
        counts: what one inference executes on `devices.CORE`: "instructions",
            and each instruction class by its name.
    """

    network: Network
    host_ms: float
    counts: dict[str, int]

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference."""
        return self.network.complexity.macs

    @property
    def moved_bytes(self) -> int:
        """Bytes of weights and of layer outputs, each once."""
        layers = self.network.complexity.layers
        values = sum(
            layer.trainable_parameters + layer.output_size**2 * layer.filters for layer in layers
        )
        return values * (4 if self.network.form == "float32" else 1)


Records = dict[Network, Record]


def load_records(path: pathlib.Path = RECORDS) -> Records:
    """Reads the records that are shipped."""
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    return {record.network: record for record in map(_record, rows)}


def _record(row: dict[str, Any]) -> Record:
    network = Network(row["name"], row["alpha"], row["image_size"], row["form"])
    return Record(network, row["host_ms"], row["counts"])
