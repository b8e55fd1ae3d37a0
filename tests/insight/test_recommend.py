"""recommend: traits on made data with and without each of them, the ranking that is promised, and specs that are taken."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from app.errors import CallerError
from app.insight.described import recommend_for
from app.insight.recommend import ADVICE, Recommended
from app.insight.traits import TASKS, TRAITS
from app.losses import LOSSES, check, evaluate
from tests.losses.drawing import admits, kinds_of

SEEDS = range(12)
N = 400
Make = Callable[[np.random.Generator], Any]
ROBUST = {"huber", "mean_absolute_error", "log_cosh", "quantile"}
SQUARES = {"mean_squared_error", "half_squared_error", "root_mean_squared_error"}


def traits(found: Recommended) -> set[str]:
    return {trait.trait for trait in found.traits}


def names(found: Recommended) -> list[str]:
    return [recommendation.loss.name for recommendation in found.recommendations]


def spoiled(rng: np.random.Generator) -> Any:
    numbers = rng.normal(size=N)
    numbers[rng.choice(N, N // 50, replace=False)] += rng.choice([-1, 1], N // 50) * rng.uniform(15, 60, N // 50)
    return numbers


def labels(rng: np.random.Generator, *shares: float) -> Any:
    return np.repeat(np.arange(len(shares)), (np.array(shares) * N).astype(int))


PLAIN: Mapping[str, Make] = {
    "normal": lambda rng: rng.normal(3.0, 2.0, N),
    "uniform": lambda rng: rng.uniform(-5, 20, N),
    "far from 0": lambda rng: rng.normal(100.0, 5.0, N),
    "logistic": lambda rng: rng.logistic(size=N),
    "columns": lambda rng: rng.normal(size=(N, 2)) * (1.0, 1000.0),
    "two classes": lambda rng: rng.integers(0, 2, N),
    "three classes": lambda rng: rng.integers(0, 3, N),
    "ten classes": lambda rng: rng.integers(0, 10, N),
    "flags of rows": lambda rng: rng.integers(0, 2, (N, 3)),
    "names": lambda rng: rng.choice(["cat", "dog", "cow"], N).tolist(),
}
"""Data that show nothing."""
WITH: Mapping[str, Sequence[tuple[Make, set[str]]]] = {
    "outliers": [(spoiled, set()), (lambda rng: 50.0 + spoiled(rng) * 0.1, {"skew"})],
    "skew": [
        (lambda rng: rng.gamma(1.0, 2.0, N), set()),
        (lambda rng: rng.lognormal(0, 1, N), set()),
        (lambda rng: rng.gamma(0.5, 2.0, N), set()),
    ],
    "zeros": [(lambda rng: np.where(rng.random(N) < 0.3, 0.0, rng.gamma(2, 2, N)), {"skew"})],
    "counts": [
        (lambda rng: rng.poisson(3.0, N), set()),
        (lambda rng: rng.poisson(40.0, N), set()),
        (lambda rng: rng.negative_binomial(2, 0.1, N), set()),
    ],
    "bounds": [(lambda rng: rng.beta(2, 3, N), set()), (lambda rng: rng.uniform(0, 1, N), set())],
    "censoring": [
        (lambda rng: np.minimum(rng.normal(5, 1, N), 6.0), set()),
        (lambda rng: np.maximum(rng.normal(5, 1, N), 4.0), set()),
    ],
    "ties": [(lambda rng: rng.integers(1, 10, N) / 2.0, set()), (lambda rng: np.round(rng.normal(size=N), 1), set())],
    "imbalance": [(lambda rng: labels(rng, 0.97, 0.03), set()), (lambda rng: labels(rng, 0.6, 0.38, 0.02), set())],
    "label_encoding": [
        (lambda rng: rng.integers(0, 2, N) * 2 - 1, set()),
        (lambda rng: rng.integers(1, 5, N), set()),
        (lambda rng: rng.random(N) < 0.5, set()),
        (lambda rng: np.eye(4)[rng.integers(0, 4, N)], set()),
    ],
}
"""Data that show a trait, and which others they may show besides."""


@pytest.mark.parametrize("trait", WITH)
def test_each_trait_is_seen_where_it_is_and_no_other(trait: str) -> None:
    missed, false = list[tuple[int, int]](), list[tuple[int, int, set[str]]]()
    for which, (make, besides) in enumerate(WITH[trait]):
        for seed in SEEDS:
            found = traits(recommend_for(make(np.random.default_rng(seed)), None, None))
            if trait not in found:
                missed.append((which, seed))
            if found - besides - {trait}:
                false.append((which, seed, found))
    assert not missed
    assert len(false) <= 1, false


def test_data_that_show_nothing_have_no_traits() -> None:
    false = [
        (name, seed, found)
        for name, make in PLAIN.items()
        for seed in SEEDS
        if (found := traits(recommend_for(make(np.random.default_rng(seed)), None, None)))
    ]
    assert len(false) <= 1, false


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
        assert names(recommend_for(WITH["zeros"][0][0](rng), None, None))[0] == "tweedie_deviance"
        assert names(recommend_for(rng.poisson(4.0, N), "count", None))[0] in {"poisson_deviance", "poisson_nll"}
        assert "binary_cross_entropy" in names(recommend_for(rng.beta(2, 2, N), None, None))[:3]
        assert names(recommend_for(rng.integers(0, 2, N), None, None))[0] in {"binary_cross_entropy", "logistic", "brier_score"}
        assert names(recommend_for(rng.integers(0, 4, N), "multiclass", None))[0] == "categorical_cross_entropy"
        rare = recommend_for(labels(rng, 0.95, 0.05), None, None).recommendations[0]
        assert (rare.loss.name, rare.parameters["pos_weight"]) == ("binary_cross_entropy", pytest.approx(19.0))


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
        assert all(text.endswith(".") for text in (advice.why, advice.against))
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
