"""Loss functions in plain NumPy: value and derivatives of each, and how samples become one number.

>>> batch = check(LOSSES["huber"], {"delta": 1.5}, predictions, targets)
>>> evaluate(batch).value
"""

from app.losses.batch import Batch, check
from app.losses.composed import COMPOSED, Composed
from app.losses.evaluate import Evaluation, evaluate
from app.losses.families import (
    accuracy,
    asymmetric,
    binary,
    counts,
    detection,
    deviance,
    distribution,
    divergence,
    focal,
    forecasting,
    margin,
    metric_learning,
    multiclass,
    multiclass_margin,
    multilabel,
    noisy_labels,
    preference,
    ranking,
    redescending,
    regression,
    relative,
    robust,
    segmentation,
    sequence,
    shape,
    survival,
)
from app.losses.loss import Loss
from app.registry import Registry, registry

LOSSES = registry(
    "loss",
    Loss,
    regression,
    relative,
    robust,
    redescending,
    asymmetric,
    deviance,
    binary,
    focal,
    margin,
    multiclass,
    noisy_labels,
    multiclass_margin,
    accuracy,
    multilabel,
    divergence,
    distribution,
    counts,
    metric_learning,
    ranking,
    preference,
    segmentation,
    detection,
    sequence,
    shape,
    survival,
    forecasting,
)

NAMED: Registry[Loss | Composed] = Registry("loss", [*LOSSES.values(), *COMPOSED.values()])
"""All that a request may name as a loss: the losses, and the ways to make one."""

__all__ = ["COMPOSED", "LOSSES", "NAMED", "Batch", "Composed", "Evaluation", "Loss", "check", "evaluate"]
