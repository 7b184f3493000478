"""Learning from a teacher: the loss by hand, runs, resuming, and what is refused."""

import contextlib
import dataclasses
import io
import json
import math
import os
import signal
import zipfile

import numpy as np
import pytest
from image_files import make_folder

import train as train_cli
from benchmarks import distillation as benchmark
from benchmarks import transfer
from mobilenet_tf import checkpoints, distillation, files, model_labels, resuming, runs, training
from mobilenet_tf.data.datasets import DataConfig
from mobilenet_tf.engine import keras, layers
from mobilenet_tf.recipe import Recipe
from mobilenet_tf.recorder import Recorder
from mobilenet_tf.runs import NetworkConfig, TeacherConfig, TrainConfig

CLASSES = ("blue", "green", "red")
SIDE, TEACHER_SIDE, BATCH, STEPS = 32, 40, 16, 3


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> str:
    return make_folder(tmp_path_factory.mktemp("data"), dict.fromkeys(CLASSES, 24), SIDE)


def save_teacher(path, activation="softmax", labels=CLASSES, classes=3) -> str:
    """A network of another kind and input size: the mean colour, and a dense layer."""
    keras.utils.set_random_seed(3)
    last = [layers.Dense(classes, kernel_initializer="random_normal")]
    if activation is not None:
        last.append(layers.Activation(activation))
    model = keras.Sequential(
        [keras.Input((TEACHER_SIDE, TEACHER_SIDE, 3)), layers.GlobalAveragePooling2D(), *last]
    )
    model.save(path)
    if labels is not None:
        model_labels.embed(str(path), labels)
    return str(path)


@pytest.fixture(scope="module")
def teacher_path(tmp_path_factory) -> str:
    return save_teacher(tmp_path_factory.mktemp("teacher") / "teacher.keras")


def _config(dataset, output_dir, teacher) -> TrainConfig:
    recipe = Recipe(2, BATCH, learning_rate=0.01, augmentation="light", dropout_rate=0.2)
    network, data = NetworkConfig("v1", alpha=0.25), DataConfig(dataset)
    return TrainConfig(network, data, recipe, output_dir=str(output_dir), teacher=teacher)


@pytest.fixture(scope="module")
def taught(data, teacher_path, tmp_path_factory):
    """A run with a teacher, and what it said."""
    err = io.StringIO()
    with contextlib.redirect_stderr(err):
        run = tmp_path_factory.mktemp("runs") / "taught"
        result = training.train(_config(data, run, TeacherConfig(teacher_path)))
    return result.run, err.getvalue()


def _weights(run: str, name: str = runs.MODEL) -> dict[str, np.ndarray]:
    model = keras.models.load_model(os.path.join(run, name))
    return {variable.path: variable.numpy() for variable in model.weights}


# The loss.


def test_soft_loss_by_hand():
    # At T = 2 the teacher says (3/4, 1/4) and the student (1/2, 1/2), whatever the constant.
    teacher = np.array([[2 * math.log(3), 0.0]]) + 5.0
    student = np.array([[1.0, 1.0]])
    expected = 2**2 * (0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5))
    found = distillation.soft_loss(teacher.astype("float32"), student.astype("float32"), 2.0)
    assert float(found) == pytest.approx(expected, rel=1e-6)
    assert float(distillation.soft_loss(teacher, teacher - 9.0, 2.0)) == pytest.approx(0, abs=1e-6)


def test_probabilities_do_as_logits():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (4, 5)).astype("float32")
    other = rng.normal(0, 3, (4, 5)).astype("float32")
    of_logits = distillation.soft_loss(logits, other, 4.0)
    softened = distillation.log_probabilities(keras.ops.softmax(logits))
    assert float(distillation.soft_loss(softened, other, 4.0)) == pytest.approx(
        float(of_logits), rel=1e-5
    )
    certain = distillation.log_probabilities(np.array([[1.0, 0.0]], "float32"))
    assert np.isfinite(float(distillation.soft_loss(certain, np.zeros((1, 2), "float32"), 1.0)))


