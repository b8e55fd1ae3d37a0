"""The share of values and derivatives within 4 ULP, over the whole registry, stays where it has come to.

A short run of `adversarial.py`; its draws are the same each time, so that no share falls by chance. A loss that is new
counts from its first day.
"""

import pytest

from app.losses import LOSSES
from tests.losses.adversarial import measure, row, totals
from tests.losses.test_values import SETTINGS

SAMPLES = 20
TOGETHER = 0.996
"""The share of all numbers of all losses."""
FLOORS = {("value", False): 0.9993, ("value", True): 0.9995, ("gradient", False): 0.9975, ("gradient", True): 0.997}
"""The shares reached without those below, by kind and whether points are extreme."""
BELOW = {
    "approx_ndcg": 0.96,
    "barlow_twins": 0.95,
    "barron_nll": 0.88,
    "batch_all_triplet": 0.95,
    "confidence_penalty": 0.95,
    "cosent": 0.975,
    "ctc": 0.979,
    "deephit_rank": 0.975,
    "energy_distance": 0.94,
    "gaussian_mixture_nll": 0.979,
    "lambda_loss": 0.975,
    "listmle": 0.962,
    "p_listmle": 0.975,
    "sinkhorn": 0.46,
    "unique_softmax": 0.975,
    "vicreg": 0.965,
    "von_mises_nll": 0.89,
}
"""Losses that are not there yet, with the least of their own shares on any of the processors tried, whose products of matrices
differ in their last digits. Why, and what it would cost, is in docs/decisions/digits.md. One that is mended leaves this list; a
new one that needs it is a loss to mend."""


@pytest.mark.thorough
@pytest.mark.no_cover  # nearly all of it is the oracles'
def test_shares_within_4_ulp() -> None:
    measured = {
        name: totals(measure(setting, SAMPLES, seed=0) for setting in SETTINGS if setting.name == name) for name in LOSSES
    }
    assert not {name: share for name, share in BELOW.items() if min(tally.share for tally in measured[name].values()) < share}
    every = [tally for found in measured.values() for tally in found.values()]
    assert sum(tally.right for tally in every) >= TOGETHER * sum(tally.numbers for tally in every)
    tallies = totals(found for name, found in measured.items() if name not in BELOW)
    low = {kind: tallies[kind].where for kind, floor in FLOORS.items() if tallies[kind].share < floor}
    assert not low, row("all", tallies)
    assert not any(tally.lost for tally in tallies.values()), row("not finite where the truth is", tallies)
