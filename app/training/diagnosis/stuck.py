"""Rules of losses that stay where they are because no slope arrives at the weights."""

import json
import math

import numpy as np
from numpy.typing import NDArray

from app.training.diagnosis.advice import as_tried, own_range, rate_instead, shorter_steps
from app.training.diagnosis.finding import Finding, evidence_of
from app.training.diagnosis.inside import Inside, look_inside, mean_length
from app.training.diagnosis.measurements import LEFT, Measurements
from app.training.diagnosis.reach import AFFECTED
from app.training.diagnosis.trials import highest_rate, with_lower_rate

NOTHING = 0.02
"""Below this share a model says no more than a constant."""
DEAD = 1e-3
"""Derivative of an activation, below which a unit passes nothing on; the largest is 1 (sigmoid: a quarter)."""
HALF = 0.5
"""Share of a layer's units that are dead, or of the unlearned rows that have no slope, which holds a model back."""
VANISHED = 0.01
"""Share of the slope at the outputs that reaches the first hidden layer; relu after He et al. passes on about all of it."""


def stuck(seen: Measurements) -> Finding | None:
    """A loss that stays where it is because no slope arrives at the weights."""
    if not seen.unfinished:
        return None
    inside = look_inside(seen.run, seen.last)
    unlearned = inside.losses - seen.ends.least > AFFECTED * seen.span
    silent = unlearned & ~inside.wanted.any(axis=1)
    if silent.mean() > max(AFFECTED, HALF * unlearned.mean()):
        return _silent(seen, inside, silent)
    if not inside.derivatives:
        return None
    dead = [(np.abs(slopes) < DEAD).all(axis=0) for slopes in inside.derivatives]
    share = max(float(flags.mean()) for flags in dead)
    reach = _reach(inside)
    if share == 1.0 or (share >= HALF and seen.left > LEFT):
        return _dead(seen, np.concatenate(dead), share, reach)
    return _vanished(seen, reach) if reach < VANISHED and (seen.left > LEFT or seen.learned < NOTHING) else None


def _reach(inside: Inside) -> float:
    return mean_length(inside.arriving) / max(mean_length(inside.wanted), 1e-300)


def _silent(seen: Measurements, inside: Inside, silent: NDArray[np.bool_]) -> Finding:
    """Rows far from their least loss without a slope: the loss has none there, or the last activation passes none on."""
    share, output = float(silent.mean()), seen.run.objective.activation.name
    evidence = evidence_of(
        share_of_rows_without_slope=share,
        last_training_loss=seen.training[-1],
        least_possible_loss=seen.ends.floor,
        output=output,
    )
    if not inside.slope[silent].any():
        summary = (
            f"{seen.name} is flat around the predictions of {share:.0%} of the rows, far from its least: nothing moves them."
        )
        return Finding("misfit", summary, evidence, own_range(seen))
    logits = seen.whole.objective.parameters.get("from_logits") is False
    instead = "loss.from_logits true" if logits else f"model.output other than {output}"
    summary = f"The output {output} is saturated at the wrong end for {share:.0%} of the rows: no gradient passes it."
    return Finding("plateau", summary, evidence, f"{instead}; or {shorter_steps(seen, with_lower_rate(seen))}.")


def _dead(seen: Measurements, dead: NDArray[np.bool_], share: float, reach: float) -> Finding:
    model, lowered = seen.whole.plan.model.all, with_lower_rate(seen)
    evidence = evidence_of(
        dead_units=int(dead.sum()),
        hidden_units=len(dead),
        largest_share_in_a_layer=share,
        share_of_slope_at_first_layer=reach,
        last_training_loss=seen.training[-1],
        loss_of_best_constant=seen.ends.constant,
        **as_tried(lowered),
    )
    ways = [f"model.hidden_activation leaky_relu instead of {model['hidden_activation']}"]
    if model["initialization"] == "zeros":  # all units of a layer are then the same, and remain so
        ways = ["model.initialization he_uniform instead of zeros"]
    if lowered is not None:
        ways.append(rate_instead(seen, lowered.rate))
    summary = (
        f"{dead.sum()} of {len(dead)} hidden units are dead: they are flat for every training row, and no gradient moves them."
    )
    return Finding("plateau", summary, evidence, f"{'; or '.join(ways)}.")


def _vanished(seen: Measurements, reach: float) -> Finding:
    model = seen.whole.plan.model.all
    layers, activation = len(model["hidden"]), model["hidden_activation"]
    evidence = evidence_of(
        share_of_slope_at_first_layer=reach,
        hidden_layers=layers,
        hidden_activation=activation,
        last_training_loss=seen.training[-1],
        loss_of_best_constant=seen.ends.constant,
        share_still_explained_by_inputs=seen.left,
    )
    ways = [f"model.hidden_activation relu instead of {activation}"] if activation != "relu" else []
    ways += [f"fewer layers: model.hidden {json.dumps(model['hidden'][:2])}"] if layers > 2 else []
    ways += [rate_instead(seen, min(10.0 * seen.rate, highest_rate(seen.run)))] if math.isfinite(seen.rate) else []
    message = f"{reach:.2g} of the slope at the outputs arrives at the first of {layers} hidden layers"
    return Finding("plateau", f"The gradient vanishes: {message}.", evidence, f"{'; or '.join(ways) or 'another seed'}.")
