"""Losses of a regression in which one side of the target costs more than the other.

Of arrays (n, *d), every number is an element by itself.
"""

import sys
from dataclasses import replace
from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt, Le, Lt
from typing_extensions import Doc

from app.errors import Fault, InvalidParameter
from app.libraries import AT_KINKS, EACH, equal
from app.losses.encodings import REAL
from app.losses.inputs import Case, Choice
from app.losses.loss import (
    BOUNDED_GRADIENT,
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
    difference,
    exp_parts,
    pair,
    pair_add,
    pair_multiply,
    pair_negative,
)
from app.losses.numerics.residuals import seamed, within
from app.losses.numerics.stable import Array, exp_tail, recovered
from app.losses.parameters import LEVEL, PER_COLUMN

_OF_QUANTILES = Choice(
    (
        Case("quantile is a list", lambda parameters, _: isinstance(parameters["quantile"], list), replace(REAL, shared=True)),
        Case("otherwise", lambda _, __: True, REAL),
    )
)


@loss(
    predictions=REAL,
    targets=_OF_QUANTILES,
    formula="q·(y − p) if y ≥ p, else (1 − q)(p − y)",
    gradient="−q if y ≥ p, else 1 − q",
    aliases=(
        "pinball",
        "pinball_loss",
        "PinballLoss",
        "mean_pinball_loss",
        "check_loss",
        "tilted",
        "tilted_loss",
        "Quantile",
        "quantile_score",
        "reg:quantileerror",
        "multi_quantile",
        "MultiQuantile",
        "multi_quantile_pinball",
    ),
    equals=(
        equal("sklearn.metrics.mean_pinball_loss(targets, predictions, alpha=quantile)"),
        equal("sklearn._loss.loss.PinballLoss(quantile=quantile)", reductions=EACH, axes=("n",)),
        equal(
            "xgboost.XGBRegressor(objective='reg:quantileerror', quantile_alpha=quantile, eval_metric='quantile')",
            axes=("n",),
        ),
        equal(
            "lightgbm.LGBMRegressor(objective='quantile', alpha=quantile)",
            axes=("n",),
            differs_at=("hessian", *AT_KINKS),
            caveat="LightGBM takes 1 for the second derivative, and at the kink the slope above it.",
        ),
        equal("catboost.utils.eval_metric(targets, predictions, f'Quantile:alpha={quantile}')[0]", axes=("n",)),
        equal(
            "catboost.CatBoostRegressor(loss_function=f'Quantile:alpha={quantile}')",
            reductions=EACH,
            axes=("n",),
            differs_at=AT_KINKS,
            caveat="At the kink CatBoost's slope is 0.",
        ),
        equal("tensorflow_addons.losses.PinballLoss(tau=quantile)(targets, predictions)"),
        equal("scoringrules.quantile_score(targets, predictions, quantile)", reductions=EACH),
        equal("pytorch_forecasting.metrics.QuantileLoss([quantile])(predictions, targets)", times=0.5),
        equal("gluonts.ev.QuantileLoss(q=quantile)", times=0.5),
    ),
    reference="Koenker and Bassett (1978), doi:10.2307/1913643",
    properties=CONVEX | DIFFERENTIABLE | NON_NEGATIVE | ZERO_AT_TARGET | BOUNDED_GRADIENT,
)
def quantile(
    predictions: Array,
    targets: Array,
    *,
    quantile: Annotated[
        Annotated[float, Ge(0), Le(1)] | list[Annotated[float, Ge(0), Le(1)]],
        PER_COLUMN,
        LEVEL,
        Doc("The quantile to predict: the share of targets that should lie below; or one for each column."),
    ] = 0.5,
) -> tuple[Array, Array, Second]:
    """Absolute residual weighed by its side: the minimiser is a quantile of the targets instead of their median.

    Of several quantiles, predictions have a column each, (n, q) beside targets (n,). At r = 0 the gradient is −q, as in
    scikit-learn.

    Use when: too little costs another price than too much, or an interval is wanted: two quantiles are its ends.
    Avoid when: the mean is wanted; or a quantile near 0 or 1 of few samples, of which only those beyond it tell anything.
    See also: mean_absolute_error, expectile, log_lin_quantile, quantile_huber.
    """
    residual = predictions - targets
    gradient = (residual > 0) - np.asarray(quantile, np.float64)
    values = np.abs(gradient * residual)
    values = recovered(values, lambda: 2.0 * np.abs(gradient * (predictions / 2.0 - targets / 2.0)))
    return values, gradient, lambda: np.zeros_like(residual)


