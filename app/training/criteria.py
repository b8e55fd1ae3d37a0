"""What decision trees are grown on: which targets are classes, and the criterion that splits lower."""

import numpy as np
from numpy.typing import NDArray

from app.errors import Fault, InvalidParameter
from app.training.objective import Labels, Objective
from app.training.slopes import Slopes

IN_SHARES = {"logit", "probability", "logits", "distribution", "log_probabilities"}
"""Encodings that are made of shares of classes."""
ONE_BY_ONE = {"logit", "probability"}
"""Those with a share of their own for each number."""
OF_CLASSES = {"gini", "log_loss"}
"""Criteria of classes."""


def classes_of(objective: Objective, labels: Labels, *, named: bool) -> NDArray[np.intp] | None:
    """(n,) the class of each row; None where targets are no classes, or several at once. `named`: that classes have names."""
    encoding, targets = objective.encoding, labels.targets
    if not named and encoding not in IN_SHARES and encoding not in ("score", "scores"):
        return None
    flat = targets.reshape(len(targets), -1)
    if flat.shape[1] == 1:
        return np.unique(flat[:, 0], return_inverse=True)[1] if (flat == np.floor(flat)).all() else None
    one_hot = bool((((flat == 0) | (flat == 1)).all(axis=1) & (flat.sum(axis=1) == 1)).all())
    return np.asarray(flat.argmax(axis=1)) if one_hot and encoding not in ONE_BY_ONE else None


def is_absolute(slopes: Slopes) -> bool:
    """Whether the loss is the distance itself, times a number."""
    if slopes.corners is None:
        return False
    losses = [slopes.at(slopes.corners + step).losses for step in (1.0, -1.0, 3.0)]
    return bool(np.allclose(losses[0], losses[1]) and np.allclose(3.0 * losses[0], losses[2]) and losses[0].any())


def check_criterion(criterion: str | None, objective: Objective, labels: Labels, *, named: bool) -> None:
    """InvalidParameter where a criterion is none for these targets."""
    targets = labels.targets
    if criterion in OF_CLASSES and classes_of(objective, labels, named=named) is None:
        why = "these targets are no classes; use squared_error or absolute_error"
    elif criterion == "poisson" and (float(targets.min()) < 0 or not targets.any()):
        why = "targets must not be below 0, nor all 0; standardize.targets false leaves them as they are"
    else:
        return
    raise InvalidParameter([Fault(("model", "criterion"), "does_not_fit", f"criterion {criterion}: {why}")])
