"""The share of values and derivatives within 4 ULP, over the whole registry, stays where it has come to.

A short run of `adversarial.py`; its draws are the same each time, so that no share falls by chance. A loss that is new
counts from its first day: it needs no entry here.
"""

from tests.losses.adversarial import measure, row, totals
from tests.losses.test_values import SETTINGS

SAMPLES = 20
FLOORS = {("value", False): 0.9985, ("value", True): 0.999, ("gradient", False): 0.995, ("gradient", True): 0.994}
"""The shares reached, by kind and whether points are extreme."""

EXPECTED = ("categorical_focal", "generalized_cross_entropy", "multi_margin")
"""Losses whose soft labels are an expectation over hard ones: it adds up rounded gradients, which cancel. They need kernels of
shares, as the cross-entropy has one; until then they are held to what they have come to themselves."""
EXPECTED_FLOORS = {("value", False): 0.998, ("value", True): 0.998, ("gradient", False): 0.95, ("gradient", True): 0.965}


def test_shares_within_4_ulp() -> None:
    for expected, floors in ((False, FLOORS), (True, EXPECTED_FLOORS)):
        settings = [setting for setting in SETTINGS if (setting.name in EXPECTED) is expected]
        tallies = totals(measure(setting, SAMPLES, seed=0) for setting in settings)
        low = {kind: tallies[kind].at for kind, floor in floors.items() if tallies[kind].share < floor}
        assert not low, row("all", tallies)
        assert not any(tally.lost for tally in tallies.values()), row("not finite where the truth is", tallies)
