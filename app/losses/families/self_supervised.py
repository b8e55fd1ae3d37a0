"""Losses of two views of a batch without labels: the views are to agree, and the numbers of a vector to tell different things.

They are of the whole batch: each sample has the same loss, so that a mean is that loss, and weights change nothing but a sum.
"""

from collections.abc import Callable
from typing import Annotated, NamedTuple, Self

import numpy as np
from annotated_types import Ge, Gt, Le
from typing_extensions import Doc

from app.libraries import equal
from app.losses.cost import Cost
from app.losses.encodings import EMBEDDING
from app.losses.loss import DIFFERENTIABLE, NON_NEGATIVE, Pullbacks, loss
from app.losses.numerics.pairs import (
    Pair,
    constant,
    difference,
    pair_add,
    pair_divide,
    pair_multiply,
    pair_negative,
    pair_sqrt,
    pair_sum,
    two_product,
)
from app.losses.numerics.similarities import Flags, beside, over_rows
from app.losses.numerics.small_batches import product, small, turned
from app.losses.numerics.stable import Array, exact_sum, power_of_two
from app.losses.numerics.wide import Wide, sqrt, where, wide
from app.registry import alias

OF_COLUMNS = Cost(per_number=150.0, beyond={"d²": 500.0, "n·d²": 6.0})


def _centred(x: Array) -> Pair:
    """The columns (d, n) of x less their means."""
    columns = x.T, np.zeros_like(x.T)
    mean = pair_divide(pair_sum(columns), constant(float(len(x))))
    return pair_add(columns, pair_negative(mean))


class _Columns(NamedTuple):
    """Columns less their means, unrounded."""

    units: Wide
    """(d, n): at the length 1, or 0 where a column does not vary."""
    inverse: Wide
    """(d, 1): 1 over their lengths."""

    @classmethod
    def of(cls, x: Array) -> Self:
        scale = power_of_two(np.abs(x).max(axis=0))
        columns = Wide(*_centred(x / scale))
        length = sqrt((columns * columns).sum())
        inverse = where(length.high > 0, 1.0 / where(length.high > 0, length, 1.0), 0.0)
        return cls(columns * inverse, inverse / scale[:, None])

    def pulled(self, pulls: Wide) -> Array:
        """The derivative to the columns, from that to them at the length 1."""
        return ((pulls - (pulls * self.units).sum() * self.units) * self.inverse).high


def _own(rows: slice, d: int) -> Flags:
    numbers = np.arange(d, dtype=np.int64)
    own: Flags = numbers[rows, None] == numbers
    return own


def _of_batch(n: int, value: float, slopes: Callable[[], tuple[Array, Array]]) -> tuple[Array, Pullbacks]:
    """One loss of all samples, and what their weights make of its derivatives."""

    def pullback(weights: Array) -> tuple[Array, Array]:
        whole = exact_sum(weights)
        first, second = slopes()
        return whole * first, whole * second

    return np.full(n, value), pullback


@loss(
    predictions={"first": EMBEDDING, "second": EMBEDDING},
    formula="∑ᵢ ((1 − b(i, i))² + λ·∑_(j ≠ i) b(i, j)²)",
    gradient="∂ℓ/∂b(i, j) = 2b(i, j) − 2 if i = j, else 2λ·b(i, j)",
    symbols={
        "b": "the correlation, over the samples of the batch, of a column of the first view and one of the second",
        "λ": "what two different columns count",
    },
    aliases=("barlow", alias("BarlowTwinsLoss", unbiased=True)),
    equals=(
        equal(
            "monai.losses.BarlowTwinsLoss(lambd=redundancy)(first, second)",
            unbiased=True,
            caveat="MONAI adds 1e-6 to each deviation.",
        ),
    ),
    reference="Zbontar et al. (2021), arXiv:2103.03230",
    properties=DIFFERENTIABLE | NON_NEGATIVE,
    coupling="batch",
    cost=OF_COLUMNS,
)
def barlow_twins(
    first: Array,
    second: Array,
    *,
    redundancy: Annotated[float, Ge(0), Le(1e6), Doc("What the correlations of different columns count.")] = 5e-3,
    unbiased: Annotated[
        bool, Doc("Whether columns are divided by deviations of n − 1 samples and their products by n, as in MONAI.")
    ] = False,
) -> tuple[Array, Pullbacks]:
    """Makes each column of two views the same, and different columns uncorrelated: neither views nor columns may be redundant.

    A column that does not vary over the batch has the correlation 0 with all, and the gradient 0.

    Use when: representations are learnt from two views of each sample without labels or negatives, with long vectors.
    Avoid when: batches are small: correlations over few samples are mostly chance.
    See also: vicreg, nt_xent, clip.
    """
    n, d = first.shape
    alike = beside(_centred(first)[0], _centred(second)[0])
    factor = (n - 1) / n if unbiased else 1.0

    def of_rows(rows: slice, cosines: Pair) -> tuple[Array, Array]:
        own: Flags = _own(rows, d)
        correlation = pair_multiply(cosines, constant(factor))
        missing = pair_add(constant(1.0), pair_negative(correlation))[0]
        costs = np.where(own, missing * missing, redundancy * correlation[0] * correlation[0])
        return costs.sum(axis=1), 2.0 * factor * np.where(own, -missing, redundancy * correlation[0])

    found = over_rows(d, d, alike.tile, of_rows)

    def exactly() -> tuple[Array, Array]:
        one, other = _Columns.of(first), _Columns.of(second)
        share = wide(n - 1.0) / float(n) if unbiased else wide(1.0)
        correlation = product(one.units, turned(other.units)) * share
        slope = share * 2.0 * where(_own(slice(0, d), d), correlation - 1.0, correlation * redundancy)
        return one.pulled(product(slope, other.units)).T, other.pulled(product(turned(slope), one.units)).T

    def slopes() -> tuple[Array, Array]:
        if small(d, d):
            return exactly()
        (of_first, _), (of_second, _) = alike.pulls(found.slopes(np.ones_like(found.values)))
        return of_first.T, of_second.T

    return _of_batch(n, exact_sum(found.values), slopes)


