"""Runs made to have each fault, and runs that have none: every cause is one the test itself brought about.

Where a fault follows from theory (gradient descent diverges beyond 2/λ), the theory decides what is expected; where the
diagnosis advises a learning rate or a parameter, the advice is followed, and has to help.
"""

import math
from inspect import signature
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from app.losses import COMPOSED, LOSSES
from app.training import (
    DATASETS,
    MODELS,
    OPTIMIZERS,
    SCHEDULES,
    Chosen,
    Holdout,
    Plan,
    Run,
    Table,
    fit,
    history,
    prepare,
    start,
    stopped,
)
from app.training.diagnosis import COURSES, COURSES_OF_FORESTS, EVIDENCE, MISFITS, Finding, diagnose
from app.training.learners import State
from tests.folding import folded
from tests.training.plans import default_training_cases, targets

Array = NDArray[np.float64]
NOTHING_WRONG = {"converged", "still_improving"}
ALL_ROWS = Holdout(fraction=None)
FULL: Any = "full"


class Ended(NamedTuple):
    run: Run
    state: State

    @property
    def findings(self) -> list[Finding]:
        return diagnose(self.run, self.state)

    @property
    def verdicts(self) -> list[str]:
        return [finding.verdict for finding in self.findings]

    @property
    def losses(self) -> Array:
        return np.array([epoch.training_loss for epoch in history(self.run, self.state)])


def table(name: str, **parameters: Any) -> Table:
    data = DATASETS[name](**parameters)
    return Table(data.inputs, data.targets, data.classes)


def optimizer(name: str, rate: float | None = None, **parameters: Any) -> Chosen:
    return Chosen(OPTIMIZERS[name], parameters if rate is None else {"learning_rate": rate, **parameters})


def mlp(*hidden: int, **parameters: Any) -> Chosen:
    return Chosen(MODELS["mlp"], {"hidden": list(hidden), **parameters} if hidden else parameters)


def trees(**parameters: Any) -> Chosen:
    return Chosen(MODELS["boosted_trees"], parameters)


LINEAR = Chosen(MODELS["linear"], {})
ADAM = optimizer("adam", 0.01)


def planned(data: Table, loss: str, parameters: Any = None, **changes: Any) -> Plan:
    given: dict[str, Any] = {"model": mlp(), "optimizer": ADAM, "epochs": 30, **changes}
    return Plan(data=data, loss=Chosen(LOSSES[loss], parameters or {}), **given)


def ended(data: Table, loss: str, parameters: Any = None, **changes: Any) -> Ended:
    run = prepare(planned(data, loss, parameters, **changes))
    state = start(run)
    for _ in fit(run, state):
        pass
    return Ended(run, state)


REGRESSION = table("regression", n_samples=200)
CIRCLES = table("circles", n_samples=300)
MOONS = table("moons", n_samples=300)
IRIS = table("iris")
DIABETES = table("diabetes")
FRIEDMAN = table("friedman1", n_samples=300)
CANCER = table("breast_cancer")


def noisy(kind: str, seed: int, rows: int = 120) -> Table:
    """Eight inputs of which one matters, behind as much noise again: numbers, two labels, or three."""
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(rows, 8))
    seen = 1.5 * inputs[:, 0] + 1.5 * rng.normal(size=rows)
    made = {"numbers": seen, "two": (seen > 0).astype(float), "three": np.digitize(seen, [-1.0, 1.0]).astype(float)}
    return Table(inputs, made[kind], ["low", "middle", "high"] if kind == "three" else None)


# --- nothing wrong -----------------------------------------------------------------------------------------------------

