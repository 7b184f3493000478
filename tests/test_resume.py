"""A training killed at random points ends as one left alone, to the bit."""

import json
import subprocess
import sys

KILLS = 20


def test_killed_training_ends_as_one_left_alone(tmp_path):
    # In a process of its own: it forks, which a process that has computed cannot.
    path = tmp_path / "resume.json"
    command = [sys.executable, "-m", "benchmarks.resume", "--kills", str(KILLS)]
    done = subprocess.run([*command, "--json", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    record = json.loads(path.read_text())
    assert record["kills"] == KILLS and record["gone_on_within_an_epoch"] > KILLS / 2
    assert record["different_arrays"] == [] and record["same_history"] is True
