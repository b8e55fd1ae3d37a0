"""What is left between predictions and targets of a regression: whether it is centred, and whether it grows with the former."""

import math
from typing import Literal, NamedTuple

import numpy as np

from app.insight.distribution import moments
from app.insight.pieces import pieces
from app.insight.readings import residuals_of
from app.insight.significance import chi_square_tail
from app.losses.batch import Batch
from app.losses.numerics.stable import Array


class Heteroscedasticity(NamedTuple):
    """Whether the variance of the residuals depends on the prediction."""

    test: Literal["breusch_pagan"]
    statistic: float
    p_value: float


class Residuals(NamedTuple):
    """Prediction less target, of each number that counts."""

    mean: float
    std: float
    skewness: float | None
    heteroscedasticity: Heteroscedasticity | None


def residuals(batch: Batch) -> Residuals | None:
    """None for a loss that is not of a real prediction and target."""
    found = residuals_of(batch)
    if found is None:
        return None
    predictions, residual = found
    with np.errstate(all="ignore"):
        mean = float(residual.mean())
    std, skewness = moments(residual)
    return Residuals(mean, std, skewness, breusch_pagan(residual, predictions))


def breusch_pagan(residual: Array, predictions: Array) -> Heteroscedasticity | None:
    """Koenker's form (1981, doi:10.1016/0304-4076(81)90062-2): n·R² of the squared residuals on the predictions, χ² of 1 degree.

    None for predictions or squared residuals without variance.
    """
    with np.errstate(all="ignore"):
        unit = max(float(residual.max()), -float(residual.min())) or 1.0
        middle, n = float(predictions.mean()), residual.size
        largest = max(float(predictions.max()) - middle, middle - float(predictions.min()))
        mean = math.fsum(float(np.square(residual[piece] / unit).sum()) for piece in pieces(n)) / n
        sums = np.zeros(3)
        for piece in pieces(n):
            x, y = (predictions[piece] - middle) / largest, np.square(residual[piece] / unit) - mean
            sums += np.square(x).sum(), (x * y).sum(), np.square(y).sum()
        of_x, along, of_y = sums.tolist()
        constant = largest <= 1e-14 * abs(middle) or of_y <= 1e-28 * n
        statistic = math.nan if constant else n * along * along / of_x / of_y
    return Heteroscedasticity("breusch_pagan", statistic, chi_square_tail(statistic, 1)) if math.isfinite(statistic) else None
