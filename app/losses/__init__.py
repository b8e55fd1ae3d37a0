"""Loss functions in plain NumPy: value and derivatives of each, and how samples become one number.

>>> batch = check(LOSSES["huber"], {"delta": 1.5}, predictions, targets)
>>> evaluate(batch).value
"""

from app.losses.batch import Batch, check
from app.losses.composed import COMPOSED, Composed
from app.losses.evaluate import Evaluation, evaluate
from app.losses.families import (
    accuracy,
    angular_margin,
    asymmetric,
    binary,
    contrastive,
    counts,
    dense_detection,
    detection,
    deviance,
    distribution,
    divergence,
    focal,
    forecasting,
    generative,
    identities,
    joint_forecasting,
    language,
    listwise,
    margin,
    metric_learning,
    mixture_divergence,
    multiclass,
    multiclass_margin,
    multilabel,
    noisy_labels,
    ordinal,
    overlap,
    pairwise,
    preference,
    preference_order,
    ranking,
    redescending,
    regression,
    relative,
    robust,
    scaled_error,
    segmentation,
    self_supervised,
    sequence,
    shape,
    spectral,
    survival,
    survival_times,
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
    ordinal,
    accuracy,
    multilabel,
    divergence,
    mixture_divergence,
    spectral,
    distribution,
    counts,
    metric_learning,
    angular_margin,
    contrastive,
    identities,
    self_supervised,
    ranking,
    pairwise,
    listwise,
    preference,
    preference_order,
    segmentation,
    overlap,
    detection,
    dense_detection,
    sequence,
    language,
    generative,
    shape,
    survival,
    survival_times,
    forecasting,
    joint_forecasting,
    scaled_error,
)

NAMED: Registry[Loss | Composed] = Registry("loss", [*LOSSES.values(), *COMPOSED.values()])
"""All that a request may name as a loss: the losses, and the ways to make one."""

__all__ = ["COMPOSED", "LOSSES", "NAMED", "Batch", "Composed", "Evaluation", "Loss", "check", "evaluate"]
