"""Optimizers against the trajectories of the libraries they are named after (recorded in trajectories.json), and what a
step promises: that it takes no memory, and that weights, slots and the step's number are all there is to resume from.
"""

import inspect
import json
import math
import subprocess
import sys
import tracemalloc
from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.optimize
from typing_extensions import Doc

from app.registry import registry
from app.training import optimizers
from app.training.optimizers import Optimizer, lbfgs
from tests.folding import Decorator, in_turn
from tests.training.problems import PROBLEMS, RECORDED_STEPS, Array, Problem
from tests.training.published import PUBLISHED

OPTIMIZERS = registry("optimizer", Optimizer, optimizers)
STEPPING = {name: optimizer for name, optimizer in OPTIMIZERS.items() if not optimizer.full_batch}
Entry = dict[str, Any]


def _within(value: Any, annotation: Any) -> bool:
    tests: dict[str, Callable[[Any, Any], bool]] = {
        "gt": lambda a, b: a > b,
        "ge": lambda a, b: a >= b,
        "lt": lambda a, b: a < b,
        "le": lambda a, b: a <= b,
    }
    bounds = [(key, getattr(mark, key)) for mark in annotation.__metadata__ for key in tests if hasattr(mark, key)]
    return isinstance(value, annotation.__origin__) and all(tests[key](value, limit) for key, limit in bounds)


def another(parameter: inspect.Parameter) -> Any:
    """A value of this parameter that is not its default."""
    if isinstance(parameter.default, bool):
        return not parameter.default
    if isinstance(parameter.default, int):
        return parameter.default // 2 or 7
    half = parameter.default / 2 or 0.25
    return half if _within(half, parameter.annotation) else 2 * parameter.default


RECORDED: list[Entry] = [
    entry for entry in json.loads((Path(__file__).parent / "trajectories.json").read_text()) if "optimizer" in entry
]
TRAJECTORIES = [entry for entry in RECORDED if "weights" in entry]
MINIMA = [entry for entry in RECORDED if "minimum" in entry]
PUBLISHED_VARIANTS: list[Entry] = [
    {"optimizer": name, "parameters": parameters}
    for name in PUBLISHED
    for parameters in ({}, *({key: another(parameter)} for key, parameter in OPTIMIZERS[name].parameters.items()))
]
"""Each optimizer with its defaults, and with every parameter in turn another."""
VARIANTS = {
    f"{entry['optimizer']}({', '.join(f'{key}={value}' for key, value in entry['parameters'].items())})": entry
    for entry in (*PUBLISHED_VARIANTS, *TRAJECTORIES)
}
"""Every choice of parameters that is compared with an independent one, once."""


class Walk:
    """An optimizer on its way down a problem. What it may not rely on is spoilt: scratch, and the gradient after a step."""

    def __init__(self, entry: Entry, problem: Problem) -> None:
        self.optimizer, self.parameters, self.problem = OPTIMIZERS[entry["optimizer"]], entry["parameters"], problem
        self.weights = np.array(problem.start)
        self.slots = np.zeros((len(self.optimizer.slots), self.weights.size))
        self.step = 0

    def take(self, steps: int, **parameters: float) -> Array:
        for _ in range(steps):
            self.step += 1
            gradient = self.problem.gradient(self.weights, self.step)
            scratch = np.full((2, self.weights.size), np.nan)
            self.optimizer(self.weights, gradient, self.slots, scratch, self.step, **(self.parameters | parameters))
        return self.weights


def every(variants: dict[str, Entry]) -> Decorator:
    return in_turn("entry", variants.values(), ids=variants)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_has_recordings_on_more_than_one_problem_or_its_published_lines(name: str) -> None:
    problems = {entry["problem"] for entry in RECORDED if entry["optimizer"] == name}
    assert len(problems) > 1 or name in PUBLISHED
    assert {*PUBLISHED, *(entry["optimizer"] for entry in RECORDED)} <= set(OPTIMIZERS)


@pytest.mark.parametrize("name", STEPPING)
def test_every_parameter_is_compared_where_it_is_not_the_default(name: str) -> None:
    optimizer = STEPPING[name]
    compared = [entry["parameters"] for entry in VARIANTS.values() if entry["optimizer"] == name]
    tried = {key for parameters in compared for key, value in parameters.items() if value != optimizer.defaults[key]}
    assert tried == set(optimizer.parameters)


