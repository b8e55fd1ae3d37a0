"""Rules of what was learned of the training rows alone."""

import math

import numpy as np

from app.losses.numerics.stable import Array
from app.training.diagnosis.advice import simpler_model, validation_of
from app.training.diagnosis.carried import TOO_FEW, carried_over, held_losses, standard_error
from app.training.diagnosis.finding import Finding, evidence_of
from app.training.diagnosis.measurements import FITTED, Measurements, level, medians

OVERFITTED = 0.1
"""Rise of the validation loss, as a share of what was learned on the training rows, that is more than a wobble."""
CARRIED = 0.5
"""Where less than this share of what was learned on the training rows shows on validation rows, it was learned by heart."""
CARRIED_WHEN_FITTED = 0.75
"""The same where the training rows are as good as reproduced: nothing more is to come."""
CONFIDENT = 1.64
"""Standard errors by which a share must differ: one chance in twenty."""


def overfitted(seen: Measurements) -> Finding | None:
    """A validation loss that turned while the training loss went on falling, or that never followed it."""
    held, training = seen.validation, seen.training[-len(seen.validation) :]
    gained = seen.ends.constant - seen.level
    if not len(held) or seen.whole.validation is None or seen.whole.validation.n <= TOO_FEW or gained < OVERFITTED * seen.span:
        return None
    turned, (carried, error), lowest = _turned(seen, held, training, gained), carried_over(seen), int(held.argmin())
    by_heart = carried + CONFIDENT * error < CARRIED or (seen.learned > FITTED and carried + error < CARRIED_WHEN_FITTED)
    if not (turned or by_heart):
        return None
    evidence = evidence_of(
        **{"turning_epoch" if turned else "epoch_of_lowest_validation_loss": lowest + 1},
        lowest_validation_loss=held[lowest],
        training_loss_then=training[lowest],
        last_training_loss=training[-1],
        share_carried_to_validation=carried,
        standard_error=error,
        **validation_of(seen),
    )
    rose = f"rose from {held[lowest]:.3g} to {held[-1]:.3g} while the training loss fell on to {training[-1]:.3g}"
    shown = f"only {max(carried, 0.0):.0%} shows on the validation rows: the rest was learned by heart"
    summary = f"The validation loss turned at epoch {lowest + 1} and {rose}." if turned else f"Of what was learned {shown}."
    return Finding("overfitting", summary, evidence, simpler_model(seen, lowest + 1 if turned else None))


def _turned(seen: Measurements, held: Array, training: Array, gained: float) -> bool:
    """Whether the validation loss rose from its least, beyond jitter and its error over rows, and the training loss fell on."""
    smooth = medians(held)
    turn, jitter = int(smooth.argmin()), float(np.median(np.abs(np.diff(held)))) if len(held) > 1 else 0.0
    rise = level(held) - float(smooth[turn])
    rose = rise > max(OVERFITTED * gained, 3.0 * jitter) and not rise < CONFIDENT * _error_of_rise(seen)
    return rose and float(training[turn]) - level(training) > OVERFITTED / 2 * gained


def _error_of_rise(seen: Measurements) -> float:
    """Standard error, over validation rows, of the rise of their mean loss since the best epoch; NaN where that is not kept."""
    if seen.best is None or seen.whole.plan.monitor is not None:
        return math.nan
    best, last = (held_losses(seen, state) for state in (seen.best, seen.last))
    return standard_error(last - best)
