"""Processes that wait for each other before TensorFlow starts."""

import concurrent.futures
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from mobilenet_tf import rendezvous
from mobilenet_tf.cli import WorkError


def _free_addresses(count: int) -> list[str]:
    listeners = [socket.socket() for _ in range(count)]
    for listener in listeners:
        listener.bind(("127.0.0.1", 0))
    found = [f"127.0.0.1:{listener.getsockname()[1]}" for listener in listeners]
    for listener in listeners:
        listener.close()
    return found


def test_all_meet_however_late_they_come():
    places = _free_addresses(3)
    all_met = threading.Barrier(3, timeout=30)

    def come(i: int) -> float:
        time.sleep(0.3 * i)
        rendezvous.meet(places[i], places[:i] + places[i + 1 :])
        ended = time.monotonic()
        with socket.socket() as successor:  # As TensorFlow does.
            successor.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            successor.bind(("", int(places[i].rpartition(":")[2])))
            successor.listen()
            all_met.wait()
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
