"""Losses of a predicted distribution: the negative log-likelihood of the target under it, without what no prediction changes.

Of arrays (n, *d), every number is an element by itself. A likelihood is not a distance: these losses
pass through zero and below it, and their terms cancel there and at the optimum. Both are evaluated in double-double.
"""

from dataclasses import replace
from typing import Annotated, TypeAlias

import numpy as np
from annotated_types import Ge
from typing_extensions import Doc

from app.libraries import EACH, equal
from app.losses.encodings import NON_NEGATIVE, POSITIVE, REAL
from app.losses.inputs import when
from app.losses.loss import CONVEX, DIFFERENTIABLE, SMOOTH, Second, Seconds, loss
from app.losses.numerics.cancelling import (
    HALF_LOG_2_PI,
    HALF_LOG_2_PI_LOW,
    LOG_2_LOW,
    Where,
    log_plus,
    put,
)
from app.losses.numerics.pairs import (
    Pair,
    difference,
    pair,
    pair_add,
    pair_divide,
    pair_multiply,
    two_product,
    two_sum,
)
from app.losses.numerics.stable import LOG_2, Array

LogInput: TypeAlias = Annotated[bool, Doc("Whether predictions are the logarithm of the mean (a log link) instead of the mean.")]


@loss(
    predictions={"mean": REAL, "variance": when("eps", 0.0, replace(POSITIVE, shared=True), replace(NON_NEGATIVE, shared=True))},
    targets=REAL,
    formula="½(ln v + (m − y)²/v) + c; v = max(variance, ε); c = ½ ln(2π) if full, else 0",
    gradient="∂ℓ/∂m = (m − y)/v; ∂ℓ/∂v = ½(1/v − (m − y)²/v²) if variance ≥ ε, else 0",
    symbols={"m": "the predicted mean"},
    aliases=("GaussianNLLLoss", "gaussian_nll_loss", "normal_nll"),
    equals=(
        equal(
            "torch.nn.GaussianNLLLoss(full=full, eps=eps, reduction=reduction)(mean, targets, variance)",
            differs_at=("gradient at zeros", "gradient at saturated"),
            caveat="Of a variance below eps PyTorch ignores the limit in the gradient.",
        ),
        equal(
            "scoringrules.logs_normal(targets, mean, variance**0.5)",
            reductions=EACH,
            full=True,
            differs_at=("zeros", "saturated"),
            caveat="The variance has to be above 0 there.",
        ),
    ),
    reference="Nix and Weigend (1994), doi:10.1109/ICNN.1994.374138",
    properties=DIFFERENTIABLE,
)
def gaussian_nll(
    mean: Array,
    variance: Array,
    targets: Array,
    *,
    full: Annotated[bool, Doc("Whether to add ½ log 2π, which no prediction changes.")] = False,
    eps: Annotated[float, Ge(0), Doc("A smaller variance is raised to this.")] = 1e-6,
) -> tuple[Array, tuple[Array, Array], Seconds]:
    """Fits a mean and its own uncertainty: an error costs less where a large variance was predicted, and that costs a logarithm.

    A variance below eps counts as eps and has gradient 0, which is the derivative; PyTorch's ignores the limit. Of means
    (n, *d) a sample may have one variance, (n,) or (n, 1).

    Use when: a model tells how sure it is: the noise differs from sample to sample.
    Avoid when: training is unstable: a variance near 0 makes slopes explode, and the mean is neglected where the variance is
    large.
    See also: mean_squared_error.
    """
    return surprise_of_normal(mean, variance, targets, full, eps)


