"""Losses of a count and of other amounts whose spread grows with their mean, by the likelihood of the target.

Of arrays (n, *d), every number is an element by itself. What no prediction changes is left out unless it is asked for. These
losses pass through zero and below it, and their terms cancel there and at the optimum: both are evaluated in double-double.
"""

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Annotated, Literal, TypeAlias

import numpy as np
from annotated_types import Ge, Le
from typing_extensions import Doc

from app.errors import Fault, InvalidParameter
from app.libraries import AVERAGES, EACH, equal
from app.losses.encodings import COUNT, NON_NEGATIVE, POSITIVE, REAL
from app.losses.inputs import Case, Choice, when
from app.losses.loss import CONVEX, DIFFERENTIABLE, SMOOTH, Second, loss
from app.losses.numerics.cancelling import (
    Where,
    cancels,
    exp_minus,
    log_plus,
    put,
    times_power,
    with_factorial,
)
from app.losses.numerics.pairs import (
    Pair,
    constant,
    pair,
    pair_divide,
    pair_multiply,
    plus_share,
    two_product,
    two_sum,
)
from app.losses.numerics.stable import Array
from app.registry import alias

LogInput: TypeAlias = Annotated[bool, Doc("Whether predictions are the logarithm of the mean (a log link) instead of the mean.")]


@loss(
    predictions=when("log_input", True, REAL, NON_NEGATIVE),
    targets=COUNT,
    formula="eᵖ − y·p + c if log_input, else p − y ln(p + ε) + c; c = ln Γ(y + 1) if full, else 0",
    gradient="eᵖ − y if log_input, else 1 − y/(p + ε)",
    aliases=(
        "PoissonNLLLoss",
        "poisson_nll_loss",
        "HalfPoissonLoss",
        "count:poisson",
        alias("poisson-nloglik", log_input=False, full=True, eps=1e-16),
        alias("Poisson", log_input=False, eps=1e-7),
        alias("poisson", log_input=False, eps=1e-7),
    ),
    equals=(
        equal("torch.nn.PoissonNLLLoss(log_input=log_input, eps=eps, reduction=reduction)(predictions, targets)"),
        equal(
            "torch.nn.PoissonNLLLoss(log_input=log_input, full=True, eps=eps, reduction=reduction)(predictions, targets)",
            full="stirling",
        ),
        equal("keras.losses.Poisson(reduction=reduction)(targets, predictions)", reductions=AVERAGES, log_input=False, eps=1e-7),
        equal("sklearn._loss.loss.HalfPoissonLoss()", reductions=EACH, axes=("n",)),
        equal(
            "xgboost.XGBRegressor(objective='count:poisson')",
            reductions=EACH,
            axes=("n",),
            differs_at=("gradient at saturated",),
            caveat="From a logarithm of 88 the exponential overflows in single precision.",
        ),
        equal(
            "lightgbm.LGBMRegressor(objective='poisson')",
            axes=("n",),
            differs_at=("saturated", "hessian"),
            caveat="LightGBM takes e^0.7 times the second derivative; single precision overflows from a logarithm of 88.",
        ),
        equal("catboost.utils.eval_metric(targets, predictions, 'Poisson')[0]", axes=("n",)),
        equal("catboost.CatBoostRegressor(loss_function='Poisson')", reductions=EACH, axes=("n",)),
        equal("xgboost.XGBRegressor(eval_metric='poisson-nloglik')", axes=("n",), log_input=False, full=True, eps=1e-16),
    ),
    reference="Cameron and Trivedi (2013), doi:10.1017/CBO9781139013567",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH,
)
def poisson_nll(
    predictions: Array,
    targets: Array,
    *,
    log_input: LogInput = True,
    full: Annotated[
        bool | Literal["stirling"],
        Doc('Whether to add log y!, which no prediction changes: true exactly, "stirling" as PyTorch approximates it for y > 1.'),
    ] = False,
    eps: Annotated[float, Ge(0), Doc("Added to the mean before its logarithm is taken; unused with log_input.")] = 1e-8,
) -> tuple[Array, Array, Second]:
    """Fits the rate of a count: the error of a rate is measured against the spread that a Poisson count of that rate has.

    Use when: a model predicts how often something happens, by default the logarithm of it.
    Avoid when: counts scatter much more than their mean: its intervals are then too narrow, and large counts rule.
    See also: poisson_deviance.
    """
    values, gradient, second = _poisson(predictions, targets, log_input, eps)
    if full:
        values = with_factorial(values, predictions, targets, log_input, eps, exact=full is True)
    return values, gradient, second


