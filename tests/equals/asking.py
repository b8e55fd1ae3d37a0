"""Other libraries asked: an expression, on arrays of theirs, to numbers and gradients of NumPy's."""

import ast
import importlib
import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from app.libraries import Equal
from tests.equals.boosting import BOOSTERS, Answer

os.environ["KERAS_BACKEND"] = "torch"
os.environ.setdefault("OMP_NUM_THREADS", "1")  # the arrays are small, and threads that wait for them spin
INTEGERS = {"class_index", "class_map", "index_list", "group", "proxy", "apart", "interval", "label_sequence"}
DOUBLE, SINGLE = 1e-9, 2e-5
"""What rounding may come to. Of double precision: forms that take 1 − p, or the logarithm of a softmax, lose as many digits
as the numbers here are apart. Of single precision: some hundred roundings of 2⁻²⁴."""
IN_SINGLE = {"xgboost", "lightgbm", "catboost", "keras", "monai"}
"""Libraries that keep labels, or take means, in single precision whatever they are given."""


def ask(
    library: str, call: str, arrays: Mapping[str, tuple[str, np.ndarray]], differentiable: list[str], names: Mapping[str, Any]
) -> Answer:
    """The call with these arrays and names; the gradient to the arrays that are differentiable."""
    return WORLDS.get(library, _ask_numpy)(call, arrays, differentiable, names)


def _namespace(library: str, names: Mapping[str, Any]) -> dict[str, Any]:
    return {library: importlib.import_module(library), "np": np, **names}


def _import_all(call: str, library: str) -> None:
    """Import the modules that the dotted names in a call pass through."""
    for node in ast.walk(ast.parse(call, mode="eval")):
        if isinstance(node, ast.Attribute):
            parts = ast.unparse(node).split(".")
            for end in range(2, len(parts)):
                if parts[0] == library and all(part.isidentifier() for part in parts[:end]):
                    try:
                        importlib.import_module(".".join(parts[:end]))
                    except ModuleNotFoundError:
                        break


def _ask_torch(
    call: str, arrays: Mapping[str, tuple[str, np.ndarray]], differentiable: list[str], names: Mapping[str, Any]
) -> Answer:
    torch: Any = importlib.import_module("torch")
    torch.set_default_dtype(torch.float64)
    library = _root(call)
    _import_all(call, library)
    if library == "keras":
        importlib.import_module("keras").config.set_floatx("float64")
    tensors = {
        name: torch.tensor(array, dtype=torch.int64 if kind in INTEGERS else torch.float64)
        for name, (kind, array) in arrays.items()
    }
    for name in differentiable:
        tensors[name].requires_grad_()
    lists = {
        name: torch.tensor(value, dtype=torch.int64 if name.endswith("_lengths") else torch.float64)
        if isinstance(value, list)
        else value
        for name, value in names.items()
    }
    found = eval(call, {**_namespace(library, lists), "torch": torch, **tensors})
    if not isinstance(found, torch.Tensor):
        return Answer(np.asarray(found))
    gradients = {}
    if differentiable and found.requires_grad:
        found.sum().backward()
        gradients = {name: tensors[name].grad.numpy() for name in differentiable if tensors[name].grad is not None}
    return Answer(found.detach().numpy(), gradients)


def _ask_jax(
    call: str, arrays: Mapping[str, tuple[str, np.ndarray]], differentiable: list[str], names: Mapping[str, Any]
) -> Answer:
    jax: Any = importlib.import_module("jax")
    jnp: Any = jax.numpy
    jax.config.update("jax_enable_x64", True)
    fixed = {name: jnp.asarray(array, jnp.int64 if kind in INTEGERS else jnp.float64) for name, (kind, array) in arrays.items()}
    known = {**_namespace(_root(call), names), "jnp": jnp, **fixed}

    def total(moving: dict[str, Any]) -> tuple[Any, Any]:
        found = eval(call, {**known, **moving})
        return jnp.sum(found), found

    moving = {name: fixed[name] for name in differentiable}
    if not moving:
        return Answer(np.asarray(eval(call, known)))
    gradients, found = jax.grad(total, has_aux=True)(moving)
    return Answer(np.asarray(found), {name: np.asarray(gradient) for name, gradient in gradients.items()})


