"""Which processes train together, from the environment that started them.

No TensorFlow import, so that a broken environment is reported at once.

    TF_CONFIG   {"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}
                as Kubernetes operators and Vertex AI write it; one task may be of type "chief"
    SLURM_*     what `srun` sets in each task of a step
"""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from mobilenet_tf.cli import UsageError

STRATEGIES = ("auto", "none", "mirrored", "multi_worker")
TF_CONFIG, SLURM = "TF_CONFIG", "SLURM"
_TASK_TYPES = ("chief", "worker")  # In the order of their ranks.


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The processes that train together, and which of them this one is.

    Attributes:
        source: `TF_CONFIG` or `SLURM`.
        rank: of this process, from 0; rank 0 is the chief, who writes the run.
        size: processes in all.
        addresses: host:port of each, by rank; of SLURM none, which says where its
            nodes are only through TensorFlow.
    """

    source: str
    rank: int
    size: int
    addresses: tuple[str, ...] = ()

    @property
    def is_chief(self) -> bool:
        """True for the one process that reports and writes."""
        return self.rank == 0


@dataclasses.dataclass(frozen=True)
class Choice:
    """How a training is spread.

    Attributes:
        strategy: "none", "mirrored" or "multi_worker".
        cluster: of "multi_worker"; otherwise None.
    """

    strategy: str
    cluster: Cluster | None = None

    @property
    def is_chief(self) -> bool:
        """True where this process reports and writes."""
        return self.cluster is None or self.cluster.is_chief


def choose(strategy: str, environ: Mapping[str, str]) -> Choice:
    """Works out how to train.

    Args:
        strategy: one of `STRATEGIES`; "auto" is multi_worker in a cluster of at
            least 2 processes, and none otherwise.
        environ: environment variables.

    Returns:
        A `Choice`; never "auto".

    Raises:
        UsageError: a broken TF_CONFIG, or multi_worker without a cluster.
    """
    if strategy in ("none", "mirrored"):
        return Choice(strategy)
    cluster = _from_tf_config(environ.get(TF_CONFIG, "")) or _from_slurm(environ)
    if strategy == "multi_worker":
        if cluster is None:
            raise UsageError(
                "--strategy multi_worker needs a cluster: set TF_CONFIG on every machine or start "
                "with srun; see docs/distributed.md. Received: neither"
            )
        return Choice(strategy, cluster)
    if cluster is not None and cluster.size > 1:
        return Choice("multi_worker", cluster)
    return Choice("none")


def _from_tf_config(text: str) -> Cluster | None:
    if not text.strip():
        return None
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise _broken(f"{error.msg} at character {error.pos}") from None
    if not isinstance(content, dict):
        raise _broken(text)
    if not content.get("cluster"):
        return None  # What some services set for a single machine.
    workers = _addresses(content["cluster"])
    task = content.get("task")
    if not isinstance(task, dict) or "type" not in task or "index" not in task:
        raise _broken(f"task {json.dumps(task)}, without type or index")
    kind, index = task["type"], str(task["index"])
    if not isinstance(kind, str) or kind not in workers:
        raise _broken(f"task type {json.dumps(kind)}, but a cluster of {', '.join(workers)}")
    count = len(workers[kind])
    if not (_is_digits(index) and int(index) < count):
        raise _broken(f"task index {index} of {count} of type {kind}")
    before = len(workers.get("chief", ())) if kind == "worker" else 0
    addresses = tuple(one for kind in _TASK_TYPES for one in workers.get(kind, ()))
    return Cluster(TF_CONFIG, before + int(index), len(addresses), addresses)


def _addresses(cluster: Any) -> dict[str, list[str]]:
    """The lists of a cluster, checked."""
    if not isinstance(cluster, dict):
        raise _broken(f"cluster {json.dumps(cluster)}")
    others = [kind for kind in cluster if kind not in _TASK_TYPES]
    if others:
        raise _broken(
            f"tasks of type {', '.join(others)}; this trains without parameter servers and "
            "evaluators: only chief and worker are known"
        )
    found: list[str] = []
    for kind, addresses in cluster.items():
        is_list = isinstance(addresses, list) and addresses
        if not is_list or not all(_is_address(address) for address in addresses):
            raise _broken(f"{kind} {json.dumps(addresses)}, which must be a list of host:port")
        found += addresses
    if len(cluster.get("chief", ())) > 1:
        raise _broken(f"{len(cluster['chief'])} chiefs, of which there can be one")
    if len(set(found)) < len(found):
        raise _broken("an address that is there twice")
    return cluster


def _is_address(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    host, _, port = value.rpartition(":")
    return bool(host) and _is_digits(port) and 0 < int(port) < 65536


def _is_digits(text: str) -> bool:
    """True for what `int` reads; it refuses other digits, such as raised ones."""
    return text.isascii() and text.isdigit()


def _broken(received: str) -> UsageError:
    return UsageError(
        'TF_CONFIG must be JSON such as {"cluster": {"worker": ["a:12345", "b:12345"]}, '
        f'"task": {{"type": "worker", "index": 0}}}}. Received: {received}'
    )


def _from_slurm(environ: Mapping[str, str]) -> Cluster | None:
    # SLURM_STEP_*, not SLURM_NTASKS: the batch script itself has the latter as well.
    if "SLURM_STEP_NUM_TASKS" not in environ or "SLURM_PROCID" not in environ:
        return None
    rank, size = environ["SLURM_PROCID"], environ["SLURM_STEP_NUM_TASKS"]
    if not (_is_digits(rank) and _is_digits(size) and int(rank) < int(size)):
        raise UsageError(
            "SLURM_PROCID must be below SLURM_STEP_NUM_TASKS, as srun sets them. "
            f"Received: {rank} and {size}"
        )
    return Cluster(SLURM, int(rank), int(size))
