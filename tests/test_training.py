"""One tiny run, and everything that starts from it: files, repeats, resuming, transfer.

The pictures are noise in the colour of their class: a few steps learn them.
"""

import contextlib
import csv
import dataclasses
import errno
import io
import json
import os
import shutil
import signal
import types
import zipfile
from collections.abc import Callable

import keras
import numpy as np
import pytest
from image_files import make_folder
from PIL import Image

import train as train_cli
from mobilenet_tf import (
    checkpoints,
    curves,
    files,
    model_labels,
    recorder,
    run_folders,
    runs,
    training,
    transfer,
)
from mobilenet_tf.cli import WorkError
from mobilenet_tf.data.datasets import DataConfig, FolderSource
from mobilenet_tf.job import Job, compiled_model
from mobilenet_tf.recipe import Recipe
from mobilenet_tf.recorder import Recorder
from mobilenet_tf.runs import NetworkConfig, TrainConfig
from mobilenet_tf.weights import weights_by_layer

CLASSES = ("blue", "green", "red ünï")
SIDE, EPOCHS, BATCH = 32, 2, 16
STEPS = 3  # 57 of 72 images train.


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> str:
    return make_folder(tmp_path_factory.mktemp("data"), dict.fromkeys(CLASSES, 24), SIDE)


def _config(dataset: str, output_dir, **changes) -> TrainConfig:
    # Without augmentation, whose restart test_pipeline.py proves, but with dropout.
    recipe = Recipe(EPOCHS, BATCH, learning_rate=0.01, augmentation="none", dropout_rate=0.2)
    network = NetworkConfig("v1", alpha=0.25)
    config = TrainConfig(network, DataConfig(dataset), recipe, output_dir=str(output_dir))
    return dataclasses.replace(config, **changes)


@pytest.fixture(scope="module")
def result(data, tmp_path_factory) -> training.TrainResult:
    """The run that most tests look at."""
    return training.train(_config(data, tmp_path_factory.mktemp("runs") / "whole"))


@pytest.fixture(scope="module")
def model(result) -> keras.Model:
    return keras.models.load_model(os.path.join(result.run, runs.MODEL))


