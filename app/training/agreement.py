"""What a loss of any kind is as the thing a model is trained on: of one array, of several, or a sum of losses."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from app.errors import Fault, InvalidArray, InvalidInput, InvalidParameter, Path
from app.losses.form import Bound, Part, Sum
from app.losses.inputs import Numbers, Raw
from app.losses.learnable import Span
from app.losses.loss import Kernel, Loss, Property, Returned
from app.losses.numerics.means import ARITHMETIC, Mean
from app.losses.numerics.stable import Array
from app.training.activations import Activation
from app.training.drawn import embeds, measures
from app.training.embeddings import USUAL, Drawing, agree_on_embeddings
from app.training.heads import agree_on_heads, computed_by, of_rows
from app.training.objective import Family, Labels, Member, Objective, Place, agree, is_of_one
from app.training.side_by_side import Heads, SideBySide, by_name, together

LOG_VARIANCE = Span(-50.0, 50.0, "plain")
TWICE = 2
"""Derivatives of a loss that has a second one."""


def agree_on(
    bound: Bound | Sum,
    targets: Raw,
    classes: Sequence[str] | None,
    output: Activation | None = None,
    trained: NDArray[np.intp] | None = None,
    named: SideBySide | None = None,
    drawing: Drawing = USUAL,
) -> tuple[Objective, Labels]:
    """The objective that a loss is on these targets: a loss of one array or of several, on embeddings, or a sum of such.

    `named` tells where targets that are several arrays have theirs, `drawing` how rows are put together by their labels; the
    rest is what `agree` takes.
    """
    if isinstance(bound, Bound):
        try:
            if named is None and _by_labels(bound.loss, targets, drawing):
                return agree_on_embeddings(bound, targets, classes, output, drawing)
            if is_of_one(bound.loss) and named is None:
                return agree(bound.loss, bound.parameters, targets, classes, output, trained)
            return agree_on_heads(bound, targets, named, classes, output)
        except InvalidInput as error:
            raise (error.moved({("parameters",): ("parameters", *bound.within)}) if bound.within else error) from None
    if bound.by_head:
        return _by_head(bound, targets, named, output, trained)
    if named is not None:
        raise InvalidArray([Fault(("targets",), "not_an_array", f"targets of {bound.name} are one array, not an object")])
    parts = _agreed_parts(bound, targets, classes, output, trained)
    for part, (objective, labels) in zip(bound.parts, parts, strict=True):
        _refuse_apart(part, objective, labels, parts[0][1])
    first, labels = parts[0]
    weighed = [(part.weight, objective) for part, (objective, _) in zip(bound.parts, parts, strict=True) if part.weight != 0.0]

    def function(predictions: Array, targets: Numbers) -> Returned:
        values, slopes = np.zeros(len(targets)), np.zeros(predictions.shape)
        for weight, objective in weighed:
            losses, slope = objective.losses(predictions, Labels(targets))
            values += weight * losses
            slopes += weight * slope
        if bound.derivatives < TWICE:
            return values, slopes

        def second() -> Array:
            curvatures = [weight * objective.curvature(predictions, Labels(targets)) for weight, objective in weighed]
            return sum(curvatures, np.zeros(predictions.shape))

        return values, slopes, second

    loss = replace(computed_by(first.loss, function, bound.name), properties=_shared(objective for _, objective in weighed))
    warnings = tuple(dict.fromkeys(warning for objective, _ in parts for warning in objective.warnings))
    return replace(first, loss=loss, sum=function, depth=0, columns={}, warnings=warnings), labels


def _by_labels(loss: Loss, targets: Raw, drawing: Drawing) -> bool:
    """Whether rows are put together by their labels.

    A loss on distances may have rows that are pairs already: then its targets are 0 or 1, and nobody asks for embeddings.
    """
    pairs = drawing.width is None and isinstance(targets, np.ndarray) and bool(np.isin(targets, (0, 1)).all())
    return embeds(loss) or (measures(loss) and not pairs)


def is_of_several(bound: Bound | Sum) -> bool:
    """Whether its predictions or its targets are an object of arrays."""
    return bound.by_head if isinstance(bound, Sum) else not is_of_one(bound.loss)


def _shared(objectives: Iterable[Objective]) -> Property:
    """What all of them promise."""
    return reduce(lambda all_of, one: all_of & one, (objective.loss.properties for objective in objectives), ~Property(0))


def _by_head(
    bound: Sum, targets: Raw, named: SideBySide | None, output: Activation | None, trained: NDArray[np.intp] | None
) -> tuple[Objective, Labels]:
    """A sum of losses that each have an output and targets of their own."""
    names = [str(part.key) for part in bound.parts]
    if named is None or set(named.shapes) != set(names):
        got = "" if named is None else f"; got {', '.join(named.shapes)}"
        message = f"targets of {bound.name} are an object with an array for each head: {', '.join(names)}{got}"
        raise InvalidArray([Fault(("targets",), "missing", message)])
    if output is not None:
        message = f"{bound.name} has an output of its own for each of {', '.join(names)}"
        raise InvalidParameter([Fault(("output",), "unexpected", message)])
    assert isinstance(targets, np.ndarray)
    arrays = named.apart(targets)
    agreed = {str(part.key): _of_head(part, arrays[str(part.key)], trained) for part in bound.parts}
    objectives = [objective for objective, _ in agreed.values()]
    heads = Heads(
        {name: objective.outputs for name, (objective, _) in agreed.items()},
        {name: objective.activation for name, (objective, _) in agreed.items()},
    )
    kinds = {name: labels.targets.dtype for name, (_, labels) in agreed.items()}
    packed = together({name: labels.targets for name, (_, labels) in agreed.items()})

    def apart(rows: Array, given: Numbers) -> Iterator[tuple[str, slice, Objective, Array, Labels]]:
        read, shown = packed.named.apart(given), heads.apart(rows)
        for columns, (name, (objective, _)) in zip(heads.columns, agreed.items(), strict=True):
            yield name, columns, objective, shown[name], Labels(read[name].astype(kinds[name]))

    def of(parts: Mapping[str, Part]) -> Kernel:
        def function(rows: Array, given: Numbers) -> Returned:
            values, slopes = np.zeros(len(rows)), np.zeros(rows.shape)
            for name, columns, objective, predictions, labels in apart(rows, given):
                losses, slope = objective.losses(predictions, labels)
                values += parts[name].weight * losses + (parts[name].log_variance or 0.0) / 2.0
                slopes[:, columns] = parts[name].weight * slope.reshape(len(rows), -1)
            if bound.derivatives < TWICE:
                return values, slopes

            def second() -> Array:
                curvatures = [
                    parts[name].weight * objective.curvature(predictions, labels).reshape(len(rows), -1)
                    for name, _, objective, predictions, labels in apart(rows, given)
                ]
                return np.hstack(curvatures)

            return values, slopes, second

        return function

    own = {str(part.key): part for part in bound.parts}

    def under(values: Mapping[str, float]) -> Member:
        moved = {name: log_variance_of(name) for name in own if log_variance_of(name) in values}
        parts = own | {name: own[name].under(values[key]) for name, key in moved.items()}

        def slopes(rows: Array, given: Numbers) -> Mapping[str, Array]:
            return {
                moved[name]: 0.5 - parts[name].weight * objective.losses(predictions, labels)[0]
                for name, _, objective, predictions, labels in apart(rows, given)
                if name in moved
            }

        return Member(of(parts), slopes)

    family = Family({log_variance_of(name): _log_variance(part) for name, part in own.items()}, {}, under)
    function = of(own)
    first = objectives[0]
    loss = replace(of_rows(first.loss, function, bound.name), properties=_shared(objectives))

    def read(targets: Raw, classes: Sequence[str] | None) -> Labels:
        assert isinstance(targets, np.ndarray)
        given = named.apart(targets)
        labels = {name: objective.labels(given[name], None) for name, (objective, _) in agreed.items()}
        return Labels(together({name: own.targets for name, own in labels.items()}).rows)

    return (
        Objective(
            loss,
            {},
            (heads.width,),
            heads.activation,
            by_name({name: objective.encoding for name, (objective, _) in agreed.items()}),
            by_name({name: objective.targets_encoding for name, (objective, _) in agreed.items()}),
            tuple(dict.fromkeys(warning for objective in objectives for warning in objective.warnings)),
            sum=function,
            heads=heads,
            named=named,
            parts={name: objective for name, (objective, _) in agreed.items()},
            reads=read,
            family=family,
        ),
        Labels(packed.rows),
    )


def log_variance_of(head: str) -> str:
    """What the log variance of a head is called."""
    return f"heads.{head}.log_variance"


def _log_variance(part: Part) -> Place:
    """That of a head as it may be learned; of one that has none, from 0 on."""
    name = str(part.key)
    path = ("heads", name, "log_variance")
    weighed = part.log_variance is None and part.weight != 1.0
    why = f"the head {name[:80]} has a weight of its own: leave it out, and its log_variance can be learned" if weighed else ""
    return Place(log_variance_of(name), path, LOG_VARIANCE, part.log_variance or 0.0, "weight", why)


def _of_head(part: Part, targets: Numbers, trained: NDArray[np.intp] | None) -> tuple[Objective, Labels]:
    """The loss of a head on the targets of that; what does not fit is told where the sum has it."""
    try:
        _refuse_embeddings(part)
        objective, labels = agree_on(part.loss, targets, None, None, trained)
    except InvalidInput as error:
        spec: Path = ("parameters", "heads", part.key, "loss")
        raise error.moved({("parameters",): spec, ("targets",): ("targets", part.key)}) from None
    mean = objective.loss.mean_of(objective.parameters) if objective.sum is None else objective.loss.mean
    why = "it predicts several arrays itself" if objective.heads is not None else _no_plain_mean(mean, labels)
    if why:
        message = f"a model cannot be trained on {objective.loss.name} as one of several heads: {why}"
        raise InvalidParameter([Fault(("parameters", "heads", part.key, "loss"), "not_trainable", message)])
    return objective, labels


def _agreed_parts(
    bound: Sum,
    targets: Raw,
    classes: Sequence[str] | None,
    output: Activation | None,
    trained: NDArray[np.intp] | None,
) -> list[tuple[Objective, Labels]]:
    """Every part on the same output: the first that suits one of them, and that the others take as well."""
    refusal: InvalidInput | None = None
    for leader in bound.parts:
        try:
            objective, _ = _of_part(bound, leader, targets, classes, output, trained)
            agreed = [_agreed_part(bound, part, targets, classes, objective, trained) for part in bound.parts]
        except InvalidInput as error:
            refusal = refusal or error
            continue
        return agreed
    assert refusal is not None
    raise refusal


def _of_part(
    bound: Sum,
    part: Part,
    targets: Raw,
    classes: Sequence[str] | None,
    output: Activation | None,
    trained: NDArray[np.intp] | None,
) -> tuple[Objective, Labels]:
    """A part by itself; what does not fit is told where the sum has it, and of targets with the loss that does not take them."""
    try:
        _refuse_embeddings(part)
        return _of_one(part, *agree_on(part.loss, targets, classes, output, trained))
    except InvalidInput as error:
        moved = error.moved({("parameters",): ("parameters", "terms", part.key, "loss")})
        faults = [
            fault if fault.path[:1] == ("parameters",) else replace(fault, message=bound.of(part, fault.message))
            for fault in moved.faults
        ]
        raise type(moved)(faults, detail=moved.detail) from None


def _refuse_embeddings(part: Part) -> None:
    if isinstance(part.loss, Bound) and embeds(part.loss.loss):
        message = f"a model cannot be trained on a sum with {part.loss.name} in it: it is on rows that labels put together"
        raise InvalidParameter([Fault(("parameters",), "not_trainable", message)])


def _of_one(part: Part, objective: Objective, labels: Labels) -> tuple[Objective, Labels]:
    if objective.heads is not None:
        message = f"{part.loss.name} predicts several arrays, and the terms of a sum are of one"
        raise InvalidParameter([Fault(("parameters",), "not_trainable", message)])
    return objective, labels


def _agreed_part(
    bound: Sum, part: Part, targets: Raw, classes: Sequence[str] | None, leader: Objective, trained: NDArray[np.intp] | None
) -> tuple[Objective, Labels]:
    objective, labels = _of_part(bound, part, targets, classes, leader.activation, trained)
    if objective.outputs != leader.outputs:
        message = f"{objective.loss.name} wants an output of shape {objective.outputs}, and {leader.loss.name} {leader.outputs}"
        raise InvalidParameter([Fault(("parameters", "terms", part.key, "loss"), "does_not_fit", message)])
    return objective, labels


def _refuse_apart(part: Part, objective: Objective, labels: Labels, first: Labels) -> None:
    """A sum is trained on where it is the mean of what its samples cost."""
    why = _no_plain_mean(objective.loss.mean_of(objective.parameters), labels)
    if why is None and not np.array_equal(labels.targets, first.targets):
        why = "it reads these targets otherwise than the first"
    if why:
        message = f"a model cannot be trained on a sum with {objective.loss.name} in it: {why}"
        raise InvalidParameter([Fault(("parameters", "terms", part.key, "loss"), "not_trainable", message)])


def _no_plain_mean(mean: Mean, labels: Labels) -> str | None:
    """Why a loss is not the mean of what its samples cost, if it is not."""
    if mean is not ARITHMETIC:
        return f"its mean is the {mean.name}"
    if labels.draw is not None:
        return "it is on embeddings of rows that labels put together"
    return "it leaves out or weighs labels" if any(array is not None for array in labels[1:]) else None
