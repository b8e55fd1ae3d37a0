"""A model to keep: what a run has learned as a value, which predicts by itself and from which a run can go on."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from app.errors import Fault, InvalidArray, Path
from app.losses import LOSSES
from app.losses.inputs import Numbers
from app.losses.numerics.stable import Array
from app.training.activations import Activation
from app.training.decisions import ClassNames, Deciding, decided, probabilities
from app.training.forest import encoded, in_single_precision, mean_of
from app.training.network import Network, Pass, Precision, predict, with_ones
from app.training.side_by_side import Heads
from app.training.tables import Scale, scaled
from app.training.trees import FRACTIONS, NODES, WORD, Boosted, Categories, Trees, largest_input, summed

if TYPE_CHECKING:
    from app.training.run import Chosen

MODEL: Path = ("model",)
"""Where whoever is asked for predictions has the model."""
WORDS_OF_MEMBERS = 8
"""Of 32 bits each, for 256 categories."""


class Progress(NamedTuple):
    """From where a run goes on."""

    epoch: int
    optimizer: str | None
    rows: str
    """Which rows it was of: their digest."""
    history: Mapping[str, Array]
    """(epochs,) by what was measured."""
    arrays: Mapping[str, Numbers]
    """All else that a state has, but for what follows from the trees."""


class Decided(NamedTuple):
    """What an output that decides between classes says of rows."""

    classes: ClassNames
    probabilities: Array | None
    """(n, k) of each class; None where predictions are scores."""
    places: NDArray[np.intp]
    """(n,) those of the decided classes."""


class Prediction(NamedTuple):
    """What a model says of rows."""

    predictions: Array
    """(n, *outputs), in the targets' own units; several arrays side by side."""
    decided: Decided | dict[str, Decided] | None
    """Between classes, where it decides: by head, where heads do."""


@dataclass(frozen=True)
class Trained:
    """A model with all that its predictions need."""

    chosen: "Chosen"
    """A Model, with its parameters."""
    loss: Mapping[str, Any]
    """The loss by name, with its parameters."""
    precision: Precision
    inputs: int
    outputs: tuple[int, ...]
    """The shape of one row's prediction: () or (k,)."""
    features: tuple[str, ...] | None
    deciding: Deciding | dict[str, Deciding] | None
    """The classes between which it decides, where it does; by head, where heads do."""
    categories: Mapping[int, Sequence[str] | Sequence[float]]
    """By column, what training rows had in it."""
    inputs_scale: Scale | None
    targets_scale: Scale | None
    activation: Activation
    """Of the outputs."""
    encoding: str
    """What predictions are."""
    heads: Heads | None
    """Where the outputs are several arrays: which are whose."""
    shares: bool
    """Whether leaves have the shares of classes, of which predictions are made."""
    range: Array
    """(2, d) the least and the largest number of each column; NaN where there is none."""
    parameters: Mapping[str, Numbers]
    """Weights and biases by name, or the trees' nodes."""
    progress: Progress | None

    @cached_property
    def model(self) -> Network | Trees:
        return self.chosen.thing(self.inputs, self.outputs[0] if self.outputs else 1, self.activation, **self.chosen.all)

    @cached_property
    def places(self) -> Categories:
        """Categories as inputs have them: numbers, or for words their places."""
        return Categories({column: _numbers(known) for column, known in self.categories.items()})

    @property
    def words(self) -> Mapping[int, Sequence[str]]:
        """The words of the columns that have any, in their order."""
        return {column: [*map(str, known)] for column, known in self.categories.items() if known and isinstance(known[0], str)}

    def check_rows(self, inputs: Numbers) -> None:
        """InvalidArray for rows of another number of columns."""
        if inputs.ndim != 2 or not inputs.size or inputs.shape[1] != self.inputs:
            message = f"inputs must have shape (n, {self.inputs}), as the model was trained on; got {inputs.shape}"
            raise InvalidArray([Fault(("inputs",), "shape_mismatch", message)])

    def predict(self, inputs: Numbers) -> Prediction:
        """What it says of rows (n, d): the same numbers as in its run, where the rows are the same.

        Words are their places; NaN is a missing number, which trees alone take. InvalidArray for another number of columns, and
        for numbers that are too large.
        """
        self.check_rows(inputs)
        rows = scaled(inputs, self.inputs_scale, ("inputs",), largest_input(self.model), gaps=isinstance(self.model, Trees))
        with np.errstate(all="ignore"):
            shown, shares = self._predict(rows)
            shown = shown.reshape(-1, *self.outputs)
            predictions = shown if self.targets_scale is None else self.targets_scale.restored(shown)
            if self.deciding is None:
                return Prediction(predictions, None)
            if not isinstance(self.deciding, dict):
                return Prediction(predictions, _decided(self.deciding, shown, shares))
            assert self.heads is not None
            apart = self.heads.apart(shown)
            return Prediction(predictions, {name: _decided(found, apart[name]) for name, found in self.deciding.items()})

    def _predict(self, rows: Array) -> tuple[Array, Array | None]:
        """What the outputs are (n, k), and the shares of classes of which they are made."""
        if isinstance(self.model, Network):
            return self._passed(rows, self.model), None
        state = tree_state(self.parameters)
        if isinstance(self.model, Boosted):
            return self.activation.of(summed(self.places.read(rows), onto_constant=True)(state)), None
        mean = mean_of(state, summed(in_single_precision(rows), onto_constant=False)(state))
        return (encoded(mean, self.encoding), mean) if self.shares else (mean, None)

    def _passed(self, rows: Array, network: Network) -> Array:
        weights = vector_of(network, self.parameters).astype(self.precision)
        gradient = np.zeros(network.size, self.precision)
        return predict(with_ones(rows, self.precision), lambda n: Pass(network, weights, gradient, n))