def _ask_numpy(
    call: str, arrays: Mapping[str, tuple[str, np.ndarray]], differentiable: list[str], names: Mapping[str, Any]
) -> Answer:
    library = _root(call)
    _import_all(call, library)
    plain = {name: array.astype(np.int64) if kind in INTEGERS else array for name, (kind, array) in arrays.items()}
    found = eval(call, {**_namespace(library, names), **plain})
    for kind, adapter in ADAPTERS.items():
        if any(kind == f"{base.__module__.partition('.')[0]}.{base.__name__}" for base in type(found).__mro__):
            return adapter(found, plain)
    return Answer(np.asarray(found))


def _root(call: str) -> str:
    return Equal(call=call).library.name


IN_TORCH = (
    "torch",
    "torchvision",
    "torchmetrics",
    "keras",
    "monai",
    "segmentation_models_pytorch",
    "kornia",
    "pytorch_metric_learning",
)
WORLDS: Mapping[str, Callable[..., Answer]] = {**dict.fromkeys(IN_TORCH, _ask_torch), "optax": _ask_jax}


# --- objects that have a loss ---------------------------------------------------------------------------------------------


def _half_loss(half: Any, arrays: Mapping[str, np.ndarray]) -> Answer:
    """One of scikit-learn's losses for gradient boosting."""
    labels, raw = np.ascontiguousarray(arrays["targets"], np.float64), np.ascontiguousarray(arrays["predictions"])
    values = half.loss(y_true=labels, raw_prediction=raw)
    gradient = half.gradient(y_true=labels, raw_prediction=raw)
    return Answer(values, {"predictions": gradient})


def _sgd(estimator: Any, arrays: Mapping[str, np.ndarray]) -> Answer:
    """The loss that scikit-learn's stochastic gradient descent has for an estimator."""
    loss = estimator._get_loss_function(estimator.loss)
    predictions, targets = (np.ascontiguousarray(arrays[side], np.float64) for side in ("predictions", "targets"))
    if hasattr(loss, "py_loss"):
        pairs = list(zip(predictions.tolist(), targets.tolist(), strict=True))
        slopes = np.array([loss.py_dloss(p, y) for p, y in pairs])
        return Answer(np.array([loss.py_loss(p, y) for p, y in pairs]), {"predictions": slopes})
    if type(loss).__name__ == "CyHalfBinomialLoss":  # of labels 0 and 1
        targets = (targets + 1.0) / 2.0
    values, slopes = np.empty_like(predictions), np.empty_like(predictions)
    loss.loss(targets, predictions, None, values, 1)
    loss.gradient(targets, predictions, None, slopes, 1)
    return Answer(values, {"predictions": slopes})


class Trained(NamedTuple):
    """A model that minimises the loss."""

    raw: Callable[[np.ndarray], np.ndarray]
    """From its weights to the predictions."""
    targets: np.ndarray
    weights: np.ndarray
    value: float | None
    """The mean loss as it says it itself, None where it says nothing."""


def trained(call: str, names: Mapping[str, Any]) -> Trained:
    """The estimator that the call makes, fitted to drawn rows: ½‖w‖² + ∑ loss, or the sum alone."""
    sklearn = importlib.import_module("sklearn")
    _import_all(call, "sklearn")
    rng = np.random.default_rng(7)
    inputs = rng.normal(size=(60, 3))
    estimator = eval(call, {"sklearn": sklearn, **names})
    numbers = inputs @ np.array([1.0, -2.0, 0.5]) + rng.normal(size=60)
    targets = numbers if call.startswith("sklearn.svm.LinearSVR") else np.where(numbers > 0, 1.0, -1.0)
    if call.startswith("sklearn.ensemble."):
        estimator.set_params(n_estimators=5).fit(inputs, targets)
        raw = estimator.decision_function(inputs)
        return Trained(lambda _: raw, targets, np.zeros(0), float(estimator.train_score_[-1]))
    estimator.set_params(fit_intercept=False, C=1.0, tol=1e-12, max_iter=10**6, dual=True).fit(inputs, targets)
    return Trained(lambda weights: inputs @ weights, targets, estimator.coef_.reshape(-1), None)


TRAINED = ("sklearn.svm.", "sklearn.ensemble.")
ADAPTERS: Mapping[str, Callable[[Any, Mapping[str, np.ndarray]], Answer]] = {
    "sklearn.BaseLoss": _half_loss,
    "sklearn.BaseSGD": _sgd,
    **BOOSTERS,
}
