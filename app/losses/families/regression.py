"""Losses of a real-valued prediction. Of arrays (n, *d), every number is an element by itself.

The residual r = prediction − target is rounded once. Where a loss would magnify that rounding (near a threshold, or
where it is nearly quadratic) its exact error is carried along.
"""

from dataclasses import replace
from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt, Le
from numpy.typing import NDArray
from typing_extensions import Doc

from app.errors import Fault, InvalidParameter
from app.libraries import AT_KINKS, AVERAGES, EACH, equal
from app.losses.encodings import ABOVE_MINUS_ONE, DIVISOR, POSITIVE, REAL, VALUE
from app.losses.encodings import NON_NEGATIVE as NOT_BELOW_ZERO
from app.losses.inputs import Case, Choice, when
from app.losses.loss import (
    BOUNDED_GRADIENT,
    CONVEX,
    DIFFERENTIABLE,
    NON_NEGATIVE,
    SMOOTH,
    SYMMETRIC,
    ZERO_AT_TARGET,
    Second,
    loss,
)
from app.losses.numerics.means import MAXIMUM, MEDIAN, QUADRATIC
from app.losses.numerics.pairs import (
    Pair,
    constant,
    difference,
    log_excess,
    log_ratio,
    pair_divide,
    plus_share,
    relative_gap,
    two_product,
    two_sum,
)
from app.losses.numerics.stable import LOG_2, Array, recovered, sign
from app.losses.parameters import LEVEL, PER_COLUMN
from app.registry import alias

# --- squares and absolute values --------------------------------------------------------------------------------------


@loss(
    predictions=REAL,
    targets=REAL,
    formula="r²",
    gradient="2r",
    aliases=("mse", "MSE", "MSELoss", "mse_loss", "F.mse_loss", "MeanSquaredError", "squared_error", "l2", "L2", "quadratic"),
    equals=(
        equal("torch.nn.MSELoss(reduction=reduction)(predictions, targets)"),
        equal("keras.losses.MeanSquaredError(reduction=reduction)(targets, predictions)", reductions=AVERAGES),
        equal("sklearn.metrics.mean_squared_error(targets, predictions)"),
        equal("optax.losses.squared_error(predictions, targets)", reductions=EACH),
        equal("torchmetrics.functional.mean_squared_error(predictions, targets)"),
        equal("lightgbm.LGBMRegressor(metric='l2')", axes=("n",)),
    ),
    reference="Gauss (1809), Theoria motus; Stigler (1981), doi:10.1214/aos/1176345451",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | SYMMETRIC | NON_NEGATIVE | ZERO_AT_TARGET,
)
def mean_squared_error(predictions: Array, targets: Array) -> tuple[Array, Array, Second]:
    """Squared residual: large errors weigh most, and the minimiser is the mean.

    Use when: errors are of one size everywhere and the mean of the target is wanted; it is what least squares minimises.
    Avoid when: a few targets are far off: one error of 10 counts as much as a hundred of 1.
    See also: mean_absolute_error, huber.
    """
    residual = predictions - targets
    values = np.square(residual)
    residual *= 2.0
    return values, residual, lambda: np.full_like(residual, 2.0)


