"""Quantization-aware training: what is trained is what the file computes."""

import contextlib
import importlib.util
import io
import json
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
from image_files import make_folder

import convert_tflite as convert_cli
import train as train_cli
from export.compute import probabilities
from export.folding import integer_form
from export.keras_graph import from_keras, read_layers
from export.pointwise import pointwise_pairs
from export.quantization import trained_file
from export.quantization.integers import integer_outputs
from export.quantization.quantizer import quantize_graph
from export.quantization.scale_choice import choose_scales
from export.quantization.scales import Quantization
from export.recipes import RECIPES
from export.writer import write_tflite
from mobilenet_tf import fine_tuning, model_labels, resuming, runs, specs
from mobilenet_tf.data.datasets import DataConfig
from mobilenet_tf.engine import keras
from mobilenet_tf.models import ModelOptions, build_model
from mobilenet_tf.recipe import Recipe
from mobilenet_tf.runtime import TFLiteModel

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
NETWORKS = {
    "v1": specs.V1,
    "v2": specs.V2,
    "v3_small": specs.V3_SMALL,
    "v3_large": specs.V3_LARGE,
    "v3_small_minimalistic": specs.get_spec("v3", "small", True),
}
# A layer before a hard-swish of which training let a channel grow, and those that read it;
# V3-Large also adds it to its first block's output.
GROWN = {
    "v3_small": ("conv_bn", "expanded_conv_depthwise"),
    "v3_large": ("conv_bn", "expanded_conv_depthwise", "expanded_conv_1_expand"),
}
CLASSES = ("blue", "green", "red")
# The minimalistic one is wide enough for two 1x1 convolutions that become one.
ALPHAS = dict.fromkeys(NETWORKS, 0.25) | {"v3_small_minimalistic": 0.75}
COARSE = np.random.default_rng(3).integers(0, 256, (16, 8, 8, 3), np.uint8)
PICTURES = np.repeat(np.repeat(COARSE, 4, 1), 4, 2)

# Trains on tf_keras, which is chosen when it is imported: in a process of its own.
TRAINING = """
import os
import numpy as np
from export import qat
from export.folding import integer_form
from export.keras_graph import from_keras
from export.qat_model import quantization_aware
from export.quantization.scale_choice import choose_trainable_form_and_scales
from mobilenet_tf import specs
from mobilenet_tf.engine import keras
from mobilenet_tf.models import ModelOptions, build_model
from mobilenet_tf.weights import load_weights

pictures = np.load("pictures.npy")
images = pictures.astype(np.float32)
labels = np.eye(5, dtype=np.float32)[np.arange(len(pictures)) % 5]
networks = {
    "v1": specs.V1,
    "v2": specs.V2,
    "v3_small": specs.V3_SMALL,
    "v3_large": specs.V3_LARGE,
    "v3_small_minimalistic": specs.get_spec("v3", "small", True),
}
for network, spec in networks.items():
    alpha = 0.75 if "minimalistic" in network else 0.25
    options = ModelOptions(input_shape=(32, 32, 3), alpha=alpha, classes=5, last_map=2)
    model = build_model(spec, options)
    load_weights(model, f"{network}.keras")
    raw = from_keras(model)
    chosen = choose_trainable_form_and_scales(integer_form(raw), pictures, 0)
    aware = quantization_aware(model, chosen)
    # Three steps from the float network's answers would drown in their roundings.
    (last,) = [v for v in aware.model.trainable_variables if v.shape == (5,)]
    last.assign_add([0.5, 0, 0, 0, -0.5])
    said = [model(images)]
    said.append(aware.model(images))
    adam = keras.optimizers.Adam(1e-4)
    # Tracing a graph for three steps would take longer than the steps.
    aware.model.compile(adam, "categorical_crossentropy", run_eagerly=True)
    fit = aware.model.fit(images, labels, batch_size=len(images), epochs=3, verbose=0)
    said.append(aware.model(images))
    aware.freeze()
    os.mkdir(network)
    qat.save(network, f"{network}.keras", model, aware)
    before, (after, quantization) = aware.graph, aware.trained()
    np.savez(
        f"{network}/results.npz",
        scores=aware.model(images, training=False),
        losses=fit.history["loss"],
        said=said,
        moved=[
            np.abs(node.kernel - before[node.name].kernel).max() / np.abs(node.kernel).max()
            for node in after.nodes
            if node.weighted and not node.name.endswith("_gate")
        ],
        scales=[(scale.scale, scale.zero_point) for scale in quantization.scales.values()],
        names=list(quantization.scales),
        equalized=list(aware.swishes),
    )
"""


