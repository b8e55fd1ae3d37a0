"""Losses of a regression whose noise grows with the mean: deviances.

Of arrays (n, *d), every number is an element by itself.
"""

from typing import Annotated

import numpy as np
from annotated_types import Ge, Le
from typing_extensions import Doc

from app.errors import Fault, InvalidParameter
from app.libraries import EACH, equal
from app.losses.encodings import NON_NEGATIVE as NOT_BELOW_ZERO
from app.losses.encodings import POSITIVE, REAL
from app.losses.inputs import Case, Choice
from app.losses.loss import (
    CONVEX,
    DIFFERENTIABLE,
    NON_NEGATIVE,
    SMOOTH,
    ZERO_AT_TARGET,
    Second,
    loss,
)
from app.losses.numerics.pairs import (
    constant,
    log_excess,
    log_ratio,
    plus_share,
    relative_gap,
    two_product,
    two_sum,
)
from app.losses.numerics.stable import LOG_2, Array


@loss(
    predictions=POSITIVE,
    targets=NOT_BELOW_ZERO,
    formula="2(y ln(y/p) − y + p)",
    gradient="2(1 − y/p)",
    aliases=("mean_poisson_deviance", "PoissonDeviance"),
    equals=(
        equal("sklearn.metrics.mean_poisson_deviance(targets, predictions)", axes=("n",)),
        equal(
            "sklearn._loss.loss.HalfPoissonLoss().loss(targets, np.log(predictions)) * 2 + "
            "sklearn._loss.loss.HalfPoissonLoss().constant_to_optimal_zero(targets) * 2",
            reductions=EACH,
            axes=("n",),
        ),
    ),
    reference="Nelder and Wedderburn (1972), doi:10.2307/2344614",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | NON_NEGATIVE | ZERO_AT_TARGET,
)
def poisson_deviance(predictions: Array, targets: Array) -> tuple[Array, Array, Second]:
    """What a Poisson rate leaves unexplained of a count: for rates, whose error is to be judged by the size of the rate.

    The rate itself is predicted, not its logarithm; a target of 0 costs 2p.

    Use when: targets are counts or rates: an error is measured against a spread that grows with the rate itself.
    Avoid when: counts scatter much more than their mean, as where a few are huge, which then rule; or a rate of 0 may be
    predicted.
    See also: poisson_nll, gamma_deviance, tweedie_deviance.
    """
    return _poisson(predictions, targets)


@loss(
    predictions=POSITIVE,
    targets=POSITIVE,
    formula="2(ln(p/y) + y/p − 1)",
    gradient="2(1 − y/p)/p",
    aliases=("mean_gamma_deviance", "GammaDeviance", "gamma-deviance"),
    equals=(
        equal("sklearn.metrics.mean_gamma_deviance(targets, predictions)", axes=("n",)),
        equal(
            "xgboost.XGBRegressor(eval_metric='gamma-deviance')",
            axes=("n",),
            differs_at=("saturated",),
            caveat="XGBoost adds 1e-6 to both numbers.",
        ),
        equal(
            "lightgbm.LGBMRegressor(metric='gamma_deviance')",
            reductions=("sum",),
            axes=("n",),
            differs_at=("saturated",),
            caveat="LightGBM adds 1e-9 to the prediction.",
        ),
        equal(
            "sklearn._loss.loss.HalfGammaLoss().loss(targets, np.log(predictions)) * 2 + "
            "sklearn._loss.loss.HalfGammaLoss().constant_to_optimal_zero(targets) * 2",
            reductions=EACH,
            axes=("n",),
        ),
    ),
    reference="Nelder and Wedderburn (1972), doi:10.2307/2344614",
    properties=DIFFERENTIABLE | SMOOTH | NON_NEGATIVE | ZERO_AT_TARGET,
)
def gamma_deviance(predictions: Array, targets: Array) -> tuple[Array, Array, Second]:
    """What a gamma mean leaves unexplained of a positive target: only their ratio counts, too small costs more than too large.

    Use when: targets are positive and skewed, as amounts and durations are, and errors count relative to their size.
    Avoid when: a target may be 0 (tweedie_deviance takes it), or errors of equal size should cost the same everywhere.
    See also: gamma_nll, tweedie_deviance.
    """
    return _gamma(predictions, targets)


