"""Successive halving: how many trials go how far, and where in a space they are drawn."""

import math
from itertools import pairwise

import numpy as np
import pytest

from app.training.halving import Rung, Span, Values, epochs_of, rungs, shares

RNG = np.random.default_rng(2)


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ((27, 3, 27, None), [(27, 1), (9, 3), (3, 9), (1, 27)]),  # Li et al. (2018), Hyperband, table 1
        ((81, 3, 81, None), [(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)]),
        ((9, 3, 100, None), [(9, 12), (3, 36), (1, 100)]),
        ((8, 2, 16, 4), [(8, 4), (4, 8), (2, 16)]),
        ((10, 3, 5, 5), [(10, 5)]),
        ((2, 3, 50, None), [(2, 50)]),
        ((100, 10, 1, None), [(100, 1)]),
    ],
)
def test_rungs(asked: tuple[int, int, int, int | None], wanted: list[tuple[int, int]]) -> None:
    assert rungs(*asked) == [Rung(*rung) for rung in wanted]


@pytest.mark.parametrize("trials", [2, 7, 27, 200])
@pytest.mark.parametrize("eta", [2, 3, 10])
@pytest.mark.parametrize("epochs", [1, 10, 333])
def test_every_ladder_begins_with_all_and_ends_with_all_epochs(trials: int, eta: int, epochs: int) -> None:
    ladder = rungs(trials, eta, epochs)
    assert ladder[0].trials == trials
    assert ladder[-1].epochs == epochs
    for below, above in pairwise(ladder):
        assert above.trials == math.ceil(below.trials / eta)
        assert above.epochs > below.epochs
    trained = [max(rung.epochs for rung in ladder if rung.trials > trial) for trial in range(trials)]
    assert epochs_of(ladder) == sum(trained)


def test_trials_are_spread_evenly_along_every_dimension() -> None:
    rows = np.array(shares(3, 20, RNG))
    assert rows.shape == (20, 3)
    for column in rows.T:
        assert sorted((column * 20).astype(int).tolist()) == [*range(20)]


def test_a_span_is_even_by_its_scale() -> None:
    parts = np.linspace(0.0, 1.0, 1001)[:-1]
    even, powers = Span(2.0, 6.0), Span(1e-4, 1.0, "log")
    assert np.allclose([even.draw(share) for share in parts], 2.0 + 4.0 * parts)
    assert np.allclose(np.log10([powers.draw(share) for share in parts]), -4.0 + 4.0 * parts)


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_whole_numbers_stay_whole_and_reach_both_ends(scale: str) -> None:
    span = Span(1, 8, "log" if scale == "log" else "linear", whole=True)
    drawn = [span.draw(share) for share in np.linspace(0.0, 1.0, 2001)[:-1]]
    assert all(type(number) is int for number in drawn)
    assert {*drawn} == {*range(1, 9)}
    if scale == "linear":
        counts = np.bincount(np.array(drawn))[1:]
        assert counts.max() - counts.min() <= 1


def test_values_are_as_likely_as_each_other() -> None:
    values = Values(["a", "b", "c"])
    drawn = [values.draw(share) for share in np.linspace(0.0, 1.0, 301)[:-1]]
    assert [drawn.count(value) for value in "abc"] == [100, 100, 100]