def _decided(found: Deciding, shown: Array, shares: Array | None = None) -> Decided:
    if shares is None:
        shares = probabilities(shown, found.encoding)
    elif shares.shape[1] == 1:
        shares = np.hstack([1.0 - shares, shares])
    return Decided(found.classes, shares, decided(shown, shares))


def _numbers(known: Sequence[str] | Sequence[float]) -> Array:
    return np.array([place if isinstance(name, str) else name for place, name in enumerate(known)], np.float64)


def vector_of(network: Network, parameters: Mapping[str, Numbers]) -> Array:
    """(P,) of weights and biases by name."""
    vector = np.zeros(network.size)
    for name, part in network.named(vector).items():
        part[...] = parameters[name]
    return vector


def tree_state(parameters: Mapping[str, Numbers]) -> dict[str, Numbers]:
    """What a state holds of trees, of their nodes."""
    ends = np.append(parameters["first_nodes"], len(parameters["left"]))
    return {f"tree.{name}": parameters[name] for name in NODES} | {"trees": ends, "constant": parameters["constant"]}


# --- what was sent as a model ---------------------------------------------------------------------------------------------


def checked(trained: Trained) -> Trained:
    """The model; InvalidArray where no run has left it: other shapes than its own, numbers that are none, endless trees."""
    columns = (trained.inputs,)
    _check_encoding(trained)
    _check_scale(trained.inputs_scale, columns, "inputs")
    _check_scale(trained.targets_scale, trained.outputs, "targets")
    if trained.range.shape != (2, *columns):
        refuse(("range",), "shape_mismatch", f"range must have {trained.inputs} numbers for min and for max, one for each column")
    if trained.features is not None and len(trained.features) != trained.inputs:
        refuse(("features",), "length", f"features has {len(trained.features)} names, and the model {trained.inputs} columns")
    _check_deciding(trained)
    for column in trained.categories:
        if not 0 <= column < trained.inputs:
            refuse(("categories", str(column)), "out_of_range", f"there are {trained.inputs} columns, counted from 0")
    if isinstance(trained.model, Network):
        shapes = {name: part.shape for name, part in trained.model.named(np.zeros(trained.model.size)).items()}
        _check_arrays(trained.parameters, shapes)
        return trained
    return replace(trained, parameters=checked_trees(trained.parameters, trained.model, sorts=bool(trained.categories)))


def _check_deciding(trained: Trained) -> None:
    """There are as many classes as are decided between."""
    if trained.deciding is None:
        return
    if not isinstance(trained.deciding, dict):
        _check_classes(trained.deciding, trained.outputs, ())
        return
    shapes = {} if trained.heads is None else dict(trained.heads.shapes)
    for head, found in trained.deciding.items():
        _check_classes(found, shapes[head], ("heads", head))


def _check_classes(found: Deciding, outputs: tuple[int, ...], where: Path) -> None:
    k = max(2, *outputs, 0)
    if len(found.classes) != k:
        refuse((*where, "classes"), "length", f"classes has {len(found.classes)} names, and the model decides between {k}")
    if found.encoding not in _encodings():
        known = ", ".join(sorted(_encodings()))
        message = f"predictions_encoding must be one of {known}; got {found.encoding[:80]!r}"
        refuse((*where, "predictions_encoding"), "choice", message)


def _check_encoding(trained: Trained) -> None:
    """Predictions are what some loss takes; of several arrays each is, after its name."""
    told = trained.encoding.split(", ") if trained.heads else [trained.encoding]
    unknown = [word for word in told if word.rpartition(": ")[2] not in _encodings()]
    if unknown:
        known = ", ".join(sorted(_encodings()))
        refuse(("predictions_encoding",), "choice", f"predictions_encoding must be one of {known}; got {unknown[0][:80]!r}")


