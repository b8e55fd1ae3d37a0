"""How the losses of many elements become one number: the means, each with its derivative.

A mean takes the losses l (m,) and weights w (m,) or None, and gives the value with the factor d(value)/d(l), which is
what the gradient of each element is multiplied by. For most losses that factor is w/Σw; the root mean square, the median
and the maximum are means of another kind, and are declared as such by the loss.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.losses.numerics.pairs import row_sums_exact
from app.losses.numerics.rows import row_sums
from app.losses.numerics.stable import Array, Partial, exact_sum, power_of_two, recovered, sum_of_parts

SPARE = 64
"""Powers of two by which numbers are made smaller where their sum overflows: there are not so many of them."""

OfAll: TypeAlias = Callable[[Array, Array | None, float], tuple[float, Array]]


@dataclass(frozen=True)
class Mean:
    """A mean of losses: of each sample's elements (n, d) -> (n,), and of all elements (m,) -> value."""

    name: str
    of_rows: Callable[[Array, Array | None], tuple[Array, Array | None]]
    """values (n, d), and the share of each in its row or None for 1/d -> the mean of each row, and its derivative to each value
    over the share of that; None where that is 1."""
    of_all: OfAll | None = None
    """losses (m,), weights (m,) or None, divisor -> value and its derivative to each loss (m,); None: Σwl / divisor."""
    sums: bool = True
    """Whether `sum` and `mean_over_samples` mean anything beside `mean`."""
    by_column: bool = False
    """Whether it is taken of the elements in each column, and the columns' are averaged."""
    power: int | None = None
    """The value is this root of the mean of losses to this power; None where it is no function of such a mean."""


@cache
def of_columns(mean: Mean) -> Mean:
    """The plain average of the mean of each column."""
    return replace(mean, name=f"mean over columns of their {mean.name}", of_rows=_arithmetic_of_rows, by_column=True)


def average_of_columns(
    of_all: OfAll, losses: Array, weights: Array | None, columns: Iterable[tuple[NDArray[np.intp], float]]
) -> tuple[float, Array]:
    """The value and its derivative to each loss, where each column is (the places of its losses, its divisor)."""
    values: list[float] = []
    slope = np.zeros_like(losses)
    for places, divisor in columns:
        value, slope[places] = of_all(losses[places], None if weights is None else weights[places], divisor)
        values.append(value)
    return exact_sum(np.array(values)) / len(values), slope / len(values)


def divisor_of(size: int, weights: Array | None, counts: Array | None) -> float:
    """What a mean divides by: the sum of weights (m,) times counts (m,), each 1 where there are none."""
    shares = counted(weights, counts)
    return float(size) if shares is None else exact_sum(shares)


def counted(weights: Array | None, counts: Array | None) -> Array | None:
    """What each loss counts in the divisor of a mean (m,); None for 1 each."""
    if weights is None or counts is None:
        return counts if weights is None else weights
    return weights * counts


def shares_of(weights: Array) -> Array:
    """Weights (n, d) as shares of the sum of their row, 0 where that is 0."""
    sums = weights.sum(axis=1, keepdims=True)
    return np.divide(weights, sums, out=np.zeros_like(weights), where=sums > 0)


def weighted(losses: Array, weights: Array | None) -> Array:
    """Losses (m,) times their weights; a weight of 0 leaves nothing of any loss."""
    return losses if weights is None else np.where(weights == 0, 0.0, losses * weights)


def reduced(
    mean: Mean, losses: Array, weights: Array | None, divisor: float, parts: Sequence[Partial] | None = None
) -> tuple[float, Array | None]:
    """The value, and its derivative to each loss (m,), None where that is weight / divisor.

    `parts` are the partial sums of the weighted losses, where these have been made already.
    """
    if mean.of_all is not None:
        return mean.of_all(losses, weights, divisor)

    if parts is not None:
        total = sum_of_parts(parts, lambda: weighted(losses, weights))
    else:
        total = exact_sum(losses if weights is None else weighted(losses, weights))
    value = total / divisor
    if not math.isfinite(value) and np.isfinite(terms := weighted(losses, weights)).all():
        value = float(np.ldexp(exact_sum(np.ldexp(terms, -SPARE)) / divisor, SPARE))  # the sum overflows where the mean need not
    return value, None


def scale(gradient: Array, weights: Array | None, divisor: float, out: Array) -> None:
    """out = gradient · weights / divisor, row by row; a weight of 0 gives 0 even where the gradient is infinite."""
    if weights is not None:
        column = weights.reshape(-1, *(1,) * (gradient.ndim - 1))
        gradient = gradient * column
        if not np.logical_and.reduce(weights, axis=None):
            gradient = np.where(column == 0, 0.0, gradient)
    if math.frexp(divisor)[0] == 0.5 and 1e-300 < divisor < 1e300:  # a power of two has an exact reciprocal
        np.multiply(gradient, 1.0 / divisor, out=out)
    else:
        np.divide(gradient, divisor, out=out)


