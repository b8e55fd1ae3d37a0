"""Runs whose fault is in their rows: what a person does with data, rather than with settings.

A loss is no judge of these, since the fault is in what it is measured on, or in the loss itself. So each has rows that no run
has seen, drawn after the same law, and the cure has to come nearer to what is true of them.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.losses import LOSSES
from app.training import OPTIMIZERS, Chosen, Holdout, Plan, Table, finish, fit, keep, prepare, start
from tests.training.corpus import HEALTHY, LINEAR, LOGITS, Case, data, ended, mlp, optimizer, plan, trees

Array = NDArray[np.float64]
LBFGS: dict[str, Any] = {"model": LINEAR, "optimizer": Chosen(OPTIMIZERS["lbfgs"], {}), "epochs": 5}
BOOSTED: dict[str, Any] = {"model": trees(), "optimizer": None, "epochs": 60}
FRESH = 4_000
"""Rows that no run has seen."""
DRAWS = 10
"""Other rows to validate with, of a run that has too few."""


class Fresh(NamedTuple):
    """Rows that no run has seen, and what is true of them."""

    inputs: Array
    truth: Array
    of: Literal["numbers", "classes", "probabilities", "validation"]
    """By which error a model is judged: its mean absolute one, one less the balanced accuracy, the squared error of a
    probability, or how far validation losses lie from the loss on these rows, as a share of it."""


def missed(made: Plan, fresh: Fresh) -> float:
    """The error of a run's model on rows that it has not seen."""
    if fresh.of == "validation":
        return _spread(made, fresh)
    run = prepare(made)
    state = start(run)
    for _ in fit(run, state):
        pass
    trained = keep(run, state, finish(run, state))
    found, truth = trained.predict(fresh.inputs), fresh.truth
    if fresh.of == "numbers":
        return float(np.abs(found.predictions - truth).mean())
    assert not isinstance(found.decided, dict)
    if fresh.of == "probabilities":
        told = None if found.decided is None else found.decided.probabilities
        shares = np.clip(found.predictions, 0.0, 1.0) if told is None else told[:, 1]
        return float(np.square(shares - truth).mean())
    labels = np.unique(truth)
    if found.decided is None:
        decided = labels[np.abs(found.predictions[:, None] - labels).argmin(axis=1)]
    else:
        names = found.decided.classes
        places = range(len(names)) if isinstance(names[0], str) else names
        decided = np.array([*places], np.float64)[found.decided.places]
    return 1.0 - float(np.mean([(decided[truth == label] == label).mean() for label in labels]))


def _spread(made: Plan, fresh: Fresh) -> float:
    """The mean distance of validation losses, over draws of the rows to validate with, from the loss on rows unseen."""
    apart: list[float] = []
    for seed in range(DRAWS):
        run = prepare(replace(made, validation=replace(made.validation, seed=seed)))
        state = start(run)
        last = [*fit(run, state)][-1].validation_loss
        assert last is not None
        whole = prepare(replace(made, validation=Holdout(table=Table(fresh.inputs, fresh.truth), fraction=None)))
        assert whole.validation is not None
        found = keep(run, state, finish(run, state)).predict(fresh.inputs).predictions
        scale = 1.0 if run.targets_scale is None else float(run.targets_scale.deviation)
        there = float(np.square((found - fresh.truth) / scale).mean())
        apart.append(abs(last - there) / there)
    return float(np.mean(apart))


# --- laws after which rows are drawn --------------------------------------------------------------------------------------


def clouds(seed: int, rows: int, shares: tuple[float, ...], apart: float, columns: int = 4) -> tuple[Array, Array]:
    """Classes in such shares, each a cloud of deviation 1 around a mean so far from the others'."""
    means = np.random.default_rng([len(shares), 5]).normal(size=(len(shares), columns))
    means *= apart / np.linalg.norm(means[0] - means[1])
    rng = np.random.default_rng([seed, rows])
    labels = rng.choice(len(shares), rows, p=shares)
    return means[labels] + rng.normal(size=(rows, columns)), labels.astype(np.float64)


