"""Libraries of boosted trees: gradient and second derivative of an objective, from the leaves −g/(h + λ) of one tree."""

import importlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import numpy as np

LAMBDAS = 1.0, 3.0


class Answer(NamedTuple):
    """What a library says, None for what it does not."""

    numbers: np.ndarray | None = None
    gradients: Mapping[str, np.ndarray] = {}
    """Of the sum of the numbers, by the array's name."""
    hessian: np.ndarray | None = None
    rounding: float = 0.0
    """What is lost in finding the gradient."""


def _derivatives(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gradient and second derivative, from leaves under the two λ; of a leaf of 0 the latter is not known."""
    with np.errstate(all="ignore"):
        hessian = np.where(first == second, np.nan, (3.0 * second - first) / (first - second))
        gradient = np.where(first == 0, 0.0, -first * (np.where(np.isnan(hessian), 0.0, hessian) + 1.0))
    return gradient, hessian


def _xgboost(estimator: Any, arrays: Mapping[str, np.ndarray]) -> Answer:
    xgboost: Any = importlib.import_module("xgboost")
    asked = {name: value for name, value in estimator.get_xgb_params().items() if value is not None}
    predictions = arrays["predictions"]
    if "upper" in arrays:
        return _interval(xgboost, asked, arrays)
    targets = arrays["targets"] if "targets" in arrays else np.where(arrays["event"] > 0, arrays["time"], -arrays["time"])
    common = {"verbosity": 0, "base_score": 0.5, "nthread": 1, "disable_default_eval_metric": False, **asked}
    metric = estimator.eval_metric
    if metric is not None:
        if estimator.objective in (None, "reg:squarederror", "binary:logistic"):
            common["objective"] = "reg:squarederror"
        if predictions.ndim == 2:
            common |= {"objective": "multi:softprob", "num_class": predictions.shape[1]}
        data = xgboost.DMatrix(np.zeros((len(targets), 1)), targets, base_margin=predictions)
        booster = xgboost.train({**common, "eval_metric": metric}, data, 0)
        return Answer(np.asarray(float(booster.eval(data).rpartition(":")[2])))
    parts = [_leaf(xgboost, common, np.atleast_1d(p), y) for p, y in zip(predictions, targets, strict=True)]
    gradient, hessian = (np.array(column).reshape(predictions.shape) for column in zip(*parts, strict=True))
    return Answer(None, {"predictions": gradient}, hessian, rounding=float(np.abs(predictions).max() * 2.0**-22))


def _interval(xgboost: Any, asked: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Answer:
    """Its measure of times of which an interval is known."""
    data = xgboost.DMatrix(np.zeros((len(arrays["lower"]), 1)), base_margin=arrays["predictions"])
    for end in ("lower", "upper"):
        data.set_float_info(f"label_{end}_bound", arrays[end])
    booster = xgboost.train({"verbosity": 0, "nthread": 1, "base_score": 0.5, **asked}, data, 0)
    return Answer(np.asarray(float(booster.eval(data).rpartition(":")[2])))


def _leaf(xgboost: Any, common: Mapping[str, Any], margin: np.ndarray, label: float) -> tuple[np.ndarray, np.ndarray]:
    """Gradient and second derivative of one sample, from the leaves −g/(h + λ) that a tree gives it alone."""
    data = xgboost.DMatrix(np.zeros((1, 1)), [label], base_margin=margin[None])
    leaves = []
    for regularization in LAMBDAS:
        settings = {**common, "lambda": regularization, "alpha": 0, "eta": 1, "min_child_weight": 0, "max_delta_step": 0}
        booster = xgboost.train({**settings, "max_depth": 1, "tree_method": "exact"}, data, 1)
        leaves.append(booster.predict(data, output_margin=True).reshape(-1).astype(float) - margin)
    return _derivatives(*leaves)


def _lightgbm(estimator: Any, arrays: Mapping[str, np.ndarray]) -> Answer:
    """LightGBM's measure of the predictions as they are, raw scores under its objective, and what it would follow there."""
    lightgbm: Any = importlib.import_module("lightgbm")
    logging.getLogger("lightgbm").disabled = True
    lightgbm.register_logger(logging.getLogger("lightgbm"))
    given = {name: value for name, value in estimator.get_params().items() if value is not None}
    chosen = {name: given[name] for name in ("alpha", "fair_c", "metric", "num_class", "tweedie_variance_power") if name in given}
    objective = given.get("objective", "none")
    chosen |= {
        "objective": objective,
        "verbosity": -1,
        "num_threads": 1,
        "min_data_in_leaf": 1,
        "min_data_in_bin": 1,
        "min_sum_hessian_in_leaf": 0,
        "boost_from_average": False,
        "feature_pre_filter": False,
    }
    predictions, rows = arrays["predictions"], len(arrays["targets"])
    labels = [0.0, 1.0] if objective == "binary" else []  # it wants to see both: these weigh nothing
    targets = np.append(arrays["targets"], labels)
    weights = np.append(np.ones(rows), np.zeros(len(labels)))
    scores = np.concatenate([predictions, np.zeros((len(labels), *predictions.shape[1:]))])
    inputs, flat = np.arange(len(targets), dtype=float)[:, None], scores.reshape(-1, order="F")
    with _quiet():
        booster = lightgbm.Booster(chosen, lightgbm.Dataset(inputs, targets, weight=weights, init_score=flat))
        measured = booster.eval_train()
        value = np.asarray(measured[0][2]) if measured else None
        if objective == "none":
            return Answer(value)
        tree = lightgbm.train(
            {**chosen, "objective": _apart(scores), "metric": "None", "num_leaves": len(targets), "learning_rate": 1.0},
            lightgbm.Dataset(inputs, targets),
            1,
        ).model_to_string()
        leaves = []
        for regularization in LAMBDAS:
            booster = lightgbm.Booster(model_str=tree)
            booster.params = {**chosen, "lambda_l2": regularization}
            refitted = booster.refit(inputs, targets, decay_rate=0.0, weight=weights, init_score=flat)
            leaves.append(refitted.predict(inputs[:rows], raw_score=True))
    divisor = 1.0 if value is None else rows
    gradient, hessian = (array / divisor for array in _derivatives(*leaves))
    return Answer(value, {"predictions": gradient}, hessian, rounding=float(np.abs(predictions).max() * 2.0**-22))


def _apart(scores: np.ndarray) -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """An objective whose slopes put every sample into a leaf of its own."""
    slopes = np.arange(len(scores)) - len(scores) / 3.0
    table = np.broadcast_to(slopes.reshape(-1, *(1,) * (scores.ndim - 1)), scores.shape)
    return lambda *_: (table.copy(), np.ones(scores.shape))


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what a library in C++ prints about numbers that it does not take."""
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _catboost(estimator: Any, arrays: Mapping[str, np.ndarray]) -> Answer:
    predictions, targets = arrays["predictions"], arrays["targets"]
    labels = [0, 1] if "Classifier" in type(estimator).__name__ else []
    labels = [*range(predictions.shape[1])] if predictions.ndim == 2 else labels
    pairs = [(np.atleast_1d(p), y) for p, y in zip(predictions, targets, strict=True)]
    loss = estimator.get_params()["loss_function"]
    gradient = np.array([-2.0 * _catboost_leaf(loss, p, y, labels, "Gradient") for p, y in pairs])
    hessian = None
    with suppress(ValueError):  # not for every loss; of classes it takes the whole matrix
        if predictions.ndim == 1:
            leaves = np.array([_catboost_leaf(loss, p, y, labels, "Newton") for p, y in pairs])
            with np.errstate(all="ignore"):
                hessian = (np.where(gradient == 0, np.nan, -gradient / leaves) - 1.0).reshape(predictions.shape)
    rounding = float(np.abs(predictions).max() * 2.0**-22)
    return Answer(None, {"predictions": gradient.reshape(predictions.shape)}, hessian, rounding)


def _catboost_leaf(loss: str, margin: np.ndarray, label: float, labels: list[int], method: str) -> np.ndarray:
    """The leaf of one sample beside its like: −g/(1 + 1) of the slope alone, or −g/(h + 1). Other labels weigh nothing."""
    catboost: Any = importlib.import_module("catboost")
    rows = 2 + len(labels)
    inputs = np.eye(rows)[:, 1:2]
    data = catboost.Pool(
        inputs, [label, label, *labels], baseline=np.tile(margin, (rows, 1)), weight=[1.0, 1.0, *(0.0 for _ in labels)]
    )
    model = catboost.CatBoost(
        {
            "loss_function": loss,
            "iterations": 1,
            "depth": 1,
            "learning_rate": 1.0,
            "l2_leaf_reg": rows / 2.0,
            "leaf_estimation_method": method,
            "leaf_estimation_iterations": 1,
            "leaf_estimation_backtracking": "No",
            "boost_from_average": False,
            "boosting_type": "Plain",
            "bootstrap_type": "No",
            "random_strength": 0,
            "model_shrink_rate": 0.0,
            "allow_const_label": True,
            "allow_writing_files": False,
            "thread_count": 1,
            "verbose": False,
        }
    )
    try:
        with _quiet():
            model.fit(data)
    except catboost.CatBoostError as error:
        raise ValueError(str(error)) from error
    assert [*model.get_tree_leaf_counts()] == [2]
    return model.predict(inputs[:1], prediction_type="RawFormulaVal").reshape(-1)


BOOSTERS: Mapping[str, Callable[[Any, Mapping[str, np.ndarray]], Answer]] = {
    "xgboost.XGBModel": _xgboost,
    "lightgbm.LGBMModel": _lightgbm,
    "catboost.CatBoost": _catboost,
}
