"""recommend: traits on made data with and without each of them, the ranking that is promised, and specs that are taken."""

from typing import Any

import numpy as np
import pytest

from app.errors import CallerError
from app.insight.described import recommend_for
from app.insight.recommend import ADVICE, Recommended
from app.insight.traits import TASKS, TRAITS
from app.losses import LOSSES, check, evaluate
from tests.insight.simulate_traits import MADE, ROBUST, SQUARES, count, traits
from tests.losses.drawing import admits, kinds_of

SEEDS = range(12)
N = 400
CHANCE = 2
"""Draws of the twelve in which chance may show, or hide, a trait: how often it does, simulate_traits counts."""


def names(found: Recommended) -> list[str]:
    return [recommendation.loss.name for recommendation in found.recommendations]


def spoiled(rng: np.random.Generator) -> Any:
    return MADE["normal, 2 % far off"].make(rng, N)


def labels(rng: np.random.Generator, *shares: float) -> Any:
    return np.repeat(np.arange(len(shares)), (np.array(shares) * N).astype(int))


@pytest.mark.no_cover  # others run these lines as well
def test_traits_are_found_where_they_are_and_no_others_and_the_first_loss_suits() -> None:
    counts = {name: count(made, N, len(SEEDS)) for name, made in MADE.items()}
    least = len(SEEDS) - CHANCE
    assert not {name: found for name, found in counts.items() if found.found < least or found.first < least}
    assert sum(found.false for found in counts.values()) <= CHANCE
    assert {trait.__name__ for trait in TRAITS} - {"saturation"} == {trait for made in MADE.values() for trait in made.traits}


def test_saturated_probabilities_are_a_trait() -> None:
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        p, y = rng.uniform(0.02, 0.98, N), rng.integers(0, 2, N)
        assert traits(recommend_for(y, None, p)) == set()
        p[:8] = rng.choice([0.0, 1.0, 1e-9, 1 - 1e-9], 8)
        found = recommend_for(y, None, p)
        assert traits(found) == {"saturation"}
        assert traits(recommend_for(y, None, rng.normal(size=N) * 30)) == set()  # logits


def test_residuals_tell_outliers_where_there_are_predictions() -> None:
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        targets = rng.normal(size=N)
        wild = targets.copy()
        wild[:8] += 40.0
        assert traits(recommend_for(targets, None, targets + 0.1 * rng.normal(size=N))) == set()
        assert traits(recommend_for(wild, None, targets + 0.1 * rng.normal(size=N))) == {"outliers"}
        assert traits(recommend_for(wild, None, wild + 0.1 * rng.normal(size=N))) == set()


# --- what the contract says of the ranking --------------------------------------------------------------------------------


def test_the_ranking_is_as_promised() -> None:
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        assert names(recommend_for(rng.normal(size=N), None, None))[0] in {"mean_squared_error", "half_squared_error"}
        wild = names(recommend_for(spoiled(rng), None, None))
        assert wild[0] in ROBUST
        assert not SQUARES & {*wild[:2]}
        both = rng.gamma(1.0, 2.0, N)
        both[:10] *= 1000.0
        found = recommend_for(both, None, None)
        if "outliers" in traits(found):
            assert names(found)[0] in ROBUST
            assert not SQUARES & {*names(found)[:2]}
        assert names(recommend_for(rng.gamma(1.0, 2.0, N), None, None))[0] in {
            "gamma_deviance",
            "tweedie_deviance",
            "mean_squared_logarithmic_error",
        }
        assert names(recommend_for(MADE["gamma, 30 % zeros"].make(rng, N), None, None))[0] == "tweedie_deviance"
        assert names(recommend_for(rng.poisson(4.0, N), "count", None))[0] in {"poisson_deviance", "poisson_nll"}
        assert "binary_cross_entropy" in names(recommend_for(rng.beta(2, 2, N), None, None))[:3]
        assert names(recommend_for(rng.integers(0, 2, N), None, None))[0] in {"binary_cross_entropy", "logistic", "brier_score"}
        assert names(recommend_for(rng.integers(0, 4, N), "multiclass", None))[0] == "categorical_cross_entropy"
        rare = recommend_for(labels(rng, 0.95, 0.05), None, None).recommendations[0]
        assert (rare.loss.name, rare.parameters["pos_weight"]) == ("binary_cross_entropy", pytest.approx(19.0))


def test_small_whole_numbers_are_said_to_be_open_where_nobody_says_what_they_are() -> None:
    rng = np.random.default_rng(2)
    counts, classes = rng.poisson(4.0, N), rng.integers(0, 4, N)
    assert "task multiclass" in str(recommend_for(counts, None, None).doubt)
    assert "task count" in str(recommend_for(classes, None, None).doubt)
    assert recommend_for(counts, "count", None).doubt is None
    assert recommend_for(counts * 10, None, None).doubt is None
    assert recommend_for(rng.normal(size=N), None, None).doubt is None
    assert recommend_for(classes, None, rng.normal(size=(N, 4))).doubt is None


def test_what_the_task_says_decides() -> None:
    numbers = np.array([0, 1, 2, 1, 0, 2, 1, 1, 0, 2])
    assert traits(recommend_for(numbers, "count", None)) == {"counts"}
    assert traits(recommend_for(numbers, "multiclass", None)) == set()
    assert "counts" not in traits(recommend_for(numbers, "regression", None))
    for task in TASKS:
        found = recommend_for(None, task, None)
        assert (found.task, found.traits) == (task, ())
        assert found.recommendations
        assert [recommendation.rank for recommendation in found.recommendations] == [*range(1, len(found.recommendations) + 1)]
        assert all(recommendation.why and recommendation.against for recommendation in found.recommendations)


