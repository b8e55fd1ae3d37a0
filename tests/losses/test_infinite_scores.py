"""Infinite scores where they have a meaning: everything is the limit of what finite ones give."""

import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from app.domains import Interval
from app.errors import InvalidArray
from app.losses import LOSSES, check, evaluate
from app.losses.outputs import arrays_by_name
from tests.folding import one_of_each
from tests.losses.drawing import Array, Case, cases, frozen

FAR = (1e12, 1e13)
"""Two scores that are as good as infinite: what is the same for both is a limit, and what has grown by a multiple has none."""


OF_NOTHING = {"grades", "gains", "time_or_never"}
"""Where ∞ is no score: −∞ says that there is no such item (`test_lists.py`), ∞ that a time was not reached (below)."""


def infinities(case: Case, name: str) -> tuple[float, ...]:
    if case.encodings[name].name in OF_NOTHING:
        return ()
    domain = case.encodings[name].domain
    return (domain if isinstance(domain, Interval) else domain.span).infinite


TAKING = [case for case in cases() if any(infinities(case, name) for name in case.encodings)]


def spoiled(case: Case, name: str, infinity: float, seed: int) -> NDArray[np.bool_]:
    """Where a score is infinite: a number of every other row, never all of a row of classes."""
    array = case.draw(n=6, seed=seed)[name]
    rng = np.random.default_rng(seed)
    flags = rng.random(array.shape) < 0.3
    flags[::2] = False
    if array.ndim > 1:
        flags[..., rng.integers(array.shape[-1])] = False
    return flags


def limit(near: Array, far: Array) -> Array:
    """What two numbers tend to."""
    with np.errstate(all="ignore"):
        return np.where(np.abs(far) > 5.0 * np.abs(near) + 1.0, np.copysign(np.inf, far), far)


def outputs(case: Case, arrays: dict[str, Array]) -> dict[str, Array]:
    wanted = [name for name in ("per_element", "gradient", "hessian_diagonal") if name != "gradient" or case.loss.differentiable]
    wanted = wanted[: 1 + case.loss.derivatives]
    found = evaluate(case.batch(frozen(arrays)), reduction="sum" if "sum" in case.reductions else "none", outputs=wanted)
    return {name: np.asarray(array) for name, array in arrays_by_name(found.outputs).items()}


def at_infinity(case: Case) -> Iterator[tuple[str, dict[str, Array], dict[str, Array]]]:
    """In words where scores are infinite, what is answered there, and the limit of what finite scores give."""
    for name in case.encodings:
        for infinity in infinities(case, name):
            for seed in range(4):
                arrays, flags = case.draw(n=6, seed=seed), spoiled(case, name, infinity, seed)
                moved = [{**arrays, name: np.where(flags, np.sign(infinity) * score, arrays[name])} for score in FAR]
                near, far = (outputs(case, given) for given in moved)
                answered = outputs(case, {**arrays, name: np.where(flags, infinity, arrays[name])})
                yield f"{case}: {name} {infinity} #{seed}", answered, {key: limit(near[key], far[key]) for key in near}


@pytest.mark.no_cover  # others run these lines as well
@pytest.mark.parametrize("loss", one_of_each(sorted({case.loss.name for case in TAKING}), lambda name: LOSSES[name].family))
def test_an_infinite_score_is_the_limit_of_finite_ones(loss: str) -> None:
    wrong: list[str] = []
    for case in TAKING:
        if case.loss.name == loss:
            for words, answered, expected in at_infinity(case):
                nothing = np.isinf(expected["per_element"])  # no alignment is possible: its loss may count 0, and nothing pulls
                for name, array in answered.items():
                    wanted = expected[name].copy()
                    if loss == "ctc" and (name == "gradient" or "zero_infinity=True" in words):
                        wanted[nothing] = 0.0
                    with np.errstate(all="ignore"):
                        same = np.isclose(array, wanted, rtol=1e-9, atol=1e-12) | (array == wanted)
                    if not same.all():
                        wrong.append(f"{words}: {name} {array[~same][:3]}, not {wanted[~same][:3]}")
    assert not wrong, "\n".join(wrong[:20]) + f"\n{len(wrong)} in all"