@loss(
    predictions=REAL,
    targets=REAL,
    formula="½r²",
    gradient="r",
    aliases=("l2_loss", "half_mse", "HalfSquaredError", "reg:squarederror", "lsgan"),
    equals=(
        equal("optax.losses.l2_loss(predictions, targets)", reductions=EACH),
        equal("lightgbm.LGBMRegressor(objective='regression', metric='None')", reductions=EACH, axes=("n",)),
        equal("catboost.CatBoostRegressor(loss_function='RMSE')", reductions=EACH, axes=("n",)),
        equal("sklearn._loss.loss.HalfSquaredError()", reductions=EACH, axes=("n",)),
        equal("xgboost.XGBRegressor(objective='reg:squarederror')", reductions=EACH, axes=("n",)),
    ),
    reference="Gauss (1809), Theoria motus; Stigler (1981), doi:10.1214/aos/1176345451",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | SYMMETRIC | NON_NEGATIVE | ZERO_AT_TARGET,
)
def half_squared_error(predictions: Array, targets: Array) -> tuple[Array, Array, Second]:
    """Half the squared residual: the gradient is the residual itself, as gradient boosting takes it.

    Use when: a gradient booster or a textbook is to be matched: the gradient is r and the second derivative 1.
    Avoid when: the number is reported as a mean squared error, of which it is half.
    See also: mean_squared_error.
    """
    residual = predictions - targets
    return residual * (residual / 2.0), residual, lambda: np.ones_like(residual)


@loss(
    predictions=REAL,
    targets=REAL,
    formula="|r|",
    gradient="sign(r)",
    aliases=(
        "mae", "MAE", "L1Loss", "l1_loss", "F.l1_loss", "MeanAbsoluteError", "absolute_error", "AbsoluteError", "l1", "L1",
        "reg:absoluteerror", "regression_l1",
    ),
    equals=(
        equal("torch.nn.L1Loss(reduction=reduction)(predictions, targets)"),
        equal("keras.losses.MeanAbsoluteError(reduction=reduction)(targets, predictions)", reductions=AVERAGES),
        equal("sklearn.metrics.mean_absolute_error(targets, predictions)"),
        equal(
            "sklearn._loss.loss.AbsoluteError()",
            reductions=EACH, axes=("n",),
            differs_at=AT_KINKS,
            caveat="The slope at a residual of 0 is −1 there.",
        ),
        equal("torchmetrics.functional.mean_absolute_error(predictions, targets)"),
        equal("xgboost.XGBRegressor(objective='reg:absoluteerror', eval_metric='mae')", axes=("n",)),
        equal(
            "lightgbm.LGBMRegressor(objective='regression_l1')",
            axes=("n",), differs_at=("hessian",),
            caveat="LightGBM takes 1 for the second derivative.",
        ),
        equal("catboost.utils.eval_metric(targets, predictions, 'MAE')[0]", axes=("n",)),
        equal("catboost.CatBoostRegressor(loss_function='MAE')", reductions=EACH, axes=("n",), times=2.0),
    ),
    reference="Laplace (1774), translated by Stigler (1986), doi:10.1214/ss/1177013621",
    properties=CONVEX | DIFFERENTIABLE | SYMMETRIC | NON_NEGATIVE | ZERO_AT_TARGET | BOUNDED_GRADIENT,
)  # fmt: skip
def mean_absolute_error(predictions: Array, targets: Array) -> tuple[Array, Array, Second]:
    """Absolute residual: every error pulls with the same force, and the minimiser is the median.

    The gradient at r = 0 is 0, as in PyTorch and Keras; JAX gives 1 there and scikit-learn −1.

    Use when: targets hold outliers, or the median is wanted, or people shall read the error in the unit of the target.
    Avoid when: training must settle with a constant learning rate: the slope near the target is as steep as far from it.
    See also: huber, quantile, median_absolute_error.
    """
    return _absolute(predictions, targets)