HEALTHY: dict[str, tuple[Table, str, dict[str, Any]]] = {
    "mlp, squared error": (REGRESSION, "mean_squared_error", {}),
    "linear, huber, sgd": (REGRESSION, "huber", {"model": LINEAR, "optimizer": optimizer("sgd", 0.05)}),
    "linear, squared error, momentum, all rows at once": (
        REGRESSION,
        "mean_squared_error",
        {"model": LINEAR, "optimizer": optimizer("sgd", 0.05, momentum=0.9), "batch_size": FULL, "epochs": 60},
    ),
    "linear, noisy data": (DIABETES, "mean_squared_error", {"model": LINEAR}),
    "linear, noisy data, lbfgs": (DIABETES, "huber", {"model": LINEAR, "optimizer": optimizer("lbfgs"), "epochs": 5}),
    "linear, absolute error": (DIABETES, "mean_absolute_error", {"model": LINEAR, "optimizer": optimizer("sgd", 0.01)}),
    "mlp, quantile": (FRIEDMAN, "quantile", {"epochs": 15}),
    "trees, squared error": (FRIEDMAN, "mean_squared_error", {"model": trees(), "optimizer": None, "epochs": 50}),
    "mlp, cross-entropy": (CIRCLES, "binary_cross_entropy", {"epochs": 60}),
    "mlp, logits": (MOONS, "binary_cross_entropy", {"parameters": {"from_logits": True}}),
    "mlp, hinge": (CIRCLES, "hinge", {"epochs": 60}),
    "mlp, perceptron": (MOONS, "perceptron", {}),
    "trees, cross-entropy": (MOONS, "binary_cross_entropy", {"model": trees(), "optimizer": None}),
    "linear, squared hinge": (CANCER, "squared_hinge", {"model": LINEAR}),
    "mlp, focal": (CANCER, "binary_focal", {"epochs": 10}),
    "mlp, three classes": (IRIS, "categorical_cross_entropy", {"epochs": 60}),
    "mlp, margins": (IRIS, "multi_margin", {"epochs": 60}),
    "linear, three classes, lbfgs": (IRIS, "nll", {"model": LINEAR, "optimizer": optimizer("lbfgs"), "epochs": 5}),
    "mlp, brier": (table("wine"), "brier_score", {"epochs": 15}),
    "mlp, dropout and a penalty": (table("wine"), "categorical_cross_entropy", {"model": mlp(16, dropout=0.2), "l2": 1e-4}),
    "linear, losses below 0": (
        DIABETES,
        "gamma_nll",
        {"parameters": {"log_input": True}, "model": LINEAR, "optimizer": optimizer("lbfgs"), "epochs": 5},
    ),
    "mlp, cosine schedule": (REGRESSION, "mean_squared_error", {"schedule": Chosen(SCHEDULES["cosine"], {})}),
    "mlp, early stopping": (REGRESSION, "log_cosh", {"patience": 5, "epochs": 200}),
    "mlp, no validation": (IRIS, "categorical_cross_entropy", {"validation": ALL_ROWS}),
    "mlp, one epoch": (IRIS, "categorical_cross_entropy", {"epochs": 1}),
    "linear, one epoch": (CANCER, "logistic", {"epochs": 1, "model": LINEAR}),
}


@pytest.mark.parametrize("name", HEALTHY)
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.thorough)])
def test_nothing_is_wrong_with_a_healthy_run(name: str, seed: int) -> None:
    data, loss, changes = HEALTHY[name]
    (finding,) = ended(data, loss, seed=seed, **changes).findings
    assert finding.verdict in NOTHING_WRONG, finding


def test_a_run_that_was_cut_short_is_still_improving() -> None:
    run = prepare(planned(IRIS, "categorical_cross_entropy"))
    state = start(run)
    (untrained,) = diagnose(run, state)
    list(islice(fit(run, state), 3))
    (finding,) = diagnose(run, state)
    assert untrained.verdict == finding.verdict == "still_improving"
    assert (untrained.evidence["epochs"], finding.evidence["epochs"], finding.evidence["planned_epochs"]) == (0, 3, 30)
    assert "before its 30 epochs" in finding.advice


def test_what_to_do_about_a_loss_that_still_falls() -> None:
    (longer,) = ended(IRIS, "categorical_cross_entropy", epochs=4).findings
    assert "epochs 8 instead of 4" in longer.advice
    impatient = ended(FRIEDMAN, "mean_squared_error", patience=1, epochs=300)
    assert stopped(*impatient) == "early_stopping"
    assert "early_stopping.patience 2 instead of 1" in impatient.findings[0].advice


@pytest.mark.parametrize(
    ("loss", "constant"),
    [
        ("mean_squared_error", lambda t: t.var()),
        ("mean_absolute_error", lambda t: np.abs(t - np.median(t)).mean()),
        ("poisson_deviance", lambda t: 2 * (t * np.log(t / t.mean())).mean()),
        ("gamma_nll", lambda t: np.log(t.mean()) + 1),
    ],
)
def test_the_best_constant_is_that_of_theory(loss: str, constant: Any) -> None:
    run = ended(DIABETES, loss, epochs=2, standardize_targets=False, model=LINEAR, optimizer=optimizer("lbfgs", max_iter=200))
    (finding,) = [finding for finding in run.findings if "loss_of_best_constant" in finding.evidence]
    assert finding.evidence["loss_of_best_constant"] == pytest.approx(constant(run.run.training.targets), rel=1e-5)


@pytest.mark.parametrize("loss", ["binary_cross_entropy", "logistic", "nll"])
def test_the_best_constant_of_a_cross_entropy_is_the_entropy_of_the_labels(loss: str) -> None:
    run = ended(CIRCLES, loss, epochs=2, model=LINEAR, optimizer=optimizer("lbfgs"))
    share = run.run.training.targets.mean()
    entropy = -share * math.log(share) - (1 - share) * math.log(1 - share)
    assert run.findings[0].evidence["loss_of_best_constant"] == pytest.approx(entropy, rel=1e-5)