def curve(seed: int, rows: int, columns: int = 5, bent: float = 0.0) -> tuple[Array, Array]:
    """Rows, and what is true of them: a line, and as much of a wave as it is bent."""
    inputs = np.random.default_rng([seed, rows, 3]).normal(size=(rows, columns))
    return inputs, inputs @ np.linspace(1.0, -1.0, columns) + bent * np.sin(2.0 * inputs[:, 0])


def hit(seed: int, truth: Array, share: float, far: float, noise: float = 0.3) -> Array:
    """The truth through noise, and a share of it far above."""
    rng = np.random.default_rng([seed, len(truth), 9])
    hits = np.arange(len(truth)) < round(share * len(truth))
    return truth + noise * rng.normal(size=len(truth)) + far * rng.permutation(hits) * rng.uniform(0.5, 1.5, len(truth))


def in_order(inputs: Array, targets: Array) -> Table:
    """Rows sorted by what is to be learned of them."""
    order = np.argsort(targets, kind="stable")
    return Table(inputs[order], targets[order])


# --- runs -----------------------------------------------------------------------------------------------------------------


class Judged(NamedTuple):
    """A run and its truth, with the rows by which a cure is judged."""

    case: Case
    fresh: Fresh | None


def rare_class(seed: int, share: float, apart: float, loss: str, parameters: Any = None, **changes: Any) -> Judged:
    shares, rows = (1.0 - share, share), 600
    made = plan(Table(*clouds(seed, rows, shares, apart)), loss, parameters, seed=seed, **changes)
    fresh = Fresh(*clouds(seed + 1, FRESH, shares, apart), "classes")
    cure = replace(made, class_weight="balanced")
    return Judged(Case("rare class", frozenset({"misfit"}), "class_weight", made, cure), fresh)


def outliers(seed: int, share: float, far: float, bent: float, **changes: Any) -> Judged:
    inputs, truth = curve(seed, 300, bent=bent)
    made = plan(Table(inputs, hit(seed, truth, share, far)), "mean_squared_error", seed=seed, **changes)
    fresh = Fresh(*curve(seed + 1, FRESH, bent=bent), "numbers")
    cure = replace(made, loss=Chosen(LOSSES["mean_absolute_error"], {}))
    return Judged(Case("outliers", frozenset({"misfit"}), "instead of mean_squared_error", made, cure), fresh)


def absent_class(seed: int, shares: tuple[float, ...], last: int, loss: str, parameters: Any = None, **changes: Any) -> Judged:
    inputs, labels = clouds(seed, 300, shares, 5.0)
    made = plan(in_order(inputs, labels), loss, parameters, seed=seed, validation=Holdout(None, last=last), **changes)
    cure = replace(made, data=Table(inputs, labels))
    fresh = Fresh(*clouds(seed + 1, FRESH, shares, 5.0), "classes")
    return Judged(Case("class without training rows", frozenset({"misfit"}), "validation", made, cure), fresh)


def unshuffled(seed: int, table: Table, loss: str, parameters: Any = None, **changes: Any) -> Judged:
    """Of these a loss is a judge: rows to validate with are of all kinds."""
    assert isinstance(table.targets, np.ndarray)
    rows = in_order(table.inputs, table.targets)
    made = plan(rows, loss, parameters, seed=seed, shuffle=False, restore_best=False, **changes)
    return Judged(Case("rows in order", frozenset({"oscillating"}), "shuffle true", made, replace(made, shuffle=True)), None)


def labels_from_1(seed: int, classes: int, loss: str, **changes: Any) -> Judged:
    shares = (1.0 / classes,) * classes
    inputs, labels = clouds(seed, 300, shares, 5.0, 6)
    made = plan(Table(inputs, labels + 1.0), loss, seed=seed, **changes)
    there, truth = clouds(seed + 1, FRESH, shares, 5.0, 6)
    cure = replace(made, loss=Chosen(LOSSES["categorical_cross_entropy"], LOGITS))
    word = "cross_entropy" if loss != "categorical_cross_entropy" else "data.targets"
    case = Case("labels from 1", frozenset({"misfit"}), word, made, None if word == "data.targets" else cure)
    return Judged(case, Fresh(there, truth + 1.0, "classes"))


