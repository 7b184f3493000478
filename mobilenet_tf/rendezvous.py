"""Waiting until all processes of a cluster are there, in a way that can be interrupted.

TensorFlow waits for the others in C++, where neither Ctrl-C nor SIGTERM end it,
and names a port that is in use as a lost process. So each process first listens
at its own address and connects to the others', and starts TensorFlow, which
listens there in its place, when it has met them all.
"""

import socket
import time

from mobilenet_tf.cli import WorkError
from mobilenet_tf.progress import say

_POLL_S = 0.2
_CONNECT_S = 2.0
_REMIND_S = 30.0


def meet(own: str, others: list[str]) -> None:
    """Waits until a process has listened at every address.

    The caller must listen at its own one next, and go on doing so: others may
    have yet to see this one.

    Args:
        own: host:port of this process.
        others: those of the rest.

    Raises:
        WorkError: this process cannot listen at its port.
    """
    with _listening(own):
        missing, reminded = list(others), time.monotonic()
        while missing:
            missing = [address for address in missing if not _is_there(address)]
            if missing and time.monotonic() - reminded > _REMIND_S:
                reminded = time.monotonic()
                say(f"still waiting for {', '.join(missing)}")
            if missing:
                time.sleep(_POLL_S)


def _listening(address: str) -> socket.socket:
    port = int(address.rpartition(":")[2])
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # As after a restart.
    try:
        listener.bind(("", port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise WorkError(
            "the port of this process must be free; end what listens there or choose another for "
            f"all processes. Received: {address} ({error.strerror})"
        ) from None
    return listener


def _is_there(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_S).close()
    except OSError:  # Not there yet, or not known to the name service yet.
        return False
    return True
