"""Waiting until all processes of a cluster are there, in a way that can be interrupted.

TensorFlow waits for the others in C++, where neither Ctrl-C nor SIGTERM end it,
and names a port that is in use as a lost process. So each process first listens
at its own address and connects to the others', and starts TensorFlow, which
listens there in its place, when it has met them all. Each says who it is, since
any program may answer at a port: this module by a greeting, TensorFlow's gRPC by
the SETTINGS frame that HTTP/2 servers begin with (RFC 9113, section 3.4).
"""

import contextlib
import socket
import sys
import threading
import time
from collections.abc import Iterator

from mobilenet_tf.cli import WorkError
from mobilenet_tf.progress import say

_POLL_S = 0.2
_CONNECT_S = 2.0
_REMIND_S = 30.0
_GREETING = b"mobilenet_tf\n"
_SETTINGS = slice(3, 9), b"\x04\x00\x00\x00\x00\x00"  # After its length: type, flags, stream 0.


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
    with _greeting(_listening(own)):
        missing, reminded = list(others), time.monotonic()
        while missing:
            missing = [address for address in missing if not _is_there(address)]
            if missing and time.monotonic() - reminded > _REMIND_S:
                reminded = time.monotonic()
                # Also from those who are silent: only they know whom they miss.
                with contextlib.redirect_stderr(sys.__stderr__ or sys.stderr):
                    say(f"still waiting for {', '.join(map(_named, missing))}")
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


@contextlib.contextmanager
def _greeting(listener: socket.socket) -> Iterator[None]:
    """Tells all who connect that they have found what they look for."""
    ended = threading.Event()

    def greet() -> None:
        while not ended.is_set():
            with contextlib.suppress(OSError):  # Nobody came, or went at once.
                connection, _ = listener.accept()
                with connection:
                    connection.sendall(_GREETING)

    listener.settimeout(_POLL_S)
    thread = threading.Thread(target=greet, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        listener.close()


def _is_there(address: str) -> bool:
    said = _first_bytes(address) or b""
    place, settings = _SETTINGS
    return said.startswith(_GREETING) or said[place] == settings


def _named(address: str) -> str:
    """An address, and what is wrong with it."""
    other = _first_bytes(address) is not None
    return f"{address} (where another program answers)" if other else address


def _first_bytes(address: str) -> bytes | None:
    """What is said at an address to whoever connects; None where nobody is."""
    host, _, port = address.rpartition(":")
    said = b""
    try:
        connection = socket.create_connection((host.strip("[]"), int(port)), _CONNECT_S)
    except OSError:  # Not there yet, or not known to the name service yet.
        return None
    with connection, contextlib.suppress(OSError):
        while len(said) < len(_GREETING) and (more := connection.recv(64)):
            said += more
    return said
