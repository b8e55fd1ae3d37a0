"""How the losses of samples are distributed: moments, quantiles, a histogram, the worst of them, how few make up the whole."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.insight.measured import Measured
from app.insight.pieces import powers
from app.losses.numerics.stable import Array

QUANTILES: tuple[str, ...] = ("0.01", "0.05", "0.25", "0.5", "0.75", "0.95", "0.99")
TOP = (0.01, 0.05, 0.1, 0.2, 0.5)
"""Shares of the samples of which it is said how much of the loss is theirs."""
LORENZ_POINTS = 101
MOST_BARS = 100


class Histogram(NamedTuple):
    """How many of the losses lie between neighbouring edges."""

    edges: Array
    counts: NDArray[np.intp]


class Distribution(NamedTuple):
    """The losses, each sample's once."""

    std: float
    skewness: float | None
    min: float
    max: float
    quantiles: dict[str, float]
    histogram: Histogram | None


@dataclass(frozen=True)
class Worst:
    """A sample that costs much."""

    index: int
    loss: float
    share: float | None


class Top(NamedTuple):
    """The share of the loss that a share of the samples has, those with the largest."""

    samples: float
    loss: float


class Lorenz(NamedTuple):
    """The share of the loss that a share of the samples has, those with the smallest."""

    samples: Array
    loss: Array


class Concentration(NamedTuple):
    """How unequally the loss is shared by the samples."""

    gini: float
    top: tuple[Top, ...]
    lorenz: Lorenz
    sentence: str


def l_skewness(numbers: Array) -> float:
    """The third L-moment over the second (Hosking 1990, doi:10.1111/j.2517-6161.1990.tb01775.x), in [−1, 1]; 0 of two numbers.

    It is known from few samples, where the skewness of these depends on whether a rare large number is among them.
    """
    n = numbers.size
    if n < 3:
        return 0.0
    ordered, rank = np.sort(numbers), np.arange(n, dtype=np.float64)
    weights = 1.0, rank / (n - 1), rank * (rank - 1) / ((n - 1) * (n - 2))
    b0, b1, b2 = (float((weight * ordered).mean()) for weight in weights)
    second, third = 2 * b1 - b0, 6 * b2 - 6 * b1 + b0
    return third / second if second > 0 else 0.0


def moments(numbers: Array) -> tuple[float, float | None]:
    """Standard deviation (n − 1) and skewness of the population, None without variance; both NaN where one is infinite."""
    with np.errstate(all="ignore"):
        mean = float(numbers.mean())
    largest, square, cube = powers(numbers, mean)
    if not math.isfinite(largest):
        return math.nan, math.nan
    if largest <= 1e-14 * abs(mean):  # what rounding leaves
        return 0.0, None
    n = numbers.size
    return largest * math.sqrt(square / (n - 1)), cube / n / (square / n) ** 1.5


def distribution(losses: Array, ordered: Array) -> Distribution:
    """Of the losses (n,), and the same in order."""
    std, skewness = moments(losses)
    with np.errstate(all="ignore"):
        found = quantiles_of_ordered(ordered, np.array(list(map(float, QUANTILES))))
    quantiles: dict[str, float] = dict(zip(QUANTILES, found.tolist(), strict=True))
    return Distribution(std, skewness, float(ordered[0]), float(ordered[-1]), quantiles, histogram(ordered))


def quantiles_of_ordered(ordered: Array, shares: Array) -> Array:
    """Linear quantiles; infinite where a neighbour is."""
    place = shares * (ordered.size - 1)
    low = np.floor(place).astype(np.intp)
    high = np.minimum(low + 1, ordered.size - 1)
    part = place - low
    step = np.where(part > 0, part * (ordered[high] - ordered[low]), 0.0)
    return ordered[low] + step


def histogram(ordered: Array) -> Histogram | None:
    """Bars of one width, after Freedman and Diaconis (1981) and no fewer than Sturges' (1926); of the finite ones alone.

    No bar is narrower than what two numbers there can differ by: losses that are equal but for a rounding have one.
    """
    finite = ordered[np.isfinite(ordered)] if not np.isfinite(ordered[[0, -1]]).all() else ordered
    if not finite.size:
        return None
    n, span = finite.size, float(finite[-1] - finite[0])
    if not math.isfinite(span):
        return None
    quarter, three = quantiles_of_ordered(finite, np.array([0.25, 0.75]))
    width = 2.0 * float(three - quarter) / n ** (1.0 / 3.0)
    bars = min(MOST_BARS, max(math.ceil(math.log2(n)) + 1, math.ceil(min(span / width, MOST_BARS)) if width > 0 else 0))
    rounding = float(np.spacing(max(abs(float(finite[0])), abs(float(finite[-1])))))
    told_apart = max(1, int(span / rounding / 2.0))
    around = 0.5 if span == 0 and rounding < 0.5 else 0.0  # as NumPy has it around numbers that are all equal
    bars = bars if around else min(bars, told_apart)
    edges: Array = np.linspace(float(finite[0]) - around, float(finite[-1]) + around, bars + 1)
    below = np.concatenate([finite.searchsorted(edges[:-1], side="left"), [n]])
    return Histogram(edges, np.diff(below))


def worst(measured: Measured, ordered: Array, most: int) -> tuple[Worst, ...]:
    """The samples with the largest losses, which are given in order too, largest first; of equal ones the first."""
    losses, n = measured.losses, measured.n
    most = min(most, n)
    if not most:
        return ()
    places: NDArray[np.intp]
    places = np.flatnonzero(losses >= ordered[n - most]) if most < n // 4 else np.arange(n, dtype=np.intp)
    order = places[np.argsort(-losses[places], kind="stable")[:most]]
    with np.errstate(all="ignore"):
        terms = losses * measured.weights if _weighted(measured) else losses
        total = float(terms.sum())
    shared = _can_be_shared(ordered[:1], total)
    return tuple(
        Worst(int(measured.index[row]), float(losses[row]), float(terms[row]) / total if shared else None) for row in order
    )


def concentration(ordered: Array) -> Concentration | None:
    """How unequal the losses are, given in order; None where one is negative or infinite, or all are 0."""
    with np.errstate(all="ignore"):
        total = float(ordered.sum())
    if not _can_be_shared(ordered[[0, -1]], total):
        return None
    n = ordered.size
    running = np.cumsum(ordered)
    running /= running[-1]
    gini = (n + 1.0 - 2.0 * float(running.sum())) / n
    top = tuple(Top(share, 1.0 - float(_lorenz(running, np.array(1.0 - share)))) for share in TOP)
    samples = np.linspace(0.0, 1.0, min(LORENZ_POINTS, n + 1))
    shown = min(top, key=lambda entry: abs(entry.loss - 0.5))
    sentence = f"{_percent(shown.samples)} of the samples carry {_percent(shown.loss)} of the loss."
    return Concentration(max(gini, 0.0), top, Lorenz(samples, _lorenz(running, samples)), sentence)


def _lorenz(running: Array, samples: Array) -> Array:
    """The share of the loss below a share of the samples, from running shares (n,): linear between samples."""
    n = running.size
    place = np.clip(samples * n, 0.0, n)
    low = np.minimum(np.floor(place).astype(np.intp), n - 1)
    below = np.where(low > 0, running[low - 1], 0.0)
    return below + (place - low) * (running[low] - below)


def _can_be_shared(losses: Array, total: float) -> bool:
    return math.isfinite(total) and total > 0 and float(losses.min()) >= 0


def _weighted(measured: Measured) -> bool:
    return measured.weights.strides != (0,) and bool((measured.weights != measured.weights[0]).any())


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
