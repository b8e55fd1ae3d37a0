"""A trained model as JSON: what /v1/train answers, /v1/predict takes, and a run resumes."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, cast

import numpy as np
from pydantic import Field, PrivateAttr, ValidationError, WithJsonSchema

from app.api.evaluate import UNTYPED, Names
from app.api.specs import Listed, Spec, Specs, expanded, named
from app.api.words import Part
from app.errors import CallerError, Fault, InvalidArray, Path
from app.losses.inputs import Numbers
from app.losses.numerics.stable import Array
from app.losses.outputs import word
from app.serving.problems import from_pydantic
from app.training import MODELS, Chosen, Trained
from app.training.activations import OUTPUTS, Activation, within
from app.training.decisions import Deciding
from app.training.network import Network, Precision
from app.training.side_by_side import Heads
from app.training.tables import Scale
from app.training.trained import MODEL, Progress, checked
from app.wire import faults

FORMAT, VERSION = "criterion.model", 1
MODEL_SPECS = Specs(MODELS)
ENCODED = Annotated[Any, WithJsonSchema(UNTYPED)]
"""Arrays of whatever depth."""

if TYPE_CHECKING:
    EitherModel: TypeAlias = Spec
    ModelSpec: TypeAlias = Spec
    OutputName: TypeAlias = str
else:
    EitherModel = named("Model", "model", MODEL_SPECS)
    ModelSpec = expanded(EitherModel, MODELS, "mlp")
    OutputName = Literal[tuple(OUTPUTS)]


class Moved(Part):
    """What was taken from each column, and what the rest was divided by."""

    mean: ENCODED
    deviation: ENCODED


class Scaling(Part):
    """Of inputs and targets; null where they were left as they are."""

    inputs: Moved | None = None
    targets: Moved | None = None


class Range(Part):
    """The least and the largest number of each column."""

    min: ENCODED
    max: ENCODED


class OutputHead(Part):
    """One of several arrays that a model predicts."""

    outputs: Annotated[int | None, Field(description="Numbers per row; null: one, by itself.", ge=1, le=10_000)] = None
    output_activation: OutputName | None = None
    low: Annotated[float | None, Field(description="In place of an activation by name: one from here on,")] = None
    high: Annotated[float | None, Field(description="up to here.")] = None
    classes: Annotated[list[Any] | None, Field(description="Of a head that decides between such."), Listed] = None
    predictions_encoding: Annotated[str | None, Field(description="What its numbers are, where it decides.")] = None

    def read(self, path: Path) -> Activation:
        """Its activation."""
        if self.output_activation is not None:
            return OUTPUTS[self.output_activation]
        made = within(self.low, self.high) if self.low is not None and self.high is not None else None
        if made is None or made.range.span.low >= made.range.span.high:
            raise InvalidArray([Fault(path, "choice", "a head takes an output_activation, or low and a higher high")])
        return made


class RunState(Part):
    """From where a run goes on."""

    epoch: Annotated[int, Field(ge=0)]
    optimizer: str | None
    rows: Annotated[str, Field(description="A digest of the rows.")]
    history: dict[str, ENCODED]
    arrays: dict[str, ENCODED]


class TrainedModel(Part):
    """A model to keep: send it to /v1/predict with rows, or as `resume` to go on. Without `state` it predicts all the same."""

    format: Literal["criterion.model"]
    version: Literal[1]
    model: Annotated[dict[str, Any], Field(description="Its name and parameters, as the request had them.")]
    loss: dict[str, Any]
    precision: Precision = "float64"
    inputs: Annotated[int, Field(description="Columns.", ge=1)]
    outputs: Annotated[int | None, Field(description="Numbers that it predicts per row; null: one, by itself.", ge=1)] = None
    features: Annotated[Names | None, Listed] = None
    classes: Annotated[list[Any] | None, Field(description="Names, or the numbers that targets had."), Listed] = None
    categories: Annotated[dict[str, ENCODED], Field(description="By column, what training rows had in it.", default_factory=dict)]
    scaling: Annotated[Scaling, Field(default_factory=Scaling)]
    output_activation: Annotated[OutputName | None, Field(description="null where there are heads.")] = None
    heads: Annotated[
        dict[str, OutputHead] | None,
        Field(description="Where it predicts several arrays, each by its name: their numbers stand in this order.", min_length=1),
    ] = None
    predictions_encoding: str
    leaves: Annotated[Literal["shares", "predictions"] | None, Field(description="Of trees: what leaves hold.")] = None
    range: Range
    parameters: dict[str, ENCODED]
    state: RunState | None = None

    _spec: Spec | None = PrivateAttr(default=None)

    @property
    def spec(self) -> Spec:
        """The model that it is of, once it has been read."""
        assert self._spec is not None
        return self._spec

    def read(self, path: Path) -> Trained:
        """The model; CallerError, with its place under the path, for one that no run has left."""
        try:
            return self._read()
        except CallerError as error:
            raise error.moved({MODEL: path}) from None

    def _read(self) -> Trained:
        self._spec = _spec_of(self.model)
        ends = [_array(end, (*MODEL, "range")) for end in (self.range.min, self.range.max)]
        if ends[0].shape != ends[1].shape:
            raise InvalidArray([Fault((*MODEL, "range"), "shape_mismatch", "range must have as many numbers for min as for max")])
        shape = () if self.outputs is None else (self.outputs,)
        heads, activation = self._outputs()
        known = {column: self._known(column) for column in self.categories}
        categories = {int(column): names for column, names in known.items()}
        return checked(
            Trained(
                chosen=Chosen(MODELS[self._spec.name], self._spec.given),
                loss=self.loss,
                precision=self.precision,
                inputs=self.inputs,
                outputs=shape,
                features=None if self.features is None else tuple(self.features),
                deciding=self._deciding(),
                categories=categories,
                inputs_scale=_scale(self.scaling.inputs, "inputs"),
                targets_scale=_scale(self.scaling.targets, "targets"),
                activation=activation,
                encoding=self.predictions_encoding,
                heads=heads,
                shares=self.leaves == "shares",
                range=np.stack(ends),
                parameters=_arrays(self.parameters, "parameters"),
                progress=None if self.state is None else _progress(self.state),
            )
        )

    def _outputs(self) -> tuple[Heads | None, Activation]:
        """The arrays that it predicts, where these are several, and what makes its outputs."""
        if self.heads is None:
            if self.output_activation is None:
                raise InvalidArray([Fault((*MODEL, "output_activation"), "missing", "output_activation is missing")])
            return None, OUTPUTS[self.output_activation]
        heads = Heads(
            {name: () if head.outputs is None else (head.outputs,) for name, head in self.heads.items()},
            {name: head.read((*MODEL, "heads", name)) for name, head in self.heads.items()},
        )
        if heads.width != self.outputs:
            message = f"heads have {heads.width} numbers per row together, and outputs is {self.outputs}"
            raise InvalidArray([Fault((*MODEL, "heads"), "shape_mismatch", message)])
        return heads, heads.activation

    def _deciding(self) -> Deciding | dict[str, Deciding] | None:
        """The classes between which it decides; by head, where heads do."""
        if self.heads is None:
            return None if self.classes is None else Deciding(tuple(self.classes), self.predictions_encoding)
        found = {name: head for name, head in self.heads.items() if head.classes is not None}
        return {
            name: Deciding(tuple(head.classes or ()), head.predictions_encoding or "") for name, head in found.items()
        } or None

    def _known(self, column: str) -> list[str] | list[float]:
        """The categories of a column, in their order."""
        path = (*MODEL, "categories", column)
        if not column.isdecimal():
            raise InvalidArray([Fault(path, "out_of_range", "categories stand by the index of their column")])
        known = faults.listed(self.categories[column])
        if not isinstance(known, list):
            raise InvalidArray([Fault(path, "type", "categories are lists, by the index of their column")])
        names = cast(list[Any], known)
        if not all(isinstance(name, str) for name in names):
            names = cast(list[Any], _array(self.categories[column], path).tolist())
        if names != sorted(set(names)):
            raise InvalidArray([Fault(path, "type", "categories must be different from each other, and in their order")])
        return names


class _OfModel(Part):
    """A model's name and parameters where they can be checked."""

    model: ModelSpec


