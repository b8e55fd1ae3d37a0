"""Losses of sequences: a row of predictions is one sequence of frames, a row of targets its labels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, TypeAlias

import numpy as np
from annotated_types import Ge
from numpy.typing import NDArray
from typing_extensions import Doc

from app.domains import Interval
from app.errors import Fault, InvalidArray, InvalidParameter
from app.libraries import EACH, equal
from app.losses.cost import Cost
from app.losses.encodings import LOG_PROBABILITIES, LOGITS, PADDED_INDEX, SHARES, numbers, steps
from app.losses.inputs import Case, Choice, Encoding, Numbers, Place, Reading, Sizes, when
from app.losses.loss import BOUNDED_GRADIENT, DIFFERENTIABLE, NON_NEGATIVE, SMOOTH, Pullback, loss
from app.losses.numerics.alignments import Alignments
from app.losses.numerics.lattices import Lattice, Steps
from app.losses.numerics.limits import NEAR
from app.losses.numerics.pairs import Pair, difference, pair
from app.losses.numerics.rows import log_softmax_pair
from app.losses.numerics.stable import Array
from app.losses.numerics.wide import Wide, softmax_parts, where
from app.losses.parameters import PER_SAMPLE
from app.registry import alias

Lengths: TypeAlias = Sequence[int] | None
ROWS = 2**15
"""Numbers of rows of classes that are looked at at a time."""


def _beyond(name: str, lengths: Sequence[int], array: Numbers, place: Place) -> NDArray[np.bool_]:
    """(n, t): what of each row (n, t, ...) is after its end; InvalidParameter where a length is more than there is."""
    longest, given = array.shape[1], np.array(lengths, np.int64)
    over = np.flatnonzero(given > longest)
    if over.size:
        message = f"{name}[{over[0]}] must be at most {longest}, the length of {place.name}; got {given[over[0]]}"
        raise InvalidParameter([Fault(("parameters", name, int(over[0])), "out_of_range", message)])
    return _after(given if place.kept is None else given[place.kept], longest)


def _after(lengths: NDArray[np.int64], longest: int) -> NDArray[np.bool_]:
    """(n, longest): whether each place of a row is after the end."""
    places: NDArray[np.int64] = np.arange(longest, dtype=np.int64)
    return places >= lengths[:, None]


def _up_to(encoding: Encoding, lengths: Sequence[int]) -> Encoding:
    """The same frames, of which those after the end of their sequence are not looked at: they say nothing of any class."""

    def read(array: Numbers, place: Place) -> Reading:
        beyond = _beyond("input_lengths", lengths, array, place)
        beyond = beyond.reshape(*beyond.shape, *(1,) * (array.ndim - 2))
        return encoding.read(np.where(beyond, array.dtype.type(-np.log(array.shape[-1])), array), place)

    return replace(encoding, read=read)


@dataclass(frozen=True)
class _Frames(Choice):
    """Frames, to be read up to the loss's own `input_lengths`."""

    def decide(self, parameters: Mapping[str, Any], rank: int) -> Encoding:
        encoding, lengths = super().decide(parameters, rank), parameters["input_lengths"]
        return encoding if lengths is None else _up_to(encoding, lengths)


def _frames_of(encoding: Encoding) -> Encoding:
    """The encoding for sequences: one row of k classes for each of t frames."""

    def draw(rng: "np.random.Generator", sizes: Sizes) -> Numbers:
        frames = sizes.k + 2
        return encoding.draw(rng, replace(sizes, n=sizes.n * frames, d=())).reshape(sizes.n, frames, sizes.k)

    return replace(encoding, axes=("n t k",), draw=draw, accepts=())


def _labels_beside(blank: int, lengths: Lengths = None) -> Encoding:
    """Label sequences of any length up to s, padded with −1 or by what they are long, in which the blank does not occur."""

    def read(array: Numbers, place: Place) -> Reading:
        k, least = place.k or 0, np.float64(-1.0)
        if lengths is not None:
            beyond = _beyond("target_lengths", lengths, array, place)
            array, least = np.where(beyond, -1.0, array), np.where(beyond, -1.0, 0.0)
        if blank >= k:
            raise InvalidParameter(
                [Fault(("parameters", "blank"), "out_of_range", f"blank must be a class index from 0 to {k - 1}; got {blank}")]
            )
        fits = (array >= least) & (array < k) & (array != blank) & (np.floor(array) == array)
        if not fits.all():
            padding = ", or −1 for padding" if lengths is None else " up to its target length"
            place.refuse_numbers(~fits, array, f"a label from 0 to {k - 1} other than the blank {blank}{padding}", "label")
        late = np.logical_or.accumulate(array == -1, axis=1) & (array != -1)
        if late.any():
            place.refuse_numbers(late, array, "−1, as a −1 stands before it (padding is at the end)", "padding")
        return Reading(array.astype(np.int64), "label_sequence")

    def draw(rng: "np.random.Generator", sizes: Sizes) -> Numbers:
        drawn = (blank + 1.0 + rng.integers(0, sizes.k - 1, (sizes.n, 2))) % sizes.k
        drawn[-1, -1] = -1.0
        return drawn

    meaning = "the labels of a sequence, each a class index other than the blank, padded with −1 at the end"
    return Encoding("label_sequence", meaning, ("n s",), read, draw, domain=PADDED_INDEX)


