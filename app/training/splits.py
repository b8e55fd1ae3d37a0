"""Which rows are trained on and which are held out: a share of them, others altogether, or one fold of several."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.training.tables import Table, refuse_at

PAIR = 2
"""Groups that a split needs."""


@dataclass(frozen=True)
class Holdout:
    """How validation rows are told apart: a share drawn by a seed, the last ones, or others altogether; none at all."""

    fraction: float | None = 0.2
    last: int | None = None
    table: Table | None = None
    seed: int = 0
    split: str = "random"
    """How the share is drawn: random, stratified by class, grouped, or ordered: the last rows."""
    folds: int | None = None
    """In place of a share: into so many folds the rows are dealt, as `split` says."""
    fold: int = 0
    """The one that is held out, from 0."""
    kept: int | None = None
    """Of the rows to train on so many: of fewer all are among those of more."""
    draw: int = 0
    """Which draw of them, of those that the seed makes."""


def split(
    n: int, held: Holdout, classes: NDArray[np.intp] | None = None, groups: Sequence[object] | None = None
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The rows to train on and those to validate with, each in their order; `classes` (n,) are those to stratify by."""
    kept, out = _parted(n, held, classes, groups)
    if held.kept is None or held.kept >= len(kept):
        return kept, out
    return np.sort(np.random.default_rng([held.seed, 4, held.draw]).permutation(kept)[: held.kept]), out


def _parted(
    n: int, held: Holdout, classes: NDArray[np.intp] | None, groups: Sequence[object] | None
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    if held.folds is not None:
        return _folded(n, held, held.folds, classes, groups)
    if held.table is not None:
        return np.arange(n), np.arange(0)
    if held.last is not None:
        if held.last >= n:
            message = f"the last {held.last} of {n} rows leave none to train on; use at most {n - 1}"
            refuse_at(("validation", "last"), "no_samples", message)
        return np.arange(n - held.last), np.arange(n - held.last, n)
    if held.fraction is None:
        return np.arange(n), np.arange(0)
    count = round(held.fraction * n)
    if not 0 < count < n:
        none = "validate with" if count == 0 else "train on"
        message = f"{held.fraction:g} of {n} rows is {count}: none are left to {none}; set validation to null to train on all"
        refuse_at(("validation", "fraction"), "no_samples", message)
    rng = np.random.default_rng([held.seed, 1])
    if held.split == "ordered":
        return np.arange(n - count), np.arange(n - count, n)
    if held.split == "stratified":
        chosen = _stratified(classes, held.fraction, count, rng)
    elif held.split == "grouped":
        chosen = _of_groups(groups, count, rng)
    else:
        chosen = rng.permutation(n)[:count]
    out = np.zeros(n, np.bool_)
    out[chosen] = True
    return np.flatnonzero(~out), np.flatnonzero(out)


def _folded(
    n: int, held: Holdout, k: int, classes: NDArray[np.intp] | None, groups: Sequence[object] | None
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The rows of all folds but one, and that one's. Of ordered ones only the rows before it, in blocks of n // (k + 1)."""
    size = n // (k + 1) if held.split == "ordered" else n // k
    if not size:
        most = n - (held.split == "ordered")
        refuse_at(("folds",), "out_of_range", f"{n} rows make no {k} folds{_ordered(held)}; use at most {most}")
    if held.split == "ordered":
        start = n - (k - held.fold) * size
        return np.arange(start), np.arange(start, start + size)
    rng = np.random.default_rng([held.seed, 1])
    if held.split == "stratified":
        order = rng.permutation(n)
        order = order[np.argsort(_classes(classes)[order], kind="stable")]
        fold_of = np.empty(n, np.intp)
        fold_of[order] = np.arange(n) % k  # class after class, so that neither a class nor the whole is more than one apart
    elif held.split == "grouped":
        fold_of = _folds_of_groups(groups, k, rng)
    else:
        fold_of = np.empty(n, np.intp)
        fold_of[rng.permutation(n)] = np.arange(n) % k
    return np.flatnonzero(fold_of != held.fold), np.flatnonzero(fold_of == held.fold)


def _ordered(held: Holdout) -> str:
    return " that follow rows to train on" if held.split == "ordered" else ""


def _folds_of_groups(groups: Sequence[object] | None, k: int, rng: "np.random.Generator") -> NDArray[np.intp]:
    """(n,) the fold of each row: groups go, the largest first, where fewest rows are."""
    names, numbers = _numbered(groups)
    if len(names) < k:
        refuse_at(("folds",), "out_of_range", f"data.groups has {len(names)} groups, too few for {k} folds")
    sizes, fold_of, filled = np.bincount(numbers), np.zeros(len(names), np.intp), np.zeros(k, np.intp)
    drawn = rng.permutation(len(names))
    for group in drawn[np.argsort(-sizes[drawn], kind="stable")].tolist():
        fold_of[group] = filled.argmin()
        filled[fold_of[group]] += sizes[group]
    return fold_of[numbers]


def _classes(classes: NDArray[np.intp] | None) -> NDArray[np.intp]:
    if classes is None:
        message = "stratified needs classes, and these targets are none that this loss takes; random, ordered or grouped do not"
        refuse_at(("validation", "split"), "does_not_fit", message)
    return classes


def _numbered(groups: Sequence[object] | None) -> tuple[NDArray[np.str_], NDArray[np.intp]]:
    """The names of the groups, and of each row the number of its own."""
    if groups is None:
        refuse_at(("data", "groups"), "missing", "a grouped split needs data.groups: the group of each row")
    return np.unique(np.array([str(group) for group in groups]), return_inverse=True)


def _stratified(classes: NDArray[np.intp] | None, fraction: float, count: int, rng: "np.random.Generator") -> NDArray[np.intp]:
    """So many rows, of each class the fraction of its rows within one."""
    classes = _classes(classes)
    sizes = np.bincount(classes)
    exact = sizes * fraction
    wanted = np.floor(exact).astype(np.intp)
    rest = np.argsort(wanted - exact, kind="stable")[: max(0, count - int(wanted.sum()))]
    wanted[rest] += 1
    parts = [rng.permutation(np.flatnonzero(classes == number))[:most] for number, most in enumerate(wanted)]
    return np.concatenate(parts)


def _of_groups(groups: Sequence[object] | None, count: int, rng: "np.random.Generator") -> NDArray[np.intp]:
    """The rows of whole groups, drawn while each brings their number nearer to what is wanted."""
    names, numbers = _numbered(groups)
    if len(names) < PAIR:
        refuse_at(("data", "groups"), "no_samples", "all rows are of one group: none are left to validate with")
    sizes, chosen, total = np.bincount(numbers), list[int](), 0
    for group in rng.permutation(len(names)).tolist():
        if abs(total + sizes[group] - count) < abs(total - count):
            chosen.append(group)
            total += int(sizes[group])
    chosen = chosen[: len(names) - 1] or [int(sizes.argmin())]
    return np.flatnonzero(np.isin(numbers, chosen))
