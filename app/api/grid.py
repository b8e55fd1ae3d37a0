"""Grids of runs: what is varied (axes), every combination of it, checked, and what each is called."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import Any, NamedTuple, cast

from app.api.places import UNKNOWN, leading_nowhere, told_at, with_values
from app.api.specs import BoundSpec, Spec
from app.api.training import TrainRequest, gathered, steps_of
from app.api.training_answer import SetUp, set_up
from app.api.training_fields import RunFields, Validation
from app.api.training_plan import plan_of
from app.api.training_rows import Rows, data_of
from app.errors import CallerError, Fault, InvalidInput, InvalidParameter, Path
from app.training import METRICS, Chosen, Holdout, Limits, Plan, Run
from app.training.metrics import check_metric

COMMON_METRICS = ("accuracy", "r2")
"""What runs are compared by unless something else is asked for: metrics without a unit, where they fit."""
MOST_SHOWN = 60
"""Characters of a value in a name."""
TARGETS: tuple[Path, ...] = (("data", "targets"), ("validation", "targets"))


@dataclass(frozen=True)
class Axis:
    """What is varied: the dotted path at which a run has it, its values, and where the request has these."""

    path: str
    values: Sequence[Any]
    place: Path
    places: Sequence[Path] = ()
    """Of each value, where it is not behind the place by its index."""

    @property
    def of_grid(self) -> bool:
        """Whether its values stand at a dotted path, and not as losses, optimizers or models."""
        return len(self.place) > 1

    def place_of(self, index: int) -> Path:
        return self.places[index] if self.places else (*self.place, index)

    @cached_property
    def names(self) -> list[str]:
        """What each value is called: by what tells it from the others."""
        if not isinstance(self.values[0], Spec):
            return [f"{self.path.rpartition('.')[2]}={_shown(value)}" for value in self.values]
        specs = cast(Sequence[Spec], self.values)
        given = [spec.document if isinstance(spec, BoundSpec) else {"name": spec.name, **spec.given} for spec in specs]
        found: list[str] = []
        for spec, own in zip(specs, given, strict=True):
            alike = [other for other in given if other["name"] == spec.name]
            apart = [key for key in own if any(other.get(key) != own[key] for other in alike)]
            found.append(spec.name + (f"({', '.join(f'{key}={_shown(own[key])}' for key in apart)})" if apart else ""))
        return _told_apart(found)


def _shown(value: object) -> str:
    """A value in a name: as JSON, but for words, and not longer than one reads."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN - 1]}…"


def _told_apart(names: Sequence[str]) -> list[str]:
    """The names, with a number behind each that stands there already."""
    seen = Counter[str]()
    found: list[str] = []
    for name in names:
        seen[name] += 1
        found.append(name if seen[name] == 1 else f"{name} #{seen[name]}")
    return found


class Variant(NamedTuple):
    """A combination of all axes but seeds and folds."""

    name: str
    parameters: Mapping[str, Any]
    """Values of the grid by their dotted paths, but for those that it has no use for."""
    request: TrainRequest
    warnings: tuple[str, ...] = ()
    """What was left out."""
    features: tuple[str, ...] | None = None


class Planned(NamedTuple):
    """A run of a grid. It has been made ready once, to see that it can be; its rows are so again when its turn comes."""

    name: str | int
    variant: int
    seed: int
    fold: int | None
    plan: Plan
    set_up: SetUp


class Grid(NamedTuple):
    """Every run that is asked for."""

    axes: list[str]
    variants: Sequence[Variant]
    runs: Sequence[Planned]
    limits: Limits
    steps: float
    """About what they take."""

    @property
    def by(self) -> str:
        """What is varied, in a word."""
        return self.axes[0] if len(self.axes) == 1 and self.axes[0] in WORDS else "grid"

    def prepared(self, planned: Planned) -> Run:
        """The run, ready to begin."""
        return _warned(self.variants[planned.variant], planned.plan, self.limits)


WORDS = ("loss", "optimizer", "model", "seed", "fold")


