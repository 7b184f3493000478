"""The table of int8 files, from the reports beside runs."""

import json

import pytest

from benchmarks import int8
from mobilenet_tf import runs
from mobilenet_tf.data.datasets import DataConfig


@pytest.fixture
def run(tmp_path):
    config = runs.TrainConfig(
        runs.NetworkConfig("v2", alpha=0.5, image_size=64), DataConfig("/data/cats")
    )
    runs.write_config(str(tmp_path), config, {})
    for suffix, top1, partitions in (("int8", 0.61, 1), ("int8_float_fallback", 0.6, 21)):
        evaluation = {
            "images": 1000,
            "keras_top1": 0.62,
            "tflite_top1": top1,
            "agreement": 0.95,
            "max_difference": 0.1,
            "worst_images": ["/data/cats/1.png"],
        }
        report = {
            "file": "/data/x.tflite",
            "quantize": suffix,
            "date": "2026-01-01",
            "seconds": 1.0,
            "peak_memory_bytes": 1,
            "versions": {},
            "calibration": None,
            "evaluation": evaluation,
            "facts": {"partitions": {"count": partitions}, "size_bytes": 5},
        }
        (tmp_path / f"x_{suffix}.json").write_text(json.dumps(report))
    return str(tmp_path)


def test_row_and_record(run, tmp_path, capsys):
    output = str(tmp_path / "out.json")
    assert int8.main([run, "--output", output]) == 0
    row = capsys.readouterr().out.splitlines()[-1]
    assert row == (
        "| mobilenet_v2_0.5_64, cats | 1,000 | 62.00 % | 61.00 % | 95.00 % | 60.00 % | 95.00 % "
        "| 1 / 21 |"
    )
    with open(output, encoding="utf-8") as file:
        text = file.read()
    assert "/data" not in text and json.loads(text)["rows"][0]["ours"]["partitions"] == 1
    assert int8.main([run, "--output", output]) == 1


def test_missing_report_names_the_command(run, tmp_path, capsys):
    (tmp_path / "x_int8.json").unlink()
    assert int8.main([run]) == 1
    assert "convert_tflite.py --quantize int8 --model" in capsys.readouterr().err
