"""Running a command again on tf_keras, for what Keras 3 cannot do.

The engine is chosen when it is imported, so it takes a process of its own.
"""

import contextlib
import os
import subprocess
import sys
from typing import NoReturn

SWITCH = "TF_USE_LEGACY_KERAS"


def is_chosen() -> bool:
    """True where this process uses tf_keras."""
    return os.environ.get(SWITCH, "").lower() in ("1", "true")


def replace_process(script: str, argv: list[str] | None) -> NoReturn:
    """Goes on as the same script with tf_keras, under the same process id.

    For commands that a cluster's manager watches and signals.

    Args:
        script: path of the .py file.
        argv: its arguments; None for this process's own.
    """
    arguments = sys.argv[1:] if argv is None else argv
    sys.stdout.flush()
    sys.stderr.flush()
    command = [sys.executable, script, *arguments]
    os.execve(sys.executable, command, os.environ | {SWITCH: "1"})


def run_again(script: str, argv: list[str] | None) -> int:
    """Runs a script with tf_keras.

    Args:
        script: path of the .py file.
        argv: its arguments; None for this process's own.

    Returns:
        Its exit code.
    """
    arguments = sys.argv[1:] if argv is None else argv
    environment = os.environ | {SWITCH: "1"}
    with subprocess.Popen([sys.executable, script, *arguments], env=environment) as process:
        while True:
            # Ctrl-C reaches both; the other one says what it means.
            with contextlib.suppress(KeyboardInterrupt):
                return process.wait()