def test_which_losses_take_infinite_scores() -> None:
    names = {case.loss.name for case in TAKING}
    assert {"binary_cross_entropy", "hinge", "categorical_cross_entropy", "nll", "kl_divergence", "ctc", "dice"} <= names
    assert not names & {"mean_squared_error", "brier_score", "cosine_similarity"}


def test_a_row_without_a_class_that_can_be_is_refused() -> None:
    predictions = np.array([[0.5, 1.0], [-np.inf, -np.inf]])
    with pytest.raises(InvalidArray) as refused:
        check(LOSSES["categorical_cross_entropy"], {"from_logits": True}, predictions, np.array([0.0, 1.0]))
    assert refused.value.faults[0].path == ("predictions", 1)
    kept = check(
        LOSSES["categorical_cross_entropy"],
        {"from_logits": True},
        predictions,
        np.array([0.0, 1.0]),
        mask=np.array([True, False]),
    )
    assert evaluate(kept).gradient.tolist()[1] == [0.0, 0.0]


def test_infinity_above_means_nothing_in_a_row_of_classes() -> None:
    with pytest.raises(InvalidArray) as refused:
        check(LOSSES["nll"], {}, np.array([[0.0, np.inf]]), np.array([0.0]))
    assert "finite or −Infinity" in refused.value.faults[0].message


def test_a_label_that_cannot_be_costs_infinitely_and_no_other_row_is_spoiled() -> None:
    predictions = np.array([[-np.inf, 1.0, 0.0], [0.5, -np.inf, 1.25]])
    answer = evaluate(check(LOSSES["categorical_cross_entropy"], {"from_logits": True}, predictions, np.array([0.0, 2.0])))
    assert answer.per_sample[0] == np.inf
    assert answer.per_sample[1] == pytest.approx(np.log1p(np.exp(-0.75)), rel=1e-15)
    assert answer.gradient[0].tolist() == pytest.approx([-0.5, 0.5 / (1 + np.exp(-1.0)), 0.5 / (1 + np.exp(1.0))], rel=1e-15)
    assert answer.gradient[1, 1] == 0.0


def test_a_sequence_of_labels_that_cannot_be_is_infinite_or_nothing() -> None:
    frames = np.log(np.full((1, 3, 3), 1 / 3))
    frames[0, :, 1] = -np.inf
    for zero_infinity, value in ((False, np.inf), (True, 0.0)):
        answer = evaluate(check(LOSSES["ctc"], {"zero_infinity": zero_infinity}, frames, np.array([[1.0, -1.0]])))
        assert answer.value == value
        assert not answer.gradient.any()


SURVIVING: Mapping[str, Callable[[float], float]] = {
    "normal": lambda a: -math.log(0.5 * math.erfc(a / math.sqrt(2.0))),
    "logistic": lambda a: math.log1p(math.exp(a)),
    "extreme": math.exp,
}
"""The surprise at a time beyond a."""


@pytest.mark.parametrize("distribution", SURVIVING)
@pytest.mark.parametrize("scale", [0.7, 1.0, 1.7, 1e6])
def test_a_time_that_was_not_reached_is_a_survival(distribution: str, scale: float) -> None:
    parameters = {"distribution": distribution, "scale": scale}
    predictions, lower = np.array([0.5, -1.0, 2.0]), np.array([1.0, 2.0, 5.0])
    answer = evaluate(check(LOSSES["aft_nll"], parameters, predictions, {"lower": lower, "upper": np.full(3, np.inf)}))
    expected = [SURVIVING[distribution]((math.log(time) - place) / scale) for time, place in zip(lower, predictions, strict=True)]
    assert answer.per_sample.tolist() == pytest.approx(expected, rel=1e-13)
    assert np.isfinite(answer.gradient).all()
