"""What the command lines share: option types, network options, error lines.

No TensorFlow import, so that `--help` and wrong usage answer at once.
"""

import argparse
import functools
import math
import os
import sys
from collections.abc import Callable
from typing import TypeVar

from mobilenet_tf import layout, specs

Number = TypeVar("Number", int, float)

USAGE_ERROR = 2
WORK_ERROR = 1


class UsageError(Exception):
    """Wrong usage: one line on stderr, exit code 2."""


class WorkError(Exception):
    """Work that failed for a reason the user can act on: one line, exit code 1."""


class _Formatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows defaults, but not the meaningless "(default: None)"."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default is None or action.default is False:
            return action.help
        return super()._get_help_string(action)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        """One line instead of the whole usage text, which `--help` shows."""
        self.exit(USAGE_ERROR, f"error: {message}. See --help\n")


def parser(doc: str | None, prog: str | None = None) -> argparse.ArgumentParser:
    """An argument parser whose help starts with the first line of `doc`."""
    summary = (doc or "").strip().splitlines()[0]
    return _Parser(prog=prog, description=summary, formatter_class=_Formatter, allow_abbrev=False)


def exits(main: Callable[..., int]) -> Callable[..., int]:
    """Turns the errors a user can cause into one line and an exit code.

    `UsageError` gives 2; `WorkError`, `ValueError` and `OSError` give 1. Any
    other exception is a defect of ours and keeps its traceback.
    """

    @functools.wraps(main)
    def run(argv: list[str] | None = None) -> int:
        try:
            return main(argv)
        except UsageError as error:
            return _report(error, USAGE_ERROR)
        except (WorkError, ValueError) as error:
            return _report(error, WORK_ERROR)
        except BrokenPipeError:
            # The reader (head, say) has gone: no message, and none at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        except OSError as error:
            if not error.filename or not error.strerror:
                return _report(error.strerror or error, WORK_ERROR)
            return _report(
                "a file or folder must exist and be usable; mend it or name another. "
                f"Received: {error.filename} ({error.strerror})",
                WORK_ERROR,
            )
        except KeyboardInterrupt:
            return _report("interrupted", 130)

    return run


def _report(error: object, code: int) -> int:
    text = " ".join(str(error).split())
    print(f"error: {text}", file=sys.stderr)
    return code


def positive_int(text: str) -> int:
    """Option type: a whole number of at least 1."""
    return _number(text, int, "a whole number of at least 1", lambda value: value >= 1)


def several(text: str) -> int:
    """Option type: a whole number of at least 2."""
    return _number(text, int, "a whole number of at least 2", lambda value: value >= 2)


def whole_number(text: str) -> int:
    """Option type: a whole number of at least 0."""
    return _number(text, int, "a whole number of at least 0", lambda value: value >= 0)


def seed(text: str) -> int:
    """Option type: a whole number that random generators take."""
    most = 2**32 - 1
    rule = f"a whole number from 0 to {most}"
    return _number(text, int, rule, lambda value: 0 <= value <= most)


def name(text: str) -> str:
    """Option type: a path or name; an empty one is an unset variable of a shell."""
    if not text.strip():
        raise argparse.ArgumentTypeError(f"must not be empty. Received: {text!r}")
    return text


def positive_float(text: str) -> float:
    """Option type: a finite number above 0."""
    return _number(text, float, "a number above 0", lambda value: value > 0)


def finite_float(text: str) -> float:
    """Option type: a finite number."""
    return _number(text, float, "a finite number", lambda value: True)


def non_negative_float(text: str) -> float:
    """Option type: a finite number of at least 0."""
    return _number(text, float, "a number of at least 0", lambda value: value >= 0)


def fraction(text: str) -> float:
    """Option type: a number from 0 up to, not including, 1."""
    return _number(text, float, "a number from 0 to below 1", lambda value: 0 <= value < 1)


def part(text: str) -> float:
    """Option type: a number between 0 and 1."""
    return _number(text, float, "a number above 0 and below 1", lambda value: 0 < value < 1)


def share(text: str) -> float:
    """Option type: a number from 0 to 1."""
    return _number(text, float, "a number from 0 to 1", lambda value: 0 <= value <= 1)


def image_size(text: str) -> int:
    """Option type: a side in pixels that the networks accept."""
    least, most = layout.MIN_IMAGE_SIZE, 4096
    rule = f"a whole number from {least} to {most}"
    return _number(text, int, rule, lambda value: least <= value <= most)


def _number(
    text: str, kind: Callable[[str], Number], rule: str, accepts: Callable[[Number], bool]
) -> Number:
    try:
        value = kind(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be {rule}. Received: {text}") from None
    if not math.isfinite(value) or not accepts(value):
        raise argparse.ArgumentTypeError(f"must be {rule}. Received: {text}")
    return value


def add_network_options(parser: argparse.ArgumentParser, with_alpha: bool = True) -> None:
    """Adds the options that choose a network."""
    group = parser.add_argument_group("network")
    group.add_argument(
        "--version",
        choices=specs.VERSIONS,
        help="the MobileNet to build (this option never prints the program's version)",
    )
    group.add_argument("--size", choices=specs.SIZES, help="of v3 (default: small)")
    group.add_argument(
        "--minimalistic", action="store_true", help="v3 with 3x3 kernels, ReLU, no squeeze-excite"
    )
    if with_alpha:  # A grid has --alphas instead.
        group.add_argument("--alpha", type=positive_float, default=1.0, help="width multiplier")
    group.add_argument(
        "--profile",
        choices=[name for profiles in specs.PROFILES.values() for name in profiles],
        help="channel counts searched by AMC: v1 amc, 0.5flops, 0.5time; v2 0.7flops",
    )
    group.add_argument(
        "--reduced-tail",
        choices=specs.REDUCED_TAILS,
        help="v3 with half the channels after its last stride, in either convention",
    )
    group.add_argument(
        "--last-map",
        type=int,
        choices=layout.LAST_MAPS,
        help="least side of the last feature map; strides are dropped to reach it "
        f"(default: {layout.DEFAULT_LAST_MAP})",
    )


def spec_from(args: argparse.Namespace) -> specs.Spec:
    """The spec that the network options name.

    Raises:
        UsageError: options that do not belong together.
    """
    if args.version is None:
        raise UsageError("--version is required: v1, v2 or v3. See --help. Received: none")
    try:
        return specs.get_spec(
            args.version, args.size, args.minimalistic, args.profile, args.reduced_tail
        )
    except ValueError as error:
        raise UsageError(str(error)) from None