def test_what_was_learned_is_r_squared_for_the_squared_error() -> None:
    run = ended(DIABETES, "mean_squared_error", model=LINEAR, optimizer=optimizer("lbfgs"), epochs=5)
    inputs, wanted = np.c_[run.run.training.inputs, np.ones(run.run.training.n)], run.run.training.targets
    residual = wanted - inputs @ np.linalg.lstsq(inputs, wanted)[0]
    expected = 1 - residual.var() / wanted.var()
    assert run.findings[0].evidence["share_learned"] == pytest.approx(expected, rel=1e-6)


# --- steps that are too long -------------------------------------------------------------------------------------------

EVERY_KIND = [
    (REGRESSION, "mean_squared_error"),
    (REGRESSION, "mean_absolute_error"),
    (REGRESSION, "huber"),
    (MOONS, "hinge"),
    (MOONS, "squared_hinge"),
    (MOONS, "logistic"),
    (MOONS, "binary_cross_entropy"),
    (IRIS, "categorical_cross_entropy"),
    (IRIS, "multi_margin"),
]


@pytest.mark.parametrize(("data", "loss"), EVERY_KIND, ids=[loss for _, loss in EVERY_KIND])
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.thorough)])
def test_an_absurd_rate_diverges_and_the_rate_that_is_advised_does_not(data: Table, loss: str, seed: int) -> None:
    def at_rate(rate: float) -> Ended:
        return ended(data, loss, optimizer=optimizer("sgd", rate), epochs=15, seed=seed)

    (finding,) = at_rate(1000.0).findings
    assert finding.verdict == "diverging"
    advised = finding.evidence["tried_learning_rate"]
    assert isinstance(advised, float)
    assert f"optimizer.learning_rate {advised:.3g} instead of 1e+03" in finding.advice
    followed = at_rate(advised)
    assert stopped(*followed) == "completed"
    assert "diverging" not in followed.verdicts
    assert followed.losses[-1] < float(finding.evidence["first_training_loss"])


def critical_rate(run: Run) -> float:
    """2/λ of the squared error of a linear model: beyond it gradient descent on all rows diverges."""
    inputs = np.c_[run.training.inputs, np.ones(run.training.n)]
    return 2.0 / float(np.linalg.eigvalsh(2.0 / run.training.n * inputs.T @ inputs).max())


@pytest.mark.parametrize(("times", "diverges"), [(0.3, False), (0.8, False), (1.05, True), (1.3, True), (3.0, True), (1e6, True)])
def test_gradient_descent_diverges_beyond_the_critical_rate(times: float, diverges: bool) -> None:
    critical = critical_rate(prepare(planned(REGRESSION, "mean_squared_error")))
    plan = {"model": LINEAR, "optimizer": optimizer("gradient_descent", times * critical), "batch_size": FULL, "epochs": 60}
    (finding,) = ended(REGRESSION, "mean_squared_error", **plan).findings
    assert (finding.verdict == "diverging") == diverges
    assert diverges or finding.verdict in NOTHING_WRONG


@pytest.mark.parametrize("rate", [0.4, 1.0, 5.0])
@pytest.mark.parametrize("loss", ["mean_absolute_error", "quantile"])
def test_steps_that_jump_over_a_corner_oscillate(loss: str, rate: float) -> None:
    """The slope of an absolute error does not shrink towards the target: at a fixed rate the loss jumps to and fro."""
    rate *= 1.0 if loss == "mean_absolute_error" else 2.0
    plan = {"model": LINEAR, "optimizer": optimizer("sgd", rate), "batch_size": FULL, "epochs": 40}
    (finding,) = ended(REGRESSION, loss, **plan).findings
    assert finding.verdict == "oscillating"
    assert "goes up and down" in finding.summary
    assert 0.2 <= float(finding.evidence["share_of_epochs_that_rose"]) <= 0.8
    followed = ended(REGRESSION, loss, **plan | {"optimizer": optimizer("sgd", float(finding.evidence["tried_learning_rate"]))})
    assert followed.losses[-1] < 0.5 * float(finding.evidence["last_training_loss"])


def test_a_loss_that_stays_because_each_step_undoes_the_last_oscillates() -> None:
    """One input of variance 1: 2/λ is 1, at which weight and bias are mirrored at the optimum by every step."""
    inputs = np.random.default_rng(0).normal(size=(100, 1))
    plan = {"model": LINEAR, "optimizer": optimizer("gradient_descent", 1.0), "batch_size": FULL, "validation": ALL_ROWS}
    run = ended(Table(inputs, 3.0 * inputs[:, 0]), "mean_squared_error", **plan)
    assert np.ptp(run.losses) < 1e-9
    (finding,) = run.findings
    assert finding.verdict == "oscillating"
    assert "optimizer.learning_rate 0.1 instead of 1" in finding.advice


@pytest.mark.parametrize(
    ("data", "loss"), [(MOONS, "binary_cross_entropy"), (MOONS, "binary_focal"), (IRIS, "categorical_cross_entropy")]
)
def test_a_probability_that_became_0_or_1_is_told_from_steps_alone(data: Table, loss: str) -> None:
    plan = {"model": LINEAR, "optimizer": optimizer("sgd", 1000.0), "epochs": 20}
    (finding,) = ended(data, loss, **plan).findings
    assert finding.verdict == "diverging"
    assert "exactly 0 or 1" in finding.summary
    assert finding.advice.startswith("loss.from_logits true")
    assert stopped(*ended(data, loss, {"from_logits": True}, **plan)) == "completed"


