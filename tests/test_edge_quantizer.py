"""The comparison with ai-edge-quantizer, where that is installed, and its message where not."""

import sys

import numpy as np
import pytest

from benchmarks import edge_quantizer
from export import convert
from export.recipes import RECIPES
from mobilenet_tf import cli, specs
from mobilenet_tf.models import ModelOptions, build_model
from mobilenet_tf.runtime import TFLiteModel


def test_its_int8_file_computes_what_the_float_file_does(tmp_path, randomize, normalize):
    pytest.importorskip("ai_edge_quantizer")
    images = np.random.default_rng(1).integers(0, 256, (8, 32, 32, 3), np.uint8)
    options = ModelOptions((32, 32, 3), alpha=0.25, classes=4)
    model = normalize(randomize(build_model(specs.V1, options)), images)
    path = tmp_path / "float.tflite"
    path.write_bytes(convert.prepare(model, RECIPES["none"], None, "split", 0).convert().content)
    (tmp_path / "int8.tflite").write_bytes(edge_quantizer.edge_quantized(str(path), images))
    found, expected = (
        np.stack(list(TFLiteModel(str(tmp_path / f"{name}.tflite")).predict(images)))
        for name in ("int8", "float")
    )
    assert (tmp_path / "int8.tflite").stat().st_size < path.stat().st_size / 2
    # Min-max ranges of a network of random weights: alike, no more.
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.5
    assert np.abs(found - expected).max() > 0


def test_without_it_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ai_edge_quantizer", None)  # As if it were not there.
    with pytest.raises(cli.UsageError, match="pip install -e"):
        edge_quantizer.edge_quantized("x.tflite", np.zeros((1, 8, 8, 3), np.uint8))
