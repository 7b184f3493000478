"""Prints README's table of networks from the committed measurements.

python -m benchmarks.table
"""

import json
import pathlib
import sys
from typing import Any

from mobilenet_tf import specs
from mobilenet_tf.complexity import complexity

RESULTS = pathlib.Path(__file__).parent / "results"
_NETWORKS = {
    "MobileNetV1": specs.V1,
    "MobileNetV2": specs.V2,
    "MobileNetV3-Small": specs.V3_SMALL,
    "MobileNetV3-Large": specs.V3_LARGE,
    "V3-Small minimalistic": specs.minimalistic(specs.V3_SMALL),
    "V3-Large minimalistic": specs.minimalistic(specs.V3_LARGE),
}


def read_result(spec_name: str) -> dict[str, Any]:
    """What `benchmarks.sweep --output benchmarks/results/latency_<spec>` wrote."""
    with open(RESULTS / f"latency_{spec_name}.json", encoding="utf-8") as file:
        return json.load(file)


def markdown_table() -> str:
    """A row per network: counted parameters and MACs, measured size and latency."""
    lines = [
        "| network | parameters | MACs | float32 MB | int8 MB | float32 ms | int8 ms |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, spec in _NETWORKS.items():
        counts = complexity(spec)
        rows = {row["quantize"]: row for row in read_result(spec.name)["rows"]}
        cells = [
            name,
            f"{counts.trainable_parameters:,d}",
            f"{counts.macs / 1e6:.1f} M",
            *(f"{rows[mode]['size_bytes'] / 1e6:.2f}" for mode in ("none", "int8")),
            *(f"{rows[mode]['median_ms']:.2f}" for mode in ("none", "int8")),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def machine_line() -> str:
    """Where and with what the table was measured."""
    machine = read_result("v1")["machine"]
    versions = machine["versions"]
    return (
        f"{machine['cpu']} ({machine['architecture']}), 1 thread, LiteRT "
        f"{versions['ai-edge-litert']}, TensorFlow {versions['tensorflow']}, "
        f"{machine['date_time'][:10]}, median"
    )


if __name__ == "__main__":
    print(f"{machine_line()}\n\n{markdown_table()}")
    sys.exit(0)