TWEEDIE_PREDICTIONS = Choice(
    (
        Case("power is 0", lambda parameters, _: parameters["power"] == 0, REAL),
        Case("otherwise", lambda parameters, rank: True, POSITIVE),
    )
)
TWEEDIE_TARGETS = Choice(
    (
        Case("power is at most 0", lambda parameters, _: parameters["power"] <= 0, REAL),
        Case("power is below 2", lambda parameters, _: parameters["power"] < 2, NOT_BELOW_ZERO),
        Case("otherwise", lambda parameters, rank: True, POSITIVE),
    )
)


@loss(
    predictions=TWEEDIE_PREDICTIONS,
    targets=TWEEDIE_TARGETS,
    formula="2(y^(2 − ρ)/((1 − ρ)(2 − ρ)) − y·p^(1 − ρ)/(1 − ρ) + p^(2 − ρ)/(2 − ρ))",
    gradient="2(p^(1 − ρ) − y·p^(−ρ))",
    aliases=("mean_tweedie_deviance", "tweedie_deviance_score", "TweedieDevianceScore"),
    equals=(
        equal("sklearn.metrics.mean_tweedie_deviance(targets, predictions, power=power)", axes=("n",)),
        equal("sklearn._loss.loss.HalfTweedieLossIdentity(power=power)", times=2.0, reductions=EACH, axes=("n",)),
        equal("torchmetrics.functional.tweedie_deviance_score(predictions, targets, power=power)", axes=("n",)),
    ),
    reference="Jørgensen (1987), doi:10.1111/j.2517-6161.1987.tb01685.x",
    properties=DIFFERENTIABLE | SMOOTH | NON_NEGATIVE | ZERO_AT_TARGET,
)
def tweedie_deviance(
    predictions: Array,
    targets: Array,
    *,
    power: Annotated[
        float, Ge(-100), Le(100), Doc("Power ρ of the mean to which the variance is proportional: at most 0, or at least 1.")
    ] = 0.0,
) -> tuple[Array, Array, Second]:
    """What a mean leaves unexplained where the variance grows with a power of it: squares, Poisson and gamma in one family.

    Power 0 is the squared error, 1 the Poisson deviance, 2 the gamma deviance, 3 that of the inverse Gaussian; between 1
    and 2 targets may be 0 and the rest continuous, as in insurance claims. Between 0 and 1 there is no such distribution.

    Use when: targets are often exactly 0 and else positive and skewed, as claims and rainfall are: a power between 1 and 2.
    Avoid when: models of different powers are compared: the values are not on one scale.
    See also: tweedie_nll.
    """
    if 0 < power < 1:
        message = f"power must be at most 0 or at least 1: no Tweedie distribution has a power between; got {power!r}"
        raise InvalidParameter([Fault(("parameters", "power"), "out_of_range", message)])
    if power == 0:
        residual = predictions - targets
        return residual * residual, 2.0 * residual, lambda: np.full_like(residual, 2.0)
    if power in (1, 2):
        return _poisson(predictions, targets) if power == 1 else _gamma(predictions, targets)
    root = predictions ** (-power / 2.0)  # multiplied twice: p^−ρ may leave the range of float64 where the gradient does not
    gap = predictions - targets
    gradient = 2.0 * np.multiply(gap * root, root, out=np.zeros_like(gap), where=gap != 0)

    def second() -> Array:  # 2p^(−ρ)·(1 − ρ + ρy/p)
        bracket = plus_share(two_sum(np.ones(1), -power), constant(power), targets, predictions)
        bend = np.multiply(bracket * root, root, out=np.zeros_like(gap), where=bracket != 0)
        if np.isfinite(bracket).all():
            return 2.0 * bend
        half = predictions ** (-(power + 1.0) / 2.0)  # of p^(−ρ − 1), so that each product lies between y and the result
        return 2.0 * np.where(np.isfinite(bracket), bend, power * (targets * half * half))

    return _tweedie(predictions, targets, power), gradient, second


def _poisson(mean: Array, targets: Array) -> tuple[Array, Array, Second]:
    ratio = mean / targets
    values = np.where(np.isfinite(ratio), targets * log_excess(mean, targets), mean)  # beside such a p, y is nothing
    return 2.0 * values, 2.0 * ((mean - targets) / mean), lambda: 2.0 * (targets / mean / mean)


