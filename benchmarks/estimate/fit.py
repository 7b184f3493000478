"""Fits milliseconds to features, and judges predictions by error and by order."""

import itertools
from collections.abc import Sequence

import numpy as np

_ROUNDS = 60  # Factors then stay to 6 digits.


def fit(features: np.ndarray, ms: np.ndarray) -> np.ndarray:
    """Non-negative weights of least relative squares, without a constant.

    Minimizes sum((features @ weights / ms - 1) ** 2) over weights of at least
    0, exactly: the best set of weights above 0 is one of the few subsets, and
    all are tried.

    Args:
        features: (rows, features), of at least 0; at most 8 features.
        ms: (rows,), above 0.

    Returns:
        (features,) weights.

    Raises:
        ValueError: no rows.
    """
    if not len(ms):
        raise ValueError("a fit needs rows; record some networks first. Received: none")
    relative = features / ms[:, None]
    size = np.maximum(relative.max(axis=0), 1e-300)  # So that lstsq sees comparable columns.
    best, best_loss = np.zeros(features.shape[1]), float(len(ms))
    for chosen in _subsets(features.shape[1]):
        weights, *_ = np.linalg.lstsq(relative[:, chosen] / size[chosen], np.ones(len(ms)))
        loss = float(np.sum((relative[:, chosen] / size[chosen] @ weights - 1) ** 2))
        if (weights >= 0).all() and loss < best_loss:
            best, best_loss = np.zeros(features.shape[1]), loss
            best[chosen] = weights / size[chosen]
    return best


def _subsets(count: int) -> list[list[int]]:
    return [
        list(chosen)
        for size in range(1, count + 1)
        for chosen in itertools.combinations(range(count), size)
    ]


def fit_with_offsets(
    features: np.ndarray, ms: np.ndarray, tables: Sequence[str]
) -> tuple[np.ndarray, dict[str, float]]:
    """Weights that several tables share, and a factor per table.

    Tables of one phone differ by a factor, of runtime and set-up, more than in
    what they say of networks beside one another. Weights and factors are fitted
    in turn, each by least relative squares, until they stay.

    Args:
        features: (rows, features).
        ms: (rows,).
        tables: name of each row's table.

    Returns:
        (features,) weights, for a table whose factor is 1; and each table's
        factor. Only their products are determined.
    """
    offsets = dict.fromkeys(tables, 1.0)
    for _ in range(_ROUNDS):
        weights = fit(features, ms / np.array([offsets[name] for name in tables]))
        predicted = features @ weights
        for table in offsets:
            inside = np.array([name == table for name in tables])
            offsets[table] = float(fit(predicted[inside, None], ms[inside])[0])
    return weights, offsets


def held_out(
    features: np.ndarray, ms: np.ndarray, tables: Sequence[str], groups: Sequence[object]
) -> np.ndarray:
    """Predicts each group's rows by a fit on all other groups' rows.

    Args:
        features: (rows, features).
        ms: (rows,).
        tables: name of each row's table.
        groups: one label a row; rows of a label are held out together.

    Returns:
        (rows,) predicted milliseconds.

    Raises:
        ValueError: a table that is left without rows.
    """
    predicted = np.empty(len(ms))
    for group in set(groups):
        out = np.array([label == group for label in groups])
        rest = [name for name, left in zip(tables, out) if not left]
        if not set(tables) <= set(rest):
            raise ValueError(
                "leaving one network out needs two of them in each table; record more networks. "
                f"Received: only {group} in one"
            )
        weights, offsets = fit_with_offsets(features[~out], ms[~out], rest)
        scale = np.array([offsets[name] for name, left in zip(tables, out) if left])
        predicted[out] = features[out] @ weights * scale
    return predicted


def relative_errors(predicted: np.ndarray, ms: np.ndarray) -> np.ndarray:
    """|predicted / ms - 1| of each row."""
    return np.abs(predicted / ms - 1)


def spearman(first: np.ndarray, second: np.ndarray) -> float:
    """Rank correlation; equal values share their mean rank. NaN where all are equal."""
    ranks = [_ranks(values) - (len(values) - 1) / 2 for values in (first, second)]
    norm = np.sqrt(np.sum(ranks[0] ** 2) * np.sum(ranks[1] ** 2))
    return float(np.sum(ranks[0] * ranks[1]) / norm) if norm else float("nan")


def _ranks(values: np.ndarray) -> np.ndarray:
    below = (values[None, :] < values[:, None]).sum(axis=1)
    equal = (values[None, :] == values[:, None]).sum(axis=1)
    return below + (equal - 1) / 2


def wrong_pairs(
    predicted: np.ndarray, ms: np.ndarray, least_ratio: float = 1.1
) -> tuple[float, int]:
    """Pairs of rows that a prediction puts in the wrong order.

    Args:
        predicted: (rows,).
        ms: (rows,), the truth.
        least_ratio: pairs whose slower row takes less than this many times the
            other's time are not counted.

    Returns:
        The number in the wrong order, a pair predicted equal counting half; and
        the number of pairs.
    """
    wrong, pairs = 0.0, 0
    for i, j in itertools.combinations(range(len(ms)), 2):
        fast, slow = (i, j) if ms[i] <= ms[j] else (j, i)
        if ms[slow] < least_ratio * ms[fast]:
            continue
        pairs += 1
        if predicted[slow] == predicted[fast]:
            wrong += 0.5
        elif predicted[slow] < predicted[fast]:
            wrong += 1
    return wrong, pairs
