"""Identities of the losses of survival: what risks, times and censoring may and may not change."""

from typing import Any

import numpy as np
import pytest

from app.errors import InvalidInput
from app.losses import LOSSES, Evaluation, check, evaluate
from tests.losses.drawing import Array, gradients_of
from tests.losses.formulas import Numbers, evaluated

RNG = np.random.default_rng(3)
N = 60
RISK: Array = RNG.normal(0, 2, N)
TIME: Array = RNG.integers(1, 15, N).astype(np.float64)
EVENT: Array = (RNG.random(N) < 0.6).astype(np.float64)


def cox(risk: Array = RISK, time: Array = TIME, event: Array = EVENT, reduction: Any = "sum", **parameters: Any) -> Evaluation:
    batch = check(LOSSES["cox_partial_likelihood"], parameters, risk, {"time": time, "event": event})
    return evaluate(batch, reduction=reduction)


def slopes(answer: Evaluation) -> Array:
    return gradients_of(answer)["predictions"]


@pytest.mark.parametrize("ties", ["breslow", "efron"])
def test_only_differences_of_risks_and_the_order_of_times_count(ties: str) -> None:
    plain = cox(ties=ties)
    for other in (cox(RISK + 1000.0, ties=ties), cox(time=np.exp(TIME), ties=ties)):
        assert other.value == pytest.approx(plain.value, rel=1e-12)
        np.testing.assert_allclose(slopes(other), slopes(plain), rtol=1e-9, atol=1e-12)
    assert abs(slopes(plain).sum()) < 1e-12 * np.abs(slopes(plain)).sum()


def test_ties_are_one_without_ties_and_efron_costs_less_with_them() -> None:
    apart = TIME + np.arange(N) * 1e-6
    assert cox(time=apart, ties="efron").value == cox(time=apart).value
    efron, breslow = cox(ties="efron").value, cox().value
    assert efron is not None
    assert breslow is not None
    assert efron < breslow


def test_efron_is_the_same_for_all_events_of_a_time_that_have_one_risk() -> None:
    values = cox(np.zeros(4), np.array([1.0, 1.0, 1.0, 2.0]), np.array([1.0, 1.0, 1.0, 0.0]), "none", ties="efron").per_sample
    assert values is not None
    np.testing.assert_allclose(values, [*[np.log([4.0, 3.0, 2.0]).mean()] * 3, 0.0], rtol=1e-15)


def test_samples_that_are_all_censored_cost_nothing_and_have_no_mean_of_events() -> None:
    for reduction in ("mean", "sum"):
        answer = cox(event=np.zeros(N), reduction=reduction)
        assert answer.value == 0.0
        assert not slopes(answer).any()
    with pytest.raises(InvalidInput, match="no sample counts"):
        cox(event=np.zeros(N), reduction="mean", divide_by_events=True)


def test_the_divisor_is_what_was_asked_for() -> None:
    total = cox().value
    assert total is not None
    assert cox(reduction="mean").value == pytest.approx(total / N, rel=1e-14)
    assert cox(reduction="mean", divide_by_events=True).value == pytest.approx(total / EVENT.sum(), rel=1e-14)


def test_sums_of_risks_carry_on_where_their_exponentials_leave_the_range() -> None:
    risk = np.linspace(-5000.0, 5000.0, N)
    answer = cox(risk, np.arange(float(N)), np.ones(N), reduction="none")
    assert answer.per_sample is not None
    expected = [np.logaddexp.reduce(risk[index:]) - risk[index] for index in range(N)]
    np.testing.assert_allclose(answer.per_sample, expected, rtol=1e-12, atol=1e-12)


def test_a_hazard_in_each_interval_is_a_binary_cross_entropy_in_each() -> None:
    logits = RNG.normal(0, 2, (N, 4))
    interval, event = RNG.integers(0, 4, N), EVENT
    targets = {"interval": interval * 1.0, "event": event}
    hazards = evaluate(check(LOSSES["logistic_hazard"], {}, logits, targets), reduction="none").per_sample
    labels = (np.arange(4) == interval[:, None]) * event[:, None]
    pairs = check(LOSSES["binary_cross_entropy"], {"from_logits": True}, logits.reshape(-1), labels.reshape(-1))
    terms = evaluate(pairs, reduction="none").per_sample
    assert terms is not None
    expected = np.where(np.arange(4) <= interval[:, None], terms.reshape(N, 4), 0.0).sum(axis=1)
    np.testing.assert_allclose(hazards, expected, rtol=1e-13)


def test_a_time_that_was_seen_is_a_class_and_intervals_without_neighbours_are_pmf() -> None:
    logits, interval = RNG.normal(0, 2, (N, 4)), RNG.integers(0, 4, N) * 1.0
    seen = {"interval": interval, "event": np.ones(N)}
    pmf = evaluate(check(LOSSES["pmf_nll"], {}, logits, seen), reduction="none").per_sample
    padded = np.hstack((logits, np.zeros((N, 1))))
    classes = check(LOSSES["categorical_cross_entropy"], {"from_logits": True}, padded, interval)
    np.testing.assert_allclose(pmf, evaluate(classes, reduction="none").per_sample, rtol=1e-13)
    targets = {"interval": interval, "event": EVENT}
    one = evaluate(check(LOSSES["pmf_nll"], {}, np.cumsum(logits[:, ::-1], axis=1)[:, ::-1], targets), reduction="none")
    other = evaluate(check(LOSSES["mtlr"], {}, logits, targets), reduction="none")
    np.testing.assert_allclose(one.per_sample, other.per_sample, rtol=1e-12)


