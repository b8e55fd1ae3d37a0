"""Losses of forecasts of several quantities at once, as ensembles: whether these belong together counts, not only each alone.

An ensemble is k vectors for each sample, drawn from what was forecast.
"""

from collections.abc import Iterator
from typing import Annotated

import numpy as np
from annotated_types import Gt, Le
from numpy.typing import NDArray
from typing_extensions import Doc

from app.domains import Interval
from app.errors import Fault, InvalidParameter
from app.libraries import EACH, equal
from app.losses.cost import Cost
from app.losses.encodings import numbers, steps
from app.losses.families.forecasting import Estimator
from app.losses.loss import BOUNDED_GRADIENT, DIFFERENTIABLE, NON_NEGATIVE, Pullback, loss
from app.losses.numerics.pairs import Pair, difference, pair_sum
from app.losses.numerics.products import PAIRS_AT_ONCE
from app.losses.numerics.stable import Array, power_of_two
from app.losses.numerics.vectors import length_of
from app.losses.numerics.wide import Wide, power, sqrt, where, wide
from app.registry import alias

VECTORS = numbers("vector_ensemble", "vectors drawn from the predicted distribution", Interval(), steps(-4, 8), axes="n k d")
OUTCOME = numbers("outcome", "one finite number for each quantity", Interval(), steps(-4, 8), axes="n d")


CANCELLED = 2.0**-40
"""What is left of numbers of 30 digits so that not all of a float's are left."""