def test_inputs_of_large_numbers_are_to_be_standardized() -> None:
    data = Table(REGRESSION.inputs * 1000.0, REGRESSION.targets)
    plan = {"optimizer": optimizer("sgd", 0.01), "standardize_targets": False, "model": LINEAR}
    (finding,) = ended(data, "mean_squared_error", standardize_inputs=False, **plan).findings
    assert finding.verdict == "diverging"
    assert "standardize.inputs true" in finding.advice
    assert "standardize.targets true" in finding.advice
    assert ended(data, "mean_squared_error", **plan).verdicts[0] in NOTHING_WRONG


# --- a loss that stays where it is -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gradient_descent", "sgd", "adam", "rmsprop", "lion", "adadelta"])
@pytest.mark.parametrize(
    ("data", "loss"), [EVERY_KIND[0], EVERY_KIND[3], EVERY_KIND[7]], ids=lambda case: case if isinstance(case, str) else ""
)
def test_a_rate_that_is_far_too_low_is_a_plateau(data: Table, loss: str, name: str) -> None:
    run = ended(data, loss, optimizer=optimizer(name, 1e-7), epochs=10)
    (finding,) = run.findings
    assert finding.verdict == "plateau"
    assert "too short" in finding.summary
    advised = float(finding.evidence["tried_learning_rate"])
    assert advised > 1e-6
    assert ended(data, loss, optimizer=optimizer(name, advised), epochs=10).losses[-1] < run.losses[-1]


def test_trees_may_have_too_low_a_rate_too() -> None:
    (finding,) = ended(REGRESSION, "mean_squared_error", model=trees(learning_rate=1e-5), optimizer=None, epochs=10).findings
    assert finding.verdict == "plateau"
    assert "model.learning_rate" in finding.advice


def test_a_schedule_that_falls_too_early_is_named() -> None:
    plan = {"optimizer": optimizer("sgd", 0.003), "schedule": Chosen(SCHEDULES["exponential"], {"decay": 0.5})}
    (finding,) = ended(REGRESSION, "mean_squared_error", **plan).findings
    assert finding.verdict == "plateau"
    assert finding.advice.startswith("schedule null")


@pytest.mark.parametrize("depth", [6, 8])
@pytest.mark.parametrize(
    ("data", "loss"), [(CIRCLES, "binary_cross_entropy"), (FRIEDMAN, "mean_squared_error"), (CIRCLES, "hinge")]
)
def test_the_gradient_vanishes_in_many_layers_of_sigmoids(data: Table, loss: str, depth: int) -> None:
    hidden = [16] * depth
    plan = {"optimizer": optimizer("sgd", 0.01), "epochs": 20}
    (finding,) = ended(data, loss, model=mlp(*hidden, hidden_activation="sigmoid"), **plan).findings
    assert finding.verdict == "plateau"
    assert "vanishes" in finding.summary
    # he_uniform halves nothing, but the slope of a sigmoid is a quarter at most: √(2 · 16) of 16 units at most pass on
    assert float(finding.evidence["share_of_slope_at_first_layer"]) < (math.sqrt(2.0) / 4.0 * 1.5) ** depth
    assert "model.hidden_activation relu instead of sigmoid" in finding.advice
    assert "vanishes" not in ended(data, loss, model=mlp(*hidden), **plan).findings[0].summary


@pytest.mark.parametrize(
    ("data", "loss"), [EVERY_KIND[0], EVERY_KIND[5], EVERY_KIND[7]], ids=lambda case: case if isinstance(case, str) else ""
)
def test_units_that_no_row_awakes_are_dead(data: Table, loss: str) -> None:
    run = prepare(planned(data, loss, model=mlp(8, 8), epochs=10))
    state = start(run)
    dead = [(layer, unit) for layer in (0, 1) for unit in range(8) if layer == 1 or unit < 3]
    for layer, unit in dead:
        run.model.layers(state["weights"])[layer][-1, unit] = -1e4  # type: ignore[union-attr]
    for _ in fit(run, state):
        pass
    (finding,) = diagnose(run, state)
    assert finding.verdict == "plateau"
    assert (finding.evidence["dead_units"], finding.evidence["hidden_units"]) == (len(dead), 16)
    assert "model.hidden_activation leaky_relu instead of relu" in finding.advice


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_first_step_that_is_too_long_kills_units(seed: int) -> None:
    (finding,) = ended(REGRESSION, "mean_squared_error", model=mlp(8, 8), optimizer=optimizer("adam", 1.0), seed=seed).findings
    assert finding.verdict == "plateau"
    assert float(finding.evidence["largest_share_in_a_layer"]) >= 0.5
    assert "optimizer.learning_rate" in finding.advice


