"""A claim held against the library: where do the numbers agree, and is that where it says so?"""

from collections.abc import Iterator, Mapping
from inspect import Parameter
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin

import annotated_types
import numpy as np

from app.errors import CallerError
from app.libraries import Equal
from app.losses import check, evaluate
from app.losses.evaluate import Evaluation
from app.losses.loss import Loss
from app.losses.parameters import meaning
from tests.equals.asking import DOUBLE, IN_SINGLE, SINGLE, TRAINED, Answer, ask, trained
from tests.equals.drawing import LENGTHS, REGIONS, draw_all, shapes_of


class Verdict(NamedTuple):
    """What came of a claim."""

    loss: str
    equal: Equal
    comparisons: int
    faults: tuple[str, ...]


def judge(loss: Loss, equal: Equal) -> Verdict:
    """Everything that is claimed, compared: each region, each value of each parameter, each reduction."""
    if equal.call.startswith(TRAINED):
        return _judge_trained(loss, equal)
    found: dict[str, tuple[int, list[str]]] = {}
    rng = np.random.default_rng(20)
    count = 0
    for parameters in _settings(loss, equal):
        for axes in shapes_of(loss, equal, parameters):
            for region in REGIONS:
                for what, fault in _compared(loss, equal, parameters, axes, region, rng):
                    count += 1
                    total, faults = found.setdefault(what, (0, []))
                    found[what] = total + 1, faults + ([fault] if fault else [])
    return Verdict(loss.name, equal, count, (*_faults(equal, found), *([] if count else ["nothing could be compared"])))


def _judge_trained(loss: Loss, equal: Equal) -> Verdict:
    """A model trained on the loss: it says the loss itself, or no other weights near its own are better."""
    model = trained(equal.call, {name: loss.defaults[name] for name in equal.names & loss.defaults.keys()})

    def objective(weights: np.ndarray) -> float:
        batch = check(loss, equal.parameters, model.raw(weights), model.targets)
        return float(0.5 * weights @ weights + (evaluate(batch, reduction="sum").value or 0.0))

    if model.value is not None:
        mean = evaluate(check(loss, equal.parameters, model.raw(model.weights), model.targets)).value
        fault = _fault(equal, "value", mean, np.asarray(model.value), "mean")
        return Verdict(loss.name, equal, 1, (fault,) if fault else ())
    rng, least = np.random.default_rng(3), objective(model.weights)
    steps = [rng.normal(size=model.weights.size) * scale for scale in (1e-3, 1e-2, 0.1) for _ in range(50)]
    better = [step for step in steps if objective(model.weights + step) < least - 1e-7]
    return Verdict(loss.name, equal, len(steps), (f"{len(better)} of {len(steps)} other weights are better",) if better else ())


def _faults(equal: Equal, found: Mapping[str, tuple[int, list[str]]]) -> Iterator[str]:
    for what, (_, faults) in found.items():
        kind, _, region = what.rpartition(" at ")
        if faults and not {what, kind, region} & {*equal.differs_at}:
            yield f"{what}: {faults[0]}"
    wrong = {part for what, (_, faults) in found.items() if faults for part in (what, *what.split(" at "))}
    yield from (f"it says that it differs at {where}, and does not" for where in equal.differs_at if where not in wrong)


def _compared(
    loss: Loss, equal: Equal, parameters: Mapping[str, Any], axes: str, region: str, rng: np.random.Generator
) -> Iterator[tuple[str, str]]:
    """Each number or array compared: where, and what is wrong with it."""
    arrays = draw_all(loss, equal, parameters, axes, region, rng)
    if equal.library.name in IN_SINGLE:
        arrays = {name: (kind, array.astype(np.float32).astype(np.float64)) for name, (kind, array) in arrays.items()}
    lists = _lists(loss, equal, parameters, arrays)
    sides = [
        {name: array for name, (_, array) in arrays.items() if loss.inputs[name].side == side}
        for side in ("predictions", "targets")
    ]
    given = [side if any(loss.inputs[name].named for name in side) else next(iter(side.values()), None) for side in sides]
    try:
        batch = check(loss, {**parameters, **lists}, *given)
    except CallerError as error:
        if region == "random":
            raise AssertionError(f"{loss.name} {parameters} {axes}: {error}") from error
        return
    moving = list(loss.sides["predictions"]) if loss.differentiable else []
    for reduction in equal.reductions:
        names = {**parameters, **lists, "reduction": reduction, "k": LENGTHS["k"]}
        used = {name: names[name] for name in equal.names if name in names}
        try:
            answer = ask(equal.library.name, equal.call, arrays, moving, used)
        except Exception:
            if region == "random" and parameters == {**loss.defaults, **equal.parameters}:
                raise
            continue  # the library takes no such numbers, or no such parameter
        # where it gives each element's loss, the gradient is that of their sum; else that of each sample's own
        summed = reduction == "none" and (answer.numbers is None or answer.numbers.shape == batch.elements)
        ours = evaluate(batch, reduction="sum" if summed else reduction, outputs=_outputs(loss, answer))
        shown = {name: value for name, value in used.items() if name != "reduction"}
        circumstances = f"{reduction}, ({axes}), {shown}" if shown else f"{reduction}, ({axes})"
        if answer.numbers is not None:
            mine = ours.value if reduction != "none" else _each(ours, answer.numbers)
            yield region, _fault(equal, "value", mine, answer.numbers, circumstances)
        for name, theirs in answer.gradients.items():
            mine = ours.gradient[name] if isinstance(ours.gradient, dict) else ours.gradient
            yield f"gradient at {region}", _fault(equal, f"gradient of {name}", mine, theirs, circumstances, answer.rounding)
        if answer.hessian is not None and ours.outputs.get("hessian_diagonal") is not None:
            yield (
                f"hessian at {region}",
                _fault(equal, "hessian", ours.hessian_diagonal, answer.hessian, circumstances, answer.rounding),
            )


