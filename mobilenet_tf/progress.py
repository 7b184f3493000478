"""Progress of long work on stderr: how far, and how long it will still take."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

_TERMINAL_SECONDS = 0.2  # Between updates of one line.
_LOG_SECONDS = 10.0  # Between lines where stderr is a file.


def duration(seconds: float) -> str:
    """Seconds as people say them: 45 s, 3 min 20 s, 2 h 05 min."""
    seconds = max(0, round(seconds))
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"


def say(text: str) -> None:
    """Prints a line that is no result: on stderr, at once."""
    print(text, file=sys.stderr, flush=True)


def progress(items: Iterable[T], total: int, label: str) -> Iterator[T]:
    """Passes items on and reports on stderr; silent for work of under a second.

    Args:
        items: to pass on.
        total: how many there are.
        label: what is being done, such as "reading images".

    Yields:
        The items.
    """
    is_terminal = sys.stderr.isatty()
    interval = _TERMINAL_SECONDS if is_terminal else _LOG_SECONDS
    start = first = time.monotonic()
    last, shown = start + 1.0 - interval, False
    try:
        for done, item in enumerate(items):
            now = time.monotonic()
            if done == 0:
                first = now  # What comes before the first item is set-up, not the pace.
            elif now - last >= interval:
                left = duration((now - first) / done * (total - done))
                _write(f"{label}: {done:,d} of {total:,d}, {left} left", is_terminal)
                last, shown = now, True
            yield item
        if shown:
            took = duration(time.monotonic() - start)
            _write(f"{label}: {total:,d} in {took}", is_terminal)
    finally:
        if shown and is_terminal:  # Whatever comes next starts a line of its own.
            print(file=sys.stderr, flush=True)


def _write(text: str, is_terminal: bool) -> None:
    line = f"\r\033[K{text}" if is_terminal else f"{text}\n"
    print(line, end="", file=sys.stderr, flush=True)
