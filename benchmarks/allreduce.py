"""Estimates, on paper, how a training step grows with workers: no cluster is measured.

    python -m benchmarks.allreduce --workers 1 2 4 8 --gbits 1 10 25

A step of n workers is the computation of its share of the global batch, a ring
all-reduce of the gradients, and two messages for every BatchNorm (its statistics
forwards, their gradients backwards). A ring sends 2 (n - 1) / n of the bytes and
takes 2 (n - 1) hops one after another. Nothing is assumed to overlap.
"""

import argparse
import dataclasses
import sys

from mobilenet_tf import cli, specs
from mobilenet_tf.complexity import Complexity, complexity

_FLOAT_BYTES = 4
_PASSES = 3  # Of a training step, in forward passes: backwards costs two.
NETWORKS = (specs.V1, specs.V2, specs.V3_SMALL, specs.V3_LARGE)


@dataclasses.dataclass(frozen=True)
class Traffic:
    """What one step of one network sends, before the ring's factor.

    Attributes:
        gradient_bytes: of all trainable parameters, float32.
        norm_bytes: of BatchNorm's statistics and their gradients, a row for
            each worker.
        norm_messages: all-reduces that cannot wait for one another.
    """

    gradient_bytes: int
    norm_bytes: int
    norm_messages: int


@dataclasses.dataclass(frozen=True)
class Network:
    """What connects the workers.

    Attributes:
        gbits: bandwidth of a link in 1e9 bits per second.
        hop_us: latency of one hop in microseconds.
    """

    gbits: float
    hop_us: float


def traffic(cost: Complexity, workers: int) -> Traffic:
    """Counts what a step sends."""
    # Moving statistics, two a channel, are what tells a layer with a BatchNorm.
    channels = [(layer.parameters - layer.trainable_parameters) // 2 for layer in cost.layers]
    return Traffic(
        gradient_bytes=_FLOAT_BYTES * cost.trainable_parameters,
        norm_bytes=_FLOAT_BYTES * 2 * 2 * workers * sum(channels),
        norm_messages=2 * sum(count > 0 for count in channels),
    )


def ring_ms(sent: Traffic, workers: int, network: Network) -> float:
    """Milliseconds of all messages of a step; 0 for one worker."""
    bytes_sent = 2 * (workers - 1) / workers * (sent.gradient_bytes + sent.norm_bytes)
    hops = 2 * (workers - 1) * (sent.norm_messages + 1)
    return bytes_sent * 8 / (network.gbits * 1e6) + hops * network.hop_us * 1e-3


def compute_ms(cost: Complexity, images: float, gmacs_per_second: float) -> float:
    """Milliseconds to compute a training step of some images."""
    return _PASSES * cost.macs * images / (gmacs_per_second * 1e6)


def _parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = cli.parser(__doc__)
    parser.add_argument(
        "--workers", type=cli.positive_int, nargs="+", default=[1, 2, 4, 8], metavar="N"
    )
    parser.add_argument(
        "--gbits", type=cli.positive_float, nargs="+", default=[1.0, 10.0, 25.0], metavar="G"
    )
    parser.add_argument(
        "--hop-us", type=cli.non_negative_float, default=50.0, help="latency of a hop, TCP"
    )
    parser.add_argument(
        "--gmacs-per-second",
        type=cli.positive_float,
        default=50.0,
        metavar="G",
        help="that one worker computes in training",
    )
    parser.add_argument("--batch-size", type=cli.positive_int, default=256, help="of all workers")
    parser.add_argument("--image-size", type=cli.image_size, default=224)
    parser.add_argument("--classes", type=cli.positive_int, default=1000)
    return parser.parse_args(argv)


@cli.exits
def main(argv: list[str] | None = None) -> int:
    """Prints the table in Markdown; returns the exit code."""
    args = _parse_args(argv)
    print("| network | gradients MB | BatchNorm messages | Gbit/s | step ms: ", end="")
    print(" | ".join(f"{n} workers" if n > 1 else "1 worker" for n in args.workers), "|")
    print("|---|---|---|---|" + "---|" * len(args.workers))
    for spec in NETWORKS:
        cost = complexity(spec, image_size=args.image_size, classes=args.classes)
        for gbits in args.gbits:
            network = Network(gbits, args.hop_us)
            sent = traffic(cost, max(args.workers))
            cells = [
                compute_ms(cost, args.batch_size / n, args.gmacs_per_second)
                + ring_ms(traffic(cost, n), n, network)
                for n in args.workers
            ]
            print(
                f"| {spec.name} | {sent.gradient_bytes / 1e6:.1f} | {sent.norm_messages} "
                f"| {gbits:g} | " + " | ".join(f"{ms:,.0f}" for ms in cells) + " |"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
