"""Processes that wait for each other before TensorFlow starts."""

import concurrent.futures
import contextlib
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from mobilenet_tf import rendezvous
from mobilenet_tf.cli import WorkError

# RFC 9113, sections 4.1 and 6.5: a length of 6, type 4, no flags, stream 0, and one setting.
SETTINGS = b"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x05\x00\x00\x40\x00"


def _free_addresses(count: int) -> list[str]:
    listeners = [socket.socket() for _ in range(count)]
    for listener in listeners:
        listener.bind(("127.0.0.1", 0))
    found = [f"127.0.0.1:{listener.getsockname()[1]}" for listener in listeners]
    for listener in listeners:
        listener.close()
    return found


def _answer(listener: socket.socket, words: bytes, until: threading.Barrier) -> None:
    """Says something to all who connect, until all have met."""
    listener.settimeout(0.1)
    waiting = threading.Thread(target=until.wait)
    waiting.start()
    while waiting.is_alive():
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            with connection:
                connection.sendall(words)


def test_tensorflow_s_server_is_known_by_what_it_says_first():
    import tensorflow as tf  # Its server has no end: in this process, it stays.

    (own,) = _free_addresses(1)
    server = tf.distribute.Server({"worker": [own]}, job_name="worker", task_index=0)
    assert server.target.endswith(own)
    assert rendezvous._is_there(own)


@pytest.mark.parametrize("words", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00" * 64])
def test_another_program_at_an_address_is_nobody(words):
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"

        def once() -> None:
            connection, _ = other.accept()
            with connection:
                connection.sendall(words)

        for check, expected in (
            (rendezvous._is_there, False),
            (rendezvous._named, f"{address} (where another program answers)"),
        ):
            thread = threading.Thread(target=once)
            thread.start()
            assert check(address) == expected
            thread.join()
    assert rendezvous._named(address) == address  # Now nobody is there.


def test_who_waits_names_whom_it_misses_also_where_it_is_silenced():
    own, missing = _free_addresses(2)
    code = (
        "import contextlib, io; from mobilenet_tf import rendezvous as r; r._REMIND_S = 0.1\n"
        f"with contextlib.redirect_stderr(io.StringIO()): r.meet({own!r}, [{missing!r}])"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    assert process.stderr.readline().strip() == f"still waiting for {missing}"
    process.kill()
    process.wait()


def test_all_meet_however_late_they_come():
    places = _free_addresses(3)
    all_met = threading.Barrier(3, timeout=30)

    def come(i: int) -> float:
        time.sleep(0.3 * i)
        rendezvous.meet(places[i], places[:i] + places[i + 1 :])
        ended = time.monotonic()
        with socket.create_server(("", int(places[i].rpartition(":")[2]))) as successor:
            _answer(successor, SETTINGS, all_met)
        return ended

    begun = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        ended = list(pool.map(come, range(3)))
    assert min(ended) - begun >= 0.6  # Nobody went on before the last one came.


def test_one_alone_waits_for_nobody():
    (own,) = _free_addresses(1)
    rendezvous.meet(own, [])
    rendezvous.meet(own, [])  # The port is free again.


def test_a_port_in_use_is_named():
    with socket.socket() as other:
        other.bind(("", 0))
        other.listen()
        own = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(WorkError, match=f"port .* must be free.*Received: {own}"):
            rendezvous.meet(own, [])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_waiting_ends_by_a_signal(number):
    own, missing = _free_addresses(2)
    # Where the tests run in the background, a shell has had SIGINT ignored.
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    code += f"from mobilenet_tf import rendezvous as r; print(1, flush=True); r.meet({own!r}, "
    process = subprocess.Popen(
        [sys.executable, "-c", f"{code}[{missing!r}])"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    process.stdout.readline()
    time.sleep(0.5)
    process.send_signal(number)
    assert process.wait(30) == -number
