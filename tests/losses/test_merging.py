"""Batches that are parts of one: together they are that one to the bit, whatever the parts are and in whatever order."""

import json
import math
from collections.abc import Sequence
from contextlib import suppress
from fractions import Fraction
from itertools import permutations, product
from typing import Any

import numpy as np
import pytest

from app.errors import InvalidInput, InvalidParameter
from app.insight import Asked, analyze
from app.losses import LOSSES
from app.losses.batch import Batch, check
from app.losses.composed import Weighed, weighted_sum
from app.losses.form import bind
from app.losses.merging import Merged, Tally, merged, refuse_whole, tallies
from app.losses.numerics.exactly import Exact, exactly, products, root
from app.losses.numerics.stable import Array
from app.losses.sums import batch_of, evaluate
from tests.folding import folded
from tests.losses.drawing import Case, all_cases, one_of_each_form, rows_of

NOTHING: dict[str, Any] = {}
MAE = bind(LOSSES["mean_absolute_error"], NOTHING)
WIDE = 10.0 ** np.random.default_rng(1).uniform(-300, 300, 3000) * np.random.default_rng(2).choice([-1.0, 1.0], 3000)


def exact(numbers: Array) -> Fraction:
    return sum(map(Fraction, numbers.tolist()), Fraction(0))


def test_a_sum_has_all_digits_whatever_its_numbers() -> None:
    for numbers in (WIDE, np.array([1e308, 1e308, -1e308, 5e-324]), np.array([0.0, -0.0]), np.arange(100_000) / 7):
        assert exactly(numbers).fraction == exact(numbers)
        assert exactly(numbers[::-1]) == exactly(numbers[:7]) + exactly(numbers[7:])
        assert Exact.read(str(exactly(numbers))) == exactly(numbers)


def test_products_have_all_digits() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal(2000) * 10.0 ** rng.integers(-60, 60, 2000), rng.standard_normal(2000)
    crossed = [Fraction(a) * Fraction(b) for a, b in zip(x.tolist(), y.tolist(), strict=True)]
    assert products(x, y).fraction == sum(crossed, Fraction(0))
    assert products(x, x, -6).fraction == sum((Fraction(a) ** 2 for a in x.tolist()), Fraction(0)) / 64


def test_what_is_not_finite_stays_so() -> None:
    assert exactly(np.array([1.0, math.inf])).rounded() == math.inf
    assert math.isnan((exactly(np.array([math.inf])) + exactly(np.array([-math.inf]))).rounded())
    assert exactly(np.full(2, 1.7e308)).rounded() == math.inf
    assert exactly(np.full(2, 1.7e308)).rounded(-1) == 1.7e308


@pytest.mark.parametrize("square", [Fraction(number) for number in ("2", "1/3", "1e300", "1e-400", "0", "9/4")])
def test_a_root_is_the_nearest(square: Fraction) -> None:
    found = Fraction(root(square))
    below, above = (Fraction(math.nextafter(float(found), end)) for end in (-math.inf, math.inf))
    assert found == square == 0 or ((found + below) / 2) ** 2 <= square <= ((found + above) / 2) ** 2


def together(batches: Sequence[Batch], bound: Any, reduction: Any = "mean") -> Merged:
    found: Sequence[Tally] = ()
    for batch in batches:
        more = tallies(batch, reduction)
        found = [one + other for one, other in zip(found or [Tally()] * len(more), more, strict=True)]
        found = [Tally.read(json.loads(json.dumps(tally.document))) for tally in found]  # as a checkpoint has it
    return merged(bound, found, reduction, sum(batch.n_samples for batch in batches))


def mergeable(case: Case) -> bool:
    """Whether this can be put together; whatever is refused is no mean over samples."""
    loss, mean = case.loss, case.loss.mean_of({**case.loss.defaults, **case.parameters})
    try:
        refuse_whole(bind(loss, case.parameters))
    except InvalidParameter:
        assert loss.coupling == "batch" or mean.power is None or mean.by_column or "balanced" in case.parameters.values()
        return False
    return loss.coupling != "batch" and mean.power is not None


MERGEABLE = [case for case in all_cases() if mergeable(case)]
FIRST = {case.loss.name for case in one_of_each_form(MERGEABLE)}