def _spec_of(model: Mapping[str, Any]) -> Spec:
    document = {"model": model}
    try:
        return _OfModel.model_validate(document).model
    except ValidationError as error:
        raise from_pydantic(error, document, _OfModel).moved({MODEL: (*MODEL, "model")}) from None


def _progress(state: RunState) -> Progress:
    return Progress(
        state.epoch, state.optimizer, state.rows, _arrays(state.history, "state", "history"), _arrays(state.arrays, "state")
    )


def _arrays(given: Mapping[str, Any], *within: str) -> dict[str, Numbers]:
    return {name: _array(value, (*MODEL, *within, name)) for name, value in given.items()}


def _scale(given: Moved | None, name: str) -> Scale | None:
    if given is None:
        return None
    path = (*MODEL, "scaling", name)
    return Scale(_array(given.mean, (*path, "mean")), _array(given.deviation, (*path, "deviation")))


def _array(value: object, path: Path) -> Array:
    """Numbers of any depth, NaN where one is null."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return np.asarray(value, np.float64)
    if isinstance(value, list) and not len(cast(list[Any], value)):
        return np.empty(0)
    return faults.numbers(cast(object, value), path, gaps=True)


def document_of(trained: Trained) -> dict[str, Any]:
    """The model as JSON has it; numbers come back from there bit for bit."""
    progress = trained.progress
    return {
        "format": FORMAT,
        "version": VERSION,
        "model": {"name": trained.chosen.thing.name, **trained.chosen.all},
        "loss": trained.loss,
        "precision": trained.precision,
        "inputs": trained.inputs,
        "outputs": trained.outputs[0] if trained.outputs else None,
        "features": trained.features,
        "classes": trained.deciding.classes if isinstance(trained.deciding, Deciding) else None,
        "categories": {str(column): known for column, known in trained.categories.items()},
        "scaling": {"inputs": _moved(trained.inputs_scale), "targets": _moved(trained.targets_scale)},
        "output_activation": trained.activation.name if trained.heads is None else None,
        "heads": trained.heads and _heads(trained.heads, trained.deciding),
        "predictions_encoding": trained.encoding,
        "leaves": None if isinstance(trained.model, Network) else "shares" if trained.shares else "predictions",
        "range": {"min": trained.range[0], "max": trained.range[1]},
        "parameters": _plain(trained.parameters),
        "state": progress
        and {
            "epoch": progress.epoch,
            "optimizer": progress.optimizer,
            "rows": progress.rows,
            "history": _plain(progress.history),
            "arrays": _plain(progress.arrays),
        },
    }


def _heads(heads: Heads, deciding: Deciding | dict[str, Deciding] | None) -> dict[str, Any]:
    """Each by its name: an activation that has none has its ends."""
    known: dict[str, Any] = {}
    for (name, shape), activation in zip(heads.shapes.items(), heads.activations.values(), strict=True):
        named, ends = activation.name in OUTPUTS, activation.range.span
        known[name] = {
            "outputs": shape[0] if shape else None,
            "output_activation": activation.name if named else None,
            "low": None if named else ends.low,
            "high": None if named else ends.high,
        }
        if isinstance(deciding, dict) and name in deciding:
            known[name] |= {"classes": deciding[name].classes, "predictions_encoding": deciding[name].encoding}
    return known


def _moved(scale: Scale | None) -> dict[str, Any] | None:
    return None if scale is None else {"mean": scale.mean, "deviation": scale.deviation}


def _plain(arrays: Mapping[str, Numbers]) -> dict[str, Any]:
    """Arrays by name, without those that have no numbers in any row; infinite numbers as words."""
    return {
        name: _in_words(array.tolist()) if array.dtype.kind == "f" and np.isinf(array).any() else array
        for name, array in arrays.items()
        if array.ndim < 2 or array.shape[1]
    }


def _in_words(value: Any) -> Any:
    if isinstance(value, list):
        return [*map(cast(Callable[[Any], Any], _in_words), cast(list[Any], value))]
    return word(value) if value in (np.inf, -np.inf) else value
