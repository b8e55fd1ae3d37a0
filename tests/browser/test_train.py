"""Train: six failures and their cures, a run that is paused, gone through, stopped and left, and what it leaves."""

import json
import re
from typing import Any

from playwright.sync_api import Page, Route, expect

from app.errors import ClientLeft
from app.training import DATASETS, MODELS
from tests.browser.conftest import DRAWN, LONG, Opened, downloaded, until
from tests.conftest import Server

PRESETS: dict[str, tuple[str, int, str, str, str]] = {
    "Rate too high": ("oscillating", 60, "loss 0.5357 in training, 0.5289 in validation", "rate 3", "0.001789 in validation"),
    "Rate too low": ("still improving", 60, "loss 0.7082 in training, 0.7102 in validation", "rate 0.3", "0.01126 in validation"),
    "Outliers": ("misfit", 200, "loss 22.03.", "huber", "loss 1.781."),
    "Hinge on 0 and 1": ("converged", 60, "0.008238 in validation", "the raw labels instead", "accuracy 0.5 in training"),
    "Imbalance": ("underfitting", 40, "f1 0.03077 in training, 0 in validation", "pos_weight 20", "0.3931 in validation"),
    "Overfitting": ("overfitting", 300, "loss 0.03297 in training, 0.813 in validation", "patience 20", "0.2335 in validation"),
}
"""Its verdict, its epochs, what it comes to, what cures it, and what that comes to."""


SENTENCES = {
    "Rate too high": "Each step jumps across the valley instead of down into it: the loss goes up and down and settles nowhere.",
    "Rate too low": "Every step goes the right way and far too short: after 60 epochs it is still falling.",
    "Outliers": "Three wild points of 24 tilt the squared error’s line flat; huber bounds their pull.",
    "Hinge on 0 and 1": "Hinge wants ±1: with raw 0 a negative costs 1 whatever its score and never pulls; "
    "the service takes 0 for −1 and says so.",
    "Imbalance": "Of 100 rows about 5 are positive: saying no nearly always is 94 % right, and its F1 is 0.",
    "Overfitting": "Sixty rows, 4417 weights: training loss falls on while validation turns at epoch 31 and climbs.",
}
MOST_POINTS = 1500


def preset(page: Page, name: str) -> None:
    page.get_by_role("group", name="Presets").get_by_role("button", name=name, exact=True).click()
    expect(page.get_by_role("note", name="What this shows")).to_have_text(SENTENCES[name])


def diagnosis(page: Page) -> Any:
    return page.get_by_role("status", name="Diagnosis")


def epoch(page: Page) -> Any:
    return page.get_by_role("status", name="Epoch")


def test_presets_fail_say_why_and_are_cured(opened: Opened) -> None:
    page = opened()
    for name, (verdict, epochs, losses, cure, cured) in PRESETS.items():
        preset(page, name)
        expect(diagnosis(page)).to_contain_text(verdict)
        expect(diagnosis(page)).to_contain_text(losses)
        expect(epoch(page)).to_have_text(f"Epoch {epochs} of {epochs}")
        expect(page.get_by_role("figure", name="Training and validation loss")).to_contain_text("last: training")
        expect(page.get_by_role("figure", name="Fit")).to_contain_text(re.compile("the model’s line|what the model says"))
        page.get_by_role("button", name=f"Apply {cure}", exact=True).click()
        expect(diagnosis(page)).to_contain_text(cured)
        expect(page.get_by_role("group", name="Runs").get_by_role("checkbox")).to_have_count(2)


def test_every_model_of_the_catalogue_runs_and_its_fit_is_drawn(opened: Opened) -> None:
    page = opened("#view=train&loss=mean_squared_error&train.epochs=1&train.schedule=cosine&train.regularization.l2=0.1")
    for model in MODELS:
        page.get_by_role("combobox", name="Model").select_option(model)
        page.get_by_role("button", name="Run", exact=True).click()
        expect(epoch(page)).to_have_text("Epoch 1 of 1")
        expect(diagnosis(page)).to_contain_text("The model of epoch 1")
        expect(page.locator("#fit-caption")).to_contain_text("the model’s line")