def _outputs(loss: Loss, answer: Answer) -> list[str]:
    names = ["value", "per_sample", "per_element"]
    names += ["gradient"] if answer.gradients else []
    return names + (["hessian_diagonal"] if answer.hessian is not None and loss.derivatives == 2 else [])


def _each(ours: Evaluation, theirs: np.ndarray) -> Any:
    """Each sample's loss, or each element's, by the shape that is asked for."""
    return ours.per_element if theirs.shape == ours.per_element.shape else ours.per_sample


def _fault(equal: Equal, what: str, ours: Any, theirs: np.ndarray, circumstances: str, rounding: float = 0.0) -> str:
    mine, other = np.asarray(ours, np.float64), np.asarray(theirs, np.float64) * equal.times
    if what == "hessian":
        mine, other = (np.where(np.isnan(other), 0.0, array) for array in (mine, other))
    if mine.shape != other.shape:
        return f"{what} has shape {mine.shape}, theirs {other.shape} ({circumstances})"
    tolerance = SINGLE if equal.library.name in IN_SINGLE or theirs.dtype == np.float32 else DOUBLE
    near = np.isclose(mine, other, rtol=tolerance, atol=max(tolerance, rounding))
    if near.all():
        return ""
    first = tuple(int(index) for index in np.argwhere(~near)[0]) if near.ndim else ()
    return f"{what}{list(first) if first else ''} is {mine[first]:.10g}, theirs {other[first]:.10g} ({circumstances})"


# --- parameters ------------------------------------------------------------------------------------------------------------


def _settings(loss: Loss, equal: Equal) -> Iterator[dict[str, Any]]:
    """The parameters as they are claimed, and with each one that is named in the call at another value."""
    base = {**loss.defaults, **equal.parameters}
    yield base
    for name in sorted(equal.names & loss.parameters.keys() - {"ignore_index", "class_axis"}):
        for value in _others(loss.parameters[name], base[name]):
            changed = {**base, name: value}
            if _holds(loss, equal, changed):
                yield changed


def _holds(loss: Loss, equal: Equal, parameters: Mapping[str, Any]) -> bool:
    """Whether these parameters go together."""
    rng = np.random.default_rng(0)
    arrays = draw_all(loss, equal, parameters, shapes_of(loss, equal, parameters)[0], "random", rng)
    sides = [
        {name: array for name, (_, array) in arrays.items() if loss.inputs[name].side == side}
        for side in ("predictions", "targets")
    ]
    given = [side if any(loss.inputs[name].named for name in side) else next(iter(side.values()), None) for side in sides]
    try:
        evaluate(check(loss, {**parameters, **_lists(loss, equal, parameters, arrays)}, *given))
    except CallerError:
        return False
    return True


def _others(parameter: Parameter, value: Any) -> list[Any]:
    """Up to two other values of a parameter within its bounds."""
    per = meaning(parameter)
    if per is not None and per.what == "class":
        return [[0.5 + index for index in range(LENGTHS["k"])]]
    if isinstance(value, bool):
        return [not value]
    kinds = get_args(parameter.annotation)
    choices = get_args(kinds[0]) if get_origin(kinds[0]) is Literal else ()
    if choices:
        return [choice for choice in choices if choice != value]
    if isinstance(value, float):
        candidates = [value * 0.8, value + 0.5] if value == 0 or value > 1e-3 else [value * 0.6, value * 2.0]
        return [other for other in candidates if other != value and _within(parameter, other)]
    return [value + 1] if isinstance(value, int) else []


def _within(parameter: Parameter, value: float) -> bool:
    marks = _marks(parameter.annotation)
    rules = {
        annotated_types.Gt: lambda mark: value > mark.gt,
        annotated_types.Ge: lambda mark: value >= mark.ge,
        annotated_types.Lt: lambda mark: value < mark.lt,
        annotated_types.Le: lambda mark: value <= mark.le,
    }
    return all(rules[type(mark)](mark) for mark in marks if type(mark) in rules)


def _marks(annotation: Any) -> list[Any]:
    if get_origin(annotation) is Annotated:
        base, *marks = get_args(annotation)
        return [*marks, *_marks(base)]
    return [mark for part in get_args(annotation) for mark in _marks(part)] if isinstance(annotation, UnionType) else []


def _lists(
    loss: Loss, equal: Equal, parameters: Mapping[str, Any], arrays: Mapping[str, tuple[str, np.ndarray]]
) -> dict[str, Any]:
    """Lengths of sequences, where a call has to be told them."""
    if "target_lengths" not in equal.names:
        return {}
    frames, labels = arrays["predictions"][1], arrays["targets"][1]
    return {
        "input_lengths": [frames.shape[1] - index % 2 for index in range(len(frames))],
        "target_lengths": [int(count) for count in (labels >= 0).sum(axis=1)],
    }
