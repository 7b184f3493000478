"""Says what .tflite files of any maker are made of, and which clients will refuse them.

python -m export.inspect FILE.tflite...
"""

import argparse
import dataclasses
import json
import sys

from export.inspection.facts import FileFacts, inspect_file
from export.inspection.facts_text import format_comparison, format_facts
from mobilenet_tf import cli


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Parses the command line; exits with 2 on wrong usage."""
    parser = cli.parser(__doc__, prog="python -m export.inspect")
    parser.add_argument("files", nargs="+", metavar="FILE.tflite", help="models of any maker")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    return parser.parse_args(argv)


@cli.exits
def main(argv: list[str] | None = None) -> int:
    """Inspects; returns 1 where a file is not intact or does not load."""
    args = parse_args(argv)
    files: list[tuple[str, FileFacts]] = []
    problems = []
    for path in args.files:
        try:
            files.append((path, inspect_file(path)))
        except (OSError, ValueError) as error:
            problems.append(_reason(path, error))
    if args.json:
        values = [{"file": path} | dataclasses.asdict(facts) for path, facts in files]
        print(json.dumps(values, indent=2))
    else:
        parts = [format_facts(path, facts) for path, facts in files]
        if len(files) > 1:
            parts.insert(0, format_comparison(files))
        print("\n\n".join(parts) + "\n" if parts else "", end="")
    problems += [
        f"the model must load in LiteRT. Received: {path} ({facts.partitions.problem})"
        for path, facts in files
        if facts.partitions.problem
    ]
    for problem in problems:
        print(f"error: {' '.join(problem.split())}", file=sys.stderr)
    return cli.WORK_ERROR if problems else 0


def _reason(path: str, error: OSError | ValueError) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {path}"
    return str(error)


if __name__ == "__main__":
    sys.exit(main())
