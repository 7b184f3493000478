"""The table of fine-tuned runs, from files that lie there already."""

import gzip
import json

import pytest

from benchmarks import fine_tuned
from mobilenet_tf import runs
from mobilenet_tf.data.datasets import DataConfig

FLOAT_TOP1 = {"float_run": 0.5, "quantization-aware": 0.51, "prune_0.5": 0.42, "cluster_16": 0.33}
INT8_TOP1 = {"float_run": 0.49, "quantization-aware": 0.5, "prune_0.5": 0.41, "cluster_16": 0.32}


def _make(folder, name: str) -> None:
    """What the two commands would have left of one way."""
    folder.mkdir(parents=True)
    if name != "float_run":
        (folder / runs.MODEL).write_text("a model")
    for kind, top1 in (("float32", FLOAT_TOP1[name]), ("int8", INT8_TOP1[name])):
        (folder / f"{kind}.tflite").write_bytes(b"\0" * 1000)
        evaluation = {"images": 200, "keras_top1": FLOAT_TOP1[name], "tflite_top1": top1}
        report = {"evaluation": evaluation, "facts": {"partitions": {"count": 1}}}
        (folder / f"{kind}.json").write_text(json.dumps(report))


@pytest.fixture
def made(tmp_path):
    """A float run, and a folder with everything made of it but the pruned run."""
    run = tmp_path / "base"
    run.mkdir()
    network = runs.NetworkConfig("v1", alpha=0.25, image_size=32)
    runs.write_config(str(run), runs.TrainConfig(network, DataConfig("data/flowers")), {})
    for name in ("float_run", "quantization-aware", "cluster_16"):
        _make(tmp_path / "made" / "base" / name, name)
    check = {"agreement": 0.995, "val_accuracy": 0.5, "file_accuracy": 0.5, "partitions": 1}
    aware = tmp_path / "made" / "base" / "quantization-aware"
    (aware / runs.INT8_CHECK).write_text(json.dumps(check))
    return run, tmp_path / "made"


def test_what_lies_there_is_not_made_again(made, tmp_path, capsys):
    run, folder = made
    ways = ["--ways", "quantization-aware", "cluster 16"]
    command = [str(run), "--runs", str(folder), "--output", str(tmp_path / "out.json"), *ways]
    assert fine_tuned.main(command) == 0
    printed = capsys.readouterr().out
    assert (
        "| mobilenet_v1_0.25_32, flowers | 200 | 50.00 % | 49.00 % | 50.00 % | 99.50 % | 1 "
        "|  |  | 33.00 % | 32.00 % |" in printed
    )
    packed = len(gzip.compress(b"\0" * 1000, 9, mtime=0))
    line = f"| cluster 16 | 1,000 | {packed} | 1,000 | {packed} |"
    assert line in printed and "prune" not in printed.split("way |")[1]
    (row,) = json.loads((tmp_path / "out.json").read_text())["rows"]
    assert row["quantization-aware"]["check"]["agreement"] == 0.995
    assert set(row["quantization-aware"]["size_bytes"]) == {"int8"}  # No float file of it.
    assert fine_tuned.main(command) == 1  # The figures are not replaced unasked.
    assert "out.json" in capsys.readouterr().err


def test_a_command_that_fails_ends_it(made, tmp_path, capfd):
    run, folder = made  # Has no weights, so that pruning fails.
    command = [str(run), "--runs", str(folder), "--output", str(tmp_path / "out.json")]
    assert fine_tuned.main([*command, "--ways", "prune 0.5"]) == 1
    assert "error: train.py must end well" in capfd.readouterr().err
    assert not (tmp_path / "out.json").exists()


@pytest.mark.parametrize("options", [["--ways", "shrink"], ["--epochs", "0"]])
def test_wrong_usage(options, capsys):
    with pytest.raises(SystemExit) as exit_info:
        fine_tuned.main(["run", "--runs", "x", "--output", "y", *options])
    assert exit_info.value.code == 2 and capsys.readouterr().err.startswith("error:")
