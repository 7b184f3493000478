"""The comparison of training speeds: what is compared, and how it is counted."""

import pytest
import tensorflow as tf

from benchmarks import training
from benchmarks.op_shares import op_shares


def test_op_shares_name_what_was_computed():
    matrix = tf.ones((256, 256))

    @tf.function
    def work(x):
        return tf.linalg.matmul(x, x) + tf.exp(x)

    work(matrix)
    shares = op_shares(lambda: [work(matrix) for _ in range(20)])
    assert {"MatMul", "Exp"} <= set(shares)
    assert all(0.005 <= share <= 1 for share in shares.values()) and sum(shares.values()) <= 1.0001
    assert list(shares.values()) == sorted(shares.values(), reverse=True)


def test_both_loops_train_networks_of_the_same_cost():
    split = training.random_split()
    job = training.job_of(split, "small", 0.25, 2, 8)
    ours, plain = training.our_loop(job), training.plain_loop(job, jit_compile=False)
    # 32x32 with the first stride dropped has the maps of 64x64.
    assert ours.macs == plain.macs and ours.batch_size == plain.batch_size == 8
    assert {ours.name, plain.name} == {training.OURS, "plain fit, jit_compile=False"}
    assert ours.train(1) > 0 and plain.train(1) > 0


def test_loops_take_turns():
    done = []

    def seconds(name: str, steps: int) -> float:
        done.append((name, steps))
        return {"a": 0.5, "b": 2.0}[name] * steps

    loops = [
        training.Loop(name, 1, batch, lambda steps, name=name: seconds(name, steps))
        for name, batch in (("a", 2), ("b", 4))
    ]
    rates = list(training.in_turn(loops, 1e-9, 3))
    # Steps of 2 images in half a second, and of 4 in two seconds.
    assert rates == [("a", 4.0), ("b", 2.0)] * 3
    # Twice to warm up, then a turn each; a step that takes longer than a turn is taken once.
    assert done[:4] == [("a", 2), ("a", 2), ("b", 2), ("b", 2)]
    assert done[4:] == [("a", 1), ("b", 1)] * 3


def test_ratio_is_that_of_turns(capsys):
    compared = {
        "macs": {"train.py": 5_590_000, "plain fit": 5_590_000},
        "images_per_s": {"train.py": [200.0, 100.0, 150.0], "plain fit": [100.0, 80.0, 100.0]},
    }
    row = {
        "network": "v3-small",
        "alpha": 1.0,
        "by_batch_size": {"128": compared},
        "batch_sizes_images_per_s": {"64": 120.0, "128": 150.0},
        "pipeline_images_per_s": 1500.0,
    }
    training._print_row(row)
    text = capsys.readouterr().out
    assert "ratio 1.50 (1.25 to 2.00)" in text  # 200/100, 100/80, 150/100.
    assert "10.0 times train.py" in text and "64: 120, 128: 150" in text


@pytest.mark.parametrize("options", [["--size", "huge"], ["--rounds", "0"], ["--last-map", "3"]])
def test_wrong_usage(options, capsys):
    with pytest.raises(SystemExit) as exit_info:
        training.main(options)
    assert exit_info.value.code == 2 and capsys.readouterr().err.startswith("error:")