@loss(
    predictions=REAL,
    targets=REAL,
    formula="√(mean r²)",
    gradient="r/(n·ℓ)",
    aliases=("rmse", "RMSE", "RootMeanSquaredError"),
    equals=(
        equal("keras.metrics.RootMeanSquaredError()(targets, predictions)"),
        equal("sklearn.metrics.root_mean_squared_error(targets, predictions)", multioutput="uniform_average"),
        equal(
            "torchmetrics.functional.mean_squared_error(predictions, targets, squared=False)",
            differs_at=("gradient at exact", "gradient at zeros"),
            caveat="Where all residuals are 0 PyTorch's gradient is NaN.",
        ),
        equal("xgboost.XGBRegressor(eval_metric='rmse')", axes=("n",)),
        equal("lightgbm.LGBMRegressor(metric='rmse')", axes=("n",)),
        equal("catboost.utils.eval_metric(targets, predictions, 'RMSE')[0]", axes=("n",)),
    ),
    reference="Chai and Draxler (2014), doi:10.5194/gmd-7-1247-2014",
    properties=CONVEX | DIFFERENTIABLE | SYMMETRIC | NON_NEGATIVE | ZERO_AT_TARGET | BOUNDED_GRADIENT,
    mean=QUADRATIC,
)
def root_mean_squared_error(predictions: Array, targets: Array) -> tuple[Array, Array]:
    """Root of the mean squared residual, in the unit of the target; per_sample is each sample's own.

    Of several columns it is one root over all numbers; `multioutput` takes the mean of the columns' roots, as scikit-learn.

    Use when: one figure in the unit of the target is reported, and large errors should weigh more than in proportion.
    Avoid when: batches are averaged: the mean of roots is not the root of the mean; or outliers would rule the figure.
    See also: mean_squared_error, mean_absolute_error.
    """
    return _absolute(predictions, targets)[:2]


@loss(
    predictions=VALUE,
    targets=VALUE,
    formula="median |r|",
    gradient="sign(r) if |r| = ℓ, else 0",
    aliases=("medae", "MedAE", "MedianAbsoluteError"),
    equals=(
        equal("sklearn.metrics.median_absolute_error(targets, predictions)", axes=("n",)),
        equal("catboost.utils.eval_metric(targets, predictions, 'MedianAbsoluteError')[0]", axes=("n",)),
    ),
    reference="Hyndman and Koehler (2006), doi:10.1016/j.ijforecast.2006.03.001",
    properties=DIFFERENTIABLE | SYMMETRIC | NON_NEGATIVE | ZERO_AT_TARGET | BOUNDED_GRADIENT,
    mean=MEDIAN,
)
def median_absolute_error(predictions: Array, targets: Array) -> tuple[Array, Array]:
    """The residual in the middle: half of the samples may be arbitrarily wrong without moving it.

    Of an even number of samples it is the mean of the middle two, which share the gradient.

    Use when: a model is judged on data of which up to half may be arbitrarily wrong, and its typical error is asked for.
    Avoid when: a model is trained: only the one or two samples in the middle have a gradient; or rare large errors matter.
    See also: mean_absolute_error, max_error.
    """
    return _absolute(predictions, targets)[:2]


@loss(
    predictions=VALUE,
    targets=VALUE,
    formula="max |r|",
    gradient="sign(r) if |r| = ℓ, else 0",
    aliases=("linf", "l_inf", "maximum_residual", "max_residual"),
    equals=(equal("sklearn.metrics.max_error(targets, predictions)", axes=("n",)),),
    reference="Boyd and Vandenberghe (2004), Convex Optimization, section 6.1, doi:10.1017/CBO9780511804441",
    properties=CONVEX | DIFFERENTIABLE | SYMMETRIC | NON_NEGATIVE | ZERO_AT_TARGET | BOUNDED_GRADIENT,
    mean=MAXIMUM,
)
def max_error(predictions: Array, targets: Array) -> tuple[Array, Array]:
    """The largest residual: only the worst sample counts, the first of those where several tie.

    Use when: a bound has to hold for every sample, as of tolerances, safety and approximations.
    Avoid when: targets are noisy: the single worst sample is all that counts, and more data make the value larger.
    See also: mean_absolute_error.
    """
    return _absolute(predictions, targets)[:2]


def _absolute(predictions: Array, targets: Array) -> tuple[Array, Array, Second]:
    residual = predictions - targets
    return np.abs(residual), sign(residual), lambda: np.zeros_like(residual)


# --- ratios of numbers ------------------------------------------------------------------------------------------------


