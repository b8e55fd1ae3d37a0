"""Writes trajectories.json: what other libraries do on the same problems, in float64. No test runs this.

    KERAS_BACKEND=jax JAX_ENABLE_X64=1 python -m tests.training.record_trajectories

It needs torch, optax and keras on JAX, and scikit-learn, which the project does not; the versions stand in the file.
A case is what we call it, and the call that it was recorded from, with p for the weights.
"""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax  # pyright: ignore[reportMissingImports]  # not installed where this is checked: see above
import keras  # pyright: ignore[reportMissingImports]
import numpy as np
import optax  # pyright: ignore[reportMissingImports]
import sklearn
import torch  # pyright: ignore[reportMissingImports]
from sklearn.neural_network import _stochastic_optimizers

from tests.training.problems import PROBLEMS, RECORDED_STEPS, Array, Problem

torch.set_default_dtype(torch.float64)  # NAdam keeps its product of momentums in the default type
keras.config.set_floatx("float64")

OPTIMIZERS: list[tuple[str, dict[str, Any], str]] = [
    ("gradient_descent", {"learning_rate": 0.001}, "torch.optim.SGD([p], lr=0.001)"),
    ("gradient_descent", {"learning_rate": 0.002}, "optax.sgd(0.002)"),
    ("gradient_descent", {"learning_rate": 0.0005}, "keras.optimizers.SGD(0.0005)"),
    ("sgd", {"learning_rate": 0.001}, "torch.optim.SGD([p], lr=0.001)"),
    ("sgd", {"learning_rate": 0.0005, "momentum": 0.9}, "torch.optim.SGD([p], lr=0.0005, momentum=0.9)"),
    (
        "sgd",
        {"learning_rate": 0.0005, "momentum": 0.8, "nesterov": True},
        "torch.optim.SGD([p], lr=0.0005, momentum=0.8, nesterov=True)",
    ),
    (
        "sgd",
        {"learning_rate": 0.0005, "momentum": 0.9, "weight_decay": 0.1},
        "torch.optim.SGD([p], lr=0.0005, momentum=0.9, weight_decay=0.1)",
    ),
    (
        "sgd",
        {"learning_rate": 0.0005, "momentum": 0.7, "nesterov": True, "weight_decay": 0.5},
        "torch.optim.SGD([p], lr=0.0005, momentum=0.7, nesterov=True, weight_decay=0.5)",
    ),
    ("sgd", {"learning_rate": 0.001, "weight_decay": 2.0}, "torch.optim.SGD([p], lr=0.001, weight_decay=2.0)"),
    ("sgd", {"learning_rate": 0.0005, "momentum": 0.9}, "optax.sgd(0.0005, 0.9)"),
    ("sgd", {"learning_rate": 0.0005, "momentum": 0.9, "nesterov": True}, "optax.sgd(0.0005, 0.9, True)"),
    ("sgd", {"learning_rate": 0.0005, "momentum": 0.9}, "keras.optimizers.SGD(0.0005, 0.9)"),
    ("sgd", {"learning_rate": 0.0005, "momentum": 0.9, "nesterov": True}, "keras.optimizers.SGD(0.0005, 0.9, True)"),
    ("sgd", {"learning_rate": 0.0005, "momentum": 0.9}, "SGDOptimizer([p], 0.0005, momentum=0.9, nesterov=False)"),
    (
        "sgd",
        {"learning_rate": 0.0005, "momentum": 0.9, "nesterov": True},
        "SGDOptimizer([p], 0.0005, momentum=0.9, nesterov=True)",
    ),
    ("adagrad", {}, "torch.optim.Adagrad([p])"),
    (
        "adagrad",
        {"learning_rate": 0.5, "initial_accumulator_value": 0.1, "epsilon": 0.01},
        "torch.optim.Adagrad([p], lr=0.5, initial_accumulator_value=0.1, eps=0.01)",
    ),
    (
        "adagrad",
        {"learning_rate": 0.1, "initial_accumulator_value": 0.1, "epsilon": 1e-7, "epsilon_inside": True},
        "keras.optimizers.Adagrad(0.1)",
    ),
    (
        "adagrad",
        {"learning_rate": 0.1, "initial_accumulator_value": 0.5, "epsilon": 0.001, "epsilon_inside": True},
        "keras.optimizers.Adagrad(0.1, 0.5, 0.001)",
    ),
    (
        "adagrad",
        {"learning_rate": 0.1, "initial_accumulator_value": 0.1, "epsilon": 1e-7, "epsilon_inside": True},
        "optax.adagrad(0.1)",
    ),
    ("rmsprop", {}, "torch.optim.RMSprop([p])"),
    ("rmsprop", {"learning_rate": 0.02, "rho": 0.8, "epsilon": 0.001}, "torch.optim.RMSprop([p], lr=0.02, alpha=0.8, eps=0.001)"),
    ("rmsprop", {"learning_rate": 0.003, "momentum": 0.9}, "torch.optim.RMSprop([p], lr=0.003, momentum=0.9)"),
    ("rmsprop", {"rho": 0.9, "centered": True}, "torch.optim.RMSprop([p], alpha=0.9, centered=True)"),
    (
        "rmsprop",
        {"learning_rate": 0.002, "rho": 0.9, "momentum": 0.5, "centered": True, "epsilon": 1e-5},
        "torch.optim.RMSprop([p], lr=0.002, alpha=0.9, momentum=0.5, centered=True, eps=1e-5)",
    ),
    ("rmsprop", {"rho": 0.9, "epsilon": 1e-7, "epsilon_inside": True}, "keras.optimizers.RMSprop(0.01)"),
    (
        "rmsprop",
        {"learning_rate": 0.001, "rho": 0.9, "epsilon": 0.001, "epsilon_inside": True, "momentum": 0.9, "centered": True},
        "keras.optimizers.RMSprop(0.001, 0.9, 0.9, 0.001, True)",
    ),
    ("rmsprop", {"rho": 0.9, "epsilon_inside": True}, "optax.rmsprop(0.01)"),
    (
        "rmsprop",
        {"learning_rate": 0.001, "rho": 0.9, "epsilon": 0.001, "epsilon_inside": True, "momentum": 0.9, "centered": True},
        "optax.rmsprop(0.001, 0.9, 0.001, centered=True, momentum=0.9)",
    ),
    ("adadelta", {}, "torch.optim.Adadelta([p])"),
    ("adadelta", {"learning_rate": 0.5, "rho": 0.95, "epsilon": 0.001}, "torch.optim.Adadelta([p], lr=0.5, rho=0.95, eps=0.001)"),
    ("adadelta", {"learning_rate": 2.0, "rho": 0.95, "epsilon": 1e-7}, "keras.optimizers.Adadelta(2.0)"),
    ("adadelta", {}, "optax.adadelta(1.0)"),
    ("adam", {}, "torch.optim.Adam([p])"),
    ("adam", {"learning_rate": 0.1}, "torch.optim.Adam([p], lr=0.1)"),
    (
        "adam",
        {"learning_rate": 0.05, "beta_1": 0.5, "beta_2": 0.9, "epsilon": 0.01},
        "torch.optim.Adam([p], lr=0.05, betas=(0.5, 0.9), eps=0.01)",
    ),
    ("adam", {"learning_rate": 0.1, "beta_1": 0.0}, "torch.optim.Adam([p], lr=0.1, betas=(0.0, 0.999))"),
    ("adam", {"learning_rate": 0.05, "beta_1": 0.8, "beta_2": 0.99, "epsilon": 1e-4}, "optax.adam(0.05, 0.8, 0.99, 1e-4)"),
    ("adam", {"epsilon": 1e-7, "epsilon_hat": True}, "keras.optimizers.Adam()"),
    (
        "adam",
        {"learning_rate": 0.05, "beta_1": 0.8, "beta_2": 0.99, "epsilon": 0.01, "epsilon_hat": True},
        "keras.optimizers.Adam(0.05, 0.8, 0.99, 0.01)",
    ),
    (
        "adam",
        {"learning_rate": 0.05, "beta_1": 0.8, "beta_2": 0.99, "epsilon": 0.01, "epsilon_hat": True},
        "AdamOptimizer([p], 0.05, 0.8, 0.99, 0.01)",
    ),
    ("adamw", {}, "torch.optim.AdamW([p])"),
    (
        "adamw",
        {"learning_rate": 0.1, "beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-4, "weight_decay": 0.3},
        "torch.optim.AdamW([p], lr=0.1, betas=(0.8, 0.9), eps=1e-4, weight_decay=0.3)",
    ),
    ("adamw", {"learning_rate": 0.05, "weight_decay": 0.2}, "optax.adamw(0.05, weight_decay=0.2)"),
    ("adamw", {"weight_decay": 0.004, "epsilon": 1e-7, "epsilon_hat": True}, "keras.optimizers.AdamW()"),
    (
        "adamw",
        {"learning_rate": 0.05, "weight_decay": 0.2, "epsilon": 0.01, "epsilon_hat": True},
        "keras.optimizers.AdamW(0.05, 0.2, epsilon=0.01)",
    ),
    ("amsgrad", {}, "torch.optim.Adam([p], amsgrad=True)"),
    (
        "amsgrad",
        {"learning_rate": 0.1, "beta_1": 0.8, "beta_2": 0.7, "epsilon": 1e-3},
        "torch.optim.Adam([p], lr=0.1, betas=(0.8, 0.7), eps=1e-3, amsgrad=True)",
    ),
    (
        "amsgrad",
        {"learning_rate": 0.1, "beta_1": 0.8, "beta_2": 0.7, "epsilon": 1e-3, "epsilon_hat": True},
        "keras.optimizers.Adam(0.1, 0.8, 0.7, 1e-3, amsgrad=True)",
    ),
    ("nadam", {}, "torch.optim.NAdam([p])"),
    (
        "nadam",
        {"learning_rate": 0.05, "beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-3, "momentum_decay": 0.1},
        "torch.optim.NAdam([p], lr=0.05, betas=(0.8, 0.95), eps=1e-3, momentum_decay=0.1)",
    ),
    ("nadam", {"learning_rate": 0.001, "epsilon": 1e-7, "momentum_decay": 1.0}, "keras.optimizers.Nadam()"),
    (
        "nadam",
        {"learning_rate": 0.05, "beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-3, "momentum_decay": 1.0},
        "keras.optimizers.Nadam(0.05, 0.8, 0.95, 1e-3)",
    ),
    ("nadam", {"learning_rate": 0.05, "momentum_decay": 1e6}, "optax.nadam(0.05)"),
    ("lion", {}, "optax.lion(1e-4, weight_decay=0.0)"),
    (
        "lion",
        {"learning_rate": 0.05, "beta_1": 0.8, "beta_2": 0.9, "weight_decay": 0.2},
        "optax.lion(0.05, 0.8, 0.9, weight_decay=0.2)",
    ),
    ("lion", {"learning_rate": 0.01}, "keras.optimizers.Lion(0.01)"),
    (
        "lion",
        {"learning_rate": 0.02, "beta_1": 0.7, "beta_2": 0.9, "weight_decay": 0.1},
        "keras.optimizers.Lion(0.02, 0.7, 0.9, weight_decay=0.1)",
    ),
    ("adamax", {}, "torch.optim.Adamax([p])"),
    (
        "adamax",
        {"learning_rate": 0.05, "beta_1": 0.5, "beta_2": 0.9, "epsilon": 0.01},
        "torch.optim.Adamax([p], lr=0.05, betas=(0.5, 0.9), eps=0.01)",
    ),
    ("adamax", {"learning_rate": 0.05, "beta_1": 0.8}, "optax.adamax(0.05, 0.8)"),
    ("adabelief", {}, "optax.adabelief(0.001)"),
    (
        "adabelief",
        {"learning_rate": 0.05, "beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-6},
        "optax.adabelief(0.05, 0.5, 0.9, 1e-6, 1e-6)",
    ),
    ("rprop", {}, "torch.optim.Rprop([p])"),
    (
        "rprop",
        {"learning_rate": 0.1, "shrink": 0.3, "grow": 1.5, "smallest_step": 0.001, "largest_step": 0.4},
        "torch.optim.Rprop([p], lr=0.1, etas=(0.3, 1.5), step_sizes=(0.001, 0.4))",
    ),
]

BUMPY = [
    4.0,
    3.0,
    2.5,
    2.4999,
    2.6,
    2.49,
    2.488,
    2.487,
    2.5,
    2.4,
    2.41,
    2.42,
    2.4,
    2.39999,
    2.45,
    2.0,
    2.1,
    2.2,
    2.3,
    1.9,
    1.95,
    1.91,
    1.92,
    1.9,
    1.91,
    1.92,
    1.93,
    1.94,
    1.95,
    1.89,
    1.888,
    1.887,
    1.886,
    1.885,
    1.884,
    1.0,
    1.1,
    1.2,
    1.3,
    1.4,
]
SINKING = [-height for height in reversed(BUMPY)]
LOSSES = {"bumpy": BUMPY, "sinking": SINKING}

SCHEDULES: list[tuple[str, dict[str, Any], int, str]] = [
    ("constant", {}, 5, "optax.constant_schedule(1.0)"),
    ("step", {}, 25, "torch.optim.lr_scheduler.StepLR(o, step_size=10)"),
    ("step", {"every": 3, "factor": 0.5}, 12, "torch.optim.lr_scheduler.StepLR(o, step_size=3, gamma=0.5)"),
    ("step", {"every": 4, "factor": 0.3}, 12, "keras.optimizers.schedules.ExponentialDecay(1.0, 4, 0.3, staircase=True)"),
    ("step", {"every": 4, "factor": 0.3}, 12, "optax.exponential_decay(1.0, 4, 0.3, staircase=True)"),
    ("exponential", {}, 10, "torch.optim.lr_scheduler.ExponentialLR(o, gamma=0.95)"),
    ("exponential", {"decay": 0.7}, 10, "torch.optim.lr_scheduler.ExponentialLR(o, gamma=0.7)"),
    ("exponential", {"decay": 0.7}, 10, "keras.optimizers.schedules.ExponentialDecay(1.0, 1, 0.7)"),
    ("exponential", {"decay": 0.7}, 10, "optax.exponential_decay(1.0, 1, 0.7)"),
    ("cosine", {}, 12, "torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=12)"),
    ("cosine", {"minimum": 0.2}, 7, "torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=7, eta_min=0.2)"),
    ("cosine", {"minimum": 0.2}, 7, "keras.optimizers.schedules.CosineDecay(1.0, 7, 0.2)"),
    ("cosine", {"minimum": 0.2}, 7, "optax.cosine_decay_schedule(1.0, 7, 0.2)"),
    ("one_cycle", {}, 20, "torch.optim.lr_scheduler.OneCycleLR(o, 1.0, total_steps=20, cycle_momentum=False)"),
    ("one_cycle", {}, 7, "torch.optim.lr_scheduler.OneCycleLR(o, 1.0, total_steps=7, cycle_momentum=False)"),
    ("one_cycle", {}, 2, "torch.optim.lr_scheduler.OneCycleLR(o, 1.0, total_steps=2, cycle_momentum=False)"),
    (
        "one_cycle",
        {"pct_start": 0.0},
        4,
        "torch.optim.lr_scheduler.OneCycleLR(o, 1.0, total_steps=4, pct_start=0.0, cycle_momentum=False)",
    ),
    (
        "one_cycle",
        {"pct_start": 1.0},
        4,
        "torch.optim.lr_scheduler.OneCycleLR(o, 1.0, total_steps=4, pct_start=1.0, cycle_momentum=False)",
    ),
    (
        "one_cycle",
        {"pct_start": 0.5, "div_factor": 10.0, "final_div_factor": 100.0},
        11,
        "torch.optim.lr_scheduler.OneCycleLR(o, 1.0, total_steps=11, pct_start=0.5, div_factor=10, "
        "final_div_factor=100, cycle_momentum=False)",
    ),
    ("warm_up", {}, 10, "torch.optim.lr_scheduler.LinearLR(o)"),
    ("warm_up", {"epochs_up": 3, "start": 0.1}, 6, "torch.optim.lr_scheduler.LinearLR(o, start_factor=0.1, total_iters=3)"),
    ("warm_up", {"epochs_up": 8, "start": 0.1}, 6, "torch.optim.lr_scheduler.LinearLR(o, start_factor=0.1, total_iters=8)"),
    ("warm_up", {"epochs_up": 4, "start": 0.0}, 6, "optax.warmup_constant_schedule(0.0, 1.0, 4)"),
    (
        "warm_up",
        {"epochs_up": 4, "start": 0.1, "then": "cosine", "minimum": 0.05},
        12,
        "optax.warmup_cosine_decay_schedule(0.1, 1.0, 4, 12, 0.05)",
    ),
    (
        "warm_up",
        {"epochs_up": 4, "start": 0.1, "then": "cosine", "minimum": 0.05},
        12,
        "keras.optimizers.schedules.CosineDecay(0.1, 8, 0.05, warmup_target=1.0, warmup_steps=4)",
    ),
    ("reduce_on_plateau", {"patience": 2}, 41, "torch.optim.lr_scheduler.ReduceLROnPlateau(o, patience=2, eps=0)"),
    (
        "reduce_on_plateau",
        {"factor": 0.5, "patience": 0, "threshold": 0.0, "minimum": 0.01},
        41,
        "torch.optim.lr_scheduler.ReduceLROnPlateau(o, factor=0.5, patience=0, threshold=0.0, min_lr=0.01, eps=0)",
    ),
    (
        "reduce_on_plateau",
        {"factor": 0.7, "patience": 1, "threshold": 0.01, "cooldown": 3},
        41,
        "torch.optim.lr_scheduler.ReduceLROnPlateau(o, factor=0.7, patience=1, threshold=0.01, cooldown=3, eps=0)",
    ),
    ("reduce_on_plateau", {}, 41, "torch.optim.lr_scheduler.ReduceLROnPlateau(o, eps=0)"),
]

NAMES = {"torch": torch, "optax": optax, "keras": keras, **vars(_stochastic_optimizers)}
Trajectory = Iterator[Array]


def torch_trajectory(call: str, problem: Problem) -> Trajectory:
    p = torch.tensor(problem.start, dtype=torch.float64, requires_grad=True)
    optimizer = eval(call, {**NAMES, "p": p})
    for step in range(1, RECORDED_STEPS[-1] + 1):
        p.grad = torch.from_numpy(problem.gradient(p.detach().numpy(), step))
        optimizer.step()
        yield p.detach().numpy().copy()


def optax_trajectory(call: str, problem: Problem) -> Trajectory:
    p = jax.numpy.array(problem.start)
    optimizer = eval(call, NAMES)
    state = optimizer.init(p)
    for step in range(1, RECORDED_STEPS[-1] + 1):
        updates, state = optimizer.update(jax.numpy.array(problem.gradient(np.array(p), step)), state, p)
        p = optax.apply_updates(p, updates)
        yield np.array(p)


def keras_trajectory(call: str, problem: Problem) -> Trajectory:
    p = keras.Variable(np.array(problem.start), dtype="float64")
    optimizer = eval(call, NAMES)
    optimizer.build([p])
    for step in range(1, RECORDED_STEPS[-1] + 1):
        optimizer.apply([jax.numpy.array(problem.gradient(np.asarray(p.value), step))], [p])
        yield np.asarray(p.value)


def sklearn_trajectory(call: str, problem: Problem) -> Trajectory:
    p = np.array(problem.start)
    optimizer = eval(call, {**NAMES, "p": p})
    for step in range(1, RECORDED_STEPS[-1] + 1):
        optimizer.update_params([p], [problem.gradient(p, step)])
        yield p.copy()


SOURCES: dict[str, tuple[str, Callable[[str, Problem], Trajectory]]] = {
    "torch": (f"torch {torch.__version__}", torch_trajectory),
    "optax": (f"optax {optax.__version__}", optax_trajectory),
    "keras": (f"keras {keras.__version__} on JAX", keras_trajectory),
    "SGDOptimizer": (f"scikit-learn {sklearn.__version__}", sklearn_trajectory),
    "AdamOptimizer": (f"scikit-learn {sklearn.__version__}", sklearn_trajectory),
}


def optimizer_entry(name: str, parameters: dict[str, Any], call: str, on: str) -> dict[str, Any]:
    source, trajectory = SOURCES[re.split(r"\W", call)[0]]
    weights = [point.tolist() for step, point in enumerate(trajectory(call, PROBLEMS[on]), 1) if step in RECORDED_STEPS]
    return {"optimizer": name, "parameters": parameters, "problem": on, "source": f"{source}: {call}", "weights": weights}


def torch_minimum(on: str) -> dict[str, Any]:
    """L-BFGS has no trajectory in common between libraries, whose line searches differ; it has where they end."""
    call = 'torch.optim.LBFGS([p], max_iter=500, tolerance_grad=1e-12, tolerance_change=0, line_search_fn="strong_wolfe")'
    problem = PROBLEMS[on]
    p = torch.tensor(problem.start, dtype=torch.float64, requires_grad=True)

    def closure() -> float:
        p.grad = torch.from_numpy(problem.gradient(p.detach().numpy(), 1))
        return problem.value(p.detach().numpy())

    eval(call, {**NAMES, "p": p}).step(closure)
    source = f"torch {torch.__version__}: {call}"
    return {"optimizer": "lbfgs", "parameters": {}, "problem": on, "source": source, "minimum": p.detach().numpy().tolist()}


def schedule_entry(name: str, parameters: dict[str, Any], epochs: int, call: str, losses: str) -> dict[str, Any]:
    source, _ = SOURCES[re.split(r"\W", call)[0]]
    if call.startswith("torch"):
        optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
        scheduler, factors = eval(call, {**NAMES, "o": optimizer}), []
        for epoch in range(epochs):
            factors.append(float(optimizer.param_groups[0]["lr"]))
            optimizer.step()
            if epoch + 1 < epochs:
                scheduler.step(*([LOSSES[losses][epoch]] if name == "reduce_on_plateau" else []))
    else:
        factors = [float(eval(call, NAMES)(epoch)) for epoch in range(epochs)]
    entry = {"schedule": name, "parameters": parameters, "epochs": epochs, "source": f"{source}: {call}", "factors": factors}
    if "CosineDecay" in call:
        entry["tolerance"] = 2e-7  # Keras on JAX rounds every cosine to float32
    return entry | ({"losses": LOSSES[losses][: epochs - 1]} if name == "reduce_on_plateau" else {})


def main() -> None:
    entries = [optimizer_entry(*case, on) for case in OPTIMIZERS for on in PROBLEMS]
    entries += [torch_minimum(on) for on, problem in PROBLEMS.items() if problem.minimum is not None]
    for case in SCHEDULES:
        entries += [schedule_entry(*case, losses) for losses in (LOSSES if case[0] == "reduce_on_plateau" else [""])]
    lines = ",\n".join(json.dumps(entry, allow_nan=False) for entry in entries)
    (Path(__file__).parent / "trajectories.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
