"""Learned losses: where parameters of a loss that move with the weights end, and that nothing else has changed."""

import math
from typing import Any

import numpy as np
import pytest
import scipy.optimize
from scipy.integrate import quad

from app.errors import InvalidParameter
from app.losses import COMPOSED, LOSSES
from app.losses.composed import Head
from app.losses.form import bind
from app.training import OPTIMIZERS, Chosen, Learn, Run, Table, finish, fit, keep, prepare, start
from app.training.learners import State
from app.training.resuming import begin
from app.training.side_by_side import together
from tests.training.plans import Array, loss, mlp, model, optimizer, plan, regression, schedule, trained

LBFGS: dict[str, Any] = {
    "model": model("linear"),
    "optimizer": optimizer("lbfgs", max_iter=200),
    "batch_size": None,
    "standardize_inputs": False,
    "standardize_targets": False,
}
BOTH = Learn(("alpha", "scale"))


def heavy(n: int = 200, seed: int = 3) -> Table:
    """A line, and residuals with heavy tails."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, 2))
    return Table(rows, rows @ [1.5, -0.5] + 0.3 * rng.standard_t(2, n))


def likelihood(residuals: Array, alpha: float, c: float) -> float:
    """The mean of Barron's (2019) equation 16: his loss, the logarithm of his normaliser by quadrature, and that of the scale."""

    def rho(x: Any) -> Any:
        b = abs(alpha - 2.0)
        return b / alpha * ((x * x / b + 1.0) ** (alpha / 2.0) - 1.0)

    z = 2.0 * quad(lambda x: math.exp(-rho(x)), 0.0, math.inf, epsabs=1e-13, epsrel=1e-13, limit=500)[0]
    return float(rho(residuals / c).mean()) + math.log(z) + math.log(c)


def test_shape_and_scale_end_at_the_minimum_of_the_likelihood() -> None:
    table = heavy()
    run = prepare(plan(table, loss=loss("barron"), learn=BOTH, epochs=20, **LBFGS))
    state = trained(run)
    assert run.learned is not None
    found = run.learned.shown(state["learned"])
    rows = np.c_[table.inputs, np.ones(200)]

    def cost(x: Array) -> float:
        return likelihood(rows @ x[:3] - table.targets, 1.999 / (1.0 + math.exp(-x[3])), math.exp(x[4]))

    theirs = scipy.optimize.minimize(cost, np.r_[1.5, -0.5, 0.0, 0.0, -1.0], method="BFGS", options={"gtol": 1e-7})
    assert state["history"][-1, 0] == pytest.approx(theirs.fun, abs=1e-9)
    np.testing.assert_allclose(state["weights"], theirs.x[:3], atol=1e-4)
    assert found["alpha"] == pytest.approx(1.999 / (1.0 + math.exp(-theirs.x[3])), abs=1e-4)
    assert found["scale"] == pytest.approx(math.exp(theirs.x[4]), rel=1e-4)


def test_without_tails_the_shape_becomes_that_of_squares_and_with_them_it_falls() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(400, 1))
    ends: list[float] = []
    for noise in (rng.normal(size=400), rng.standard_cauchy(400)):
        run = prepare(plan(Table(rows, rows[:, 0] + noise), loss=loss("barron"), learn=BOTH, epochs=20, **LBFGS))
        assert run.learned is not None
        ends.append(run.learned.shown(trained(run)["learned"])["alpha"])
    assert ends[0] > 1.7
    assert ends[1] < 0.3


def test_log_variances_end_at_the_logarithm_of_twice_what_their_head_costs() -> None:
    """Of a head whose loss ends at L, ∂(e^(−s)·L + s/2)/∂s = 0 where s = ln 2L: ln 4 = 1.3862944 for 2."""
    targets = np.c_[[2.0, -2.0, 2.0, -2.0], [3.0, -1.0, -1.0, -1.0]]  # halves of 4 and 3 from the mean, at best
    rows, named = together({"size": targets[:, 0], "kind": targets[:, 1]})
    made = COMPOSED["multi_task"](
        heads={"size": Head(bind(LOSSES["half_squared_error"], {})), "kind": Head(bind(LOSSES["half_squared_error"], {}))}
    )
    table = Table(np.zeros((4, 1)), rows, named=named)
    learn = Learn(("heads.kind.log_variance", "heads.size.log_variance"))
    run = prepare(plan(table, loss=Chosen(COMPOSED["multi_task"], {}, made), learn=learn, epochs=20, **LBFGS))
    state = trained(run)
    assert run.learned is not None
    found = run.learned.shown(state["learned"])
    assert [*found] == [*learn.names]
    assert found["heads.size.log_variance"] == pytest.approx(1.3862944, abs=5e-8)
    assert found["heads.kind.log_variance"] == pytest.approx(math.log(3.0), abs=5e-8)
    assert state["history"][-1, 0] == pytest.approx(1.0 + (math.log(4.0) + math.log(3.0)) / 2.0, abs=1e-12)


def test_a_weighed_row_counts_in_what_is_learned_as_often_as_it_stands_there() -> None:
    table = heavy(40)
    counts = np.arange(40) % 3
    assert isinstance(table.targets, np.ndarray)
    twice = Table(np.repeat(table.inputs, counts, axis=0), np.repeat(table.targets, counts))
    weighed = Table(table.inputs, table.targets, sample_weight=counts.astype(float))
    ends = [
        trained(prepare(plan(data, loss=loss("barron"), learn=BOTH, epochs=10, **LBFGS)))["learned"] for data in (twice, weighed)
    ]
    np.testing.assert_allclose(ends[0], ends[1], atol=1e-5)