@loss(
    predictions=REAL,
    targets=REAL,
    formula="|τ − [r > 0]|·r²",
    gradient="2|τ − [r > 0]|·r",
    aliases=("asymmetric_squared", "asymmetric_squared_error", "Expectile"),
    equals=(equal("catboost.utils.eval_metric(targets, predictions, f'Expectile:alpha={tau}')[0]", axes=("n",)),),
    reference="Newey and Powell (1987), doi:10.2307/1911031",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | NON_NEGATIVE | ZERO_AT_TARGET,
)
def expectile(
    predictions: Array,
    targets: Array,
    *,
    tau: Annotated[
        float, Gt(0), Lt(1), Doc("Weight of residuals below the target, those above having the rest: 0.5 gives the mean.")
    ] = 0.5,
) -> tuple[Array, Array, Second]:
    """Squared residual weighed by its side: the minimiser is an expectile, which is to the mean what a quantile is to the median.

    Use when: one side costs more than the other and how far off a prediction is matters, as for risks and reserves.
    Avoid when: a share of targets is meant to lie below: that is a quantile; or targets hold outliers.
    See also: quantile, linex, mean_squared_error.
    """
    residual = predictions - targets
    weight = np.where(residual > 0, 1.0 - tau, tau)
    slope = recovered(2.0 * weight * residual, lambda: 4.0 * (weight * (predictions / 2.0 - targets / 2.0)))
    return weight * residual * residual, slope, lambda: 2.0 * weight


@loss(
    predictions=REAL,
    targets=REAL,
    formula="q·(y − eᵖ) if y ≥ eᵖ, else (1 − q)(eᵖ − y)",
    gradient="−q·eᵖ if y ≥ eᵖ, else (1 − q)eᵖ",
    aliases=("LogLinQuantile",),
    equals=(
        equal(
            "catboost.utils.eval_metric(targets, predictions, f'LogLinQuantile:alpha={quantile}')[0]",
            axes=("n",),
            differs_at=("saturated",),
            caveat="Where the exponential overflows that weighs nothing, CatBoost gives NaN.",
        ),
    ),
    reference="Koenker and Bassett (1978), doi:10.2307/1913643; https://catboost.ai/docs/en/concepts/loss-functions-regression",
    properties=DIFFERENTIABLE | NON_NEGATIVE,
)
def log_lin_quantile(
    predictions: Array,
    targets: Array,
    *,
    quantile: Annotated[float, Ge(0), Le(1), Doc("The quantile to predict: the share of targets that should lie below.")] = 0.5,
) -> tuple[Array, Array, Second]:
    """The quantile loss of a prediction's exponential: a quantile of positive targets, from a model of its logarithm.

    Use when: quantiles of positive targets are wanted whose effects multiply, as of prices and demand.
    Avoid when: logarithms are far from the truth at the start: far below, the slope vanishes with the exponential.
    See also: quantile, poisson_nll.
    """
    (high, low), octave = exp_parts(predictions)
    exponential = np.ldexp(high, octave)
    residual, rest = pair_add((exponential, np.ldexp(low, octave)), pair_negative(pair(targets)))
    residual = np.where(np.isfinite(rest), residual, exponential - targets)
    weight = (residual > 0) - quantile
    slope = np.where(weight == 0, 0.0, np.ldexp(weight * high, octave))  # which the exponential by itself need not be
    values = recovered(
        np.abs(weight * residual), lambda: 4.0 * np.abs(np.ldexp(weight * high, octave - 2) - weight * (targets / 4.0))
    )
    return np.where(weight == 0, 0.0, values), slope, slope.copy


