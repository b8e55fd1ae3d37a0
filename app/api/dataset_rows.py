"""GET /v1/datasets/{name}/rows: the rows that a training run is given by a dataset's name."""

from typing import Annotated, Any

import numpy as np
from pydantic import Field
from typing_extensions import TypedDict

from app.api.files import read_by
from app.api.training_fields import DATASET_SPECS
from app.errors import MAX_FAULTS, Fault, InvalidInput, UnknownName
from app.serving.address import Path, Rest
from app.serving.call import Call
from app.training import DATASETS

MOST_NUMBERS = 200_000
"""Inputs of an answer: a picture needs fewer."""


class DatasetRows(TypedDict):
    """What is learned from."""

    features: Annotated[list[str], Field(description="The names of the columns.", examples=[["x0", "x1"]])]
    classes: Annotated[list[str] | None, Field(description="The name of each class index; null for a regression.")]
    inputs: Annotated[list[list[float]], Field(description="(n, d).")]
    targets: Annotated[Any, Field(description="(n,) or (n, m): numbers, or indices of classes.")]


def show_rows(
    name: Annotated[str, Path(description="The name of a dataset, or an alias of it.", examples=["moons"])], rest: Rest
) -> DatasetRows:
    """The rows of a dataset. Its parameters stand in the address: `/v1/datasets/moons/rows?n_samples=100&noise=0.3`."""
    declared, preset = DATASETS.find(name)
    others = [word for word in rest if word not in declared.parameters]
    if others:
        takes = ", ".join(declared.parameters)
        no = f"{declared.name} has no parameter"
        faults = [Fault((word,), "unknown_field", f"{no} {word[:80]!r}: it takes {takes}") for word in others]
        raise UnknownName(faults[:MAX_FAULTS])
    data = declared(**{**preset, **read_by(DATASET_SPECS, declared, rest)})
    if data.inputs.size > MOST_NUMBERS:
        message = f"this many rows are {data.inputs.size:,} numbers, and at most {MOST_NUMBERS:,} are answered: ask for fewer"
        raise InvalidInput([Fault((), "limit", message)])
    classes = None if data.classes is None else list(data.classes)
    return {
        "features": list(data.features),
        "classes": classes,
        "inputs": np.asarray(data.inputs, np.float64).tolist(),
        "targets": data.targets.tolist(),
    }


ROWS = Call(
    method="GET",
    path="/v1/datasets/{name}/rows",
    function=show_rows,
    summary="Show the rows of a dataset",
    tag="training",
    scope="train",
    lane="large",
    constant=True,
    statuses=(404, 422, 503),
)
