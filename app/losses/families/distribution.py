"""Losses of a predicted distribution: the negative log-likelihood of the target under it, without what no prediction changes.

Of arrays (n, *d), every number is an element by itself. A likelihood is not a distance: these losses
pass through zero and below it, and their terms cancel there and at the optimum. Both are evaluated in double-double.
"""

from dataclasses import replace
from typing import Annotated

import numpy as np
from annotated_types import Ge, Le
from typing_extensions import Doc

from app.domains import Interval
from app.libraries import EACH, equal
from app.losses.cost import IN_PAIRS
from app.losses.encodings import NON_NEGATIVE, POSITIVE, REAL, numbers, steps
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
from app.losses.numerics.gamma import HALF_LOG_2_PI as HALF_LOG_2_PI_WIDE
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
from app.losses.numerics.wide import Wide, exp, log, log1p, standardised, tanh_of_half, where, wide
from app.registry import alias

VARIANCE = numbers("variance", "a variance, from 1e-200 to 1e200", Interval(1e-200, 1e200), steps(0.2, 6))


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
    See also: mean_squared_error, laplace_nll, beta_weighted_nll, crps_normal.
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
    equals=(
        equal(
            "scoringrules.logs_exponential(targets, predictions)",
            reductions=EACH,
            differs_at=("saturated",),
            caveat="Where the density is below what float64 holds, it says infinity.",
        ),
    ),
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
        equal(
            "scoringrules.logs_laplace(targets, location, scale)",
            reductions=EACH,
            differs_at=("saturated",),
            caveat="Where the density is below what float64 holds, it says infinity.",
        ),
        equal("-torch.distributions.Laplace(location, scale).log_prob(targets)", reductions=EACH),
    ),
    reference="Kotz, Kozubowski and Podgórski (2001), doi:10.1007/978-1-4612-0173-1",
    properties=DIFFERENTIABLE,
)
def laplace_nll(location: Array, scale: Array, targets: Array) -> tuple[Array, tuple[Array, Array], Seconds]:
    """Fits a median and its own uncertainty: as gaussian_nll, with absolute errors, so that outliers pull less.

    Use when: a model tells how sure it is, and errors are mostly small but now and then large.
    Avoid when: a scale near 0 is within reach: slopes explode there, as those of every likelihood of this kind.
    See also: gaussian_nll, logistic_nll, crps_laplace, mean_absolute_error.
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


@loss(
    predictions={"location": REAL, "scale": POSITIVE},
    targets=REAL,
    formula="ln s + z + 2·softplus(−z); z = |y − m|/s",
    gradient="∂ℓ/∂m = sign(m − y)·tanh(½z)/s; ∂ℓ/∂s = (1 − z·tanh(½z))/s",
    symbols={"m": "the predicted location", "s": "the predicted scale"},
    aliases=("LogisticNLL", "logs_logistic"),
    equals=(
        equal(
            "scoringrules.logs_logistic(targets, location, scale)",
            reductions=EACH,
            differs_at=("saturated",),
            caveat="Where an exponential overflows, the loss is undefined there.",
        ),
    ),
    reference="Balakrishnan (1991), Handbook of the Logistic Distribution, doi:10.1201/9781482277098",
    properties=DIFFERENTIABLE | SMOOTH,
    cost=IN_PAIRS,
)
def logistic_nll(location: Array, scale: Array, targets: Array) -> tuple[Array, tuple[Array, Array], Seconds]:
    """Fits a location and its uncertainty: between gaussian_nll and laplace_nll, with a smooth slope that is bounded.

    Use when: errors are nearly normal with some more in the tails, and a likelihood is wanted.
    Avoid when: the scale is to be read as a standard deviation, which is 1.81 times as large.
    See also: gaussian_nll, laplace_nll, crps_logistic.
    """
    z = standardised(targets, location, scale)
    size, slope = abs(z), tanh_of_half(z)
    power = exp(-size)
    values = log(scale) + size + 2.0 * log1p(power)

    def second() -> tuple[Array, Array]:
        bend = 2.0 * power / (1.0 + power) / (1.0 + power)  # of 2 ln cosh(½z)
        turn = where(size.high < 1e4, z * z * bend, 0.0)
        of_scale = 2.0 * size * abs(slope) + turn - 1.0
        return (bend / scale / scale).high, (of_scale / scale / scale).high

    return values.high, (-(slope / scale).high, ((1.0 - z * slope) / scale).high), second


@loss(
    predictions={"location": REAL, "scale": POSITIVE},
    targets=POSITIVE,
    formula="ln y + ln s + ½z² + ½ ln(2π); z = (ln y − m)/s",
    gradient="∂ℓ/∂m = −z/s; ∂ℓ/∂s = (1 − z²)/s; z = (ln y − m)/s",
    symbols={"m": "the predicted mean of the logarithm", "s": "the predicted deviation of the logarithm"},
    aliases=("lognormal_nll", "LogNormalNLL", "LogNormalDistributionLoss", "logs_lognormal"),
    equals=(
        equal(
            "scoringrules.logs_lognormal(targets, location, scale)",
            reductions=EACH,
            differs_at=("saturated",),
            caveat="Where a density underflows, its logarithm is infinite there.",
        ),
    ),
    reference="Limpert, Stahel and Abbt (2001), doi:10.1641/0006-3568(2001)051[0341:LNDATS]2.0.CO;2",
    properties=DIFFERENTIABLE | SMOOTH,
    cost=IN_PAIRS,
)
def log_normal_nll(location: Array, scale: Array, targets: Array) -> tuple[Array, tuple[Array, Array], Seconds]:
    """Fits the logarithm of a positive quantity, and how much it scatters: errors count by their ratio.

    Use when: a positive target is a product of many effects, as incomes, sizes or response times are.
    Avoid when: targets may be 0; or the mean itself is wanted, which is e^(m + ½s²) and heeds the tail.
    See also: gaussian_nll, gamma_nll, weibull_nll.
    """
    logarithm = log(targets)
    z = (logarithm - location) / scale
    square = z * z
    values = logarithm + log(scale) + 0.5 * square + HALF_LOG_2_PI_WIDE

    def second() -> tuple[Array, Array]:
        return 1.0 / scale / scale, ((3.0 * square - 1.0) / scale / scale).high

    return values.high, (-(z / scale).high, ((1.0 - square) / scale).high), second


@loss(
    predictions={"mean": REAL, "variance": VARIANCE},
    targets=REAL,
    formula="v^β·½(ln v + (m − y)²/v)",
    gradient="∂ℓ/∂m = h·(m − y)/v; ∂ℓ/∂v = ½h·(1/v − (m − y)²/v²) + c; h = v^β; c = 0 if detach_weight, else β·ℓ/v",
    symbols={"m": "the predicted mean", "v": "the predicted variance"},
    aliases=(alias("beta_nll_seitzer", detach_weight=True),),
    reference="Seitzer, Tavakoli, Antic and Martius (2022), arXiv:2203.09168",
    properties=DIFFERENTIABLE | SMOOTH,
    cost=IN_PAIRS,
)
def beta_weighted_nll(
    mean: Array,
    variance: Array,
    targets: Array,
    *,
    beta: Annotated[float, Ge(0), Le(1), Doc("Power of the variance that each sample is weighed with: 0 is gaussian_nll.")] = 0.5,
    detach_weight: Annotated[bool, Doc("Whether the weight counts as a number in the gradient, as in the paper.")] = False,
) -> tuple[Array, tuple[Array, Array]]:
    """gaussian_nll with each sample weighed by a power of its own variance, so that hard ones are not given up.

    The gradient is the derivative of the value; with detach_weight that of the likelihood times the weight, as in the paper.

    Use when: a mean and a variance are learned together, and the mean stays poor where the variance was large at first.
    Avoid when: the value is read as a likelihood: models with other variances then weigh samples otherwise.
    See also: gaussian_nll.
    """
    room = np.where(np.abs(mean / 4.0 - targets / 4.0) < 1e307, 1.0, 0.5)
    residual, logarithm, weight = wide(mean * room) - targets * room, log(variance), wide(beta)

    def power(less: float, share: float) -> Wide:
        return exp(logarithm * ((weight - less) * share))

    slope = power(1.0, 1.0)
    near, far = residual * power(1.0, 0.5) / room, residual * power(2.0, 0.5) / room
    values = (power(0.0, 1.0) * logarithm + near * near) * 0.5
    free = 0.0 if detach_weight else beta  # of the weight, where it is followed
    pull = (1.0 - wide(free)) * (far * far) if free < 1.0 else wide(0.0)
    spread = (slope * (1.0 + free * logarithm) - pull) * 0.5
    return values.high, ((residual * slope / room).high, spread.high)