def two_values(seed: int, share: float, apart: float, **changes: Any) -> Judged:
    shares = (1.0 - share, share)
    made = plan(Table(*clouds(seed, 400, shares, apart)), "mean_squared_error", seed=seed, **changes)
    cure = replace(made, loss=Chosen(LOSSES["binary_cross_entropy"], LOGITS))
    fresh = Fresh(*clouds(seed + 1, FRESH, shares, apart), "probabilities")
    return Judged(Case("squared error on two values", frozenset({"misfit"}), "cross_entropy", made, cure), fresh)


def unscaled(seed: int, scales: tuple[float, ...], verdicts: frozenset[str], **changes: Any) -> Judged:
    inputs, truth = curve(seed, 300, len(scales), bent=1.0)
    made = plan(
        Table(inputs * scales, hit(seed, truth, 0.0, 0.0)), "mean_squared_error", seed=seed, standardize_inputs=False, **changes
    )
    there, true = curve(seed + 1, FRESH, len(scales), bent=1.0)
    case = Case("columns far apart", verdicts, "standardize.inputs", made, replace(made, standardize_inputs=True))
    return Judged(case, Fresh(there * scales, true, "numbers"))


def few_to_validate(seed: int, rows: int, held: int, **changes: Any) -> Judged:
    inputs, truth = curve(seed, rows)
    targets = hit(seed, truth, 0.0, 0.0, noise=1.0)
    made = plan(
        Table(inputs, targets), "mean_squared_error", seed=seed, validation=Holdout(held / rows, seed=seed), **LBFGS | changes
    )
    cure = replace(made, validation=Holdout(0.3, seed=seed))
    there, true = curve(seed + 1, FRESH)
    case = Case("few rows to validate with", frozenset({"inconclusive"}), "validation", made, cure)
    return Judged(case, Fresh(there, hit(seed + 1, true, 0.0, 0.0, noise=1.0), "validation"))


ADRIFT = frozenset({"plateau", "diverging", "oscillating", "underfitting", "still_improving"})


def faulty(seeds: int = 3) -> Iterator[Judged]:
    """Every fault in several models, from each seed."""
    for seed in range(seeds):
        yield rare_class(seed, 0.04, 1.6, "binary_cross_entropy", LOGITS, model=LINEAR)
        yield rare_class(seed, 0.03, 2.0, "logistic", model=mlp(8), epochs=20)
        yield rare_class(seed, 0.05, 1.5, "binary_cross_entropy", LOGITS, **BOOSTED | {"epochs": 30})
        yield outliers(seed, 0.03, 100.0, 0.0, model=LINEAR)
        yield outliers(seed, 0.05, 30.0, 1.0)
        yield outliers(seed, 0.03, 100.0, 1.0, **BOOSTED)
        yield absent_class(seed, (0.35, 0.35, 0.3), 110, "categorical_cross_entropy", LOGITS)
        yield absent_class(seed, (0.7, 0.3), 120, "binary_cross_entropy", LOGITS, model=LINEAR)
        yield unshuffled(seed, data("circles", 400, seed), "logistic")
        yield unshuffled(seed, data("circles", 400, seed), "logistic", optimizer=optimizer("sgd", 0.3))
        yield unshuffled(seed, data("friedman1", 400, seed), "mean_squared_error", optimizer=optimizer("adam", 0.03))
        yield labels_from_1(seed, 3, "mean_squared_error")
        yield labels_from_1(seed, 4, "huber", model=LINEAR)
        yield labels_from_1(seed, 4, "categorical_cross_entropy")
        yield two_values(seed, 0.5, 5.0, model=LINEAR)
        yield two_values(seed, 0.2, 4.0, model=LINEAR)
        yield two_values(seed, 0.3, 5.0, **LBFGS)
        yield unscaled(seed, (1.0, 100.0, 10_000.0), ADRIFT, optimizer=optimizer("sgd", 0.01))
        yield unscaled(seed, (1.0, 1000.0, 1.0, 1000.0, 1.0), ADRIFT)
        yield few_to_validate(seed, 400, 2)
        yield few_to_validate(seed, 300, 3)


RESTING = frozenset({"converged", "still_improving"})


def _well(judged: Judged, **changes: Any) -> Case:
    return Case(HEALTHY, RESTING, "", replace(judged.case.plan, **changes), None)


