"""Models the latency of .tflite files on a phone, from counted ARM instructions.

python -m benchmarks.estimate FILE.tflite... --device pixel1
"""

import argparse
import dataclasses
import sys

from benchmarks.arm.counts import ArmUnavailable
from benchmarks.estimate.devices import DEVICES, Refused, check_threads, find_device
from benchmarks.estimate.model import Estimate, estimate
from benchmarks.estimate.records import load_records
from benchmarks.estimate.tables import load_tables
from benchmarks.report import check_json_path, write_json
from mobilenet_tf import cli
from mobilenet_tf.progress import progress


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Parses the command line; exits with 2 on wrong usage."""
    parser = cli.parser(__doc__, prog="python -m benchmarks.estimate")
    parser.add_argument("files", nargs="+", metavar="FILE.tflite", help="to count and model")
    parser.add_argument("--device", required=True, help=f"the phone: {', '.join(DEVICES)}")
    parser.add_argument(
        "--num-threads", type=cli.positive_int, default=1, metavar="N", help="only 1 is modelled"
    )
    parser.add_argument("--json", metavar="OUT.json", help="file to store the estimates in")
    parser.add_argument("--overwrite", action="store_true", help="replace the --json file")
    return parser.parse_args(argv)


@cli.exits
def main(argv: list[str] | None = None) -> int:
    """Prints a line per file; returns 1 where an estimate was refused."""
    args = parse_args(argv)
    device = find_device(args.device)
    check_threads(args.num_threads)
    if args.json is not None:
        check_json_path(args.json, args.overwrite)
    tables, records = load_tables(), load_records()
    estimates: list[Estimate] = []
    refused: dict[str, str] = {}
    for path in progress(args.files, len(args.files), "counting"):
        try:
            estimates.append(estimate(path, device, tables, records))
        except ArmUnavailable:
            raise  # For all files alike.
        except (Refused, ValueError, OSError, cli.WorkError) as reason:  # The others go on.
            refused[path] = " ".join(str(reason).split())
            print(f"error: {path}: {reason}", file=sys.stderr)
        else:
            print(estimates[-1], flush=True)
    if args.json is not None:
        content = {
            "kind": "modelled, not measured",
            "device": dataclasses.asdict(device),
            "estimates": [dataclasses.asdict(found) for found in estimates],
            "refused": refused,
        }
        write_json(args.json, content, args.overwrite)
    return cli.WORK_ERROR if refused else 0


if __name__ == "__main__":
    sys.exit(main())
