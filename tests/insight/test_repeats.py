"""Repeated runs: error bars and paired differences against SciPy, and against the worked numbers of two variants."""

import math

import numpy as np
import pytest
from scipy import stats

from app.insight.repeats import apart, spread

A, B = [0.50, 0.60, 0.55, 0.61, 0.52], [0.45, 0.58, 0.52, 0.55, 0.53]
RNG = np.random.default_rng(8)


def test_five_seeds() -> None:
    found = apart(A, B, 0.95)
    assert found.n == 5
    numbers = [found.difference, found.standard_error, *(found.interval or ()), found.p_value]
    assert [round(number or 0.0, 7) for number in numbers] == [0.03, 0.0122474, -0.0040044, 0.0640044, 0.0704840]


def test_five_folds_of_equal_size() -> None:
    found = apart(A, B, 0.95, 1 / 4)
    numbers = [found.difference, found.standard_error, *(found.interval or ()), found.p_value]
    assert [round(number or 0.0, 7) for number in numbers] == [
        0.03,
        0.0183712,
        -0.0210066,
        0.0810066,
        0.1778078,
    ]  # SciPy: 2·sf(√(8/3), 4)


@pytest.mark.parametrize("n", [2, 3, 10, 50])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
def test_paired_differences_are_scipys(n: int, confidence: float) -> None:
    one, other = RNG.normal(0.7, 0.1, n), RNG.normal(0.6, 0.2, n)
    found, theirs = apart(one.tolist(), other.tolist(), confidence), stats.ttest_rel(one, other)
    interval = theirs.confidence_interval(confidence)
    numbers = [found.p_value, *(found.interval or ()), found.difference]
    assert np.allclose(np.array(numbers, float), [theirs.pvalue, *interval, np.mean(one - other)], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("n", [2, 7, 30])
def test_the_error_bar_is_scipys(n: int) -> None:
    scores = RNG.gamma(2.0, size=n)
    found = spread(scores.tolist(), 0.9)
    assert found.n == n
    assert math.isclose(found.mean or 0.0, scores.mean())
    assert math.isclose(found.deviation or 0.0, stats.tstd(scores))
    assert math.isclose(found.standard_error or 0.0, stats.sem(scores))
    wanted = stats.t.interval(0.9, n - 1, loc=scores.mean(), scale=stats.sem(scores))
    assert np.allclose(found.interval or (), wanted)


def test_what_one_run_does_not_tell_is_not_told() -> None:
    assert spread([0.4], 0.95) == (1, 0.4, None, None, None)
    assert spread([], 0.95) == (0, None, None, None, None)
    one = apart([0.4], [0.1], 0.95)
    assert one == (0.4 - 0.1, None, None, None, 1)
    assert apart([], [], 0.95) == (None, None, None, None, 0)


def test_without_variance_there_is_no_test() -> None:
    """Also where the differences differ by a rounding."""
    found = apart([0.3, 1.3, 2.3], [0.1, 1.1, 2.1], 0.95)
    assert found.difference is not None
    assert found == (found.difference, 0.0, (found.difference, found.difference), None, 3)
    assert math.isclose(found.difference, 0.2)
    assert spread([0.1] * 3, 0.95).deviation == 0.0


@pytest.mark.thorough
def test_folds_are_not_surer_than_they_are() -> None:
    """Scores that share most of their rows: the corrected interval holds a difference of 0 more often than the plain one."""
    rng = np.random.default_rng(1)
    plain = corrected = 0
    for _ in range(400):
        rows = rng.normal(size=(60, 2))
        one, other = list[float](), list[float]()
        for fold in range(5):
            kept = np.arange(60) % 5 != fold
            mean, median = rows[kept, 0].mean(), np.median(rows[kept, 0])
            one.append(float(np.mean((rows[~kept, 0] - mean) ** 2)))
            other.append(float(np.mean((rows[~kept, 0] - median) ** 2)))
        plain += (apart(one, other, 0.95).p_value or 1.0) < 0.05
        corrected += (apart(one, other, 0.95, 0.25).p_value or 1.0) < 0.05
    assert corrected < plain
