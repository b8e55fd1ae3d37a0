"""Losses of a regression whose errors count in proportion to the target.

Of arrays (n, *d), every number is an element by itself.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Literal, TypeAlias

import numpy as np
from annotated_types import Gt
from typing_extensions import Doc

from app.errors import Fault, InvalidArray
from app.libraries import AT_KINKS, AVERAGES, EACH, equal
from app.losses.encodings import ABOVE_MINUS_ONE, DIVISOR, REAL, VALUE
from app.losses.inputs import when
from app.losses.loss import (
    CONVEX,
    DIFFERENTIABLE,
    NON_NEGATIVE,
    SMOOTH,
    SYMMETRIC,
    ZERO_AT_TARGET,
    Pullback,
    Second,
    loss,
)
from app.losses.numerics.means import QUADRATIC
from app.losses.numerics.pairs import (
    Pair,
    pair_divide,
    two_sum,
)
from app.losses.numerics.stable import Array, exact_sum, power_of_two, recovered
from app.registry import alias


@loss(
    predictions=when("clip", None, ABOVE_MINUS_ONE, REAL),
    targets=when("clip", None, ABOVE_MINUS_ONE, REAL),
    formula="(ln(1 + p) − ln(1 + y))²",
    gradient="2(ln(1 + p) − ln(1 + y))/(1 + p)",
    aliases=(
        "msle",
        "MSLE",
        "mean_squared_log_error",
        "MeanSquaredLogError",
        alias("MeanSquaredLogarithmicError", clip=1e-7),
    ),
    equals=(
        equal(
            "keras.losses.MeanSquaredLogarithmicError(reduction=reduction)(targets, predictions)",
            reductions=AVERAGES,
            clip=1e-7,
        ),
        equal("sklearn.metrics.mean_squared_log_error(targets, predictions)"),
        equal("torchmetrics.functional.mean_squared_log_error(predictions, targets)"),
        equal("catboost.utils.eval_metric(targets, predictions, 'MSLE')[0]", axes=("n",)),
        equal(
            "xgboost.XGBRegressor(objective='reg:squaredlogerror')",
            times=2.0,
            reductions=EACH,
            axes=("n",),
            differs_at=("hessian",),
            caveat="XGBoost keeps the second derivative above 1e-6.",
        ),
    ),
    reference="Tofallis (2015), doi:10.1057/jors.2014.103",
    properties=DIFFERENTIABLE | SMOOTH | SYMMETRIC | NON_NEGATIVE | ZERO_AT_TARGET,
)
def mean_squared_logarithmic_error(
    predictions: Array,
    targets: Array,
    *,
    clip: Annotated[
        Annotated[float, Gt(-1)] | None, Doc("Smaller predictions and targets are taken as this number, with gradient 0.")
    ] = None,
) -> tuple[Array, Array, Second]:
    """Squared difference of the logarithms: errors count by their ratio, and falling short costs more than overshooting.

    Numbers must be above −1. Keras raises them to 1e-7 instead (clip=1e-7); scikit-learn refuses them, as here without clip.

    Use when: targets are counts or prices of very different size, and an error of 10 % should cost the same at any size.
    Avoid when: totals must come out right: the minimiser lies near the geometric mean, below the mean.
    See also: root_mean_squared_logarithmic_error, mean_absolute_percentage_error, gamma_deviance.
    """
    raised, lower = predictions, targets
    if clip is not None:
        raised, lower = np.maximum(predictions, clip), np.maximum(targets, clip)
    log, low = _log_of_successors(raised, lower)
    gradient = 2.0 * (log + low) / (1.0 + raised)

    def second() -> Array:
        curvature = 2.0 * ((1.0 - log) - low) / (1.0 + raised) / (1.0 + raised)
        return curvature if clip is None else curvature * (predictions >= clip)

    return log * log + 2.0 * (log * low), gradient if clip is None else gradient * (predictions >= clip), second


@loss(
    predictions=ABOVE_MINUS_ONE,
    targets=ABOVE_MINUS_ONE,
    formula="√(mean((ln(1 + p) − ln(1 + y))²))",
    gradient="(ln(1 + p) − ln(1 + y))/(n·ℓ·(1 + p))",
    aliases=("rmsle", "RMSLE", alias("root_mean_squared_log_error", multioutput="uniform_average")),
    equals=(
        equal("sklearn.metrics.root_mean_squared_log_error(targets, predictions)", multioutput="uniform_average"),
        equal("xgboost.XGBRegressor(eval_metric='rmsle')", axes=("n",)),
    ),
    reference="Tofallis (2015), doi:10.1057/jors.2014.103",
    properties=DIFFERENTIABLE | SYMMETRIC | NON_NEGATIVE | ZERO_AT_TARGET,
    mean=QUADRATIC,
)
def root_mean_squared_logarithmic_error(predictions: Array, targets: Array) -> tuple[Array, Array]:
    """Root of the mean squared difference of the logarithms: for small errors, the typical relative error.

    Use when: one figure is reported of targets that differ in size: read it as a typical relative error while it is small.
    Avoid when: targets are near 0, where the 1 in the logarithm hides relative errors; or large errors in absolute terms are
    what costs.
    See also: root_mean_squared_error.
    """
    log, low = _log_of_successors(predictions, targets)
    return np.abs(log + low), np.sign(log) / (1.0 + predictions)


def _log_of_successors(predictions: Array, targets: Array) -> Pair:
    """ln((1 + p) / (1 + y)) as log1p of the relative gap, with what its rounding left: the difference of two log1p cancels."""
    above, below = np.maximum(predictions, targets), np.minimum(predictions, targets)
    ratio, rest = pair_divide(two_sum(above, -below), two_sum(below, 1.0))

    def far() -> Array:
        quotient = (above - below) / (1.0 + below)
        return np.where(np.isfinite(quotient), np.log1p(quotient), np.log1p(above) - np.log1p(below))

    low = rest / (1.0 + ratio)
    log = recovered(np.log1p(ratio) + 0.0 * low, far)
    side = np.copysign(1.0, predictions - targets)
    return side * log, side * np.where(np.isfinite(low), low, 0.0)


@loss(
    predictions=REAL,
    targets=DIVISOR,
    formula="scale·|r|/max(|y|, ε)",
    gradient="scale·sign(r)/max(|y|, ε)",
    aliases=("mape", "MAPE", "mean_absolute_percentage", alias("MeanAbsolutePercentageError", eps=1e-7, scale=100.0)),
    equals=(
        equal("sklearn.metrics.mean_absolute_percentage_error(targets, predictions)"),
        equal(
            "keras.losses.MeanAbsolutePercentageError(reduction=reduction)(targets, predictions)",
            reductions=AVERAGES,
            eps=1e-7,
            scale=100.0,
        ),
        equal("torchmetrics.functional.mean_absolute_percentage_error(predictions, targets)", eps=1.17e-6),
        equal(
            "lightgbm.LGBMRegressor(objective='mape')",
            axes=("n",),
            eps=1.0,
            differs_at=("hessian",),
            caveat="LightGBM takes 1 for the second derivative.",
        ),
        equal(
            "xgboost.XGBRegressor(eval_metric='mape')",
            axes=("n",),
            differs_at=("zeros",),
            caveat="XGBoost divides 0 by 0 where both are 0.",
        ),
        equal("catboost.utils.eval_metric(targets, predictions, 'MAPE')[0]", axes=("n",), eps=1.0),
        equal(
            "catboost.CatBoostRegressor(loss_function='MAPE')",
            reductions=EACH,
            axes=("n",),
            eps=1.0,
            differs_at=AT_KINKS,
            caveat="At the kink CatBoost takes the slope above it.",
        ),
    ),
    reference="Hyndman and Koehler (2006), doi:10.1016/j.ijforecast.2006.03.001",
    properties=CONVEX | DIFFERENTIABLE | NON_NEGATIVE | ZERO_AT_TARGET,
)
def mean_absolute_percentage_error(
    predictions: Array,
    targets: Array,
    *,
    eps: Annotated[
        float, Gt(0), Doc("Least number to divide by: a target smaller than this counts as this.")
    ] = 2.220446049250313e-16,
    scale: Annotated[float, Gt(0), Doc("Factor of the loss; 100 for percent.")] = 1.0,
) -> tuple[Array, Array, Second]:
    """Absolute residual relative to the target: favours predictions that are too small, and explodes at targets near 0.

    A fraction, as in scikit-learn; Keras gives percent. At r = 0 the gradient is 0.

    Use when: all targets are well away from 0 and the error is wanted in percent of them.
    Avoid when: targets come near 0, where one sample swamps the mean; or a forecast too low must not be favoured: it costs at
    most 100 %.
    See also: mean_absolute_error, symmetric_mean_absolute_percentage_error.
    """
    residual = predictions - targets
    unit = np.maximum(np.abs(targets), eps)
    values = scale * (np.abs(residual) / unit)
    values = recovered(values, lambda: 2.0 * (scale * (np.abs(predictions / 2.0 - targets / 2.0) / unit)))
    return values, np.sign(residual) * (scale / unit), lambda: np.zeros_like(residual)


@loss(
    predictions=REAL,
    targets=REAL,
    formula="2·scale·|r|/(|p| + |y|)",
    gradient="4·scale·sign(r)·|y|/(|p| + |y|)² if p·y > 0, 2·scale·sign(r)/|y| if p = 0 and |y| > 0, else 0",
    aliases=("smape", "SMAPE", "sMAPE", "symmetric_mean_absolute_percentage", "SymmetricMeanAbsolutePercentageError"),
    equals=(
        equal("torchmetrics.functional.symmetric_mean_absolute_percentage_error(predictions, targets)"),
        equal("catboost.utils.eval_metric(targets, predictions, 'SMAPE')[0]", axes=("n",), scale=100.0),
    ),
    reference="Makridakis (1993), doi:10.1016/0169-2070(93)90079-3",
    properties=DIFFERENTIABLE | SYMMETRIC | NON_NEGATIVE | ZERO_AT_TARGET,
)
def symmetric_mean_absolute_percentage_error(
    predictions: Array,
    targets: Array,
    *,
    scale: Annotated[float, Gt(0), Doc("Factor of the loss; 100 for percent.")] = 1.0,
) -> tuple[Array, Array, Second]:
    """Absolute residual relative to the mean size of prediction and target: never more than 2, whatever the target.

    A fraction from 0 to 2, as in torchmetrics; others leave out the 2, or give percent. Where both are 0 it is 0. At r = 0 the
    gradient is 0, and at p = 0 the mean of the slopes on both sides.

    Use when: series of different sizes are compared, and some targets are 0 or near it.
    Avoid when: forecasts too high and too low must cost alike: one too low costs more; or a model is trained: predictions of the
    wrong sign all cost the same, and do not pull.
    See also: mean_absolute_percentage_error, mean_absolute_error.
    """
    residual = predictions - targets
    # halves, of which neither the sum nor the difference overflows; below 1 they might lose a digit
    half = np.where(np.maximum(np.abs(predictions), np.abs(targets)) > 1.0, 0.5, 1.0)
    size = np.abs(targets * half)
    total = np.abs(predictions * half) + size
    some = total > 0
    share = np.divide(size, total, out=np.zeros_like(total), where=some)
    gap = np.abs(predictions * half - targets * half)
    values = 2.0 * scale * np.divide(gap, total, out=np.zeros_like(total), where=some)
    pull = np.where(np.sign(predictions) == np.sign(targets), 2.0 * share, (predictions == 0) * 1.0)
    pull = 2.0 * scale * half * np.divide(pull, total, out=np.zeros_like(total), where=some & (targets != 0))
    slope = np.where(residual == 0, 0.0, np.sign(residual) * pull)

    def second() -> Array:
        bend = np.divide(-2.0 * half * np.sign(predictions) * slope, total, out=np.zeros_like(total), where=some)
        return np.where(predictions == 0, 0.0, bend)

    return values, slope, second


# --- in units of what the batch's targets are like ------------------------------------------------------------------------

VARIED = replace(REAL, name="varied", meaning="any finite number, not the same for all")
VARIED_VALUE = replace(VALUE, name="varied", meaning="one finite number per sample, not the same for all")
Statistic: TypeAlias = Literal["mean_absolute", "mean", "range", "std", "l2"]


def _in_units(predictions: Array, targets: Array, statistic: Statistic) -> tuple[Array, Callable[[Array], Array]]:
    """Residuals over a statistic of all targets, and that of each number of an array.

    InvalidArray where it is 0.
    """
    unit = float(power_of_two(np.abs(targets).max(keepdims=True))[0])
    y = targets / unit
    if statistic == "range":
        size = float(y.max() - y.min())
    elif statistic in ("mean", "mean_absolute"):
        size = abs(exact_sum(y if statistic == "mean" else np.abs(y))) / y.size
    else:
        centred = y - exact_sum(y) / y.size if statistic == "std" else y
        size = math.sqrt(exact_sum(centred * centred) / (y.size if statistic == "std" else 1))
    if size == 0:
        sameness = (
            "are all alike" if statistic in ("range", "std") else "are all 0" if statistic != "mean" else "have a mean of 0"
        )
        raise InvalidArray([Fault(("targets",), "constant", f"targets {sameness}: there is nothing to divide by")])

    def divided(numbers: Array) -> Array:
        return numbers / unit / size

    residual = predictions - targets
    return recovered(divided(residual), lambda: 2.0 * divided(predictions / 2.0 - targets / 2.0)), divided


@loss(
    predictions=REAL,
    targets=VARIED,
    formula="mean |r|/mean |y|",
    gradient="sign(r)/(n·mean |y|)",
    aliases=("wape", "WAPE", "wmape", "mad_mean_ratio", "ND", "WeightedMeanAbsolutePercentageError"),
    equals=(
        equal(
            "torchmetrics.functional.weighted_mean_absolute_percentage_error(predictions, targets)",
        ),
    ),
    reference="Kolassa and Schütz (2007), https://ideas.repec.org/a/for/ijafaa/y2007i6p40-43.html",
    properties=CONVEX | DIFFERENTIABLE | NON_NEGATIVE | ZERO_AT_TARGET,
    coupling="batch",
)
def weighted_absolute_percentage_error(predictions: Array, targets: Array) -> tuple[Array, Pullback]:
    """Absolute errors beside the size of all targets together: targets of 0 do no harm, and large ones count as they are large.

    A sample's own loss is its absolute error over the mean size of all targets. Weights are those of errors; the mean of the
    targets is that of all. Targets that are all 0 are refused.

    Use when: an error in percent is wanted over many items, some of which have a target of 0.
    Avoid when: each item's own percentage counts: here the large ones rule; or batches are small, whose divisors differ.
    See also: mean_absolute_percentage_error, mean_absolute_error, symmetric_mean_absolute_percentage_error.
    """
    residual, divided = _in_units(predictions, targets, "mean_absolute")
    return np.abs(residual), lambda weights: divided(np.sign(residual) * weights)


@loss(
    predictions=VALUE,
    targets=VARIED_VALUE,
    formula="mean(r²)/mean((y − mean y)²)",
    gradient="2r/(n·mean((y − mean y)²))",
    aliases=("rse", "RelativeSquaredError", "unexplained_variance"),
    equals=(equal("torchmetrics.functional.relative_squared_error(predictions, targets)"),),
    reference="Witten, Frank and Hall (2011), section 5.8, doi:10.1016/C2009-0-19715-5",
    properties=CONVEX | DIFFERENTIABLE | NON_NEGATIVE | ZERO_AT_TARGET,
    coupling="batch",
)
def relative_squared_error(predictions: Array, targets: Array) -> tuple[Array, Pullback]:
    """Squared errors beside those of a forecast that always says the mean: 1 is no better than that, one minus R².

    A sample's own loss is its squared error over the variance of all targets. Weights are those of errors; the variance is that
    of all. Targets that are all alike are refused.

    Use when: models of targets in different units are compared: what share of their variance is left unexplained.
    Avoid when: batches are small: each has another variance; or targets hold outliers, which enlarge it.
    See also: mean_squared_error, normalized_root_mean_squared_error.
    """
    residual, divided = _in_units(predictions, targets, "std")
    return residual * residual, lambda weights: divided(2.0 * residual * weights)


@loss(
    predictions=VALUE,
    targets=VARIED_VALUE,
    formula="√(mean r²)/c",
    gradient="r/(n·ℓ·c²)",
    symbols={"c": "what normalization says, of all targets"},
    aliases=("nrmse", "NRMSE", "NormalizedRootMeanSquaredError", alias("cvrmse_std", normalization="std")),
    equals=(
        equal(
            "torchmetrics.functional.normalized_root_mean_squared_error(predictions, targets, normalization=normalization)",
            encodings={"targets": "positive"},
            caveat="Of targets whose mean is below 0 it is negative there.",
        ),
    ),
    reference="Moriasi et al. (2007), doi:10.13031/2013.23153",
    properties=CONVEX | DIFFERENTIABLE | NON_NEGATIVE | ZERO_AT_TARGET,
    coupling="batch",
    mean=QUADRATIC,
)
def normalized_root_mean_squared_error(
    predictions: Array,
    targets: Array,
    *,
    normalization: Annotated[
        Literal["mean", "range", "std", "l2"],
        Doc("What of all targets the root is divided by: the size of their mean, their range, deviation or Euclidean length."),
    ] = "mean",
) -> tuple[Array, Pullback]:
    """The root of the mean squared error in units of what the targets are like, so that it has no unit of its own.

    Use when: errors of targets in different units are laid side by side.
    Avoid when: targets scatter around 0 and their mean is taken; take their deviation then. Or batches are small.
    See also: root_mean_squared_error, relative_squared_error.
    """
    residual, divided = _in_units(predictions, targets, normalization)
    return np.abs(residual), lambda weights: divided(np.sign(residual) * weights)
