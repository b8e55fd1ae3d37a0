"""Train: six failures and their cures, a run that is paused, gone through, stopped and left, and what it leaves."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from app.training import MODELS
from tests.browser.conftest import Opened
from tests.conftest import Server

LONG = "#view=train&loss=mean_squared_error&train.data=friedman1&train.data.n_samples=5000&train.epochs=400&train.seed=1"
OTHER = {"data": {"name": "moons", "n_samples": 10}, "epochs": 1}


def preset(page: Page, name: str) -> None:
    page.get_by_role("group", name="Presets").get_by_role("button", name=name, exact=True).click()
    expect(page.get_by_role("note", name="What this shows")).to_be_visible()


@pytest.mark.parametrize(
    ("name", "verdict", "epochs", "losses", "cure", "cured"),
    [
        ("Rate too high", "oscillating", 60, "loss 0.5357 in training, 0.5289 in validation", "rate 3", "0.001789 in validation"),
        (
            "Rate too low",
            "still improving",
            60,
            "loss 0.7082 in training, 0.7102 in validation",
            "rate 0.3",
            "0.01126 in validation",
        ),
        ("Outliers", "underfitting", 200, "loss 22.03.", "huber", "loss 1.781."),
        ("Hinge on 0 and 1", "converged", 60, "0.008238 in validation", "the raw labels instead", "accuracy 0.5 in training"),
        ("Imbalance", "underfitting", 40, "f1 0.03077 in training, 0 in validation", "pos_weight 20", "0.3931 in validation"),
        (
            "Overfitting",
            "overfitting",
            300,
            "loss 0.03297 in training, 0.813 in validation",
            "patience 20",
            "0.2335 in validation",
        ),
    ],
)
def test_a_preset_fails_says_why_and_is_cured(
    name: str, verdict: str, epochs: int, losses: str, cure: str, cured: str, opened: Opened
) -> None:
    page = opened()
    preset(page, name)
    diagnosis = page.get_by_role("status", name="Diagnosis")
    expect(diagnosis).to_contain_text(verdict)
    expect(diagnosis).to_contain_text(losses)
    expect(page.get_by_role("status", name="Epoch")).to_have_text(f"Epoch {epochs} of {epochs}")
    expect(page.get_by_role("figure", name="Training and validation loss")).to_contain_text("last: training")
    expect(page.locator("#fit-plot svg")).to_be_visible()
    page.get_by_role("button", name=f"Apply {cure}", exact=True).click()
    expect(diagnosis).to_contain_text(cured)
    expect(page.get_by_role("group", name="Runs").get_by_role("checkbox")).to_have_count(2)


@pytest.mark.parametrize("model", MODELS)
def test_every_model_of_the_catalogue_runs(model: str, opened: Opened) -> None:
    page = opened(f"#view=train&loss=mean_squared_error&train.data=regression&train.model={model}&train.epochs=1")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.get_by_role("status", name="Epoch")).to_have_text("Epoch 1 of 1")
    expect(page.get_by_role("status", name="Diagnosis")).to_contain_text("The model of epoch 1")


def test_advice_is_applied_and_a_link_is_the_whole_experiment(opened: Opened) -> None:
    page = opened()
    preset(page, "Overfitting")
    page.get_by_role("button", name="Apply regularization.l2 0.001").click()
    expect(page.get_by_role("group", name="Runs").get_by_role("checkbox")).to_have_count(2)
    page.wait_for_url(re.compile(r"train\.regularization\.l2=0\.001"))
    link = page.url.partition("#")[2]
    for part in (
        "train.data=moons",
        "train.data.noise=0.4",
        "train.model.hidden=64,64",
        "train.epochs=300",
        "preset=overfitting",
    ):
        assert part in link
    other = opened(f"#{link}")
    expect(other.get_by_role("spinbutton", name="Epochs")).to_have_value("300")
    expect(other.get_by_role("combobox", name="Dataset")).to_have_value("moons")
    expect(other.get_by_role("spinbutton", name="noise")).to_have_value("0.4")


def test_a_run_is_paused_gone_through_resumed_and_stopped_and_the_server_stops_too(opened: Opened, site: Server) -> None:
    page = opened(LONG)
    epoch = page.get_by_role("status", name="Epoch")
    expect(epoch).to_have_text(re.compile(r"^Epoch [1-9]\d* of 400$"))
    page.get_by_role("button", name="Pause").click()
    before = epoch.inner_text()
    page.get_by_role("button", name="Step").click()
    expect(epoch).to_have_text(f"Epoch {int(before.split()[1]) + 1} of 400")
    assert site_is_busy(site)
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_role("button", name="Pause")).to_be_enabled()
    page.get_by_role("button", name="Stop").click()
    expect(epoch).to_have_text(re.compile(r"^Stopped at epoch \d+$"))
    expect(page.locator("#loss-curve-plot svg")).to_be_visible()
    wait_until_free(page, site)
    page.get_by_role("button", name="Reset").click()
    expect(epoch).to_have_text("No run yet")
    expect(page.get_by_role("group", name="Runs").get_by_role("checkbox")).to_have_count(0)


def test_leaving_the_page_ends_the_run_on_the_server(opened: Opened, site: Server) -> None:
    page = opened(LONG)
    expect(page.get_by_role("status", name="Epoch")).to_have_text(re.compile(r"^Epoch [1-9]\d* of 400$"))
    assert site_is_busy(site)
    page.goto("about:blank")
    wait_until_free(page, site)


def site_is_busy(site: Server) -> bool:
    """Whether the only process for training is taken, and so nobody else gets in."""
    with site.client() as client:
        return client.post("/v1/train", json=OTHER).status_code == 503


def wait_until_free(page: Page, site: Server) -> None:
    for _ in range(200):
        if not site_is_busy(site):
            return
        page.wait_for_timeout(100)
    raise AssertionError("the run goes on")


def test_what_is_wrong_is_said_beside_its_field(opened: Opened) -> None:
    page = opened("#view=train&loss=mean_squared_error", refusals=True)
    expect(page.get_by_role("status", name="Diagnosis")).not_to_be_empty()
    page.get_by_role("spinbutton", name="Learning rate").fill("-1")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator("#train-rate-fault")).to_contain_text("learning_rate must be greater than 0")
    page.get_by_role("spinbutton", name="Learning rate").fill("0.1")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator("#train-rate-fault")).to_be_empty()
    expect(page.get_by_role("status", name="Diagnosis")).not_to_be_empty()


def test_curves_are_smoothed_hidden_shown_on_a_logarithmic_axis_and_saved(opened: Opened) -> None:
    page = opened()
    preset(page, "Rate too low")
    expect(page.get_by_role("status", name="Diagnosis")).to_contain_text("still improving")
    lines = page.locator("#loss-curve-plot .mark-line path")
    expect(lines).to_have_count(2)
    page.get_by_role("slider", name="Smoothing", exact=True).fill("0.8")
    expect(lines).to_have_count(4)
    page.get_by_role("checkbox", name="Log scale").check()
    expect(page.locator("#loss-curve-plot svg")).to_contain_text("loss, logarithmic")
    page.get_by_role("group", name="Runs").get_by_role("checkbox").uncheck()
    expect(lines).to_have_count(0)
    page.get_by_role("group", name="Runs").get_by_role("checkbox").check()
    page.get_by_role("combobox", name="Shows").select_option("accuracy")
    expect(page.locator("#loss-curve-plot svg")).to_contain_text("accuracy")
    with page.expect_download() as started:
        page.locator("#train-take").get_by_role("button", name="Download").click()
    rows = Path(started.value.path()).read_text().splitlines()
    assert rows[0].startswith("run,epoch,training_loss,validation_loss,accuracy_training")
    assert len(rows) == 61
