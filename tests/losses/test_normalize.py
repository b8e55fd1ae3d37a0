"""normalize: rows of any sum above 0 are divided by it, and the gradient goes through that; of every loss that takes shares."""

from typing import Any

import numpy as np
import pytest
from mpmath import mp, mpf

from app.domains import Simplex
from app.errors import InvalidArray
from app.losses import LOSSES, Loss, check, evaluate
from tests.losses.drawing import Array, Case, all_cases, over
from tests.losses.exact import Exact, total_of, ulps
from tests.losses.oracles import ORACLES

K = 3
ROWS = np.array([[2.0, 1.0, 1.0], [0.3, 0.3, 0.3], [1e-300, 2e-300, 1e-301], [9e8, 1e8, 3e8], [7e-8, 1.0, 1e12], [0.2, 0.5, 0.3]])
LABELS = np.array([0, 1, 2, 0, 1, 2])
SOFT = np.array([[1.0, 2.0, 1.0], [3.0, 1.0, 1.0], [1e-5, 2e-5, 3e-5], [50.0, 25.0, 25.0], [0.2, 0.2, 0.2], [9.0, 4.0, 3.0]])
OF_SHARES = [
    loss for loss in LOSSES.values() if any(encoding.of_shares for taken in loss.inputs.values() for _, encoding in taken.cases)
]
OF_PREDICTED = [
    loss
    for loss in OF_SHARES
    if loss.coupling == "sample"
    and any(
        encoding.domain == Simplex()
        for name, taken in loss.inputs.items()
        if name == "predictions"
        for _, encoding in taken.cases
    )
]


def targets_of(loss: Loss) -> Array:
    """Shares where it takes no labels or grades last."""
    last = loss.inputs["targets"].cases[-1][1]
    return SOFT if last.of_shares and last.labels is None else LABELS


def test_the_losses_that_take_shares_have_the_parameter() -> None:
    assert {loss.name for loss in LOSSES.values() if "normalize" in loss.parameters} == {loss.name for loss in OF_SHARES}
    assert len(OF_PREDICTED) >= 5


def true_loss(loss: Loss, row: Array, target: Any) -> Exact:
    """The formula of the row's shares, as an exact function of the row itself."""
    with mp.workprec(4000):
        given = [Exact(float(number), {index: mpf(1)}) for index, number in enumerate(row)]
        total = total_of(given)
        formula = ORACLES[loss.name]
        shares = [number / total for number in given]
        if not np.ndim(target):
            return formula(shares, int(target))
        soft = [Exact(float(number)) for number in target]
        return formula(shares, [number / total_of(soft) for number in soft])


@pytest.mark.parametrize("loss", OF_PREDICTED, ids=lambda loss: loss.name)
def test_the_formula_of_the_shares(loss: Loss) -> None:
    targets = targets_of(loss)
    answer = evaluate(check(loss, {"normalize": True}, ROWS, targets), reduction="none")
    for index, (row, target) in enumerate(zip(ROWS, targets, strict=True)):
        true = true_loss(loss, row, target)
        # a share is rounded, and a loss near 0 is one of a share near 1
        assert float(answer.per_sample[index]) == pytest.approx(float(true.value), rel=1e-14, abs=1e-15), (loss.name, index)
        slopes = [true.slope.get(column, mpf(0)) for column in range(K)]
        largest = max(map(abs, slopes))
        for column, slope in enumerate(slopes):
            assert ulps(float(answer.gradient[index, column]), slope, largest) <= 8, (loss.name, index, column)


def test_a_row_that_is_nearly_sure_keeps_the_digits_of_its_slope() -> None:
    """Its share of 1 − 4·10⁻⁹ is rounded, and so is the loss; the pull on the row is what the others have, to all digits."""
    loss, row = LOSSES["categorical_cross_entropy"], np.array([1e9, 1.0, 3.0])
    answer = evaluate(check(loss, {"normalize": True}, row[None], np.array([0])))
    true = true_loss(loss, row, 0)
    assert max(ulps(float(answer.gradient[0, column]), true.slope[column], true.slope[column]) for column in range(K)) <= 4


@over([case for case in all_cases() if case.parameters.get("normalize")])
def test_rows_that_sum_to_1_already_are_what_they_are(case: Case) -> None:
    arrays = case.draw()
    plain = evaluate(check(case.loss, {**case.parameters, "normalize": False}, arrays["predictions"], arrays["targets"]))
    assert case.evaluate(arrays).value == pytest.approx(plain.value, rel=1e-14)


def test_soft_targets_of_any_sum_are_divided() -> None:
    for loss in OF_SHARES:
        encodings = [encoding for name, taken in loss.inputs.items() for _, encoding in taken.cases if name == "targets"]
        if not any(encoding.of_shares for encoding in encodings):
            continue
        shares = ROWS / ROWS.sum(axis=1, keepdims=True)
        source = loss.inputs["predictions"].decide(loss.defaults, 2)
        predictions = np.log(shares) if source.domain.span.high == 0.0 else shares
        one = evaluate(check(loss, {"normalize": True}, predictions, SOFT))
        other = evaluate(check(loss, {}, predictions, SOFT / SOFT.sum(axis=1, keepdims=True)))
        assert one.value == pytest.approx(other.value, rel=1e-14), loss.name


def test_counts_of_one_class_are_its_label() -> None:
    answer = evaluate(
        check(LOSSES["categorical_cross_entropy"], {"normalize": True}, ROWS[:2], np.array([[3.0, 0, 0], [0, 5, 0]]))
    )
    assert answer.encodings["targets"] == "one_hot"


@pytest.mark.parametrize(
    ("row", "code"), [([0.0, 0, 0], "row_sum"), ([1e308, 1e308, 1e308], "row_sum"), ([1.0, -1, 2], "out_of_range")]
)
def test_rows_that_have_no_shares_are_refused(row: list[float], code: str) -> None:
    for loss in OF_PREDICTED:
        with pytest.raises(InvalidArray) as refused:
            check(loss, {"normalize": True}, np.array([ROWS[0], row]), targets_of(loss)[:2])
        (fault,) = refused.value.faults
        assert (fault.code, fault.path[:2]) == (code, ("predictions", 1)), loss.name


def test_the_refusal_names_the_way_out() -> None:
    with pytest.raises(InvalidArray) as refused:
        check(LOSSES["brier_score"], {}, ROWS[1:2], LABELS[:1])
    assert "set normalize to true to divide each row by its sum" in refused.value.faults[0].message
