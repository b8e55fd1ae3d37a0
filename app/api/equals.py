"""Calls of other libraries as the catalogues show them."""

from typing import Annotated, Any, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from app.libraries import Equal
from app.registry import Declared


class EqualEntry(TypedDict):
    """A call of another library that gives the same. What is empty, or a factor of 1, is left out."""

    library: Annotated[str, Field(examples=["torch"])]
    version: Annotated[str | None, Field(description="The version it was compared with; null where it was not run.")]
    call: Annotated[
        str,
        Field(
            description="A Python expression of arrays and parameters by their names here, `reduction` and `k` classes; or an "
            "object that minimises or measures the loss."
        ),
    ]
    reductions: Annotated[list[str], Field(description="Reductions under which it is the same; none: each loss by itself.")]
    parameters: NotRequired[Annotated[dict[str, Any], Field(description="What has to be set here.")]]
    encodings: NotRequired[Annotated[dict[str, str], Field(description="Encodings of arrays for it.")]]
    axes: NotRequired[Annotated[list[str], Field(description="Shapes for which it is the same.")]]
    times: NotRequired[Annotated[float, Field(description="What its numbers have to be multiplied by.")]]
    differs_at: NotRequired[
        Annotated[
            list[str],
            Field(
                description="Where value, gradient or hessian differ: ties (and kinks), exact (targets hit), zeros, saturated "
                "(probabilities of 0 and 1, numbers of a thousand), random."
            ),
        ]
    ]
    caveat: NotRequired[str]


def equal_entries(declared: Declared) -> list[EqualEntry]:
    """What a declared thing says that it equals."""
    return [_entry(equal) for equal in declared.equals]


def _entry(equal: Equal) -> EqualEntry:
    entry = EqualEntry(
        library=equal.library.name, version=equal.library.version, call=equal.call, reductions=list(equal.reductions)
    )
    if equal.parameters:
        entry["parameters"] = dict(equal.parameters)
    if equal.encodings:
        entry["encodings"] = dict(equal.encodings)
    if equal.axes:
        entry["axes"] = list(equal.axes)
    if equal.times != 1.0:
        entry["times"] = equal.times
    if equal.differs_at:
        entry["differs_at"] = list(equal.differs_at)
    if equal.caveat:
        entry["caveat"] = equal.caveat
    return entry
