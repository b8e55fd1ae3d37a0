"""Losses on embeddings as what a model is trained on: it has an output of some width, and labels say which rows belong together.

A loss of triplets or pairs takes each row with one of its label and one of another, drawn from the rows of the step by the row's
own number, so that the same rows are put together the same way; one of identities takes all rows of the step at once. Losses of
more rows, as of those to validate with, are the mean over blocks as large as a step: many such losses grow with their rows.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple, NoReturn, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from app.errors import Fault, InvalidArray, InvalidParameter
from app.losses.encodings import EMBEDDING, GROUP
from app.losses.form import Bound
from app.losses.inputs import Numbers, Raw, inputs_of
from app.losses.loss import Pullback, Returned
from app.losses.numerics.means import ARITHMETIC
from app.losses.numerics.stable import Array
from app.training.activations import UNIT_LENGTH, Activation
from app.training.drawn import PAIR, measures, partners, told_apart
from app.training.heads import computed_by
from app.training.objective import Labels, Objective
from app.training.weights import classes_in

WIDTH = 8
"""Numbers of an embedding where nobody says how many."""
USUAL_STEP = 32


class Drawing(NamedTuple):
    """How rows are put together."""

    width: int | None = None
    """Numbers of an embedding; None: WIDTH."""
    step: int = USUAL_STEP
    """Rows of a step."""
    seed: int = 0


USUAL = Drawing()


class _Drawn(NamedTuple):
    """The losses of some rows of a block."""

    rows: NDArray[np.intp]
    values: Array
    """(m,) what their mean is of."""
    pull: Pullback
    """From weights of these (m,) to the derivative to all embeddings of the block (n, d)."""


OfBlock: TypeAlias = Callable[[Array, Array, Array], _Drawn]
"""(embeddings (n, d), labels (n,), draw (n,)) -> the losses of these rows."""


def agree_on_embeddings(
    bound: Bound, targets: Raw, classes: Sequence[str] | None, output: Activation | None, drawing: Drawing
) -> tuple[Objective, Labels]:
    """The objective that a loss on embeddings is beside labels (n,); InvalidInput for targets that are none."""
    loss, parameters = bound.loss, bound.parameters
    if parameters.get("ignore_index") is not None:
        _refuse("a label is what rows are drawn by: leave ignore_index out, and the rows too")
    if loss.mean_of(parameters) is not ARITHMETIC:
        _refuse(f"the mean of {loss.name} is none of samples")
    activation, width = output or UNIT_LENGTH, drawing.width or WIDTH
    of_block = _of_block(bound)

    def function(predictions: Array, given: Numbers, draw: Array) -> Returned:
        return _in_blocks(of_block, predictions.reshape(len(given), -1), given, draw, drawing.step)

    def read(targets: Raw, classes: Sequence[str] | None) -> Labels:
        labels = _labels(targets, classes)
        return Labels(labels, draw=np.random.default_rng([drawing.seed, 7]).random(len(labels)))

    labels = read(targets, classes)
    objective = Objective(
        replace(computed_by(loss, function), inputs=inputs_of(EMBEDDING, GROUP), counts=None, factors=None),
        parameters,
        (width,),
        activation,
        EMBEDDING.name,
        GROUP.name,
        sum=function,
        reads=read,
    )
    return objective, labels


def _refuse(message: str) -> NoReturn:
    raise InvalidParameter([Fault(("parameters",), "not_trainable", message)])


def _labels(targets: Raw, classes: Sequence[str] | None) -> Array:
    """(n,) labels as numbers; InvalidArray where they are none."""
    if not isinstance(targets, np.ndarray) and classes is not None:
        strange = next((place for place, name in enumerate(targets) if name not in classes), None)
        if strange is not None:
            _refuse_label((strange,), f"targets[{strange}] must be one of the classes {', '.join(classes)}")
    found = classes_in(targets, classes, labels=True)
    if found is None:
        _refuse_label((), "targets must be a label for each row, a whole number or a name: rows are put together by them")
    return found.of.astype(np.float64)


def _refuse_label(path: tuple[int, ...], message: str) -> NoReturn:
    raise InvalidArray([Fault(("targets", *path), "label", message)])


# --- the losses of a block ------------------------------------------------------------------------------------------------


def _of_block(bound: Bound) -> OfBlock:
    """The losses of the rows of a step, as many of them as have somebody to be put beside."""
    roles, wanted = len(bound.loss.sides["predictions"]), bound.loss.sides["targets"]
    if measures(bound.loss):
        return _of_pairs(_of_distances(bound), (1.0, 0.0))
    if roles > PAIR:
        return _of_triplets(bound)
    if wanted["targets"].encoding is GROUP:
        return _of_identities(bound) if roles < PAIR else _of_mates(bound)
    return _of_pairs(bound.kernel, (1.0, -1.0))


def _of_triplets(bound: Bound) -> OfBlock:
    def of_block(embeddings: Array, labels: Array, draw: Array) -> _Drawn:
        found = partners(labels, draw)
        values, slopes, *_ = bound.kernel(*(embeddings[places] for places in found))

        def pull(weights: Array) -> Array:
            return _onto(embeddings, found, cast(tuple[Array, ...], slopes), weights)

        return _Drawn(found.rows, values, pull)

    return of_block


def _of_pairs(kernel: Callable[..., Returned], marks: tuple[float, float]) -> OfBlock:
    """A row's loss is the mean of a pair that is alike and one that is not, which the marks tell apart."""

    def of_block(embeddings: Array, labels: Array, draw: Array) -> _Drawn:
        found = partners(labels, draw)
        m = len(found.rows)
        first, second = np.concatenate([found.rows, found.rows]), np.concatenate([found.alike, found.unlike])
        values, slopes, *_ = kernel(embeddings[first], embeddings[second], np.repeat(marks, m))

        def pull(weights: Array) -> Array:
            return _onto(embeddings, (first, second), cast(tuple[Array, ...], slopes), np.tile(0.5 * weights, 2))

        return _Drawn(found.rows, values.reshape(2, m).mean(axis=0), pull)

    return of_block