@dataclass(frozen=True)
class _Labels(Choice):
    """Label sequences, to be checked against the loss's own `blank` and `target_lengths`."""

    def decide(self, parameters: Mapping[str, Any], rank: int) -> Encoding:
        return _labels_beside(parameters["blank"], parameters["target_lengths"])


LABELS = _Labels((Case("", lambda _, __: True, _labels_beside(0)),))


FRAMES = _Frames(when("from_logits", True, _frames_of(LOGITS), _frames_of(LOG_PROBABILITIES)).cases)


def _factors(targets: NDArray[np.int64], *, divide_by_length: bool, **_: object) -> Array | None:
    """One over the number of labels of each sequence, where the mean divides by it."""
    return 1.0 / np.maximum((targets >= 0).sum(axis=1), 1) if divide_by_length else None


@loss(
    predictions=FRAMES,
    targets=LABELS,
    formula="−ln ∑ₐ ∏ₜ p(t, aₜ); p(t, j) = softmax(x) if from_logits",
    gradient="p(t, j) − γ(t, j) if from_logits, else −γ(t, j)",
    symbols={
        "a": "an alignment: a class for each frame, that reads as the labels once repeats are merged and blanks dropped",
        "t": "a frame",
        "j": "a class",
        "p": "the probability of a class at a frame",
        "γ": "the probability, given the labels, that the frame stands for the class",
    },
    aliases=(
        alias("CTCLoss", divide_by_length=True, unless="from_logits"),
        "ctc_loss",  # PyTorch's takes log-probabilities only
        alias("F.ctc_loss", divide_by_length=True, unless="from_logits"),
        alias("CTC", from_logits=True),
        "connectionist_temporal_classification",
    ),
    equals=(
        equal(
            "torch.nn.CTCLoss(blank=blank, zero_infinity=zero_infinity, reduction=reduction)(predictions.transpose(0, 1), "
            "targets, input_lengths, target_lengths)",
            divide_by_length=True,
            differs_at=("gradient",),
            caveat="PyTorch's gradient is that to logits of which these are the logarithm of the softmax.",
        ),
        equal(
            "torch.nn.CTCLoss(blank=blank, zero_infinity=zero_infinity, reduction=reduction)"
            "(predictions.log_softmax(2).transpose(0, 1), targets, input_lengths, target_lengths)",
            from_logits=True,
            divide_by_length=True,
        ),
        equal(
            "keras.losses.CTC(reduction=reduction)(keras.ops.maximum(targets, 0), predictions)",
            from_logits=True,
            differs_at=("gradient at saturated",),
            caveat="Keras computes it in single precision.",
        ),
        equal(
            "optax.losses.ctc_loss(predictions, 0 * predictions[:, :, 0], targets, 1.0 * (targets < 0), blank_id=blank)",
            reductions=EACH,
            from_logits=True,
        ),
    ),
    reference="Graves et al. (2006), doi:10.1145/1143844.1143891",
    properties=DIFFERENTIABLE | SMOOTH | NON_NEGATIVE | BOUNDED_GRADIENT,
    factors=_factors,
    cost=Cost(beyond={"t": 1e5, "n·t·s": 240.0}),
)
def ctc(
    predictions: Array,
    targets: NDArray[np.int64],
    *,
    blank: Annotated[int, Ge(0), Doc("The class that stands for no label.")] = 0,
    from_logits: Annotated[bool, Doc("Whether predictions are logits, before the softmax over the classes.")] = False,
    zero_infinity: Annotated[bool, Doc("Whether a sequence that cannot be aligned has loss 0 instead of infinity.")] = False,
    input_lengths: Annotated[
        list[Annotated[int, Ge(0)]] | None, PER_SAMPLE, Doc("Frames of each sequence, later ones are padding; null: all frames.")
    ] = None,
    target_lengths: Annotated[
        list[Annotated[int, Ge(0)]] | None,
        PER_SAMPLE,
        Doc("Labels of each sequence, later ones are padding; null: those up to the first −1."),
    ] = None,
    divide_by_length: Annotated[
        bool, Doc("Whether reduction `mean`, and no other output, has each loss divided by its number of labels (or by 1).")
    ] = False,
) -> tuple[Array, Pullback]:
    """Negative log-probability that the frames, in any alignment, spell the labels: learns from unsegmented sequences.

    Predictions have shape (n, t, k), labels (n, s) with −1 after the last one of a shorter sequence; a row of −1 alone
    is the empty sequence. Where sequences differ in length, `input_lengths` and `target_lengths` say how many frames and
    labels each has, and what stands beyond is not looked at. PyTorch's "mean" divides each loss by its number of labels
    first (`divide_by_length`); Keras and others take the plain mean.

    The gradient is the exact derivative to each prediction, and 0 for a sequence that has no alignment. PyTorch's
    gradient to log-probabilities has a softmax added, which is right only once taken through log_softmax.

    Use when: a sequence of labels is known, as the text of a recording, but not where in the frames each one is.
    Avoid when: labels depend on one another, which it ignores; or a sequence has more labels than frames, which no alignment
    can spell.
    See also: categorical_cross_entropy.
    """
    emissions, softmax, normaliser = _shifted(predictions) if from_logits else (pair(predictions), None, np.zeros((1, 1)))
    beyond = None if input_lengths is None else _after(np.asarray(input_lengths, np.int64), predictions.shape[1])
    if beyond is not None:
        emissions, normaliser = _ended(emissions, beyond, blank), np.where(beyond, 0.0, normaliser)
    alignments = Alignments(emissions, targets, blank)
    total, low = alignments.total()
    possible = total > -NEAR / 2.0  # alignments through classes that cannot be are none
    values = (normaliser.sum(axis=1) - total) - low
    if from_logits:  # a probability, of which rounding may leave a little more than 1
        values = np.maximum(values, 0.0)

    def pullback(weights: Array) -> Array:
        posterior = alignments.posterior()
        gradient = -posterior if softmax is None else _difference(softmax, posterior)
        weight = np.where(possible, weights, 0.0)[:, None, None]
        weight = weight if beyond is None else np.where(beyond[..., None], 0.0, weight)
        return np.where(weight == 0, 0.0, weight * gradient)

    return np.where(possible, values, 0.0 if zero_infinity else np.inf), pullback


