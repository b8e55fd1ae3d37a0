"""Identities of the losses of survival: what risks, times and censoring may and may not change."""

from typing import Any

import numpy as np
import pytest

from app.errors import InvalidInput
from app.losses import LOSSES, Evaluation, check, evaluate
from tests.losses.drawing import Array, gradients_of

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