@loss(
    predictions=when("log_input", True, REAL, POSITIVE),
    targets=POSITIVE,
    formula="y·e⁻ᵖ + p if log_input, else y/p + ln p",
    gradient="1 − y·e⁻ᵖ if log_input, else (1 − y/p)/p",
    aliases=("gamma", "gamma-nloglik", alias("HalfGammaLoss", log_input=True), alias("reg:gamma", log_input=True)),
    equals=(
        equal("xgboost.XGBRegressor(eval_metric='gamma-nloglik')", axes=("n",)),
        equal("lightgbm.LGBMRegressor(metric='gamma')", axes=("n",)),
        equal("sklearn._loss.loss.HalfGammaLoss()", reductions=EACH, axes=("n",), log_input=True),
        equal(
            "xgboost.XGBRegressor(objective='reg:gamma')",
            reductions=EACH,
            axes=("n",),
            log_input=True,
            differs_at=("gradient at saturated",),
            caveat="From a logarithm of 88 the exponential overflows in single precision.",
        ),
        equal(
            "lightgbm.LGBMRegressor(objective='gamma')",
            axes=("n",),
            log_input=True,
            differs_at=("saturated",),
            caveat="From a logarithm of 88 the exponential overflows in single precision.",
        ),
    ),
    reference="McCullagh and Nelder (1989), doi:10.1007/978-1-4899-3242-6",
    properties=DIFFERENTIABLE | SMOOTH,
)
def gamma_nll(predictions: Array, targets: Array, *, log_input: LogInput = False) -> tuple[Array, Array, Second]:
    """Fits the mean of a positive, skewed quantity whose spread grows in proportion to its mean: relative errors count.

    Use when: a model predicts the mean of a positive, skewed quantity, such as an amount or a duration.
    Avoid when: a target may be 0 (tweedie_nll takes it), or the spread does not grow with the mean.
    See also: gamma_deviance.
    """
    return _gamma(predictions, targets, log_input)


_TWEEDIE_MEANS = Choice(
    (
        Case("log_input is true", lambda parameters, _: bool(parameters["log_input"]), REAL),
        Case("power is 0", lambda parameters, _: bool(parameters["power"] == 0), REAL),
        Case("otherwise", lambda _, __: True, POSITIVE),
    )
)
_TWEEDIE_TARGETS = Choice(
    (
        Case("power ≥ 2", lambda parameters, _: bool(parameters["power"] >= 2), POSITIVE),
        Case("1 ≤ power < 2", lambda parameters, _: bool(parameters["power"] >= 1), NON_NEGATIVE),
        Case("otherwise", lambda _, __: True, REAL),
    )
)