def test_training_loss_has_the_teacher_and_evaluation_has_not():
    # Constant outputs: the student's (1/2, 1/2), the teacher's (3/4, 1/4) at T = 2.
    image = keras.Input((2,))
    network = keras.Model(
        image, layers.Dense(2, activation="softmax", kernel_initializer="zeros")(image)
    )
    settings = TeacherConfig("", temperature=2.0, weight=0.25)
    logits = np.array([[2 * math.log(3), 0.0]] * 4, "float32")
    model = distillation.Student(network, lambda images: logits, settings)
    smooth = keras.losses.CategoricalCrossentropy(label_smoothing=0.2)
    model.compile(optimizer=keras.optimizers.SGD(0.0), loss=smooth, metrics=["accuracy"])
    x, y = np.ones((4, 2), "float32"), np.array([[1, 0]] * 4, "float32")
    hard = math.log(2)  # Of any labels, smoothed or not.
    soft = 4 * (0.75 * math.log(1.5) + 0.25 * math.log(0.5))
    loss, _ = model.train_on_batch(x, y)
    assert float(loss) == pytest.approx(0.75 * hard + 0.25 * soft, rel=1e-5)
    loss, accuracy = model.evaluate(x, y, verbose=0)
    assert loss == pytest.approx(hard, rel=1e-5) and accuracy == 1.0
    assert [v.path for v in model.variables] == [v.path for v in network.variables]


@pytest.mark.parametrize("activation", ["softmax", None])
def test_teacher_sees_resized_images(tmp_path, activation):
    path = save_teacher(tmp_path / "teacher.keras", activation)
    teacher = distillation.Teacher(TeacherConfig(path), CLASSES)
    assert teacher.gives_logits == (activation is None)
    # A ramp of 20 pixels, twice as fine bilinearly: its mean stays, which is all it looks at.
    ramp = np.tile(np.linspace(0, 255, 20, dtype="float32")[None, :, None, None], (1, 1, 20, 3))
    dense = keras.models.load_model(path).layers[1].get_weights()
    expected = ramp.mean(axis=(1, 2)) @ dense[0] + dense[1]
    found = np.asarray(teacher(ramp))
    np.testing.assert_allclose(
        found - found.mean(), expected - expected.mean(), rtol=1e-4, atol=1e-3
    )


# Runs.


@pytest.fixture(scope="module")
def plain(data, tmp_path_factory) -> str:
    """The same run without a teacher."""
    run = tmp_path_factory.mktemp("runs") / "plain"
    return training.train(_config(data, run, None)).run


def test_files_hold_the_student_only(taught, plain):
    for name in (runs.MODEL, runs.BEST):
        expected = {path: array.shape for path, array in _weights(plain, name).items()}
        found = {path: array.shape for path, array in _weights(taught[0], name).items()}
        assert found == expected


def test_run_says_and_records_its_teacher(taught, teacher_path):
    run, err = taught
    assert f"teacher: {teacher_path}, 40x40 pixels in" in err and "probabilities out" in err
    assert "temperature 4, weight 0.9" in err and "names no classes" not in err
    recorded = json.load(open(os.path.join(run, runs.CONFIG)))["teacher"]
    assert recorded == {
        "path": teacher_path,
        "temperature": 4.0,
        "weight": 0.9,
        "sha256": files.sha256(teacher_path),
    }
    assert runs.read_config(run)[0].teacher == TeacherConfig(**recorded)


def test_teacher_changes_what_is_learned(taught, plain):
    others = _weights(plain)
    assert (
        max(np.abs(array - others[name]).max() for name, array in _weights(taught[0]).items())
        > 1e-3
    )


@pytest.fixture(scope="module")
def interrupted(data, teacher_path, tmp_path_factory) -> str:
    run = str(tmp_path_factory.mktemp("runs") / "interrupted")
    on_batch = Recorder.on_train_batch_begin

    def stop(self, batch, logs=None):
        if self.step == STEPS:
            os.kill(os.getpid(), signal.SIGINT)
        on_batch(self, batch, logs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Recorder, "on_train_batch_begin", stop)
        with pytest.raises(training.WorkError, match="interrupted"):
            training.train(_config(data, run, TeacherConfig(teacher_path)))
    return run


def test_resume_refuses_a_changed_or_missing_teacher(interrupted, teacher_path, tmp_path):
    with open(teacher_path, "rb") as file:
        content = file.read()
    try:
        save_teacher(teacher_path, classes=3, labels=None)
        line = _error("--resume", interrupted)
        assert "teacher it began with" in line and f"Received: {teacher_path} with SHA-256" in line
        os.remove(teacher_path)
        assert f"Received: {teacher_path}" in _error("--resume", interrupted)
    finally:
        with open(teacher_path, "wb") as file:
            file.write(content)