def _history(run: str) -> list[dict[str, float]]:
    with open(os.path.join(run, runs.HISTORY), newline="") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def _main(*arguments: str) -> tuple[int, str, list[str]]:
    """Exit code, standard output, and lines of standard error of train.py."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = train_cli.main(list(arguments))
    return code, out.getvalue(), err.getvalue().splitlines()


def test_run_folder_holds_what_it_should_and_no_leftovers(result):
    assert sorted(os.listdir(result.run)) == sorted(
        [runs.MODEL, runs.BEST, runs.LABELS, runs.CONFIG, runs.HISTORY, runs.CURVES]
    )


def test_labels_are_beside_the_model_and_inside(result):
    with open(os.path.join(result.run, runs.LABELS), encoding="utf-8") as file:
        assert file.read() == "blue\ngreen\nred ünï\n"
    for name in (runs.MODEL, runs.BEST):
        path = os.path.join(result.run, name)
        with zipfile.ZipFile(path) as archive:
            assert archive.read("labels.txt").decode("utf-8") == "blue\ngreen\nred ünï\n"
        assert model_labels.of_model(path) == list(CLASSES)


def test_config_repeats_the_run(result, data):
    config, content = runs.read_config(result.run)
    asked = _config(data, result.run)
    network = dataclasses.replace(asked.network, image_size=SIDE)  # The data set's own.
    assert config == dataclasses.replace(asked, network=network)
    assert content["class_names"] == list(CLASSES)
    assert (content["train_images"], content["val_images"]) == (57, 15)
    assert content["resolved"]["steps_per_epoch"] == STEPS
    assert content["versions"]["keras"] == keras.__version__
    assert {"python", "tensorflow", "numpy", "pillow"} <= set(content["versions"])


def test_history_and_curves(result):
    history = _history(result.run)
    assert [row["epoch"] for row in history] == [1, 2]
    for row in history:
        assert 0 <= row["accuracy"] <= 1 and 0 < row["loss"] < 5 and row["seconds"] > 0
    assert result.val_accuracy == history[-1]["val_accuracy"]
    assert result.best_val_accuracy == max(row["val_accuracy"] for row in history)
    assert history[result.best_epoch - 1]["val_accuracy"] == result.best_val_accuracy
    with Image.open(os.path.join(result.run, runs.CURVES)) as image:
        assert image.format == "PNG" and len(np.unique(np.asarray(image.convert("L")))) > 20


def test_learning_rate_follows_the_schedule(result):
    # Six steps, none or one of them warm-up: step 5 of 6 is the last.
    resolved = json.load(open(os.path.join(result.run, runs.CONFIG)))["resolved"]
    warmup = resolved["warmup_steps"]
    expected = 0.005 * (1 + np.cos(np.pi * (5 - warmup) / (6 - warmup)))
    assert _history(result.run)[-1]["learning_rate"] == pytest.approx(expected)


@pytest.mark.parametrize("name", [runs.MODEL, runs.BEST])
def test_saved_models_are_as_accurate_as_reported(result, data, name):
    source = FolderSource(DataConfig(data))
    split = source.read_validation(SIDE)
    loaded = keras.models.load_model(os.path.join(result.run, name))
    images = split.images.fetch(np.arange(len(split))).astype(np.float32)
    scores = loaded(images, training=False).numpy()
    reported = result.val_accuracy if name == runs.MODEL else result.best_val_accuracy
    assert np.mean(scores.argmax(axis=1) == split.labels) == pytest.approx(reported, abs=1e-6)
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)


@pytest.fixture(scope="module")
def interrupted(data, tmp_path_factory):
    """The same run again, through train.py, stopped by Ctrl-C in its second epoch."""
    run = str(tmp_path_factory.mktemp("runs") / "interrupted")
    on_batch = Recorder.on_train_batch_begin

    def stop(self, batch, logs=None):
        if self.step == STEPS:
            os.kill(os.getpid(), signal.SIGINT)
        on_batch(self, batch, logs)

    options = "--version v1 --alpha 0.25 --epochs 2 --batch-size 16 --learning-rate 0.01"
    options += " --augmentation none --dropout-rate 0.2"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Recorder, "on_train_batch_begin", stop)
        outcome = _main(*options.split(), "--dataset", data, "--output-dir", run)
    return run, outcome, shutil.copytree(run, f"{run} as it was left")


def test_interruption_keeps_the_whole_epochs_and_says_how_to_go_on(interrupted):
    run, (code, out, err), left = interrupted
    names, history = os.listdir(left), _history(left)
    assert (code, out) == (1, "")
    errors = [line for line in err if line.startswith("error:")]
    assert errors == err[-1:] and f"--resume {run}" in err[-1] and "1 whole epoch" in err[-1]
    assert "Ctrl-C" in err[-1] and "and 1 step" in err[-1]
    assert len(history) == 1
    assert {checkpoints.FOLDER, runs.CURVES, runs.BEST} <= set(names) and runs.MODEL not in names


def test_same_seed_gives_the_same_first_epoch(interrupted, result):
    first, again = _history(result.run)[0], _history(interrupted[2])[0]
    del first["seconds"], again["seconds"]
    assert first == again


@pytest.fixture(scope="module")
def resumed(interrupted):
    """The interrupted run, gone on with to its end."""
    return interrupted[0], _main("--resume", interrupted[0])


def _assert_same_end(run: str, result: training.TrainResult) -> None:
    for name in (runs.MODEL, runs.BEST):
        one, other = (keras.models.load_model(f"{folder}/{name}") for folder in (run, result.run))
        for a, b in zip(one.weights, other.weights, strict=True):
            np.testing.assert_array_equal(a.numpy(), b.numpy(), err_msg=f"{name} {a.path}")
    histories = [_history(folder) for folder in (result.run, run)]
    for row in histories[0] + histories[1]:
        del row["seconds"]
    assert histories[0] == histories[1]
    assert sorted(os.listdir(run)) == sorted(os.listdir(result.run))


def test_resumed_run_ends_as_the_uninterrupted_one(resumed, result):
    run, (code, out, err) = resumed
    assert code == 0 and f"run: {run}" in out and "next: python convert_tflite.py" in out
    assert "going on after step 4" in err
    _assert_same_end(run, result)


def test_finished_run_cannot_go_on(resumed):
    run, _ = resumed
    before = os.path.getmtime(os.path.join(run, runs.CONFIG))
    code, out, err = _main("--resume", run)
    assert (code, out) == (1, "")
    assert err[-1].startswith("error: a run that has ended") and "Received: " in err[-1]
    assert "model.keras" in err[-1] and os.path.getmtime(f"{run}/{runs.CONFIG}") == before


@pytest.fixture(scope="module")
def transferred(result, tmp_path_factory):
    """The classifier alone, trained on two classes, from the run's weights."""
    folder = tmp_path_factory.mktemp("two")
    dataset = make_folder(folder / "data", {"dark": 10, "light": 10}, SIDE, seed=1)
    recipe = Recipe(1, batch_size=8, learning_rate=0.01, augmentation="none")
    config = _config(
        dataset, folder / "run", recipe=recipe, weights=result.run, freeze_backbone=True
    )
    err = io.StringIO()
    with contextlib.redirect_stderr(err):
        done = training.train(config)
    return keras.models.load_model(os.path.join(done.run, runs.MODEL)), err.getvalue()


