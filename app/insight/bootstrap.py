"""The bootstrap of a loss's value: samples, or clusters of them, drawn anew with replacement, again and again.

Up to FEW are drawn one by one. Of more, those that matter most are, and the others in strata of samples that hardly differ:
how many of a stratum are drawn is multinomial as before, and what they add up to is drawn from the normal distribution with
their mean and variance. The first two moments of the resampled value are the same, the time does not grow with n.
"""

import numpy as np
from numpy.typing import NDArray

from app.insight.labels import Codes
from app.insight.measured import Measured, Sums
from app.losses.numerics.stable import Array

FEW = 8192
DRAWN = 1 << 17
"""Numbers that are drawn at a time: a block of them is in memory."""
SINGLE = 32
"""Samples at each end of the influences that are drawn one by one."""
GROWTH = 1.5
"""How much larger each stratum is than the one before it, from an end towards the middle."""
MOST_LEFT_OUT = 2000
"""Samples up to which the value of a whole batch is computed without each of them in turn."""


def resampled(measured: Measured, clusters: Codes | None, resamples: int, seed: int, ordered: Array | None = None) -> Array:
    """The value of each resample (resamples,), NaN where one has none. The same seed gives the same bits.

    `ordered` are its losses in order, where they are known: of many samples, most of the time is spent on that.
    """
    rng = np.random.default_rng(seed)
    if measured.sums is None:
        return _one_by_one(measured, clusters, resamples, rng)
    sums = measured.sums.by(clusters)
    if sums.numerators.shape[1] <= FEW:
        return _of_few(sums, resamples, rng)
    return _of_many(sums, resamples, rng, ordered if sums.plain and sums.terms[0].power == 1 else None)


def left_out(measured: Measured, clusters: Codes | None) -> Array | None:
    """The value without each sample, or cluster, in turn; None where that takes too long."""
    sums = measured.sums
    if sums is not None:
        sums = sums.by(clusters)
        if sums.numerators.shape[1] > FEW:
            return None
        totals = [rows.sum(axis=1, keepdims=True) for rows in (sums.numerators, sums.divisors)]
        return sums.value(totals[0] - sums.numerators, totals[1] - sums.divisors)
    units = np.arange(measured.n) if clusters is None else clusters
    count = int(units.max()) + 1
    if count > MOST_LEFT_OUT:
        return None
    return np.array([measured.value_of(np.flatnonzero(units != unit)) for unit in range(count)])


def _one_by_one(measured: Measured, clusters: Codes | None, resamples: int, rng: "np.random.Generator") -> Array:
    if clusters is None:
        return np.array([measured.value_of(rng.integers(measured.n, size=measured.n)) for _ in range(resamples)])
    ends: Codes = np.cumsum(np.bincount(clusters))
    members: list[Codes] = np.split(np.argsort(clusters, kind="stable"), ends[:-1])
    draws: list[list[int]] = [rng.integers(len(members), size=len(members)).tolist() for _ in range(resamples)]
    return np.array([measured.value_of(np.concatenate([members[cluster] for cluster in drawn])) for drawn in draws])


@np.errstate(all="ignore")  # the mean of numbers near the end of the range
def _of_few(sums: Sums, resamples: int, rng: "np.random.Generator") -> Array:
    numerators, divisors = sums.numerators, sums.divisors
    n = numerators.shape[1]
    alike = [sums.plain or bool((row == row[0]).all()) for row in divisors]
    values = np.empty(resamples)
    step = max(1, DRAWN // n)
    for start in range(0, resamples, step):
        drawn = rng.integers(n, size=(min(step, resamples - start), n))
        top = np.array([row[drawn].sum(axis=1) for row in numerators])
        bottom = np.array(
            [
                np.full(len(drawn), n * row[0]) if same else row[drawn].sum(axis=1)
                for row, same in zip(divisors, alike, strict=True)
            ]
        )
        values[start : start + step] = sums.value(top, bottom)
    return values


def _of_many(sums: Sums, resamples: int, rng: "np.random.Generator", ordered: Array | None = None) -> Array:
    n = sums.numerators.shape[1]
    edges = _edges(n)
    sizes = np.diff(np.append(edges, n))
    strata = [slice(start, start + size) for start, size in zip(edges.tolist(), sizes.tolist(), strict=True)]
    if sums.plain:
        # influences are in proportion to the numerators, and in their order: no argsort, which takes five times as long
        ordered = np.sort(sums.numerators[0]) if ordered is None else ordered
        _, slope = sums.slope(0)
        spread = np.array([float(ordered[stratum].var()) for stratum in strata]) * slope**2
        tops = np.array([[float(ordered[stratum].mean()) for stratum in strata]])
        bottoms = np.repeat(sums.divisors[:, :1], sizes.size, axis=1)
    else:
        influences = sums.influences()
        order = np.argsort(influences, kind="stable")
        spread = np.array([float(influences[order[stratum]].var()) for stratum in strata])
        tops, bottoms = (
            np.array([rows[:, order[stratum]].mean(axis=1) for stratum in strata]).T for rows in (sums.numerators, sums.divisors)
        )
    values = np.empty(resamples)
    step = max(1, DRAWN // sizes.size)
    for start in range(0, resamples, step):
        counts = rng.multinomial(n, sizes / n, size=min(step, resamples - start)).astype(np.float64)
        # einsum and not @: BLAS may add in another order with other threads
        top, bottom = (np.einsum("rs,gs->gr", counts, rows) for rows in (tops, bottoms))
        within = np.sqrt(np.einsum("rs,s->r", counts, spread)) * rng.standard_normal(len(counts))
        values[start : start + step] = sums.value(top, bottom) + within
    return values


def _edges(n: int) -> NDArray[np.intp]:
    """Where strata of n ordered samples begin: single ones at both ends, larger ones towards the middle."""
    sizes, left = [1] * SINGLE, n // 2 - SINGLE
    size = 1.0
    while left > 0:
        size *= GROWTH
        sizes.append(min(left, int(np.ceil(size))))
        left -= sizes[-1]
    ends = np.cumsum(sizes)
    starts = np.concatenate([[0], ends])
    mirrored = n - ends
    return np.unique(np.concatenate([starts, mirrored])).astype(np.intp)
