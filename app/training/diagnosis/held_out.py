"""Rules of validation rows that prove nothing."""

import math

from app.training.diagnosis.carried import TOO_FEW, carried_over
from app.training.diagnosis.finding import Finding, evidence_of
from app.training.diagnosis.measurements import Measurements

FEW = 10
"""Rows of which a mean's own error is hardly known."""
UNKNOWN = 0.5
"""Half the 95 percent interval of the share that carries over: at more, all of it may, or none."""
EXACT = 0.99
"""Where so much has been learned, any row tells."""
LIKELY = 0.975


def few_rows(seen: Measurements) -> Finding | None:
    """So few validation rows that their mean loss tells nothing of other rows."""
    held = seen.whole.validation
    if held is None or held.n >= FEW or not len(seen.validation) or not seen.ends.constant > seen.level or seen.learned > EXACT:
        return None
    carried, error = carried_over(seen)
    half = _quantile(held.n - 1) * error
    if not (half > UNKNOWN or held.n <= TOO_FEW):
        return None
    fraction = max(0.2, min(0.5, 2.0 * FEW / (held.n + seen.whole.training.n)))
    rows = "1 validation row proves" if held.n == 1 else f"{held.n} validation rows prove"
    interval = {"share_carried_low": carried - half, "share_carried_high": carried + half}
    return Finding(
        "inconclusive",
        f"{rows} nothing: their loss of {seen.validation[-1]:.3g} is that of so few, and others drawn in their place would have "
        f"another.",
        evidence_of(validation_rows=held.n, share_carried_to_validation=carried, standard_error=error, **interval),
        f"validation.fraction {fraction:.2g}; or cross-validation: folds 5 of /v1/train/compare.",
    )


def _quantile(degrees: int) -> float:
    """Of Student's t."""
    if not degrees:
        return math.inf
    from scipy.special import stdtrit  # loaded only where a model is trained

    return float(stdtrit(degrees, LIKELY))