@pytest.mark.parametrize("name", [name for name, declared in OPTIMIZERS.items() if not declared.full_batch])
def test_what_is_learned_does_not_disturb_what_is_not(name: str) -> None:
    """With a pace of nearly nothing the loss stays what it was, and the weights go their way, penalties and all."""
    changes: dict[str, Any] = {"loss": loss("barron"), "optimizer": optimizer(name), "l2": 0.01, "epochs": 3}
    alone = trained(prepare(plan(**changes)))
    rate = OPTIMIZERS[name].defaults.get("learning_rate", 1.0)
    learn = Learn(("alpha", "scale"), rate * 1e-9 if OPTIMIZERS[name].has_rate else None)
    beside = trained(prepare(plan(learn=learn, **changes)))
    if OPTIMIZERS[name].has_rate and not OPTIMIZERS[name].average:
        np.testing.assert_allclose(beside["weights"], alone["weights"], rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(beside["learned"], prepare(plan(learn=learn, **changes)).learned.start, atol=1e-7)  # type: ignore[union-attr]
    assert np.isfinite(beside["learned"]).all()


def half_and_whole(**changes: Any) -> tuple[Run, State, State]:
    whole = prepare(plan(**changes, epochs=8))
    first = prepare(plan(**changes, epochs=3))
    state = trained(first)
    resumed = begin(prepare(plan(**changes, epochs=8, resume=keep(first, state, finish(first, state)))))
    for _ in fit(whole, resumed):
        pass
    return whole, trained(whole), resumed


@pytest.mark.parametrize("name", ["adam", "schedule_free_adamw", "lbfgs"])
def test_a_run_that_goes_on_has_learned_the_same(name: str) -> None:
    full = OPTIMIZERS[name].full_batch
    changes = {"loss": loss("barron"), "learn": BOTH, "optimizer": optimizer(name), "batch_size": None if full else 8}
    run, whole, resumed = half_and_whole(**changes, model=mlp(4))
    for key in whole:
        if key != "history":
            np.testing.assert_array_equal(whole[key], resumed[key], key)
    seconds = 4
    for column in range(whole["history"].shape[1]):
        if column != seconds:
            np.testing.assert_array_equal(whole["history"][:, column], resumed["history"][:, column])
    assert [*run.learned.names] == ["alpha", "scale"]  # type: ignore[union-attr]


def test_a_run_that_goes_on_learns_what_it_did() -> None:
    changes: dict[str, Any] = {"loss": loss("barron"), "epochs": 3}
    run = prepare(plan(learn=BOTH, **changes))
    state = trained(run)
    kept = keep(run, state, finish(run, state))
    with pytest.raises(InvalidParameter, match="alpha, scale") as refused:
        prepare(plan(**{**changes, "epochs": 6}, resume=kept))
    assert [(fault.path, fault.code) for fault in refused.value.faults] == [(("resume",), "does_not_fit")]


def test_its_rate_is_the_multiple_of_that_of_the_weights_that_was_asked_for() -> None:
    changes: dict[str, Any] = {"loss": loss("barron"), "optimizer": optimizer("gradient_descent", learning_rate=0.01)}
    ends = [
        trained(prepare(plan(learn=Learn(("scale",), rate), epochs=1, batch_size="full", **changes)))["learned"].item()
        for rate in (None, 0.01, 0.03)
    ]
    assert ends[0] == ends[1]
    assert ends[2] == pytest.approx(3.0 * ends[0], rel=1e-12)


def test_the_best_epoch_keeps_its_loss() -> None:
    table = regression(60)
    run = prepare(
        plan(table, loss=loss("barron"), learn=BOTH, epochs=6, monitor="training_loss", patience=100, restore_best=True)
    )
    state = start(run)
    told = list(fit(run, state))
    best = min(told, key=lambda epoch: epoch.training_loss)
    result = finish(run, state)
    assert run.learned is not None
    assert run.learned.shown(result.kept["learned"]) == best.loss_parameters
    assert result.training_loss == best.training_loss
    assert result.per_sample.mean() == pytest.approx(best.training_loss, rel=1e-12)


@pytest.mark.parametrize(
    ("changes", "path", "code", "words"),
    [
        ({"learn": Learn(("delta",)), "loss": loss("huber")}, ("learn", "parameters", 0), "not_learnable", "barron"),
        ({"learn": Learn(("alpha", "beta"))}, ("learn", "parameters", 1), "not_learnable", "alpha, scale can"),
        ({"learn": Learn(("c", "scale"))}, ("learn", "parameters", 1), "duplicate", "twice"),
        ({"learn": Learn(("alpha",)), "loss": loss("barron", alpha=-1.0)}, ("loss", "alpha"), "out_of_range", "from 0 to 1.999"),
        (
            {"learn": BOTH, "model": model("boosted_trees"), "optimizer": None, "batch_size": None},
            ("learn",),
            "unexpected",
            "weights",
        ),
        ({**LBFGS, "learn": Learn(("alpha",), 0.1)}, ("learn", "learning_rate"), "unexpected", "leave it out"),
    ],
)
def test_what_cannot_be_learned_is_told_with_what_can(changes: Any, path: Any, code: str, words: str) -> None:
    with pytest.raises(InvalidParameter, match=words) as refused:
        prepare(plan(**{"loss": loss("barron"), **changes}))
    assert [(fault.path, fault.code) for fault in refused.value.faults] == [(path, code)]


def test_a_schedule_slows_what_is_learned_as_well() -> None:
    changes: dict[str, Any] = {"loss": loss("barron"), "learn": BOTH, "optimizer": optimizer("adam", learning_rate=0.05)}
    run = prepare(plan(**changes, schedule=schedule("exponential", decay=0.1), epochs=6))
    told = [epoch.loss_parameters["scale"] for epoch in fit(run, start(run))]
    steps = np.abs(np.diff(told))
    assert steps[-1] < 1e-3 * steps[0]
