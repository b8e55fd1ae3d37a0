"""What the tests of app/insight have in common: the contract's example, and labels."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from app.errors import Path
from app.insight import Labels
from app.losses import LOSSES, Batch, check

PREDICTIONS = np.array([2.5, 0.0, 8.0, 4.0, 1.0, 7.5, 3.0, 6.0])
NEW = np.array([2.9, -0.4, 4.0, 6.0, 1.1, 6.0, 3.0, 4.5])
TARGETS = np.array([3.0, -0.5, 2.0, 7.0, 1.5, 5.0, 3.5, 4.0])
SITES = "aabbabab"


def batch(loss: str, predictions: Any, targets: Any, sample_weight: Any = None, mask: Any = None, **parameters: Any) -> Batch:
    weights = None if sample_weight is None else np.asarray(sample_weight, np.float64)
    flags = None if mask is None else np.asarray(mask, np.bool_)
    arrays = [np.asarray(array, np.float64) for array in (predictions, targets)]
    return check(LOSSES[loss], parameters, *arrays, sample_weight=weights, mask=flags)


def labels(values: Sequence[Any], path: Path = ("groups", "site")) -> Labels:
    levels = list(dict.fromkeys(values))
    return Labels(tuple(levels), np.array([levels.index(value) for value in values], np.intp), path)