def healthy(seeds: int = 3) -> Iterator[Case]:
    """Near each fault: rows of the same kind that are learned well."""
    for seed in range(seeds):
        yield _well(rare_class(seed, 0.05, 6.0, "binary_cross_entropy", LOGITS, model=LINEAR))
        yield _well(rare_class(seed, 0.2, 3.0, "logistic", model=LINEAR))
        yield _well(rare_class(seed, 0.05, 2.5, "binary_cross_entropy", LOGITS, model=LINEAR), class_weight="balanced")
        yield _well(outliers(seed, 0.03, 20.0, 0.0, model=LINEAR), loss=Chosen(LOSSES["mean_absolute_error"], {}))
        yield _well(outliers(seed, 0.02, 2.0, 0.0, model=LINEAR))
        yield _heavy_tailed(seed)
        yield _well(absent_class(seed, (0.35, 0.35, 0.3), 110, "categorical_cross_entropy", LOGITS), validation=Holdout(0.2))
        yield _well(unshuffled(seed, data("moons", 400, seed), "logistic"), shuffle=True)
        yield _well(unshuffled(seed, data("friedman1", 400, seed), "mean_squared_error"), shuffle=True)
        yield Case(HEALTHY, RESTING, "", plan(data("moons", 400, seed), "logistic", seed=seed, shuffle=False), None)
        yield _ratings(seed)
        yield _ratings(seed, model=mlp(16), epochs=20)
        yield _counts(seed)
        yield _well(two_values(seed, 0.5, 3.0, model=mlp(8, output="sigmoid")))
        yield _alike(seed)
        yield _well(few_to_validate(seed, 300, 30))
        yield _many(seed)


def _heavy_tailed(seed: int) -> Case:
    """Noise of Student's t with five degrees: some rows lie far off, and the mean is what it should be."""
    inputs, truth = curve(seed, 400)
    targets = truth + 0.3 * np.random.default_rng([seed, 1]).standard_t(5, len(truth))
    return Case(HEALTHY, RESTING, "", plan(Table(inputs, targets), "mean_squared_error", seed=seed, model=LINEAR), None)


def _alike(seed: int) -> Case:
    """Columns of about the same scale, as they are."""
    inputs, truth = curve(seed, 300)
    table = Table(inputs * [1.0, 2.0, 3.0, 2.0, 1.0], hit(seed, truth, 0.0, 0.0))
    made = plan(table, "mean_squared_error", seed=seed, model=LINEAR, standardize_inputs=False)
    return Case(HEALTHY, RESTING, "", made, None)


def _ratings(seed: int, **changes: Any) -> Case:
    """From 1 to 5, seen through noise: quantities all the same, since more of the inputs is a better rating."""
    inputs, truth = curve(seed, 300)
    ratings = np.clip(np.round(3.0 + 0.9 * truth + 0.3 * np.random.default_rng([seed, 6]).normal(size=len(truth))), 1.0, 5.0)
    made = plan(Table(inputs, ratings), "mean_squared_error", seed=seed, **{"model": LINEAR, **changes})
    return Case(HEALTHY, RESTING, "", made, None)


def _counts(seed: int) -> Case:
    inputs, truth = curve(seed, 300)
    counts = np.random.default_rng([seed, 8]).poisson(np.exp(0.5 * truth)).astype(np.float64)
    return Case(HEALTHY, RESTING, "", plan(Table(inputs, counts), "poisson_nll", seed=seed, model=LINEAR), None)


def _many(seed: int) -> Case:
    """More rows than are looked at, with targets that make any sample of them another problem."""
    inputs, truth = curve(seed, 2500)
    table = Table(inputs, hit(seed, truth, 0.05, 20.0))
    return Case(HEALTHY, RESTING, "", plan(table, "huber", seed=seed, model=LINEAR, epochs=30), None)


def is_cured(judged: Judged) -> bool:
    """Whether the cure comes nearer to what is true of unseen rows, by a twentieth of the error at least."""
    case, fresh = judged
    if case.cure is None:
        return True
    if fresh is None:
        return ended(case.cure, diagnosed=False).last < 0.95 * ended(case.plan, diagnosed=False).last
    return missed(case.cure, fresh) < 0.95 * missed(case.plan, fresh)
