"""Several processes on this machine that train one network.

The networks have four blocks (see few_blocks), so that most of the time is not
spent on tracing them, and the images are patches of colour: with images that are
alike, BatchNorm makes much of rounding errors.
"""

import contextlib
import csv
import json
import os
import pathlib
import socket
import subprocess
import sys

import keras
import numpy as np
import pytest
from image_files import save

from mobilenet_tf import checkpoints, model_labels, runs

TESTS = pathlib.Path(__file__).resolve().parent
CLASSES = {"blue": (40, 60, 210), "green": (50, 200, 60), "red": (210, 50, 40)}
OPTIONS = "--version v3 --size small --alpha 0.25 --epochs 2 --batch-size 12 --optimizer sgd"
OPTIONS += " --learning-rate 0.02"
STEPS = 4  # 48 of 60 images train.
TIMEOUT_S = 400  # Of a machine that is busy with other work.


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> str:
    folder, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for name, color in CLASSES.items():
        (folder / name).mkdir()
        for i in range(20):
            patches = rng.integers(0, 256, (4, 4, 3)) // 2 + np.array(color) // 2
            pixels = patches.astype(np.uint8).repeat(8, axis=0).repeat(8, axis=1)
            save(folder / name / f"{i}.png", pixels)
    return str(folder)


def _environment(**changes: str) -> dict[str, str]:
    paths = os.pathsep.join([str(TESTS / "few_blocks"), str(TESTS.parent)])
    dropped = ("TF_CONFIG", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID")
    kept = {key: value for key, value in os.environ.items() if key not in dropped}
    return kept | {"PYTHONPATH": paths, "TF_CPP_MIN_LOG_LEVEL": "3"} | changes


def _cluster(workers: int) -> list[dict[str, str]]:
    """The environments of workers on free ports of this machine."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(workers)]
        for one in sockets:
            one.bind(("localhost", 0))
        addresses = [f"localhost:{one.getsockname()[1]}" for one in sockets]
    return [
        _environment(
            TF_USE_LEGACY_KERAS="1",
            TF_CONFIG=json.dumps(
                {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": i}}
            ),
        )
        for i in range(workers)
    ]


def _train_together(
    workers: int, notes: pathlib.Path, options: list[str], die_at: tuple[int, int] = (-1, -1)
) -> list[tuple[int, str, str]]:
    """Exit code, standard output and error of each worker; one dies before a step."""
    started = []
    for i, environment in enumerate(_cluster(workers)):
        step = die_at[1] if i == die_at[0] else -1
        command = [sys.executable, TESTS / "distributed_worker.py", notes / f"{i}.json", str(step)]
        started.append(
            subprocess.Popen(
                [*command, *options],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    try:
        outputs = [process.communicate(timeout=TIMEOUT_S) for process in started]
    finally:
        for process in started:
            process.kill()
    return [(process.returncode, *output) for process, output in zip(started, outputs)]


@pytest.fixture(scope="module")
def alone(data, tmp_path_factory) -> str:
    """A run of one process, on tf_keras too.

    The fused BatchNorm that Keras 3 trains with here rounds otherwise: 1.3e-4 of the first loss.
    """
    run = str(tmp_path_factory.mktemp("alone") / "run")
    command = [sys.executable, "train.py", *OPTIONS.split(), "--dataset", data]
    done = subprocess.run(
        [*command, "--output-dir", run, "--strategy", "mirrored"],
        env=_environment(CUDA_VISIBLE_DEVICES=""),
        cwd=TESTS.parent,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return run


@pytest.fixture(scope="module")
def three(data, tmp_path_factory):
    """Run, notes and outputs of three workers."""
    folder = tmp_path_factory.mktemp("three")
    options = [*OPTIONS.split(), "--dataset", data, "--output-dir", str(folder / "run")]
    return str(folder / "run"), folder, _train_together(3, folder, options)


@pytest.fixture(scope="module")
def broken(data, tmp_path_factory):
    """Run, outputs and checkpoints of two workers; one dies in the second epoch."""
    folder = tmp_path_factory.mktemp("broken")
    run = str(folder / "run")
    options = [*OPTIONS.split(), "--dataset", data, "--output-dir", run, "--go-on"]
    outputs = _train_together(2, folder, options, die_at=(1, STEPS + 1))
    left = [step for step, _ in checkpoints.paths(run)]
    return run, options, outputs, (left, os.listdir(run))


@pytest.fixture(scope="module")
def healed(broken, tmp_path_factory):
    """Run, notes and outputs of the two workers, started again with the same command."""
    run, options, _, _ = broken
    notes = tmp_path_factory.mktemp("healed")
    return run, notes, _train_together(2, notes, options)


def _history(run: str) -> list[dict[str, float]]:
    with open(os.path.join(run, runs.HISTORY), newline="") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def _weights(run: str) -> list[np.ndarray]:
    return keras.models.load_model(os.path.join(run, runs.MODEL)).get_weights()


def test_three_workers_end_well(three):
    run, _, outputs = three
    assert [code for code, _, _ in outputs] == [0, 0, 0], outputs
    assert f"run: {run}" in outputs[0][1] and outputs[1][1] == outputs[2][1] == ""
    assert "epoch 2/2" in outputs[0][2]
    for rank in (1, 2):
        lines = outputs[rank][2].splitlines()
        assert [line for line in lines if "worker" in line or "epoch" in line] == [
            f"worker {rank} of 3 (from 0) works; worker 0 reports"
        ]


def test_all_workers_have_the_same_weights(three, healed):
    for (_, notes, _), workers in ((three, 3), (healed, 2)):
        found = [(notes / f"{i}.json").read_text(encoding="utf-8") for i in range(workers)]
        assert len(set(found)) == 1 and len(json.loads(found[0])["weights"]) == 64


@pytest.mark.parametrize("of", ["three", "healed"])
def test_loss_curve_is_that_of_one_process(of, alone, request):
    for mine, theirs in zip(_history(request.getfixturevalue(of)[0]), _history(alone), strict=True):
        for key in ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"):
            assert mine[key] == pytest.approx(theirs[key], abs=1e-4), (key, mine, theirs)


@pytest.mark.parametrize("of", ["three", "healed"])
def test_model_is_that_of_one_process_in_plain_keras(of, alone, request):
    for mine, theirs in zip(_weights(request.getfixturevalue(of)[0]), _weights(alone), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=2e-4 * (1 + np.abs(theirs).max()))


def test_run_folder_is_that_of_one_process(three, alone):
    assert sorted(os.listdir(three[0])) == sorted(os.listdir(alone))
    assert model_labels.of_model(os.path.join(three[0], runs.BEST)) == sorted(CLASSES)


def test_lost_worker_ends_the_others_in_one_line(broken):
    run, _, outputs, (left, names) = broken
    assert [code for code, _, _ in outputs] == [1, -9]
    errors = [line for line in outputs[0][2].splitlines() if line.startswith("error:")]
    assert len(errors) == 1 and "a worker was lost" in errors[0] and f"--resume {run}" in errors[0]
    assert "Traceback" not in outputs[0][2]
    assert left == [STEPS] and runs.MODEL not in names


def test_same_command_goes_on_from_the_checkpoint(healed):
    run, _, outputs = healed
    assert [code for code, _, _ in outputs] == [0, 0], outputs
    assert "epoch 2/2" in outputs[0][2] and "epoch 1/2" not in outputs[0][2]
    assert [row["epoch"] for row in _history(run)] == [1, 2]
