"""Losses of sequences: a row of predictions is one sequence of frames, a row of targets its labels."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge
from numpy.typing import NDArray
from typing_extensions import Doc

from app.errors import Fault, InvalidParameter
from app.losses.cost import Cost
from app.losses.encodings import LOG_PROBABILITIES, LOGITS
from app.losses.inputs import Case, Choice, Encoding, Numbers, Place, Reading, Sizes, when
from app.losses.loss import BOUNDED_GRADIENT, DIFFERENTIABLE, NON_NEGATIVE, SMOOTH, Pullback, loss
from app.losses.numerics.alignments import Alignments
from app.losses.numerics.pairs import Pair, difference
from app.losses.numerics.stable import Array
from app.registry import alias


def _frames_of(encoding: Encoding) -> Encoding:
    """The encoding for sequences: one row of k classes for each of t frames."""

    def draw(rng: np.random.Generator, sizes: Sizes) -> Numbers:
        frames = sizes.k + 2
        return encoding.draw(rng, replace(sizes, n=sizes.n * frames, d=())).reshape(sizes.n, frames, sizes.k)

    return replace(encoding, axes=("n t k",), draw=draw, accepts=())


def _labels_beside(blank: int) -> Encoding:
    """Label sequences of any length up to s, padded with −1, in which the blank does not occur."""

    def read(array: Numbers, place: Place) -> Reading:
        k = place.k or 0
        if blank >= k:
            raise InvalidParameter(
                [Fault(("parameters", "blank"), "out_of_range", f"blank must be a class index from 0 to {k - 1}; got {blank}")]
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
    cost=Cost(beyond={"t": 1e5, "n·t·s": 240.0}),
)
def ctc(
    predictions: Array,
    targets: NDArray[np.int64],
    *,
    blank: Annotated[int, Ge(0), Doc("The class that stands for no label.")] = 0,
    from_logits: Annotated[bool, Doc("Whether predictions are logits, before the softmax over the classes.")] = False,
    zero_infinity: Annotated[bool, Doc("Whether a sequence that cannot be aligned has loss 0 instead of infinity.")] = False,
) -> tuple[Array, Pullback]:
    """Negative log-probability that the frames, in any alignment, spell the labels: learns from unsegmented sequences.

    Predictions have shape (n, t, k), labels (n, s) with −1 after the last one of a shorter sequence; a row of −1 alone
    is the empty sequence. Every frame counts. A sequence of fewer frames is padded with frames in which the blank has
    probability 1 (log-probability 0, every other class so low that its probability is 0, such as −1e5), which leaves
    the loss unchanged. The loss of a sequence is not divided by its number of labels, as PyTorch's "mean" does.

    The gradient is the exact derivative to each prediction, and 0 for a sequence that has no alignment. PyTorch's
    gradient to log-probabilities has a softmax added, which is right only once taken through log_softmax.
    """
    emissions, softmax, offset = _shifted(predictions) if from_logits else ((predictions, np.zeros_like(predictions)), None, 0.0)
    alignments = Alignments(emissions, targets, blank)
    total, low = alignments.total()
    possible = np.isfinite(total)
    values = (offset - total) - low
    if from_logits:  # a probability, of which rounding may leave a little more than 1
        values = np.maximum(values, 0.0)

    def pullback(weights: Array) -> Array:
        posterior = alignments.posterior()
        gradient = -posterior if softmax is None else _difference(softmax, posterior)
        weight = np.where(possible, weights, 0.0)[:, None, None]
        return np.where(weight == 0, 0.0, weight * gradient)

    return np.where(possible, values, 0.0 if zero_infinity else np.inf), pullback


def _shifted(logits: Array) -> tuple[Pair, Array, Array]:
    """Logits below the largest of their frame, exactly; their softmax; and what all frames' normalisers add to the loss.

    A frame's normaliser is the same for every alignment. Kept out of their sum, it costs no digits there.
    """
    top = logits.argmax(axis=2)[..., None]
    high, low = difference(logits, np.take_along_axis(logits, top, axis=2))
    weights = np.exp(high) * (1.0 + low)
    np.put_along_axis(weights, top, 0.0, axis=2)
    rest = weights.sum(axis=2, keepdims=True)
    np.put_along_axis(weights, top, 1.0, axis=2)
    return (high, low), weights / (1.0 + rest), np.log1p(rest[..., 0]).sum(axis=1)


def _difference(softmax: Array, posterior: Array) -> Array:
    """softmax − posterior. Those of a frame sum to 0: the likeliest class, where both may be near 1, has it from the rest."""
    difference = softmax - posterior
    top = softmax.argmax(axis=2)[..., None]
    np.put_along_axis(difference, top, 0.0, axis=2)
    np.put_along_axis(difference, top, -difference.sum(axis=2, keepdims=True), axis=2)
    return difference