def _shifted(logits: Array) -> tuple[Pair, Array, Array]:
    """Logits below the largest of their frame, exactly; their softmax; and what each frame's normaliser adds to the loss (n, t).

    A frame's normaliser is the same for every alignment. Kept out of their sum, it costs no digits there.
    """
    top = logits.argmax(axis=2)[..., None]
    high, low = difference(logits, np.take_along_axis(logits, top, axis=2))
    weights = np.exp(high) * (1.0 + low)
    np.put_along_axis(weights, top, 0.0, axis=2)
    rest = weights.sum(axis=2, keepdims=True)
    np.put_along_axis(weights, top, 1.0, axis=2)
    return (high, low), weights / (1.0 + rest), np.log1p(rest[..., 0])


def _ended(emissions: Pair, beyond: NDArray[np.bool_], blank: int) -> Pair:
    """The same emissions, with nothing but blanks in the frames beyond the end: that leaves every alignment what it was."""
    high = np.where(beyond[..., None], -np.inf, emissions[0])
    high[..., blank] = np.where(beyond, 0.0, high[..., blank])
    return high, np.where(beyond[..., None], 0.0, emissions[1])


def _difference(softmax: Array, posterior: Array) -> Array:
    """softmax − posterior. Those of a frame sum to 0: the likeliest class, where both may be near 1, has it from the rest."""
    difference = softmax - posterior
    top = softmax.argmax(axis=2)[..., None]
    np.put_along_axis(difference, top, 0.0, axis=2)
    np.put_along_axis(difference, top, -difference.sum(axis=2, keepdims=True), axis=2)
    return difference


# --- transducers ----------------------------------------------------------------------------------------------------------


def _draw_joined(rng: "np.random.Generator", sizes: Sizes) -> Numbers:
    """As many nodes along the labels as LABELS draws, and one."""
    return FINITE.draw(rng, replace(sizes, n=sizes.n * (sizes.k + 2) * 3)).reshape(sizes.n, sizes.k + 2, 3, sizes.k)


FINITE = numbers(
    "joined",
    "one logit for each class at each frame, after each number of labels, within ±1e100: u is one more than there are labels",
    Interval(-1e100, 1e100),
    steps(-3, 3),
    axes="n k",
    link=SHARES,
)
JOINED = replace(FINITE, axes=("n t u k",), draw=_draw_joined)
LENGTH_OF_INPUT: TypeAlias = Annotated[
    list[Annotated[int, Ge(1)]] | None, PER_SAMPLE, Doc("Frames of each sequence, later ones are padding; null: all frames.")
]


