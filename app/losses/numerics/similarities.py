"""Losses of how alike the rows of two arrays are, or of one: each row's loss is a function of what it has in common with all.

A loss says what a tile of similarities (a, m) costs, row by row, and how that changes with each; here the similarities are
taken, as pairs, a tile at a time, and what the tiles pull is put together.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.losses.numerics.pairs import (
    Pair,
    either,
    pair,
    pair_add,
    pair_divide,
    pair_multiply,
    pair_negative,
    pair_sqrt,
    pair_sum,
    two_product,
)
from app.losses.numerics.products import PAIRS_AT_ONCE, PAIRS_KEPT, Slices, products, slices_of, tiles
from app.losses.numerics.running import exp_of, gap
from app.losses.numerics.stable import Array, power_of_two
from app.losses.numerics.vectors import length_of

MOST = float(np.finfo(np.float64).max)
OfRows: TypeAlias = Callable[[slice, Pair], tuple[Array, Array]]
"""(rows, similarities (a, m)) -> the losses of these rows (a,) and their derivatives to the similarities (a, m)."""
Flags: TypeAlias = NDArray[np.bool_]
Places: TypeAlias = NDArray[np.intp]
ROUNDING = 2.0**-90
"""A squared distance that is so much less than the squares it is the difference of is their rounding: it counts as 0."""

CLOSE = 1 / 16
"""Vectors that are so much less apart than they are long are subtracted one by one."""


@dataclass(frozen=True)
class Vectors:
    """Rows of an array, over powers of two about as large as they are."""

    scaled: Array
    scale: Array
    """(n, 1)."""

    @cached_property
    def slices(self) -> Slices:
        return slices_of(self.scaled)

    @cached_property
    def squares(self) -> Pair:
        """(n, 1): the squared lengths of the scaled rows."""
        return pair_sum(two_product(self.scaled, self.scaled))

    @cached_property
    def inverse(self) -> Pair:
        """(n, 1): 1 over the lengths of the scaled rows, 0 for a row of zeros."""
        high, low = pair_sqrt(self.squares)
        some = high > 0
        quotient = pair_divide((np.ones_like(high), 0.0 * high), (np.where(some, high, 1.0), low))
        return np.where(some, quotient[0], 0.0), np.where(some, quotient[1], 0.0)

    @cached_property
    def units(self) -> Pair:
        """The rows at the length 1."""
        return pair_multiply(pair(self.scaled), self.inverse)

    @property
    def whole(self) -> Pair:
        return pair(self.scaled * self.scale)

    def through_length(self, pulls: Pair) -> Pair:
        """The derivative to the rows, from that to the rows at the length 1: what pulls along a row is taken out."""
        units, whole = self.units, pair_multiply(pulls, self.units)
        along = pair_sum(whole)
        across = pair_add(pulls, pair_negative(pair_multiply(along, units)))
        # of the largest number of a row little is left: the same without a difference is p·∑ v² − u·∑ p·v over all others v
        top = np.arange(units[0].shape[1], dtype=np.int64) == np.abs(units[0]).argmax(axis=1)[:, None]
        beside, others = (_but(top, x) for x in (whole, units))
        left = pair_multiply(pulls, pair_sum(pair_multiply(others, others)))
        across = either(top, pair_add(left, pair_negative(pair_multiply(units, pair_sum(beside)))), across)
        high, low = pair_multiply(across, self.inverse)
        return high / self.scale, low / self.scale


def _but(left_out: Flags, x: Pair) -> Pair:
    return np.where(left_out, 0.0, x[0]), np.where(left_out, 0.0, x[1])


def vectors(rows: Array) -> Vectors:
    scale = power_of_two(np.abs(rows).max(axis=1))[:, None]
    return Vectors(rows / scale, scale)


@dataclass(frozen=True)
class Similarities:
    """The rows of two arrays, (n, d) and (m, d), beside each other."""

    first: Vectors
    second: Vectors
    cosines: bool
    """Whether rows are taken at the length 1."""

    def tile(self, rows: slice) -> Pair:
        """The products of some rows of the first with all of the second (a, m)."""
        product = products(self.first.slices, self.second.slices, rows)
        if not self.cosines:
            scale = self.first.scale[rows] * self.second.scale.T
            return product[0] * scale, product[1] * scale
        own, other = self.first.inverse, self.second.inverse
        scaled = pair_multiply(product, (own[0][rows], own[1][rows]))
        return pair_multiply(scaled, (other[0].T, other[1].T))

    def pulls(self, slopes: Callable[[slice], Array]) -> tuple[Pair, Pair]:
        """The derivatives to both arrays of what has these derivatives to the similarities.

        Rows at the length 1 are taken from the middle of all, which pulls as much as the slopes add up to: of rows that are
        nearly parallel, little but what pulls across them is left in the products.
        """
        one, other = (item.units if self.cosines else item.whole for item in (self.first, self.second))
        middle = 0.5 * (one[0].mean(axis=0) + other[0].mean(axis=0)) if self.cosines else np.zeros(one[0].shape[1])
        near, near_other = (pair_add(rows, pair(-middle))[0] for rows in (one, other))
        of_one, of_other = np.empty_like(near), np.zeros_like(near_other)
        total, total_other = np.empty(len(near)), np.zeros(len(near_other))
        for rows in tiles(len(near), len(near_other)):
            slope = slopes(rows)
            of_one[rows], total[rows] = slope @ near_other, slope.sum(axis=1)
            of_other += slope.T @ near[rows]
            total_other += slope.sum(axis=0)
        if not self.cosines:
            return pair(of_one), pair(of_other)
        return (
            self.first.through_length(pair_add(pair(of_one), two_product(total[:, None], middle[None]))),
            self.second.through_length(pair_add(pair(of_other), two_product(total_other[:, None], middle[None]))),
        )


@dataclass(frozen=True)
class Distances:
    """The rows of one array (n, d) beside each other: how far they are apart."""

    rows: Vectors
    of_units: bool = False
    """Whether rows are taken at the length 1."""

    def tile(self, rows: slice) -> Pair:
        """The distances of some rows to all (a, n); 0 where two are equal, or as near as twice the digits tell."""
        found = self._of_units(rows) if self.of_units else self._of_squares(rows)
        for one, other in self._close(rows, found[0]):  # of whose squares little is left
            length = length_of(self._between(one + rows.start, other), 2.0).value
            found[0][one, other], found[1][one, other] = length[0][:, 0], length[1][:, 0]
        return found

    def _of_units(self, rows: slice) -> Pair:
        high, low = Similarities(self.rows, self.rows, True).tile(rows)
        some = (self.rows.inverse[0] > 0).astype(np.float64)  # a row of zeros stays where it is
        square = pair_add(pair(some[rows] + some.T), (-2.0 * high, -2.0 * low))
        apart = square[0] > ROUNDING
        return pair_sqrt((np.where(apart, square[0], 0.0), np.where(apart, square[1], 0.0)))

    def _of_squares(self, rows: slice) -> Pair:
        units = self.rows.scale
        unit = units.max()
        high, low = (part * units[rows] / unit * units.T / unit for part in products(self.rows.slices, self.rows.slices, rows))
        squares = self.rows.squares[0] * (units / unit) ** 2, self.rows.squares[1] * (units / unit) ** 2
        both = pair_add((squares[0][rows], squares[1][rows]), (squares[0].T, squares[1].T))
        square = pair_add(both, (-2.0 * high, -2.0 * low))
        apart = square[0] > ROUNDING * both[0]
        distance = pair_sqrt((np.where(apart, square[0], 0.0), np.where(apart, square[1], 0.0)))
        return distance[0] * unit, distance[1] * unit

    @cached_property
    def whole(self) -> Pair:
        return self.rows.units if self.of_units else self.rows.whole

    def _between(self, one: Places, other: Places) -> Pair:
        """One row less another, of so many pairs."""
        high, low = self.whole
        return pair_add((high[one], low[one]), (-high[other], -low[other]))

    @cached_property
    def lengths(self) -> Array:
        return np.ones(len(self.rows.scaled)) if self.of_units else (np.sqrt(self.rows.squares[0]) * self.rows.scale)[:, 0]

    def _close(self, rows: slice, distance: Array) -> Iterator[tuple[Places, Places]]:
        """Pairs of some rows and all that are much less apart than they are long, so many at a time as make a tile."""
        one, other = np.nonzero(distance < CLOSE * (self.lengths[rows, None] + self.lengths))
        step = max(1, PAIRS_AT_ONCE // self.rows.scaled.shape[1])
        for start in range(0, one.size, step):
            yield one[start : start + step], other[start : start + step]

    def pulls(self, slopes: Callable[[slice], Array]) -> Array:
        """The derivative to the rows of what has these derivatives to the distances, which do not move with all rows."""
        near = pair_add(self.whole, pair(-self.whole[0].mean(axis=0)))[0]
        gradient = np.zeros_like(near)
        for rows in tiles(len(near), len(near)):
            slope, (distance, _) = slopes(rows), self.tile(rows)
            share = np.where((distance > 0) & (slope != 0), slope / np.where(distance > 0, distance, 1.0), 0.0)
            for one, other in self._close(rows, distance):  # of these the sums below would leave little
                pulls = self._between(one + rows.start, other)[0] * share[one, other][:, None]
                np.add.at(gradient, one + rows.start, pulls)
                np.subtract.at(gradient, other, pulls)
                share[one, other] = 0.0
            gradient[rows] += near[rows] * share.sum(axis=1, keepdims=True) - share @ near
            gradient += near * share.sum(axis=0)[:, None] - share.T @ near[rows]
        return self.rows.through_length(pair(gradient))[0] if self.of_units else gradient


def beside(one: Array, other: Array, cosines: bool = True) -> Similarities:
    return Similarities(vectors(one), vectors(other), cosines)


class OverRows(NamedTuple):
    """What the rows cost."""

    values: Array
    """(n,)."""
    slopes: Callable[[Array], Callable[[slice], Array]]
    """Weights (n,) -> (rows -> the derivative of the weighted sum to their similarities (a, m))."""


def over_rows(n: int, m: int, tile: Callable[[slice], Pair], of_rows: OfRows) -> OverRows:
    """The losses of n rows beside m; what was computed for few is kept for their gradient."""
    blocks, few = tiles(n, m), n * m <= PAIRS_KEPT
    found = [of_rows(rows, tile(rows)) for rows in blocks] if few else []
    values = [item for item, _ in found] if few else [of_rows(rows, tile(rows))[0] for rows in blocks]
    kept = {rows.start: slope for rows, (_, slope) in zip(blocks, found, strict=False)}

    def slopes(weights: Array) -> Callable[[slice], Array]:
        def of(rows: slice) -> Array:
            slope = kept[rows.start] if few else of_rows(rows, tile(rows))[1]
            weight = weights[rows, None]
            return np.where(weight == 0, 0.0, weight * slope)

        return of

    return OverRows(np.concatenate(values), slopes)


# --- exponentials of rows ---------------------------------------------------------------------------------------------


class Share(NamedTuple):
    """Some of the exponentials of each row, put in proportion."""

    shares: Array
    """(a, m): what each has of their sum, 0 for those that are left out."""
    total: Array
    """(a,): their sum, over the largest; 0 where there are none."""
    largest: Pair
    """(a,): the largest exponent, −∞ where there are none."""

    def against(self, exponents: Pair) -> "Odds":
        """The sum beside e to each of these exponents (a, ...)."""
        shape = (-1, *(1,) * (exponents[0].ndim - 1))
        lead = gap((self.largest[0].reshape(shape), self.largest[1].reshape(shape)), exponents)
        return Odds(exp_of(lead), lead, self.total.reshape(shape))


class Odds(NamedTuple):
    """A sum of exponentials over another number, as power·total."""

    power: Array
    lead: Pair
    """Of which the power is the exponential."""
    total: Array

    @property
    def value(self) -> Array:
        return self.power * self.total

    @property
    def log_one_plus(self) -> Array:
        """ln(1 + odds), as log1p: what is nearly 0 keeps its digits."""
        high, low = self.lead
        some = np.where(self.total > 0, self.total, 1.0)
        return np.where(self.value < 1e300, np.log1p(self.value), high + (low + np.log(some)))

    @property
    def share(self) -> Array:
        """odds / (1 + odds)."""
        odds = self.value
        return np.where(odds < 1.0, odds / (1.0 + odds), 1.0 / (1.0 + 1.0 / np.where(odds > 0, odds, 1.0)))


def share_of(exponents: Pair, which: Flags) -> Share:
    exponents = np.minimum(exponents[0], MOST), exponents[1]
    highest = np.where(which, exponents[0], -np.inf).max(axis=1)
    some = np.isfinite(highest)
    at_top = which & (exponents[0] == highest[:, None])
    low = np.where(some, np.where(at_top, exponents[1], -np.inf).max(axis=1), 0.0)
    shift = np.where(some, highest, 0.0)[:, None], low[:, None]
    powers = np.where(which, exp_of(gap(exponents, shift)), 0.0)
    total = powers.sum(axis=1)
    return Share(powers / np.where(some, total, 1.0)[:, None], total, (highest, low))


class Surprise(NamedTuple):
    """−ln of what some exponentials of a row have of the sum of all."""

    values: Array
    slopes: Array
    """(a, m): the derivatives to the exponents."""


def surprise_of(exponents: Pair, inside: Flags, outside: Flags) -> Surprise:
    """Of those inside, among those inside and outside: log1p of the odds, so that what is nearly sure keeps its digits."""
    own, others = share_of(exponents, inside), share_of(exponents, outside)
    some = np.where(own.total > 0, own.total, 1.0)
    odds = others.against(own.largest)
    odds = odds._replace(total=odds.total / some)
    return Surprise(odds.log_one_plus, odds.share[:, None] * (others.shares - own.shares))


def log_one_plus(exponents: Pair, which: Flags) -> Surprise:
    """ln(1 + Σ e^x) over some exponents of each row, with its derivatives; 0 where there are none."""
    some = share_of(exponents, which)
    odds = some.against((np.zeros_like(some.total), np.zeros_like(some.total)))
    return Surprise(odds.log_one_plus, odds.share[:, None] * some.shares)


def scaled(x: Pair, factor: float) -> Pair:
    return pair_multiply(x, (np.full(1, factor), np.zeros(1)))


def over(x: Pair, divisor: float) -> Pair:
    return pair_divide(x, pair(np.full(1, divisor)))
