"""Identities of the scores of forecasts: with each other, with what they are defined by, and under other units."""

from collections.abc import Callable
from math import erf
from typing import Any

import numpy as np
import pytest

from app.errors import InvalidParameter
from app.losses import LOSSES, check, evaluate
from tests.losses.drawing import Array

RNG = np.random.default_rng(8)
N, K = 30, 4
TRUE, CENTRE, SCALE = RNG.normal(0, 3, N), RNG.normal(0, 3, N), np.exp(RNG.normal(0, 1, N))
MEMBERS = RNG.normal(0, 3, (N, K))
HALVES = np.exp(RNG.normal(0, 1, (N, K)))


def losses(name: str, predictions: Any, targets: Array = TRUE, **parameters: Any) -> Array:
    found = evaluate(check(LOSSES[name], parameters, predictions, targets), reduction="none").per_sample
    assert found is not None
    return found


def pinball(prediction: Array, level: float) -> Array:
    return losses("quantile", prediction, quantile=level)


def test_an_interval_score_is_two_pinball_losses() -> None:
    ends = {"lower": CENTRE - SCALE, "upper": CENTRE + SCALE}
    expected = 2 / 0.3 * (pinball(ends["lower"], 0.15) + pinball(ends["upper"], 0.85))
    np.testing.assert_allclose(losses("interval_score", ends, alpha=0.3), expected, rtol=1e-13)


@pytest.mark.parametrize("alphas", [None, [0.05, 0.2, 0.5, 0.8]])
def test_a_weighted_interval_score_is_twice_the_mean_of_all_pinball_losses(alphas: list[float] | None) -> None:
    levels = np.arange(1, 2 * K, 2) / (2 * K + 1) if alphas is None else np.array(alphas)
    lower, upper = CENTRE[:, None] - HALVES, CENTRE[:, None] + HALVES
    terms = [pinball(CENTRE, 0.5)]
    terms += [pinball(lower[:, j], level / 2) + pinball(upper[:, j], 1 - level / 2) for j, level in enumerate(levels)]
    found = losses("weighted_interval_score", {"lower": lower, "upper": upper, "median": CENTRE}, alphas=alphas)
    np.testing.assert_allclose(found, 2 * sum(terms) / (2 * K + 1), rtol=1e-13)


DISTRIBUTIONS: dict[str, tuple[str, Callable[[float], float]]] = {
    "crps_normal": ("mean", lambda z: (1 + erf(z / 2**0.5)) / 2),
    "crps_laplace": ("location", lambda z: 0.5 * np.exp(z) if z < 0 else 1 - 0.5 * np.exp(-z)),
    "crps_logistic": ("location", lambda z: 1 / (1 + np.exp(-z))),
}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_a_score_is_the_squared_distance_of_two_distribution_functions(name: str) -> None:
    place, share = DISTRIBUTIONS[name]
    grid = np.linspace(-40.0, 40.0, 80_001)
    shares = np.array([share(z) for z in grid])
    for y in (-2.0, 0.0, 0.5, 3.0):
        numeric = np.trapezoid((shares - np.where(grid >= y, 1.0, 0.0)) ** 2, grid)
        found = losses(name, {place: np.zeros(1), "scale": np.ones(1)}, np.array([y]))
        assert found[0] == pytest.approx(numeric, abs=1e-3)


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_a_score_is_in_the_unit_of_the_target(name: str) -> None:
    place, _ = DISTRIBUTIONS[name]
    plain = losses(name, {place: CENTRE, "scale": SCALE})
    other = losses(name, {place: 8.0 * CENTRE + 3.0, "scale": 8.0 * SCALE}, 8.0 * TRUE + 3.0)
    np.testing.assert_allclose(other, 8.0 * plain, rtol=1e-11)
    sure = losses(name, {place: CENTRE, "scale": np.full(N, 1e-12)})
    np.testing.assert_allclose(sure, np.abs(CENTRE - TRUE), rtol=1e-9)


def test_a_score_of_an_ensemble_is_what_its_definition_says() -> None:
    apart = np.abs(MEMBERS[:, :, None] - MEMBERS[:, None, :]).sum(axis=(1, 2))
    away = np.abs(MEMBERS - TRUE[:, None]).mean(axis=1)
    np.testing.assert_allclose(losses("crps_ensemble", MEMBERS), away - apart / (2 * K * K), rtol=1e-12)
    np.testing.assert_allclose(losses("crps_ensemble", MEMBERS, estimator="fair"), away - apart / (2 * K * (K - 1)), rtol=1e-12)
    twice = np.hstack((MEMBERS, MEMBERS))[:, RNG.permutation(2 * K)]
    np.testing.assert_allclose(losses("crps_ensemble", twice), losses("crps_ensemble", MEMBERS), rtol=1e-12)
    np.testing.assert_array_equal(losses("crps_ensemble", CENTRE[:, None]), np.abs(CENTRE - TRUE))
    with pytest.raises(InvalidParameter, match="two members"):
        losses("crps_ensemble", CENTRE[:, None], estimator="fair")


def test_a_large_ensemble_tells_the_score_of_its_distribution() -> None:
    quantiles = np.log((np.arange(4000) + 0.5) / (3999.5 - np.arange(4000)))
    ensemble = CENTRE[:, None] + SCALE[:, None] * quantiles
    expected = losses("crps_logistic", {"location": CENTRE, "scale": SCALE})
    np.testing.assert_allclose(losses("crps_ensemble", ensemble), expected, rtol=1e-3)


def test_the_dawid_sebastiani_score_is_twice_a_likelihood() -> None:
    given = {"mean": CENTRE, "variance": SCALE}
    np.testing.assert_array_equal(losses("dawid_sebastiani_score", given), 2 * losses("gaussian_nll", given))
