"""The same file gives the same answers in every program that an app may use.

LiteRT's two Python interfaces and a C program run wherever the tests do. MediaPipe and
the old tflite-runtime need environments of their own: `make test-clients` makes them.
The browser needs Chromium and the packages in web/; without them its tests are skipped.
"""

import os
import pathlib

import numpy as np
import pytest
from ai_edge_litert.compiled_model import CompiledModel
from tiny_tflite import tiny_model

from benchmarks import client_runs
from export.convert import prepare
from export.metadata import ModelMetadata, add_metadata
from export.metadata_tables import pack_metadata
from export.recipes import RECIPES
from mobilenet_tf import specs
from mobilenet_tf.models import ModelOptions, build_model
from mobilenet_tf.runtime import TFLiteModel

NETWORKS = (specs.V1, specs.V2, specs.V3_SMALL, specs.V3_LARGE)
RECIPE_NAMES = ("none", "int8")
LABELS = ("Gänseblümchen", "日本 桜", "🌷", "two words", "a", "b", "c", "d", "e", "f")
SIZE = 32
BROWSERS = (client_runs.TASKS_VISION, client_runs.LITERT_JS)
MADE_BY_MAKE = (client_runs.MEDIAPIPE, client_runs.OLD_RUNTIME)

# Greatest difference of a score from that of LiteRT's interpreter, by client.
# The same kernels, int8 ones to the bit: only the float softmax may be summed otherwise. A score is
# at most 1, rounded to 2**-24 = 6e-8; 1e-5 leaves room for some 100 such roundings.
SAME_KERNELS = 1e-5
# tflite-runtime 2.14, float32: 30 to 70 layers of sums in another order; 1.7e-6 was seen.
OLD_FLOAT = 1e-4
# The same, int8: its kernels round twice where XNNPACK rounds once, so an activation may be a step
# of 8 bits off in every layer. With random weights, which make the most of it, that adds up to 45
# steps of the logits, of 0.0118 each: 0.53. A softmax's slope is at most 1/4, hence 0.13 of a
# score; 0.09 was seen, and 0.037 with trained weights.
OLD_INT8 = 0.13


