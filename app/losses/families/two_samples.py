"""Losses of two sets of samples, predicted ones and true ones: whether both look drawn from the same distribution.

No predicted sample has a true one of its own: what counts are the distances of all to all. They are of the whole batch: each
sample has the same loss, so that a mean is that loss, and weights change nothing but a sum.
"""

from collections.abc import Callable
from typing import Annotated, TypeAlias

import numpy as np
from annotated_types import Ge, Le
from typing_extensions import Doc

from app.domains import Interval
from app.errors import Fault, InvalidParameter
from app.losses.cost import Cost
from app.losses.encodings import numbers, steps
from app.losses.loss import DIFFERENTIABLE, NON_NEGATIVE, ZERO_AT_TARGET, Pullback, loss
from app.losses.numerics.pairs import pair_sum
from app.losses.numerics.products import tiles
from app.losses.numerics.similarities import Distances, Flags, vectors
from app.losses.numerics.small_batches import all_of, pulls_apart, small
from app.losses.numerics.stable import Array, exact_sum
from app.losses.numerics.transport import Transport
from app.losses.numerics.wide import Wide, expm1, where, wide
from app.registry import alias

POINT = numbers("point", "a vector for each sample, its numbers within ±1e100", Interval(-1e100, 1e100), steps(-2, 2), axes="n d")
OfDistance: TypeAlias = Callable[[Wide], tuple[Wide, Wide]]
"""Distances (a, m) -> what they cost, and its derivative to each."""


def _of_batch(n: int, value: float, slopes: Callable[[], Array]) -> tuple[Array, Pullback]:
    """One loss of all samples, and what their weights make of its derivative."""

    def pullback(weights: Array) -> Array:
        return exact_sum(weights) * slopes()

    return np.full(n, value), pullback


def _discrepancy(predictions: Array, targets: Array, of_distance: OfDistance, own: float) -> tuple[float, Callable[[], Array]]:
    """What two samples of different sets cost, twice, less what two of the same set do; `own` pairs are in each set."""
    n = len(predictions)
    apart = Distances(vectors(np.concatenate((predictions, targets))))
    predicted = np.arange(2 * n, dtype=np.int64) < n
    blocks = tiles(2 * n, 2 * n)

    def same(rows: slice) -> Flags:
        alike: Flags = predicted[rows, None] == predicted
        return alike

    sums = np.empty((2, 2, 2 * n))
    for rows in blocks:
        high, low = of_distance(Wide(*apart.tile(rows)))[0].pair
        for place, which in enumerate((same(rows), ~same(rows))):
            total = pair_sum((np.where(which, high, 0.0), np.where(which, low, 0.0)))
            sums[place, 0, rows], sums[place, 1, rows] = total[0][:, 0], total[1][:, 0]
    within, between = (Wide(*sums[place]).sum() for place in (0, 1))

    def slopes() -> Array:
        if small(2 * n, 2 * n):
            share = where(same(slice(None)), wide(-1.0) / own, wide(1.0) / float(n * n))
            return pulls_apart(apart, of_distance(all_of(apart))[1] * share)[:n]

        def of(rows: slice) -> Array:
            return np.where(same(rows), -1.0 / own, 1.0 / (n * n)) * of_distance(Wide(*apart.tile(rows)))[1].high

        return apart.pulls(of)[:n]

    return float((between / float(n * n) - within / own).high[0]), slopes


@loss(
    predictions=POINT,
    targets=POINT,
    formula="(2·∑ᵢ ∑ⱼ ‖pᵢ − yⱼ‖ − ∑ᵢ ∑ⱼ ‖pᵢ − pⱼ‖ − ∑ᵢ ∑ⱼ ‖yᵢ − yⱼ‖)/n²",
    gradient="2/n²·∑ᵢ (u(pⱼ − yᵢ) − u(pⱼ − pᵢ))",
    symbols={"i": "a sample", "u": "a vector over its length, 0 of a vector of zeros"},
    aliases=("energy_statistic", "cramer_distance"),
    reference="Székely and Rizzo (2013), doi:10.1016/j.jspi.2013.03.018",
    properties=DIFFERENTIABLE | NON_NEGATIVE | ZERO_AT_TARGET,
    coupling="batch",
    cost=Cost(beyond={"n²": 2000.0, "n²·d": 16.0}),
)
def energy_distance(predictions: Array, targets: Array) -> tuple[Array, Pullback]:
    """How much farther predicted samples are from true ones than samples of one set are from each other.

    Of one number each it is twice the squared distance of both distribution functions, over all thresholds.

    Use when: a generator's samples are to have the distribution of the data, and no bandwidth shall be chosen.
    Avoid when: each prediction has a target of its own: the order of either set does not matter here.
    See also: mmd, sinkhorn, energy_score, wasserstein_1d.
    """
    n = len(predictions)
    value, slopes = _discrepancy(
        predictions, targets, lambda distance: (distance, wide(np.ones_like(distance.high))), float(n * n)
    )
    return _of_batch(n, max(value, 0.0), slopes)


