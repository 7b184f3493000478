"""The ARM set-up for tests that need it."""

import os

import pytest

from benchmarks.arm import cache, install


def require() -> cache.Setup:
    """The set-up; skips the test where it is missing and nobody asked to make it."""
    if os.environ.get("MOBILENET_TF_ARM_SETUP") == "1":
        return install.install()
    try:
        return cache.find()
    except cache.ArmUnavailable as error:
        pytest.skip(f"{error}; MOBILENET_TF_ARM_SETUP=1 makes it")
