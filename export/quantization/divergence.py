"""How far apart what two models say is."""

import numpy as np


def mean_divergence(expected: np.ndarray, scores: np.ndarray) -> float:
    """Mean Kullback-Leibler divergence of rows of probabilities, in nats."""
    expected, scores = np.maximum(expected, 1e-9), np.maximum(scores, 1e-9)
    return float(np.mean(np.sum(expected * np.log(expected / scores), axis=1)))
