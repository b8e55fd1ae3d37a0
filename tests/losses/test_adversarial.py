"""The share of values and derivatives within 4 ULP, over the whole registry, stays where it has come to.

A short run of `adversarial.py`; its draws are the same each time, so that no share falls by chance. A loss that is new
counts from its first day: it needs no entry here.
"""

import pytest

from tests.losses.adversarial import measure, row, totals
from tests.losses.test_values import SETTINGS

SAMPLES = 20
FLOORS = {("value", False): 0.9993, ("value", True): 0.9995, ("gradient", False): 0.997, ("gradient", True): 0.997}
"""The shares reached, by kind and whether points are extreme."""


@pytest.mark.no_cover  # nearly all of it is the oracles'
def test_shares_within_4_ulp() -> None:
    tallies = totals(measure(setting, SAMPLES, seed=0) for setting in SETTINGS)
    low = {kind: tallies[kind].where for kind, floor in FLOORS.items() if tallies[kind].share < floor}
    assert not low, row("all", tallies)
    assert not any(tally.lost for tally in tallies.values()), row("not finite where the truth is", tallies)