@loss(
    predictions=POINT,
    targets=POINT,
    formula=(
        "(∑ᵢ ∑ⱼ h(pᵢ, pⱼ) + ∑ᵢ ∑ⱼ h(yᵢ, yⱼ))/c − 2·∑ᵢ ∑ⱼ h(pᵢ, yⱼ)/n²; h(a, b) = exp(−½‖a − b‖²/σ²); "
        "c = n(n − 1) if unbiased, else n²"
    ),
    gradient="2/σ²·∑ᵢ (h(pⱼ, yᵢ)·(pⱼ − yᵢ)/n² − h(pⱼ, pᵢ)·(pⱼ − pᵢ)/c)",
    symbols={
        "i": "a sample",
        "j": "a sample; with unbiased = true, of the same set only another one",
        "σ": "the bandwidth",
        "a": "a vector",
        "b": "a vector",
    },
    aliases=("maximum_mean_discrepancy", "MMD", "MMDLoss", alias("mmd_unbiased", unbiased=True)),
    reference="Gretton, Borgwardt, Rasch, Schölkopf and Smola (2012), https://jmlr.org/papers/v13/gretton12a.html",
    properties=DIFFERENTIABLE,
    coupling="batch",
    cost=Cost(beyond={"n²": 6000.0, "n²·d": 16.0}),
)
def mmd(
    predictions: Array,
    targets: Array,
    *,
    bandwidth: Annotated[float, Ge(1e-50), Le(1e50), Doc("Distance at which two samples are no longer alike.")] = 1.0,
    unbiased: Annotated[
        bool, Doc("Whether a sample is not compared with itself: right on average, and below 0 now and then.")
    ] = False,
) -> tuple[Array, Pullback]:
    """The squared distance of the means of two sets, each sample taken as a bell around it (maximum mean discrepancy).

    Use when: a generator or an encoder shall match a distribution, and the scale on which samples differ is known.
    Avoid when: that scale is not known: a bandwidth far off sees nothing, where energy_distance has none to choose.
    See also: energy_distance, sinkhorn, contrastive.
    """
    n = len(predictions)
    if unbiased and n == 1:
        message = "unbiased needs two samples or more in each set"
        raise InvalidParameter([Fault(("parameters", "unbiased"), "out_of_range", message)])

    def of_distance(distance: Wide) -> tuple[Wide, Wide]:
        share = distance / bandwidth
        fallen = expm1(-0.5 * share * share)
        return -fallen, share * (1.0 + fallen) / bandwidth

    value, slopes = _discrepancy(predictions, targets, of_distance, float(n * (n - 1) if unbiased else n * n))
    return _of_batch(n, value if unbiased else max(value, 0.0), slopes)


@loss(
    predictions=POINT,
    targets=POINT,
    formula="W(p, y) − ½·W(p, p) − ½·W(y, y) if debias, else W(p, y); W(a, b) = mean f + mean g",
    gradient="∂ℓ/∂pⱼ = ∂W(p, y)/∂pⱼ − ½·∂W(p, p)/∂pⱼ if debias, else ∂W(p, y)/∂pⱼ",
    symbols={
        "W": "the cost of moving one set onto another, less ε times the entropy of the plan",
        "a": "a set",
        "b": "a set",
        "f": "what each sample of the first set pays, −ε·ln mean exp((g − ½‖aᵢ − b‖²)/ε), after so many iterations",
        "g": "what each of the second pays, −ε·ln mean exp((f − ½‖a − bⱼ‖²)/ε)",
    },
    aliases=("sinkhorn_divergence", "SamplesLoss", alias("entropic_wasserstein", debias=False), alias("sinkhorn2", debias=False)),
    reference="Cuturi (2013), arXiv:1306.0895; debias: Feydy et al. (2019), arXiv:1810.08278",
    properties=DIFFERENTIABLE,
    coupling="batch",
    cost=Cost(beyond={"n²·d": 50.0, "n²": 30_000.0}),
)
def sinkhorn(
    predictions: Array,
    targets: Array,
    *,
    epsilon: Annotated[float, Ge(1e-6), Le(1e6), Doc("How much the plan is blurred, as half a squared distance.")] = 0.1,
    iterations: Annotated[int, Ge(1), Le(100), Doc("How often both sides are set right: more for a small epsilon.")] = 50,
    debias: Annotated[bool, Doc("Whether what each set costs beside itself is taken off, so that equal sets cost 0.")] = True,
) -> tuple[Array, Pullback]:
    """What it costs to move the predicted samples onto the true ones by the best blurred plan: optimal transport, smoothed.

    A pair costs half its squared distance. Value and gradient are those of just so many iterations from nothing, and agree with
    each other wherever these end. Once they have settled, more change nothing.

    Use when: sets of samples are matched as wholes, and their geometry counts: a mass that is far off is pulled from afar.
    Avoid when: batches are large: every iteration looks at all pairs. Of sorted numbers, wasserstein_1d is exact.
    See also: energy_distance, mmd, wasserstein_1d, aot.
    """

    def transport(one: Array, other: Array) -> Transport:
        return Transport(one, other, epsilon, iterations)

    moved = transport(predictions, targets)
    if not debias:
        return _of_batch(len(predictions), moved.value, lambda: moved.slopes()[0])
    alone = transport(predictions, predictions)
    value = moved.value - 0.5 * (alone.value + transport(targets, targets).value)

    def slopes() -> Array:
        of_first, of_second = alone.slopes()
        return moved.slopes()[0] - 0.5 * (of_first + of_second)

    return _of_batch(len(predictions), value, slopes)