@folded("case", MERGEABLE, of=lambda case: case.loss.name, long={case.loss.name for case in MERGEABLE} - FIRST)
def test_parts_come_to_what_all_come_to(case: Case) -> None:
    """Of every loss, with weights, masks, ignored labels and none of them, in parts of one sample and of several."""
    arrays = case.draw(n=17, seed=4)
    rng = np.random.default_rng(5)
    weights = np.where(rng.random(17) < 0.2, 0.0, rng.uniform(0.1, 9, 17) * 10.0 ** rng.integers(-4, 4, 17))
    weights[0] = 3.0
    bound = bind(case.loss, case.parameters)
    for more, reduction in product(({}, {"sample_weight": weights}, {"mask": weights > 0.5}), case.reductions):
        whole = case.evaluate(arrays, reduction=reduction, **more)
        parts = [slice(5, 12), slice(12, 17), slice(0, 5)]
        batches: list[Batch] = []
        for rows in parts:
            with suppress(InvalidInput):  # where nothing of a part counts, it adds nothing
                batches.append(case.batch(rows_of(arrays, rows), **{name: array[rows] for name, array in more.items()}))
        found = together(batches, bound, reduction)
        assert (found.value, found.divisor) == (whole.value, whole.divisor), (more, reduction)
        assert (found.n_samples, found.n_elements) == (whole.n_samples, whole.batch.n_elements)


def one(name: str, predictions: Any, targets: Any, **more: Any) -> Batch:
    return check(LOSSES[name], NOTHING, np.array(predictions, float), np.array(targets, float), **more)


PARTS = (([2.5, 0, 8], [3, -0.5, 2]), ([1, -1], [1.5, 2]), ([0.5], [0.25]))


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("mean_squared_error", 7.635416666666667, 5.85204773336745),
        ("mean_absolute_error", 1.7916666666666667, 0.9407812946931101),
    ],
)
def test_the_numbers_of_three_parts(name: str, value: float, error: float) -> None:
    for parts in permutations(PARTS):
        found = together([one(name, *part) for part in parts], bind(LOSSES[name], NOTHING))
        assert (found.value, found.standard_error, found.n_samples, found.divisor) == (value, error, 6, 6.0)


def test_what_a_part_would_lose_in_rounding_is_there() -> None:
    batches = [one("mean_absolute_error", [number], [0.0]) for number in (1e16, 1.0, 1.0)]
    for parts in permutations(batches):
        assert together(parts, MAE).value == 3333333333333334.0


@pytest.mark.parametrize("sizes", [[1.5e308, 1e308, 2.0], [1.7e308] * 5, [1e308, 1e300]])
def test_a_sum_that_overflows_where_the_mean_does_not(sizes: list[float]) -> None:
    zeros = [0.0] * len(sizes)
    whole = evaluate(one("mean_absolute_error", sizes, zeros), outputs=("value",)).value
    mean = sum(map(Fraction, sizes)) / len(sizes)
    assert abs(Fraction(whole) / mean - 1) < Fraction(3, 2**53)
    assert together([one("mean_absolute_error", [size], [0.0]) for size in sizes], MAE).value == whole


@pytest.mark.parametrize("name", ["mean_squared_error", "mean_absolute_error", "root_mean_squared_error"])
def test_the_standard_error_is_that_of_an_analysis(name: str) -> None:
    rng = np.random.default_rng(6)
    predictions, targets = rng.standard_normal((2, 60))
    weights = rng.uniform(0.1, 2, 60)
    for more in ({}, {"sample_weight": weights}):
        expected = analyze(one(name, predictions, targets, **more), asked=Asked(resamples=0)).standard_error
        batches = [
            one(name, predictions[rows], targets[rows], **{key: array[rows] for key, array in more.items()})
            for rows in (slice(0, 1), slice(1, 40), slice(40, 60))
        ]
        assert together(batches, bind(LOSSES[name], NOTHING)).standard_error == pytest.approx(expected, rel=1e-13)


def test_the_standard_error_keeps_its_digits_far_from_zero() -> None:
    """A spread of 1 around losses of a billion: sums of squares in doubles would leave no digit of it."""
    numbers = [1e9, 1e9 + 1, 1e9 + 2]
    batches = [one("mean_absolute_error", [number], [0.0]) for number in numbers]
    assert together(batches, MAE).standard_error == math.sqrt(1 / 3)


def test_one_sample_has_no_standard_error_and_a_sum_none() -> None:
    assert together([one("mean_absolute_error", [1.0], [0.0])], MAE).standard_error is None
    assert together([one("mean_absolute_error", [1.0, 2.0], [0.0, 0.0])], MAE, "sum").standard_error is None


def test_a_sum_of_losses_is_put_together_from_its_parts() -> None:
    terms = (("mean_squared_error", 0.3), ("log_cosh", 2.0))
    bound = weighted_sum(terms=[Weighed(bind(LOSSES[name], NOTHING), weight) for name, weight in terms])
    rng = np.random.default_rng(7)
    predictions, targets = rng.standard_normal((2, 40))
    whole = evaluate(batch_of(bound, predictions, targets), outputs=("value",))
    batches: Any = [batch_of(bound, predictions[rows], targets[rows]) for rows in (slice(7, 40), slice(0, 7))]
    found = together(batches, bound)
    assert (found.value, found.divisor, found.standard_error) == (whole.value, whole.divisor, None)


def test_nothing_comes_to_nothing() -> None:
    assert math.isnan(merged(MAE, [Tally()], "mean", 0).value)
