"""−ln of the probability that a distribution gives an interval, or of its density at a point, and how that moves with it.

Ends are standard: those of the interval less the location, over the scale. Probabilities of an interval are written as sums
of what is not negative, or as what lies beyond both of its ends, so that none of their digits cancel.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import NamedTuple

import numpy as np

from app.losses.numerics.cancelling import HALF_LOG_2_PI, HALF_LOG_2_PI_LOW, cancels, put
from app.losses.numerics.logit import logit, plus
from app.losses.numerics.pairs import Pair, either, pair_add, pair_multiply
from app.losses.numerics.running import exp_of
from app.losses.numerics.special import special
from app.losses.numerics.stable import LOG_2, Array
from app.losses.numerics.wide import Wide, exp, expm1, log1p

ROOT_HALF, ROOT_HALF_PI, ROOT_DENSITY = 0.7071067811865476, 1.2533141373155003, 0.3989422804014327


class OfInterval(NamedTuple):
    values: Array
    slopes: Array
    """To the location, over the scale."""


class AtPoint(NamedTuple):
    main: Pair
    """−ln of the density but for the rest, unrounded: what is added to it may cancel."""
    rest: Array
    slopes: Array


def interval_surprise(distribution: str, lower: Pair, upper: Pair, width: Pair) -> OfInterval:
    """Of intervals, ∞ wide where an end is infinite."""
    with np.errstate(all="ignore"):  # what is not chosen may be anything
        return {"normal": _normal, "logistic": _logistic, "extreme": _extreme}[distribution](lower, upper, width)


def point_surprise(distribution: str, z: Pair, more: Pair) -> OfInterval:
    """Of the density at points, with something added."""
    with np.errstate(all="ignore"):
        found = {"normal": _normal_at, "logistic": _logistic_at, "extreme": _extreme_at}[distribution](z)
        high, low = pair_add(found.main, more)
        values = np.where(np.isfinite(found.main[0]), high + (np.where(np.isfinite(low), low, 0.0) + found.rest), np.inf)
        close = cancels(values, high)
        if close.any():
            there, rest = Wide(z[0][close], z[1][close]), _REST[distribution]
            put(values, close, (Wide(high[close], low[close]) + rest(there)).high)
        return OfInterval(values, found.slopes)


_REST: Mapping[str, Callable[[Wide], Wide]] = {
    "normal": lambda z: 0.0 * z + Wide(np.full(1, HALF_LOG_2_PI), np.full(1, HALF_LOG_2_PI_LOW)),
    "logistic": lambda z: 2.0 * log1p(exp(-abs(z))),
    "extreme": exp,
}
"""The rest of −ln of a density, unrounded."""

# --- logistic -----------------------------------------------------------------------------------------------------------


def _logistic_at(z: Pair) -> AtPoint:
    far = either(z[0] < 0, _minus(z), z)
    return AtPoint(far, 2.0 * np.log1p(exp_of(_minus(far))), -np.tanh(0.5 * (z[0] + z[1])))


def _logistic(lower: Pair, upper: Pair, width: Pair) -> OfInterval:
    """σ(b) − σ(a) is σ(b)·σ(−a)·(1 − e^(a − b)), and so is the slope, σ(−b) − σ(a), with both ends on one side."""
    a, b = logit(lower), logit(_minus(upper))
    beyond = sum(plus(lower, upper))
    before, after = a.sigmoid * (-b).sigmoid, (-a).sigmoid * b.sigmoid
    slopes = np.where(beyond > 0, before * np.expm1(-beyond), -after * np.expm1(np.minimum(beyond, 0.0)))
    one_sided = np.isinf(lower[0]) | np.isinf(upper[0])
    return OfInterval(
        b.softplus + a.softplus - _log_one_less_exp(width[0] + width[1]), np.where(one_sided, b.sigmoid - a.sigmoid, slopes)
    )


def _log_one_less_exp(x: Array) -> Array:
    """ln(1 − e⁻ˣ), whose digits are those of what is small."""
    return np.where(x > LOG_2, np.log1p(-np.exp(-x)), np.log(-np.expm1(-x)))


# --- extreme ------------------------------------------------------------------------------------------------------------


def _extreme_at(z: Pair) -> AtPoint:
    power = exp_of(z)
    return AtPoint(_minus(z), power, np.where(z[0] > 1.0, 1.0 - power, -np.expm1(z[0] + z[1])))


def _extreme(lower: Pair, upper: Pair, width: Pair) -> OfInterval:
    """e^(−e^a) − e^(−e^b) is e^(−e^a)·(1 − e^−d) with d = e^b − e^a."""
    power, wide = np.where(np.isneginf(lower[0]), 0.0, exp_of(lower)), width[0] + width[1]
    above = np.where(np.isinf(upper[0]), np.exp(upper[0]), exp_of(upper))
    d = np.where(np.isinf(above), np.inf, np.where(wide > 40.0, above - power, power * np.expm1(np.minimum(wide, 40.0))))
    log_d = upper[0] + (upper[1] + np.log(-np.expm1(-wide)))
    less = np.where(d > 0.5, np.log1p(-np.exp(-d)), np.where(d > 1e-290, np.log(-np.expm1(-d)), log_d))
    rest = np.where(d > 745.0, 0.0, np.where(d > 0, d / np.where(d > 0, np.expm1(d), 1.0), 1.0))
    slopes = rest - power
    close = cancels(slopes, power)
    if close.any():
        start, apart = (Wide(part[0][close], part[1][close]) for part in (lower, width))
        first = exp(start)
        between = first * expm1(apart)
        put(slopes, close, (between / expm1(between) - first).high)
    return OfInterval(power - less, slopes)


# --- normal -------------------------------------------------------------------------------------------------------------


def _normal_at(z: Pair) -> AtPoint:
    high, low = pair_multiply(z, z)
    return AtPoint((0.5 * high, 0.5 * low), np.full_like(high, HALF_LOG_2_PI), -(z[0] + z[1]))


def _normal(lower: Pair, upper: Pair, width: Pair) -> OfInterval:
    """Turned so that its middle is not below 0: by quadrature where it is narrow, else by the tails beyond its ends."""
    turned = lower[0] + upper[0] < 0
    a, b = either(turned, _minus(upper), lower), either(turned, _minus(lower), upper)
    whole, bounded = np.isneginf(a[0]) & np.isposinf(b[0]), np.isfinite(a[0]) & np.isfinite(b[0])
    half, middle = 0.5 * (width[0] + width[1]), np.abs(0.5 * sum(pair_add(a, b)))
    rate = np.where(bounded, middle * half, 0.0)
    near = bounded & ((half < 0.7) | (a[0] > 0)) & (rate < 1.0) & (half < 3.0)
    beyond = _beyond(a)
    # of an interval above 0, its upper tail as a share of its lower one; of one around 0, both tails are missing in 1
    log_share = -2.0 * rate + np.log(_steepness(a[0]) / _steepness(b[0]))
    above = OfInterval(
        beyond.values - np.log1p(-np.exp(log_share)), np.expm1(-2.0 * rate) * _steepness(a[0]) / -np.expm1(log_share)
    )
    missing = _tail(_minus(a)) + _tail(b)
    around = OfInterval(-np.log1p(-missing), _density(a) * np.expm1(-2.0 * rate) / (1.0 - missing))
    narrow = _quadrature(np.where(near, middle, 0.0), np.where(near, half, 1.0))
    values, slopes = (
        np.where(whole, 0.0, np.where(np.isinf(b[0]), one, np.where(near, two, np.where(a[0] > 0, three, four))))
        for one, two, three, four in zip(beyond, narrow, above, around, strict=True)
    )
    slopes = np.where(np.isnan(slopes), -a[0], slopes)  # beyond the range, that of the nearer end
    return OfInterval(np.where(np.isnan(values), np.inf, values), np.where(turned, -slopes, slopes))


def _minus(x: Pair) -> Pair:
    return -x[0], -x[1]


@cache
def _nodes() -> tuple[Array, Array]:
    """The nodes of Gauss and Legendre in [−1, 1], and their weights."""
    nodes, weights = np.polynomial.legendre.leggauss(24)
    return np.asarray(nodes, np.float64), np.asarray(weights, np.float64)


def _quadrature(middle: Array, half: Array) -> OfInterval:
    """∫ e^(−middle·t − t²/2) over ±half, by nodes and weights: no term is negative."""
    nodes, weights = _nodes()
    t = half[:, None] * nodes
    total = half * (weights * np.exp(-middle[:, None] * t - 0.5 * t * t)).sum(axis=1)
    values: Array = 0.5 * middle * middle + (HALF_LOG_2_PI - np.log(total))
    near_one = 0.5 * middle * middle < 1.0
    values = np.where(near_one, -np.log(np.exp(-0.5 * middle * middle - HALF_LOG_2_PI) * total), values)
    return OfInterval(values, -2.0 * np.exp(-0.5 * half * half) * np.sinh(middle * half) / total)


def _beyond(a: Pair) -> OfInterval:
    """Of all that is above an end."""
    low, steep = _tail(_minus(a)), _steepness(np.maximum(a[0], 0.0))
    square = pair_multiply(a, a)[0]
    near = -np.log(0.5 * np.asarray(special("erfc")(np.maximum(a[0], 0.0) * ROOT_HALF), np.float64))
    far = 0.5 * square + HALF_LOG_2_PI + np.log(steep)  # of which the last two cancel near 0
    values = np.where(a[0] > 0, np.where(a[0] < 1.5, near, far), -np.log1p(-low))
    slopes = np.where(a[0] > 0, -steep, -_density(a) / (1.0 - low))
    return OfInterval(np.where(np.isneginf(a[0]), 0.0, values), np.where(np.isneginf(a[0]), 0.0, slopes))


def _steepness(a: Array) -> Array:
    """The density at a, over what is above: 1 over the ratio of Mills, a itself far out."""
    ratio = ROOT_HALF_PI * np.asarray(special("erfcx")(np.minimum(a, 1e9) * ROOT_HALF), np.float64)
    return np.where(a > 1e9, a, 1.0 / ratio)


def _tail(a: Pair) -> Array:
    """What is above an end that is not below 0."""
    return np.where(np.isposinf(a[0]), 0.0, _density(a) / _steepness(np.maximum(a[0], -5.0)))


def _density(x: Pair) -> Array:
    high, low = pair_multiply(x, x)
    low = np.where(np.isfinite(low), low, 0.0)
    return np.where(np.isinf(x[0]), 0.0, exp_of((-0.5 * high, -0.5 * low))) * ROOT_DENSITY
