"""Losses drawn from a grammar: each is one, all of them differ, and what is refused is told."""

import numpy as np
import pytest

from app.losses import COMPOSED, check, evaluate
from app.training.grammar import FLAWS, draw, flaw_of


def drawn(seed: int, wanted: int = 12, most_nodes: int = 9) -> list[str]:
    return draw(wanted, most_nodes, np.random.default_rng(seed)).expressions


def nodes_of(text: str) -> int:
    """r, numbers, functions and operators, where the condition of a choice is part of it."""
    words = text.replace("r < 0,", "").replace("(", " ").replace(")", " ").replace(",", " ").split()
    return len(words)


@pytest.mark.parametrize("seed", range(3))
def test_what_is_drawn_is_least_at_the_target_and_rises_from_there(seed: int) -> None:
    found = drawn(seed)
    assert len(set(found)) == 12
    residuals = np.linspace(-50.0, 50.0, 401)
    for text in found:
        assert nodes_of(text) <= 9
        made = COMPOSED["expression"](value=text).loss
        losses = evaluate(check(made, {}, residuals, np.zeros(401)), outputs=("per_sample",)).per_sample
        assert np.isfinite(losses).all(), text
        slack = 1e-9 * np.ptp(losses)
        assert (np.diff(losses[200:]) >= -slack).all(), text
        assert (np.diff(losses[200::-1]) >= -slack).all(), text
        assert min(losses[0], losses[-1]) > losses[200], text


def test_the_same_seed_draws_the_same_losses() -> None:
    assert drawn(4) == drawn(4) != drawn(5)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("r", "its least value is not at the target"),
        ("square(r) / r", "it or its slope is not finite at some residual within 100"),
        ("exp(square(r))", "it or its slope is not finite at some residual within 100"),
        ("r - r + 1", "it costs the same everywhere"),
        ("maximum(r, 0)", "a large residual costs no more than none"),
        ("square(r - 1)", "its least value is not at the target"),
        ("abs(r) * (1 + exp(-square(abs(r) - 3)))", "it falls away from the target somewhere"),
        ("where(r < 0, 4, abs(r))", "it jumps at the target"),
        ("where(r < 0, where(r < -2, 1, 0), abs(r))", "it has no slope on one side"),
        ("abs(r)", None),
        ("logcosh(r)", None),
    ],
)
def test_what_is_no_loss_is_refused_with_its_reason(text: str, why: str | None) -> None:
    assert flaw_of(text)[0] == why


def test_multiples_of_a_loss_have_its_shape() -> None:
    assert flaw_of("abs(r)")[1] == flaw_of("4 * abs(r) + 1")[1] != flaw_of("square(r)")[1]


def test_every_flaw_is_told_of_by_some_draw() -> None:
    told = {refused.reason for seed in range(4) for refused in draw(27, 9, np.random.default_rng(seed)).refused}
    assert set(FLAWS) <= told
