"""Rules of settings that keep a model from what it could learn: without them a few steps come further."""

import math
from dataclasses import replace

import numpy as np

from app.training.diagnosis.finding import Finding, evidence_of
from app.training.diagnosis.least import or_infinite
from app.training.diagnosis.measurements import FITTED, STILL, Measurements
from app.training.diagnosis.trials import GAIN, attempt, unpenalized

SLOWED, SLOWED_BY = 0.01, 0.75
"""A rate below this share of its base has come to an end; where that is before this share of the epochs, too early."""


def clipped(seen: Measurements) -> Finding | None:
    """A bound on the gradient that leaves next to nothing of it: without that a few steps come much further."""
    plan = seen.whole.plan
    if (plan.clip_norm is None and plan.clip_value is None) or not seen.past or not seen.learned < FITTED:
        return None
    free = replace(seen.run, plan=replace(seen.run.plan, clip_norm=None, clip_value=None))
    now, cut = seen.now, attempt(seen.run, seen.last, seen.rate).losses
    tried = attempt(free, seen.last, seen.rate).losses
    gain = min(now.training, or_infinite(cut.training)) - or_infinite(tried.training)
    if not gain > GAIN * seen.span or now.validation - tried.validation < gain / 2:
        return None
    norm = float(np.median([epoch.gradient_norm for epoch in seen.past]))
    evidence = evidence_of(
        usual_gradient_norm=norm,
        clipped_to_norm=plan.clip_norm,
        clipped_to_value=plan.clip_value,
        last_training_loss=now.training,
        training_loss_without=tried.training,
    )
    summary = f"The training loss rests at {now.training:.3g} because gradients of norm {norm:.2g} are cut to next to nothing."
    return Finding("plateau", summary, evidence, f"gradient_clipping null; or gradient_clipping.norm {norm:.2g}.")


def slowed(seen: Measurements) -> Finding | None:
    """A schedule that let the rate fall to a hundredth while the loss was still falling."""
    base, done = seen.whole.base_rate, seen.epochs
    rates = np.array([epoch.learning_rate or math.nan for epoch in seen.past])
    if seen.whole.plan.schedule is None or math.isnan(base) or not done or not seen.learned < FITTED:
        return None
    low = np.flatnonzero(rates < SLOWED * base)
    early = int(low[0]) if len(low) else done
    if early > SLOWED_BY * done or len(seen.training) <= early or not (rates[early:] < SLOWED * base).all():
        return None
    fell = float(seen.training[early // 2] - seen.training[early])
    now, tried = seen.now, attempt(seen.run, seen.last, base).losses
    gain = now.training - or_infinite(tried.training)
    if not fell > 0.0 or not gain > STILL * seen.span or now.validation - tried.validation < 0.0:
        return None
    evidence = evidence_of(
        learning_rate=base,
        last_learning_rate=rates[-1],
        epoch_of_a_hundredth=early + 1,
        last_training_loss=now.training,
        training_loss_after_steps_at_the_first_rate=tried.training,
    )
    summary = f"The schedule let the rate fall to a hundredth by epoch {early + 1} of {done}, while the loss was still falling."
    return Finding("plateau", summary, evidence, "schedule null, or one that falls later.")


def held_back(seen: Measurements) -> Finding | None:
    """A penalty that keeps the model from what it could learn: without it a few steps come further, on all rows."""
    if not seen.unfinished or not seen.penalties:
        return None
    now, rate = seen.now, seen.whole.base_rate
    held, free = (
        [attempt(run, state, rate).losses for state in (seen.first, seen.last)] for run in (seen.run, unpenalized(seen.run))
    )
    best = min(free, key=lambda losses: or_infinite(losses.training))
    gain = min(now.training, *(or_infinite(losses.training) for losses in held)) - best.training
    if not gain > GAIN * seen.span or now.validation - best.validation < gain / 2:
        return None
    evidence = evidence_of(
        **seen.penalties, last_training_loss=seen.training[-1], training_loss_without=best.training, share_learned=seen.learned
    )
    ways = [f"{field} {value / 10:.3g} instead of {value:.3g}" for field, value in seen.penalties.items()]
    summary = f"The training loss rests at {now.training:.3g} because the weights are held back: without that it comes further."
    return Finding("underfitting", summary, evidence, f"{'; or '.join(ways)}.")