@cache
def _encodings() -> frozenset[str]:
    """What predictions of any loss may be."""
    sides = (loss.sides["predictions"].values() for loss in LOSSES.values())
    return frozenset(encoding.name for inputs in sides for input_ in inputs for _, encoding in input_.cases)


def _check_scale(scale: Scale | None, shape: tuple[int, ...], name: str) -> None:
    if scale is None:
        return
    for part, numbers in zip(("mean", "deviation"), scale, strict=True):
        if np.shape(numbers) != shape:
            refuse(("scaling", name, part), "shape_mismatch", f"{part} must have shape {shape}; got {np.shape(numbers)}")
        if not np.isfinite(numbers).all() or (part == "deviation" and not (numbers > 0).all()):
            rule = "finite and above 0" if part == "deviation" else "finite"
            refuse(("scaling", name, part), "out_of_range", f"{part} must be {rule}")


def _check_arrays(arrays: Mapping[str, Numbers], shapes: Mapping[str, tuple[int, ...]]) -> None:
    for name, shape in shapes.items():
        path = ("parameters", name)
        if name not in arrays:
            refuse(path, "missing", f"parameters must have {', '.join(shapes)}; {name} is missing")
        if arrays[name].shape != shape:
            refuse(path, "shape_mismatch", f"{name} must have shape {shape}, as the model says; got {arrays[name].shape}")
        _check_finite(arrays[name], path)
    strangers = [name for name in arrays if name not in shapes]
    if strangers:
        refuse(("parameters", strangers[0]), "unexpected", f"parameters are {', '.join(shapes)}; there is no {strangers[0][:80]}")


def _check_finite(numbers: Numbers, path: Path) -> None:
    bad = np.argwhere(~np.isfinite(numbers))
    if bad.size:
        index = bad[0].tolist()
        refuse((*path, *index), "not_finite", f"{path[-1]}[{', '.join(map(str, index))}] must be finite")


def checked_trees(arrays: Mapping[str, Numbers], trees: Trees, *, sorts: bool) -> dict[str, Numbers]:
    """The nodes, what counts or points as whole numbers; refused where a row would not come to a leaf. `sorts`: by categories."""
    k, nodes = trees.outputs, len(arrays.get("left", ()))
    widths = {"members": (WORDS_OF_MEMBERS if sorts else 0,), "value": (1 if isinstance(trees, Boosted) else k,)}
    starts = arrays.get("first_nodes", np.zeros(0))
    shapes = {name: (nodes, *widths.get(name, ())) for name in NODES}
    empty = {name: np.zeros(shape) for name, shape in shapes.items() if not math.prod(shape)}  # which JSON says by []
    arrays = {**arrays, **{name: array for name, array in empty.items() if not arrays.get(name, array).size}}
    _check_arrays(arrays, {"constant": (k,), "first_nodes": (starts.size,), **shapes})
    whole = {"first_nodes", *NODES}.difference(FRACTIONS)
    for name in whole:
        if (arrays[name] != np.floor(arrays[name])).any() or (np.abs(arrays[name]) > 2**WORD).any():
            refuse(("parameters", name), "type", f"{name} must be whole numbers of {WORD} bits")
    arrays = {name: array.astype(np.int64) if name in whole else array for name, array in arrays.items()}
    starts = arrays["first_nodes"]
    sizes = np.diff(np.append(starts, nodes))
    if (starts[:1] != 0).any() or (sizes < 1).any() or bool(nodes) != bool(starts.size):
        refuse(("parameters", "first_nodes"), "out_of_range", "first_nodes must rise from 0, each tree with one node at least")
    if starts.size % trees.per_epoch:
        refuse(("parameters", "first_nodes"), "length", f"there must be {trees.per_epoch} trees for each epoch")
    within, size = np.arange(nodes) - np.repeat(starts, sizes), np.repeat(sizes, sizes)
    inner = arrays["left"] >= 0
    rules = {
        "left": inner & ~((arrays["left"] > within) & (arrays["left"] < size)),
        "right": inner & ~((arrays["right"] > within) & (arrays["right"] < size)),
        "feature": inner & ~((arrays["feature"] >= 0) & (arrays["feature"] < trees.inputs)),
        "members": ((arrays["members"] < 0) | (arrays["members"] >= 2**WORD)).any(axis=1),
    }
    says = {
        "left": "a node within its tree and behind its parent: this tree does not end",
        "right": "a node within its tree and behind its parent: this tree does not end",
        "feature": f"a column, from 0 to {trees.inputs - 1}",
        "members": f"words of {WORD} bits",
    }
    for name, bad in rules.items():
        if bad.any():
            node = int(np.flatnonzero(bad)[0])
            refuse(("parameters", name, node), "out_of_range", f"{name}[{node}] must be {says[name]}")
    return arrays


def refuse(path: Path, code: str, message: str) -> NoReturn:
    raise InvalidArray([Fault((*MODEL, *path), code, message)])