def grid_of(
    request: TrainRequest,
    axes: Sequence[Axis],
    limits: Limits,
    *,
    seeds: Sequence[int] = (),
    folds: int | None = None,
    combinations: Sequence[tuple[int, ...]] | None = None,
    read: Callable[[RunFields], Rows] = data_of,
) -> Grid:
    """Every combination of the axes, from each seed, on each fold; CallerError with what is wrong with any of them.

    No `seeds` is the request's own seed, no `folds` its own validation rows. The limit on rows is shared. `combinations` are of
    indices of the axes' values, all if nothing is said; `read` is how a variant comes to its rows.
    """
    if combinations is None:
        combinations = [*product(*(range(len(axis.values)) for axis in axes))]
    repeats = [*product(seeds or [request.seed], range(folds) if folds else [None])]
    shared = replace(limits, row_epochs=limits.row_epochs // (len(combinations) * len(repeats)))
    variants: list[Variant] = []
    facts: list[list[_Facts]] = []
    refused: dict[tuple[int, ...], CallerError] = {}
    known: dict[tuple[int, ...], Rows] = {}
    for indices in combinations:
        try:
            variant = _variant(request, axes, indices)
            rows = _rows(variant.request, axes, indices, known, read)
            variant, found = _usable(variant._replace(features=rows.features), rows, folds, shared, axes)
        except CallerError as error:
            refused[indices] = error
            continue
        variants.append(variant)
        facts.append(found)
    if refused:
        raise _together(refused, axes, some=bool(variants))
    _refuse_lost(request, axes, variants)
    alike = _alike([fact for found in facts for fact in found], choose=not request.metrics)
    runs: list[Planned] = []
    for number, (variant, found) in enumerate(zip(variants, facts, strict=True)):
        for seed, fold in repeats:
            plan, shown = found[fold or 0].plan, found[fold or 0].set_up
            if (plan := replace(plan, **alike)) != found[fold or 0].plan:
                shown = set_up(variant.features, _warned(variant, plan, shared))
            name = _run_name(variant.name if axes else None, seed if seeds else None, fold)
            runs.append(Planned(name, number, seed, fold, replace(plan, seed=seed), cast(SetUp, {**shown, "seed": seed})))
    names = [axis.path for axis in axes] + ["seed"] * bool(seeds) + ["fold"] * bool(folds)
    steps = sum(fact.steps for found in facts for fact in found) * max(1, len(seeds))
    return Grid(names, variants, runs, shared, steps)


def _run_name(variant: str | None, seed: int | None, fold: int | None) -> str | int:
    """What tells a run from the others; where that is a seed or a fold alone, its number."""
    if variant is None and (seed is None) != (fold is None):
        return cast(int, fold if seed is None else seed)
    parts = [variant, seed if seed is None else f"seed {seed}", fold if fold is None else f"fold {fold}"]
    return ", ".join(part for part in parts if part is not None)


# --- variants -----------------------------------------------------------------------------------------------------------


def _variant(request: TrainRequest, axes: Sequence[Axis], indices: Sequence[int]) -> Variant:
    """The request with these values; a setting that is none of what is varied beside it is left out."""
    chosen = [(axis, axis.values[index]) for axis, index in zip(axes, indices, strict=True)]
    varied = request.model_copy(update={axis.path: value for axis, value in chosen if not axis.of_grid})
    values = {axis.path: value for axis, value in chosen if axis.of_grid}
    warnings: list[str] = []
    several = any(axis.path in WORDS for axis in axes)
    while True:
        try:
            varied = with_values(varied, values)
            break
        except CallerError as error:
            nowhere = leading_nowhere(error, [*values])
            if not nowhere or not several:
                raise
            warnings += [f"{path} is left out: {error.detail}" for path in nowhere]
            values = {path: value for path, value in values.items() if path not in nowhere}
    name = ", ".join(axis.names[index] for axis, index in zip(axes, indices, strict=True))
    return Variant(name or (varied.loss or varied.model).name, values, varied, tuple(warnings))


def _refuse_lost(request: TrainRequest, axes: Sequence[Axis], variants: Sequence[Variant]) -> None:
    """Refuse a path of the grid that none of the variants has."""
    for axis in axes:
        if axis.of_grid and not any(axis.path in variant.parameters for variant in variants):
            message = variants[0].warnings[0].partition(": ")[2]
            raise InvalidInput([Fault(axis.place, UNKNOWN, message)])


def _rows(
    request: RunFields,
    axes: Sequence[Axis],
    indices: Sequence[int],
    known: dict[tuple[int, ...], Rows],
    read: Callable[[RunFields], Rows],
) -> Rows:
    """The data of a variant, which those of the same data and model share."""
    roots = [axis.path.partition(".")[0] for axis in axes]
    key = tuple(index for root, index in zip(roots, indices, strict=True) if root in ("data", "model"))
    if key not in known:
        known[key] = read(request)
    return known[key]


class _Facts(NamedTuple):
    """What is kept of a run that has been made ready."""

    plan: Plan
    standardized: bool
    """Whether its targets are."""
    fitting: frozenset[str]
    """The common metrics that fit it."""
    set_up: SetUp
    steps: float


def _usable(
    variant: Variant, rows: Rows, folds: int | None, limits: Limits, axes: Sequence[Axis]
) -> tuple[Variant, list[_Facts]]:
    """The variant on each fold, made ready; of several models each without the settings that it has no use for."""
    several = any(axis.path == "model" for axis in axes)
    while True:
        try:
            return variant, [_facts(variant, plan, limits) for plan in _plans(variant.request, rows, folds)]
        except CallerError as error:
            useless = _useless(error, variant.request) if several else {}
            if not useless:
                raise
            warnings = (*variant.warnings, *(f"{fault.path[0]} is left out: {fault.message}" for fault in error.faults))
            variant = variant._replace(request=variant.request.model_copy(update=useless), warnings=warnings)


def _useless(error: CallerError, request: RunFields) -> dict[str, Any]:
    """The settings and outputs that are refused because a model has none of them, each with what is to be in its place."""
    found: dict[str, Any] = {}
    for fault in error.faults:
        root, *inner = fault.path or ("",)
        if fault.code != "unexpected" or (inner and root != "outputs"):
            return {}
        found[str(root)] = (
            [output for index, output in enumerate(request.outputs) if index != inner[0]]
            if inner
            else RunFields.model_fields[str(root)].get_default(call_default_factory=True)
        )
    return found


def _plans(request: RunFields, rows: Rows, folds: int | None) -> Iterator[Plan]:
    """The run on each fold, or on the rows that it holds out itself."""
    if folds is None:
        yield plan_of(request, rows)
        return
    asked = request.validation or Validation()
    plan = plan_of(request.model_copy(update={"validation": None}), rows)
    for fold in range(folds):
        yield replace(plan, validation=Holdout(None, seed=asked.seed, split=asked.split, folds=folds, fold=fold))


def _facts(variant: Variant, plan: Plan, limits: Limits) -> _Facts:
    run = _warned(variant, plan, limits)
    fitting = frozenset(name for name in COMMON_METRICS if _scores(METRICS[name], run))
    return _Facts(plan, run.targets_scale is not None, fitting, set_up(variant.features, run), steps_of(run))


def _warned(variant: Variant, plan: Plan, limits: Limits) -> Run:
    run = variant.request.prepared(plan, limits)
    return replace(run, warnings=(*run.warnings, *variant.warnings))


def _scores(metric: Any, run: Run) -> bool:
    try:
        check_metric(metric, metric.defaults, run.objective.encoding, run.training.targets, outputs=run.objective.outputs)
    except InvalidParameter:
        return False
    return True


def _alike(facts: Sequence[_Facts], *, choose: bool) -> dict[str, Any]:
    """What is changed of every plan: targets in the same unit throughout, and where none were asked for metrics that fit all."""
    changes: dict[str, Any] = {}
    if len({fact.standardized for fact in facts}) > 1:
        changes["standardize_targets"] = False
    if choose:
        common = frozenset(COMMON_METRICS).intersection(*(fact.fitting for fact in facts))
        changes["metrics"] = tuple(Chosen(METRICS[name], {}) for name in COMMON_METRICS if name in common)
    return changes


# --- what is wrong --------------------------------------------------------------------------------------------------------


def _together(refused: Mapping[tuple[int, ...], CallerError], axes: Sequence[Axis], *, some: bool) -> CallerError:
    """What is wrong with each combination, where the request has what is wrong with it; told once, where they share it."""
    errors = [*refused.values()]
    # targets that one loss takes and another does not are not wrong: the other loss is
    by_loss = next((number for number, axis in enumerate(axes) if axis.path == "loss"), None)
    mixed = by_loss is not None and (some or len({error.faults for error in errors}) > 1)
    faults: list[Fault] = []
    for indices, error in refused.items():
        places = {axis.path: axis.place_of(index) for axis, index in zip(axes, indices, strict=True)}
        told = told_at(error, places)
        if mixed and by_loss is not None:
            told = gathered(told, dict.fromkeys(TARGETS, ("losses", indices[by_loss])))
        faults += told.faults
    first = errors[0]
    return type(first)([*dict.fromkeys(faults)] or first.detail, detail=first.detail)
