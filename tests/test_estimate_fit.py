"""The arithmetic of the latency model, by hand."""

import math

import numpy as np
import pytest

from benchmarks.estimate.fit import (
    fit,
    fit_with_offsets,
    held_out,
    relative_errors,
    spearman,
    wrong_pairs,
)


def test_one_factor_minimizes_relative_squares():
    # x / ms is 0.5 and 1: the factor is (0.5 + 1) / (0.25 + 1).
    weights = fit(np.array([[1.0], [2.0]]), np.array([2.0, 2.0]))
    assert weights == pytest.approx([1.2])


def test_two_weights_that_explain_everything_are_found():
    features = np.array([[1e9, 0.0], [0.0, 1.0], [1e9, 1.0]])
    assert fit(features, np.array([2.0, 3.0, 5.0])) == pytest.approx([2e-9, 3.0])


def test_a_weight_that_would_be_negative_is_0():
    # Without the bound the weights are 2 and -1. With it the second is 0, and
    # the first is that of x / ms = 0.5 and 1.
    weights = fit(np.array([[1.0, 0.0], [1.0, 1.0]]), np.array([2.0, 1.0]))
    assert weights == pytest.approx([1.2, 0.0])


def test_a_feature_that_is_0_everywhere_gets_no_weight():
    weights = fit(np.array([[1.0, 0.0], [2.0, 0.0]]), np.array([3.0, 6.0]))
    assert weights == pytest.approx([3.0, 0.0])


def test_tables_that_differ_by_a_factor_share_weights():
    # The second table is 3 times as slow; its rows alone say nothing of the second feature.
    features = np.array([[1.0, 0.0], [1.0, 1.0], [2.0, 0.0], [1.0, 0.0]])
    ms = np.array([1.0, 5.0, 6.0, 3.0])
    weights, offsets = fit_with_offsets(features, ms, ["a", "a", "b", "b"])
    assert offsets["b"] / offsets["a"] == pytest.approx(3)
    assert weights * offsets["a"] == pytest.approx([1, 4])


def test_a_group_is_predicted_by_the_others_only():
    # From the last row the factor is 2, from the first two it is 1.
    features, ms = np.array([[1.0], [2.0], [4.0]]), np.array([1.0, 2.0, 8.0])
    assert held_out(features, ms, ["t"] * 3, ["a", "a", "b"]) == pytest.approx([2.0, 4.0, 4.0])


def test_leaving_out_needs_two_groups_in_each_table():
    with pytest.raises(ValueError, match="two of them in each table"):
        held_out(np.ones((3, 1)), np.ones(3), ["t", "t", "u"], ["a", "b", "a"])


def test_a_fit_needs_rows():
    with pytest.raises(ValueError, match="needs rows"):
        fit(np.ones((0, 1)), np.ones(0))


def test_errors_are_relative_to_the_truth():
    errors = relative_errors(np.array([50.0, 12.0]), np.array([40.0, 16.0]))
    assert errors == pytest.approx([0.25, 0.25])


def test_spearman_of_one_exchange():
    # 1 - 6 * 2 / (4 * (16 - 1)), the formula for ranks without ties.
    assert spearman(np.array([1, 2, 3, 4]), np.array([10, 30, 20, 40])) == pytest.approx(0.8)


def test_spearman_shares_ranks():
    # Ranks 1.5, 1.5, 3 and 1, 2, 3: 1.5 / sqrt(1.5 * 2).
    assert spearman(np.array([5, 5, 9]), np.array([1, 2, 3])) == pytest.approx(math.sqrt(3) / 2)


def test_spearman_of_a_constant_is_not_a_number():
    assert math.isnan(spearman(np.array([1, 1]), np.array([1, 2])))


def test_wrong_pairs_leave_out_what_is_close_and_halve_ties():
    # 10 against 10.5 is within 10 %; 10 against 20 is wrong; 10.5 against 20 is a tie.
    assert wrong_pairs(np.array([2, 1, 1]), np.array([10, 10.5, 20])) == (1.5, 2)


def test_a_perfect_order_has_no_wrong_pairs():
    assert wrong_pairs(np.array([1, 2, 3]), np.array([30, 60, 90])) == (0, 3)
