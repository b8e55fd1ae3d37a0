"""Whether two arrays are the same numbers: element by element, in steps of float64 and as a share."""

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.losses.numerics.stable import Array

FIRST = 10
"""Disagreements that are shown."""
Flags: TypeAlias = NDArray[np.bool_]


class Tolerance(NamedTuple):
    """What may differ: |yours − reference| ≤ atol + rtol·|reference|."""

    rtol: float = 1e-6
    atol: float = 1e-9


@dataclass(frozen=True)
class Disagreement:
    """An element that is another number."""

    index: int | tuple[int, ...]
    yours: float
    reference: float
    relative_error: float | None
    ulp: int | None


def agreeing(yours: Array, reference: Array, tolerance: Tolerance) -> Flags:
    """Which elements are the same: within the tolerance, or infinite alike.

    NaN is what has no number in JSON, and so the same as whatever of the reference has none.
    """
    with np.errstate(all="ignore"):
        near = np.abs(yours - reference) <= tolerance.atol + tolerance.rtol * np.abs(reference)
    return (near & np.isfinite(reference)) | (yours == reference) | (np.isnan(yours) & ~np.isfinite(reference))


def relative_errors(yours: Array, reference: Array) -> Array:
    """|yours − reference|/|reference|; 0 where they are equal, NaN where it is no number."""
    with np.errstate(all="ignore"):
        error = np.abs(yours - reference) / np.abs(reference)
    return np.where(yours == reference, 0.0, np.where(np.isfinite(error), error, np.nan))


def steps_between(yours: Array, reference: Array) -> NDArray[np.uint64]:
    """How many numbers of float64 lie from one to the other; where both are finite."""
    one, other = _ordered(yours), _ordered(reference)
    with np.errstate(over="ignore"):
        return np.maximum(one, other) - np.minimum(one, other)


def _ordered(numbers: Array) -> NDArray[np.uint64]:
    """The place of each number among all of float64; 0 and −0 are at one."""
    bits = np.ascontiguousarray(numbers + 0.0, np.float64).view(np.uint64)
    middle = np.uint64(1 << 63)
    with np.errstate(over="ignore"):
        return np.where(bits >= middle, middle - (bits - middle), middle + bits)


def first_disagreements(yours: Array, reference: Array, differ: Flags) -> tuple[Disagreement, ...]:
    """The first of those that differ, in the order of their places."""
    found: list[Disagreement] = []
    for place in np.flatnonzero(differ)[:FIRST]:
        along = tuple(int(step) for step in np.unravel_index(int(place), differ.shape))
        one, other = yours[along], reference[along]
        error, finite = float(relative_errors(one, other)), bool(np.isfinite(one) and np.isfinite(other))
        ulp = int(steps_between(np.array([one]), np.array([other]))[0]) if finite else None
        index = along[0] if len(along) == 1 else along
        found.append(Disagreement(index, float(one), float(other), None if np.isnan(error) else error, ulp))
    return tuple(found)


def largest_error(yours: Array, reference: Array) -> float | None:
    """None where no relative error is a number."""
    errors = relative_errors(yours, reference)
    return None if np.isnan(errors).all() else float(np.nanmax(errors))


def most_steps(yours: Array, reference: Array) -> int | None:
    """None where no two of them are finite."""
    finite = np.isfinite(yours) & np.isfinite(reference)
    return int(steps_between(yours[finite], reference[finite]).max()) if finite.any() else None
