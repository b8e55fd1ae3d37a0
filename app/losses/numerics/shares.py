"""Losses of labels of which every class has a share: what the shares are, and the softmax seen through them.

A loss Σ shares · φ(p), with p the softmax of the row, has the gradient p·Σpulls − pulls, with pulls = −shares · p · φ′(p):
the shares themselves for the cross-entropy. The two terms cancel where a model has learnt its labels; there they are taken
in pairs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.losses.numerics.pairs import (
    Pair,
    by_columns,
    constant,
    either,
    log_pair,
    pair,
    pair_add,
    pair_divide,
    pair_exp,
    pair_log,
    pair_multiply,
    pair_negative,
    pair_sum,
    two_sum,
)
from app.losses.numerics.rows import Softmax, below_largest, row_starts, row_sums, scale_rows, softmax
from app.losses.numerics.stable import Array, recovered

Rows: TypeAlias = NDArray[np.intp]
Labels: TypeAlias = NDArray[np.int64]


class Smoothed(NamedTuple):
    """Shares that differ between rows by the label alone: what a class has as the label and otherwise, (k,) each."""

    labels: Labels
    own: Pair
    other: Pair


@dataclass(frozen=True, eq=False)
class Shares:
    """What each class has of each row's label, at least 0: rounded (m, k), and with all digits for some rows."""

    rounded: Array
    unrounded: Callable[[Rows], Pair]
    smoothed: Smoothed | None = None

    def expected(self, of_labels: Callable[[Labels], Array], exact: Callable[[Rows, Labels], Pair] | None = None) -> Array:
        """Σ shares · numbers (m, k) of each label: the expectation over hard labels, for what need not be quick.

        Rows that cancel are added up again from the `exact` numbers of theirs.
        """
        total, size = np.zeros_like(self.rounded), np.zeros_like(self.rounded)
        for label in range(self.rounded.shape[1]):
            share = self.rounded[:, label, None]
            term = np.where(share == 0, 0.0, share * of_labels(np.full(len(share), label, np.int64)))
            total += term
            size += np.abs(term)
        rows = np.flatnonzero((np.abs(total) < size / 4.0).any(axis=1))
        if exact is not None and rows.size:
            high, low = self.unrounded(rows)
            found = pair(np.zeros_like(high))
            for label in range(high.shape[1]):
                some = np.flatnonzero(high[:, label] != 0)
                share = high[some, label, None], low[some, label, None]
                term = pair_multiply(share, exact(rows[some], np.full(some.size, label, np.int64)))
                found[0][some], found[1][some] = pair_add((found[0][some], found[1][some]), term)
            total[rows] = found[0]
        return total

    @classmethod
    def of_rows(cls, rows: Array, smoothing: float = 0.0, weight: Array | None = None) -> "Shares":
        """Shares (m, k) as they are given: the rest of each is spread evenly over all classes, and the classes weighed."""

        def unrounded(some: Rows) -> Pair:
            return _smoothed(pair(rows[some]), rows.shape[1], smoothing, weight)

        shares = (1.0 - smoothing) * rows + smoothing / rows.shape[1] if smoothing else rows
        return cls(shares if weight is None else shares * weight, unrounded)

    @classmethod
    def of_labels(cls, labels: Labels, k: int, smoothing: float, weight: Array | None = None) -> "Shares":
        """Shares of labels (m,) that have all but what smoothing spreads evenly over all classes."""
        own, other = (_smoothed(pair(np.full(k, share)), k, smoothing, weight) for share in (1.0, 0.0))
        own_positions = np.arange(0, labels.size * k, k) + labels

        def filled(size: int, flat: Rows, numbers: Array, elsewhere: Array) -> Array:
            rows = np.empty((size, k))
            rows[:] = elsewhere
            rows.reshape(-1)[flat] = numbers
            return rows

        def unrounded(some: Rows) -> Pair:
            flat = np.arange(0, some.size * k, k) + labels[some]
            high, low = (filled(some.size, flat, own[part][labels[some]], other[part]) for part in (0, 1))
            return high, low

        return cls(filled(labels.size, own_positions, own[0][labels], other[0]), unrounded, Smoothed(labels, own, other))


def _smoothed(rows: Pair, k: int, smoothing: float, weight: Array | None) -> Pair:
    """(1 − ε) y + ε/k of each class, times its weight."""
    kept = pair_multiply(rows, two_sum(np.ones(1), -smoothing))
    shares = pair_add(kept, pair_divide(constant(smoothing), constant(k)))
    return shares if weight is None else pair_multiply(shares, pair(weight))