def _of_distances(bound: Bound) -> Callable[..., Returned]:
    """A loss on distances as one on the embeddings that are as far apart; of two that meet the gradient is 0."""

    def kernel(first: Array, second: Array, alike: Array) -> Returned:
        apart = first - second
        distances = np.sqrt((apart * apart).sum(axis=1))
        values, slope, *_ = bound.kernel(distances, alike)
        pulls = (cast(Array, slope) / np.where(distances > 0.0, distances, 1.0))[:, None] * apart
        return values, (pulls, -pulls)

    return kernel


def _of_mates(bound: Bound) -> OfBlock:
    """Each row and one of its label, beside those of all others."""

    def of_block(embeddings: Array, labels: Array, draw: Array) -> _Drawn:
        found = partners(labels, draw)
        places = found.rows, found.alike
        values, slopes, *_ = bound.kernel(*(embeddings[place] for place in places), labels[found.rows].astype(np.int64))
        pulls = cast(Callable[[Array], tuple[Array, ...]], slopes)

        def pull(weights: Array) -> Array:
            return _onto(embeddings, places, pulls(weights), None)

        return _Drawn(found.rows, values, pull)

    return of_block


def _of_identities(bound: Bound) -> OfBlock:
    """All rows at once, weighed as the loss itself weighs them in its mean."""

    def of_block(embeddings: Array, labels: Array, draw: Array) -> _Drawn:
        identities = labels.astype(np.int64)
        values, slopes, *_ = bound.kernel(embeddings, identities)
        counts, factors = _weights(bound.counts, identities), _weights(bound.factors, identities)
        rows = np.flatnonzero(counts)
        share = np.where(counts > 0, factors, 0.0) * (len(rows) / max(float(counts.sum()), 1.0))
        pull = cast(Pullback, slopes)

        def pulled(weights: Array) -> Array:
            whole = np.zeros(len(labels))
            whole[rows] = weights
            return pull(whole * share)

        return _Drawn(rows, (values * share)[rows], pulled)

    return of_block


def _weights(weighing: Callable[[NDArray[np.int64]], Array | None] | None, identities: NDArray[np.int64]) -> Array:
    found = None if weighing is None else weighing(identities)
    return np.ones(len(identities)) if found is None else found


def _onto(embeddings: Array, places: Sequence[NDArray[np.intp]], slopes: Sequence[Array], weights: Array | None) -> Array:
    """(n, d) the sum of the slopes of drawn rows, each times its weight, where these rows stand."""
    whole = np.zeros(embeddings.shape)
    for place, slope in zip(places, slopes, strict=True):
        np.add.at(whole, place, slope if weights is None else weights[:, None] * slope)
    return whole


def _in_blocks(of_block: OfBlock, embeddings: Array, labels: Array, draw: Array, step: int) -> Returned:
    """(n,) losses whose mean is that of the blocks' own, each counting as many rows as it has; 0 for rows without partners."""
    n = len(labels)
    blocks = np.array_split(np.argsort(draw, kind="stable"), -(-n // step)) if n > step else [np.arange(n)]
    values, pulls = np.zeros(n), list[tuple[NDArray[np.intp], NDArray[np.intp], float, Pullback]]()
    for block in blocks:
        if told_apart(labels[block]):
            found = of_block(embeddings[block], labels[block], draw[block])
            share = len(block) / len(found.rows)
            values[block[found.rows]] = share * found.values
            pulls.append((block, found.rows, share, found.pull))

    def pullback(weights: Array) -> Array:
        slope = np.zeros(embeddings.shape)
        for block, rows, share, pull in pulls:
            slope[block] = pull(share * weights[block[rows]])
        return slope

    return values, pullback
