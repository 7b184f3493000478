"""Who trains together: environments sound and broken, manifests, shares, paper estimates."""

import json
import os
import pathlib
import subprocess

import numpy as np
import pytest

import train as command
from benchmarks import allreduce
from mobilenet_tf import cluster, specs, train_options
from mobilenet_tf.cli import UsageError
from mobilenet_tf.complexity import complexity
from mobilenet_tf.data.store import ArrayImages, Split

MANIFESTS = pathlib.Path(__file__).resolve().parent.parent / "docs" / "distributed"
TWO = ["a:1", "b:1"]


def _tf_config(content) -> dict[str, str]:
    return {"TF_CONFIG": content if isinstance(content, str) else json.dumps(content)}


def _task(workers, kind="worker", index=0, **others) -> dict[str, str]:
    task = {"type": kind, "index": index}
    return _tf_config({"cluster": {"worker": workers, **others}, "task": task})


def test_without_a_cluster_one_process_trains():
    for environ in ({}, _tf_config(""), _tf_config({}), _task(["a:1"]), {"SLURM_NTASKS": "4"}):
        assert cluster.choose("auto", environ) == cluster.Choice("none")


def test_ranks_of_tf_config():
    ranks = [
        cluster.choose("auto", environ).cluster.rank
        for environ in (
            _task(TWO, index=1),
            _task(TWO, chief=["c:1"], kind="chief"),
            _task(TWO, chief=["c:1"]),
            _task(TWO, chief=["c:1"], index="1"),  # Some operators write a text.
        )
    ]
    assert ranks == [1, 0, 1, 2]
    found = cluster.choose("auto", _task(TWO, chief=["c:1"])).cluster
    assert found.size == 3 and found.addresses == ("c:1", *TWO)  # By rank.


def test_ranks_of_slurm():
    step = {"SLURM_STEP_NUM_TASKS": "3", "SLURM_PROCID": "2"}
    choice = cluster.choose("auto", step)
    assert choice.cluster == cluster.Cluster("SLURM", 2, 3) and not choice.is_chief
    assert cluster.choose("auto", step | _task(TWO)).cluster.source == "TF_CONFIG"
    with pytest.raises(UsageError, match="Received: 3 and 3"):
        cluster.choose("auto", step | {"SLURM_PROCID": "3"})


