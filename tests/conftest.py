"""Fixtures that several test modules use."""

import os
import pathlib

import numpy as np
import pytest

from benchmarks.arm import cache
from mobilenet_tf import legacy

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared():
    """Path of a file of the optional data folder; skips the test where it is missing."""
    folder = pathlib.Path(os.environ.get("MOBILENET_TF_SHARED", REPOSITORY.parent / "shared"))

    def find(name: str) -> pathlib.Path:
        if not (folder / name).exists():
            pytest.skip(f"{name} is not in {folder}; set MOBILENET_TF_SHARED to its folder")
        return folder / name

    return find


@pytest.fixture(scope="session")
def randomize():
    """Function that gives a model seeded weights, moving statistics included."""

    def fill(model, seed: int = 0):
        rng = np.random.default_rng(seed)
        for layer in model.layers:
            if type(layer).__name__ == "BatchNormalization":
                gamma, beta, mean, variance = layer.get_weights()
                layer.set_weights(
                    [
                        rng.uniform(0.5, 1.25, gamma.shape),
                        rng.normal(0, 0.3, beta.shape),
                        rng.normal(0, 0.3, mean.shape),
                        rng.uniform(0.5, 1.5, variance.shape),
                    ]
                )
            elif layer.get_weights():
                layer.set_weights([_random_kernel(rng, w.shape) for w in layer.get_weights()])
        return model

    return fill


@pytest.fixture(scope="session")
def normalize():
    """Function that gives BatchNorm the statistics of images, without which outputs are alike."""

    def fill(model, images: np.ndarray):
        for layer in model.layers:
            if type(layer).__name__ == "BatchNormalization":
                layer.momentum = 0.0  # The moving statistics become those of one batch.
        model(images.astype(np.float32), training=True)
        return model

    return fill


def _random_kernel(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Keeps the size of activations about constant from layer to layer."""
    depthwise = len(shape) == 4 and shape[3] == 1
    inputs = np.prod(shape[:2] if depthwise else shape[:-1])
    return rng.normal(0, (2.0 / inputs) ** 0.5 if len(shape) > 1 else 0.1, shape)


@pytest.fixture(autouse=True)
def same_engine():
    """A test that switches the engine for good breaks others, far from it."""
    before = os.environ.get(legacy.SWITCH)
    yield
    assert os.environ.get(legacy.SWITCH) == before


@pytest.fixture(autouse=True)
def no_arm_setup(request, monkeypatch):
    """Whether this computer can count ARM instructions decides nothing but the tests of that."""
    if not request.path.name.startswith("test_arm"):

        def missing():
            raise cache.ArmUnavailable("not in this test")

        monkeypatch.setattr(cache, "find", missing)