@loss(
    predictions=when("clip", None, ABOVE_MINUS_ONE, REAL),
    targets=when("clip", None, ABOVE_MINUS_ONE, REAL),
    formula="(ln(1 + p) − ln(1 + y))²",
    gradient="2(ln(1 + p) − ln(1 + y))/(1 + p)",
    aliases=(
        "msle", "MSLE", "mean_squared_log_error", "MeanSquaredLogError", alias("MeanSquaredLogarithmicError", clip=1e-7),
    ),
    equals=(
        equal(
            "keras.losses.MeanSquaredLogarithmicError(reduction=reduction)(targets, predictions)",
            reductions=AVERAGES, clip=1e-7,
        ),
        equal("sklearn.metrics.mean_squared_log_error(targets, predictions)"),
        equal("torchmetrics.functional.mean_squared_log_error(predictions, targets)"),
        equal("catboost.utils.eval_metric(targets, predictions, 'MSLE')[0]", axes=("n",)),
        equal(
            "xgboost.XGBRegressor(objective='reg:squaredlogerror')",
            times=2.0, reductions=EACH, axes=("n",), differs_at=("hessian",),
            caveat="XGBoost keeps the second derivative above 1e-6.",
        ),
    ),
    reference="Tofallis (2015), doi:10.1057/jors.2014.103",
    properties=DIFFERENTIABLE | SMOOTH | SYMMETRIC | NON_NEGATIVE | ZERO_AT_TARGET,
)  # fmt: skip
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


# --- bounded force ----------------------------------------------------------------------------------------------------


@loss(
    predictions=REAL,
    targets=REAL,
    formula="ln cosh r",
    gradient="tanh r",
    aliases=("logcosh", "LogCosh", "log_cosh_error", "LogCoshError"),
    equals=(
        equal("keras.losses.LogCosh(reduction=reduction)(targets, predictions)", reductions=AVERAGES),
        equal("optax.losses.log_cosh(predictions, targets)", reductions=EACH),
        equal(
            "torchmetrics.functional.log_cosh_error(predictions, targets)",
            axes=("n",),
            differs_at=("saturated",),
            caveat="The cosh of torchmetrics overflows from residuals of 711.",
        ),
        equal(
            "catboost.utils.eval_metric(targets, predictions, 'LogCosh')[0]",
            axes=("n",),
            differs_at=("random",),
            caveat="CatBoost's logarithm has four digits.",
        ),
        equal("catboost.CatBoostRegressor(loss_function='LogCosh')", reductions=EACH, axes=("n",)),
    ),
    reference="Saleh and Saleh (2022), arXiv:2208.04564",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | SYMMETRIC | NON_NEGATIVE | ZERO_AT_TARGET | BOUNDED_GRADIENT,
)
def log_cosh(predictions: Array, targets: Array) -> tuple[Array, Array, Second]:
    """Quadratic near the target and linear far from it, with no seam between: the smooth relative of Huber's loss.

    Use when: outliers should be bounded and the loss still smooth in all derivatives, as second-order methods and boosting want
    it.
    Avoid when: residuals are not of the order of 1: there is no threshold to set, so that small units make it a plain squared
    error.
    See also: huber, mean_squared_error.
    """
    residual, error = difference(predictions, targets)
    size = np.abs(residual)
    near = np.minimum(size, 18.0)
    less, decay = np.expm1(-near), np.exp(-near)
    # cosh r − 1 = expm1(−r)² / (2e⁻ʳ) has no cancellation for small r; beyond 18, ln cosh r is |r| − ln 2 to the last digit
    values = np.where(size < 18.0, np.log1p(less * (less / (2.0 * decay))), (size - LOG_2) + np.exp(-2.0 * size))
    slope = np.tanh(residual)

    def second() -> Array:  # 1 − tanh²
        decay = np.exp(-2.0 * size)
        return 4.0 * decay / np.square(1.0 + decay) * (1.0 - 2.0 * slope * error)

    return values + slope * error, slope, second