@pytest.mark.parametrize(
    ("environ", "received"),
    [
        (_tf_config("{"), "Expecting"),
        (_tf_config([1]), r"\[1\]"),
        (_tf_config({"cluster": {"worker": TWO}}), "task null"),
        (_tf_config({"cluster": {"worker": TWO}, "task": {"type": "worker"}}), "without type or"),
        (_tf_config({"cluster": TWO}), "cluster"),
        (_task(TWO, index=2), "task index 2 of 2"),
        (_task(TWO, index=-1), "task index -1 of 2"),
        (_task(TWO, kind="chief"), 'task type "chief", but a cluster of worker'),
        (_task(TWO, ps=["c:1"]), "type ps"),
        (_task([]), "must be a list of host:port"),
        (_task(["a:1", "b"]), "must be a list of host:port"),
        (_task(["a:1", "b:99999"]), "must be a list of host:port"),
        (_task(["a:1", "a:1"]), "twice"),
        (_task(TWO, chief=["c:1", "d:1"]), "2 chiefs"),
        (
            _tf_config({"cluster": {"worker": TWO}, "task": {"type": ["worker"], "index": 0}}),
            "type",
        ),
        (
            _tf_config({"cluster": {"worker": TWO}, "task": {"type": {}, "index": 0}}),
            "task type {}",
        ),
    ],
)
def test_broken_tf_config_is_one_line_and_exit_2(environ, received, monkeypatch, capsys):
    with pytest.raises(UsageError, match=f"TF_CONFIG must be JSON.*Received: .*{received}"):
        cluster.choose("auto", environ)
    monkeypatch.setenv("TF_CONFIG", environ["TF_CONFIG"])
    assert command.main(["--version", "v1"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(
    ("environ", "options", "line"),
    [
        ({}, "--version v1 --strategy multi_worker", "needs a cluster"),
        (_task(TWO), "--version v1", "need --output-dir or --resume"),
        (_task(TWO), "--prune 0.5 --weights x", "train in one process; pass --strategy none"),
        (_task(TWO), "--version v1 --teacher x --output-dir y", "--teacher trains in one process"),
        ({}, "--version v1 --teacher x --strategy mirrored", "pass --strategy none"),
        ({"SLURM_PROCID": "²", "SLURM_STEP_NUM_TASKS": "3"}, "--version v1", "SLURM_PROCID must"),
    ],
)
def test_wrong_usage(environ, options, line, monkeypatch, capsys):
    for key, value in environ.items():
        monkeypatch.setenv(key, value)
    assert command.main(options.split()) == 2
    error = capsys.readouterr().err
    assert line in error and "Received" in error and len(error.splitlines()) == 1


def _stub(folder: pathlib.Path, name: str) -> None:
    """A program that writes its arguments and its TF_CONFIG, one a line."""
    path = folder / name
    path.write_text('#!/bin/bash\nprintf "%s\\n" "$TF_CONFIG" "$@"\n')
    path.chmod(0o755)


def test_kubernetes_manifest_starts_workers(tmp_path):
    yaml = pytest.importorskip("yaml")
    content = (MANIFESTS / "kubernetes.yaml").read_text(encoding="utf-8")
    service, job = yaml.safe_load_all(content)
    spec = job["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["selector"] == spec["template"]["metadata"]["labels"]
    assert pod["subdomain"] == service["metadata"]["name"]
    environ = {one["name"]: one["value"] for one in container["env"]}
    assert spec["completions"] == spec["parallelism"] == int(environ["WORKERS"]) == 3
    _stub(tmp_path, "python")
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "JOB_COMPLETION_INDEX": "2"}
    shell = [*container["command"], *container["args"]]
    done = subprocess.run(shell, env=environ | path, capture_output=True, text=True, check=True)
    tf_config, *arguments = done.stdout.splitlines()
    assert cluster.choose("auto", {"TF_CONFIG": tf_config}).cluster.rank == 2
    hosts = json.loads(tf_config)["cluster"]["worker"]
    name, port = job["metadata"]["name"], container["ports"][0]["containerPort"]
    assert hosts == [f"{name}-{i}.{pod['subdomain']}:{port}" for i in range(3)]
    args = train_options.parse_args(arguments[1:], command.__doc__)
    assert arguments[0] == "train.py" and args.go_on and args.batch_size % 3 == 0
    mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
    assert args.output_dir.startswith(mounts[0]) and args.dataset.startswith(mounts[0])


def test_sbatch_script_starts_workers(tmp_path):
    script = MANIFESTS / "train.sbatch"
    subprocess.run(["bash", "-n", script], check=True)
    _stub(tmp_path, "srun")
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "activate").touch()
    done = subprocess.run(
        ["bash", script, "images", "run"],
        cwd=tmp_path,
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "TF_CONFIG": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    arguments = done.stdout.splitlines()[1:]
    start = arguments.index("train.py")
    args = train_options.parse_args(arguments[start + 1 :], command.__doc__)
    assert (args.dataset, args.output_dir, args.go_on) == ("images", "run", True)
    assert "#SBATCH --nodes=3" in script.read_text() and args.batch_size % 3 == 0


def test_ring_by_hand():
    # keras.applications' V1 has 4,231,976 trainable parameters; its 27 layers are Table 1's.
    cost = complexity(specs.V1)
    channels = 32 + 2 * 512 * 5 + (32 + 64) + (64 + 128) + (128 + 128) + (128 + 256)
    channels += (256 + 256) + (256 + 512) + (512 + 1024) + (1024 + 1024)
    sent = allreduce.traffic(cost, workers=4)
    assert sent.gradient_bytes == 4 * 4_231_976
    assert (sent.norm_messages, sent.norm_bytes) == (54, 4 * 2 * 2 * 4 * channels)
    traffic = allreduce.Traffic(gradient_bytes=10**7, norm_bytes=0, norm_messages=9)
    # 1.5 x 80 Mbit at 1 Gbit/s, and 6 hops of each of 10 messages at 50 microseconds.
    assert allreduce.ring_ms(traffic, 4, allreduce.Network(1.0, 50.0)) == pytest.approx(120 + 3)
    assert allreduce.ring_ms(traffic, 1, allreduce.Network(1.0, 50.0)) == 0


def test_documented_table_is_the_command_s(capsys):
    assert allreduce.main([]) == 0
    text = (MANIFESTS.parent / "distributed.md").read_text(encoding="utf-8")
    assert capsys.readouterr().out in text


def _split(count: int, side: int = 32) -> Split:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (count, side, side, 3), np.uint8)
    return Split(ArrayImages(pixels), rng.integers(0, 3, count), range(count))


def test_workers_share_the_batches_of_one_process():
    tf = pytest.importorskip("tensorflow")
    from mobilenet_tf import distribution

    split = _split(24, side=2)
    whole = tf.data.Dataset.from_tensor_slices((split.images.pixels, split.labels))
    whole = whole.batch(12, drop_remainder=True)
    parts = [
        distribution._own_rows(whole, tf.distribute.InputContext(3, worker, 6))
        for worker in (0, 1, 2)
    ]
    for step, (images, labels) in enumerate(whole.take(2)):
        # Two devices a worker: two batches of 2 each in a step.
        found = [list(part.skip(2 * step).take(2)) for part in parts]
        pairs = [pair for worker in found for pair in worker]
        np.testing.assert_array_equal(np.concatenate([x for x, _ in pairs]), images)
        np.testing.assert_array_equal(np.concatenate([y for _, y in pairs]), labels)


@pytest.mark.parametrize("replicas", [1, 2, 3, 7])
def test_every_replica_evaluates_in_equally_many_steps(replicas):
    from mobilenet_tf import distribution
    from mobilenet_tf.data import pipeline

    for images in range(replicas, 40):
        for batch_size in (1, 2, 3, 8):
            size, steps = distribution.even_batches(images, replicas, batch_size)
            shares = [len(range(i, images, replicas)) for i in range(replicas)]
            assert {-(-share // size) for share in shares} == {steps} and size >= batch_size
    split, seen = _split(10, side=8), []
    for replica in range(replicas):
        part = distribution._part(split, replica, replicas)
        seen += [x for batch, _ in pipeline.evaluation_batches(part, 3, 2) for x in batch.numpy()]
    assert sorted(x.tobytes() for x in seen) == sorted(
        x.astype(np.float32).tobytes() for x in split.images.pixels
    )


def test_more_replicas_than_validation_images():
    from mobilenet_tf import distribution

    with pytest.raises(ValueError, match="2 images for 3 replicas"):
        distribution.even_batches(2, 3, 8)


def test_slurm_nodes_go_by_number(monkeypatch):
    from mobilenet_tf import strategies

    for name, value in (
        ("SLURM_PROCID", "2"),
        ("SLURM_STEP_NUM_TASKS", "4"),
        ("SLURM_STEP_NODELIST", "node[2,10]"),
        ("SLURM_STEP_TASKS_PER_NODE", "2(x2)"),
    ):
        monkeypatch.setenv(name, value)
    assert cluster.choose("auto", os.environ).cluster.rank == 2
    # Rank 2 is the first task of node10, as srun counts them.
    assert strategies._slurm_addresses() == [
        *("node2:8888", "node2:8889", "node10:8888", "node10:8889")
    ]
