"""An analysis of parts comes to that of all, whatever the parts are: to the bit where it can, and else within what it says."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from app.errors import InvalidArray
from app.insight import Labels, analyze, parts
from app.insight.labels import Level
from app.insight.parts import QUANTILE_ERROR, Parts, keys_of, numbers_of
from app.losses import LOSSES
from app.losses.batch import Batch, check
from app.losses.form import bind

RNG = np.random.default_rng(0)
N = 300
PREDICTIONS, TARGETS = RNG.standard_normal(N) ** 3, RNG.standard_normal(N)
LEVELS: tuple[Level, ...] = ("a", "b", "c")
CODES = RNG.integers(0, 3, N)
WEIGHTS = np.where(RNG.random(N) < 0.1, 0.0, RNG.uniform(0.1, 2, N))
WEIGHTS[0] = 1.0


def batch(name: str, rows: Any = slice(None), *, weighted: bool = False) -> Batch:
    more: dict[str, Any] = {"sample_weight": WEIGHTS[rows]} if weighted else {}
    return check(LOSSES[name], {}, PREDICTIONS[rows], TARGETS[rows], **more)


def labels(rows: Any = slice(None)) -> dict[str, Labels]:
    return {"site": Labels(LEVELS, CODES[rows].astype(np.intp), ("groups", "site"))}


def in_parts(name: str, cuts: list[int], *, weighted: bool = False) -> Parts:
    found = Parts()
    for start, end in pairwise(cuts):
        rows = slice(start, end)
        found = parts.with_batch(found, batch(name, rows, weighted=weighted), labels(rows), 7)
    return found


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", ["mean_squared_error", "mean_absolute_error", "root_mean_squared_error"])
def test_parts_come_to_what_all_come_to(name: str, weighted: bool) -> None:
    whole = analyze(batch(name, weighted=weighted), labels(), n_worst=7)
    found = in_parts(name, [0, 1, 17, 200, N], weighted=weighted)
    other = in_parts(name, [0, 150, N], weighted=weighted)
    spread = parts.distribution(found)
    assert spread._replace(histogram=None) == parts.distribution(other)._replace(histogram=None)
    assert (spread.min, spread.max) == (whole.distribution.min, whole.distribution.max)
    assert spread.std == pytest.approx(whole.distribution.std, rel=1e-13)
    assert spread.quantiles == pytest.approx(whole.distribution.quantiles, rel=QUANTILE_ERROR)
    assert spread.histogram is not None
    assert whole.distribution.histogram is not None
    assert spread.histogram.counts.sum() == whole.distribution.histogram.counts.sum()
    assert found.worst.rows.tolist() == [sample.index for sample in whole.worst]
    assert found.worst.losses.tolist() == [sample.loss for sample in whole.worst]
    bound = bind(LOSSES[name], {})
    groups = parts.groups(found, bound, 0.95)
    assert groups == parts.groups(other, bound, 0.95)
    assert whole.groups is not None
    for one, expected in zip(groups["site"], whole.groups["site"], strict=True):
        assert (one.group, one.n) == (expected.group, expected.n)
        np.testing.assert_allclose(flat(one[2:]), flat(expected[2:]), rtol=1e-9)


def flat(numbers: Any) -> Any:
    return np.hstack([*map(np.ravel, numbers)]).astype(float)


def test_keys_are_in_the_order_of_numbers_and_near_them() -> None:
    ends = [-np.inf, -1e300, -0.0, 0.0, 5e-324, 1e300, np.inf]
    numbers = np.sort(np.concatenate([ends, RNG.standard_normal(1000) * 10.0 ** RNG.integers(-30, 30, 1000)]))
    keys = keys_of(numbers)
    assert (np.diff(keys) >= 0).all()
    normal = (np.abs(numbers) > 1e-300) & np.isfinite(numbers)
    assert (np.abs(numbers_of(keys)[normal] / numbers[normal] - 1) <= QUANTILE_ERROR).all()
    assert numbers_of(keys[[0, -1]]).tolist() == [-np.inf, np.inf]
    assert numbers_of(keys_of(np.array([0.0, -0.0]))).tolist() == [0.0, 0.0]


def test_equal_losses_are_one_number() -> None:
    found = parts.with_batch(Parts(), check(LOSSES["mean_absolute_error"], {}, np.full(5, 3.0), np.full(5, 2.9)), {}, 3)
    spread = parts.distribution(found)
    assert {*spread.quantiles.values()} == {spread.min} == {spread.max}
    assert spread.std == 0
    assert found.worst.rows.tolist() == [0, 1, 2]


def test_groups_of_one_label_and_of_too_many() -> None:
    alone = {"site": Labels(("a",), np.zeros(N, np.intp), ("groups", "site"))}
    found = parts.with_batch(Parts(), batch("mean_squared_error"), alone, 0)
    with pytest.raises(InvalidArray, match="only one label"):
        parts.groups(found, bind(LOSSES["mean_squared_error"], {}), 0.95)
    many = {"site": Labels(tuple(map(str, range(N))), np.arange(N), ("groups", "site"))}
    with pytest.raises(InvalidArray, match="more than 200 labels"):
        parts.with_batch(Parts(), batch("mean_squared_error"), many, 0)