def surprise_of_normal(
    mean: Array, variance: Array, targets: Array, full: bool = False, eps: float = 0.0
) -> tuple[Array, tuple[Array, Array], Seconds]:
    """½(ln v + (m − y)²/v), v = max(variance, eps), with ½ ln 2π where it is full; and both of its derivatives."""
    v = np.maximum(variance, eps)
    residual, error = two_sum(mean, -targets)
    half, ratio = residual / 2.0, residual / v
    if not np.isfinite(half).all():  # the residual overflows where its share of the variance need not
        half = np.where(np.isfinite(half), half, mean / 2.0 - targets / 2.0)
        ratio = np.where(np.isfinite(residual), ratio, half / v * 2.0)
    constant, constant_low = (HALF_LOG_2_PI, HALF_LOG_2_PI_LOW) if full else (0.0, 0.0)

    def square(where: Where) -> Pair:
        return pair_multiply((residual[where], error[where]), (residual[where], error[where]))

    def rest(where: Where) -> Pair:
        high, low = pair_divide(square(where), pair(2.0 * v[where]))
        return pair_add((high, low), (np.full_like(high, constant), np.full_like(high, constant_low)))

    values = log_plus(0.5, pair(v), ratio * half + constant, rest)
    share = ratio * residual
    slope = np.where(np.isfinite(share), (1.0 - share) / v / 2.0, -ratio * (ratio / 2.0))
    close = np.abs(1.0 - share) < 0.5
    if close.any():
        squared = square(close)
        put(slope, close, pair_add(pair(v[close]), (-squared[0], -squared[1]))[0] / v[close] / v[close] / 2.0)

    def second() -> tuple[Array, Array]:
        bend = np.where(np.isfinite(share), (share - 0.5) / v / v, ratio * (ratio / v))
        near = np.abs(share - 0.5) < 0.25
        if near.any():
            twice = pair_multiply(square(near), pair(np.full_like(v[near], 2.0)))
            put(bend, near, pair_add(twice, pair(-v[near]))[0] / v[near] / v[near] / v[near] / 2.0)
        return 1.0 / v, np.where(variance < eps, 0.0, bend)

    return values, (ratio, np.where(variance < eps, 0.0, slope)), second


@loss(
    predictions=POSITIVE,
    targets=NON_NEGATIVE,
    formula="p·y − ln p",
    gradient="y − 1/p",
    aliases=("ExponentialNLL",),
    equals=(equal("scoringrules.logs_exponential(targets, predictions)", reductions=EACH),),
    reference="Lawless (2003), doi:10.1002/9781118033005",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH,
)
def exponential_nll(predictions: Array, targets: Array) -> tuple[Array, Array, Second]:
    """Fits the rate of events of which the waiting time is known: one over the mean time.

    Use when: times between events of a constant rate are known, as of calls, failures or decays.
    Avoid when: some waits were not seen to the end, or the rate changes while waiting, as it does with wear.
    See also: gamma_nll, poisson_nll.
    """
    product, error = two_product(predictions, targets)
    sound = (product > 1e-290) & np.isfinite(product)
    values = log_plus(-1.0, pair(predictions), product, lambda where: (product[where], error[where]))
    gradient = ((product - 1.0) + np.where(sound, error, 0.0)) / predictions
    gradient = np.where(np.isfinite(product), gradient, targets - 1.0 / predictions)
    return values, gradient, lambda: 1.0 / predictions / predictions


@loss(
    predictions={"location": REAL, "scale": POSITIVE},
    targets=REAL,
    formula="ln(2s) + |y − m|/s",
    gradient="∂ℓ/∂m = sign(m − y)/s; ∂ℓ/∂s = (1 − |y − m|/s)/s",
    symbols={"m": "the predicted location", "s": "the predicted scale"},
    aliases=("LaplaceNLL",),
    equals=(
        equal("scoringrules.logs_laplace(targets, location, scale)", reductions=EACH),
        equal("-torch.distributions.Laplace(location, scale).log_prob(targets)", reductions=EACH),
    ),
    reference="Kotz, Kozubowski and Podgórski (2001), doi:10.1007/978-1-4612-0173-1",
    properties=DIFFERENTIABLE,
)
def laplace_nll(location: Array, scale: Array, targets: Array) -> tuple[Array, tuple[Array, Array], Seconds]:
    """Fits a median and its own uncertainty: as gaussian_nll, with absolute errors, so that outliers pull less.

    Use when: a model tells how sure it is, and errors are mostly small but now and then large.
    Avoid when: a scale near 0 is within reach: slopes explode there, as those of every likelihood of this kind.
    See also: gaussian_nll, crps_laplace, mean_absolute_error.
    """
    residual, error = difference(targets, location)
    side = np.sign(residual)
    size, lost = np.abs(residual), side * error
    z = np.where(np.isfinite(size), size / scale, np.abs(targets / scale - location / scale))
    low = np.full_like(z, LOG_2_LOW)

    def rest(where: Where) -> Pair:
        share = pair_divide((size[where], lost[where]), pair(scale[where]))
        return pair_add(share, (np.full_like(low[where], LOG_2), low[where]))

    def excess(factor: float) -> Array:  # |y − m|·factor − s
        return (factor * size - scale) + factor * lost

    values = log_plus(1.0, pair(scale), z + LOG_2, rest)
    bend = np.where(np.isfinite(2.0 * size), excess(2.0) / scale, 2.0 * z - 1.0) / scale / scale
    spread = -np.where(np.isfinite(size), excess(1.0) / scale, z - 1.0) / scale
    return values, (-side / scale, spread), lambda: (np.zeros_like(z), bend)
