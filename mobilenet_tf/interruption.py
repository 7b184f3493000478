"""Ctrl-C and SIGTERM during a training: noted, and met after a whole step."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from mobilenet_tf.progress import say

_SIGNALS = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}


class Interruption:
    """Whether somebody has asked the training to stop.

    Attributes:
        received: "Ctrl-C" or "SIGTERM"; None so far.
    """

    def __init__(self) -> None:
        self.received: str | None = None

    def note(self, number: int, frame: FrameType | None) -> None:
        """A signal handler: the second time it stops at once."""
        if self.received is not None:
            raise KeyboardInterrupt
        self.received = _SIGNALS[signal.Signals(number)]
        say(f"{self.received}: saving after this step (again: stop at once, without)")


@contextlib.contextmanager
def deferred() -> Iterator[Interruption]:
    """Notes the signals instead of raising `KeyboardInterrupt` wherever it hits.

    A half exchanged set of weights, or a step that is counted and not taken,
    could not be gone on from exactly.

    Yields:
        What has been received. Outside the main thread, where Python allows no
        handlers, nothing ever is.
    """
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    before = {number: signal.signal(number, interruption.note) for number in _SIGNALS}
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