@loss(
    predictions=_Frames((Case("", lambda _, __: True, JOINED),)),
    targets=LABELS,
    formula="−ln ∑ₐ ∏ₗ p(t(l), u(l), aₗ); p(t, u, j) = softmax(x)",
    gradient="p(t, u, j)·∑ₗ γ(t, u, l) − γ(t, u, j)",
    symbols={
        "a": "a way: labels in their order, and a blank for each frame, the last one at its end",
        "l": "a step of it",
        "t": "a frame: how many blanks stand before the step",
        "u": "how many labels stand before the step",
        "j": "a class",
        "p": "the probability of a class at a frame after so many labels",
        "γ": "the probability, given the labels, that this step is taken there",
    },
    aliases=("RNNTLoss", "rnnt_loss", "rnnt", "transducer", "RNNT"),
    reference="Graves (2012), arXiv:1211.3711",
    properties=DIFFERENTIABLE | SMOOTH | NON_NEGATIVE | BOUNDED_GRADIENT,
    cost=Cost(per_number=200.0, beyond={"t": 1e5, "n·t·u": 3000.0}),
)
def rnn_t(
    predictions: Array,
    targets: NDArray[np.int64],
    *,
    blank: Annotated[int, Ge(0), Doc("The class that stands for the next frame.")] = 0,
    input_lengths: LENGTH_OF_INPUT = None,
    target_lengths: Annotated[
        list[Annotated[int, Ge(0)]] | None,
        PER_SAMPLE,
        Doc("Labels of each sequence, later ones are padding; null: those up to the first −1."),
    ] = None,
) -> tuple[Array, Pullback]:
    """Negative log-probability that a transducer says the labels, at whatever frames: as ctc, and each label knows the others.

    Predictions have shape (n, t, s + 1, k), labels (n, s) with −1 after the last one of a shorter sequence. At a frame after so
    many labels a class is either the next label or the blank, which leads to the next frame. Log-probabilities may be sent as
    well: the softmax leaves them as they are.

    Use when: labels are said while frames still come, as in streaming recognition of speech, and depend on those before.
    Avoid when: sequences are long: there are logits for each frame, each label and each class (ctc needs none for labels).
    See also: ctc, sequence_cross_entropy.
    """
    n, t, u, k = predictions.shape
    if u != targets.shape[1] + 1:
        message = f"predictions have u = {u}, and targets {targets.shape[1]} labels: u is one more than there are labels"
        raise InvalidArray([Fault(("predictions",), "shape_mismatch", message)])
    labels = (targets >= 0).sum(axis=1)
    frames = np.full(n, t) if input_lengths is None else np.asarray(input_lengths, np.int64)
    spoken = np.concatenate((np.maximum(targets, 0), np.zeros((n, 1), np.int64)), axis=1)  # beyond the labels, anything
    rows, classes = predictions.reshape(-1, k), np.broadcast_to(spoken[:, None], (n, t, u)).reshape(-1)
    step = max(1, ROWS // k)
    chances = [np.empty((2, len(rows))) for _ in range(2)]
    for start in range(0, len(rows), step):
        some = slice(start, start + step)
        logarithms = log_softmax_pair(rows[some])
        for chance, which in zip(chances, (np.full_like(classes[some], blank), classes[some]), strict=True):
            for part, given in zip(chance, logarithms, strict=True):
                part[some] = np.take_along_axis(given, which[:, None], axis=1)[:, 0]
    forward, up = (Wide(chance[0].reshape(n, t, u), chance[1].reshape(n, t, u)) for chance in chances)
    lattice = Lattice(Steps(forward, up), frames, labels)

    def pullback(weights: Array) -> Array:
        gradient = np.empty_like(rows)
        for sample in range(n):
            taken = [Wide(share.high.reshape(-1), share.low.reshape(-1)) for share in lattice.shares(sample)]
            for start in range(0, t * u, step):
                some = slice(start, min(start + step, t * u))
                place = slice(sample * t * u + some.start, sample * t * u + some.stop)
                number = np.arange(some.stop - some.start, dtype=np.int64)
                chance = softmax_parts(rows[place])
                pull = chance.p.high * (taken[0] + taken[1]).high[some, None]
                steps, same = [share[some] for share in taken], classes[place] == blank
                for (one, two), which in ((steps, blank), (steps[::-1], classes[place])):
                    own, other = where(same, one + two, one), where(same, 0.0, two)
                    # p·(own + other) − own
                    pull[number, which] = (chance.p[number, which] * other - chance.rest[number, which] * own).high
                gradient[place] = pull
        weight = weights[:, None, None, None]
        return np.where(weight == 0, 0.0, weight * gradient.reshape(predictions.shape))

    return np.maximum(-lattice.total.high, 0.0), pullback
