"""Folds of rows: every row held out once, in sizes and shares that are as equal as can be; rows to learn from, more and more."""

from typing import Any

import numpy as np
import pytest
from sklearn.model_selection import TimeSeriesSplit

from app.errors import InvalidInput
from app.training import Holdout
from app.training.splits import split
from tests.folding import in_turn

RNG = np.random.default_rng(3)
SIZES = [(20, 2), (23, 5), (41, 20), (7, 7)]


def folds(n: int, k: int, kind: str, seed: int = 0, **more: Any) -> list[tuple[list[int], list[int]]]:
    found = [split(n, Holdout(None, folds=k, fold=fold, split=kind, seed=seed), **more) for fold in range(k)]
    return [(kept.tolist(), held.tolist()) for kept, held in found]


@pytest.mark.parametrize("kind", ["random", "stratified", "grouped"])
@pytest.mark.parametrize(("n", "k"), SIZES)
def test_every_row_is_held_out_exactly_once(kind: str, n: int, k: int) -> None:
    classes, groups = RNG.integers(3, size=n), [*range(n - 1), 0]
    more = {"stratified": {"classes": classes}, "grouped": {"groups": groups}}.get(kind, {})
    if kind == "grouped" and k == n:
        k -= 1
    found = folds(n, k, kind, **more)
    assert sorted(row for _, held in found for row in held) == [*range(n)]
    for kept, held in found:
        assert kept == sorted({*range(n)} - {*held})
    sizes = [len(held) for _, held in found]
    assert kind == "grouped" or max(sizes) - min(sizes) <= 1


@in_turn("seed", range(20))
@pytest.mark.parametrize("k", [2, 3, 10])
def test_each_class_is_in_every_fold_within_one_of_its_share(seed: int, k: int) -> None:
    classes = np.random.default_rng(seed).choice(4, size=57, p=[0.6, 0.3, 0.08, 0.02])
    counts = np.array([np.bincount(classes[held], minlength=4) for _, held in folds(57, k, "stratified", classes=classes)])
    assert (counts.max(axis=0) - counts.min(axis=0) <= 1).all()
    assert counts.sum(axis=1).max() - counts.sum(axis=1).min() <= 1


@pytest.mark.parametrize("seed", range(5))
def test_no_group_is_on_both_sides(seed: int) -> None:
    groups = [str(name) for name in np.random.default_rng(seed).integers(9, size=50)]
    for kept, held in folds(50, 4, "grouped", seed, groups=groups):
        assert held
        assert not {groups[row] for row in kept} & {groups[row] for row in held}


@pytest.mark.parametrize(("n", "k"), [(20, 3), (23, 5), (100, 20), (6, 5)])
def test_ordered_folds_are_those_of_a_time_series(n: int, k: int) -> None:
    wanted = [(kept.tolist(), held.tolist()) for kept, held in TimeSeriesSplit(k).split(np.zeros(n))]
    assert folds(n, k, "ordered") == wanted


def test_the_seed_draws_the_folds() -> None:
    assert folds(30, 3, "random", 1) == folds(30, 3, "random", 1)
    assert folds(30, 3, "random", 1) != folds(30, 3, "random", 2)


@pytest.mark.parametrize(
    ("kind", "n", "k", "path", "code"),
    [
        ("random", 4, 5, ("folds",), "out_of_range"),
        ("ordered", 5, 5, ("folds",), "out_of_range"),
        ("grouped", 20, 5, ("folds",), "out_of_range"),
        ("stratified", 20, 5, ("validation", "split"), "does_not_fit"),
    ],
)
def test_folds_that_there_cannot_be(kind: str, n: int, k: int, path: tuple[str, ...], code: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        folds(n, k, kind, groups=["a", "b"] * (n // 2))
    assert [(fault.path, fault.code) for fault in refused.value.faults] == [(path, code)]


@pytest.mark.parametrize("held", [Holdout(0.2, seed=4), Holdout(None, last=10), Holdout(None)])
def test_fewer_rows_are_among_more(held: Holdout) -> None:
    all_kept, out = split(50, held)
    before: set[int] = set()
    for count in (3, 10, 39, len(all_kept), 60):
        kept, other = split(50, Holdout(held.fraction, held.last, seed=held.seed, kept=count))
        assert other.tolist() == out.tolist()
        assert kept.tolist() == sorted(kept.tolist())
        assert len(kept) == min(count, len(all_kept))
        assert before <= {*kept.tolist()} <= {*all_kept.tolist()}
        before = {*kept.tolist()}
