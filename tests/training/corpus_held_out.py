"""Runs that no rule was tuned on: written before the rules of rows were, and looked at once.

Other data, models and settings than those of the corpus; the truth of each is checked in the same way.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from app.losses import LOSSES
from app.training import SCHEDULES, Chosen, Holdout, Plan, Table
from tests.training.corpus import HEALTHY, LINEAR, LOGITS, Case, data, mlp, optimizer, plan, trees
from tests.training.corpus_of_rows import (
    ADRIFT,
    BOOSTED,
    FRESH,
    LBFGS,
    RESTING,
    Fresh,
    Judged,
    clouds,
    curve,
    few_to_validate,
    hit,
    in_order,
    labels_from_1,
    outliers,
    rare_class,
    two_values,
    unscaled,
    unshuffled,
)

CROSS: Any = ("categorical_cross_entropy", LOGITS)


def faulty() -> Iterator[Judged]:
    yield rare_class(71, 0.02, 2.2, "squared_hinge", model=LINEAR)
    yield rare_class(72, 0.04, 1.8, "binary_cross_entropy", None, model=mlp(16, 16), epochs=25)
    yield _rare_of_three(73)
    yield rare_class(74, 0.03, 1.8, "binary_cross_entropy", LOGITS, **LBFGS)
    yield outliers(75, 0.02, -200.0, 0.0, **LBFGS)
    yield outliers(76, 0.04, 60.0, 2.0, model=mlp(64), epochs=60)
    yield outliers(77, 0.01, 500.0, 0.5, model=trees(max_depth=2, learning_rate=0.2), optimizer=None, epochs=50)
    yield outliers(78, 0.08, 25.0, 0.0, model=LINEAR, optimizer=optimizer("sgd", 0.02))
    yield _absent("iris", 79, 50, *CROSS)
    yield _absent("wine", 80, 48, "multi_margin", None, model=LINEAR)
    yield _absent("moons", 81, 150, "logistic", None)
    yield unshuffled(82, data("moons", 400, 82), "binary_cross_entropy", LOGITS)
    yield unshuffled(83, data("friedman1", 500, 83), "mean_absolute_error", optimizer=optimizer("adam", 0.02))
    yield unshuffled(84, data("circles", 300, 84), "squared_hinge", optimizer=optimizer("adam", 0.02))
    yield labels_from_1(85, 5, "mean_squared_error", **BOOSTED)
    yield labels_from_1(86, 3, "log_cosh", model=mlp(16, 16))
    yield labels_from_1(87, 6, "categorical_cross_entropy", model=LINEAR)
    yield two_values(88, 0.5, 6.0, **LBFGS)
    yield two_values(89, 0.35, 4.5, model=LINEAR, optimizer=optimizer("sgd", 0.05))
    yield two_values(90, 0.1, 5.0, model=LINEAR)
    yield unscaled(91, (0.001, 1.0, 500.0, 1.0), ADRIFT, optimizer=optimizer("rmsprop", 0.01))
    yield unscaled(92, (1.0, 50.0, 2500.0), ADRIFT, model=LINEAR, optimizer=optimizer("sgd", 0.001))
    yield few_to_validate(93, 500, 2, model=mlp(8), optimizer=optimizer("adam", 0.02), epochs=40)
    yield few_to_validate(94, 200, 3)
    yield few_to_validate(95, 250, 2)
    yield _settings("schedule falls too early", frozenset({"plateau"}), "schedule", 96, _stepped, schedule=None)
    yield _settings("gradient cut to nothing", frozenset({"plateau", "still_improving"}), "gradient_clipping", 97, _cut)
    stumps = plan(data("xor", 400, 98), "logistic", seed=98, model=trees(max_depth=1), optimizer=None, epochs=40)
    cure = replace(stumps, model=trees(max_depth=3))
    yield Judged(Case("stumps on xor", frozenset({"underfitting"}), "max_depth", stumps, cure), None)


def _rare_of_three(seed: int) -> Judged:
    shares = (0.57, 0.4, 0.03)
    made = plan(Table(*clouds(seed, 700, shares, 1.5)), *CROSS, seed=seed, model=LINEAR)
    fresh = Fresh(*clouds(seed + 1, FRESH, shares, 1.5), "classes")
    return Judged(Case("rare class", frozenset({"misfit"}), "class_weight", made, replace(made, class_weight="balanced")), fresh)


def _absent(name: str, seed: int, last: int, loss: str, parameters: Any, **changes: Any) -> Judged:
    table = data(name) if name in ("iris", "wine") else data(name, 300, seed)
    assert isinstance(table.targets, np.ndarray)
    rows = replace(in_order(table.inputs, table.targets), classes=table.classes)
    made = plan(rows, loss, parameters, seed=seed, validation=Holdout(None, last=last), **changes)
    order = np.random.default_rng(seed).permutation(len(table.inputs))
    cure = replace(made, data=replace(table, inputs=table.inputs[order], targets=table.targets[order]))
    return Judged(Case("class without training rows", frozenset({"misfit"}), "validation", made, cure), None)


def _stepped(seed: int) -> Plan:
    steps = Chosen(SCHEDULES["step"], {})
    return plan(data("friedman1", 300, seed), "mean_squared_error", seed=seed, epochs=150, schedule=steps, **SLOW)


SLOW: dict[str, Any] = {"optimizer": optimizer("sgd", 0.01)}


def _cut(seed: int) -> Plan:
    return plan(data("friedman1", 300, seed), "huber", seed=seed, clip_norm=1e-4, **SLOW)


def _settings(fault: str, verdicts: frozenset[str], word: str, seed: int, make: Any, **cure: Any) -> Judged:
    made = make(seed)
    return Judged(Case(fault, verdicts, word, made, replace(made, **(cure or {"clip_norm": None}))), None)


def healthy() -> Iterator[Case]:
    for made in _healthy():
        yield Case(HEALTHY, RESTING, "", made, None)


def _healthy() -> Iterator[Plan]:
    yield plan(data("wine"), *CROSS, model=LINEAR)
    yield plan(data("breast_cancer"), "binary_cross_entropy", LOGITS, model=LINEAR)
    yield plan(data("breast_cancer"), "hinge", model=LINEAR, epochs=20)
    yield plan(data("digits"), *CROSS, epochs=12)
    yield plan(data("diabetes"), "mean_squared_error", **LBFGS)
    yield plan(data("diabetes"), "huber", {"delta": 0.5}, model=LINEAR)
    yield plan(data("outliers", 300, 61), "mean_absolute_error", model=LINEAR)
    yield plan(Table(*clouds(62, 500, (0.95, 0.05), 7.0)), "logistic", model=LINEAR)
    yield plan(Table(*clouds(63, 600, (0.9, 0.1), 4.5)), "binary_cross_entropy", LOGITS, **BOOSTED | {"epochs": 20})
    yield plan(Table(*clouds(64, 600, (0.6, 0.37, 0.03), 6.0)), *CROSS, model=LINEAR)
    yield plan(Table(*clouds(65, 500, (0.95, 0.05), 2.5)), "logistic", model=LINEAR, class_weight="balanced")
    inputs, truth = curve(66, 3000)
    yield plan(Table(inputs, hit(66, truth, 0.03, 500.0)), "huber", model=LINEAR, epochs=15)
    yield plan(Table(inputs[:400], truth[:400] + np.random.default_rng(1).laplace(size=400)), "mean_squared_error", model=LINEAR)
    sorted_rows = in_order(*clouds(67, 400, (0.3, 0.3, 0.4), 5.0))
    yield plan(sorted_rows, *CROSS, validation=Holdout(0.25, split="stratified"))
    yield plan(in_order(inputs[:500], truth[:500] + 0.2 * np.sin(9.0 * truth[:500])), "mean_squared_error", model=LINEAR)
    yield plan(data("circles", 300, 68), "logistic", shuffle=False, epochs=60)
    ratings = np.clip(np.round(2.5 + truth[:400]), 1.0, 4.0)
    yield plan(Table(inputs[:400], ratings), "mean_squared_error", **LBFGS)
    yield plan(Table(inputs[:400], np.floor(np.exp(0.4 * truth[:400]))), "poisson_nll", model=LINEAR)
    yield plan(Table(*clouds(69, 400, (0.5, 0.5), 4.0)), "mean_squared_error", model=mlp(16, output="sigmoid"), epochs=30)
    yield plan(Table(*clouds(70, 400, (0.5, 0.5), 4.0)), "brier_score", model=LINEAR)
    yield plan(Table(inputs[:300] * [1.0, 3.0, 0.5, 1.0, 2.0], truth[:300]), "mean_squared_error", standardize_inputs=False)
    yield plan(Table(inputs[:200], truth[:200] + 0.05 * inputs[:200, 1]), "mean_squared_error", validation=Holdout(0.05), **LBFGS)
    yield plan(Table(*clouds(71, 400, (0.5, 0.5), 1.2)), "mean_squared_error", **LBFGS)
    quiet = Chosen(LOSSES["quantile"], {"quantile": 0.9})
    yield replace(plan(data("friedman1", 400, 72), "quantile", epochs=30), loss=quiet)