@loss(
    predictions=_TWEEDIE_MEANS,
    targets=_TWEEDIE_TARGETS,
    formula="μ^(2 − ρ)/(2 − ρ) − y·μ^(1 − ρ)/(1 − ρ); μ = eᵖ if log_input, else p",
    gradient="μ^(2 − ρ) − y·μ^(1 − ρ) if log_input, else μ^(1 − ρ) − y·μ^(−ρ)",
    aliases=(
        "tweedie",
        "tweedie-nloglik",
        alias("HalfTweedieLoss", log_input=True),
        alias("reg:tweedie", log_input=True),
    ),
    equals=(
        equal("xgboost.XGBRegressor(eval_metric=f'tweedie-nloglik@{power}')", axes=("n",)),
        equal("lightgbm.LGBMRegressor(metric='tweedie', tweedie_variance_power=power)", axes=("n",)),
        equal(
            "sklearn._loss.loss.HalfTweedieLoss(power=power)",
            reductions=EACH,
            axes=("n",),
            log_input=True,
            caveat="With power 0 ½y² more.",
        ),
        equal(
            "xgboost.XGBRegressor(objective='reg:tweedie', tweedie_variance_power=power)",
            reductions=EACH,
            axes=("n",),
            log_input=True,
            differs_at=("gradient at saturated", "hessian at saturated"),
            caveat="From a logarithm of 88 the exponential overflows in single precision.",
        ),
        equal(
            "lightgbm.LGBMRegressor(objective='tweedie', tweedie_variance_power=power)",
            axes=("n",),
            log_input=True,
            differs_at=("saturated",),
            caveat="From a logarithm of 88 the exponential overflows in single precision.",
        ),
    ),
    reference="Jørgensen (1987), doi:10.1111/j.2517-6161.1987.tb01685.x",
    properties=DIFFERENTIABLE | SMOOTH,
)
def tweedie_nll(
    predictions: Array,
    targets: Array,
    *,
    power: Annotated[
        float,
        Ge(-100),
        Le(100),
        Doc(
            "The variance grows as the mean to this power: 0 normal, 1 Poisson (nothing between those two), "
            "1 to 2 exact zeros beside positive numbers, 2 gamma, 3 inverse Gaussian."
        ),
    ] = 1.5,
    log_input: LogInput = False,
) -> tuple[Array, Array, Second]:
    """Fits the mean of a quantity that is often exactly zero and otherwise skewed, as insurance claims or rainfall are.

    At power 1 and 2, where the formula has a pole, it is the Poisson and the gamma loss: its limit but for a constant.

    Use when: a model predicts the mean of what is often exactly 0, as claims, sales of a product, or rainfall.
    Avoid when: powers are chosen by its value, from which the part that the power alone decides is left out.
    See also: poisson_nll, gamma_nll.
    """
    if 0 < power < 1:
        message = f"power must not lie between 0 and 1, where no Tweedie distribution exists; got {power:g}"
        raise InvalidParameter([Fault(("parameters", "power"), "out_of_range", message)])
    if power == 1:
        return _poisson(predictions, targets, log_input, 0.0)
    if power == 2:
        return _gamma(predictions, targets, log_input)
    if log_input:
        return _tweedie_of_log(predictions, targets, power)
    return _tweedie_of_mean(predictions, targets, power)


# --- one distribution, its mean or the logarithm of it ------------------------------------------------------------------


def _poisson(predictions: Array, targets: Array, log_input: bool, eps: float) -> tuple[Array, Array, Second]:
    if log_input:
        product = targets * predictions
        values = exp_minus(1.0, predictions, product, lambda where: two_product(targets[where], predictions[where]))
        both = np.isinf(product) & (predictions > 700.0)  # two numbers beyond float64, of which the larger decides
        if both.any():
            values = np.where(both, np.copysign(np.inf, predictions - np.log(targets) - np.log(predictions)), values)
        gradient = exp_minus(1.0, predictions, targets, lambda where: pair(targets[where]))
        return values, gradient, lambda: np.exp(predictions)
    rate, error = two_sum(predictions, eps)
    values = log_plus(-targets, (rate, error), predictions, lambda where: pair(predictions[where]))
    gradient = ((rate - targets) + error) / rate
    gradient = np.where(targets == 0, 1.0, gradient)  # also at a rate of 0, where the quotient is 0/0
    return values, gradient, lambda: np.where(targets == 0, 0.0, targets / rate / rate)


def _gamma(predictions: Array, targets: Array, log_input: bool) -> tuple[Array, Array, Second]:
    if log_input:
        values = exp_minus(targets, -predictions, -predictions, lambda where: pair(-predictions[where]))
        gradient = -exp_minus(targets, -predictions, np.ones_like(targets), lambda where: pair(np.ones_like(targets[where])))
        nothing = np.zeros_like(targets)
        return values, gradient, lambda: exp_minus(targets, -predictions, nothing, lambda where: pair(nothing[where]))

    def quotient(where: Where) -> Pair:
        return pair_divide(pair(targets[where]), pair(predictions[where]))

    values = log_plus(1.0, pair(predictions), targets / predictions, quotient)
    gradient = (predictions - targets) / predictions / predictions

    def second() -> Array:  # (2y − p)/p³
        return 2.0 * ((targets - predictions / 2.0) / predictions) / predictions / predictions

    return values, gradient, second


