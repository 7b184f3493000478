"""Folders of runs: making one, keeping others out of it, finding the newest."""

import contextlib
import os
from collections.abc import Iterator

try:
    import fcntl
except ImportError:  # Windows.
    fcntl = None  # type: ignore[assignment]

from mobilenet_tf import files
from mobilenet_tf.progress import say
from mobilenet_tf.runs import CONFIG, MODEL, TrainConfig, read_config


def check_output_dir(output_dir: str | None) -> None:
    """Raises `ValueError` where a new run's folder cannot be made or has files in it already.

    Args:
        output_dir: the folder; None for one with a new name.
    """
    if output_dir is None:
        return
    if not os.path.exists(output_dir):
        parent = os.path.dirname(os.path.abspath(output_dir))
        while not os.path.exists(parent):
            parent = os.path.dirname(parent)
        if not os.path.isdir(parent) or not os.access(parent, os.W_OK | os.X_OK):
            raise ValueError(
                "a run needs a folder that can be made; choose another --output-dir. "
                f"Received: {output_dir}, under {parent}"
            )
        return
    if not os.path.isdir(output_dir) or not all(map(files.is_leftover, os.listdir(output_dir))):
        raise ValueError(
            "a run needs a new or empty folder; choose another --output-dir, or pass --resume to "
            f"go on. Received: {output_dir}"
        )


def create_run(config: TrainConfig) -> str:
    """Makes a new run folder and returns its path.

    Raises:
        ValueError: `output_dir` exists and is not empty.
    """
    if config.output_dir is not None:
        check_output_dir(config.output_dir)
        os.makedirs(config.output_dir, exist_ok=True)
        return config.output_dir
    data_name = os.path.basename(os.path.normpath(config.data.dataset)).replace(":", "_")
    base = os.path.join("runs", f"{config.network.file_name}_{data_name}")
    os.makedirs("runs", exist_ok=True)
    number = 1
    while True:
        path = base if number == 1 else f"{base}_{number}"
        try:
            os.mkdir(path)
            return path
        except FileExistsError:
            number += 1


@contextlib.contextmanager
def locked(run: str) -> Iterator[None]:
    """Keeps other processes from training in a run's folder.

    The lock is on the folder itself and ends with the process, however that
    ends. There is none on Windows, nor on file systems that know no locks.

    Args:
        run: an existing folder.

    Raises:
        ValueError: another process holds it.
    """
    if fcntl is None:
        yield
        return
    handle = os.open(run, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise ValueError(
            "one process at a time can train in a folder; wait for the other one or choose "
            f"another --output-dir. Received: {run}"
        ) from None
    except OSError as error:
        say(f"note: {run} cannot be locked ({error.strerror}); start no second training in it")
    try:
        yield
    finally:
        os.close(handle)


def newest_finished(root: str) -> str:
    """The run under `root` whose model.keras was written last.

    Raises:
        ValueError: there is none.
    """
    ended = [run for run in _runs_under(root) if os.path.isfile(os.path.join(run, MODEL))]
    if not ended:
        raise ValueError(
            f"there is no run with a {MODEL} yet; run train.py first or name one. "
            f"Received: {root}/"
        )
    return max(ended, key=lambda run: os.path.getmtime(os.path.join(run, MODEL)))


def newest_interrupted(root: str) -> str:
    """The run under `root` that was begun last of those that have not ended.

    A fine-tuning does not count: it cannot go on.

    Raises:
        ValueError: there is none.
    """
    begun = [
        run
        for run in _runs_under(root)
        if not os.path.isfile(os.path.join(run, MODEL)) and not _fine_tunes(run)
    ]
    if not begun:
        raise ValueError(
            "there is no interrupted run to go on with; name one or start a new one. "
            f"Received: {root}/"
        )
    return max(begun, key=lambda run: os.path.getmtime(os.path.join(run, CONFIG)))


def _runs_under(root: str) -> list[str]:
    entries = os.scandir(root) if os.path.isdir(root) else ()
    return [one.path for one in entries if os.path.isfile(os.path.join(one.path, CONFIG))]


def _fine_tunes(run: str) -> bool:
    try:
        return read_config(run)[0].fine_tunes
    except ValueError:  # Whoever opens it says what is wrong.
        return False
