"""Loss functions in plain NumPy: value and derivatives of each, and how samples become one number.

>>> batch = check(LOSSES["huber"], {"delta": 1.5}, predictions, targets)
>>> evaluate(batch).value
"""

from app.losses.batch import Batch, check
from app.losses.evaluate import Evaluation, evaluate
from app.losses.families import (
    binary,
    detection,
    distribution,
    divergence,
    forecasting,
    metric_learning,
    multiclass,
    multilabel,
    ranking,
    regression,
    segmentation,
    sequence,
    survival,
)
from app.losses.loss import Loss
from app.registry import registry

LOSSES = registry(
    "loss", Loss,
    regression, binary, multiclass, multilabel, divergence, distribution, metric_learning, ranking,
    segmentation, detection, sequence, survival, forecasting,
)  # fmt: skip

__all__ = ["LOSSES", "Batch", "Evaluation", "Loss", "check", "evaluate"]