def _tweedie_of_mean(p: Array, y: Array, power: float) -> tuple[Array, Array, Second]:
    """p^a · (p − y·b/a) / b and p^−ρ · (p − y), with a = 1 − ρ and b = 2 − ρ: of the terms only the brackets cancel."""
    if power == 0.0:  # the normal distribution, whose mean may be negative
        return p * (p / 2.0 - y), p - y, lambda: np.ones_like(p)
    (a, a_low), (b, _) = _less(1.0, power), _less(2.0, power)
    largest = np.maximum(p, y)
    tiny = (largest > 0) & (largest < 1e-290)
    if tiny.any():  # the loss is homogeneous of degree b: it is taken where y·b/a and 1/b do not fall below the least number
        unit = np.where(tiny, 2.0**100, 1.0)
        values, gradient, second = _tweedie_of_mean(p * unit, y * unit, power)
        return values * unit**-b, gradient * unit**-a, lambda: second() * unit**power

    def raised(share: float) -> Array:
        return p ** (a * share) * (1.0 + a_low * share * np.log(p)) if a_low else p ** (a * share)

    offset = y * (b / a)
    bracket = p - offset
    close = cancels(bracket, offset)
    if close.any():
        exact = _offset(y[close], power)
        put(bracket, close, (p[close] - exact[0]) - exact[1])
    values = times_power(bracket / b, raised)
    if not np.isfinite(values).all():  # the bracket may overflow where its share does not
        apart = times_power(p, raised) / b - times_power(y, raised) / a
        values = np.where(np.isfinite(values) | np.isnan(apart), values, apart)

    def second() -> Array:  # p^(−ρ)·(1 − ρ + ρy/p)
        bracket = plus_share(two_sum(np.ones(1), -power), constant(power), y, p)
        return times_power(bracket, lambda share: p ** (-power * share))

    return values, times_power(p - y, lambda share: p ** (-power * share)), second


def _tweedie_of_log(x: Array, y: Array, power: float) -> tuple[Array, Array, Second]:
    """The same with eˣ for p: e^(ax) · (eˣ − y·b/a) / b and e^(ax) · (eˣ − y)."""
    a, b = _less(1.0, power), _less(2.0, power)

    def raised(exponent: tuple[float, float]) -> Callable[[float], Array]:
        high, low = two_product(np.clip(x, -1e250, 1e250), exponent[0])
        low = np.clip(low + x * exponent[1], -0.5, 0.5)
        return lambda share: np.exp(high * share) * (1.0 + low * share)

    def bracketed(below: float, above: float, exact: Callable[[Where], Pair]) -> Array:
        other = y * (below / above)  # of which something is left, however small: it has the sign of what is infinite
        other = np.where((other == 0) & (y > 0), math.copysign(5e-324, below / above), other)
        near = times_power(exp_minus(1.0, x, other, exact), raised(a)) / below
        far = times_power(np.ones_like(x), raised(b)) / below - times_power(y, raised(a)) / above
        # eˣ leaves the range of floats before its powers do
        return np.where((np.abs(x) < 700.0) & np.isfinite(near) | np.isnan(far), near, far)

    def share_of_target(where: Where) -> Pair:
        rate = pair_divide(two_sum(np.ones(1), -power), two_sum(np.full(1, 2.0), -power))
        return pair_multiply(pair(y[where]), rate)

    return (
        bracketed(b[0], a[0], lambda where: _offset(y[where], power)),
        bracketed(1.0, 1.0, lambda where: pair(y[where])),
        lambda: bracketed(1.0 / b[0], 1.0 / a[0], share_of_target),
    )


def _less(whole: float, power: float) -> tuple[float, float]:
    """whole − power, and what its rounding leaves (0 but for most negative powers)."""
    rounded = whole - power
    return rounded, float(Fraction(whole) - Fraction(power) - Fraction(rounded))


def _offset(y: Array, power: float) -> Pair:
    """y · (2 − ρ) / (1 − ρ), where the value of the Tweedie loss is 0."""
    (a, a_low), (b, b_low) = _less(1.0, power), _less(2.0, power)
    product, error = two_product(y, b)
    return pair_divide((product, error + y * b_low), (np.full_like(y, a), np.full_like(y, a_low)))
