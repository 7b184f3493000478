"""ARM instructions of small networks are those that were committed."""

import json

import arm_setup
import pytest

from benchmarks import arm_gate

_LIMIT = 0.005


def relative_change(stored: dict, measured: dict) -> float:
    return measured["instructions"] / stored["instructions"] - 1


@pytest.mark.slow
def test_counts_are_the_committed_ones(tmp_path):
    arm_setup.require()
    with open(arm_gate.RESULTS, encoding="utf-8") as file:
        committed = json.load(file)
    measured = arm_gate.measure(str(tmp_path))
    changes = {
        (old["file"], old["core"]): relative_change(old, new)
        for old, new in zip(committed["results"], measured["results"], strict=True)
    }
    too_far = {name: f"{change:+.2%}" for name, change in changes.items() if abs(change) > _LIMIT}
    assert not too_far, (
        "counts changed; if that is meant, run python -m benchmarks.arm_gate --overwrite. "
        f"Committed with {committed['emulated']}, now {measured['emulated']}"
    )
    for result in measured["results"]:
        assert result["outputs_equal"] in ("identical", "close"), result["file"]
