"""Sums that are rounded once: what they say is the float next to the true sum, however the numbers were cut."""

import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.losses.numerics.stable import CHUNK, SHORT, Array, exact_sum, partial_sum, sum_of_parts
from tests.folding import in_turn

SIZES = (1, SHORT, SHORT + 1, CHUNK - 1, 2 * CHUNK + 17)


@pytest.fixture(autouse=True)
def _as_evaluated() -> Iterator[None]:
    with np.errstate(all="ignore"):
        yield


def of_many_sizes(rng: np.random.Generator, n: int) -> Array:
    return rng.standard_normal(n) * 10.0 ** rng.uniform(-40, 40, n)


def cancelling(rng: np.random.Generator, n: int) -> Array:
    numbers = of_many_sizes(rng, n)
    numbers[n - n // 2 :] = -numbers[: n // 2]
    return numbers


DRAWN: dict[str, Callable[[np.random.Generator, int], NDArray[Any]]] = {
    "normal": lambda rng, n: rng.standard_normal(n),
    "squares": lambda rng, n: rng.standard_normal(n) ** 2,
    "single precision": lambda rng, n: rng.standard_normal(n).astype(np.float32).astype(np.float64) ** 2,
    "of many sizes": of_many_sizes,
    "one far above": lambda rng, n: np.where(np.arange(n) == n // 2, 1e25, rng.random(n)),
    "cancelling": cancelling,
    "subnormal": lambda rng, n: rng.integers(-9, 9, n) * 5e-324,
    "near the least": lambda rng, n: rng.standard_normal(n) * 1e-300,
    "near the largest": lambda rng, n: rng.standard_normal(n) * 1e300,
    "mostly small, few huge": lambda rng, n: np.where(np.arange(n) % 999 == 7, 1e300, 1.0) * rng.random(n),
    "all alike": lambda rng, n: np.full(n, 0.1),
    "zero": lambda rng, n: np.zeros(n),
}


def truly(x: Array) -> float:
    return float(sum(map(Fraction, x.tolist()), Fraction(0)))


@in_turn("n", SIZES)
@in_turn("drawn", DRAWN)
def test_sum_is_rounded_once(drawn: str, n: int) -> None:
    x = DRAWN[drawn](np.random.default_rng(n), n)
    true = math.fsum(x)
    if n <= SHORT:
        assert true == truly(x)
    assert exact_sum(x) == true


@pytest.mark.parametrize("n", [3 * 5, 3 * 1000, 3 << 15])
def test_sum_halfway_between_two_floats_is_rounded_to_even(n: int) -> None:
    """Here the small parts decide: were they off by anything, the answer would be another."""
    for last in range(1, 64, 5):
        x = np.full(n, 1.0 + last * 2.0**-52)
        assert exact_sum(x) == float(n * Fraction(float(x[0])))
        x[0] += 2.0**-30 * n
        assert exact_sum(x) == float((n - 1) * Fraction(float(x[1])) + Fraction(float(x[0])))


@pytest.mark.parametrize("step", [1, 7, 600, 4096, 100_000])
@in_turn("drawn", DRAWN)
def test_sum_does_not_depend_on_pieces(drawn: str, step: int) -> None:
    x = DRAWN[drawn](np.random.default_rng(step), 20_000)
    pieces = [partial_sum(x[start : start + step]) for start in range(0, x.size, step)]
    assert sum_of_parts(pieces, lambda: x) == exact_sum(x[::-1].copy()) == math.fsum(x)


@pytest.mark.parametrize("power", [-900, -60, -20, -1, 0, 1, 20, 60, 700])
@in_turn("drawn", DRAWN)
def test_sum_of_numbers_not_below_0_does_not_depend_on_where_they_are_cut(drawn: str, power: int) -> None:
    x = np.abs(DRAWN[drawn](np.random.default_rng(7), 20_000))
    own = partial_sum(x).anchor
    pieces = [partial_sum(x[start : start + 3000], math.ldexp(own, power)) for start in range(0, x.size, 3000)]
    assert sum_of_parts(pieces, lambda: x) == math.fsum(x)


def test_sum_is_cut_where_the_one_before_was_unless_that_is_too_near_or_too_far() -> None:
    x = np.full(1000, 1.0)
    own = partial_sum(x).anchor
    assert partial_sum(x, own * 8).anchor == own * 8
    assert partial_sum(x, own / 2048).anchor == own
    assert partial_sum(x, own * 2.0**40).anchor == own
    assert partial_sum(np.full(1000, np.inf), own).terms[0] == np.inf


@pytest.mark.parametrize("n", [10, 2000, CHUNK + 1])
def test_infinite_and_undefined_numbers_are_passed_on(n: int) -> None:
    x = np.ones(n)
    x[n // 2] = np.inf
    assert exact_sum(x) == np.inf
    assert exact_sum(-x) == -np.inf
    x[0] = -np.inf
    assert math.isnan(exact_sum(x))
    x[0] = np.nan
    assert math.isnan(exact_sum(x))