@loss(
    predictions=REAL,
    targets=REAL,
    formula="½r² if |r| ≤ δ, else δ(|r| − ½δ)",
    gradient="r if |r| ≤ δ, else δ·sign(r)",
    aliases=("HuberLoss", "huber_loss", "F.huber_loss", "Huber"),
    equals=(
        equal("torch.nn.HuberLoss(delta=delta, reduction=reduction)(predictions, targets)"),
        equal("keras.losses.Huber(delta=delta, reduction=reduction)(targets, predictions)", reductions=AVERAGES),
        equal("optax.losses.huber_loss(predictions, targets, delta=delta)", reductions=EACH),
        equal("sklearn.linear_model.SGDRegressor(loss='huber', epsilon=delta)", reductions=EACH, axes=("n",)),
        equal("sklearn._loss.loss.HuberLoss(delta=delta)", reductions=EACH, axes=("n",)),
        equal(
            "lightgbm.LGBMRegressor(objective='huber', alpha=delta)",
            axes=("n",),
            differs_at=("hessian",),
            caveat="LightGBM takes 1 for the second derivative.",
        ),
        equal("catboost.utils.eval_metric(targets, predictions, f'Huber:delta={delta}')[0]", axes=("n",)),
        equal("catboost.CatBoostRegressor(loss_function=f'Huber:delta={delta}')", reductions=EACH, axes=("n",)),
    ),
    reference="Huber (1964), doi:10.1214/aoms/1177703732",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | SYMMETRIC | NON_NEGATIVE | ZERO_AT_TARGET | BOUNDED_GRADIENT,
)
def huber(
    predictions: Array,
    targets: Array,
    *,
    delta: Annotated[float, Gt(0), Doc("Residual at which the loss turns from quadratic to linear.")] = 1.0,
) -> tuple[Array, Array, Second]:
    """Quadratic near the target, linear beyond it: outliers pull with bounded force.

    Use when: most errors are ordinary and a few targets are far off: delta is the residual from which one counts as far off.
    Avoid when: nobody can say what a large residual is: with delta too small it is the median that is fitted, too large the
    mean.
    See also: smooth_l1, quantile.
    """
    residual = predictions - targets
    gradient = residual.clip(-delta, delta)
    values = _seamed(predictions, targets, residual, gradient, gradient)
    return values, gradient, lambda: np.where(_within(predictions, targets, delta), 1.0, 0.0)


@loss(
    predictions=REAL,
    targets=REAL,
    formula="½r²/β if |r| < β, else |r| − ½β",
    gradient="r/β if |r| < β, else sign(r)",
    aliases=("SmoothL1Loss", "smooth_l1_loss", "F.smooth_l1_loss", "SmoothL1"),
    equals=(
        equal("torch.nn.SmoothL1Loss(beta=beta, reduction=reduction)(predictions, targets)"),
        equal("torch.nn.HuberLoss(delta=beta, reduction=reduction)(predictions, targets) / beta"),
    ),
    reference="Girshick (2015), doi:10.1109/ICCV.2015.169",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | SYMMETRIC | NON_NEGATIVE | ZERO_AT_TARGET | BOUNDED_GRADIENT,
)
def smooth_l1(
    predictions: Array,
    targets: Array,
    *,
    beta: Annotated[
        float, Ge(0), Doc("Residual at which the loss turns from quadratic to linear; 0 makes it the absolute error.")
    ] = 1.0,
) -> tuple[Array, Array, Second]:
    """Absolute error with its corner rounded off: Huber's loss divided by its threshold, so that the far slope is always 1.

    Use when: coordinates such as those of boxes are regressed and no target should pull with more than 1, whatever beta is.
    Avoid when: beta is tuned against a fixed learning rate: smaller betas make the slope near the target steeper; huber's stays
    1.
    See also: mean_absolute_error, giou.
    """
    if beta == 0:
        return _absolute(predictions, targets)
    residual = predictions - targets
    near = residual.clip(-beta, beta)
    gradient = near / beta
    values = _seamed(predictions, targets, residual, near, gradient)
    return values, gradient, lambda: np.where(_within(predictions, targets, beta), 1.0 / beta, 0.0)