# --- the probability of every column ----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Columns:
    """The softmax of rows (m, k) seen from each column: p, 1 − p and −log p, each with its own digits."""

    parts: Softmax
    """Seen from the largest column."""
    positions: Rows
    """The flat indices of these."""
    p: Array
    miss: Array
    surprise: Array

    def gradient(self, x: Array, pulls: Array, exact: Callable[[Rows, "ExactColumns"], Pair], roundings: float) -> Array:
        """p·Σpulls − pulls, in pairs where it cancels: the more roundings a pull has beside a share, the sooner; at 0 never."""
        own, p = pulls.take(self.positions), self.p.take(self.positions)
        others = pulls.copy()
        others.reshape(-1)[self.positions] = 0.0
        remaining = row_sums(others)
        gradient = self.p * (remaining + own)[:, None] - pulls
        gradient.reshape(-1)[self.positions] = p * remaining - own * self.miss.take(self.positions)
        if not roundings:
            return gradient
        sizes = np.abs(others, out=others)
        beside = row_sums(sizes)
        np.maximum(sizes, self.p * (beside + np.abs(own))[:, None], out=sizes)
        sizes.reshape(-1)[self.positions] = np.maximum(p * beside, np.abs(own) * self.miss.take(self.positions))
        return _resolved(gradient, np.abs(gradient) < sizes * (roundings * _least_left(x.shape[1])), x, exact, self.positions)


def columns(x: Array) -> Columns:
    positions: Rows = row_starts(x) + x.argmax(axis=1)
    parts = softmax(x, positions)
    p = parts.probabilities()
    miss = 1.0 - p  # of the columns that are not the largest, at least one half
    miss.reshape(-1)[positions] = parts.rest / parts.total
    surprise = (x.take(positions)[:, None] - x) + parts.surprise[:, None]
    p.reshape(-1)[positions] = parts.picked / parts.total
    return Columns(parts, positions, p, miss, surprise)


@dataclass(frozen=True, eq=False)
class ExactColumns:
    """The same in pairs."""

    x: Array

    @cached_property
    def gap(self) -> Pair:
        high, low = below_largest(self.x)
        return by_columns(np.maximum(high, -1e290)), by_columns(np.where(high > -1e290, low, 0.0))

    @cached_property
    def powers(self) -> Pair:
        return pair_exp(self.gap)

    @cached_property
    def total(self) -> Pair:
        return pair_sum(self.powers)

    @cached_property
    def p(self) -> Pair:
        return pair_divide(self.powers, self.total)

    @cached_property
    def _largest(self) -> NDArray[np.bool_]:
        largest = np.zeros(self.x.shape, np.bool_)
        largest[np.arange(len(largest)), self.x.argmax(axis=1)] = True
        return largest

    @cached_property
    def _rest(self) -> Pair:
        """Σ e^(x − max) over all but the largest."""
        return pair_sum((np.where(self._largest, 0.0, self.powers[0]), np.where(self._largest, 0.0, self.powers[1])))

    @cached_property
    def miss(self) -> Pair:
        rest = either(self._largest, self._rest, pair_add(self.total, pair_negative(self.powers)))
        return pair_divide(rest, self.total)

    @cached_property
    def surprise(self) -> Pair:
        high, low = rest = self._rest
        short = pair_multiply(rest, pair_add(constant(1.0), (-high / 2.0, -low / 2.0)))
        short = pair_add(short, pair(high * high * high * (1.0 / 3.0 - high / 4.0)))
        beyond = either(high < 1e-8, short, pair_log(self.total))
        return pair_add(beyond, pair_negative(self.gap))


def _least_left(k: int) -> float:
    """The share of its terms below which a gradient has cancelled: of long rows no larger a share of the columns."""
    return min(0.3, (0.03 + 4.0 / k) / k)


def _resolved(
    gradient: Array, cancelled: NDArray[np.bool_], x: Array, exact: Callable[[Rows, ExactColumns], Pair], positions: Rows
) -> Array:
    """The gradient p·Σpulls − pulls, recomputed in pairs where its terms have cancelled, so far that few rows have to pay.

    The gradients of a row add up to 0: that of the column at `positions` is taken from the others, which are small where it is.
    """
    rows = np.flatnonzero(cancelled.any(axis=1))
    if rows.size:
        seen = ExactColumns(x[rows])
        high, low = exact(rows, seen)
        pulls = by_columns(high), by_columns(low)
        scaled = pair_multiply(seen.powers, pair_divide(pair_sum(pulls), seen.total))
        difference = pair_add(scaled, pair_negative(pulls))
        column = np.arange(rows.size), positions[rows] - rows * x.shape[1]
        difference[0][column] = difference[1][column] = 0.0
        rest = pair_sum(difference)
        difference[0][column], difference[1][column] = -rest[0][:, 0], -rest[1][:, 0]
        gradient[rows] = np.where(cancelled[rows], difference[0] + difference[1], gradient[rows])
    return gradient


