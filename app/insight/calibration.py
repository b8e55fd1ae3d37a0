"""Whether what is said to be probable by so much comes true as often: reliability in bins, and what scores are made of."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.insight.distribution import quantiles_of_ordered
from app.insight.pieces import pieces
from app.insight.readings import probabilities_of, weights_of
from app.losses.batch import Batch
from app.losses.numerics.stable import Array, xlogy

FEW_EDGES = 20


class Bin(NamedTuple):
    """Predictions that lie next to each other."""

    n: int
    mean_prediction: float
    observed: float


class Score(NamedTuple):
    """A score as its parts: reliability − resolution + uncertainty + within_bin (Murphy 1973)."""

    score: float
    reliability: float
    resolution: float
    uncertainty: float
    within_bin: float


class Calibration(NamedTuple):
    """Bins of about as many predictions each, and what follows from them."""

    bins: tuple[Bin, ...]
    ece: float
    ece_if_calibrated: float
    brier: Score
    log_loss: Score


def calibration(batch: Batch, bins: int) -> Calibration | None:
    """None for a loss whose predictions are no probabilities of classes."""
    found = probabilities_of(batch)
    if found is None:
        return None
    predicted, outcome = found
    weights = weights_of(batch)
    edges = quantiles_of_ordered(np.sort(predicted), np.linspace(0.0, 1.0, bins + 1))
    sums, scores = np.zeros((5, bins)), np.zeros(2)
    for piece in pieces(predicted.size):
        p, y, w = predicted[piece], outcome[piece], weights[piece]
        which = _bin_of(p, edges[1:-1])
        with np.errstate(all="ignore"):
            surprise = -xlogy(y, p) - xlogy(1.0 - y, 1.0 - p)
            scores += (np.square(p - y) * w).sum(), (surprise * w).sum()
        for total, terms in zip(sums, (np.ones_like(p), w, w * p, w * y, np.square(w) * p * (1.0 - p)), strict=True):
            total += np.bincount(which, terms, bins)
    n, weight, of_predicted, of_outcome, variance = sums[:, sums[0] > 0]
    total = float(weight.sum())
    share = weight / total
    mean, rate = (np.clip(part / weight, 0.0, 1.0) for part in (of_predicted, of_outcome))
    variance = variance / np.square(weight)
    base = min(float(of_outcome.sum()) / total, 1.0)
    brier = _parts(
        float(scores[0]) / total,
        float((share * np.square(mean - rate)).sum()),
        float((share * np.square(rate - base)).sum()),
        base * (1.0 - base),
    )
    with np.errstate(all="ignore"):
        log_loss = _parts(
            float(scores[1]) / total,
            float((share * _divergence(rate, mean)).sum()),
            float((share * _divergence(rate, np.full_like(rate, base))).sum()),
            float(-xlogy(np.array([base, 1.0 - base]), np.array([base, 1.0 - base])).sum()),
        )
    return Calibration(
        tuple(Bin(int(size), float(p), float(o)) for size, p, o in zip(n, mean, rate, strict=True)),
        float((share * np.abs(rate - mean)).sum()),
        float((share * np.sqrt(2.0 * variance / math.pi)).sum()),
        brier,
        log_loss,
    )


def _bin_of(p: Array, inner: Array) -> NDArray[np.intp]:
    """How many of the edges lie below each number: for few of them, counting takes a third of the time of a search."""
    if inner.size > FEW_EDGES:
        return np.searchsorted(inner, p)
    below = np.zeros(p.size, np.intp)
    for edge in inner:
        below += p > edge
    return below


def _parts(score: float, reliability: float, resolution: float, uncertainty: float) -> Score:
    return Score(score, reliability, resolution, uncertainty, score - (reliability - resolution + uncertainty))


def _divergence(rate: Array, mean: Array) -> Array:
    """KL(rate ‖ mean) of two probabilities, 0·log 0 = 0."""
    one = xlogy(rate, rate) - xlogy(rate, mean)
    other = xlogy(1.0 - rate, 1.0 - rate) - xlogy(1.0 - rate, 1.0 - mean)
    return np.maximum(one + other, 0.0)