@loss(
    predictions=REAL,
    targets=REAL,
    formula="|q − [r > 0]|·h; h = r²/(2κ) if |r| ≤ κ, else |r| − ½κ",
    gradient="|q − [r > 0]|·g; g = r/κ if |r| ≤ κ, else sign(r)",
    aliases=("qr_dqn", "huber_quantile"),
    reference="Dabney et al. (2018), arXiv:1710.10044; Aravkin et al. (2014), arXiv:1402.4624",
    properties=CONVEX | DIFFERENTIABLE | NON_NEGATIVE | ZERO_AT_TARGET | BOUNDED_GRADIENT,
)
def quantile_huber(
    predictions: Array,
    targets: Array,
    *,
    quantile: Annotated[float, Ge(0), Le(1), Doc("Share of the targets that should lie below the prediction.")] = 0.5,
    kappa: Annotated[float, Ge(1e-100), Le(1e100), Doc("Residual at which the loss turns from quadratic to linear.")] = 1.0,
) -> tuple[Array, Array, Second]:
    """The quantile loss with its corner rounded: quadratic within kappa of the target.

    Use when: quantiles are learned by gradient steps, as in distributional reinforcement learning.
    Avoid when: the quantile itself is wanted: within kappa it leans towards the expectile.
    See also: quantile, expectile, smooth_l1.
    """
    residual = predictions - targets
    weight = np.where(residual > 0, 1.0 - quantile, quantile)
    near = residual.clip(-kappa, kappa)
    gradient = weight * (near / kappa)
    values = seamed(predictions, targets, residual, near, gradient)
    return values, gradient, lambda: np.where(within(predictions, targets, kappa), weight / kappa, 0.0)


@loss(
    predictions=REAL,
    targets=REAL,
    formula="exp(a·d) − a·d − 1; d = y − p",
    gradient="−a(exp(a·d) − 1)",
    reference="Varian (1975), A Bayesian approach to real estate assessment; Zellner (1986), doi:10.1080/01621459.1986.10478289",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | NON_NEGATIVE | ZERO_AT_TARGET,
)
def linex(
    predictions: Array,
    targets: Array,
    *,
    a: Annotated[
        float, Ge(-1e100), Le(1e100), Doc("Which side costs more, and how steeply: above 0 predictions below the target. Not 0.")
    ] = 1.0,
) -> tuple[Array, Array, Second]:
    """Exponential on one side of the target and linear on the other: errors of one sign are far dearer.

    Use when: to fall short is a disaster and to overshoot a nuisance, as with dams, stocks and doses.
    Avoid when: residuals are many times 1/a: the exponential side overflows.
    See also: expectile, quantile.
    """
    if a == 0:
        raise InvalidParameter([Fault(("parameters", "a"), "out_of_range", "a must not be 0: the loss would be 0 everywhere")])
    residual, error = difference(predictions, targets)
    exponent, low = pair_multiply((residual, error), constant(-a))
    exponent = np.minimum(recovered(exponent, lambda: 2.0 * (a * (targets / 2.0 - predictions / 2.0))), sys.float_info.max)
    decay, growth = np.expm1(exponent), np.exp(exponent)
    # what the exponential magnifies must not be left out, but where it is beyond the range
    low = np.where(np.isfinite(growth) & np.isfinite(low), low, 0.0)
    values = exp_tail(exponent) + np.multiply(decay, low, out=np.zeros_like(low), where=low != 0)
    more = np.multiply(growth, low, out=np.zeros_like(low), where=low != 0)
    return values, -a * (decay + more), lambda: a * (a * (growth + more))
