"""Losses of a real-valued prediction. Every array has shape (n,) or (n, d); the d columns of a sample are averaged."""

from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt, Le
from typing_extensions import Doc

from app.losses.encodings import REAL
from app.losses.loss import BOUNDED_GRADIENT, CONVEX, DIFFERENTIABLE, NON_NEGATIVE, SMOOTH, SYMMETRIC, ZERO_AT_TARGET, loss
from app.losses.means import QUADRATIC
from app.losses.stable import Array


@loss(
    predictions=REAL,
    targets=REAL,
    formula="r²",
    aliases=("mse", "MSE", "MSELoss", "MeanSquaredError", "squared_error", "l2", "mse_loss"),
    equals=(
        "torch.nn.MSELoss()",
        "keras.losses.MeanSquaredError()",
        "sklearn.metrics.mean_squared_error",
        "optax.losses.squared_error",
    ),
    reference="Gauss (1809), Theoria motus corporum coelestium",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | SYMMETRIC | NON_NEGATIVE | ZERO_AT_TARGET,
)
def mean_squared_error(predictions: Array, targets: Array) -> tuple[Array, Array]:
    """Squared residual: large errors weigh most, and the minimiser is the mean."""
    residual = predictions - targets
    return residual * residual, 2.0 * residual


@loss(
    predictions=REAL,
    targets=REAL,
    formula="√(mean r²)",
    aliases=("rmse", "RMSE"),
    equals=("sklearn.metrics.root_mean_squared_error",),
    properties=CONVEX | DIFFERENTIABLE | SYMMETRIC | NON_NEGATIVE | ZERO_AT_TARGET | BOUNDED_GRADIENT,
    mean=QUADRATIC,
)
def root_mean_squared_error(predictions: Array, targets: Array) -> tuple[Array, Array]:
    """Root of the mean squared residual, in the unit of the target; per_sample is each sample's own |r|."""
    residual = predictions - targets
    return np.abs(residual), np.sign(residual)


@loss(
    predictions=REAL,
    targets=REAL,
    formula="½r² if |r| ≤ δ, else δ(|r| − ½δ)",
    aliases=("HuberLoss", "huber_loss", "Huber"),
    equals=("torch.nn.HuberLoss(delta)", "keras.losses.Huber(delta)", "optax.losses.huber_loss(delta)"),
    reference="Huber (1964), doi:10.1214/aoms/1177703732",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | SYMMETRIC | NON_NEGATIVE | ZERO_AT_TARGET | BOUNDED_GRADIENT,
)
def huber(
    predictions: Array,
    targets: Array,
    *,
    delta: Annotated[float, Gt(0), Doc("Residual at which the loss turns from quadratic to linear.")] = 1.0,
) -> tuple[Array, Array]:
    """Quadratic near the target, linear beyond it: outliers pull with bounded force."""
    residual = predictions - targets
    gradient = np.clip(residual, -delta, delta)
    return gradient * (residual - gradient / 2), gradient
