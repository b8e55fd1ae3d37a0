"""Learned losses: parameters of a loss that move with the weights, and the loss that they have come to.

Each is learned as a number without bounds: a scale as its logarithm, a shape as the logit of its place between its bounds, as
Barron (2019, arXiv:1701.03077) has it, and a log variance as it is.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, cast

import numpy as np

from app.errors import Fault, InvalidParameter
from app.losses import LOSSES
from app.losses.inputs import Numbers
from app.losses.loss import Returned
from app.losses.numerics.stable import Array
from app.training.objective import Family, Labels, Member, Objective, Place
from app.training.trees import Trees

if TYPE_CHECKING:
    from app.training.run import Plan, Run, State

LEARNED = "loss."
"""What the history has them under."""
INSIDE = 1e-6
"""How near to a bound a number may start: at the bound itself nothing would move it."""


class Learn(NamedTuple):
    """Which parameters of the loss are learned."""

    names: tuple[str, ...]
    rate: float | None = None
    """Their learning rate; None: that of the weights."""


@dataclass(frozen=True)
class Learned:
    """What moves beside the weights: a vector (q,) of numbers without bounds, one for each parameter."""

    objective: Objective
    family: Family
    names: tuple[str, ...]
    """As they were asked for."""
    places: tuple[Place, ...]
    """What each is of the loss."""
    pace: float
    """Their learning rate as a multiple of that of the weights."""

    @property
    def start(self) -> Array:
        """(q,) of the loss as it was asked for."""
        return np.array([_unbounded(place) for place in self.places])

    def values(self, vector: Array) -> dict[str, float]:
        """The parameters by the name that the loss has for them."""
        return {place.name: _bounded(place, number)[0] for place, number in zip(self.places, vector.tolist(), strict=True)}

    def shown(self, vector: Array) -> dict[str, float]:
        """The parameters by the name that they were asked for by."""
        return dict(zip(self.names, self.values(vector).values(), strict=True))

    def under(self, vector: Array) -> Objective:
        """The objective that the loss is under these."""
        return self._of(self.family.under(self.values(vector)))

    def _of(self, member: Member) -> Objective:
        return replace(self.objective, sum=member.kernel, family=None)

    def slope(self, vector: Array, predictions: Array, labels: Labels, out: Array) -> tuple[float, Array]:
        """The mean loss, and (q,) its derivative to each number of the vector; out (n, width) = that to the predictions."""
        member = self.family.under(self.values(vector))
        objective = self._of(member)
        losses, slopes = objective.slope(predictions, labels, out), objective.mean_slopes(member, predictions, labels)
        turns = [_bounded(place, number)[1] for place, number in zip(self.places, vector.tolist(), strict=True)]
        of_each = np.array([slopes[place.name] * turn for place, turn in zip(self.places, turns, strict=True)])
        return objective.mean(losses, labels), of_each

    def document(self, loss: Mapping[str, Any], vector: Array) -> dict[str, Any]:
        """The loss as a request has it, with what has been learned."""
        values = self.values(vector)
        document: dict[str, Any] = dict(loss)
        for place in self.places:
            document = _put(document, place.path, values[place.name], place.instead)
        return document


def _put(document: Mapping[str, Any], path: Sequence[str], value: float, instead: str) -> dict[str, Any]:
    step, *rest = path
    if rest:
        return {**document, step: _put(cast(Mapping[str, Any], document[step]), rest, value, instead)}
    return {**{name: other for name, other in document.items() if name != instead}, step: value}


def _unbounded(place: Place) -> float:
    low, high, moves = place.span
    if moves != "logit":
        return math.log(place.start) if moves == "log" else place.start
    share = min(max((place.start - low) / (high - low), INSIDE), 1.0 - INSIDE)
    return math.log(share / (1.0 - share))


def _bounded(place: Place, number: float) -> tuple[float, float]:
    """The parameter of a number, and its derivative to that."""
    low, high, moves = place.span
    if moves == "log":
        value = math.exp(min(max(number, math.log(low)), math.log(high)))
        return value, value
    if moves == "plain":
        return min(max(number, low), high), float(low < number < high)
    share = 0.5 * (1.0 + math.tanh(0.5 * number))
    return low + (high - low) * share, (high - low) * share * (1.0 - share)


def under(run: "Run", state: "State") -> "Run":
    """The run with the loss that its parameters have come to, which move no more."""
    if run.learned is None:
        return run
    vector = state["learned"]
    if not np.isfinite(vector).all():  # of a run that diverged
        vector = state.get("best.learned", run.learned.start)
    return replace(run, objective=run.learned.under(np.asarray(vector)), learned=None)


def settled(run: "Run", state: "State") -> tuple["Run", "State"]:
    """The same, and the state without what moved them."""
    if run.learned is None:
        return run, state
    kept = dict(state)
    if "slots" in kept:
        kept["slots"] = kept["slots"][:, : -len(run.learned.names)].copy()
    return under(run, state), kept


def learned_by(plan: "Plan", model: object, objective: Objective) -> Learned | None:
    """What is learned beside the weights; InvalidParameter where a parameter cannot be, or the model has no weights."""
    learn = plan.learn
    if learn is None:
        return None
    if isinstance(model, Trees) or plan.optimizer is None:
        message = f"{plan.model.thing.name} has no weights beside which parameters of its loss could move; leave learn out"
        raise InvalidParameter([Fault(("learn",), "unexpected", message)])
    paced = plan.optimizer.thing.has_rate
    if learn.rate is not None and not paced:
        message = f"{plan.optimizer.thing.name} has no learning rate that could be another here: leave it out"
        raise InvalidParameter([Fault(("learn", "learning_rate"), "unexpected", message)])
    family = objective.family or _family(objective)
    if family is None:
        _refuse(0, "not_learnable", _not_learnable(learn.names[0], plan.loss.thing.name, None))
    places: dict[str, Place] = {}
    for index, name in enumerate(learn.names):
        own = family.words.get(name, name)
        place = family.places.get(own)
        if place is None:
            _refuse(index, "not_learnable", _not_learnable(name, plan.loss.thing.name, family))
        if own in places:
            _refuse(index, "duplicate", f"learn.parameters names {name[:80]} twice")
        if place.refusal:
            _refuse(index, "not_learnable", place.refusal)
        low, high, _ = place.span
        if not low <= place.start <= high:
            message = f"{own} is learned from {low:g} to {high:g}: it has to start there; got {place.start:g}"
            raise InvalidParameter([Fault(("loss", *place.path), "out_of_range", message)])
        places[own] = place
    pace = 1.0 if learn.rate is None else learn.rate / plan.optimizer.all["learning_rate"]
    return Learned(objective, family, learn.names, tuple(places.values()), pace)


def _refuse(index: int, code: str, message: str) -> NoReturn:
    raise InvalidParameter([Fault(("learn", "parameters", index), code, message)])


def _not_learnable(name: str, loss: str, family: Family | None) -> str:
    """What can be learned in place of that."""
    if family is not None:
        words = {own: word for word, own in family.words.items()}
        return f"{name[:80]!r} of {loss} cannot be learned; {', '.join(words.get(own, own) for own in family.places)} can"
    others = ", ".join(known for known, other in LOSSES.items() if other.learnable)
    return (
        f"{name[:80]!r} of {loss} cannot be learned with the weights; those of {others} can, and heads.NAME.log_variance of "
        "multi_task; /v1/train/search tries values of any"
    )


def _family(objective: Objective) -> Family | None:
    """Of a loss of one array: the likelihood that it is part of; None where that is not known."""
    loss, learnable = objective.loss, objective.loss.learnable
    if learnable is None:
        return None

    def under(values: Mapping[str, float]) -> Member:
        parameters = {**objective.parameters, **values}
        known = {name: parameters[name] for name in learnable.spans}
        own, level = loss.kernel(parameters), learnable.level(**known)

        def kernel(predictions: Array, targets: Numbers) -> Returned:
            losses, *derivatives = own(predictions, targets)
            return cast(Returned, (losses + level, *derivatives))

        def slopes(predictions: Array, targets: Numbers) -> Mapping[str, Array]:
            return learnable.slopes(predictions, targets, **known)

        return Member(kernel, slopes)

    places = {name: Place(name, (name,), span, float(objective.parameters[name])) for name, span in learnable.spans.items()}
    return Family(places, learnable.words, under)
