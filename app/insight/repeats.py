"""What repeated runs say: the mean of their scores and how sure it is, and which of two variants scores higher.

Scores of folds depend on each other, since any two of them were trained on mostly the same rows. Their variance over n tells too
little; what Nadeau and Bengio (2003, doi:10.1023/A:1024068626366) add to 1/n is the rows held out for each row trained on.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from app.insight.intervals import Pair, around
from app.insight.significance import t_tails

EPS = float(np.finfo(np.float64).eps)


class Spread(NamedTuple):
    """A mean over repeats; what needs two of them, or one, is None where there are fewer."""

    n: int
    mean: float | None
    deviation: float | None
    """With n − 1."""
    standard_error: float | None
    interval: Pair | None


class Apart(NamedTuple):
    """The mean difference of paired scores, a − b."""

    difference: float | None
    standard_error: float | None
    interval: Pair | None
    p_value: float | None
    """Two-sided; None without variance."""
    n: int


def spread(scores: Sequence[float], confidence: float, ratio: float = 0.0) -> Spread:
    """The scores of repeats (n,); `ratio`: the rows held out for each one trained on, where the repeats are folds."""
    n = len(scores)
    if n < 2:
        return Spread(n, scores[0] if n else None, None, None, None)
    numbers = np.asarray(scores, np.float64)
    mean = float(numbers.mean())
    deviation = float(np.std(numbers, ddof=1))
    if float(np.abs(numbers - mean).max()) <= 8 * EPS * float(np.abs(numbers).max()):
        deviation = 0.0  # what rounding leaves of scores that are all the same
    error = deviation * math.sqrt(1.0 / n + ratio)
    return Spread(n, mean, deviation, error, around(mean, error, n - 1, confidence))


def apart(one: Sequence[float], other: Sequence[float], confidence: float, ratio: float = 0.0) -> Apart:
    """Two variants by their scores (n,) in the same repeats: the paired t test, corrected by `ratio` as `spread` is."""
    differences = np.asarray(one, np.float64) - np.asarray(other, np.float64)
    largest = max(map(abs, (*one, *other)), default=0.0)
    if len(differences) and float(np.abs(differences - differences[0]).max()) <= 8 * EPS * largest:
        differences = np.full(len(differences), differences[0])
    n, mean, _, error, interval = spread(differences.tolist(), confidence, ratio)
    p_value = t_tails(mean / error, n - 1) if mean is not None and error else None
    return Apart(mean, error, interval, p_value, n)