def _seamed(predictions: Array, targets: Array, residual: Array, near: Array, slope: Array) -> Array:
    """slope · (r − ½ near): quadratic where `near` is r itself and linear where it is the threshold, without a branch."""
    values = residual
    values *= 2.0
    values -= near
    values *= slope
    values *= 0.5
    return recovered(values, lambda: 2.0 * (slope * ((predictions / 2.0 - targets / 2.0) - near / 4.0)))


def _within(predictions: Array, targets: Array, limit: float) -> NDArray[np.bool_]:
    """Where |r| is below the limit, of the unrounded residual."""
    residual, error = difference(predictions, targets)
    size = np.abs(residual)
    return (size < limit) | ((size == limit) & (np.sign(residual) * error < 0))


_OF_QUANTILES = Choice((
    Case("quantile is a list", lambda parameters, _: isinstance(parameters["quantile"], list), replace(REAL, shared=True)),
    Case("otherwise", lambda _, __: True, REAL),
))  # fmt: skip


@loss(
    predictions=REAL,
    targets=_OF_QUANTILES,
    formula="q·(y − p) if y ≥ p, else (1 − q)(p − y)",
    gradient="−q if y ≥ p, else 1 − q",
    aliases=(
        "pinball", "pinball_loss", "PinballLoss", "mean_pinball_loss", "check_loss", "tilted", "tilted_loss", "Quantile",
        "quantile_score", "reg:quantileerror", "multi_quantile", "MultiQuantile", "multi_quantile_pinball",
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
            axes=("n",), differs_at=("hessian", *AT_KINKS),
            caveat="LightGBM takes 1 for the second derivative, and at the kink the slope above it.",
        ),
        equal("catboost.utils.eval_metric(targets, predictions, f'Quantile:alpha={quantile}')[0]", axes=("n",)),
        equal(
            "catboost.CatBoostRegressor(loss_function=f'Quantile:alpha={quantile}')",
            reductions=EACH, axes=("n",), differs_at=AT_KINKS,
            caveat="At the kink CatBoost's slope is 0.",
        ),
        equal("tensorflow_addons.losses.PinballLoss(tau=quantile)(targets, predictions)"),
        equal("scoringrules.quantile_score(targets, predictions, quantile)", reductions=EACH),
        equal("pytorch_forecasting.metrics.QuantileLoss([quantile])(predictions, targets)", times=0.5),
        equal("gluonts.ev.QuantileLoss(q=quantile)", times=0.5),
    ),
    reference="Koenker and Bassett (1978), doi:10.2307/1913643",
    properties=CONVEX | DIFFERENTIABLE | NON_NEGATIVE | ZERO_AT_TARGET | BOUNDED_GRADIENT,
)  # fmt: skip
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
    See also: mean_absolute_error.
    """
    residual = predictions - targets
    gradient = (residual > 0) - np.asarray(quantile, np.float64)
    values = np.abs(gradient * residual)
    values = recovered(values, lambda: 2.0 * np.abs(gradient * (predictions / 2.0 - targets / 2.0)))
    return values, gradient, lambda: np.zeros_like(residual)


@loss(
    predictions=REAL,
    targets=REAL,
    formula="max(0, |r| − ε)",
    gradient="sign(r) if |r| > ε, else 0",
    aliases=("EpsilonInsensitive", "epsilon_insensitive_loss", "svr"),
    equals=(
        equal("sklearn.linear_model.SGDRegressor(loss='epsilon_insensitive', epsilon=epsilon)", reductions=EACH, axes=("n",)),
        equal("sklearn.svm.LinearSVR(loss='epsilon_insensitive', epsilon=epsilon)", axes=("n",)),
    ),
    reference="Vapnik (1995), doi:10.1007/978-1-4757-2440-0",
    properties=CONVEX | DIFFERENTIABLE | SYMMETRIC | NON_NEGATIVE | ZERO_AT_TARGET | BOUNDED_GRADIENT,
)
def epsilon_insensitive(
    predictions: Array,
    targets: Array,
    *,
    epsilon: Annotated[float, Ge(0), Doc("Residual up to which a prediction costs nothing.")] = 0.1,
) -> tuple[Array, Array, Second]:
    """Absolute residual beyond a tube: predictions within ε of the target are left alone, at its edge too.

    Use when: errors within a known tolerance are as good as none, as in support vector regression.
    Avoid when: the tolerance is a guess: predictions within it are never improved.
    See also: squared_epsilon_insensitive, mean_absolute_error.
    """
    excess, side = _beyond(predictions, targets, epsilon)
    return excess, side * (excess > 0), lambda: np.zeros_like(side)


@loss(
    predictions=REAL,
    targets=REAL,
    formula="max(0, |r| − ε)²",
    gradient="2 max(0, |r| − ε)·sign(r)",
    aliases=("SquaredEpsilonInsensitive", "squared_epsilon_insensitive_loss"),
    equals=(
        equal(
            "sklearn.linear_model.SGDRegressor(loss='squared_epsilon_insensitive', epsilon=epsilon)",
            reductions=EACH,
            axes=("n",),
        ),
        equal("sklearn.svm.LinearSVR(loss='squared_epsilon_insensitive', epsilon=epsilon)", axes=("n",)),
    ),
    reference="Vapnik (1995), doi:10.1007/978-1-4757-2440-0",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | SYMMETRIC | NON_NEGATIVE | ZERO_AT_TARGET,
)
def squared_epsilon_insensitive(
    predictions: Array,
    targets: Array,
    *,
    epsilon: Annotated[float, Ge(0), Doc("Residual up to which a prediction costs nothing.")] = 0.1,
) -> tuple[Array, Array, Second]:
    """Squared residual beyond a tube: predictions within ε of the target are left alone, the others pull in proportion.

    Use when: errors within a known tolerance are as good as none and the slope should set in gently beyond it.
    Avoid when: targets hold outliers: beyond the tolerance they weigh as in the squared error.
    See also: mean_squared_error.
    """
    excess, side = _beyond(predictions, targets, epsilon)
    return excess * excess, 2.0 * (side * excess), lambda: np.where(excess > 0, 2.0, 0.0)


def _beyond(predictions: Array, targets: Array, epsilon: float) -> tuple[Array, Array]:
    """max(0, |r| − ε) rounded once, so that the edge of the tube is where it exactly is, and the sign of r."""
    residual, error = difference(predictions, targets)
    side = np.sign(residual)
    excess, low = two_sum(np.abs(residual), -epsilon)
    excess = recovered(excess + (low + side * error), lambda: 2.0 * (np.abs(predictions / 2.0 - targets / 2.0) - epsilon / 2.0))
    return np.maximum(excess, 0.0), side


# --- deviances --------------------------------------------------------------------------------------------------------


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


TWEEDIE_PREDICTIONS = Choice((
    Case("power is 0", lambda parameters, _: parameters["power"] == 0, REAL),
    Case("otherwise", lambda parameters, rank: True, POSITIVE),
))  # fmt: skip
TWEEDIE_TARGETS = Choice((
    Case("power is at most 0", lambda parameters, _: parameters["power"] <= 0, REAL),
    Case("power is below 2", lambda parameters, _: parameters["power"] < 2, NOT_BELOW_ZERO),
    Case("otherwise", lambda parameters, rank: True, POSITIVE),
))  # fmt: skip


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
    for each in reversed(coefficients):
        series = series * t + each
    return series * t * t