def test_weights_of_0_are_named_as_what_keeps_units_dead() -> None:
    zeros = mlp(8, initialization="zeros", output_initialization="zeros")
    (finding,) = ended(REGRESSION, "mean_squared_error", model=zeros).findings
    assert finding.verdict == "plateau"
    assert "model.initialization he_uniform instead of zeros" in finding.advice


def test_trees_begin_to_learn_whatever_the_scale_of_the_slopes() -> None:
    """The gamma deviance of targets in the hundreds is nearly flat in the sums; its leaves are where it is least."""
    (finding,) = ended(DIABETES, "gamma_deviance", model=trees(), optimizer=None, epochs=10).findings
    assert finding.verdict == "still_improving"


def test_an_output_that_is_saturated_at_the_wrong_end() -> None:
    """Sums of thousands: a sigmoid is 0 or 1 to the last bit for nearly every row, and has no slope there."""
    data = Table(1e5 * MOONS.inputs, MOONS.targets)
    (finding,) = ended(data, "brier_score", standardize_inputs=False, optimizer=optimizer("sgd", 0.1), epochs=10).findings
    assert finding.verdict == "plateau"
    assert "saturated" in finding.summary
    # each of these rows costs 1, and the others nothing
    assert float(finding.evidence["share_of_rows_without_slope"]) == pytest.approx(
        finding.evidence["last_training_loss"], abs=0.02
    )
    assert "standardize.inputs true" in finding.advice


# --- learned by heart --------------------------------------------------------------------------------------------------

LEARNED_BY_HEART = [
    ("numbers", "mean_squared_error"),
    ("numbers", "huber"),
    ("numbers", "mean_absolute_error"),
    ("two", "binary_cross_entropy"),
    ("two", "squared_hinge"),
    ("three", "categorical_cross_entropy"),
    ("three", "brier_score"),
]
HALF_FOR_VALIDATION = Holdout(fraction=0.5)


@pytest.mark.parametrize(("kind", "loss"), LEARNED_BY_HEART)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_many_units_on_few_noisy_rows_overfit(kind: str, loss: str, seed: int) -> None:
    run = ended(noisy(kind, seed), loss, model=mlp(64), epochs=80, validation=HALF_FOR_VALIDATION, seed=seed)
    (finding,) = run.findings
    assert finding.verdict == "overfitting"
    assert finding.evidence["validation_rows"] == 60
    assert "model.hidden [16] instead of [64]" in finding.advice


@pytest.mark.parametrize(("kind", "loss"), LEARNED_BY_HEART[3:6])
def test_the_epoch_at_which_the_validation_loss_turned(kind: str, loss: str) -> None:
    plan = {"model": mlp(64), "validation": HALF_FOR_VALIDATION}
    run = ended(noisy(kind, 1), loss, epochs=80, **plan)
    (finding,) = run.findings
    held = [epoch.validation_loss for epoch in history(*run) if epoch.validation_loss is not None]
    assert len(held) == 80
    evidence = finding.evidence
    assert evidence["turning_epoch"] == 1 + int(np.argmin(held))
    assert (evidence["lowest_validation_loss"], evidence["last_validation_loss"]) == (min(held), held[-1])
    assert f"turned at epoch {evidence['turning_epoch']} " in finding.summary
    patience = int(finding.advice.split("early_stopping.patience ")[1].split(";")[0])
    followed = ended(noisy(kind, 1), loss, epochs=80, patience=patience, **plan)
    assert stopped(*followed) == "early_stopping"
    assert int(followed.state["epoch"]) == int(evidence["turning_epoch"]) + patience


@pytest.mark.parametrize("seed", [0, 1])
def test_trees_overfit_too(seed: int) -> None:
    model = trees(max_depth=6, learning_rate=0.3, min_samples_leaf=1)
    plan = {"model": model, "optimizer": None, "epochs": 30, "validation": HALF_FOR_VALIDATION}
    (finding,) = ended(noisy("numbers", seed), "mean_absolute_error", **plan).findings
    assert finding.verdict == "overfitting"
    assert "model.max_depth 5" in finding.advice


def test_noise_can_only_be_learned_by_heart() -> None:
    rng = np.random.default_rng(0)
    data = Table(rng.normal(size=(200, 10)), rng.normal(size=200))
    (finding,) = ended(data, "mean_squared_error", epochs=100).findings
    assert finding.verdict == "overfitting"
    assert float(finding.evidence["share_carried_to_validation"]) < 0.2


def test_nothing_is_said_of_other_rows_without_validation_rows() -> None:
    (finding,) = ended(noisy("two", 0), "binary_cross_entropy", model=mlp(64), epochs=80, validation=ALL_ROWS).findings
    assert finding.verdict in NOTHING_WRONG
    assert finding.evidence["validation_rows"] == 0


# --- less learned than there is ----------------------------------------------------------------------------------------

