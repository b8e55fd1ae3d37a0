"""Calls of other libraries as the catalogues show them."""

from typing import Annotated, Any

from pydantic import Field
from typing_extensions import TypedDict

from app.registry import Declared


class EqualEntry(TypedDict):
    """A call of another library that gives the same."""

    library: Annotated[str, Field(examples=["torch"])]
    version: Annotated[str | None, Field(description="The version it was compared with; null where it was not run.")]
    call: Annotated[
        str,
        Field(
            description="A Python expression of arrays and parameters by the names that they have here. `reduction` is the one "
            "asked for, `k` the number of classes; an object minimises or measures the loss.",
            examples=["torch.nn.HuberLoss(delta=delta, reduction=reduction)(predictions, targets)"],
        ),
    ]
    parameters: Annotated[dict[str, Any], Field(description="What has to be set here beside that.")]
    reductions: Annotated[list[str], Field(description="Reductions under which it is the same; none: each loss by itself.")]
    encodings: Annotated[dict[str, str], Field(description="How arrays are encoded, where that is not as they are here.")]
    axes: Annotated[list[str], Field(description="Shapes for which it is the same; empty for all that the loss takes.")]
    times: Annotated[float, Field(description="What its numbers have to be multiplied by.")]
    differs_at: Annotated[
        list[str],
        Field(
            description="Where it is not the same: ties (and kinks), exact (targets hit), zeros, saturated (probabilities of 0 "
            "and 1, numbers of a thousand), random; or the gradient or the hessian there, or everywhere."
        ),
    ]
    caveat: str


def equal_entries(declared: Declared) -> list[EqualEntry]:
    """What a declared thing says that it equals."""
    return [
        EqualEntry(
            library=equal.library.name,
            version=equal.library.version,
            call=equal.call,
            parameters=dict(equal.parameters),
            reductions=list(equal.reductions),
            encodings=dict(equal.encodings),
            axes=list(equal.axes),
            times=equal.times,
            differs_at=list(equal.differs_at),
            caveat=equal.caveat,
        )
        for equal in declared.equals
    ]