# --- the cross-entropy --------------------------------------------------------------------------------------------------


def softmax_cross_entropy(x: Array, shares: Shares) -> tuple[Array, Array]:
    """−Σ shares · log softmax(x) of each row, and its gradient to x.

    Seen from one column a: Σ shares·(xₐ − x) − Σshares · log pₐ. That is the column with most of the shares, else the
    largest logit: then nothing cancels in the value, nor in 1 − p of a column that has almost all of both.
    """
    rounded = shares.rounded
    positions = _view(x, rounded)
    parts = softmax(x, positions)
    share, here = rounded.take(positions), x.take(positions)[:, None]
    others = rounded.copy()
    others.reshape(-1)[positions] = 0.0
    remaining = row_sums(others)
    whole = remaining + share
    # a difference of logits may overflow, if only against a share of 0 or one that is small
    own = recovered(
        np.where(whole == 0, 0.0, whole * parts.surprise),
        lambda: 4.0 * (whole * (np.log(parts.rest) / 4.0 + (parts.shift / 4.0 - x.take(positions) / 4.0))),
    )
    values = recovered(row_sums(others * (here - x)) + own, lambda: 4.0 * row_sums(others * (here / 4.0 - x / 4.0)) + own)
    gradient = scale_rows(parts.others, whole / parts.total)
    gradient -= rounded
    gradient.reshape(-1)[positions] = (remaining * parts.picked - share * parts.rest) * (1.0 / parts.total)
    others.reshape(-1)[positions] = np.minimum(share, remaining)
    others *= _least_left(x.shape[1])
    cancelled = np.abs(gradient) < others
    if shares.smoothed:
        level = np.log(parts.total / whole) + parts.shift
        _near_their_shares(gradient, cancelled, x, level, shares.smoothed)
    return values, _resolved(gradient, cancelled, x, lambda rows, _: shares.unrounded(rows), positions)


def _view(x: Array, shares: Array) -> Rows:
    """The flat index in each row of the column that has more than half of the shares, or else of the largest logit."""
    start = row_starts(x)
    most: Rows = start + shares.argmax(axis=1)
    largest: Rows = start + x.argmax(axis=1)
    return np.where(2.0 * shares.take(most) > row_sums(shares), most, largest)


def _near_their_shares(gradient: Array, cancelled: NDArray[np.bool_], x: Array, level: Array, smoothed: Smoothed) -> None:
    """Put the gradient right in rows all of whose classes but the label's are near their shares s, where labels are learnt.

    It is s·(e^d − 1) with d = x − log s − log(Σeˣ/Σs). The logarithms are known in pairs, and the sum, from its `level` to
    about a float, by the same differences: no exponential of a single number is taken in pairs.
    """
    labels, own, (share, low) = smoothed
    rows = np.flatnonzero(cancelled.any(axis=1))
    if share.min() > 0.0 and rows.size:
        off = np.abs(gradient[rows])
        off[np.arange(rows.size), labels[rows]] = 0.0
        rows = rows[row_sums(off) < 0.125 * (share.sum() - share[labels[rows]])]
    if not share.min() > 0.0 or not rows.size:
        return
    label = np.arange(rows.size), labels[rows]
    log_share = pair_add(log_pair(share), pair(low / share))
    distance, first = two_sum(x[rows], -log_share[0])
    distance, second = two_sum(distance, -level[rows, None])
    second += first
    second -= log_share[1]
    growth = np.expm1(distance, out=distance)
    growth += second * (1.0 + growth)
    growth[label] = 0.0
    mine = own[0][labels[rows]], own[1][labels[rows]]
    whole = mine[0] + (share.sum() - share[labels[rows]])
    grown = pair_add(pair_exp(two_sum(x[rows][label], -level[rows])), pair_negative(mine))[0]
    beyond = (row_sums(growth * share) + grown) / whole
    growth -= beyond[:, None]
    growth *= share
    growth /= (1.0 + beyond)[:, None]
    growth[label] = 0.0
    growth[label] = -row_sums(growth)
    gradient[rows] = np.where(cancelled[rows], growth, gradient[rows])
    cancelled[rows] = False