def test_frozen_backbone_keeps_the_weights_it_came_with(transferred, model):
    before, after = weights_by_layer(model), weights_by_layer(transferred[0])
    assert set(before) == set(after)
    assert before["conv_preds"][0].shape[-1] == 3 and after["conv_preds"][0].shape[-1] == 2
    for name in set(before) - {"conv_preds"}:
        for one, other in zip(before[name], after[name], strict=True):
            np.testing.assert_array_equal(one, other, err_msg=name)


def test_only_the_classifier_is_not_loaded(transferred):
    (line,) = [line for line in transferred[1].splitlines() if "loaded" in line]
    left = line.split("left as they were: ")[1]
    assert left.startswith("conv_preds is") and left.count(" is ") == 1


def test_frozen_training_changes_the_classifier(data, tmp_path):
    frozen = _config(data, tmp_path, weights="x", freeze_backbone=True)
    job = Job("", frozen, CLASSES, None, None, training.resolve(frozen.recipe, STEPS))
    network = dataclasses.replace(frozen.network, image_size=SIDE)
    job = dataclasses.replace(job, config=dataclasses.replace(frozen, network=network))
    built = compiled_model(job)
    assert {v.path.split("/")[-2] for v in built.trainable_variables} == {"conv_preds"}


def _error(*arguments: str) -> str:
    """The one line that a failing command ends with."""
    code, out, err = _main(*arguments)
    assert (code, out) == (1, "")
    assert [line for line in err if line.startswith("error:")] == err[-1:]
    assert "Traceback" not in "".join(err) and "Received" in err[-1]
    return err[-1]


def test_resume_needs_a_run(tmp_path):
    assert runs.CONFIG in _error("--resume", str(tmp_path))
    assert "folder that train.py made" in _error("--resume", str(tmp_path / "missing"))


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{}", b'{"network": 3}', b'"text"', b'{"network": "\x88"}']
)
def test_resume_with_a_damaged_config(tmp_path, content):
    (tmp_path / runs.CONFIG).write_bytes(content)
    assert f"{tmp_path / runs.CONFIG}" in _error("--resume", str(tmp_path))


@pytest.mark.parametrize(
    "part, setting, value",
    [
        ("recipe", "epochs", "two"),
        ("recipe", "ema", 1),
        ("recipe", "batch_size", True),
        ("network", "alpha", "wide"),
        ("network", "version", "v9"),
        ("data", "dataset", None),
    ],
)
def test_resume_with_a_setting_of_another_type(unfinished, part, setting, value):
    run = unfinished()
    path = os.path.join(run, runs.CONFIG)
    with open(path, encoding="utf-8") as file:
        content = json.load(file)
    content[part][setting] = value
    with open(path, "w", encoding="utf-8") as file:
        json.dump(content, file)
    assert f"{setting} is {value!r}" in (error := _error("--resume", run)) and path in error


@pytest.fixture
def unfinished(interrupted, tmp_path) -> Callable[..., str]:
    """Copies the run as it was when it was interrupted, with changes to its config."""

    def copy(**changes) -> str:
        run = tmp_path / "run"
        shutil.copytree(interrupted[2], run)
        content = json.loads((run / runs.CONFIG).read_text(encoding="utf-8")) | changes
        (run / runs.CONFIG).write_text(json.dumps(content))
        return str(run)

    return copy


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "flipped", "method", "name"])
def test_a_broken_checkpoint_is_passed_over(unfinished, result, damage):
    run = unfinished()
    older, newest = sorted(os.listdir(os.path.join(run, checkpoints.FOLDER)))
    assert (older, newest) == ("step_00000003.npz", "step_00000004.npz")
    _damage(os.path.join(run, checkpoints.FOLDER, newest), damage)
    code, _, err = _main("--resume", run)
    assert code == 0 and "going on after step 3" in err
    assert any(line.startswith("note: a broken checkpoint") and newest in line for line in err)
    if damage == "flipped":  # The others go the same way.
        _assert_same_end(run, result)


