"""Whether a difference is more than chance: quantiles and tails by SciPy, loaded at first use, Holm's correction, sign flips."""

import math
from collections.abc import Sequence

import numpy as np

from app.losses.numerics.stable import Array

ONE_BY_ONE = 4096
"""Differences up to which each has a sign of its own."""
SINGLE = 1024
"""Of more, so many of the largest; the others' sum is drawn from the normal distribution with its variance."""
FLIPPED = 1 << 20
"""Signs that are drawn at a time."""
NEARLY = 1e-14
"""Sums that differ by less than this share are the same."""


def t_quantile(share: float, freedom: float) -> float:
    """Of Student's t distribution."""
    from scipy.special import stdtrit  # pyright: ignore[reportUnknownVariableType]

    return float(stdtrit(freedom, share))


def normal_quantile(share: float) -> float:
    from scipy.special import ndtri  # pyright: ignore[reportUnknownVariableType]

    return float(ndtri(share))


def t_tails(statistic: float, freedom: float) -> float:
    """How probable a t statistic at least this far from 0 is by chance."""
    from scipy.special import stdtr  # pyright: ignore[reportUnknownVariableType]

    return float(2.0 * stdtr(freedom, -abs(statistic)))


def chi_square_tail(statistic: float, freedom: float) -> float:
    """How probable a χ² statistic at least this large is by chance."""
    from scipy.special import chdtrc  # pyright: ignore[reportUnknownVariableType]

    return float(chdtrc(freedom, statistic))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """p-values adjusted for their number (Holm 1979): None for those that there are not, which do not count."""
    order = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, index) in enumerate(order):
        largest = max(largest, min(1.0, p * (len(order) - rank)))
        adjusted[index] = largest
    return adjusted


def sign_flips(differences: Array, permutations: int, seed: int) -> Array | None:
    """The two-sided p-value of each column of paired differences (n, m), under which signs are as good as exchanged.

    Exact where 2ⁿ ≤ permutations, else (count + 1)/(permutations + 1) of so many random ones; None where there are none.
    """
    n = len(differences)
    if not permutations:
        return None
    observed = np.abs(differences.sum(axis=0)) * (1.0 - NEARLY)
    if n <= math.log2(permutations):
        signs = np.array([[1.0 - 2.0 * (mask >> bit & 1) for bit in range(n)] for mask in range(2**n)])
        return np.mean(np.abs(signs @ differences) >= observed, axis=0)
    rng = np.random.default_rng(seed)
    rest = np.zeros(differences.shape[1])
    if n > ONE_BY_ONE:
        size = np.abs(differences).max(axis=1)
        order = np.argpartition(size, n - SINGLE)
        rest = np.sqrt(np.square(differences[order[:-SINGLE]]).sum(axis=0))
        differences = differences[order[-SINGLE:]]
        n = SINGLE
    count = np.zeros(differences.shape[1])
    step = max(1, FLIPPED // n)
    for start in range(0, permutations, step):
        rows = min(step, permutations - start)
        bits = np.unpackbits(rng.integers(256, size=(rows, -(-n // 8)), dtype=np.uint8), axis=1, count=n)
        totals = (1.0 - 2.0 * bits) @ differences
        if rest.any():
            totals = totals + rest * rng.standard_normal((rows, 1))
        count += (np.abs(totals) >= observed).sum(axis=0)
    return (count + 1.0) / (permutations + 1.0)
