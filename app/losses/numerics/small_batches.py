"""Slopes and pulls of a small batch, unrounded: what all others pull at a row is added, and what is left keeps its digits.

A large batch pays too much for that: its slopes are rounded, and its products are those of matrices.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np

from app.losses.numerics.pairs import Pair
from app.losses.numerics.products import products, slices_of
from app.losses.numerics.similarities import Distances, Flags, Similarities
from app.losses.numerics.stable import Array, power_of_two
from app.losses.numerics.wide import Like, Wide, exp, where, wide

PAIRS = 2**14
"""Pairs of rows from which on a batch is large."""
Exactly: TypeAlias = Callable[[Wide], Wide]
"""All similarities (n, m) -> the derivatives of the losses of the rows to them."""


def small(n: int, m: int) -> bool:
    return n * m < PAIRS


def all_of(alike: Similarities | Distances) -> Wide:
    """What all rows have in common with all, or how far they are apart."""
    return Wide(*alike.tile(slice(0, len(alike.first.scaled if isinstance(alike, Similarities) else alike.rows.scaled))))


def weighted(slopes: Wide, weights: Array) -> Wide:
    """Of what the rows cost, times their weights; a row that does not count has none."""
    return where(weights[:, None] == 0, 0.0, slopes * weights[:, None])


def turned(x: Wide) -> Wide:
    return Wide(x.high.T, x.low.T)


def product(a: Wide, b: Wide) -> Wide:
    """The product of two matrices, to about twice the digits of the largest number of a row of the one times one of the other."""
    a_scale, b_scale = power_of_two(np.abs(a.high).max(axis=1))[:, None], power_of_two(np.abs(b.high).max(axis=0))
    near, far = a.high / a_scale, np.ascontiguousarray((b.high / b_scale).T)
    found = Wide(*products(slices_of(near), slices_of(far), slice(0, len(near))))
    return (found + (near @ (b.low / b_scale) + a.low / a_scale @ far.T)) * a_scale * b_scale


def pulls_beside(alike: Similarities, slopes: Wide) -> tuple[Pair, Pair]:
    """The derivatives to both arrays of what has these derivatives (n, m) to their similarities."""
    one, other = (Wide(*(item.units if alike.cosines else item.whole)) for item in (alike.first, alike.second))
    # of rows that are nearly parallel, what their middle pulls is taken apart from what they pull across it
    middle = 0.5 * (one.high.mean(axis=0) + other.high.mean(axis=0)) if alike.cosines else np.zeros(one.high.shape[1])

    def pulled(by: Wide, slope: Wide) -> Wide:
        return product(slope, by - middle) + slope.sum() * middle[None]

    of_one, of_other = pulled(other, slopes), pulled(one, turned(slopes))
    if not alike.cosines:
        return of_one.pair, of_other.pair
    return alike.first.through_length(of_one.pair), alike.second.through_length(of_other.pair)


def pulls_apart(apart: Distances, slopes: Wide) -> Array:
    """The derivative to the rows of what has these derivatives (n, n) to how far they are apart."""
    x, distance = Wide(*apart.whole), all_of(apart)
    some = distance.high > 0
    share = where(some, (slopes + turned(slopes)) / where(some, distance, 1.0), 0.0)
    near = x - x.high.mean(axis=0)
    gradient = near * share.sum() - product(share, near)
    return (apart.rows.through_length(gradient.pair) if apart.of_units else gradient.pair)[0]


# --- exponentials of rows ---------------------------------------------------------------------------------------------


class Powers(NamedTuple):
    """Some of the exponentials of each row, put in proportion."""

    shares: Wide
    """(n, m): what each has of their sum, 0 for those that are left out."""
    total: Wide
    """(n, 1): their sum, over the largest; 0 where there are none."""
    largest: Wide
    """(n, 1): the largest exponent, 0 where there are none."""

    def beside(self, exponents: Wide, total: Like = 1.0) -> Wide:
        """What their sum has of itself and e to each of these exponents, so often."""
        lead, other = self.largest - exponents, wide(total)
        power = exp(-abs(lead))
        ahead = lead.high >= 0
        own, others = self.total * where(ahead, 1.0, power), other * where(ahead, power, 1.0)
        both = own + others
        return own / where(both.high > 0, both, 1.0)


def powers_of(exponents: Wide, which: Flags) -> Powers:
    some: Flags = np.logical_or.reduce(which, axis=1, keepdims=True)
    largest = where(some, where(which, exponents, -np.inf).max(), 0.0)
    powers = where(which, exp(where(which, exponents - largest, 0.0)), 0.0)
    total = powers.sum()
    return Powers(powers / where(some, total, 1.0), total, largest)


def slopes_of_surprise(exponents: Wide, inside: Flags, outside: Flags) -> Wide:
    """The derivatives of −ln of what those inside have of the sum of all."""
    own, others = powers_of(exponents, inside), powers_of(exponents, outside)
    return others.beside(own.largest, own.total) * (others.shares - own.shares)


def slopes_of_log_one_plus(exponents: Wide, which: Flags) -> Wide:
    """The derivatives of ln(1 + ∑ e^x) over some exponents of each row."""
    some = powers_of(exponents, which)
    return some.beside(wide(np.zeros_like(some.total.high))) * some.shares


def slopes_of_labels(exponents: Wide, labels: Wide, which: Flags) -> Wide:
    """The softmax less labels that sum to 1 in a row: of the largest, what the others have less than theirs."""
    shares = powers_of(exponents, which).shares
    top: Flags = np.arange(shares.high.shape[1], dtype=np.int64) == np.where(which, shares.high, -1.0).argmax(axis=1)[:, None]
    rest = where(top, 0.0, labels - shares)
    return where(top, rest.sum(), -rest)