TWO_CLASSES = ["binary_cross_entropy", "squared_hinge", "exponential", "mean_squared_error", "nll"]


@pytest.mark.parametrize("loss", TWO_CLASSES)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_line_cannot_follow_a_circle(loss: str, seed: int) -> None:
    (finding,) = ended(CIRCLES, loss, model=LINEAR, seed=seed).findings
    assert finding.verdict == "underfitting"
    assert float(finding.evidence["share_learned"]) < 0.05
    assert float(finding.evidence["share_still_explained_by_inputs"]) > 0.3
    assert "model.name mlp" in finding.advice


@pytest.mark.parametrize("validation", [Holdout(), ALL_ROWS])
def test_a_line_cannot_follow_moons(validation: Holdout) -> None:
    plan = {"model": LINEAR, "optimizer": optimizer("lbfgs"), "epochs": 5, "validation": validation}
    (finding,) = ended(MOONS, "logistic", **plan).findings
    assert finding.verdict == "underfitting"
    assert 0.4 < float(finding.evidence["share_learned"]) < 0.8


@pytest.mark.parametrize(
    ("held_back", "advice"),
    [
        ({"l2": 3.0}, "regularization.l2 0.3 instead of 3"),
        ({"l1": 1.0}, "regularization.l1 0.1 instead of 1"),
        ({"optimizer": optimizer("adamw", 0.01, weight_decay=50.0)}, "optimizer.weight_decay 5 instead of 50"),
    ],
)
def test_weights_that_are_held_back_underfit(held_back: dict[str, Any], advice: str) -> None:
    (finding,) = ended(REGRESSION, "mean_squared_error", **held_back).findings
    assert finding.verdict == "underfitting"
    assert advice in finding.advice
    assert float(finding.evidence["training_loss_without"]) < float(finding.evidence["last_training_loss"])


@pytest.mark.parametrize(("data", "loss"), [(MOONS, "logistic"), (FRIEDMAN, "huber")])
def test_a_loss_that_a_penalty_lifts_does_not_diverge(data: Table, loss: str) -> None:
    """The loss falls before the weights do, and is lifted again by their fall."""
    run = ended(data, loss, model=mlp(64), l2=0.3, epochs=40)
    assert run.losses[-1] > 1.5 * run.losses.min()
    (finding,) = run.findings
    assert finding.verdict == "underfitting"
    assert "regularization.l2 0.03 instead of 0.3" in finding.advice


def test_inputs_that_say_nothing() -> None:
    rng = np.random.default_rng(0)
    data = Table(rng.normal(size=(300, 3)), rng.normal(size=300))
    (finding,) = ended(data, "mean_squared_error", model=LINEAR).findings
    assert finding.verdict == "underfitting"
    assert "no better than the best constant" in finding.summary
    assert "data.inputs" in finding.advice


# --- loss and labels that do not fit -----------------------------------------------------------------------------------


def misfit(data: Table, loss: str, parameters: Any = None, **changes: Any) -> Finding:
    finding = ended(data, loss, parameters, **{"epochs": 5, **changes}).findings[0]
    assert finding.verdict == "misfit"
    return finding


@pytest.mark.parametrize("loss", ["mean_squared_error", "huber", "mean_absolute_error", "poisson_nll"])
def test_classes_are_no_quantities(loss: str) -> None:
    finding = misfit(IRIS, loss)
    assert finding.evidence["classes"] == 3
    assert "categorical_cross_entropy" in finding.advice


def test_class_indices_are_told_from_counts_by_their_spread() -> None:
    unnamed = Table(IRIS.inputs, IRIS.targets)
    assert "look like" in misfit(unnamed, "mean_squared_error").summary
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(200, 2))
    counts = rng.poisson(np.exp(0.5 * inputs[:, 0] - 0.5)).astype(float)
    for loss, most in (("mean_squared_error", np.inf), ("mean_squared_error", 3.0), ("poisson_nll", 3.0)):
        assert ended(Table(inputs, np.minimum(counts, most)), loss, model=LINEAR).verdicts[0] in NOTHING_WRONG


def test_quantities_are_no_classes() -> None:
    inputs = np.random.default_rng(0).normal(size=(60, 3))
    finding = misfit(Table(inputs, np.round(40.0 + 10.0 * inputs[:, 0])), "categorical_cross_entropy", epochs=1, model=LINEAR)
    assert finding.evidence["classes"] == np.round(40.0 + 10.0 * inputs[:, 0]).max() + 1
    assert "mean_squared_error" in finding.advice


@pytest.mark.parametrize(("loss", "target"), [("mean_squared_error", 3.0), ("binary_cross_entropy", 1.0), ("hinge", 1.0)])
def test_targets_that_are_all_the_same(loss: str, target: float) -> None:
    finding = misfit(Table(REGRESSION.inputs, np.full(200, target)), loss)
    assert finding.evidence["distinct_targets"] == 1


