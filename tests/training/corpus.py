"""Runs whose fault is known, each with a change that cures it: what a diagnosis is judged by.

The truth of a run does not come from the diagnosis: it is what was done to a run that trains well, and it is checked by taking
that back (`cure`), which has to lower the loss. Of a healthy run it is checked that none of the usual changes lowers it much.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from app.losses import LOSSES
from app.training import DATASETS, MODELS, OPTIMIZERS, SCHEDULES, Chosen, Holdout, Plan, Table, fit, prepare, start
from app.training.diagnosis import Finding, diagnose

LINEAR = Chosen(MODELS["linear"], {})
LOGITS = {"from_logits": True}
CHANGES = 0.05
"""Share of the loss by which a cure has to lower it."""
SLACK = 0.1
"""Share of the loss after the first epoch by which no change may lower that of a healthy run."""
HEALTHY = "healthy"


class Case(NamedTuple):
    """A run and its truth."""

    fault: str
    verdicts: frozenset[str]
    """Any of these is right."""
    word: str
    """What the advice has to name; nothing where any advice is right."""
    plan: Plan
    cure: Plan | None

    def __str__(self) -> str:
        data, model = self.plan.data.name or "rows", self.plan.model.thing.name
        return f"{self.fault}: {data}, {model}, {self.plan.loss.thing.name}, seed {self.plan.seed}"


def mlp(*hidden: int, **parameters: Any) -> Chosen:
    return Chosen(MODELS["mlp"], {"hidden": list(hidden), **parameters})


def trees(**parameters: Any) -> Chosen:
    return Chosen(MODELS["boosted_trees"], parameters)


def optimizer(name: str, rate: float, **parameters: Any) -> Chosen:
    return Chosen(OPTIMIZERS[name], {"learning_rate": rate, **parameters})


def data(name: str, rows: int | None = None, seed: int = 0) -> Table:
    made = DATASETS[name](**({} if rows is None else {"n_samples": rows, "seed": seed}))
    return Table(made.inputs, made.targets, made.classes, name)


def plan(table: Table, loss: str, parameters: Any = None, **changes: Any) -> Plan:
    usual: dict[str, Any] = {"model": mlp(32), "optimizer": optimizer("adam", 0.01), "epochs": 40}
    return Plan(data=table, loss=Chosen(LOSSES[loss], parameters or {}), **{**usual, **changes})


def bases(seeds: int) -> Iterator[Plan]:
    """Runs that train well: classes and numbers, with losses of each kind."""
    for seed in range(seeds):
        yield plan(data("moons", 300, seed), "binary_cross_entropy", LOGITS, seed=seed)
        yield plan(data("circles", 300, seed), "logistic", seed=seed, epochs=60)
        yield plan(data("friedman1", 300, seed), "mean_squared_error", seed=seed)
        yield plan(data("regression", 300, seed), "huber", seed=seed)
        yield plan(data("iris"), "categorical_cross_entropy", LOGITS, seed=seed, epochs=60, validation=Holdout(0.2, seed=seed))


def faulty(seeds: int = 3) -> Iterator[Case]:
    for seed, base in enumerate(bases(seeds)):
        yield from _of_steps(base, seed)
    for seed in range(seeds):
        yield from _of_models(seed)
        yield from _of_rows(seed)


def _of_steps(base: Plan, number: int) -> Iterator[Case]:
    """A rate that is too high, too low, or fallen too early; too few epochs; a gradient that is cut to nothing."""
    blown = optimizer("sgd", 1e4)
    yield Case("rate too high", frozenset({"diverging", "oscillating"}), "learning_rate", replace(base, optimizer=blown), base)
    slow = optimizer(("adam", "sgd", "rmsprop")[number % 3], (1e-6, 1e-5, 1e-6)[number % 3])
    yield Case("rate too low", frozenset({"plateau", "still_improving"}), "learning_rate", replace(base, optimizer=slow), base)
    brief = replace(base, optimizer=optimizer("adam", 2e-3), epochs=4)
    yield Case("too few epochs", frozenset({"still_improving"}), "epochs", brief, replace(brief, epochs=40))
    clipped = replace(base, optimizer=optimizer("sgd", 0.05), clip_norm=1e-5)
    cure = replace(clipped, clip_norm=None)
    yield Case("gradient cut to nothing", frozenset({"plateau", "still_improving"}), "gradient_clipping", clipped, cure)
    fallen = replace(base, optimizer=optimizer("sgd", 0.02), schedule=Chosen(SCHEDULES["exponential"], {"decay": 0.3}))
    yield Case("schedule falls too early", frozenset({"plateau"}), "schedule", fallen, replace(fallen, schedule=None))


def _of_models(seed: int) -> Iterator[Case]:
    """Models that cannot bend, are held back, or whose units are dead."""
    for name, loss, parameters in (
        ("circles", "binary_cross_entropy", LOGITS),
        ("xor", "logistic", {}),
        ("friedman1", "mean_squared_error", {}),
    ):
        base = plan(data(name, 300, seed), loss, parameters, seed=seed, epochs=80)
        stiff = replace(base, model=LINEAR)
        yield Case("model too stiff", frozenset({"underfitting"}), "", stiff, base)
    base = plan(data("moons", 300, seed), "binary_cross_entropy", LOGITS, seed=seed)
    yield Case("penalty too strong", frozenset({"underfitting"}), "l2", replace(base, l2=0.3), base)
    strong = replace(base, model=mlp(32, dropout=0.95))
    yield Case("dropout too strong", frozenset({"underfitting", "still_improving", "plateau"}), "", strong, base)
    stumps = plan(
        data("xor", 300, seed), "binary_cross_entropy", LOGITS, seed=seed, model=trees(max_depth=1), optimizer=None, epochs=60
    )
    cure = replace(stumps, model=trees(max_depth=4))
    yield Case("stumps on xor", frozenset({"underfitting"}), "max_depth", stumps, cure)
    zeros = replace(base, model=mlp(32, initialization="zeros", output_initialization="zeros"))
    yield Case("weights of 0", frozenset({"plateau"}), "", zeros, base)
    deep = replace(base, model=mlp(*[8] * 10, hidden_activation="sigmoid"), optimizer=optimizer("sgd", 0.1))
    yield Case("gradient vanishes", frozenset({"plateau"}), "", deep, base)


def noisy(seed: int, rows: int = 100) -> Table:
    """Twenty inputs of which one matters, behind as much noise."""
    rng = np.random.default_rng([seed, 21])
    inputs = rng.normal(size=(rows, 20))
    return Table(inputs, inputs[:, 0] + 1.5 * rng.normal(size=rows))


def _of_rows(seed: int) -> Iterator[Case]:
    """Too few rows for the model, classes taken for numbers, targets that the output cannot reach, columns of other scales."""
    large = plan(noisy(seed), "mean_squared_error", model=mlp(128, 128), seed=seed, epochs=100)
    yield Case("learned by heart", frozenset({"overfitting"}), "", large, replace(large, patience=5, epochs=100))
    grown = replace(large, model=trees(max_depth=6, min_samples_leaf=1), optimizer=None, epochs=100)
    yield Case("trees learned by heart", frozenset({"overfitting"}), "", grown, replace(grown, patience=5))
    labels = plan(data("blobs", 300, seed), "mean_squared_error", seed=seed)
    yield Case("classes as quantities", frozenset({"misfit"}), "cross_entropy", labels, None)
    negative = data("regression", 300, seed)
    assert isinstance(negative.targets, np.ndarray)
    shut = plan(negative, "mean_squared_error", model=mlp(32, output="softplus"), seed=seed, standardize_targets=False, epochs=60)
    yield Case("output out of reach", frozenset({"misfit"}), "output", shut, replace(shut, model=mlp(32)))
    scales = data("friedman1", 300, seed)
    apart = Table(scales.inputs * [1, 100, 10_000, *[1] * 7], scales.targets)
    raw = plan(apart, "mean_squared_error", seed=seed, standardize_inputs=False, optimizer=optimizer("sgd", 0.01))
    yield Case(
        "columns of other scales",
        frozenset({"diverging", "oscillating"}),
        "standardize.inputs",
        raw,
        replace(raw, standardize_inputs=True),
    )


def healthy(seeds: int = 6) -> Iterator[Case]:
    """The runs that faults were put into, and others."""
    more = [
        *((name, loss, {}, {"model": LINEAR, "optimizer": Chosen(OPTIMIZERS["lbfgs"], {}), "epochs": 5}) for name, loss in LINES),
        ("friedman1", "mean_squared_error", {}, {"model": trees(), "optimizer": None, "epochs": 60}),
        ("moons", "binary_cross_entropy", LOGITS, {"model": trees(), "optimizer": None, "epochs": 40}),
        ("friedman1", "mean_absolute_error", {}, {"epochs": 30}),
        ("regression", "log_cosh", {}, {"optimizer": optimizer("sgd", 0.05, momentum=0.9)}),
        ("outliers", "huber", {}, {}),
    ]
    plans = [*bases(seeds)]
    plans += [
        plan(data(name, 300, seed), loss, own, seed=seed, **changes) for seed in range(seeds) for name, loss, own, changes in more
    ]
    for made in plans:
        yield Case(HEALTHY, frozenset({"converged", "still_improving"}), "", made, None)


LINES = (("regression", "mean_squared_error"), ("regression", "huber"), ("blobs", "multi_margin"))


class Ended(NamedTuple):
    """What a run came to."""

    first: float
    last: float
    findings: list[Finding]


def ended(made: Plan, *, diagnosed: bool = True) -> Ended:
    """The run from its first epoch to its last; losses of validation rows, infinite where there are none that are finite."""
    run = prepare(made)
    state = start(run)
    told = [epoch.validation_loss if epoch.validation_loss is not None else epoch.training_loss for epoch in fit(run, state)]
    last = float(state["best"][0]) if made.patience is not None else told[-1] if len(told) == state["epoch"] else np.inf
    return Ended(told[0] if told else np.inf, last, diagnose(run, state) if diagnosed else [])


def is_cured(case: Case, end: Ended) -> bool:
    """Whether taking the fault back lowers the loss; of a healthy run, that no usual change does much."""
    if case.fault != HEALTHY:
        least = end.last - CHANGES * abs(end.last) if np.isfinite(end.last) else end.last
        return case.cure is None or ended(case.cure, diagnosed=False).last < least
    slack = SLACK * max(abs(end.last), abs(end.first))
    return all(ended(other, diagnosed=False).last > end.last - slack for other in _usual_changes(case.plan))


def _usual_changes(made: Plan) -> Iterator[Plan]:
    chosen = made.optimizer
    if chosen is not None and chosen.thing.has_rate:
        for times in (0.2, 5.0):
            yield replace(
                made, optimizer=chosen._replace(parameters={**chosen.all, "learning_rate": times * chosen.all["learning_rate"]})
            )
    yield replace(made, epochs=2 * made.epochs)


def is_named(case: Case, findings: list[Finding]) -> bool:
    """Whether the diagnosis says what is the matter, and names what to change."""
    return any(finding.verdict in case.verdicts and case.word in finding.advice for finding in findings)
