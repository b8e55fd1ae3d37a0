"""Losses of sequences: a row of predictions is one sequence of frames, a row of targets its labels."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge
from numpy.typing import NDArray
from typing_extensions import Doc

from app.errors import Fault, InvalidParameter
from app.losses.encodings import LOG_PROBABILITIES, LOGITS
from app.losses.inputs import Case, Choice, Encoding, Numbers, Place, Reading, Sizes, when
from app.losses.loss import BOUNDED_GRADIENT, DIFFERENTIABLE, NON_NEGATIVE, SMOOTH, loss
from app.losses.numerics.pairs import Pair, renormalised, two_sum
from app.losses.numerics.stable import Array
from app.registry import alias


def _frames_of(encoding: Encoding) -> Encoding:
    """The encoding for sequences: one row of k classes for each of t frames."""

    def draw(rng: np.random.Generator, sizes: Sizes) -> Numbers:
        frames = sizes.k + 2
        return encoding.draw(rng, replace(sizes, n=sizes.n * frames)).reshape(sizes.n, frames, sizes.k)

    return replace(encoding, axes=("n t k",), draw=draw, accepts=())


def _labels_beside(blank: int) -> Encoding:
    """Label sequences of any length up to s, padded with −1, in which the blank does not occur."""

    def read(array: Numbers, place: Place) -> Reading:
        k = place.k or 0
        if blank >= k:
            raise InvalidParameter(
                [Fault("/loss/blank", "out_of_range", f"blank must be a class index from 0 to {k - 1}; got {blank}")]
            )
        fits = (array >= -1) & (array < k) & (array != blank) & (np.floor(array) == array)
        if not fits.all():
            place.refuse_numbers(
                ~fits, array, f"a label from 0 to {k - 1} other than the blank {blank}, or −1 for padding", "label"
            )
        late = np.logical_or.accumulate(array == -1, axis=1) & (array != -1)
        if late.any():
            place.refuse_numbers(late, array, "−1, as a −1 stands before it (padding is at the end)", "padding")
        return Reading(array.astype(np.int64), "label_sequence")

    def draw(rng: np.random.Generator, sizes: Sizes) -> Numbers:
        drawn = (blank + 1.0 + rng.integers(0, sizes.k - 1, (sizes.n, 2))) % sizes.k
        drawn[-1, -1] = -1.0
        return drawn

    meaning = "the labels of a sequence, each a class index other than the blank, padded with −1 at the end"
    return Encoding("label_sequence", meaning, ("n s",), read, draw)


@dataclass(frozen=True)
class _Labels(Choice):
    """Label sequences, to be checked against the loss's own `blank`."""

    def decide(self, parameters: Mapping[str, Any], rank: int) -> Encoding:
        return _labels_beside(parameters["blank"])


LABELS = _Labels((Case("", lambda _, __: True, _labels_beside(0)),))


