"""The call POST /v1/analyze: on a body for whoever waits, and as a job on data by reference too."""

import json
import math
from collections.abc import Iterator
from functools import partial
from typing import Annotated, Any, cast

import numpy as np
from pydantic import Field

from app.api.analyze import COLUMNS, AnalyzeRequest, analyze
from app.api.blockwise import counted, located, merged_so_far, with_block
from app.api.files import JUDGED
from app.api.gathered import Progress
from app.api.insight_examples import ANALYSES
from app.api.labels import labels
from app.api.plain import Plain
from app.api.reference import (
    SIDES,
    ByReference,
    Part,
    check_job,
    done_in,
    files_of,
    keep,
    keep_own,
    looked_at,
    partition_done,
    partition_of,
    progress_in,
    reading,
    refuse_nothing,
    undone,
    with_more,
)
from app.api.reference import parts as dealt
from app.api.reference import together as together_evaluated
from app.api.reference import total as total_of
from app.api.sources import GROUPS, Partition
from app.api.tables import check_columns
from app.api.tables_document import ANALYSIS
from app.errors import CallerError, Fault, InvalidInput
from app.insight import Labels, charts, parts
from app.insight.confusion import Counts, of_counts
from app.insight.intervals import Interval, around
from app.insight.parts import QUANTILE_ERROR, Extremes, Parts
from app.losses.form import Bound
from app.losses.merging import Tally
from app.losses.numerics.exactly import Exact
from app.serving.call import Call
from app.serving.pieces import Cut, Kind, State, at_once
from app.serving.steps import LAST, Event
from app.serving.wires import Check
from app.settings import Settings
from app.wire.tables import Block

NOTE = "Of partitions it is not looked at whether skewness or heavy tails keep the interval from holding as often as it says."
UNTOLD = (
    "distribution.skewness, concentration, residuals, calibration, coverage, slices and the bootstrap's intervals are null: "
    "they take all samples at once, and partitions are looked at one after the other"
)


class AnalyzeByReference(ByReference):
    """A loss, where the data is, and what to look at."""

    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.95
    n_worst: Annotated[int, Field(ge=0, le=1000)] = 10


def check_analysis(check: Check, document: Any, arguments: Any, settings: Settings) -> Any:
    """The request of a job."""
    request = check_job(AnalyzeByReference, (*SIDES, GROUPS), check, document, arguments, settings)
    if not isinstance(request, AnalyzeByReference):
        return request
    if request.reduction != "mean":
        raise InvalidInput([Fault(("reduction",), "reduction", "what is analyzed is a mean")])
    if request.data.write is not None:
        raise InvalidInput([Fault(("data", "write"), "unexpected", "an analysis writes nothing: evaluate does")])
    if not isinstance(request.loss.bound, Bound):
        raise InvalidInput([Fault(("loss",), "does_not_fit", "data by reference is analyzed under one loss at a time")])
    return request


def steps(request: AnalyzeByReference | AnalyzeRequest, state: State) -> Iterator[Event]:
    """Analyze partition after partition, from a state on; a body in one piece."""
    if isinstance(request, AnalyzeRequest):
        yield from at_once(analyze, request, state)
        return
    files, progress, found = files_of(request, state), progress_in(state), _read(state)
    for number in range(done_in(state), len(files)):
        partition = partition_of(request, files[number], number)
        own, found = _of_partition(request, partition, number, found)
        progress = with_more(progress, own, partition.name, number)
        keep(state, progress, number + 1)
        state.update(_state(found))
        yield partition_done(request, progress, number)
    yield Event(LAST, answer(request, state))


def _of_partition(request: AnalyzeByReference, partition: Partition, number: int, found: Parts) -> tuple[Progress, Parts]:
    """What a partition comes to by itself, and with it what those before it come to."""
    progress = Progress()
    with reading(request, partition, number, "analysis") as (rows, _):
        for block in rows:
            try:
                progress, batch = with_block(progress, request, block, f"{partition.name}, rows")
                if batch is None:
                    found = parts.without_a_batch(found, block.n_rows)
                else:
                    found = parts.with_batch(found, batch, _groupings(request, block), request.n_worst)
            except CallerError as error:
                raise located(error, request.roles, block.first) from None
    return progress, found


def part_steps(request: AnalyzeByReference, part: Part, state: State) -> Iterator[Event]:
    """Analyze the partitions of a part, from a state on."""
    found = _read(state)
    for place, partition in undone(request, part, state):
        own, found = _of_partition(request, partition, place, found)
        keep_own(state, place, partition, own)
        state.update(_state(found))
        yield looked_at(place)


