"""POST /v1/predict: what a model that a run has left says of new rows."""

from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple, NotRequired, Self, cast

import numpy as np
from pydantic import Field, PrivateAttr, WithJsonSchema, model_validator
from typing_extensions import TypedDict

from app.api.evaluate import UNTYPED
from app.api.predict_examples import PREDICTIONS
from app.api.specs import Listed
from app.api.tables import column_of_numbers, no_column
from app.api.trained import TrainedModel
from app.api.training_rows import read_inputs
from app.api.words import Part
from app.errors import Fault, InvalidInput, Path
from app.losses.inputs import Numbers
from app.losses.numerics.stable import Array
from app.serving.call import Call
from app.serving.usage import Usage
from app.training import Trained
from app.training.decisions import of_each
from app.training.network import Network
from app.training.surface import axis
from app.training.trained import Decided, Prediction
from app.wire import tables
from app.wire.faults import listed

PLANE = 2
"""Columns of a model that has a surface."""


Ends = Annotated[list[float], Field(min_length=2, max_length=2), Listed]


class Plane(Part):
    """Places on a grid over two columns."""

    n: Annotated[int, Field(description="Along each of both.", ge=2, le=500)] = 50
    x: Annotated[Ends | None, Field(description="Ends of the first column; null: its range, a twentieth wider.")] = None
    y: Annotated[Ends | None, Field(description="The same of the second.")] = None


class Grid(NamedTuple):
    """Places along two columns."""

    x: Array
    y: Array

    @property
    def rows(self) -> Array:
        """(n·n, 2), of one y after the other."""
        return np.stack([plane.ravel() for plane in np.meshgrid(self.x, self.y)], axis=1)


class PredictRequest(Part):
    """A model, and the rows of which it is asked: `inputs`, or a grid over the two columns that it has."""

    model: Annotated[TrainedModel, Field(description='`trained_model` of a run with `outputs: ["model"]`.')]
    inputs: Annotated[
        Any,
        WithJsonSchema(UNTYPED),
        Field(
            description='(n, d); or a table by the names of the model\'s features: `{"rows": [{"x": 1}, ...]}`, '
            '`{"columns": ["x"], "data": [[1], ...]}` or `{"x": [1, ...]}`. null is a missing number, which trees take.'
        ),
    ] = None
    surface: Plane | None = None

    _trained: Trained | None = PrivateAttr(default=None)
    _rows: Numbers | None = PrivateAttr(default=None)
    _grid: Grid | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _check(self) -> Self:
        self._trained = trained = self.model.read(("model",))
        if (self.inputs is None) == (self.surface is None):
            raise InvalidInput([Fault((), "choice", "predict takes inputs or surface, one of them")])
        if self.surface is not None:
            self._grid = _grid(trained, self.surface)
            self._rows = self._grid.rows
        else:
            given: object = self.inputs
            columns = _of_table(cast("dict[str, Any]", given), trained) if isinstance(given, dict) else given
            self._rows, _ = read_inputs(columns, ("inputs",), self.model.spec, trained.words)
        trained.check_rows(self._rows)
        return self

    @property
    def trained(self) -> Trained:
        assert self._trained is not None
        return self._trained

    @property
    def rows(self) -> Numbers:
        """(n, d)"""
        assert self._rows is not None
        return self._rows

    @property
    def grid(self) -> Grid | None:
        return self._grid

    @property
    def usage(self) -> Usage:
        model, n = self.trained.model, len(self.rows)
        numbers = model.size if isinstance(model, Network) else len(self.trained.parameters["left"])
        return Usage(samples=n, cost=STEPS_A_NUMBER * n * numbers)


STEPS_A_NUMBER = 2.0
"""About the steps that a weight of a network costs for a row; of trees a row sees few nodes, but each of these costs more."""


def _grid(trained: Trained, plane: Plane) -> Grid:
    if trained.inputs != PLANE or trained.categories:
        what = "has columns of categories" if trained.categories else f"has {trained.inputs} columns"
        raise InvalidInput([Fault(("surface",), "does_not_fit", f"a surface is over two columns of numbers; this model {what}")])
    return Grid(*(_axis(trained, plane, column, name) for column, name in enumerate(("x", "y"))))


def _axis(trained: Trained, plane: Plane, column: int, name: str) -> Array:
    given: list[float] | None = getattr(plane, name)
    if given is not None:
        if not given[0] < given[1]:
            raise InvalidInput(
                [Fault(("surface", name), "out_of_range", f"surface.{name} must be two numbers, the lower one first")]
            )
        return np.linspace(given[0], given[1], plane.n)
    low, high = trained.range[:, column].tolist()
    if not np.isfinite([low, high]).all():
        message = f"this model does not know the range of its column {column}: say surface.{name}"
        raise InvalidInput([Fault(("surface", name), "missing", message)])
    return axis(low, high, plane.n)


