"""Divergences between rows of amounts that need not sum to 1: spectra, histograms, and what a factorization makes of them.

Predictions and targets are rows (n, k) of numbers above 0, or at least 0: half the deviances of their numbers, summed.
"""

from typing import Annotated, cast

import numpy as np
from annotated_types import Ge, Le
from typing_extensions import Doc

from app.domains import Interval
from app.libraries import EACH, equal
from app.losses.cost import IN_PAIRS
from app.losses.encodings import numbers, steps
from app.losses.families.deviance import gamma_deviance, poisson_deviance
from app.losses.loss import CONVEX, DIFFERENTIABLE, NON_NEGATIVE, SMOOTH, ZERO_AT_TARGET, Returned, Second, loss
from app.losses.numerics.rows import row_sums
from app.losses.numerics.stable import Array
from app.losses.numerics.wide import exp, expm1, log, wide

SPECTRUM = numbers("spectrum", "amounts above 0", Interval(0.0, open_low=True), steps(0.2, 6), axes="n k")
AMOUNTS = numbers("amounts", "amounts of at least 0", Interval(0.0), steps(0, 6), axes="n k")
MODERATE = numbers("moderate", "amounts from 1e-30 to 1e30", Interval(1e-30, 1e30), steps(0.2, 6), axes="n k")


def _halved(of: Returned, shape: tuple[int, ...]) -> tuple[Array, Array, Second]:
    """Half the deviance of single numbers, as that of rows."""
    values, gradient, second = cast(tuple[Array, Array, Second], of)
    return row_sums(values.reshape(shape) / 2.0), gradient.reshape(shape) / 2.0, lambda: second().reshape(shape) / 2.0


@loss(
    predictions=SPECTRUM,
    targets=AMOUNTS,
    formula="∑ⱼ (yⱼ ln(yⱼ/pⱼ) − yⱼ + pⱼ)",
    gradient="1 − yⱼ/pⱼ",
    aliases=("i_divergence", "convex_kl", "convex_kl_divergence", "unnormalised_kl", "beta_divergence_1"),
    equals=(
        equal("sklearn.decomposition._nmf._beta_divergence(targets, predictions, np.eye(k), 1)", reductions=("sum",)),
        equal("optax.losses.convex_kl_divergence(jnp.log(predictions), targets)", reductions=EACH),
    ),
    reference="Csiszár (1991), doi:10.1214/aos/1176348385; Lee and Seung (1999), doi:10.1038/44565",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | NON_NEGATIVE | ZERO_AT_TARGET,
)
def generalized_kl_divergence(predictions: Array, targets: Array) -> tuple[Array, Array, Second]:
    """KL of amounts that need not sum to 1: half the Poisson deviance of each, so that errors of counts are weighed right.

    Use when: rows are counts or energies, as in topic models, images of few photons and factorizations.
    Avoid when: rows are probabilities (kl_divergence); or an amount may be predicted 0.
    See also: poisson_deviance, kl_divergence, itakura_saito_divergence, beta_divergence.
    """
    return _halved(poisson_deviance.function(predictions.ravel(), targets.ravel()), predictions.shape)


@loss(
    predictions=SPECTRUM,
    targets=SPECTRUM,
    formula="∑ⱼ (yⱼ/pⱼ − ln(yⱼ/pⱼ) − 1)",
    gradient="(1 − yⱼ/pⱼ)/pⱼ",
    aliases=("itakura_saito", "is_divergence", "beta_divergence_0"),
    equals=(equal("sklearn.decomposition._nmf._beta_divergence(targets, predictions, np.eye(k), 0)", reductions=("sum",)),),
    reference="Févotte, Bertin and Durrieu (2009), doi:10.1162/neco.2008.04-08-771",
    properties=DIFFERENTIABLE | SMOOTH | NON_NEGATIVE | ZERO_AT_TARGET,
)
def itakura_saito_divergence(predictions: Array, targets: Array) -> tuple[Array, Array, Second]:
    """Only ratios count: a quiet component is fitted as closely as a loud one. Half the gamma deviance of each amount.

    Use when: rows are power spectra of sound, whose quiet parts are heard as well.
    Avoid when: amounts may be 0, or small ones are mostly noise.
    See also: gamma_deviance, generalized_kl_divergence, beta_divergence.
    """
    return _halved(gamma_deviance.function(predictions.ravel(), targets.ravel()), predictions.shape)


@loss(
    predictions=MODERATE,
    targets=MODERATE,
    formula="½·∑ⱼ (yⱼ − pⱼ)² if β = 2, else ∑ⱼ (yⱼ^β/(β(β − 1)) + pⱼ^β/β − yⱼ·pⱼ^(β − 1)/(β − 1))",
    gradient="pⱼ^(β − 1) − yⱼ·pⱼ^(β − 2)",
    aliases=("beta_loss", "density_power_divergence"),
    equals=(equal("sklearn.decomposition._nmf._beta_divergence(targets, predictions, np.eye(k), beta)", reductions=("sum",)),),
    reference="Févotte and Idier (2011), doi:10.1162/NECO_a_00168",
    properties=DIFFERENTIABLE | SMOOTH | NON_NEGATIVE | ZERO_AT_TARGET,
    cost=IN_PAIRS,
)
def beta_divergence(
    predictions: Array,
    targets: Array,
    *,
    beta: Annotated[
        float, Ge(-3), Le(5), Doc("Order: 2 half the squared error, 1 generalized_kl_divergence, 0 itakura_saito_divergence.")
    ] = 0.5,
) -> tuple[Array, Array, Second]:
    """One family from Itakura–Saito over KL to squares: how much more a large amount counts than a small one.

    At 0 and 1, where the formula has a pole, it is its limit.

    Use when: a factorization is fitted, and the order between its usual ones is searched for.
    Avoid when: the order is one of the usual ones: the loss of that name says so, and takes zeros where it can.
    See also: generalized_kl_divergence, itakura_saito_divergence, mean_squared_error.
    """
    p, y, order = wide(predictions), wide(targets), wide(beta)
    ratio = log(p) - log(y)
    falling = exp((order - 1.0) * log(p))
    gap = p - y
    slope = falling * gap / p

    def second() -> Array:  # p^(β − 2)·((β − 1) − (β − 2)·y/p)
        return (falling / p * ((order - 1.0) - (order - 2.0) * y / p)).high

    if beta in (0.0, 1.0):
        values = y / p - 1.0 + ratio if beta == 0.0 else gap - y * ratio
    else:  # y^β·((e^(βt) − 1)/β − (e^((β − 1)t) − 1)/(β − 1)) with t = ln(p/y)
        values = exp(order * log(y)) * (expm1(order * ratio) / order - expm1((order - 1.0) * ratio) / (order - 1.0))
    g = gap / y
    near = g * g * exp(order * log(y)) * (0.5 + g * (order - 2.0) / 3.0)  # where all but the square would be lost
    found = np.where(np.abs(g.high) < 1e-12, near.high, values.high)
    return row_sums(found), slope.high, second