@loss(
    predictions={"first": EMBEDDING, "second": EMBEDDING},
    formula=("a·mean(p − q)² + ½b·(v(p) + v(q)) + c·(h(p) + h(q))"),
    gradient="∂ℓ/∂p = 2a/(n·d)·(p − q) + ½b·∂v + c·∂h",
    symbols={
        "p": "a number of the first view",
        "q": "the same number of the second view",
        "a": "what the difference of the views counts",
        "b": "what deviations below 1 count",
        "c": "what covariances count",
        "v": "of a view, the mean over its columns of max(0, 1 − s), s their standard deviation, eps added to its square",
        "h": "of a view, the sum of its squared covariances of different columns, over d",
    },
    aliases=("VICRegLoss", "vicreg_loss"),
    equals=(
        equal(
            "pytorch_metric_learning.losses.VICRegLoss(invariance_lambda=invariance, variance_mu=variance, "
            "covariance_v=covariance, eps=eps)(first, ref_emb=second)",
        ),
    ),
    reference="Bardes, Ponce and LeCun (2022), arXiv:2105.04906",
    properties=DIFFERENTIABLE | NON_NEGATIVE,
    coupling="batch",
    cost=OF_COLUMNS,
)
def vicreg(
    first: Array,
    second: Array,
    *,
    invariance: Annotated[float, Ge(0), Le(1e6), Doc("What the mean squared difference of the views counts.")] = 25.0,
    variance: Annotated[float, Ge(0), Le(1e6), Doc("What deviations of columns below 1 count.")] = 25.0,
    covariance: Annotated[float, Ge(0), Le(1e6), Doc("What covariances of different columns count.")] = 1.0,
    eps: Annotated[float, Gt(0), Le(1), Doc("Added to variances before their root is taken.")] = 1e-4,
) -> tuple[Array, Pullbacks]:
    """Brings two views together while each column keeps varying over the batch and no two columns vary alike.

    Deviations and covariances are of n − 1 samples; deviations count half for each view, as in pytorch-metric-learning.

    Use when: representations are learnt from two views without negatives, also views of different kinds.
    Avoid when: batches are so small that their deviations say little; or vectors are to be used at the length 1.
    See also: barlow_twins, nt_xent, mean_squared_error.
    """
    n, d = first.shape
    high, low = difference(first, second)
    squares: Array = (high * high).ravel()
    views = [_View(_centred(item)[0], eps) for item in (first, second)]
    value = exact_sum(
        np.concatenate(
            [
                np.full(1, invariance * exact_sum(squares) / (n * d)),
                *(variance / 2.0 / d * np.maximum(view.missing, 0.0) for view in views),
                *(covariance / d * view.covariances.values for view in views),
            ]
        )
    )

    def slopes() -> tuple[Array, Array]:
        apart = invariance * 2.0 / (n * d) * (high + low)
        of_views = [view.slopes(variance / 2.0 / d, covariance / d) for view in views]
        return of_views[0] + apart, of_views[1] - apart

    return _of_batch(n, value, slopes)


class _View:
    """The columns (d, n) of a view, each less its mean: how they vary, by themselves and together."""

    def __init__(self, columns: Array, eps: float) -> None:
        d, n = columns.shape
        self.columns, self.divisor = columns, float(max(n - 1, 1))
        rows = columns, np.zeros_like(columns)
        total = pair_sum(pair_multiply(rows, rows))
        self.deviation = pair_sqrt(pair_add(pair_divide(total, constant(self.divisor)), constant(eps)))
        self.missing: Array = pair_add(constant(1.0), pair_negative(self.deviation))[0][:, 0]
        """(d,): how much each deviation is below 1."""
        self.alike = beside(columns, columns, cosines=False)

        def of_rows(some: slice, products: Pair) -> tuple[Array, Array]:
            shared = np.where(_own(some, d), 0.0, products[0] / self.divisor)
            return (shared * shared).sum(axis=1), 2.0 * shared / self.divisor

        self.covariances = over_rows(d, d, self.alike.tile, of_rows)

    def slopes(self, variance: float, covariance: float) -> Array:
        """The derivatives to the view (n, d), where these are what deviations and covariances count."""
        narrow = np.where(self.missing > 0, -variance / (self.divisor * self.deviation[0][:, 0]), 0.0)[:, None]
        one, other = self.alike.pulls(self.covariances.slopes(np.full(len(self.columns), covariance)))
        return pair_add(pair_add(one, other), two_product(self.columns, narrow))[0].T