def in_units(weights: Array) -> tuple[Array, float]:
    """Weights (m,) as multiples of a power of two about as large as the largest, and that power.

    Multiples of a moderate size keep their digits when losses are multiplied by them, and means do not see the unit.
    """
    unit = math.ldexp(1.0, min(max(math.frexp(weights.max())[1], -900), 900))
    return weights * (1.0 / unit), unit


def _arithmetic_of_rows(values: Array, shares: Array | None) -> tuple[Array, None]:
    terms = values if shares is None else np.where(shares == 0, 0.0, shares * values)
    sums = row_sums(terms)
    if terms.min() < 0:
        cancelled = np.abs(sums) < row_sums(np.abs(terms)) / 4.0
        if cancelled.any():
            sums[cancelled] = row_sums_exact(terms[cancelled])
    if shares is not None:
        return sums, None
    columns = values.shape[1]
    # the sum may overflow though the mean is finite
    return recovered(sums / columns, lambda: row_sums(values / columns)), None


def _scaled(magnitudes: Array) -> tuple[Array, Array]:
    """Magnitudes (m, d) as a factor (m, 1) times numbers whose squares are safe; infinite ones leave nothing of the others."""
    largest = magnitudes.max(axis=1, keepdims=True)
    infinite = np.isinf(largest)
    factor = np.where(infinite, np.inf, power_of_two(largest))
    return factor, np.where(infinite, np.isinf(magnitudes), magnitudes / np.where(infinite, 1.0, factor))


def _quadratic_of_rows(values: Array, shares: Array | None) -> tuple[Array, Array]:
    factor, scaled = _scaled(values if shares is None else np.where(shares == 0, 0.0, values))
    if shares is None:
        norm = np.sqrt((scaled * scaled).sum(axis=1, keepdims=True))
        root = np.sqrt(values.shape[1])
        unit = np.divide(scaled, norm, out=np.zeros_like(scaled), where=norm > 0)
        return (norm / root * factor)[:, 0], unit * root
    norm = np.sqrt((shares * scaled * scaled).sum(axis=1, keepdims=True))
    return (norm * factor)[:, 0], np.divide(scaled, norm, out=np.zeros_like(scaled), where=norm > 0)


def _quadratic_of_all(losses: Array, weights: Array | None, divisor: float) -> tuple[float, Array]:
    kept = losses if weights is None else np.where(weights == 0, 0.0, losses)
    factor, (scaled,) = _scaled(kept[None])
    weighted = scaled if weights is None else scaled * weights
    norm, root = np.sqrt(exact_sum(weighted * scaled)), np.sqrt(divisor)
    slope = weighted / norm / root if norm > 0 else np.zeros_like(losses)
    return float(norm / root * factor[0, 0]), slope


def _median_of_all(losses: Array, weights: Array | None, divisor: float) -> tuple[float, Array]:
    order = np.argsort(losses, kind="stable")
    kept = order if weights is None else order[weights[order] > 0]
    reach: Array = np.cumsum(np.ones(kept.size) if weights is None else weights[kept])
    half = float(reach[-1]) / 2
    first, after = int(reach.searchsorted(half, side="left")), int(reach.searchsorted(half, side="right"))
    low, high = kept[first], kept[min(after, kept.size - 1)]
    slope = np.zeros_like(losses)
    slope[low] += 0.5
    slope[high] += 0.5
    return float(losses[low] / 2 + losses[high] / 2), slope


def _maximum_of_all(losses: Array, weights: Array | None, divisor: float) -> tuple[float, Array]:
    first = int(np.argmax(losses if weights is None else np.where(weights > 0, losses, -np.inf)))
    slope = np.zeros_like(losses)
    slope[first] = 1.0
    return float(losses[first]), slope


def _only(losses: Array, weights: Array | None, divisor: float) -> tuple[float, Array]:
    slope = np.zeros_like(losses)
    slope[0] = 1.0
    return float(losses[0]), slope


ARITHMETIC = Mean("mean", _arithmetic_of_rows, power=1)
QUADRATIC = Mean("root mean square", _quadratic_of_rows, _quadratic_of_all, power=2)
MEDIAN = Mean("median", _arithmetic_of_rows, _median_of_all, sums=False)
MAXIMUM = Mean("maximum", _arithmetic_of_rows, _maximum_of_all, sums=False)
POOLED = Mean("one loss of the whole batch in place", _arithmetic_of_rows, _only, sums=False)
"""Of losses that are all the same number."""