def _pictures(count: int, seed: int) -> np.ndarray:
    """Blots of colour, uint8: unlike noise, they differ after pooling too."""
    blots = np.random.default_rng(seed).integers(0, 256, (count, 4, 4, 3), np.uint8)
    return blots.repeat(SIZE // 4, axis=1).repeat(SIZE // 4, axis=2)


IMAGES = _pictures(6, seed=0)


@pytest.fixture(scope="module", params=NETWORKS, ids=lambda spec: spec.name)
def model_paths(request, randomize, normalize, tmp_path_factory):
    """Paths of a network's float and int8 file, by recipe."""
    shape = (SIZE, SIZE, 3)
    options = ModelOptions(input_shape=shape, alpha=0.25, classes=len(LABELS), last_map=2)
    model = randomize(build_model(request.param, options))
    normalize(model, _pictures(32, seed=1))
    folder = tmp_path_factory.mktemp(request.param.name)
    paths = {}
    for name in RECIPE_NAMES:
        calibration = _pictures(8, seed=1) if RECIPES[name].needs_calibration else None
        form = RECIPES[name].hard_swish_form("auto")
        content = prepare(model, RECIPES[name], calibration, form, seed=0).convert().content
        paths[name] = str(folder / f"{name}.tflite")
        pathlib.Path(paths[name]).write_bytes(add_metadata(content, ModelMetadata(LABELS)))
    return paths


@pytest.fixture(params=RECIPE_NAMES)
def path(request, model_paths):
    """One model file."""
    return model_paths[request.param]


@pytest.fixture
def expected(path):
    """Scores of LiteRT's interpreter, float32 (images, classes), told apart well enough."""
    scores = np.stack(list(TFLiteModel(path).predict(IMAGES)))
    assert scores.std(axis=0).max() > 0.02, "outputs too alike to prove anything"
    return scores


def test_compiled_model(path, expected):
    details = TFLiteModel(path).input
    compiled = CompiledModel.from_file(path)
    signatures = compiled.get_signature_list()
    assert signatures == {"serving_default": {"inputs": ["image"], "outputs": ["probabilities"]}}
    image = compiled.create_input_buffer_by_name("serving_default", "image")
    scores = compiled.create_output_buffer_by_name("serving_default", "probabilities")
    for pixels, wanted in zip(IMAGES, expected):
        image.write(pixels.astype(details.dtype))
        compiled.run_by_name("serving_default", {"image": image}, {"probabilities": scores})
        np.testing.assert_allclose(scores.read(len(LABELS), np.float32), wanted, atol=SAME_KERNELS)


@pytest.fixture
def inputs(path, tmp_path):
    """Folder with the model and the images, as the clients read them."""
    client_runs.write_inputs(str(tmp_path), path, IMAGES)
    return str(tmp_path)


def _answer(client, folder: str) -> dict:
    try:
        return client_runs.answer(client, folder, len(IMAGES))
    except client_runs.NotAvailable as error:
        # Where make has named the folder, what is missing there is a failure.
        is_promised = "MOBILENET_TF_CLIENTS" in os.environ and client in MADE_BY_MAKE
        (pytest.fail if is_promised else pytest.skip)(str(error))


def test_c_program(inputs, expected):
    answer = _answer(client_runs.C_PROGRAM, inputs)
    assert answer["metadata_bytes"] > 0
    np.testing.assert_allclose(answer["scores"], expected, atol=SAME_KERNELS)


def test_c_program_reports_a_wrong_input(inputs):
    tensors = pathlib.Path(inputs, client_runs.TENSORS)
    tensors.write_bytes(tensors.read_bytes() + b"short")
    with pytest.raises(client_runs.ClientFailed, match="the inputs must be .* whole images"):
        _answer(client_runs.C_PROGRAM, inputs)


@pytest.mark.clients
def test_mediapipe(inputs, expected):
    answer = _answer(client_runs.MEDIAPIPE, inputs)
    assert answer["labels"] == list(LABELS) and answer["head"] == "probabilities"
    np.testing.assert_allclose(answer["scores"], expected, atol=SAME_KERNELS)


@pytest.mark.clients
@pytest.mark.parametrize("client", BROWSERS, ids=lambda client: client.name)
def test_browser(client, inputs, expected):
    np.testing.assert_allclose(_answer(client, inputs)["scores"], expected, atol=SAME_KERNELS)


@pytest.mark.clients
def test_old_runtime(path, inputs, expected):
    scores = np.array(_answer(client_runs.OLD_RUNTIME, inputs)["scores"])
    if path.endswith("none.tflite"):
        np.testing.assert_allclose(scores, expected, atol=OLD_FLOAT)
        return
    np.testing.assert_allclose(scores, expected, atol=OLD_INT8)
    # That would pass much; but what sets one image apart from the others must be the same, too.
    ours, theirs = (expected - expected.mean(axis=0)), (scores - scores.mean(axis=0))
    correlation = np.corrcoef(ours.ravel(), theirs.ravel())[0, 1]
    assert correlation > 0.6, correlation  # 0.79 was seen; unrelated answers give about 0.


@pytest.mark.clients
def test_mediapipe_refuses_a_float_file_without_metadata(tmp_path):
    bare = tmp_path / "bare.tflite"
    bare.write_bytes(tiny_model(3, "float32"))
    client_runs.write_inputs(str(tmp_path), str(bare), IMAGES)
    with pytest.raises(client_runs.ClientFailed, match="NormalizationOptions"):
        _answer(client_runs.MEDIAPIPE, str(tmp_path))


READ_WITH_MEDIAPIPES_SCHEMA = """
import importlib.util, json, os, sys
import flatbuffers
folder = importlib.util.find_spec("mediapipe").submodule_search_locations[0]
path = os.path.join(folder, "tasks", "metadata", "metadata_schema_py_generated.py")
spec = importlib.util.spec_from_file_location("schema", path)
schema = importlib.util.module_from_spec(spec)
spec.loader.exec_module(schema)
root = schema.ModelMetadataT.InitFromPackedBuf(open(sys.argv[1], "rb").read())
graph = root.subgraphMetadata[0]
image, scores = graph.inputTensorMetadata[0], graph.outputTensorMetadata[0]
print(json.dumps([
    root.name.decode(), root.license.decode(), root.minParserVersion.decode(),
    image.content.contentProperties.colorSpace == schema.ColorSpaceType.RGB,
    list(map(float, image.processUnits[0].options.mean)),
    list(map(float, image.processUnits[0].options.std)),
    scores.name.decode(),
    scores.content.contentPropertiesType == schema.ContentProperties.FeatureProperties,
    scores.associatedFiles[0].name.decode(),
    scores.associatedFiles[0].type == schema.AssociatedFileType.TENSOR_AXIS_LABELS,
]))
"""


def _schema_command(packed: str) -> list[str]:
    python = client_runs.environment_python("mediapipe")
    return [python, "-c", READ_WITH_MEDIAPIPES_SCHEMA, packed]


@pytest.mark.clients
def test_mediapipes_own_schema_reads_the_metadata(tmp_path):
    packed = tmp_path / "metadata"
    packed.write_bytes(pack_metadata(ModelMetadata(LABELS, "näme", license="MIT", mean=(1.5,))))
    program = client_runs.Client("schema", _schema_command)
    assert _answer(program, str(packed)) == [
        *("näme", "MIT", "1.0.0", True, [1.5], [1.0]),
        *("probabilities", True, "labels.txt", True),
    ]