@pytest.fixture(scope="module")
def folder(randomize, normalize, tmp_path_factory):
    """Has one run folder per network, trained for a few steps in another process."""
    # Not imported here: it sets TF_USE_LEGACY_KERAS for all that this process starts later.
    if importlib.util.find_spec("tensorflow_model_optimization") is None:
        pytest.skip("tensorflow_model_optimization is not installed")
    path = tmp_path_factory.mktemp("trained")
    for network, spec in NETWORKS.items():
        options = ModelOptions((32, 32, 3), alpha=ALPHAS[network], classes=5, last_map=2)
        model = normalize(randomize(build_model(spec, options)), PICTURES)
        if network in GROWN:
            _let_a_channel_grow(*(model.get_layer(name) for name in GROWN[network]))
        model.save(path / f"{network}.keras")
    np.save(path / "pictures.npy", PICTURES)
    done = subprocess.run(
        [sys.executable, "-c", TRAINING],
        cwd=path,
        env=os.environ | {"TF_USE_LEGACY_KERAS": "1", "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        errors="replace",
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return path


def _let_a_channel_grow(norm, *readers) -> None:
    """What follows the hard-swish makes up for it."""
    arrays = norm.get_weights()
    for array in arrays[:2]:
        array[1] *= 20
    norm.set_weights(arrays)
    for reader in readers:
        (kernel,) = reader.get_weights()
        kernel[:, :, 1] /= 20
        reader.set_weights([kernel])


@pytest.fixture(scope="module", params=NETWORKS)
def run(request, folder):
    return folder / request.param


@pytest.fixture(scope="module")
def results(run):
    return np.load(run / "results.npz")


@pytest.fixture(scope="module")
def trained(run):
    """The graph and scales that a conversion reads, and the model as Keras 3 loads it."""
    path = str(run / runs.MODEL)
    model = keras.models.load_model(path)
    found = trained_file.load_beside(path, from_keras(model))
    assert found is not None
    return *found, model


@pytest.fixture(scope="module")
def tflite(run, trained):
    path = str(run / "x.tflite")
    with open(path, "wb") as file:
        file.write(write_tflite(trained[0], RECIPES["int8"], trained[1], ""))
    return TFLiteModel(path)


def test_training_changes_all_kernels(results):
    losses = results["losses"]
    assert np.isfinite(losses).all() and abs(losses[-1] - losses[0]) > 1e-3
    assert (results["moved"] > 1e-5).all()


def test_training_learns_from_the_float_network_and_not_from_labels(results):
    expected, before, after = results["said"].astype(np.float64)

    def divergence(found):
        return np.mean(np.sum(expected * np.log(expected / found), axis=1))

    assert divergence(after) < 0.9 * divergence(before)


def test_hard_swishes_that_need_it_are_equalized(run, results):
    equalized = results["equalized"].tolist()
    if run.name in GROWN:
        assert GROWN[run.name][0].removesuffix("_bn") + "_hard_swish" in equalized
    else:
        assert not equalized


def test_file_computes_what_the_trained_model_does(results, tflite):
    scores = np.stack(list(tflite.predict(PICTURES)))
    assert np.ptp(scores, axis=0).max() > 1e-3  # Not the same for every picture.
    # One rounding in a few hundred images goes the other way; see docs/quantization_aware.md.
    differences = np.abs(scores - results["scores"]).max(axis=1)
    # That moves a score by as much as a network of random weights makes of one step.
    assert np.sum(differences > 1e-5) <= 1 and differences.max() < 0.05
    assert (scores.argmax(axis=1) == results["scores"].argmax(axis=1)).all()
    assert tflite.op_counts()["DELEGATE"] == 1


def test_file_has_the_trained_scales(run, results, tflite):
    found = _tensor_scales(str(run / "x.tflite"))
    expected = dict(zip(results["names"], results["scales"]))
    assert found["image"] == (1.0, 0)  # uint8 in the file, int8 in the graph.
    del expected["image"]
    checked = [name for name in expected if name in found]
    assert len(checked) > 0.9 * len(expected)
    for name in checked:
        np.testing.assert_array_equal(found[name], expected[name].astype(np.float32))


def _tensor_scales(path: str) -> dict[str, tuple[float, float]]:
    from ai_edge_litert.interpreter import Interpreter

    details = Interpreter(path).get_tensor_details()
    return {detail["name"]: detail["quantization"] for detail in details}


def test_the_run_s_keras_model_is_the_same_network_in_float(run, trained):
    graph, _, model = trained
    expected = model.predict(PICTURES.astype(np.float32), verbose=0)
    # The first convolution pads with half a byte more, which these random networks amplify.
    np.testing.assert_allclose(probabilities(graph, PICTURES), expected, atol=0.03)
    original = keras.models.load_model(f"{run}.keras")
    assert [layer.name for layer in model.layers] == [layer.name for layer in original.layers]
    merged = pointwise_pairs(read_layers(model))
    assert bool(merged) == (ALPHAS[run.name] == 0.75)
    for pair in merged:  # The first passes on what it reads; the second has learned both.
        norm = model.get_layer(pair.norm)
        gamma, beta, mean, variance = norm.get_weights()
        np.testing.assert_allclose(gamma / np.sqrt(variance + norm.epsilon), 1, rtol=1e-6)
        np.testing.assert_array_equal(beta, mean)


def test_integer_arithmetic_is_the_file_s(trained, tmp_path):
    """Also of a post-training file; one image may have met a tie that rounds the other way."""
    model = trained[2]
    found = quantize_graph(choose_scales(integer_form(from_keras(model)), PICTURES[:8], 8, 0))
    path = str(tmp_path / "x.tflite")
    with open(path, "wb") as file:
        file.write(write_tflite(found.graph, RECIPES["int8"], found.quantization, ""))
    scores = np.stack(list(TFLiteModel(path).predict(PICTURES)))
    integers = integer_outputs(found.graph, found.quantization, PICTURES)
    equal = np.abs(integers - scores).max(axis=1) < 1e-5
    assert equal.sum() >= len(PICTURES) - 1


def test_numbers_of_another_model_are_refused(folder, tmp_path):
    model = keras.models.load_model(folder / "v1.keras")  # Not trained further.
    graph = integer_form(from_keras(keras.models.load_model(folder / "v1" / runs.MODEL)))
    trained_file.save(str(tmp_path / runs.QUANTIZATION), graph, Quantization())
    with pytest.raises(ValueError, match="its own model.keras"):
        trained_file.load_beside(str(tmp_path / runs.MODEL), from_keras(model))
    (tmp_path / runs.QUANTIZATION).write_bytes(b"not an archive")
    with pytest.raises(ValueError, match="as train.py wrote it"):
        trained_file.load_beside(str(tmp_path / runs.MODEL), from_keras(model))
    assert trained_file.load_beside(str(tmp_path / "best.keras"), from_keras(model)) is None


@pytest.fixture(scope="module")
def float_run(tmp_path_factory, randomize):
    """A finished run, as train.py leaves it, without the training."""
    data = make_folder(tmp_path_factory.mktemp("data"), dict.fromkeys(CLASSES, 10))
    folder = tmp_path_factory.mktemp("run")
    network = runs.NetworkConfig("v1", alpha=0.25, image_size=32)
    runs.write_config(
        str(folder),
        runs.TrainConfig(network, DataConfig(data)),
        {"class_names": list(CLASSES)},
    )
    options = ModelOptions((32, 32, 3), alpha=0.25, classes=len(CLASSES))
    randomize(build_model(specs.V1, options)).save(folder / runs.MODEL)
    model_labels.embed(str(folder / runs.MODEL), CLASSES)
    return str(folder)


def _fine_tune(float_run: str, output: pathlib.Path, *options: str) -> str:
    command = [sys.executable, "train.py", "--weights", float_run, "--output-dir", str(output)]
    few = ["--epochs", "2", "--batch-size", "8", "--learning-rate", "0.001"]
    done = subprocess.run(
        [*command, *few, *options],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        errors="replace",
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_command_makes_a_run_like_every_other(float_run, tmp_path):
    output = tmp_path / "aware"
    printed = _fine_tune(float_run, output, "--quantization-aware")
    assert "the same class for 100.00 %" in printed and "partitions: 1" in printed
    assert sorted(os.listdir(output)) == sorted(
        [
            *(runs.MODEL, runs.QUANTIZATION, runs.INT8_CHECK, runs.LABELS),
            *(runs.CONFIG, runs.HISTORY, runs.CURVES),
        ]
    )
    check = json.loads((output / runs.INT8_CHECK).read_text())
    assert check["agreement"] == 1 and check["partitions"] == 1
    assert f"its int8 file: {100 * check['file_accuracy']:.2f} %" in printed
    config, _ = runs.read_config(str(output))
    assert config.quantization_aware and config.network.alpha == 0.25
    assert model_labels.of_model(str(output / runs.MODEL)) == list(CLASSES)
    model = keras.models.load_model(output / runs.MODEL)
    assert trained_file.load_beside(str(output / runs.MODEL), from_keras(model))
    with pytest.raises(ValueError, match="cannot go on"):
        resuming.resume(str(output))
    _check_conversion(float_run, output)


def _check_conversion(float_run: str, output: pathlib.Path) -> None:
    """Against the float run while that is there; other kinds of integers are refused."""
    run, reported = str(output), output / "mobilenet_v1_0.25_32_int8.json"
    for options in (
        ["--quantize", "int8", "--keep-float", "conv1"],
        ["--quantize", "int8", "--hard-swish", "fused"],
        ["--quantize", "int16x8"],
        ["--quantize", "int8-float-fallback"],
    ):
        assert convert_cli.main(["--model", run, *options]) == 2
    assert convert_cli.main(["--model", run, "--quantize", "int8"]) == 0
    report = json.loads(reported.read_text())
    assert report["model"] == str(output / runs.MODEL) and report["calibration"] is None
    assert report["reference"] == os.path.join(float_run, runs.MODEL)
    os.rename(float_run, f"{float_run}_elsewhere")
    assert convert_cli.main(["--model", run, "--quantize", "int8", "--overwrite"]) == 0
    os.rename(f"{float_run}_elsewhere", float_run)
    assert json.loads(reported.read_text())["reference"] == report["model"]


def test_pruned_kernels_have_zeros(float_run, tmp_path):
    _fine_tune(float_run, tmp_path / "pruned", "--prune", "0.5")
    kernels = _kernels(tmp_path / "pruned" / runs.MODEL)
    for kernel in kernels:
        assert np.mean(kernel == 0) == pytest.approx(0.5, abs=0.02)


def test_clustered_kernels_have_few_values(float_run, tmp_path):
    _fine_tune(float_run, tmp_path / "clustered", "--cluster", "8")
    kernels = _kernels(tmp_path / "clustered" / runs.MODEL)
    assert max(len(np.unique(kernel)) for kernel in kernels) <= 8


def _kernels(path: pathlib.Path) -> list[np.ndarray]:
    model = keras.models.load_model(path)
    found = [layer.get_weights()[0] for layer in model.layers if type(layer).__name__ == "Conv2D"]
    assert len(found) == 15  # The stem, 13 pointwise ones and the classifier (arXiv:1704.04861).
    return found


@pytest.mark.parametrize(
    "name, message",
    [
        (runs.MODEL, "folder that train.py made"),  # The file in the run, not the run.
        ("", "must be a finished one"),
    ],
)
def test_what_is_no_finished_run_is_refused(float_run, tmp_path, name, message):
    run = tmp_path / "run"
    shutil.copytree(float_run, run)
    if not name:
        os.remove(run / runs.MODEL)
    with pytest.raises(ValueError, match=message):
        fine_tuning.open_run(fine_tuning.config_from(str(run / name), Recipe(1), {}))


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "--quantization-aware needs --weights"),
        (["--weights", "x", "--version", "v1", "--alpha", "0.5"], "Received: --version, --alpha"),
        (["--weights", "x", "--dataset", "shapes"], "Received: --dataset"),
        (["--cluster", "1"], "a whole number of at least 2"),
        (["--weights", "x", "--prune", "0.5"], "one of --quantization-aware, --prune, --cluster"),
        (["--weights", "x", "--resume"], "--resume takes its settings from the run"),
    ],
)
def test_wrong_combinations_are_one_line(arguments, message):
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors), pytest.raises(SystemExit) as stopped:
        train_cli.main(["--quantization-aware", *arguments])
    assert stopped.value.code == 2
    assert message in errors.getvalue() and len(errors.getvalue().splitlines()) == 1
