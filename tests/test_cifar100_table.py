"""Records of runs on CIFAR-100, and the table that they are set into."""

import json
import pathlib

import pytest

from benchmarks import cifar100
from mobilenet_tf import curves, runs
from mobilenet_tf.data.datasets import DataConfig
from mobilenet_tf.recipe import Recipe
from mobilenet_tf.runs import NetworkConfig, TeacherConfig, TrainConfig

RESULTS = pathlib.Path(__file__).resolve().parents[1] / "benchmarks" / "results" / "cifar100"


def _run(
    folder, alpha=0.25, images=(50_000, 10_000), accuracies=(0.5, 0.6412), teacher=None, **data
) -> str:
    run = folder / f"run {alpha} {images[0]}"
    run.mkdir()
    network = NetworkConfig("v3", "small", alpha=alpha, image_size=32, last_map=4)
    config = TrainConfig(
        network,
        DataConfig("cifar100", **data),
        Recipe(20, 64),
        teacher=teacher,
        output_dir=str(run),
    )
    details = {
        "train_images": images[0],
        "val_images": images[1],
        "resolved": {"learning_rate": 0.1, "weight_decay": 0.005},
    }
    runs.write_config(str(run), config, details)
    rows = [
        {"epoch": i + 1, "val_accuracy": value, "loss": 1.0} for i, value in enumerate(accuracies)
    ]
    curves.write_history(
        str(run / runs.HISTORY), [dict.fromkeys(curves.FIELDS, 1.0) | row for row in rows]
    )
    (run / runs.MODEL).write_bytes(b"weights")
    return str(run)


def test_record_of_a_run(tmp_path, capsys):
    run = _run(tmp_path)
    assert cifar100.main([run, "--output", str(tmp_path)]) == 0
    record = json.loads((tmp_path / "run 0.25 50000.json").read_text())
    assert record["top1"] == 64.12
    # sha256 of b"weights", by sha256sum.
    assert record["weights_sha256"].startswith("9a129038")
    assert 3.4e6 < record["macs"] < 3.6e6  # test_complexity.py holds the count to Keras'.
    assert str(tmp_path) not in json.dumps(record)
    table = capsys.readouterr().out
    assert "| V3-Small 0.25 | 5.9 M | 60.13 % | MobileNetV3-Small, alpha 0.25, 32x32 |" in table
    assert "| 64.12 % | +3.99 |" in table
    assert table.count("not run") == 5


def test_a_dearer_network_belongs_to_a_dearer_row(tmp_path, capsys):
    assert cifar100.main([_run(tmp_path, alpha=0.5)]) == 0
    line = [line for line in capsys.readouterr().out.splitlines() if "V3-Small 0.5 |" in line]
    assert "| -2.25 |" in line[0]  # 64.12 - 66.37


def test_a_teacher_is_named_without_its_place(tmp_path, capsys):
    teacher = TeacherConfig(str(tmp_path / "larger" / runs.MODEL), sha256="ab")
    assert cifar100.main([_run(tmp_path, teacher=teacher), "--output", str(tmp_path)]) == 0
    assert "32x32, taught by larger |" in capsys.readouterr().out
    record = json.loads((tmp_path / "run 0.25 50000.json").read_text())
    assert record["config"]["teacher"]["path"] == "larger"
    assert record["config"]["teacher"]["sha256"] == "ab"
    assert str(tmp_path) not in json.dumps(record)


def test_first_weights_are_named_without_their_place(tmp_path):
    run = _run(tmp_path)
    path = tmp_path / "run 0.25 50000" / runs.CONFIG
    content = json.loads(path.read_text())
    for weights, name in ((f"{tmp_path}/frozen", "frozen"), (f"{tmp_path}/x.h5", "x.h5")):
        loaded = {"file": weights, "loaded": ["conv"]}
        path.write_text(json.dumps(content | {"weights": weights, "loaded": loaded}))
        record = cifar100.read_run(run)
        assert record["config"]["weights"] == name
        assert str(tmp_path) not in json.dumps(record)


def test_held_out_images_make_an_ablation(tmp_path, capsys):
    run = _run(tmp_path, images=(45_000, 5_000), train_split="train[:90%]")
    assert cifar100.main([run]) == 0
    text = capsys.readouterr().out
    assert text.count("not run") == 6 and "| adamw | light |" in text and "| 64.12 % |" in text
    assert "| 32x32, 4 | 3.5 M | 20 |" in text and "| 0.1 | 0.005 | 64.12 % |" in text


def test_records_are_read_again_and_kept(tmp_path, capsys):
    run = _run(tmp_path)
    folder = tmp_path / "records"
    folder.mkdir()
    assert cifar100.main([run, "--output", str(folder)]) == 0
    assert cifar100.main([run, "--output", str(folder)]) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert cifar100.main(["--records", str(folder)]) == 0
    assert "+3.99" in capsys.readouterr().out


@pytest.mark.parametrize("name", [runs.MODEL, runs.CONFIG])
def test_what_is_no_finished_run(tmp_path, capsys, name):
    run = _run(tmp_path)
    (tmp_path / "run 0.25 50000" / name).unlink()
    assert cifar100.main([run]) == 1
    assert "Received" in capsys.readouterr().err


def test_nothing_named(capsys):
    with pytest.raises(SystemExit) as exit_info:
        cifar100.main([])
    assert exit_info.value.code == 2


def test_the_documents_tables_are_those_of_the_records():
    records = cifar100.read_records(str(RESULTS))
    whole = [record for record in records if cifar100.is_whole(record)]
    parts = [record for record in records if not cifar100.is_whole(record)]
    text = (RESULTS.parents[2] / "docs" / "recipes.md").read_text(encoding="utf-8")
    assert records and cifar100.format_table(whole) in text
    assert cifar100.format_ablation(parts) in text


def test_records_that_are_not_there_are_no_runs_that_were_not_made(tmp_path, capsys):
    assert cifar100.main(["--records", str(tmp_path / "typo")]) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("error: --records must be an existing folder. Received: ")