def _gamma(mean: Array, targets: Array) -> tuple[Array, Array, Second]:
    gradient = 2.0 * ((mean - targets) / mean) / mean
    return 2.0 * log_excess(targets, mean), gradient, lambda: 2.0 * ((targets - mean / 2.0) / mean) / mean * (2.0 / mean)


def _tweedie(mean: Array, targets: Array, power: float) -> Array:
    a, b = 2.0 - power, 1.0 - power
    y = np.where(targets > 0, targets, mean)
    positive = _tweedie_of_positive(mean, y, a, b)
    coarse = ~((positive > 1e-280) & np.isfinite(positive))  # powers left the range of float64, or came near its end
    if coarse.any():
        positive[coarse] = _tweedie_scaled(mean[coarse], y[coarse], a, b, positive[coarse])
    root = mean ** (-power / 2.0)
    owed = np.multiply(targets * root * mean, root / b, out=np.zeros_like(mean), where=targets < 0)
    return 2.0 * np.where(targets > 0, positive, mean**a / a - owed)  # yᵃ is that of max(y, 0), as in scikit-learn


def _tweedie_of_positive(mean: Array, y: Array, a: float, b: float) -> Array:
    """Half the deviance with a = 2 − ρ and b = 1 − ρ, never divided by a or b, which may be near 0.

    With t = ln(p/y) it is yᵃ·Σ (aⁿ − bⁿ)·tⁿ⁺¹/(n+1)!, which converges fast where |t| is small; elsewhere each power is
    written as a divided difference of exponentials, (eᵘ − 1)/u, relative to the larger of its two ends.
    """
    t = log_ratio(mean, y, relative_gap(mean, y))
    at_mean, at_target, falling = mean**a, y**a, mean**b
    mixed = at_mean * (y / mean)  # y·pᵇ, from the power of the two that is within range
    mixed = np.where(((falling > 1e-290) & np.isfinite(falling)) | ~np.isfinite(mixed), y * falling, mixed)
    far = np.maximum(at_mean, at_target) * _mean_decay(a * t) - np.maximum(mixed, at_target) * _mean_decay(b * t)
    return np.where(np.abs(t) * max(1.0, abs(a), abs(b)) < 3.0, at_target * _power_series(t, a, b), t * far)


def _tweedie_scaled(mean: Array, y: Array, a: float, b: float, unscaled: Array) -> Array:
    """The same with the number that rules (the larger where powers grow) brought near 1, its power multiplied in by halves."""
    exponent = np.frexp(np.maximum(mean, y) if a > 0 else np.minimum(mean, y))[1]
    near_mean, near_y = np.ldexp(mean, -exponent), np.ldexp(y, -exponent)
    high, low = two_product(exponent.astype(np.float64), a / 2.0)
    half = np.exp2(high) * (1.0 + low * LOG_2)
    values = _tweedie_of_positive(near_mean, near_y, a, b) * half * half
    values = np.where(np.abs(np.log(mean) - np.log(y)) < 650.0, values, unscaled)  # further apart, one of them leaves the range
    return np.where(mean == y, 0.0, np.where(np.isnan(values), np.inf, values))


def _mean_decay(x: Array) -> Array:
    """(1 − e^−|x|) / |x|, 1 at 0."""
    size = np.abs(x)
    return np.divide(-np.expm1(-size), size, out=np.ones_like(size), where=size > 0)


def _power_series(t: Array, a: float, b: float) -> Array:
    """Σ (aⁿ − bⁿ)·tⁿ⁺¹/(n+1)! from n = 1, with aⁿ − bⁿ = a·(aⁿ⁻¹ − bⁿ⁻¹) + bⁿ⁻¹ as a − b is 1."""
    coefficients: list[float] = []
    gap, factorial = 1.0, 2.0
    for n in range(1, 29):
        coefficients.append(gap / factorial)
        gap, factorial = a * gap + b**n, factorial * (n + 2)
    series = np.zeros_like(t)
    for coefficient in reversed(coefficients):
        series = series * t + coefficient
    return series * t * t