def together(request: AnalyzeByReference, state: State, part: State) -> Iterator[Event]:
    """Have the state come to what it and the next part come to."""
    yield from together_evaluated(request, state, part)
    try:
        state.update(_state(parts.together(_read(state), _read(part), request.n_worst)))
    except CallerError as error:
        raise error.moved({(GROUPS,): ("data", "columns", GROUPS)}) from None


def _groupings(request: AnalyzeByReference, block: Block) -> dict[str, Labels]:
    groups = {path: columns[0] for path, columns in request.roles.items() if path[0] == GROUPS}
    return {str(path[1]): labels(block.columns[column], path) for path, column in groups.items()}


# --- the state ------------------------------------------------------------------------------------------------------------


def _state(found: Parts) -> State:
    """What is known so far as arrays."""
    plain = {
        **{name: getattr(found, name) for name in ("rows", "n", "least", "most")},
        **{name: str(getattr(found, name)) for name in ("losses", "squares", "terms")},
        "groups": {name: [[level, tally.document] for level, tally in tallies.items()] for name, tallies in found.groups.items()},
        "classes": None if found.confusion is None else found.confusion.classes,
    }
    state: State = {"analysis": np.array(json.dumps(plain)), "keys": found.keys, "counts": found.counts}
    state |= {f"worst_{name}": array for name, array in vars(found.worst).items()}
    if found.confusion is not None:
        state["class_sums"] = found.confusion.sums
        state["class_matrix"] = np.empty(0) if found.confusion.matrix is None else found.confusion.matrix
    return state


def _read(state: State) -> Parts:
    if "analysis" not in state:
        return Parts()
    plain: dict[str, Any] = json.loads(str(state["analysis"]))
    classes = plain.pop("classes")
    plain |= {name: Exact.read(plain[name]) for name in ("losses", "squares", "terms")}
    groups = {name: {level: Tally.read(document) for level, document in tallies} for name, tallies in plain.pop("groups").items()}
    confusion = None
    if classes is not None:
        matrix = state["class_matrix"]
        confusion = Counts(tuple(classes), matrix if matrix.size else None, state["class_sums"])
    worst = Extremes(*(state[f"worst_{name}"] for name in ("rows", "losses", "terms")))
    return Parts(**plain, keys=state["keys"], counts=state["counts"], worst=worst, confusion=confusion, groups=groups)


# --- the answer -----------------------------------------------------------------------------------------------------------


def answer(request: AnalyzeByReference, state: State) -> dict[str, Any]:
    """What all partitions come to."""
    progress, found = progress_in(state), _read(state)
    refuse_nothing(progress)
    if found.n < 2:
        raise InvalidInput([Fault(("data", "source"), "too_few_samples", "an error bar takes two samples or more")])
    merged, plain = merged_so_far(request, progress), Plain()
    error = merged.standard_error
    t = None if error is None else around(merged.value, error, found.n - 1, request.confidence)
    whole = found.terms.rounded()
    shared = found.least >= 0 and math.isfinite(whole) and whole > 0
    worst = zip(found.worst.rows.tolist(), found.worst.losses.tolist(), found.worst.terms.tolist(), strict=True)
    names = cast("list[str | float] | None", request.classes)
    told: dict[str, Any] = {"loss": progress.loss, **counted(request, progress, merged)}
    told |= plain(
        {
            "value": merged.value,
            "standard_error": error,
            "interval": Interval(request.confidence, t, None, None, None if t is None else "t", 0, NOTE),
            "distribution": parts.distribution(found),
            "worst": [{"index": row, "loss": loss, "share": term / whole if shared else None} for row, loss, term in worst],
            "concentration": None,
            "residuals": None,
            "calibration": None,
            "confusion": None if found.confusion is None else of_counts(found.confusion, None if names is None else tuple(names)),
            "coverage": None,
            "groups": parts.groups(found, request.loss.single, request.confidence) if found.groups else None,
            "slices": None,
        }
    )
    told |= {"quantile_error": QUANTILE_ERROR, "partitions": done_in(state)}
    if encoding := progress.encoding:
        told["targets_encoding"] = encoding
    if plain.non_finite:
        told["non_finite"] = plain.non_finite
    told["warnings"] = [*progress.remarks, UNTOLD]
    return told


CHECK = check_columns(AnalyzeRequest, COLUMNS)
ANALYZE = Call(
    method="POST",
    path="/v1/analyze",
    function=analyze,
    summary="Analyze a loss",
    tag="evaluate",
    scope="evaluate",
    lane="large",
    job=Kind(
        "analyze", "partitions", total_of, steps, partial(check_analysis, CHECK), cut=Cut(dealt, part_steps, together, answer)
    ),
    wires=JUDGED,
    check=CHECK,
    picture=charts.analyze,
    statuses=(400, 413, 415, 422, 503),
    examples=ANALYSES,
    document=ANALYSIS,
)
