"""Whether as many targets lie below predicted quantiles, or between the ends of an interval, as should."""

import math
from typing import NamedTuple

import numpy as np

from app.insight.readings import Ends, ends_of, quantiles_of, weights_of
from app.insight.significance import normal_quantile
from app.losses.batch import Batch
from app.losses.numerics.stable import Array


class Share(NamedTuple):
    """A predicted quantile, and the share of targets at or below it with Wilson's interval (1927)."""

    expected: float
    observed: float
    interval: tuple[float, float]


class Coverage(NamedTuple):
    """Of one quantile, its share; of several, that of targets between the lowest and the highest, and how far these are apart."""

    expected: float
    observed: float
    interval: tuple[float, float]
    width: float | None
    quantiles: tuple[Share, ...]


def coverage(batch: Batch, confidence: float) -> Coverage | None:
    """None for a loss that predicts neither quantiles nor an interval, or where no sample that counts has all of them."""
    ends = ends_of(batch)
    if ends is not None:
        return _of_ends(ends, weights_of(batch), confidence)
    found = quantiles_of(batch)
    if found is None:
        return None
    levels, which = found
    predictions, targets = (np.asarray(array[:], np.float64) for array in batch.arrays[:2])
    below, weights = (targets <= predictions).astype(np.float64), weights_of(batch)
    shares = tuple(
        share_of(float(level), weights[which == code], below[which == code], confidence)
        for code, level in enumerate(levels)
        if (which == code).any()
    )
    if levels.size == 1:
        return Coverage(*shares[0], None, shares) if shares else None
    low, high = int(levels.argmin()), int(levels.argmax())
    ends = _grid(batch, predictions)[:, [low, high]]
    target, weight = (_grid(batch, array)[:, low] for array in (targets, weights))
    whole = np.isfinite(ends).all(axis=1)
    if not whole.any():
        return None
    ends, target, weight = ends[whole], target[whole], weight[whole]
    inside = ((ends[:, 0] <= target) & (target <= ends[:, 1])).astype(np.float64)
    width = float((weight * (ends[:, 1] - ends[:, 0])).sum() / weight.sum())
    return Coverage(*share_of(float(levels[high] - levels[low]), weight, inside, confidence), width, shares)


def _of_ends(interval: Ends, weights: Array, confidence: float) -> Coverage:
    lower, upper, target, outside = interval
    above, below = (target >= lower).astype(np.float64), (target <= upper).astype(np.float64)
    shares = (
        share_of(outside / 2.0, weights, (target <= lower).astype(np.float64), confidence),
        share_of(1.0 - outside / 2.0, weights, below, confidence),
    )
    width = float((weights * (upper - lower)).sum() / weights.sum())
    return Coverage(*share_of(1.0 - outside, weights, above * below, confidence), width, shares)


def _grid(batch: Batch, numbers: Array) -> Array:
    """Numbers (m,) of the elements that count as (n, d), NaN for the others."""
    whole = np.full(math.prod(batch.elements), np.nan)
    whole[slice(None) if batch.kept is None else batch.kept] = numbers
    return whole.reshape(-1, batch.elements[-1])


def share_of(expected: float, weights: Array, below: Array, confidence: float) -> Share:
    """How much of the weight lies there; the interval is that of Kish's effective number of samples."""
    total = float(weights.sum())
    share = float((weights * below).sum()) / total
    effective = total * total / float(np.square(weights).sum())
    return Share(expected, share, wilson(share, effective, confidence))


def wilson(share: float, n: float, confidence: float) -> tuple[float, float]:
    """The interval of a share of n."""
    z = normal_quantile(0.5 + confidence / 2.0)
    middle = (share + z * z / (2 * n)) / (1.0 + z * z / n)
    reach = z / (1.0 + z * z / n) * math.sqrt(share * (1.0 - share) / n + z * z / (4 * n * n))
    return max(0.0, middle - reach), min(1.0, middle + reach)