def test_datasets_are_chosen_by_their_pictures_which_are_asked_for_once(opened: Opened) -> None:
    page = opened()
    pictures = page.get_by_role("group", name="Datasets")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if re.search(r"/v1/datasets/\w+/rows", request.url) else None)
    expect(pictures.get_by_role("radio")).to_have_count(len(DATASETS))
    assert len(asked) <= 1
    pictures.scroll_into_view_if_needed()
    expect(pictures.locator("svg")).to_have_count(len(DATASETS))
    assert len(asked) <= len(DATASETS)
    chosen = page.get_by_role("combobox", name="Dataset")
    pictures.get_by_text("circles").click()
    expect(chosen).to_have_value("circles")
    circles = page.locator("#thumb-circles path").first
    before = circles.get_attribute("d") or ""
    page.get_by_role("spinbutton", name="noise").fill("0")
    expect(circles).not_to_have_attribute("d", before)
    pictures.get_by_role("radio", name="circles").press("ArrowRight")
    expect(chosen).to_have_value("moons")
    expect(pictures.get_by_role("radio", name="moons")).to_be_focused()
    chosen.select_option("wine")
    expect(pictures.get_by_role("radio", name="wine")).to_be_checked()
    preset(page, "Outliers")
    expect(pictures.get_by_role("radio", checked=True)).to_have_count(0)


def test_of_many_columns_what_is_predicted_is_drawn_beside_what_is_true(opened: Opened) -> None:
    page = opened("#view=train&train.data=iris&loss=categorical_cross_entropy&loss.from_logits=true")
    fit = page.get_by_role("figure", name="Fit")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(fit).to_contain_text(re.compile(r"30 rows of 4 columns, (2[5-9]|30) of them taken for what they are"))
    expect(fit.locator("svg")).to_contain_text("versicolor")
    page = opened("#view=train&train.data=diabetes&loss=mean_squared_error&train.epochs=5")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.get_by_role("figure", name="Fit")).to_contain_text("88 rows of 10 columns: what is predicted over what is true")


def test_advice_about_rows_is_applied(opened: Opened) -> None:
    common = "#view=train&train.model=linear&train.optimizer=adam&train.optimizer.learning_rate=0.1"
    page = opened(f"{common}&train.data=imbalanced&loss=binary_cross_entropy&loss.from_logits=true&train.epochs=60")
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_role("button", name="Apply class_weight balanced").click()
    page.wait_for_url(re.compile(r"train\.class_weight=balanced"))
    page = opened(f"{common}&train.data=outliers&loss=mean_squared_error&train.epochs=100")
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_role("button", name=re.compile("^Apply loss.name huber, loss.delta 0")).click()
    page.wait_for_url(re.compile(r"loss=huber.*loss\.delta=0\.\d+"))
    expect(page.get_by_role("group", name="Runs").get_by_role("checkbox")).to_have_count(2)


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
    before = left(site)
    page = opened(LONG, moving=True)
    expect(epoch(page)).to_have_text(re.compile(r"^Epoch [1-9]\d* of 2000$"))
    page.get_by_role("button", name="Pause").click()
    here = int(epoch(page).inner_text().split()[1])
    page.get_by_role("button", name="Step").click()
    expect(epoch(page)).to_have_text(f"Epoch {here + 1} of 2000")
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_role("button", name="Pause")).to_be_enabled()
    page.get_by_role("button", name="Stop").click()
    expect(epoch(page)).to_have_text(re.compile(r"^Stopped at epoch \d+$"))
    expect(page.locator("#loss-curve-plot svg")).to_be_visible()
    until(page, lambda: left(site) == before + 1, "the run goes on")
    page.get_by_role("button", name="Reset").click()
    expect(epoch(page)).to_have_text("No run yet")
    expect(page.get_by_role("group", name="Runs").get_by_role("checkbox")).to_have_count(0)


def test_leaving_the_page_ends_the_run_on_the_server(opened: Opened, site: Server) -> None:
    before = left(site)
    page = opened(LONG, moving=True)
    expect(epoch(page)).to_have_text(re.compile(r"^Epoch [1-9]\d* of 2000$"))
    page.goto("about:blank")
    until(page, lambda: left(site) == before + 1, "the run goes on")


def left(site: Server) -> int:
    """Runs that were ended since nobody was there any more, as the server's log tells."""
    lines = [json.loads(line) for line in site.log.read_text().splitlines() if line.startswith("{")]
    return sum(line.get("call") == "train" and line["reason"] == ClientLeft.reason for line in lines)


