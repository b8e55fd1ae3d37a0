"""Schedules against the factors that the libraries they are named after give (recorded in trajectories.json)."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typing_extensions import Doc

from app.registry import registry
from app.training import schedules
from app.training.schedules import Schedule, cosine, one_cycle, reduce_on_plateau, warm_up

SCHEDULES = registry("schedule", Schedule, schedules)
Entry = dict[str, Any]
RECORDED: list[Entry] = [
    entry for entry in json.loads((Path(__file__).parent / "trajectories.json").read_text()) if "schedule" in entry
]


def factors(schedule: Schedule, epochs: int, losses: list[float] | None = None, **parameters: Any) -> list[float]:
    known = losses or [1.0] * epochs
    return [schedule(epoch, epochs, known[:epoch], **parameters) for epoch in range(epochs)]


def test_every_schedule_has_recordings_and_every_parameter_one_in_which_it_is_not_the_default() -> None:
    assert {entry["schedule"] for entry in RECORDED} == set(SCHEDULES)
    for name, schedule in SCHEDULES.items():
        entries = [entry["parameters"] for entry in RECORDED if entry["schedule"] == name]
        tried = {key for parameters in entries for key, value in parameters.items() if value != schedule.defaults[key]}
        assert tried == set(schedule.parameters)


@pytest.mark.parametrize("entry", RECORDED, ids=[entry["source"] for entry in RECORDED])
def test_factors_are_the_recorded_ones(entry: Entry) -> None:
    given = factors(SCHEDULES[entry["schedule"]], entry["epochs"], entry.get("losses"), **entry["parameters"])
    np.testing.assert_allclose(given, entry["factors"], rtol=entry.get("tolerance", 1e-13), atol=0)


@pytest.mark.parametrize("library", ["torch", "keras", "optax"])
def test_what_equals_claims_of_a_library_was_recorded_from_it(library: str) -> None:
    claimed = {name for name, schedule in SCHEDULES.items() if any(same.library.name == library for same in schedule.equals)}
    assert claimed == {entry["schedule"] for entry in RECORDED if entry["source"].startswith(library)}


@pytest.mark.parametrize("entry", RECORDED, ids=[entry["source"] for entry in RECORDED])
def test_a_factor_is_a_float_between_0_and_1_however_short_the_run(entry: Entry) -> None:
    for epochs in (1, 2, 3, 4, 5, 10, 30):
        for factor in factors(SCHEDULES[entry["schedule"]], epochs, **entry["parameters"]):
            assert type(factor) is float
            assert 0.0 <= factor <= 1.0


@pytest.mark.parametrize("pct_start", [0.0, 0.1, 0.25, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("epochs", [1, 2, 4, 10, 20])
def test_one_cycle_divides_by_nothing(epochs: int, pct_start: float) -> None:
    """PyTorch raises ZeroDivisionError where the peak is the first epoch: 0.1 of 10 epochs, 0.5 of 2, all of 1."""
    given = factors(one_cycle, epochs, pct_start=pct_start)
    peak = pct_start * epochs - 1.0
    if peak >= 0 and peak == int(peak):
        assert given[int(peak)] == 1.0
    assert all(np.diff(given[: max(int(peak), 0) + 1]) > 0)
    assert all(np.diff(given[max(int(np.ceil(peak)), 0) :]) < 0)


def test_cosine_falls_and_warm_up_goes_over_into_it() -> None:
    assert all(np.diff(factors(cosine, 50)) < 0)
    both = factors(warm_up, 50, epochs_up=10, then="cosine", minimum=0.1)
    assert both[10:] == factors(cosine, 40, minimum=0.1)
    assert both[10] == 1.0


def test_plateau_takes_an_array_of_losses_and_leaves_it() -> None:
    losses = np.array([1.0, 0.5, 0.5, 0.5, 0.5, 0.2, 0.3])
    kept = losses.copy()
    assert reduce_on_plateau(7, 10, losses, patience=1) == reduce_on_plateau(7, 10, losses.tolist(), patience=1) == 0.1
    np.testing.assert_array_equal(losses, kept)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_plateau_counts_a_loss_that_is_not_finite_as_no_improvement(bad: float) -> None:
    finite = [1.0, 0.9, 2.0, 2.0, 0.8, 2.0, 2.0, 2.0]
    odd = [bad if loss == 2.0 else loss for loss in finite]
    given = factors(reduce_on_plateau, 9, odd, patience=1, factor=0.5)
    assert given == factors(reduce_on_plateau, 9, finite, patience=1, factor=0.5) == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25]


@pytest.mark.parametrize("alias", ["StepLR", "ExponentialLR", "CosineAnnealingLR", "OneCycleLR", "LinearLR", "ReduceLROnPlateau"])
def test_pytorchs_names_are_aliases_of_what_equals_it(alias: str) -> None:
    thing, parameters = SCHEDULES.resolve(alias)
    assert any(f".{alias}(" in same.call for same in thing.equals)
    assert set(parameters) <= set(thing.parameters)


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_says_what_it_is(name: str) -> None:
    schedule = SCHEDULES[name]
    assert schedule.summary.endswith(".")
    assert schedule.reference
    assert schedule.equals
    assert schedule.aliases
    assert all(any(isinstance(part, Doc) for part in p.annotation.__metadata__) for p in schedule.parameters.values())