def _blocks(rows: int, width: int) -> list[slice]:
    """Rows, so many at a time that they and what each is compared with are no more than a tile."""
    step = max(1, PAIRS_AT_ONCE // width)
    return [slice(start, min(start + step, rows)) for start in range(0, rows, step)]


def _unit(ensembles: Array, outcomes: Array) -> Array:
    """(n,): a power of two in which no difference of an ensemble's numbers overflows."""
    return 4.0 * power_of_two(np.maximum(np.abs(ensembles).max(axis=(1, 2)), np.abs(outcomes).max(axis=1)))


@loss(
    predictions=VECTORS,
    targets=OUTCOME,
    formula="∑ᵢ ‖pᵢ − y‖/k − ½·∑ᵢ ∑ⱼ ‖pᵢ − pⱼ‖/(k·c); c = k − 1 if estimator = fair, else k",
    gradient="u(pⱼ − y)/k − ∑ᵢ u(pⱼ − pᵢ)/(k·c); c = k − 1 if estimator = fair, else k",
    symbols={"k": "how many members the ensemble has", "u": "a vector over its length, 0 of a vector of zeros"},
    aliases=("es", "es_nrg", alias("es_fair", estimator="fair"), "multivariate_crps", "EnergyScore"),
    equals=(
        equal(
            "scoringrules.es_ensemble(targets, predictions, estimator=estimator)",
            reductions=EACH,
        ),
    ),
    reference="Gneiting and Raftery (2007), doi:10.1198/016214506000001437",
    properties=DIFFERENTIABLE | NON_NEGATIVE | BOUNDED_GRADIENT,
    cost=Cost(per_number=300.0, beyond={"n·k²": 60.0, "n·k²·d": 60.0}),
)
def energy_score(
    predictions: Array,
    targets: Array,
    *,
    estimator: Estimator = "nrg",
) -> tuple[Array, Pullback]:
    """How far an ensemble's vectors are from the outcome, less half of how far they are from each other.

    Of one quantity it is crps_ensemble. With estimator = fair, ensembles of different sizes can be compared; it needs two
    members.

    Use when: several quantities are forecast together by samples, as a track, a field, or demand at several places.
    Avoid when: quantities have different units, of which the largest rules; or how they depend on each other is what matters
    most, of which variogram_score sees more.
    See also: crps_ensemble, variogram_score, energy_distance.
    """
    n, k, d = predictions.shape
    fair = estimator == "fair"
    if fair and k == 1:
        message = "estimator fair needs an ensemble of two members or more: use nrg for one"
        raise InvalidParameter([Fault(("parameters", "estimator"), "out_of_range", message)])
    unit = _unit(predictions, targets)
    ensembles, y = predictions / unit[:, None, None], targets / unit[:, None]
    members, sample = ensembles.reshape(n * k, d), np.repeat(np.arange(n, dtype=np.intp), k)
    pairs = 2.0 * k * (k - 1 if fair else k)
    away, apart = (np.zeros(n * k), np.zeros(n * k)), (np.zeros(n * k), np.zeros(n * k))
    for rows in _blocks(n * k, d):
        away[0][rows], away[1][rows] = _distances(members[rows], y[sample[rows], None])[0]
    for rows in _blocks(n * k, k * d):
        apart[0][rows], apart[1][rows] = _distances(members[rows], ensembles[sample[rows]])[0]

    def total(distances: Pair) -> Wide:
        return Wide(*pair_sum((distances[0].reshape(n, k), distances[1].reshape(n, k))))

    mean = total(away) / float(k)
    scores = (mean - total(apart) / pairs).high[:, 0]
    cancelled = np.flatnonzero(scores < CANCELLED * mean.high[:, 0])
    for rows in _blocks(cancelled.size, k * k * d):
        scores[cancelled[rows]] = _excesses(ensembles[cancelled[rows]], y[cancelled[rows]], fair)
    values = unit * scores

    def pullback(weights: Array) -> Array:
        slopes = np.empty_like(members)
        for rows in _blocks(n * k, k * d):
            outward = _distances(members[rows], y[sample[rows], None])[1] / float(k)
            slopes[rows] = (outward - _distances(members[rows], ensembles[sample[rows]])[1] / (pairs / 2.0)).high
            little = (np.abs(slopes[rows]) < CANCELLED * np.abs(outward.high)).any(axis=1)
            some = np.flatnonzero(little) + rows.start
            if some.size:
                slopes[some] = _turns(ensembles[sample[some]], y[sample[some]], some % k, fair)
        weight = weights[:, None, None]
        return np.where(weight == 0, 0.0, weight * slopes.reshape(n, k, d))

    return values, pullback


def _excesses(ensembles: Array, y: Array, fair: bool) -> Array:
    """The energy scores of ensembles (a, k, d), without a difference of distances.

    What the ways of two members by the outcome are longer than the straight one is x·z·‖u + v‖²/(x + z + c), with x, z and c the
    three and u, v the directions of the first two. The score is the sum of these, and of each distance where not fair.
    """
    k = ensembles.shape[1]
    one, other = np.triu_indices(k, 1)
    lengths, directions = _away(difference(ensembles, y[:, None]))
    apart, _ = _away(difference(ensembles[:, one], ensembles[:, other]))
    both = directions[:, one] + directions[:, other]
    around = lengths[:, one] + lengths[:, other] + apart
    product = lengths[:, one] * lengths[:, other] * (both * both).sum()[..., 0]
    excess = (product / where(around.high > 0, around, 1.0)).high.sum(axis=1)
    return excess / (k * (k - 1.0)) if fair else (excess + lengths.high.sum(axis=1)) / (k * k)


def _turns(ensembles: Array, y: Array, index: NDArray[np.intp], fair: bool) -> Array:
    """The slopes (a, d) of one member of each ensemble, without a difference of directions.

    Of its direction u from the outcome and that from another member at b beside the outcome, u less the second is
    (v + r·u)/c, with x and c the two distances, v = b − t·u across u, t = b·u and r = c − x + t = ‖v‖²/(c + x − t).
    """
    k, member = ensembles.shape[1], ensembles[np.arange(len(index)), index]
    length, direction = _away(difference(member[:, None], y[:, None]))
    beside = Wide(*difference(ensembles, y[:, None]))
    apart, _ = _away(difference(member[:, None], ensembles))
    apart = apart[..., None]
    some = apart.high > 0
    along, x = (beside * direction).sum(), length[..., None]
    across = beside - direction * along
    largest: NDArray[np.bool_] = np.arange(y.shape[1], dtype=np.intp) == np.abs(direction.high).argmax(axis=2)[..., None]
    lever = where(largest & (direction.high != 0), direction, 0.0).sum()
    rest = where(largest, 0.0, across)
    there = where(lever.high != 0, -(direction * rest).sum() / where(lever.high != 0, lever, 1.0), beside)
    across = where(largest, there, across)  # from the others, since it lies across: there t·u would leave nothing of b
    ahead = along.high > 0.5 * x.high
    fall = (across * across).sum() / where(ahead | ~some, 1.0, apart + x - along)
    turned = where(some, (across + direction * where(ahead, apart - x + along, fall)) / where(some, apart, 1.0), direction)
    own: NDArray[np.bool_] = np.arange(k, dtype=np.intp) == index[:, None]
    turned = where(own[..., None], 0.0 if fair else direction, turned)
    total = Wide(turned.high.transpose(0, 2, 1), turned.low.transpose(0, 2, 1)).sum()[..., 0]
    return (total / float(k * (k - 1) if fair else k * k)).high


def _away(x: Pair) -> tuple[Wide, Wide]:
    """How long vectors (a, m, d) are, and where they lead."""
    shape = x[0].shape
    length = length_of((x[0].reshape(-1, shape[2]), x[1].reshape(-1, shape[2])), 2.0)
    return Wide(*(part.reshape(shape[:2]) for part in length.value)), Wide(*(part.reshape(shape) for part in length.slope))


def _distances(some: Array, others: Array) -> tuple[Pair, Wide]:
    """Of each vector (a, d) from its others (a, m, d): the sum of the distances, and that of the directions."""
    high, low = difference(some[:, None], others)
    lengths, directions = _away((high, low))
    total = pair_sum(lengths.pair)
    return (total[0][:, 0], total[1][:, 0]), Wide(*(part.transpose(0, 2, 1) for part in directions.pair)).sum()[..., 0]


@loss(
    predictions=VECTORS,
    targets=OUTCOME,
    formula="∑ᵢ ∑ⱼ (|yᵢ − yⱼ|^q − v(i, j))²",
    gradient="4q/k·∑ⱼ (v(i, j) − |yᵢ − yⱼ|^q)·sign(pᵢ − pⱼ)·|pᵢ − pⱼ|^(q − 1)",
    symbols={
        "i": "counts the quantities",
        "j": "counts the quantities",
        "k": "how many members the ensemble has",
        "p": "a member of the ensemble",
        "q": "the order of the variogram, p",
        "v": "the mean, over the members, of what two of their quantities differ by, to that power",
    },
    aliases=("vs", "vs_nrg", "VariogramScore"),
    equals=(
        equal(
            "scoringrules.vs_ensemble(targets, predictions, p=p)",
            reductions=EACH,
        ),
    ),
    reference="Scheuerer and Hamill (2015), doi:10.1175/MWR-D-14-00269.1",
    properties=DIFFERENTIABLE | NON_NEGATIVE,
    cost=Cost(per_number=100.0, beyond={"n·k·d²": 250.0}),
)
def variogram_score(
    predictions: Array,
    targets: Array,
    *,
    p: Annotated[float, Gt(0), Le(2), Doc("Order of the variogram: the power of differences.")] = 0.5,
) -> tuple[Array, Pullback]:
    """How far quantities differ from each other in an ensemble, beside how far they did: a loss of their dependence.

    Every two quantities count, in both orders. What is added to all of them changes nothing. Where two of a member are equal,
    its slope there is 0.

    Use when: it matters that a forecast's quantities vary together as they do, as of neighbouring places or hours.
    Avoid when: their level is to be right too: a forecast that is off by the same everywhere costs nothing here.
    See also: energy_score, crps_ensemble.
    """
    n, k, d = predictions.shape
    unit = _unit(predictions, targets)
    members, y = predictions / unit[:, None, None], targets / unit[:, None]
    quantities = members.transpose(0, 2, 1).reshape(n * d, k)
    sample, own = np.divmod(np.arange(n * d, dtype=np.intp), d)

    def tile(rows: slice, others: slice) -> tuple[Wide, Array]:
        """What some quantities are above others, member by member (a, b, k), and what is missing of their variogram (a, b)."""
        beside = members[sample[rows], :, others].transpose(0, 2, 1)
        apart = wide(quantities[rows, None]) - beside
        true = _power(wide(y[sample[rows], own[rows]][:, None]) - y[sample[rows], others], p)
        return apart, ((_power(apart, p).sum() / float(k))[..., 0] - true).high

    def tiles() -> Iterator[tuple[slice, slice]]:
        for rows in _blocks(n * d, k):
            for others in _blocks(d, k * (rows.stop - rows.start)):
                yield rows, others

    squares = np.zeros(n * d)
    for rows, others in tiles():
        squares[rows] += np.square(tile(rows, others)[1]).sum(axis=1)
    scale = power(wide(unit), p).high
    total = squares.reshape(n, d).sum(axis=1)

    def pullback(weights: Array) -> Array:
        slopes = np.zeros((n * d, k))
        for rows, others in tiles():
            apart, missing = tile(rows, others)
            size = np.abs(apart.high)
            steep = np.where(size > 0, p * np.power(np.where(size > 0, size, 1.0), p - 1.0), 0.0)
            slopes[rows] += (missing[..., None] * np.sign(apart.high) * steep).sum(axis=1)
        turned = (4.0 / k) * slopes.reshape(n, d, k).transpose(0, 2, 1)
        weight = weights[:, None, None]
        return np.where((weight == 0) | (turned == 0), 0.0, weight * turned * (scale * (scale / unit))[:, None, None])

    return np.where(total == 0, 0.0, total * scale * scale), pullback


def _power(x: Wide, exponent: float) -> Wide:
    """|x| to a power."""
    if exponent == 0.5:
        return sqrt(abs(x))
    return abs(x) if exponent == 1.0 else x * x if exponent == 2.0 else power(abs(x), exponent)