def test_only_broken_checkpoints(unfinished):
    run = unfinished()
    for name in os.listdir(os.path.join(run, checkpoints.FOLDER)):
        _damage(os.path.join(run, checkpoints.FOLDER, name), "cut")
    assert "one checkpoint at least must be intact" in _error("--resume", run)


def _damage(path: str, damage: str) -> None:
    with open(path, "rb") as file:
        content = file.read()
    middle = len(content) // 2
    damaged = {
        "empty": b"",
        "text": b"none",
        "cut": content[:middle],
        "flipped": _flipped(content, middle),
        # Of an entry of the zip's directory, ten bytes in: another compression.
        "method": _flipped(content, content.rindex(b"PK\x01\x02") + 10),
        "name": content.replace(b"model_0000", b"modem_0000"),
    }[damage]
    with open(path, "wb") as file:
        file.write(damaged)


def _flipped(content: bytes, position: int) -> bytes:
    return content[:position] + bytes([content[position] ^ 4]) + content[position + 1 :]


@pytest.mark.parametrize("content", [None, "", "epoch,loss\n1,0."])
def test_resume_needs_no_history(unfinished, result, content):
    run = unfinished()
    path = os.path.join(run, runs.HISTORY)
    os.remove(path)
    if content is not None:
        with open(path, "w") as file:
            file.write(content)
    assert _main("--resume", run)[0] == 0
    _assert_same_end(run, result)


def test_a_damaged_history_is_named(tmp_path):
    path = tmp_path / runs.HISTORY
    for text in ("epoch,loss\n1,foo\n", ",".join(curves.FIELDS) + "\n1,0.5\n"):
        path.write_text(text)
        with pytest.raises(ValueError, match=f"as train.py wrote it.*{path}"):
            curves.read_history(str(path))


def test_run_that_only_lacks_its_model_gets_it(unfinished, result):
    run = unfinished()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "save_model", _full_disk)
        assert "No space left" in _error("--resume", run)
    assert runs.MODEL not in os.listdir(run)
    assert _main("--resume", run)[0] == 0
    _assert_same_end(run, result)


def _full_disk(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "disk")


def test_a_full_disk_does_not_end_the_training(data, result, tmp_path):
    err = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(err):
        patch.setattr(checkpoints.np, "savez", _full_disk)
        run = training.train(_config(data, tmp_path / "run")).run
    assert err.getvalue().count("note: no checkpoint of step") == EPOCHS
    _assert_same_end(run, result)


def test_a_disk_that_is_full_until_the_end_costs_the_best_epoch_only(data, result, tmp_path):
    err = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(err):
        patch.setattr(checkpoints.np, "savez", _full_disk)
        patch.setattr(recorder, "save_model", _full_disk)
        patch.setattr(recorder.curves, "write_history", _failing_until(EPOCHS))
        done = training.train(_config(data, tmp_path / "run"))
    for what in ("checkpoint of step", runs.BEST, runs.HISTORY):
        assert err.getvalue().count(f"note: no {what}") >= EPOCHS - 1
    assert done.best_epoch == EPOCHS and done.val_accuracy == result.val_accuracy
    assert os.path.isfile(os.path.join(done.run, runs.BEST))
    assert len(_history(done.run)) == EPOCHS


def _failing_until(calls: int) -> Callable[[str, curves.History], None]:
    left, write = iter(range(calls)), curves.write_history

    def attempt(path: str, history: curves.History) -> None:
        return write(path, history) if next(left, None) is None else _full_disk()

    return attempt


