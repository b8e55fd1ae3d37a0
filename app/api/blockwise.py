"""A loss of rows that come block by block: to the bits of one body of all, however these are cut."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal, NotRequired, cast

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from app.api.evaluate import FIELDS, ClassesInOrder, Counted, NumberOrNull, Remarks, WhatIsMissing
from app.api.files import put
from app.api.gathered import Progress
from app.api.plain import Plain
from app.api.sources import Roles
from app.api.specs import BoundSpec, Listed, LossSpec
from app.api.words import AnyReduction, OneOrMore
from app.errors import CallerError, Fault, InvalidInput
from app.losses.batch import AnyBatch, count_missing
from app.losses.form import Bound
from app.losses.merging import Merged, Tally, merged, refuse_whole, tallies
from app.losses.outputs import NonFiniteAs
from app.losses.sums import batch_of
from app.wire import faults, tables
from app.wire.tables import Block

NOTHING = "no row counts: every one is ignored or missing, weighs 0 or is dropped by the mask"


class Blockwise(BaseModel):
    """A loss, and how it is taken of rows that are not all there at once."""

    model_config = ConfigDict(extra="forbid", strict=True)

    loss: Annotated[LossSpec, Field(description="The loss and its parameters.")]
    classes: ClassesInOrder = None
    missing: WhatIsMissing = "refuse"
    reduction: Annotated[Literal["mean", "sum", "mean_over_samples"], AnyReduction] = "mean"

    @property
    def roles(self) -> Roles:
        """The columns of each array."""
        return vars(self)["roles"]

    @property
    def sure(self) -> bool:
        """Whether a standard error is wanted."""
        return True


class Asked(Blockwise):
    """The same, and what to answer."""

    outputs: Annotated[list[Literal["value", "standard_error"]], Field(min_length=1, max_length=2), Listed, OneOrMore] = [
        "value",
        "standard_error",
    ]
    non_finite_as: NonFiniteAs = "null"

    @property
    def sure(self) -> bool:
        return "standard_error" in self.outputs


class Evaluated(Counted, Remarks):
    """The loss of all rows."""

    value: NotRequired[NumberOrNull]
    standard_error: NotRequired[NumberOrNull]


def refuse_what_takes_all(request: Blockwise) -> None:
    """CallerError for a loss that takes all rows at once."""
    try:
        refuse_whole(request.loss.bound)
    except CallerError as error:
        raise error.moved(FIELDS) from None
    if request.missing == "drop" and not isinstance(request.loss.bound, Bound):
        message = "missing: drop is for single losses where rows come block by block"
        raise InvalidInput([Fault(("missing",), "does_not_fit", message)])


# --- block by block -------------------------------------------------------------------------------------------------------


def with_block(progress: Progress, request: Blockwise, block: Block, where: str) -> tuple[Progress, AnyBatch | None]:
    """With what a block adds, and the batch that it is; None where no row of it counts."""
    arrays = arrays_of(request.roles, block)
    spec = request.loss.beside(arrays["predictions"], arrays["targets"])
    batch = batch_in(request, spec, arrays)
    if batch is None:
        if request.missing == "drop" and isinstance(spec.bound, Bound):
            n_missing = count_missing(spec.bound, **arrays, classes=request.classes)
            progress += Progress(tallies=[Tally(n_missing=n_missing)])
        return progress, None
    form = {name: _form(array) for name, array in arrays.items() if array is not None}
    found = tallies(batch, request.reduction, errors=request.sure)
    last = block.first + batch.elements[0] - 1
    return progress + Progress.of_batch(batch, spec, found, form, f"{where} {block.first} to {last}"), batch


def _form(array: Any) -> Any:
    """What the rows of all blocks have in common: the shape of one, or that they are words."""
    if isinstance(array, Mapping):
        return {name: _form(inner) for name, inner in cast(Mapping[str, Any], array).items()}
    return [*np.shape(array)[1:]] if type(array) is np.ndarray else "words"


def batch_in(request: Blockwise, spec: BoundSpec, arrays: Mapping[str, Any]) -> AnyBatch | None:
    """The rows of a block as a batch; None where none of them counts."""
    try:
        return batch_of(spec.bound, **arrays, classes=request.classes, missing=request.missing)
    except CallerError as error:
        if error.faults and all(fault.code == "no_samples" for fault in error.faults):
            return None
        raise error.moved(FIELDS) from None


def arrays_of(roles: Roles, block: Block) -> dict[str, Any]:
    """The arrays of a request, from the columns that are in their place."""
    document: dict[str, Any] = {}
    for path, columns in roles.items():
        document = put(document, path, tables.stacked([block.columns[column] for column in columns]))
    targets = document.get("targets", document.get("labels"))
    read = faults.tensors
    weight, mask = document.get("sample_weight"), document.get("mask")
    return {
        "predictions": None if "predictions" not in document else read(document["predictions"], ("predictions",), gaps=True),
        "targets": None if targets is None else read(targets, ("targets",), gaps=True),
        "sample_weight": None if weight is None else faults.numbers(weight, ("sample_weight",), gaps=True),
        "mask": None if mask is None else faults.flags(mask, ("mask",)),
    }


# --- where something is wrong -----------------------------------------------------------------------------------------------

ELSEWHERE = ("loss", "classes", "missing", "reduction")
"""Fields of a request that are not in the data."""


def located(error: CallerError, roles: Roles, first: int) -> CallerError:
    """The same error, its faults at rows of the file and at columns, as much as is known of them."""
    return InvalidInput([_cell(fault, roles, first) for fault in error.faults]) if error.faults else error


def _cell(fault: Fault, roles: Roles, first: int) -> Fault:
    for role, columns in roles.items():
        beginning = ("targets", *role[1:]) if role[0] == "labels" else role
        if fault.path[: len(beginning)] != beginning:
            continue
        row, column = (*fault.path[len(beginning) :], None, None)[:2]
        if not isinstance(row, int):
            return replace(fault, path=())
        place = 0 if len(columns) == 1 else column
        named = (columns[place],) if isinstance(place, int) and place < len(columns) else ()
        name = faults.name(beginning)
        message = re.sub(rf"(?<={re.escape(name)}\[)\d+", lambda found: str(first + int(found[0])), fault.message)
        return Fault((first + row, *named), fault.code, message)
    return fault if fault.path[:1] and fault.path[0] in ELSEWHERE else replace(fault, path=())


# --- what it comes to -------------------------------------------------------------------------------------------------------

ANY_LOSS: TypeAdapter[BoundSpec] = TypeAdapter(LossSpec)


def merged_so_far(request: Blockwise, progress: Progress) -> Merged:
    spec = request.loss if request.loss.document == progress.loss else ANY_LOSS.validate_python(progress.loss)
    return merged(spec.bound, progress.tallies, request.reduction, progress.n_samples)


def so_far(request: Blockwise, progress: Progress) -> dict[str, Any]:
    """How many samples there have been, and what they come to."""
    value = merged_so_far(request, progress).value if progress.blocks else math.nan
    return {"n_samples": progress.n_samples, "value": value if math.isfinite(value) else None}


def counted(request: Blockwise, progress: Progress, found: Merged) -> dict[str, int]:
    """How many samples count, and of several elements each, or where some are missing, how many of these."""
    counts = {"n_samples": found.n_samples}
    if progress.deep:
        counts["n_elements"] = found.n_elements
    if request.missing == "drop":
        counts["n_missing"] = found.n_missing
    return counts


def answer_of(request: Asked, progress: Progress) -> Evaluated:
    """What all blocks come to, of which one at least counts."""
    found, plain = merged_so_far(request, progress), Plain()
    answer: dict[str, Any] = {"loss": progress.loss, "reduction": request.reduction, **counted(request, progress, found)}
    numbers = {"value": found.value, "standard_error": found.standard_error}
    answer["divisor"] = found.divisor
    answer |= plain({name: numbers[name] for name in numbers if name in request.outputs})
    if encoding := progress.encoding:
        answer["targets_encoding"] = encoding
    if plain.non_finite:
        answer["non_finite"] = plain.non_finite
    if request.non_finite_as == "string":
        answer |= {number["output"]: number["value"] for number in plain.non_finite}
    if remarks := [*progress.remarks, *_unsure(request, found)]:
        answer["warnings"] = remarks
    return cast(Evaluated, answer)


def _unsure(request: Asked, found: Merged) -> Iterator[str]:
    """Why there is no standard error, where one was asked for."""
    if "standard_error" not in request.outputs or found.standard_error is not None:
        return
    if request.reduction == "sum":
        yield "standard_error is null: it is that of a mean"
    elif not isinstance(request.loss.bound, Bound):
        yield "standard_error is null: how losses go together within a sample cannot be told from sums over partitions"
    else:
        yield "standard_error is null: it takes two samples that count, and of a root a loss above 0"