@loss(
    predictions=when("from_logits", True, _frames_of(LOGITS), _frames_of(LOG_PROBABILITIES)),
    targets=LABELS,
    formula="−ln ∑ₐ ∏ₜ p(t, aₜ) over all alignments a that read as the labels once repeats are merged and blanks dropped",
    aliases=("CTCLoss", "ctc_loss", alias("CTC", from_logits=True), "connectionist_temporal_classification"),
    equals=(
        "torch.nn.CTCLoss(blank, reduction='none', zero_infinity=zero_infinity)",
        "keras.losses.CTC() with from_logits",
        "optax.losses.ctc_loss(blank_id=blank) with from_logits",
    ),
    reference="Graves et al. (2006), doi:10.1145/1143844.1143891",
    properties=DIFFERENTIABLE | SMOOTH | NON_NEGATIVE | BOUNDED_GRADIENT,
)
def ctc(
    predictions: Array,
    targets: NDArray[np.int64],
    *,
    blank: Annotated[int, Ge(0), Doc("The class that stands for no label.")] = 0,
    from_logits: Annotated[bool, Doc("Whether predictions are logits, before the softmax over the classes.")] = False,
    zero_infinity: Annotated[bool, Doc("Whether a sequence that cannot be aligned has loss 0 instead of infinity.")] = False,
) -> tuple[Array, Array]:
    """Negative log-probability that the frames, in any alignment, spell the labels: learns from unsegmented sequences.

    Predictions have shape (n, t, k), labels (n, s) with −1 after the last one of a shorter sequence; a row of −1 alone
    is the empty sequence. Every frame counts. A sequence of fewer frames is padded with frames in which the blank has
    probability 1 (log-probability 0, every other class so low that its probability is 0, such as −1e5), which leaves
    the loss unchanged. The loss of a sequence is not divided by its number of labels, as PyTorch's "mean" does.

    The gradient is the exact derivative to each prediction, and 0 for a sequence that has no alignment. PyTorch's
    gradient to log-probabilities has a softmax added, which is right only once taken through log_softmax.
    """
    emissions, softmax, offset = _shifted(predictions) if from_logits else ((predictions, np.zeros_like(predictions)), None, 0.0)
    states, skips, ends = _automaton(targets, blank)
    index = np.broadcast_to(states[:, None, :], (*predictions.shape[:2], states.shape[1]))
    emitted = np.take_along_axis(emissions[0], index, axis=2), np.take_along_axis(emissions[1], index, axis=2)
    joint = _joint(emitted, skips, ends)
    # in the first frame an alignment is in one of two states, so their sum is the sum over all alignments
    total = _log_add((joint[0][:, 0, 0], joint[1][:, 0, 0]), (joint[0][:, 0, 1], joint[1][:, 0, 1]))
    possible = np.isfinite(total[0])
    posterior = _posterior(joint, index, predictions.shape)
    gradient = -posterior if softmax is None else _difference(softmax, posterior)
    values = (offset - total[0]) - total[1]
    if from_logits:  # a probability, of which rounding may leave a little more than 1
        values = np.maximum(values, 0.0)
    values = np.where(possible, values, 0.0 if zero_infinity else np.inf)
    return values, np.where(possible[:, None, None], gradient, 0.0)


def _shifted(logits: Array) -> tuple[Pair, Array, Array]:
    """Logits below the largest of their frame, exactly; their softmax; and what all frames' normalisers add to the loss.

    A frame's normaliser is the same for every alignment. Kept out of their sum, it costs no digits there.
    """
    top = logits.argmax(axis=2)[..., None]
    high, low = _plus((logits, np.zeros_like(logits)), -np.take_along_axis(logits, top, axis=2))
    weights = np.exp(high) * (1.0 + low)
    np.put_along_axis(weights, top, 0.0, axis=2)
    rest = weights.sum(axis=2, keepdims=True)
    np.put_along_axis(weights, top, 1.0, axis=2)
    return (high, low), weights / (1.0 + rest), np.log1p(rest[..., 0]).sum(axis=1)


def _automaton(targets: NDArray[np.int64], blank: int) -> tuple[NDArray[np.int64], NDArray[np.bool_], Array]:
    """Blank, label, blank, ..., blank: the class of each state, which may be entered past a blank, and log 1 at the last two.

    A blank may be passed over between two labels unless they are equal, which would merge.
    """
    n, s = targets.shape
    states = np.full((n, 2 * s + 1), blank)
    states[:, 1::2] = np.where(targets < 0, blank, targets)
    skips = np.zeros(states.shape, dtype=np.bool_)
    skips[:, 3::2] = targets[:, 1:] != targets[:, :-1]
    last = 2 * (targets >= 0).sum(axis=1, keepdims=True)
    before = last - np.arange(2 * s + 1, dtype=np.int64)
    return states, skips, np.where((before == 0) | (before == 1), 0.0, -np.inf)


def _joint(emitted: Pair, skips: NDArray[np.bool_], ends: Array) -> Pair:
    """The log-probability of all alignments through each state (n, t, l): what leads there, the frame's own, what follows.

    What follows is what leads there when frames and states are read backwards: both are one sweep over twice the rows.
    """
    begins = np.full(ends.shape, -np.inf)
    begins[:, :2] = 0.0
    backwards = np.zeros_like(skips)
    backwards[:, 2:] = skips[:, :1:-1]
    both = np.concatenate([emitted[0], emitted[0][:, ::-1, ::-1]]), np.concatenate([emitted[1], emitted[1][:, ::-1, ::-1]])
    high, low = _sweep(both, np.concatenate([skips, backwards]), np.concatenate([begins, ends[:, ::-1]]))
    n = ends.shape[0]
    led = _plus((high[:n], low[:n]), *emitted)
    return _plus(led, high[n:, ::-1, ::-1], low[n:, ::-1, ::-1])