@pytest.mark.parametrize("alone, to_beat", [(True, -1.0), (False, 0.5)])
def test_processes_agree_on_what_is_best(data, tmp_path, alone, to_beat):
    """Without the file one process saves again; of several only the chief has it."""
    devices = types.SimpleNamespace(is_one_process=alone)
    config = _config(data, tmp_path)
    resolved = training.resolve(config.recipe, STEPS)
    job = Job(str(tmp_path), config, CLASSES, None, None, resolved, devices)
    row = dict.fromkeys(curves.FIELDS, 0.5)
    record = Recorder(job, None, checkpoints.State(STEPS, [row], {}))
    assert record._best_to_beat() == to_beat
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Recorder, "save_best", _full_disk)
        patch.setattr(Recorder, "model", None)
        record.on_test_end({"loss": 1.0, "accuracy": 0.75})
    record.history.append(row | {"val_accuracy": 0.75})
    expected = None if alone else 0.75
    assert (record.saved_best or {}).get("val_accuracy") == expected


def test_what_a_killed_process_was_writing_is_removed(unfinished):
    run = unfinished()
    leftovers = [f"{run}/.unfinished-x-best.keras"]
    leftovers.append(f"{run}/{checkpoints.FOLDER}/.unfinished-x-step_00000009.npz")
    for path in leftovers:
        with open(path, "wb") as file:
            file.write(b"half")
    checkpoints.clean(run)
    assert not any(os.path.exists(path) for path in leftovers)
    assert len(os.listdir(f"{run}/{checkpoints.FOLDER}")) == 2 and f"{runs.BEST}" in os.listdir(run)


def test_two_trainings_in_one_folder_are_refused(unfinished):
    run = unfinished()
    with run_folders.locked(run):
        assert "one process at a time" in _error("--resume", run)


@pytest.mark.parametrize("names", [["blue", "green"], ["red ünï", "green", "blue"], None])
def test_resume_with_other_classes(unfinished, names):
    assert "classes it began with" in _error("--resume", unfinished(class_names=names))


def test_resume_with_fewer_images(unfinished):
    error = _error("--resume", unfinished(train_images=58))
    assert "images it began with" in error and "57 train_images" in error


def test_resume_with_other_images_of_the_same_number(unfinished, data, tmp_path):
    other = shutil.copytree(data, tmp_path / "other")
    for name in os.listdir(other / CLASSES[0]):
        shutil.copy(os.path.join(data, CLASSES[1], name), other / CLASSES[0] / name)
    error = _error("--resume", unfinished(data={"dataset": str(other)}))
    assert "other train_images of the same number" in error and str(other) in error


def test_resume_takes_no_other_option_not_even_with_its_default(capsys):
    with pytest.raises(SystemExit) as stopped:
        train_cli.main(["--resume", "runs/x", "--seed", "0"])
    assert stopped.value.code == 2 and "--seed" in capsys.readouterr().err


def test_going_on_with_a_finished_run_of_other_options_is_refused(result, data):
    options = ["--dataset", data, "--output-dir", result.run, "--go-on"]
    assert "options that the run was started with" in _error("--version", "v2", *options)


def test_what_differs_is_named_and_places_are_compared(result, data, tmp_path, monkeypatch):
    begun, _ = runs.read_config(result.run)
    monkeypatch.chdir(os.path.dirname(data))
    near = _config(f"{os.path.basename(data)}/", tmp_path)
    assert runs.differences(begun, near) == []
    other = dataclasses.replace(near, seed=3, recipe=dataclasses.replace(near.recipe, epochs=5))
    assert runs.differences(begun, other) == [f"epochs 5 for {EPOCHS}", "seed 3 for 0"]


def test_the_newest_run_to_go_on_with_is_an_interrupted_one(tmp_path):
    for i, (name, ended) in enumerate((("a", False), ("b", False), ("c", True))):
        (tmp_path / name).mkdir()
        (tmp_path / name / runs.CONFIG).write_text("{}")
        os.utime(tmp_path / name / runs.CONFIG, (i, i))
        if ended:
            (tmp_path / name / runs.MODEL).write_text("")
    assert run_folders.newest_interrupted(str(tmp_path)) == str(tmp_path / "b")
    assert run_folders.newest_finished(str(tmp_path)) == str(tmp_path / "c")
    # Begun later, but it cannot go on.
    tuned = dataclasses.replace(_config("x", tmp_path), weights="runs/x", sparsity=0.5)
    (tmp_path / "d").mkdir()
    runs.write_config(str(tmp_path / "d"), tuned, {})
    assert run_folders.newest_interrupted(str(tmp_path)) == str(tmp_path / "b")
    for name in "ab":
        (tmp_path / name / runs.CONFIG).unlink()
    with pytest.raises(ValueError, match="no interrupted run"):
        run_folders.newest_interrupted(str(tmp_path))