def test_what_is_wrong_is_said_beside_its_field(opened: Opened) -> None:
    page = opened("#view=train&loss=mean_squared_error", refusals=True)
    expect(diagnosis(page)).not_to_be_empty()
    page.get_by_role("spinbutton", name="Learning rate").fill("-1")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator("#train-rate-fault")).to_contain_text("learning_rate must be greater than 0")
    page.get_by_role("spinbutton", name="Learning rate").fill("0.1")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator("#train-rate-fault")).to_be_empty()
    expect(diagnosis(page)).not_to_be_empty()


def test_a_link_that_names_what_there_is_not_is_said_beside_its_field(opened: Opened) -> None:
    for kind in ("data", "model", "optimizer", "schedule"):
        page = opened(f"#view=train&loss=mean_squared_error&train.epochs=1&train.{kind}=nope", refusals=True)
        expect(page.locator("#train-data svg, #fit-plot svg, #train-data-fault:not(:empty)").first).to_be_visible()
        page.get_by_role("button", name="Run", exact=True).click()
        expect(page.locator(f"#train-{kind}-fault")).to_contain_text("named 'nope'")
    page.get_by_role("combobox", name="Schedule").select_option("cosine")
    expect(page.locator("#train-schedule-fault")).to_be_empty()
    page = opened("#view=train&loss=mean_squared_error&train.epochs=1&preset=nope")
    expect(page.locator("#train-fault")).to_have_text("There is no preset named “nope”.")
    page = opened("#view=train&loss=mean_squared_error&train.data=moons&train.data.noise=-1", refusals=True)
    expect(page.locator("#train-data-noise-fault")).to_contain_text("noise")


def test_a_long_history_is_thinned_to_what_can_be_seen_and_saved_whole(opened: Opened) -> None:
    epochs = 2 * MOST_POINTS
    page = opened(f"#loss=mean_squared_error&train.model=linear&train.epochs={epochs}")

    def prolonged(route: Route) -> None:
        """A run of one epoch as one of many: a run of so many takes a loaded machine longer than runs may."""
        answer = route.fetch(post_data={**json.loads(route.request.post_data or ""), "epochs": 1})
        start, epoch, *end = answer.text().split("\n\n")
        many = [epoch.replace('"epoch":1,', f'"epoch":{number},') for number in range(1, epochs + 1)]
        route.fulfill(response=answer, body="\n\n".join([start, *many, *end]))

    page.route("**/v1/train", prolonged)
    page.get_by_role("button", name="Run", exact=True).click()
    expect(epoch(page)).to_have_text(f"Epoch {epochs} of {epochs}")
    expect(page.get_by_role("figure", name="Training and validation loss")).to_contain_text(f"{epochs} epochs")
    lines = page.locator("#loss-curve-plot .mark-line path")

    def points() -> list[int]:
        return [path.count("L") + 1 for path in lines.evaluate_all("lines => lines.map(line => line.getAttribute('d'))")]

    until(page, lambda: points() == [epochs // 3 + 1] * 2, "the lines have other points")
    assert epochs // 3 + 1 <= MOST_POINTS
    assert len(downloaded(page, "train", "CSV")[1].splitlines()) == 1 + epochs


def test_a_run_whose_stream_breaks_off_is_over(opened: Opened) -> None:
    page = opened("#loss=mean_squared_error&train.model=linear&train.epochs=2")

    def broken(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, body="\n\n".join([*answer.text().split("\n\n")[:2], ""]))

    page.route("**/v1/train", broken)
    page.get_by_role("button", name="Run", exact=True).click()
    expect(epoch(page)).to_have_text(re.compile(r"^The service was lost at epoch [01]$"))
    expect(page.get_by_role("button", name="Stop")).to_be_disabled()


def test_a_run_is_downloaded_in_four_forms(opened: Opened) -> None:
    page = opened("#view=train&loss=mean_squared_error&train.epochs=3")
    expect(epoch(page)).to_have_text("Epoch 3 of 3")
    for form, start in {"CSV": b"run,epoch,training_loss", "JSON": b"{", **DRAWN}.items():
        name, content = downloaded(page, "train", form)
        assert name == f"run.{form.lower()}"
        assert content.startswith(start), form


def test_curves_are_smoothed_hidden_shown_on_a_logarithmic_axis_and_saved(opened: Opened) -> None:
    page = opened()
    preset(page, "Rate too low")
    expect(diagnosis(page)).to_contain_text("still improving")
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
    rows = downloaded(page, "train", "CSV")[1].decode().splitlines()
    assert rows[0].startswith("run,epoch,training_loss,validation_loss,accuracy_training")
    assert len(rows) == 61
