"""What a loss tells a learner: when to use it and when not, what else to look at, and where it was described."""

import re

from app.losses import LOSSES
from app.losses.guide import guide

REFERENCE = re.compile(r"\(\d{4}\).*(doi:10\.\d{4,}/\S+|arXiv:\d{4}\.\d{4,5}|https://\S+)$")


def test_a_docstring_is_read_by_its_headings() -> None:
    read = guide("What it is.\n\nMore of it: a list.\n\nUse when: this\nholds.\nAvoid when: not.\nSee also: one, two.")
    assert read == ("What it is.\n\nMore of it: a list.", "this holds.", "not.", ("one", "two"))
    assert guide("What it is.") == ("What it is.", "", "", ())


def test_every_loss_says_when_to_use_it_and_when_not() -> None:
    advice: dict[str, str] = {}
    for loss in LOSSES.values():
        for text in (loss.guide.use_when, loss.guide.avoid_when):
            assert text.endswith("."), loss.name
            assert len(text) > 40, f"{loss.name}: {text!r} is hardly concrete"
            assert "; ." not in text
        assert advice.setdefault(loss.guide.use_when, loss.name) == loss.name, "two losses for the same"
        assert "Use when" not in loss.description
        assert loss.summary == loss.description.partition("\n")[0]


def test_what_to_look_at_besides_is_there_and_something_else() -> None:
    for loss in LOSSES.values():
        others = loss.guide.see_also
        assert set(others) <= LOSSES.keys() - {loss.name}, loss.name
        assert 0 < len(others) == len(set(others)) <= 5, loss.name


def test_every_loss_has_a_reference_that_can_be_followed() -> None:
    for loss in LOSSES.values():
        assert REFERENCE.search(loss.reference), f"{loss.name}: {loss.reference}"