def test_a_run_lies_outside_its_images(tmp_path, monkeypatch):
    data = make_folder(tmp_path / "data", dict.fromkeys(CLASSES, 4), SIDE)
    before = sorted(os.listdir(data))
    with pytest.raises(ValueError, match="outside the folder of images.*Received"):
        training.train(_config(data, os.path.join(data, "run")))
    with pytest.raises(ValueError, match="outside the folder of images"):
        training.train(_config(data, os.path.join(data, "blue", "..", "run")))
    monkeypatch.chdir(data)
    with pytest.raises(ValueError, match="Received: runs in"):
        training.train(dataclasses.replace(_config(".", ""), output_dir=None))
    assert sorted(os.listdir(data)) == before


def test_a_run_folder_that_cannot_be_made_is_refused_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file" / "run", tmp_path / "file" / "a" / "b"):
        with pytest.raises(ValueError, match=f"can be made.*Received: {place}, under"):
            run_folders.check_output_dir(str(place))
    run_folders.check_output_dir(str(tmp_path / "a" / "b"))


def _state(step: int) -> checkpoints.State:
    return checkpoints.State(step, [], {"model_0000": np.full(3, step)})


def test_two_checkpoints_are_left_after_a_broken_one(tmp_path):
    run = str(tmp_path)
    for step in (100, 200):
        checkpoints.save(run, _state(step))
    path = checkpoints.paths(run)[0][1]
    with open(path, "r+b") as file:
        file.truncate(100)
    assert checkpoints.newest(run).step == 100
    checkpoints.save(run, _state(120))
    assert [step for step, _ in checkpoints.paths(run)] == [120, 100]
    checkpoints.save(run, _state(140))
    assert [step for step, _ in checkpoints.paths(run)] == [140, 120]


def test_other_people_s_files_stay_beside_checkpoints(tmp_path):
    checkpoints.save(str(tmp_path), _state(1))
    notes = tmp_path / checkpoints.FOLDER / "notes.txt"
    notes.write_text("mine")
    checkpoints.remove(str(tmp_path))
    assert os.listdir(notes.parent) == ["notes.txt"]
    notes.unlink()
    checkpoints.remove(str(tmp_path))
    assert not notes.parent.exists()


def test_labels_that_are_there_are_not_written_again(tmp_path, monkeypatch):
    path = str(tmp_path / "labels.txt")
    model_labels.write(path, CLASSES)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write_text", full)
    model_labels.write(path, CLASSES)
    with pytest.raises(OSError):
        model_labels.write(path, CLASSES[:2])


def test_how_to_go_on_is_said_on_a_full_disk_too(data, tmp_path, monkeypatch):
    def interrupt(job, model, callbacks, first_step):
        callbacks[0].history.append({})
        raise KeyboardInterrupt

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(training.fitting, "fit", interrupt)
    monkeypatch.setattr(training, "draw_curves", full)
    run = str(tmp_path / "my run")
    with pytest.raises(WorkError, match=f"interrupted; to go on: .* --resume '{run}'"):
        training.train(_config(data, run))


def test_weights_that_are_no_numbers_are_refused(model, tmp_path):
    path = str(tmp_path / "nan.keras")
    broken = keras.models.clone_model(model)
    broken.set_weights([np.full(w.shape, np.nan) for w in model.get_weights()])
    broken.save(path)
    with pytest.raises(ValueError, match="finite numbers.*Received: .*nan.keras with NaN"):
        transfer.load(keras.models.clone_model(model), path, CLASSES)


def test_what_a_killed_process_was_writing_does_not_fill_a_folder(tmp_path):
    (tmp_path / ".unfinished-x-config.json").write_text("{")
    run_folders.check_output_dir(str(tmp_path))
    (tmp_path / "mine.txt").write_text("")
    for path in (tmp_path, tmp_path / "mine.txt"):
        with pytest.raises(ValueError, match="new or empty folder"):
            run_folders.check_output_dir(str(path))


def test_a_backbone_that_is_random_is_not_frozen(data, tmp_path):
    first = keras.layers.Conv2D(8, 3, use_bias=False, name="conv1")  # Of V1 0.25, no other.
    weights = str(tmp_path / "first.keras")
    keras.Sequential([keras.Input((SIDE, SIDE, 3)), first]).save(weights)
    config = _config(data, tmp_path / "run", weights=weights, freeze_backbone=True)
    with pytest.raises(ValueError, match="weights of the whole backbone.*frozen layers random"):
        training.train(config)
    assert not (tmp_path / "run").exists()