def _sweep(emitted: Pair, skips: NDArray[np.bool_], begins: Array) -> Pair:
    """The log-probability of all ways into each state (n, t, l), before the frame's own."""
    n, frames, length = emitted[0].shape
    into_high, into_low = np.empty((n, frames, length)), np.zeros((n, frames, length))
    into_high[:, 0] = begins
    # two states that nothing reaches stand before the first
    high, low = np.full((n, length + 2), -np.inf), np.zeros((n, length + 2))
    for t in range(frames - 1):
        high[:, 2:], low[:, 2:] = _plus((into_high[:, t], into_low[:, t]), emitted[0][:, t], emitted[1][:, t])
        skipped = np.where(skips, high[:, :-2], -np.inf)
        moved = _log_add((high[:, 2:], low[:, 2:]), (high[:, 1:-1], low[:, 1:-1]))
        into_high[:, t + 1], into_low[:, t + 1] = _log_add(moved, (skipped, low[:, :-2]))
    return into_high, into_low


def _posterior(joint: Pair, index: NDArray[np.int64], shape: tuple[int, ...]) -> Array:
    """The probability of each class in each frame among the alignments (n, t, k), summed over the states of the class.

    Every alignment is in one state of each frame, so a frame's states add up to the same total. Taken from them, it
    cannot be far off them, however large the logarithms are.
    """
    largest = joint[0] == joint[0].max(axis=2, keepdims=True)  # of huge logarithms the low parts tell which is the largest
    top = np.where(largest, joint[1], -np.inf).argmax(axis=2)[..., None]
    high, low = _plus(joint, -np.take_along_axis(joint[0], top, axis=2), -np.take_along_axis(joint[1], top, axis=2))
    share = np.exp(high) * np.exp(np.clip(low, -1.0, 1.0))  # low is only beyond 1 where the exponential of high is 0
    whole = share.sum(axis=2, keepdims=True)
    share = np.divide(share, whole, out=np.zeros_like(share), where=whole > 0)  # 0 where every sum is below the least number
    n, frames, k = shape
    flat = np.arange(n * frames).reshape(n, frames, 1) * k + index
    counted = np.bincount(flat.ravel(), weights=share.ravel(), minlength=n * frames * k)
    return counted.astype(np.float64, copy=False).reshape(shape)


def _difference(softmax: Array, posterior: Array) -> Array:
    """softmax − posterior. Those of a frame sum to 0: the likeliest class, where both may be near 1, has it from the rest."""
    difference = softmax - posterior
    top = softmax.argmax(axis=2)[..., None]
    np.put_along_axis(difference, top, 0.0, axis=2)
    np.put_along_axis(difference, top, -difference.sum(axis=2, keepdims=True), axis=2)
    return difference


def _plus(a: Pair, high: Array, low: Array | float = 0.0) -> Pair:
    """a + (high, low), with −∞ for what is −∞ or too low to be a number."""
    total, error = two_sum(a[0], high)
    total, rest = renormalised(total, error + (a[1] + low))
    sound = np.isfinite(total) & np.isfinite(rest)
    return np.where(sound, total, -np.inf), np.where(sound, rest, 0.0)


def _log_add(a: Pair, b: Pair) -> Pair:
    """log(eᵃ + eᵇ) as the greater plus log1p of a small number, kept unrounded: a long sweep adds no error to large sums."""
    first = (a[0] > b[0]) | ((a[0] == b[0]) & (a[1] >= b[1]))
    high, low = np.where(first, a[0], b[0]), np.where(first, a[1], b[1])
    below = (np.where(first, b[0], a[0]) - np.maximum(high, -np.finfo(np.float64).max)) + (np.where(first, b[1], a[1]) - low)
    return _plus((high, low), np.log1p(np.exp(below)))