# --- probabilities at times -----------------------------------------------------------------------------------------------

LAST: Array = np.array([1.0, 2, 2, 3, 3, 4, 5, 6, 7, 8])
SEEN: Array = np.array([1.0, 0, 1, 1, 0, 0, 1, 1, 0, 1])
SURVIVAL: Array = np.array(
    [
        [0.78, 0.62, 0.29, 0.09, 0.06],
        [0.89, 0.87, 0.71, 0.6, 0.54],
        [0.82, 0.78, 0.71, 0.08, 0.05],
        [0.83, 0.54, 0.43, 0.32, 0.21],
        [0.65, 0.63, 0.6, 0.16, 0.08],
        [0.95, 0.93, 0.67, 0.64, 0.4],
        [0.7, 0.67, 0.52, 0.4, 0.17],
        [0.89, 0.85, 0.49, 0.37, 0.33],
        [0.58, 0.56, 0.4, 0.35, 0.34],
        [0.85, 0.8, 0.61, 0.25, 0.13],
    ]
)
WHEN = [1.5, 2.0, 3.0, 5.0, 6.5]


def brier(survival: Array, event: Array, times: list[float], reduction: Any = "mean", time: Array = LAST) -> Evaluation:
    batch = check(LOSSES["integrated_brier_score"], {"times": times}, survival, {"time": time, "event": event})
    return evaluate(batch, reduction=reduction)


def test_an_integrated_brier_score_is_that_of_scikit_survival() -> None:
    """Numbers of scikit-survival 0.28.0: integrated_brier_score(y, y, SURVIVAL, WHEN), and brier_score at each of these."""
    assert brier(SURVIVAL, SEEN, WHEN).value == pytest.approx(0.24037464285714286, rel=1e-15)
    scores = [0.11078000000000002, 0.1900742857142857, 0.24381342857142854, 0.2799105714285714, 0.23474514285714285]
    for index, (when, score) in enumerate(zip(WHEN, scores, strict=True)):
        assert brier(SURVIVAL[:, [index]], SEEN, [when]).value == pytest.approx(score, rel=1e-15)


def test_a_brier_score_without_censoring_is_that_of_yes_or_no() -> None:
    for index, when in enumerate(WHEN):
        plain = evaluate(check(LOSSES["brier_score"], {}, SURVIVAL[:, index], (when < LAST) * 1.0))
        assert brier(SURVIVAL[:, [index]], np.ones(10), [when]).value == pytest.approx(plain.value, rel=1e-14)


def test_a_sample_that_is_lost_before_a_time_tells_nothing_of_it() -> None:
    slope = slopes(brier(SURVIVAL, SEEN, WHEN))
    known = (np.array(WHEN) < LAST[:, None]) | (SEEN[:, None] > 0)
    assert ((slope != 0) == known).all()


def test_those_that_are_known_stand_for_those_that_are_lost() -> None:
    """Where no event and no censoring fall on one time: a batch that is wrong of all it knows is wrong of all."""
    apart = LAST + np.arange(10.0) / 100
    wrong = np.where(np.array(WHEN) < apart[:, None], 0.0, 1.0)
    assert brier(wrong, SEEN, WHEN, time=apart).value == pytest.approx(1.0, rel=1e-14)


def test_times_that_do_not_rise_are_refused() -> None:
    with pytest.raises(InvalidInput, match="times must rise"):
        brier(SURVIVAL, SEEN, [1.0, 2.0, 2.0, 3.0, 4.0])
    with pytest.raises(InvalidInput, match="one number per time: 5, not 2"):
        brier(SURVIVAL, SEEN, [1.0, 2.0])


def test_the_formula_of_an_integrated_brier_score_says_what_it_gives() -> None:
    loss, answer = LOSSES["integrated_brier_score"], brier(SURVIVAL, SEEN, WHEN, "none")
    free = {
        1.5: 1.0,
        2.0: 7 / 8,
        3.0: 35 / 48,
        5.0: 7 / 12,
        6.5: 7 / 12,
        1.0: 1.0,
        4.0: 7 / 12,
        6.0: 7 / 12,
        7.0: 7 / 24,
        8.0: 7 / 24,
    }
    shares = np.array([0.5, 1.5, 3.0, 3.5, 1.5]) / 2 / 5
    free = [1.0, 7 / 8, 35 / 48, 7 / 12, 7 / 12]
    own = np.array([1.0, 7 / 8, 7 / 8, 35 / 48, 35 / 48, 7 / 12, 7 / 12, 7 / 12, 7 / 24, 7 / 24])
    assert answer.per_sample is not None
    for i, (row, value, slope) in enumerate(zip(SURVIVAL, answer.per_sample, slopes(answer), strict=True)):
        known = {"u": WHEN, "v": shares, "G": own[i], "H": free, "k": 5, "p": row, "T": LAST[i], "δ": SEEN[i]}
        numbers = Numbers(known).reading(loss.formula, loss.gradient)
        assert evaluated(loss.formula, numbers) == pytest.approx(value, rel=1e-14)
        found = [evaluated(loss.gradient, numbers.beside(j=j)) for j in range(5)]
        np.testing.assert_allclose(found, slope, rtol=1e-13)