def test_resume_without_the_data(unfinished, tmp_path):
    run = unfinished(data={"dataset": str(tmp_path / "gone")})
    assert f"Received: {tmp_path / 'gone'}" in _error("--resume", run)


def test_a_loss_that_is_not_a_number_ends_the_run_in_one_line(data, tmp_path, monkeypatch):
    job = Job(str(tmp_path), _config(data, tmp_path), CLASSES, None, None, None)
    record = Recorder.__new__(Recorder)
    record.history = [{"val_accuracy": 0.5}]
    with pytest.raises(training.WorkError, match="--learning-rate.*epoch 2 of 2"):
        training._finish(job, None, record)
    assert os.listdir(tmp_path) == []


def test_runs_without_a_name_are_numbered(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = _config("pets", None)
    network = dataclasses.replace(config.network, image_size=64)
    config = dataclasses.replace(config, network=network, output_dir=None)
    made = [run_folders.create_run(config) for _ in range(3)]
    base = os.path.join("runs", "mobilenet_v1_0.25_64_pets")
    assert made == [base, f"{base}_2", f"{base}_3"]


def test_weights_that_fit_nowhere_are_refused(model, tmp_path):
    other = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="alien")])
    path = str(tmp_path / "other.keras")
    other.save(path)
    with pytest.raises(ValueError, match="share layers.*shares none"):
        transfer.load(model, path, CLASSES)


@pytest.mark.parametrize(
    ("names", "taken"), [(CLASSES, True), (CLASSES[::-1], False), (("ant", *CLASSES[1:]), False)]
)
def test_a_classifier_of_other_classes_is_left_out(model, tmp_path, names, taken):
    path = str(tmp_path / "named.keras")
    model.save(path)
    model_labels.embed(path, names)
    copy = keras.models.clone_model(model)
    _, report = transfer.load(copy, path, CLASSES)
    assert report.missing == (() if taken else ("conv_preds",)) and not report.mismatched
    same = np.array_equal(*(one.get_layer("conv_preds").get_weights()[0] for one in (copy, model)))
    assert same == taken


def test_a_run_goes_on_with_the_recipe_it_began_with(data, tmp_path):
    path = tmp_path / "run"
    source = training.datasets.open_source(DataConfig(data))
    job = training.prepare(training._with_image_size(_config(data, path), source), source, "")
    path.mkdir()
    training.start_run(job, str(path))
    text = (path / runs.CONFIG).read_text()
    before = job.resolved.steps_per_epoch
    edited = json.loads(text)
    edited["recipe"]["batch_size"] *= 2
    (path / runs.CONFIG).write_text(json.dumps(edited))
    line = _error("--resume", str(path))
    assert f"restore {runs.CONFIG}" in line
    assert f"steps_per_epoch {before // 2} for {before}" in line  # By whole batches.


def test_a_full_disk_keeps_one_checkpoint_for_the_model(tmp_path, monkeypatch):
    for step in (1, 2, 3):
        checkpoints.save(str(tmp_path), checkpoints.State(step, [], {"a": np.ones(3)}))
    assert len(checkpoints.paths(str(tmp_path))) == 2
    saved = []

    def save(model, job, path):
        saved.append(len(checkpoints.paths(job.run)))
        if len(saved) == 1:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(training, "save_model", save)
    job = Job(str(tmp_path), None, CLASSES, None, None, None)
    training._save_last(None, job, "model.keras")
    assert saved == [2, 1] and checkpoints.newest(str(tmp_path)).step == 3
    saved.clear()
    with pytest.raises(OSError):  # Nothing else to remove.
        training._save_last(None, job, "model.keras")
    assert saved == [1]


@pytest.mark.parametrize(
    "missing", [{"weights": "typo.keras"}, {"teacher": runs.TeacherConfig("typo.keras")}]
)
def test_missing_files_are_named_before_images_are_read(data, tmp_path, monkeypatch, missing):
    monkeypatch.setattr(training.datasets, "open_source", lambda config: pytest.fail("read"))
    with pytest.raises(ValueError, match="Received: typo.keras"):
        training.train(dataclasses.replace(_config(data, tmp_path), **missing))
