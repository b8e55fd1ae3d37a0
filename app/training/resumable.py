"""Whether a model that was kept is one from which a plan can go on, and the scales under which it then sees rows."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, cast

import numpy as np
from numpy.typing import NDArray

from app.errors import Fault, InvalidParameter
from app.losses.inputs import Numbers
from app.training.decisions import Deciding
from app.training.learned import LEARNED
from app.training.objective import Objective
from app.training.tables import Scale, Table, scale_of

if TYPE_CHECKING:
    from app.training.run import Plan


def scale_for(plan: "Plan", name: Literal["inputs", "targets"], array: Numbers, kept: NDArray[np.intp]) -> Scale:
    """That of the rows to train on; of a run that goes on, the one under which its model was trained."""
    resumed = None if plan.resume is None else plan.resume.inputs_scale if name == "inputs" else plan.resume.targets_scale
    if resumed is not None and np.shape(resumed.mean) == array.shape[1:]:
        return resumed
    return scale_of(array, kept, name, plan.data.sample_weight)


def check_resumed(plan: "Plan") -> None:
    """Refuse a model that another request has left."""
    trained = plan.resume
    if trained is None:
        return
    if trained.chosen.thing is not plan.model.thing or not _equal(trained.chosen.all, plan.model.all):
        _refuse_resumed(f"this is a model of {trained.chosen.thing.name} with other parameters than this request's model has")
    if not _equal(trained.loss, {"name": plan.loss.thing.name, **plan.loss.all}):
        _refuse_resumed(f"this model was trained on {trained.loss.get('name')}, as another loss than this request has")
    if trained.precision != plan.precision:
        _refuse_resumed(f"this model was trained in {trained.precision}: say so in precision")
    names = () if trained.progress is None else trained.progress.history
    learned = [name.removeprefix(LEARNED) for name in names if name.startswith(LEARNED)]
    if trained.progress is not None and learned != list(plan.learn.names if plan.learn else ()):
        were = f"learned {', '.join(learned)} of its loss" if learned else "learned nothing of its loss"
        _refuse_resumed(f"this model's run {were}: say the same in learn")
    if trained.inputs != plan.data.inputs.shape[1]:
        _refuse_resumed(f"this model was trained on {trained.inputs} columns, and there are {plan.data.inputs.shape[1]}")
    done = 0 if trained.progress is None else trained.progress.epoch
    if plan.epochs <= done:
        more = f"epochs must be above {done}" if plan.model.thing.epochs is None else "there is nothing to go on with"
        message = f"epochs counts from the beginning, and {done} are done: {more}"
        raise InvalidParameter([Fault(("epochs",), "out_of_range", message)])


def check_same(plan: "Plan", objective: Objective, inputs_scale: Scale | None, targets_scale: Scale | None) -> None:
    """Refuse a model of other outputs, or under other scales."""
    trained = plan.resume
    if trained is None:
        return
    if (trained.outputs, trained.encoding, trained.activation) != (objective.outputs, objective.encoding, objective.activation):
        _refuse_resumed("this model predicts something else than these targets ask for")
    _check_classes(trained.deciding, plan.data)
    for name, scale, own in (("inputs", inputs_scale, trained.inputs_scale), ("targets", targets_scale, trained.targets_scale)):
        if (scale is None) != (own is None):
            were = "were" if own is not None else "were not"
            _refuse_resumed(f"this model was trained on {name} that {were} standardized: say so in standardize")


def _equal(one: object, other: object) -> bool:
    """Whether two parameters are the same, in whatever kind of list their numbers stand."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        these, those = cast(Mapping[str, object], one), cast(Mapping[str, object], other)
        return these.keys() == those.keys() and all(_equal(these[name], those[name]) for name in these)
    lists = (list, tuple, np.ndarray)
    if isinstance(one, lists) and isinstance(other, lists):
        pairs = cast(Sequence[object], one), cast(Sequence[object], other)
        return len(pairs[0]) == len(pairs[1]) and all(map(_equal, *pairs))
    return one == other


def _refuse_resumed(message: str) -> None:
    raise InvalidParameter([Fault(("resume",), "does_not_fit", message)])


def _check_classes(known: Deciding | dict[str, Deciding] | None, data: Table) -> None:
    """Refuse a model of other classes, or of these in another order."""
    if isinstance(known, dict):
        pairs = [(known[head].classes, names) for head, names in data.classes_by_name.items() if head in known]
    else:
        pairs = [] if known is None or data.classes is None else [(known.classes, data.classes)]
    for classes, names in pairs:
        if classes != tuple(names):
            _refuse_resumed(f"this model's classes are {', '.join(map(str, classes[:20]))}, in this order")
