"""The same network on every engine: Keras 3 on three backends, and tf_keras."""

import importlib.util
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
NETWORKS = ("v1", "v2", "v3_small")

# Runs in a process of its own, since the engine is chosen at import time.
CHECK = """
import sys
import numpy as np
from mobilenet_tf import models, specs, weights

data = np.load(sys.argv[1])
for network in {networks}:
    spec = specs.get_spec(*network.split("_"))
    options = models.ModelOptions(input_shape=(64, 64, 3), alpha=0.5, classes=7)
    model = models.build_model(spec, options)
    arrays = {{}}
    for key in data.files:
        kind, layer, _ = (key.split("|") + ["", ""])[:3]
        if kind == network and layer not in ("images", "outputs"):
            arrays.setdefault(layer, []).append(data[key])
    report = weights.assign_weights(model, arrays)
    assert not report.left and not report.unused, report
    found = model.predict(data[network + "|images"], verbose=0)
    print(network, np.abs(found - data[network + "|outputs"]).max())
print("engine", models.keras.__name__, models.keras.__version__.split(".")[0],
      models.keras.backend.backend(), "tensorflow" in sys.modules)
""".format(networks=NETWORKS)


@pytest.fixture(scope="module")
def reference(randomize, tmp_path_factory):
    """Weights by layer, images and outputs of Keras 3 on TensorFlow."""
    pytest.importorskip("tensorflow")
    from mobilenet_tf import models, specs

    arrays = {}
    for network in NETWORKS:
        spec = specs.get_spec(*network.split("_"))
        options = models.ModelOptions(input_shape=(64, 64, 3), alpha=0.5, classes=7)
        model = randomize(models.build_model(spec, options), seed=3)
        images = np.random.default_rng(1).uniform(0, 255, (2, 64, 64, 3)).astype("float32")
        for layer in model.layers:
            for i, weight in enumerate(layer.get_weights()):
                arrays[f"{network}|{layer.name}|{i}"] = weight
        arrays[f"{network}|images"] = images
        arrays[f"{network}|outputs"] = np.asarray(model(images, training=False))
        assert np.ptp(arrays[f"{network}|outputs"]) > 1e-2
    path = tmp_path_factory.mktemp("engines") / "reference.npz"
    np.savez(path, **arrays)
    return path


def run_check(path: pathlib.Path, **environment: str) -> tuple[dict[str, float], list[str]]:
    """Largest differences by network, and the engine that computed them."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("KERAS_", "TF_USE_"))}
    result = subprocess.run(
        [sys.executable, "-c", CHECK, str(path)],
        cwd=REPOSITORY,
        env={**inherited, **environment},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    lines = [line.split() for line in result.stdout.splitlines()]
    differences = {line[0]: float(line[1]) for line in lines if line[0] in NETWORKS}
    return differences, next(line[1:] for line in lines if line[0] == "engine")


def test_tf_keras_computes_the_same(reference):
    pytest.importorskip("tf_keras")
    differences, engine = run_check(reference, TF_USE_LEGACY_KERAS="1")
    assert engine[0].startswith("tf_keras") and engine[1] == "2"
    assert set(differences) == set(NETWORKS)
    assert max(differences.values()) <= 1e-5


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_backends_compute_the_same(backend, reference):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    differences, engine = run_check(reference, KERAS_BACKEND=backend)
    assert engine[1:3] == ["3", backend]
    assert set(differences) == set(NETWORKS)
    assert max(differences.values()) <= 1e-5