@in_turn("entry", TRAJECTORIES, ids=[f"{entry['optimizer']}-{entry['problem']}-{entry['source']}" for entry in TRAJECTORIES])
def test_trajectory_is_the_recorded_one(entry: Entry) -> None:
    walk = Walk(entry, PROBLEMS[entry["problem"]])
    for step, expected in zip(RECORDED_STEPS, entry["weights"], strict=True):
        weights = walk.take(step - walk.step)
        np.testing.assert_allclose(weights, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize("library", ["torch", "keras", "optax", "sklearn"])
def test_what_equals_claims_of_a_library_was_recorded_from_it(library: str) -> None:
    source = "scikit-learn" if library == "sklearn" else library
    claimed = {name for name, optimizer in OPTIMIZERS.items() if any(same.library.name == library for same in optimizer.equals)}
    assert claimed == {entry["optimizer"] for entry in TRAJECTORIES if entry["source"].startswith(source)}


@in_turn("problem", PROBLEMS)
@in_turn("entry", PUBLISHED_VARIANTS, ids=[f"{entry['optimizer']}{entry['parameters']}" for entry in PUBLISHED_VARIANTS])
def test_steps_are_the_published_ones(entry: Entry, problem: str) -> None:
    walk, memory = Walk(entry, PROBLEMS[problem]), defaultdict(float)
    theta, parameters = walk.weights.copy(), walk.optimizer.defaults | entry["parameters"]
    for t in range(1, 31):
        theta = PUBLISHED[entry["optimizer"]](theta, walk.problem.gradient(theta, t), memory, t, **parameters)
        walk.take(1)
        np.testing.assert_allclose(walk.weights, theta, rtol=1e-12, atol=1e-12 * np.abs(theta).max())


@every(VARIANTS)
def test_resuming_from_weights_slots_and_step_gives_the_same_bits(entry: Entry) -> None:
    through, first = Walk(entry, PROBLEMS["rosenbrock"]), Walk(entry, PROBLEMS["rosenbrock"])
    first.take(7)
    second = Walk(entry, PROBLEMS["rosenbrock"])
    second.weights, second.slots, second.step = first.weights.copy(), first.slots.copy(), first.step
    assert second.take(13).tobytes() == through.take(20).tobytes()
    assert second.slots.tobytes() == through.slots.tobytes()


@every(VARIANTS)
def test_a_step_takes_no_memory(entry: Entry) -> None:
    size = 20_000
    optimizer = OPTIMIZERS[entry["optimizer"]]
    weights, gradient = np.ones(size), np.linspace(-1.0, 1.0, size)
    slots, scratch = np.zeros((len(optimizer.slots), size)), np.empty((2, size))

    def step(number: int) -> None:
        optimizer(weights, gradient, slots, scratch, number, **entry["parameters"])

    step(1)
    tracemalloc.start()
    step(2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.05 * weights.nbytes


@every({name: entry for name, entry in VARIANTS.items() if OPTIMIZERS[entry["optimizer"]].has_rate})
def test_the_learning_rate_of_a_step_scales_it(entry: Entry) -> None:
    """A schedule changes it from step to step: what is remembered of gradients does not depend on it."""
    slope = Problem((0.0,) * 4, PROBLEMS["sparse"].value, lambda weights, step: np.array([1.0, -2.0, 30.0, 0.004]))
    moves, slots = [], []
    for factor in (0.0, 1.0, 0.25):
        walk = Walk(entry, slope)
        moves.append(walk.take(1, learning_rate=factor * 0.01))
        slots.append(walk.slots)
    assert not moves[0].any()
    assert moves[1].all()
    np.testing.assert_allclose(moves[2], 0.25 * moves[1], rtol=1e-12)
    if walk.optimizer.average is None:  # which is of weights, and of steps by their lengths
        np.testing.assert_array_equal(slots[1], slots[2])


@every(VARIANTS)
def test_weights_do_not_see_each_other(entry: Entry) -> None:
    """What happens to a weight depends on its own gradients only, so the order of the weights is of no account."""
    order = np.array([2, 0, 3, 1])
    problem = PROBLEMS["sparse"]
    shuffled = Problem(
        tuple(np.array(problem.start)[order]),
        problem.value,
        lambda weights, step: problem.gradient(weights[np.argsort(order)], step)[order],
    )
    np.testing.assert_array_equal(Walk(entry, problem).take(10)[order], Walk(entry, shuffled).take(10))


@every({name: entry for name, entry in VARIANTS.items() if "weight_decay" not in entry["parameters"] and "adamw" not in name})
def test_a_weight_whose_gradient_is_always_zero_stays(entry: Entry) -> None:
    """Dead units: 0 / (0 + epsilon) is a step of 0, not NaN."""
    still = Problem((0.3, -7.0, 1.0), PROBLEMS["sparse"].value, lambda weights, step: np.zeros(3))
    assert Walk(entry, still).take(50).tolist() == [0.3, -7.0, 1.0]


@every(VARIANTS)
def test_gradients_near_the_end_of_the_range_raise_nothing_under_errstate(entry: Entry) -> None:
    walk = Walk(entry, Problem((1.0, 2.0), PROBLEMS["sparse"].value, lambda weights, step: np.array([1e300, -1e-300])))
    with np.errstate(all="ignore"):
        walk.take(5)
    assert walk.step == 5


def test_centered_rmsprop_of_a_constant_gradient_stays_finite() -> None:
    """The variance is 0 but for its rounding, which may be negative: PyTorch's weights are NaN then."""
    entry = {"optimizer": "rmsprop", "parameters": {"centered": True, "rho": 0.5}}
    gradient = np.random.default_rng(0).normal(size=1000)
    constant = Problem((0.0,) * 1000, PROBLEMS["sparse"].value, lambda weights, step: gradient.copy())
    walk = Walk(entry, constant)
    walk.take(200)
    assert ((walk.slots[0] - walk.slots[1] ** 2) < 0).any()
    assert np.isfinite(walk.weights).all()


@pytest.mark.parametrize(
    ("alias", "same_as"),
    [
        ("SGD", "sgd"),
        ("RMSprop", "rmsprop"),
        ("Adam", "adam"),
        ("NAdam", "nadam"),
        ("L-BFGS-B", "lbfgs"),
    ],
)
def test_names_of_other_libraries_are_aliases(alias: str, same_as: str) -> None:
    assert OPTIMIZERS.resolve(alias)[0] is OPTIMIZERS[same_as]


def test_the_parameters_of_an_alias_are_parameters() -> None:
    for optimizer in OPTIMIZERS.values():
        for alias in optimizer.aliases:
            assert set(alias.parameters) <= set(optimizer.parameters)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_says_what_it_is(name: str) -> None:
    optimizer = OPTIMIZERS[name]
    assert optimizer.summary.endswith(".")
    assert optimizer.reference
    assert optimizer.equals or name in PUBLISHED
    assert optimizer.has_rate is (name not in ("lbfgs", "rprop"))
    assert optimizer.average is None or optimizer.average in optimizer.slots
    assert len(set(optimizer.slots)) == len(optimizer.slots)
    assert all(_documented(parameter.annotation) for parameter in optimizer.parameters.values())
    assert all(_within(value, optimizer.parameters[key].annotation) for key, value in optimizer.defaults.items())


def _documented(annotation: Any) -> bool:
    return any(isinstance(mark, Doc) for mark in annotation.__metadata__)


# --- L-BFGS -----------------------------------------------------------------------------------------------------------


def objective(problem: Problem) -> Callable[[Array], tuple[float, Array]]:
    gradient = np.empty(len(problem.start))  # one buffer for all calls

    def evaluate(weights: Array) -> tuple[float, Array]:
        gradient[:] = problem.gradient(weights, 1)
        return problem.value(weights), gradient

    return evaluate


@pytest.mark.parametrize("entry", MINIMA, ids=[entry["problem"] for entry in MINIMA])
def test_lbfgs_ends_where_pytorchs_does(entry: Entry) -> None:
    problem = PROBLEMS[entry["problem"]]
    weights = np.array(problem.start)
    for _ in range(10):
        lbfgs(weights, objective(problem), tolerance=1e-12)
    np.testing.assert_allclose(weights, entry["minimum"], atol=2e-12 / 9.67e-5)  # norm of the gradient over least curvature


def test_an_epoch_of_lbfgs_is_the_call_of_scipy_that_equals_says() -> None:
    problem, weights = PROBLEMS["rosenbrock"], np.array(PROBLEMS["rosenbrock"].start)
    lbfgs(weights, objective(problem), max_iter=13, history=4, tolerance=1e-3)
    options = {"maxiter": 13, "maxcor": 4, "gtol": 1e-3, "ftol": 0}
    expected = scipy.optimize.minimize(
        lambda w: (problem.value(w), problem.gradient(w, 1)), problem.start, method="L-BFGS-B", jac=True, options=options
    )
    assert expected.nit == 13
    assert weights.tobytes() == expected.x.tobytes()


@pytest.mark.parametrize("problem", [PROBLEMS["valley"], PROBLEMS["rosenbrock"]], ids=["valley", "rosenbrock"])
def test_an_epoch_of_lbfgs_never_ends_higher_and_resumes_from_the_weights_alone(problem: Problem) -> None:
    weights = np.array(problem.start)
    values = [problem.value(weights)]
    kept = []
    for _ in range(6):
        lbfgs(weights, objective(problem), max_iter=3)
        values.append(problem.value(weights))
        kept.append(weights.copy())
    assert all(later < earlier for earlier, later in pairwise(values))
    resumed = kept[2].copy()
    for _ in range(3):
        lbfgs(resumed, objective(problem), max_iter=3)
    assert resumed.tobytes() == weights.tobytes()


def test_lbfgs_takes_at_most_max_iter_iterations() -> None:
    """The first iteration goes down the gradient, the second already knows of a curvature."""
    problem = PROBLEMS["valley"]
    start = np.array(problem.start)
    one, two = start.copy(), start.copy()
    lbfgs(one, objective(problem), max_iter=1)
    lbfgs(two, objective(problem), max_iter=2)
    down = -problem.gradient(start, 1)
    moved = one - start
    assert moved @ down == pytest.approx(np.linalg.norm(moved) * np.linalg.norm(down), rel=1e-12)
    assert problem.value(two) < problem.value(one) < problem.value(start)


def test_lbfgs_with_more_history_needs_fewer_iterations() -> None:
    far = {}
    for history in (1, 10):
        weights = np.array(PROBLEMS["valley"].start)
        lbfgs(weights, objective(PROBLEMS["valley"]), history=history, max_iter=30, tolerance=1e-12)
        far[history] = np.abs(weights - 1.0).max()
    assert far[10] < 1e-6 < 0.1 < far[1]


def test_lbfgs_stops_at_its_tolerance() -> None:
    problem = PROBLEMS["rosenbrock"]
    weights = np.array(problem.start)
    lbfgs(weights, objective(problem), max_iter=1000, tolerance=0.5)
    assert 1e-6 < np.abs(problem.gradient(weights, 1)).max() <= 0.5


@pytest.mark.parametrize("outside", [math.nan, math.inf])
@pytest.mark.parametrize("scale", [1.0, 1e3, 1e6])
def test_lbfgs_turns_back_from_where_the_loss_is_not_finite(scale: float, outside: float) -> None:
    """scale · w − log w has no value at w ≤ 0, where the first step from 1 leads if scale is large; it is least at 1/scale."""

    gradient = np.empty(2)  # one buffer for all calls, as a network has

    def barrier(weights: Array) -> tuple[float, Array]:
        if (weights <= 0).any():
            gradient.fill(outside)
            return outside, gradient
        np.subtract(scale, 1.0 / weights, out=gradient)
        return float((scale * weights - np.log(weights)).sum()), gradient

    weights = np.array([1.0, 2.0])
    for _ in range(5):
        lbfgs(weights, barrier)
    np.testing.assert_allclose(weights * scale, 1.0, rtol=1e-6)


@pytest.mark.parametrize("slope", [1.0, math.nan, math.inf])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1.0])
def test_lbfgs_stays_where_it_starts_if_that_is_not_finite(value: float, slope: float) -> None:
    start = [1.0, 2.0]

    def hole(weights: Array) -> tuple[float, Array]:
        return (value, np.array([1.0, slope])) if weights.tolist() == start else (-1.0, np.zeros(2))

    weights = np.array(start)
    lbfgs(weights, hole)
    assert (weights.tolist() == start) is not math.isfinite(value * slope)


@pytest.mark.parametrize("elsewhere", [math.nan, 2.0], ids=["not finite", "higher"])
def test_lbfgs_stays_when_no_step_leads_down(elsewhere: float) -> None:
    def pit(weights: Array) -> tuple[float, Array]:
        return (1.0, np.ones(2)) if weights.tolist() == [1.0, 2.0] else (elsewhere, np.full(2, elsewhere))

    weights = np.array([1.0, 2.0])
    lbfgs(weights, pit)
    assert weights.tolist() == [1.0, 2.0]


def test_scipy_is_loaded_when_lbfgs_runs_and_not_before() -> None:
    code = "import sys, app.training.optimizers as o, numpy as n; print('scipy.optimize' in sys.modules, end=' ');"
    run = "o.lbfgs(n.ones(2), lambda w: (float(w @ w), 2 * w)); print('scipy.optimize' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code + run], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["False", "True"]
