"""Alignments of long sequences: as an independent writing has them, and whatever is held of them at once."""

from typing import Any

import mpmath
import numpy as np
import pytest

from app.losses import LOSSES, Batch, Evaluation, check, evaluate
from app.losses.numerics import alignments
from tests.losses.drawing import Array

LENGTHS = (0, 1, 9, 15, 24, 30, 4)
"""Labels of each sequence; no 30 labels with repetitions fit in 30 frames."""


def batch(from_logits: bool = True) -> Batch:
    rng = np.random.default_rng(11)
    scores = rng.normal(scale=2.0, size=(len(LENGTHS), 30, 4))
    targets = rng.integers(1, 4, (len(LENGTHS), 40)).astype(float)
    targets[4] = np.arange(40) % 3 + 1  # without repetitions: 24 labels leave little choice
    targets[np.arange(40) >= np.array(LENGTHS)[:, None]] = -1.0
    if not from_logits:
        scores = scores - np.log(np.exp(scores).sum(axis=2, keepdims=True))
    return check(LOSSES["ctc"], {"from_logits": from_logits}, scores, targets)


def same(one: Evaluation, other: Evaluation) -> bool:
    pairs = ((one.value, other.value), (one.per_sample, other.per_sample), (one.gradient, other.gradient))
    return all(np.array_equal(np.asarray(a, float), np.asarray(b, float), equal_nan=True) for a, b in pairs)


def exact_loss(logits: Array, labels: list[int]) -> Any:
    """Graves' recursion over probabilities in many digits."""
    with mpmath.workdps(40):
        states = [0, *(state for label in labels for state in (label, 0))]
        ways = [mpmath.mpf(1 if index < 2 else 0) for index in range(len(states))]
        for frame in logits:
            weights = [mpmath.exp(mpmath.mpf(float(x))) for x in frame]
            here = [way * weights[state] / mpmath.fsum(weights) for way, state in zip(ways, states, strict=True)]
            skip = [index > 1 and state not in (0, states[index - 2]) for index, state in enumerate(states)]
            last, ways = (
                here,
                [
                    here[index] + (here[index - 1] if index else 0) + (here[index - 2] if skip[index] else 0)
                    for index in range(len(states))
                ],
            )
        return -mpmath.log(mpmath.fsum(last[-2:]))


def test_long_sequences_are_the_sum_over_their_alignments() -> None:
    given = batch()
    scores, labels = (np.asarray(array[:]) for array in given.arrays)
    found = evaluate(given, reduction="none").per_sample
    assert found is not None
    for row, length in enumerate(LENGTHS):
        if length == 30:
            assert np.isposinf(found[row])
        else:
            exact = exact_loss(scores[row], labels[row, :length].tolist())
            assert found[row] == pytest.approx(float(exact), rel=4e-16)


@pytest.mark.parametrize("from_logits", [True, False])
@pytest.mark.parametrize("held", [1, 400, 3000])
def test_what_is_held_at_once_changes_no_bit(held: int, from_logits: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    given = batch(from_logits)
    whole = evaluate(given)
    monkeypatch.setattr(alignments, "ROWS_HELD", held)
    assert same(evaluate(given), whole)


def test_a_sequence_does_not_depend_on_those_beside_it() -> None:
    given = batch()
    together = evaluate(given, reduction="none")
    assert same(evaluate(given, reduction="none", block_bytes=1), together)


def test_gradient_of_long_sequences_is_their_derivative() -> None:
    given = batch()
    scores, targets = (np.asarray(array[:], float) for array in given.arrays)
    direction = np.random.default_rng(3).normal(size=scores.shape)

    def losses(step: float) -> Array:
        moved = check(LOSSES["ctc"], {"from_logits": True, "zero_infinity": True}, scores + step * direction, targets)
        return np.asarray(evaluate(moved, reduction="none", outputs=("per_sample",)).per_sample)

    step = 1e-4
    numeric = (8 * (losses(step) - losses(-step)) - (losses(2 * step) - losses(-2 * step))) / (12 * step)
    gradient = np.asarray(evaluate(given, reduction="none").gradient)
    np.testing.assert_allclose((gradient * direction).sum(axis=(1, 2)), numeric, rtol=1e-9, atol=1e-9)


def test_gradient_is_computed_only_where_it_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    given = batch()
    whole = evaluate(given)
    monkeypatch.delattr(alignments.Alignments, "posterior")
    assert evaluate(given, outputs=("value",)).value == whole.value
    with pytest.raises(AttributeError):
        evaluate(given)