def test_targets_that_a_parameter_clips_away() -> None:
    plan = {"standardize_targets": True}
    finding = misfit(REGRESSION, "mean_squared_logarithmic_error", {"clip": 1e-7}, **plan)
    standardized = prepare(planned(REGRESSION, "mean_squared_logarithmic_error", {"clip": 1e-7}, **plan)).training.targets
    assert finding.evidence["share_of_rows"] == pytest.approx((standardized <= 1e-7).mean())
    assert "standardize.targets false" in finding.advice
    assert "loss.clip null instead of 1e-07" in finding.advice


@pytest.mark.parametrize(
    ("output", "beyond"),
    [("tanh", lambda t: np.abs(t) > 1), ("softplus", lambda t: t < 0), ("sigmoid", lambda t: (t < 0) | (t > 1))],
)
def test_targets_that_the_output_cannot_reach(output: str, beyond: Any) -> None:
    run = ended(REGRESSION, "mean_squared_error", model=mlp(8, output=output), epochs=5)
    finding = run.findings[0]
    assert finding.verdict == "misfit"
    assert 0.1 < float(finding.evidence["share_of_rows"]) <= beyond(run.run.training.targets).mean()
    assert "model.output null" in finding.advice


def test_a_loss_that_falls_for_ever() -> None:
    finding = misfit(MOONS, "hinge_embedding")
    assert "without bound" in finding.summary
    assert ended(MOONS, "hinge_embedding", model=mlp(output="softplus")).verdicts[0] in NOTHING_WRONG


def test_a_loss_that_sees_few_rows_only() -> None:
    finding = misfit(Table(MOONS.inputs, MOONS.targets), "mean_absolute_percentage_error")
    assert "sees only them" in finding.summary


# --- rows that mislead ------------------------------------------------------------------------------------------------


def test_labels_with_a_gap_have_an_output_for_nothing() -> None:
    finding = misfit(Table(IRIS.inputs, np.where(IRIS.targets == 2, 3.0, IRIS.targets)), "categorical_cross_entropy")  # type: ignore[operator]
    assert "no row is of class 2" in finding.summary
    assert (finding.evidence["outputs"], finding.evidence["classes_with_rows"]) == (4, 3)
    assert "data.targets from 0 to 2" in finding.advice


def test_ratings_are_quantities_and_shuffled_labels_are_not() -> None:
    inputs = np.random.default_rng(1).normal(size=(300, 3))
    worth = inputs[:, 0] + 0.5 * inputs[:, 1]
    ratings = 1.0 + np.digitize(worth, np.quantile(worth, [0.25, 0.5, 0.75]))
    assert "misfit" not in ended(Table(inputs, ratings), "mean_squared_error", model=LINEAR).verdicts
    renamed = np.array([0.0, 3.0, 1.0, 4.0, 2.0])[ratings.astype(int)]
    finding = misfit(Table(inputs, renamed), "mean_squared_error", model=LINEAR, epochs=40)
    assert "look like indices of 4 classes" in finding.summary
    assert finding.evidence["balanced_accuracy_when_tried"] > finding.evidence["balanced_accuracy"]  # type: ignore[operator]


def test_a_class_of_validation_rows_alone_is_named() -> None:
    of_others, of_two = IRIS.targets == 2, IRIS.targets != 2
    table = Table(IRIS.inputs[of_two], IRIS.targets[of_two], IRIS.classes)  # type: ignore[index]
    others = Table(IRIS.inputs[of_others], IRIS.targets[of_others])  # type: ignore[index]
    finding = misfit(table, "categorical_cross_entropy", validation=Holdout(None, table=others), epochs=2)
    assert "Of class virginica there are 50 validation rows" in finding.summary
    assert "rows of virginica among those of data" in finding.advice


def test_weights_by_class_that_are_advised_are_followed_by_more_decisions_for_the_rare_class() -> None:
    rng = np.random.default_rng(4)
    rare = rng.permutation(np.arange(500) < 20)
    data = Table(rng.normal(size=(500, 2)) + 1.5 * rare[:, None], rare.astype(float))
    plan = {"model": LINEAR, "epochs": 40}
    finding = misfit(data, "logistic", **plan)
    assert finding.evidence["rows_of_class"] == 20
    assert "class_weight balanced" in finding.advice
    assert "Class 1 has 4.0% of the rows" in finding.summary
    assert ended(data, "logistic", class_weight="balanced", **plan).verdicts[0] != "misfit"


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_a_few_validation_rows_prove_nothing_and_are_no_sign_of_rows_learned_by_heart(rows: int) -> None:
    run = ended(noisy("numbers", 0), "mean_squared_error", epochs=60, validation=Holdout(None, last=rows))
    assert "overfitting" not in run.verdicts
    (finding,) = [finding for finding in run.findings if finding.verdict == "inconclusive"]
    assert finding.evidence["validation_rows"] == rows
    assert "validation.fraction 0.2" in finding.advice