def test_scores_are_told_from_probabilities() -> None:
    rng = np.random.default_rng(0)
    y, logits = rng.integers(0, 2, N), rng.normal(size=N) * 3
    for recommendation in recommend_for(y, None, logits, limit=50).recommendations:
        assert recommendation.parameters.get("from_logits", recommendation.loss.name in {"logistic", "hinge"}) is True
    found = recommend_for(y, None, 1 / (1 + np.exp(-logits)), limit=50)
    assert found.recommendations
    assert not any("from_logits" in recommendation.parameters for recommendation in found.recommendations)
    assert not {"logistic", "hinge"} & {*names(found)}
    rows = rng.normal(size=(N, 3))
    assert recommend_for(rng.integers(0, 3, N), None, rows).recommendations[0].parameters == {"from_logits": True}


# --- every spec is taken --------------------------------------------------------------------------------------------------


def test_every_spec_is_taken_by_evaluate_with_these_arrays() -> None:
    rng = np.random.default_rng(1)
    p = rng.uniform(0.01, 0.99, N)
    rows = rng.dirichlet(np.ones(3), N)
    pairs: list[tuple[Any, Any]] = [
        (rng.normal(size=N), rng.normal(size=N)),
        (rng.gamma(1, 2, N), rng.gamma(1, 2, N)),
        (rng.gamma(1, 2, N), rng.normal(size=N)),
        (rng.poisson(3, N), rng.gamma(3, 1, N)),
        (rng.poisson(3, N), rng.normal(size=N)),
        (p, p[::-1].copy()),
        (p, rng.normal(size=N)),
        (rng.integers(0, 2, N), p),
        (rng.integers(0, 2, N), 9 * p - 4),
        (rng.random(N) < 0.02, p),
        (rng.integers(0, 2, N) * 2 - 1, p),
        (rng.integers(0, 3, N), rows),
        (rng.integers(0, 3, N), np.log(rows) + 3),
        (np.eye(3)[rng.integers(0, 3, N)], rows),
        (labels(rng, 0.6, 0.39, 0.01), rows),
        (labels(rng, 0.5, 0.495, 0.005), np.hstack([rows, rows]) / 2),
        (rng.integers(0, 2, (N, 3)), rng.uniform(size=(N, 3))),
        (rng.integers(0, 2, (N, 3)), rng.normal(size=(N, 3))),
        (rng.normal(size=(N, 2)), rng.normal(size=(N, 2))),
    ]
    for which, (targets, predictions) in enumerate(pairs):
        predictions = predictions[: len(targets)]
        found = recommend_for(targets, None, predictions, limit=50)
        assert found.recommendations, which
        for recommendation in found.recommendations:
            batch = check(recommendation.loss, recommendation.parameters, predictions, np.asarray(targets))
            assert evaluate(batch).value is not None, (which, recommendation.loss.name)


def test_what_is_known_of_losses_is_true_of_the_registry() -> None:
    known = {trait.__name__ for trait in TRAITS}
    for advice in ADVICE:
        loss = LOSSES[advice.loss]
        assert {*advice.tasks} <= {*TASKS}
        assert {*advice.traits} <= known
        assert advice.needs in {*known, ""}
        for name, value in advice.parameters.items():
            _, metadata = kinds_of(loss.parameters[name].annotation)
            assert callable(value) or not isinstance(value, float) or admits(metadata, value), (advice.loss, name)
        assert all(not text or text.endswith(".") for text in (advice.why, advice.against))
        assert loss.guide.use_when
        assert loss.guide.avoid_when
    assert {task for advice in ADVICE for task in advice.tasks} == {*TASKS}


# --- refusals -------------------------------------------------------------------------------------------------------------

REFUSED: list[tuple[Any, Any, Any, tuple[Any, ...], str]] = [
    (None, None, None, (), "missing"),
    (None, "count", np.ones(2), ("targets",), "missing"),
    (np.ones(1), None, None, ("targets",), "too_few_samples"),
    (np.array([0.5, 1.0]), "count", None, ("targets",), "out_of_range"),
    (np.array([-1.0, 1.0]), "survival", None, ("targets",), "out_of_range"),
    (np.array([0.0, 1.0, 2.0]), "binary", None, ("targets",), "out_of_range"),
    (np.array([0.5, 1.5]), "multiclass", None, ("targets",), "out_of_range"),
    (np.array([0.0, 1.0]), "multilabel", None, ("targets",), "out_of_range"),
    (["a", "b"], "regression", None, ("targets",), "out_of_range"),
    (np.ones((2, 2, 2)), None, None, ("targets",), "shape"),
    (np.array([1.0, np.nan]), None, None, ("targets", 1), "not_a_number"),
    (np.array([1.0, np.inf]), None, None, ("targets", 1), "not_finite"),
    (np.ones(3), None, np.ones(2), ("predictions",), "shape_mismatch"),
]


@pytest.mark.parametrize(("targets", "task", "predictions", "path", "code"), REFUSED)
def test_what_does_not_fit_is_refused(targets: Any, task: Any, predictions: Any, path: tuple[Any, ...], code: str) -> None:
    with pytest.raises(CallerError) as refused:
        recommend_for(targets, task, predictions)
    assert (refused.value.faults[0].path, refused.value.faults[0].code) == (path, code)
