"""Rules of forests, in which no tree depends on those before it: there is no course."""

from app.training.diagnosis.advice import other_losses
from app.training.diagnosis.finding import Finding, evidence_of
from app.training.diagnosis.measurements import Measurements


def never_finite(seen: Measurements) -> Finding | None:
    """A loss that is not finite of what a forest predicts: it was not grown on it, and may be on none of its poles."""
    if len(seen.training):
        return None
    summary = f"{seen.name} of what the trees predict is not finite for a training row."
    return Finding("diverging", summary, evidence_of(), f"Another loss: {other_losses(seen)}.")