def test_every_rule_says_what_it_looks_for_and_none_is_a_rule_twice() -> None:
    """Whatever is defined in a module of rules is one, so nothing else may be."""
    rules = [*MISFITS, *COURSES, *EVIDENCE]
    assert len({*rules}) == len(rules)
    assert rules[len(MISFITS) + len(COURSES) - 1].__name__ == "converged"
    assert {*COURSES_OF_FORESTS} - {*rules} == {rule for rule in COURSES_OF_FORESTS if rule.__name__ == "never_finite"}
    for rule in {*rules, *COURSES_OF_FORESTS}:
        assert [*signature(rule).parameters] == ["seen"], rule
        assert rule.__doc__, rule


# --- whatever the run --------------------------------------------------------------------------------------------------


@pytest.mark.no_cover  # others run these lines as well
@folded(
    "case",
    {case.loss.name: case for case in default_training_cases()}.values(),
    of=lambda case: case.loss.family,
    long=[LOSSES[name].family for name in ("proxy_nca", "arcface", "mcc")],  # each step is much work
)
def test_every_loss_that_trains_can_be_diagnosed(case: Any) -> None:
    inputs = np.random.default_rng(0).normal(size=(12, 3))
    run = ended(Table(inputs, targets(case, 12)), case.loss.name, model=mlp(4), epochs=3)
    before = {key: array.copy() for key, array in run.state.items()}
    findings = run.findings
    assert before.keys() == run.state.keys()
    assert all(np.array_equal(before[key], run.state[key], equal_nan=True) for key in before)
    for finding in findings:
        assert finding.summary.endswith(".")
        assert len(finding.advice) > 10
        assert all(type(number) in (int, float, str) for number in finding.evidence.values())
        assert all(math.isfinite(number) for number in finding.evidence.values() if not isinstance(number, str))


def test_whoever_asks_again_is_told_the_same() -> None:
    for data, loss in ((IRIS, "categorical_cross_entropy"), (MOONS, "hinge_embedding"), (FRIEDMAN, "mean_squared_error")):
        run = ended(data, loss, model=mlp(4), epochs=3)
        first = run.findings
        assert run.findings == first


@pytest.mark.parametrize("rate", [1e-7, 0.1, 100.0])
def test_a_loss_that_is_twice_another_makes_no_difference(rate: float) -> None:
    """Half the squared error at twice the rate takes the same steps: nothing but the losses themselves may differ."""

    def findings(loss: str, rate: float) -> list[Finding]:
        plan = {"model": mlp(4), "optimizer": optimizer("sgd", rate), "epochs": 12}
        return ended(FRIEDMAN, loss, **plan).findings

    (whole,), (half,) = findings("mean_squared_error", rate), findings("half_squared_error", 2.0 * rate)
    assert whole.verdict == half.verdict
    assert whole.evidence.keys() == half.evidence.keys()
    for name, value in whole.evidence.items():
        times = 0.5 if "loss" in name or "fall" in name or "norm" in name else 2.0 if "rate" in name else 1.0
        assert half.evidence[name] == pytest.approx(times * float(value), rel=1e-6), name


@pytest.mark.parametrize("rate", [0.01, 30.0])
def test_a_loss_that_is_moved_makes_no_difference(rate: float) -> None:
    """The gamma loss is half its deviance but for what the targets alone decide: the same steps, and losses of either sign."""

    def finding(loss: str, rate: float) -> Finding:
        plan = {"model": LINEAR, "optimizer": optimizer("sgd", rate), "epochs": 12}
        return ended(DIABETES, loss, **plan).findings[0]

    deviance, nll = finding("gamma_deviance", rate), finding("gamma_nll", 2.0 * rate)
    assert deviance.verdict == nll.verdict
    for name in ("share_learned", "share_of_epochs_that_rose", "epochs"):
        assert (name in deviance.evidence) == (name in nll.evidence)
        if name in nll.evidence:
            assert nll.evidence[name] == pytest.approx(deviance.evidence[name], rel=1e-6)


def test_a_run_of_many_rows_is_judged_by_a_sample_of_them() -> None:
    data = table("circles", n_samples=5000)
    (finding,) = ended(data, "logistic", model=LINEAR, optimizer=optimizer("lbfgs"), epochs=3).findings
    assert finding.verdict == "underfitting"
    assert ended(data, "logistic", epochs=8).verdicts[0] in NOTHING_WRONG


def test_a_forest_whose_loss_has_no_finite_value_is_told_so() -> None:
    """Trees that are grown deep enough hit their targets, where 1/r is infinite; nothing of a course is left to look at."""
    pole = Chosen(COMPOSED["expression"], {"value": "1/r"}, COMPOSED["expression"](value="1/r"))
    run = prepare(Plan(data=MOONS, loss=pole, model=Chosen(MODELS["random_forest"], {}), optimizer=None, epochs=1))
    state = start(run)
    for _ in fit(run, state):
        pass
    assert "diverging" in [finding.verdict for finding in diagnose(run, state)]