def test_checkpoints_hold_the_student_only(interrupted, plain):
    state = checkpoints.newest(interrupted)
    expected = keras.models.load_model(os.path.join(plain, runs.MODEL))
    found = [array.shape for key, array in sorted(state.arrays.items()) if key.startswith("model_")]
    assert found == [tuple(variable.shape) for variable in expected.weights]


def test_resumed_run_ends_as_the_uninterrupted_one(interrupted, taught):
    resuming.resume(interrupted)
    expected = _weights(taught[0])
    for name, array in _weights(interrupted).items():
        np.testing.assert_array_equal(array, expected[name], err_msg=name)


def test_a_run_may_teach(taught):
    path = os.path.join(taught[0], runs.MODEL)
    settings = distillation.identified(TeacherConfig(taught[0]), CLASSES)
    assert settings.path == path and settings.sha256 == files.sha256(path)
    assert not distillation.Teacher(settings, CLASSES).gives_logits


def test_unnamed_classes_are_counted(tmp_path, capsys):
    path = save_teacher(tmp_path / "teacher.keras", labels=None)
    settings = distillation.identified(TeacherConfig(path), CLASSES)
    assert settings.sha256 == files.sha256(path)
    assert "it names no classes; only their number, 3, was compared" in capsys.readouterr().err


# What is refused.