def _of_table(given: Mapping[str, Any], trained: Trained) -> object:
    """The rows of a table, its columns in the order of the model's features."""
    if trained.features is None:
        message = "this model's columns have no names, so it takes no table: send rows (n, d)"
        raise InvalidInput([Fault(("inputs",), "not_an_array", message)])
    path: Path = ("inputs", "rows") if "rows" in given else ("inputs",)
    table = tables.table(given.get("rows", given), path)
    missing = [name for name in trained.features if name not in table.names]
    if missing:
        raise InvalidInput([Fault(("inputs",), "unknown_column", no_column(name, table.names)) for name in missing])
    columns = table.read(trained.features, 0)
    words = trained.words
    read = [
        columns[name] if index in words else column_of_numbers(columns[name], ("inputs",), name, index)
        for index, name in enumerate(trained.features)
    ]
    if len({*map(len, read)}) > 1:
        raise InvalidInput([Fault(("inputs",), "ragged", "the columns of inputs must be of one length")])
    return [list(row) for row in zip(*map(listed, read), strict=True)] if words else np.stack(read, axis=1)


class SurfaceAnswer(TypedDict):
    """What is predicted on the grid, the first axis along y, the second along x."""

    x: list[float]
    y: list[float]
    predictions: Any
    probabilities: Any
    labels: Any


class PredictResponse(TypedDict):
    """What a model says of rows, in their order; null where it says no such thing."""

    n_samples: int
    predictions: Annotated[Any, Field(description="(n, ...), as in the run's answer, in the targets' own units.")]
    predictions_encoding: str
    classes: Annotated[Any, Field(description="Names, or the numbers that targets had; of heads that decide, by name.")]
    probabilities: Annotated[Any, Field(description="(n, k) of the classes; by name likewise.")]
    labels: Annotated[Any, Field(description="(n,): the most probable class, the first of equals; by name likewise.")]
    surface: NotRequired[SurfaceAnswer]


def predict(request: PredictRequest) -> PredictResponse:
    """Predictions of new rows by a model that a run has left: the same numbers as in the run's answer for the same rows.

    A classifier tells classes, how probable each is, and the most probable one. In place of rows, a model of two columns tells
    all that over a grid (`surface`).
    """
    trained, grid = request.trained, request.grid
    found = trained.predict(request.rows)
    answer = PredictResponse(
        n_samples=len(request.rows),
        predictions=_by_head(found, trained) if grid is None else None,
        predictions_encoding=trained.encoding,
        classes=of_each(found.decided, lambda decided: list(decided.classes)),
        probabilities=of_each(found.decided, _probabilities) if grid is None else None,
        labels=of_each(found.decided, _labels) if grid is None else None,
    )
    if grid is not None:
        answer["surface"] = _surface(grid, found, trained)
    return answer


def _by_head(found: Prediction, trained: Trained, shape: tuple[int, ...] = (-1,)) -> Any:
    """What is predicted, of rows in this shape; by name where the model predicts several arrays."""
    if trained.heads is None:
        return found.predictions.reshape(*shape, *trained.outputs)
    arrays = trained.heads.apart(found.predictions)
    return {name: array.reshape(*shape, *array.shape[1:]) for name, array in arrays.items()}


def _probabilities(decided: Decided) -> Any:
    return decided.probabilities


def _labels(decided: Decided) -> list[Any]:
    return [decided.classes[place] for place in decided.places.tolist()]


def _surface(grid: Grid, found: Prediction, trained: Trained) -> SurfaceAnswer:
    shape = (len(grid.y), len(grid.x))

    def probabilities(decided: Decided) -> Any:
        return None if decided.probabilities is None else decided.probabilities.reshape(*shape, -1)

    def labels(decided: Decided) -> list[list[Any]]:
        flat = _labels(decided)
        return [flat[start : start + shape[1]] for start in range(0, len(flat), shape[1])]

    return SurfaceAnswer(
        x=grid.x.tolist(),
        y=grid.y.tolist(),
        predictions=_by_head(found, trained, shape),
        probabilities=of_each(found.decided, probabilities),
        labels=of_each(found.decided, labels),
    )


PREDICT = Call(
    method="POST",
    path="/v1/predict",
    function=predict,
    summary="Predict with a trained model",
    tag="training",
    scope="train",
    lane="large",
    statuses=(400, 413, 415, 422, 503),
    examples=PREDICTIONS,
)
