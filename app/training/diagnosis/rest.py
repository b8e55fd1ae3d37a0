"""Rules of runs with which nothing is wrong: they were still falling, stopped at a corner, or have come to rest."""

import math

import numpy as np

from app.losses.loss import SMOOTH
from app.training.corners import MOST_WEIGHTS
from app.training.diagnosis.advice import as_tried, more_patience, rate_instead, validation_of
from app.training.diagnosis.finding import Finding, evidence_of
from app.training.diagnosis.measurements import STILL, Measurements, fall, level
from app.training.diagnosis.trials import with_better_rate
from app.training.fit import stopped
from app.training.network import Network

EARLY = 0.5
"""Where less than this share was learned, a higher rate may bring the same in fewer epochs."""


def improving(seen: Measurements) -> Finding | None:
    """A loss that was still falling at the end."""
    if not seen.improving:
        return None
    plan, done = seen.whole.plan, seen.epochs
    early = done and seen.learned < EARLY and math.isfinite(seen.rate)
    faster = with_better_rate(seen, range(1, 5)) if early else None
    evidence = evidence_of(
        epochs=done,
        planned_epochs=plan.epochs,
        fall_in_last_quarter=fall(seen.training, 0.0),
        last_training_loss=seen.training[-1] if len(seen.training) else None,
        **validation_of(seen),
        **as_tried(faster),
    )
    longer = {
        "early_stopping": more_patience(seen),
        "completed": f"epochs {2 * plan.epochs} instead of {plan.epochs}",
    }.get(stopped(seen.whole, seen.state) or "", f"a run that is not ended before its {plan.epochs} epochs")
    advice = f"{longer}; or {rate_instead(seen, faster.rate)}." if faster else f"{longer}."
    return Finding("still_improving", f"The loss was still falling after {done} epoch{'s' * (done != 1)}.", evidence, advice)


def cornered(seen: Measurements) -> Finding | None:
    """A search for a slope of 0 that has stopped among corners, where there is none: nothing says that this is the minimum."""
    chosen, model = seen.whole.plan.optimizer, seen.whole.model
    if chosen is None or not chosen.thing.full_batch or SMOOTH in seen.whole.objective.loss.properties:
        return None
    if not isinstance(model, Network) or (model.size <= MOST_WEIGHTS and chosen.all["corner_iter"]):
        return None
    last = float(seen.training[-1])
    evidence = evidence_of(last_training_loss=last, last_gradient_norm=seen.past[-1].gradient_norm, weights=model.size)
    ways = ["optimizer adam with schedule cosine"] + (["corner_iter 1000"] if model.size <= MOST_WEIGHTS else [])
    name = seen.whole.objective.loss.name
    summary = f"{chosen.thing.name} has stopped at {last:.3g}, at a corner of {name}: the minimum may be lower."
    return Finding("plateau", summary, evidence, f"{'; or '.join(ways)}.")


def converged(seen: Measurements) -> Finding:
    """A loss that has come to rest where nothing else was found."""
    course, held = seen.training, seen.validation
    evidence = evidence_of(
        epochs=seen.epochs,
        last_training_loss=course[-1],
        fall_in_last_quarter=fall(course, 0.0),
        loss_of_best_constant=seen.ends.constant,
        share_learned=seen.learned,
        **validation_of(seen),
    )
    kind, last = ("validation", held[-1]) if len(held) else ("training", course[-1])
    enough = max(1, int(np.argmax(np.abs(course - level(course)) <= STILL * seen.span)))
    advice = (
        f"Nothing needs changing; epochs {enough} would have come as far."
        if 2 * enough < seen.epochs
        else "Nothing needs changing."
    )
    unknown = "" if len(held) else " Only validation rows can tell what it is worth on others: validation.fraction 0.2."
    return Finding("converged", f"The {kind} loss has come to rest at {last:.3g}.", evidence, advice + unknown)