def _error(*arguments: str, code: int = 1) -> str:
    """The one line that a failing command ends with."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            found = train_cli.main(list(arguments))
        except SystemExit as exited:
            found = exited.code
    lines = err.getvalue().splitlines()
    assert (found, out.getvalue()) == (code, "")
    assert [line for line in lines if line.startswith("error:")] == lines[-1:]
    assert "Traceback" not in err.getvalue()
    return lines[-1]


@pytest.mark.parametrize(
    "changes, rule, received",
    [
        ({"labels": ("blue", "red", "green")}, "classes in the same order", "class 1 is red"),
        ({"classes": 4, "labels": None}, "classes in the same order", "for 3 classes"),
        ({"activation": "sigmoid"}, "softmax or without activation", "(sigmoid)"),
        ({"activation": "relu"}, "softmax or without activation", "(relu)"),
    ],
)
def test_unfit_teacher_leaves_no_run(data, tmp_path, changes, rule, received):
    path = save_teacher(tmp_path / "teacher.keras", **changes)
    run = tmp_path / "run"
    options = ["--version", "v1", "--alpha", "0.25", "--dataset", data, "--output-dir", str(run)]
    line = _error(*options, "--teacher", path)
    assert rule in line and received in line.split("Received: ")[1] and not run.exists()


def test_a_teacher_of_two_outputs_is_refused(data, tmp_path):
    image = keras.Input((32, 32, 3))
    scores = keras.layers.Softmax()(keras.layers.Dense(3)(keras.layers.Flatten()(image)))
    path = str(tmp_path / "two.keras")
    keras.Model(image, [scores, scores]).save(path)
    line = _error("--version", "v1", "--dataset", data, "--teacher", path)
    assert "one input and one output" in line and f"{path} with 1 and 2" in line


def _takes_bytes():
    image = keras.Input((32, 32, 3), dtype="uint8")
    x = keras.layers.Rescaling(1.0)(image)
    return keras.Model(image, keras.layers.Dense(3)(keras.layers.Flatten()(x)))


def _gives_a_dictionary():
    image = keras.Input((32, 32, 3))
    return keras.Model(image, {"a": keras.layers.Dense(3)(keras.layers.Flatten()(image))})


def _is_not_finite():
    image = keras.Input((32, 32, 3))
    model = keras.Model(image, keras.layers.Dense(3)(keras.layers.Flatten()(image)))
    model.set_weights([np.full(w.shape, np.nan) for w in model.get_weights()])
    return model


@pytest.mark.parametrize(
    "make, rule",
    [
        (_gives_a_dictionary, "must take float32 images and give one score per class"),
        (_is_not_finite, "scores must be finite"),
    ],
)
def test_a_teacher_that_cannot_be_asked_leaves_no_run(data, tmp_path, make, rule):
    path, run = str(tmp_path / "odd.keras"), tmp_path / "run"
    make().save(path)
    line = _error(
        *("--version", "v1", "--dataset", data, "--teacher", path, "--output-dir", str(run))
    )
    assert rule in line and f"Received: {path}" in line and not run.exists()


def test_a_teacher_of_bytes_is_refused_or_asked(tmp_path):
    """Whichever Keras makes of it, nothing is left to the first step."""
    path = str(tmp_path / "bytes.keras")
    _takes_bytes().save(path)
    try:
        distillation.identified(TeacherConfig(path), CLASSES)
    except ValueError as error:
        assert f"Received: {path}" in str(error)


def test_odd_names_beside_a_teacher(tmp_path):
    path = save_teacher(tmp_path / "teacher.keras", labels=None)
    for content in ("[1, 2]", '{"class_names": 3}', '{"class_names": [1]}', "{", "\xff"):
        (tmp_path / "teacher.json").write_text(content)
        distillation.identified(TeacherConfig(path), CLASSES)  # Another program's file.
    (tmp_path / runs.LABELS).write_bytes(b"caf\xe9\n")
    with pytest.raises(ValueError, match=f"UTF-8 text. Received: {tmp_path}"):
        distillation.identified(TeacherConfig(path), CLASSES)


def test_the_same_command_goes_on_with_its_teacher(taught, data, teacher_path):
    asked = _config(data, "elsewhere", TeacherConfig(teacher_path))
    begun, _ = runs.read_config(taught[0])
    assert begun.teacher.sha256 and runs.differences(begun, asked) == []
    other = dataclasses.replace(asked, teacher=TeacherConfig("other.keras", weight=0.5))
    assert [line.split()[0] for line in runs.differences(begun, other)] == ["path", "weight"]
    without = dataclasses.replace(asked, teacher=None)
    assert any(line.startswith("weight None for 0.9") for line in runs.differences(begun, without))


@pytest.mark.parametrize("name", ["missing.keras", "missing", "text.keras", "model.tflite"])
def test_no_teacher_at_all(data, tmp_path, name):
    if name != "missing.keras" and "." in name:
        (tmp_path / name).write_text("no model")
    path = str(tmp_path / name)
    line = _error("--version", "v1", "--dataset", data, "--teacher", path)
    assert f"Received: {path}" in line


def test_teacher_options_need_a_teacher(data):
    options = ["--version", "v1", "--dataset", data]
    assert "need --teacher" in _error(*options, "--teacher-weight", "0.5", code=2)
    assert "need --teacher" in _error(*options, "--teacher-temperature", "2", code=2)
    options += ["--teacher", "x"]
    assert "Received: 0" in _error(*options, "--teacher-temperature", "0", code=2)
    assert "Received: 1.5" in _error(*options, "--teacher-weight", "1.5", code=2)


def test_settings_of_old_runs_have_no_teacher(taught, tmp_path):
    content = json.load(open(os.path.join(taught[0], runs.CONFIG)))
    del content["teacher"]
    (tmp_path / runs.CONFIG).write_text(json.dumps(content))
    assert runs.read_config(str(tmp_path))[0].teacher is None


def test_teacher_is_kept_out_of_fine_tuning(taught):
    from mobilenet_tf import fine_tuning

    config = fine_tuning.config_from(taught[0], Recipe(1), {"sparsity": 0.5})
    assert config.teacher is None
    assert dataclasses.replace(config, teacher=None) == config


def test_labels_in_the_saved_model(taught):
    with zipfile.ZipFile(os.path.join(taught[0], runs.MODEL)) as archive:
        assert archive.read(runs.LABELS).decode().split() == list(CLASSES)


def test_comparisons_look_at_teacher_and_folders_before_they_train(data, tmp_path, capsys):
    own = ["--version", "v1", "--alpha", "0.25", "--dataset", data, "--epochs", "1"]
    own += ["--seeds", "0", "--runs", str(tmp_path), "--output", str(tmp_path / "x.json")]
    assert benchmark.main([*own, "--teacher", "typo"]) == 1
    assert capsys.readouterr().err.strip().endswith("Received: typo")
    (tmp_path / "taught_0").mkdir()
    (tmp_path / "taught_0" / "mine.txt").write_text("")
    (tmp_path / "teacher.keras").write_text("")
    assert benchmark.main([*own, "--teacher", str(tmp_path / "teacher.keras")]) == 1
    assert "choose another --runs. Received: " in capsys.readouterr().err
    (tmp_path / "taught_0").rename(tmp_path / "from_scratch_0")
    longer = ["--epochs", "2", "--frozen-epochs", "1", "--weights", "typo"]
    assert transfer.main([*own, *longer]) == 1
    assert "choose another --runs. Received: " in capsys.readouterr().err
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["from_scratch_0", "teacher.keras"]
