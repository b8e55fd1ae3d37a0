"""What to try: fields of the request, with values."""

import json
import math

import numpy as np

from app.losses import LOSSES
from app.training.diagnosis.measurements import Measurements
from app.training.diagnosis.trials import Tried
from app.training.objective import fitting, takes_labels
from app.training.trees import Trees

LARGE = 10.0
"""Standard deviation of inputs, or size of targets, beyond which the usual learning rates are too high."""
USUAL_DEPTH = 6
"""What is proposed where a tree is as deep as it goes."""
SUGGESTED = 3
"""Other losses that are named."""


def as_tried(tried: Tried | None) -> dict[str, float]:
    return {} if tried is None else {"tried_learning_rate": tried.rate, "training_loss_when_tried": tried.losses.training}


def validation_of(seen: Measurements) -> dict[str, float]:
    """How many validation rows there are, without which nothing can be said of other rows, and their last loss."""
    rows = 0 if seen.whole.validation is None else seen.whole.validation.n
    return {"validation_rows": rows, "last_validation_loss": seen.validation[-1] if len(seen.validation) else math.nan}


def rate_instead(seen: Measurements, rate: float) -> str:
    field = "model.learning_rate" if isinstance(seen.whole.model, Trees) else "optimizer.learning_rate"
    return f"{field} {rate:.3g} instead of {seen.whole.base_rate:.3g}"


def more_patience(seen: Measurements) -> str:
    patience = seen.whole.plan.patience or 1
    return f"early_stopping.patience {2 * patience} instead of {patience}"


def shorter_steps(seen: Measurements, tried: Tried | None) -> str:
    """What shortens the steps."""
    run, plan, ways = seen.whole, seen.whole.plan, list[str]()
    if math.isfinite(run.base_rate):
        ways.append(rate_instead(seen, tried.rate if tried else run.base_rate / 10.0))
    if run.inputs_scale is None and run.training.inputs.std(axis=0).max() > LARGE:
        ways.append("standardize.inputs true")
    real = run.objective.encoding == run.objective.targets_encoding == "real"
    if real and run.targets_scale is None and np.abs(run.training.targets).max() > LARGE:
        ways.append("standardize.targets true")
    if plan.optimizer is not None and not plan.optimizer.thing.full_batch and plan.clip_norm is None:
        ways.append("gradient_clipping.norm 1")
    return "; or ".join(ways) or "regularization.l2 0.001"


def simpler_model(seen: Measurements, turn: int | None) -> str:
    """What keeps a model from learning rows by heart."""
    plan, model, ways = seen.whole.plan, seen.whole.plan.model.all, list[str]()
    if turn is not None and plan.patience is None:
        ways.append(f"early_stopping.patience {max(5, turn // 4)}")
    if isinstance(seen.whole.model, Trees):
        depth = model["max_depth"]
        ways += [f"model.max_depth {depth - 1 if depth else USUAL_DEPTH}"] if depth != 1 else []
        ways.append(f"model.min_samples_leaf {5 * model['min_samples_leaf']}")
    else:
        ways.append(f"regularization.l2 {max(0.001, 10.0 * plan.l2):.3g}")
    if max(model.get("hidden", [0])) > 1:
        smaller = [max(1, units // 4) for units in model["hidden"]]
        ways.append(f"model.hidden {json.dumps(smaller)} instead of {json.dumps(model['hidden'])}")
    if "dropout" in model and plan.optimizer is not None and not plan.optimizer.thing.full_batch:
        ways.append(f"model.dropout {min(0.5, model['dropout'] + 0.3):.1f}")
    kept = f" The model that is kept is already that of epoch {int(seen.state['best'][1])}." if plan.restore_best else ""
    return f"{'; or '.join([*ways, 'more training rows'])}.{kept}"


def larger_model(seen: Measurements) -> str:
    """What lets a model bend further."""
    model = seen.whole.plan.model.all
    if isinstance(seen.whole.model, Trees):
        return f"model.max_depth {(model['max_depth'] or USUAL_DEPTH) + 2} instead of {model['max_depth']}"
    if "hidden" not in model:
        return "model.name mlp with hidden [64] instead of linear; or boosted_trees with optimizer null"
    wider = [2 * max(model["hidden"])] * max(2, len(model["hidden"]))
    return f"model.hidden {json.dumps(wider)} instead of {json.dumps(model['hidden'])}"


def other_losses(seen: Measurements, labels: bool | None = None) -> str:
    """A few losses that train on these targets, taken as labels or as quantities (None: as this loss takes them)."""
    data, loss = seen.whole.plan.data, seen.whole.objective.loss
    wanted = takes_labels(loss) if labels is None else labels
    names = [name for name in fitting(data.targets, data.classes) if takes_labels(LOSSES[name]) == wanted and name != loss.name]
    return ", ".join(names[:SUGGESTED]) or "none that is known here"


def own_range(seen: Measurements) -> str:
    """How targets come back into the range that the loss, its parameters and the last layer were made for."""
    plan = seen.whole.plan
    defaults = plan.loss.thing.defaults
    ways = ["standardize.targets false"] if seen.whole.targets_scale is not None else []
    ways += ["model.output null"] if plan.model.all.get("output") else []
    ways += [
        f"loss.{name} {json.dumps(defaults[name])} instead of {json.dumps(value)}"
        for name, value in plan.loss.parameters.items()
        if name in defaults and value != defaults[name]
    ]
    return f"{'; or '.join([*ways, f'another loss: {other_losses(seen)}'])}."
