"""Starting TensorFlow's strategies, and what a process says when it is one of several."""

import contextlib
import json
import os
import re
import shlex
from collections.abc import Iterator

import tensorflow as tf

from mobilenet_tf import cluster, rendezvous
from mobilenet_tf.cli import UsageError, WorkError
from mobilenet_tf.distribution import ONE_DEVICE, Devices, Replicas
from mobilenet_tf.progress import say
from mobilenet_tf.runs import CONFIG

_PORT = 8888  # Of the first task of a SLURM node.
# What TensorFlow raises where another process is gone.
_LOSSES = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
    tf.errors.FailedPreconditionError,
    tf.errors.UnknownError,
)


def open_devices(choice: cluster.Choice) -> Devices:
    """Starts a strategy; with several processes, waits until all of them are there.

    Args:
        choice: of `cluster.choose`.

    Returns:
        The devices to train on.

    Raises:
        UsageError: SLURM_* variables that are not as srun sets them.
        WorkError: this process's port is in use.
    """
    if choice.cluster is not None:
        _meet(choice.cluster)
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
        replicas = strategy.num_replicas_in_sync
        say(f"{choice.cluster.size} workers, {replicas} replicas; worker 0 reports")
        return Replicas(strategy, choice)
    if choice.strategy == "mirrored":
        strategy = tf.distribute.MirroredStrategy()
        if strategy.num_replicas_in_sync == 1:
            say("note: --strategy mirrored found one device to train on")
        return Replicas(strategy, choice)
    return ONE_DEVICE


def _meet(own: cluster.Cluster) -> None:
    """Tells TensorFlow of a SLURM step, and waits for the others."""
    addresses = list(own.addresses)
    if own.source == cluster.SLURM:
        addresses = _slurm_addresses()
        task = {"type": "worker", "index": own.rank}
        content = {"cluster": {"worker": addresses}, "task": task}
        os.environ[cluster.TF_CONFIG] = json.dumps(content)
    others = addresses[: own.rank] + addresses[own.rank + 1 :]
    say(f"{addresses[own.rank]} waits for {', '.join(others) or 'nobody'}")
    rendezvous.meet(addresses[own.rank], others)


def _slurm_addresses() -> list[str]:
    """What TensorFlow's resolver makes of the SLURM_* variables, by rank.

    Told that there are as many GPUs as tasks, it needs no nvidia-smi; which GPUs
    a task really sees is decided by srun. It sorts hosts as text (node10 before
    node2), srun by number; ranks go by the latter.
    """
    tasks = max(int(n) for n in re.findall(r"\d+", re.sub(r"\(x\d+\)", "", _slurm_tasks())))
    try:
        resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
            port_base=_PORT, gpus_per_node=tasks, gpus_per_task=1, auto_set_gpu=False
        )
        addresses = resolver.cluster_spec().as_dict()["worker"]
    except (RuntimeError, ValueError) as error:
        raise UsageError(
            "the SLURM_STEP_* variables must be as srun sets them; or pass --strategy none. "
            f"Received: {error}"
        ) from None
    return sorted(addresses, key=_natural)


def _slurm_tasks() -> str:
    return os.environ.get("SLURM_STEP_TASKS_PER_NODE", "1")


def _natural(text: str) -> list:
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", text)]


@contextlib.contextmanager
def only_the_chief_talks(choice: cluster.Choice) -> Iterator[None]:
    """Keeps progress and results of the other processes off their screens."""
    if choice.cluster is None or choice.is_chief:
        yield
        return
    rank, size = choice.cluster.rank, choice.cluster.size
    say(f"worker {rank} of {size} (from 0) works; worker 0 reports")
    with (
        open(os.devnull, "w", encoding="utf-8") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        yield


@contextlib.contextmanager
def naming_losses(choice: cluster.Choice, run: str) -> Iterator[None]:
    """Turns TensorFlow's errors about a lost process into one line.

    Raises:
        WorkError: another process is gone.
    """
    try:
        yield
    except _LOSSES as error:
        if choice.cluster is None:
            raise
        begun = os.path.isfile(os.path.join(run, CONFIG))
        to_go_on = f" with --resume {shlex.quote(run)}" if begun else ""
        raise WorkError(
            f"a worker was lost; start all of them again{to_go_on}. "
            f"Received: {type(error).__name__} from TensorFlow"
        ) from None
