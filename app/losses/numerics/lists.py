"""Lists of items (n, k), each item beside all others of its list: a tile at a time, so that memory grows as the lists do.

Whatever is summed is summed along a whole list for one item: no digit depends on how the items were cut into tiles.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from app.losses.numerics.pairs import Pair, difference, pair_divide
from app.losses.numerics.rows import row_sums
from app.losses.numerics.running import exp_of, gap
from app.losses.numerics.stable import LOG_2, Array, sign
from app.losses.numerics.wide import Wide, where, wide

PAIRS_AT_ONCE = 2**15
"""Pairs of items in a tile, but for lists that have more beside one item."""
ABSENT = -1e300
"""What stands where a list says by −∞ that it has not so many items: no grade is as low."""

PairCost: TypeAlias = Callable[[Pair, Pair], tuple[Array, Array]]
"""(lead of the better score over the worse, that of their grades) -> what a pair costs, and its derivative to the lead."""
ExactSlope: TypeAlias = Callable[[Wide], tuple[Array, Wide]]
"""A lead -> its slope as a number that adds up without rounding, such as ½, and an unrounded rest."""


def tiles(shape: tuple[int, ...], beside: int | None = None) -> Iterator[slice]:
    """Items, so many at a time, that are taken beside all of their lists (n, k), or beside so many others."""
    n, k = shape
    step = max(1, PAIRS_AT_ONCE // (n * (beside or k)))
    return (slice(start, min(start + step, k)) for start in range(0, k, step))


def present(grades: Array) -> NDArray[np.bool_]:
    """Which items a list has."""
    return grades > ABSENT / 2.0


Numbers = TypeVar("Numbers", Array, Wide)


def own_and_others(x: Numbers, own: slice) -> tuple[Numbers, Numbers]:
    """Some items (n, a, 1), and all of their lists (n, 1, k)."""
    return x[:, own, None], x[:, None, :]


class Lists(NamedTuple):
    """What each list comes to."""

    total: Array
    """(n,): what its items or pairs cost together."""
    pulls: Array
    """(n, k): the derivative of that to each score."""


LEFT = 0.25
"""What is left of the terms of a sum where so much has cancelled that it is worth the price of pairs."""


def over_pairs(scores: Array, grades: Array, cost: PairCost, exact: ExactSlope | None = None) -> Lists:
    """The cost of all pairs of items of different grades, the better one first; with the slope at a lead, unrounded."""
    costs, pulls, there = np.empty_like(scores), np.empty_like(scores), present(grades)
    sizes = np.zeros_like(scores)
    for own in tiles(scores.shape):
        mine, theirs = own_and_others(grades, own)
        order = sign(mine - theirs) * there[:, own, None] * there[:, None, :]
        lead, of_grades = difference(*own_and_others(scores, own)), difference(mine, theirs)
        value, slope = cost((order * lead[0], order * lead[1]), (order * of_grades[0], order * of_grades[1]))
        costs[:, own] = np.where(order > 0, value, 0.0).sum(axis=2)
        slopes = np.where(order != 0, order * slope, 0.0)
        pulls[:, own] = slopes.sum(axis=2)
        if exact:
            sizes[:, own] = np.abs(slopes, out=slopes).sum(axis=2)
    cancelled = np.abs(pulls) < LEFT * sizes
    if exact and cancelled.any():
        lists, items = np.nonzero(cancelled)
        for some in tiles((1, lists.size), scores.shape[1]):
            here, item = lists[some], items[some]
            order = np.sign(grades[here, item][:, None] - grades[here]) * there[here]
            lead = (wide(scores[here, item][:, None]) - scores[here]) * order
            level, rest = exact(lead)
            exactly = (where(order != 0, rest, 0.0) * order).sum() + (level * order).sum(axis=1, keepdims=True)
            pulls[here, item] = exactly.high[:, 0]
    return Lists(row_sums(costs), pulls)


def count_pairs(grades: Array) -> Array:
    """How many pairs of items of different grades each list has (n,)."""
    ordered = np.sort(np.where(present(grades), grades, ABSENT), axis=1)
    starts = np.concatenate((np.ones((len(grades), 1), np.bool_), ordered[:, 1:] != ordered[:, :-1]), axis=1)
    before = np.maximum.accumulate(np.where(starts, np.arange(grades.shape[1], dtype=np.int64), 0), axis=1)
    absent = (ordered <= ABSENT / 2.0).sum(axis=1, keepdims=True)
    return np.maximum(before - absent, 0).sum(axis=1).astype(np.float64)


def places(keys: Array) -> Array:
    """The place of each item, from 0, in the order of its list with the largest key first; of equal ones, as they stand."""
    order, found = np.argsort(-keys, axis=1, kind="stable"), np.empty_like(keys)
    np.put_along_axis(found, order, np.arange(keys.shape[1], dtype=np.float64)[None], axis=1)
    return found


def surprise_before(scores: Array, keys: Array, weights: Array, there: NDArray[np.bool_]) -> Lists:
    """Σ weight · −ln of an item's share in the exponentials of itself and all items with a larger key, which come after it."""
    costs, pulls = np.empty_like(scores), np.empty_like(scores)
    highest, shares = np.empty_like(scores), np.empty_like(scores)
    for own in tiles(scores.shape):
        mine, theirs = own_and_others(keys, own)
        after = (theirs > mine) & there[:, None, :]
        own_score, others = own_and_others(scores, own)
        top = np.maximum(np.where(after, others, -np.inf).max(axis=2), scores[:, own])[..., None]
        rest = np.where(after, exp_of(gap((others, 0.0 * others), (top, 0.0 * top))), 0.0).sum(axis=2)
        lead = gap((own_score, 0.0 * own_score), (top, 0.0 * top))
        power = exp_of(lead)[..., 0]
        ratio = rest / power
        surprise = np.where(ratio < 1e300, np.log1p(ratio), np.log(np.where(rest > 0, rest, 1.0)) - lead[0][..., 0])
        total = weights[:, own] / (rest + power)
        counted = there[:, own] & (weights[:, own] > 0)
        costs[:, own] = np.where(counted & (surprise > 0), weights[:, own] * surprise, 0.0)
        pulls[:, own] = np.where(counted, -total * rest, 0.0)
        highest[:, own], shares[:, own] = top[..., 0], np.where(counted, total, 0.0)
    for own in tiles(scores.shape):
        mine, theirs = own_and_others(keys, own)
        before = (theirs < mine) & there[:, own, None]
        own_score, tops = scores[:, own, None], highest[:, None, :]
        powers = np.where(before, exp_of(gap((own_score, 0.0 * own_score), (tops, 0.0 * tops))), 0.0)
        pulls[:, own] += np.where(powers > 0, powers * shares[:, None, :], 0.0).sum(axis=2)
    return Lists(row_sums(costs), pulls)


def gains_of(grades: Array) -> Array:
    """2^y − 1, 0 for an item that is not there."""
    worth = np.where(present(grades), grades, 0.0)
    return np.where(worth < 1.0, np.expm1(worth * LOG_2), np.exp2(worth) - 1.0)


def best_dcg(gains: Array) -> Array:
    """The gains (n, k) in their best order, each over the logarithm of its place: (n,)."""
    return row_sums(-np.sort(-gains, axis=1) / discounts(gains.shape[1]))


def discounts(k: int) -> Array:
    """log₂(1 + place) of each place, from 1 to k."""
    return np.log2(np.arange(2.0, k + 2.0))


def over(lead: Pair, temperature: float) -> Pair:
    """lead / temperature, no further out than exponentials reach."""
    far = 1e4 * temperature
    within = np.abs(lead[0]) < far
    return pair_divide((np.clip(lead[0], -far, far), np.where(within, lead[1], 0.0)), (np.full(1, temperature), np.zeros(1)))
