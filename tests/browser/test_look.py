"""Look: choosing a loss, its parameters, the probe, others over it, an expression, and what is taken away."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import DRAWN, Opened, copied, downloaded
from tests.conftest import ROOT, Server


def look(page: Page) -> Page:
    """The page, once its first curve is drawn."""
    expect(page.locator("#curve-plot svg")).to_be_visible()
    return page


def state(page: Page) -> dict[str, str]:
    return {name: words[0] for name, words in parse_qs(urlsplit(page.url).fragment).items()}


def words(page: Page) -> str:
    return page.get_by_role("slider", name="Prediction").get_attribute("aria-valuetext") or ""


def test_a_loss_is_chosen_by_typing_and_back_leads_back(opened: Opened) -> None:
    page = look(opened())
    loss = page.get_by_role("combobox", name="Loss", exact=True)
    expect(loss).to_have_value("huber")
    loss.click()
    loss.fill("log_cosh")
    expect(page.get_by_role("option").first).to_have_text(re.compile("^log_cosh"))
    loss.press("Enter")
    expect(page.get_by_role("figure", name="Loss and slope: log_cosh")).to_be_visible()
    expect(page.get_by_role("heading", name="log_cosh")).to_be_visible()
    assert state(page)["loss"] == "log_cosh"
    page.go_back()
    expect(page.get_by_role("figure", name="Loss and slope: huber")).to_be_visible()
    expect(loss).to_have_value("huber")


def test_what_suits_the_data_stands_above_all_families_and_is_taken_as_recommended(opened: Opened, site: Server) -> None:
    page = look(opened("#data=prediction,label%0A1,2%0A2,2.5%0A3,30%0A4,4.5%0A5,5.25%0A6,7"))
    expect(page.locator("#recommended")).to_contain_text("Use ")
    body = {"predictions": [1, 2, 3, 4, 5, 6], "targets": [2, 2.5, 30, 4.5, 5.25, 7], "limit": 3}
    best = [one["loss"] for one in site.ask("POST", "/v1/recommend", json=body).json()["recommendations"]]
    loss = page.get_by_role("combobox", name="Loss", exact=True)
    loss.click()
    options = page.get_by_role("listbox", name="Loss")
    groups = options.get_by_role("group")
    expect(groups.first.get_by_role("option")).to_have_text([re.compile(f"^{one['name']}") for one in best])
    losses = site.ask("GET", "/v1/losses").json()["losses"]
    families = list(dict.fromkeys(entry["family"].replace("_", " ") for entry in losses))
    names = groups.evaluate_all("groups => groups.map(group => group.ariaLabel)")
    assert names == ["Recommended", *families]
    expect(options.get_by_role("option")).to_have_count(len(best) + len(losses))
    expect(loss).not_to_have_attribute("aria-activedescendant", re.compile("."))
    loss.press("ArrowDown")
    loss.press("Enter")
    page.wait_for_url(re.compile(rf"loss={best[0]['name']}&"))
    assert float(state(page)["loss.delta"]) == best[0]["delta"]
    loss.fill(best[0]["name"])
    expect(groups).to_have_count(0)


def test_the_list_is_gone_through_by_keys_and_left_by_escape(opened: Opened) -> None:
    page = look(opened())
    loss = page.get_by_role("combobox", name="Loss", exact=True)
    loss.fill("huber")
    expect(loss).to_have_attribute("aria-expanded", "true")
    loss.press("ArrowDown")
    second = page.get_by_role("option").nth(1)
    expect(loss).to_have_attribute("aria-activedescendant", second.get_attribute("id") or "")
    expect(second).to_have_attribute("aria-selected", "true")
    loss.press("Escape")
    expect(loss).to_have_attribute("aria-expanded", "false")
    expect(loss).to_have_value("huber")
    loss.fill("HuberLoss")
    expect(page.get_by_role("option").first).to_have_text(re.compile("^huber"))


def test_a_parameter_moves_curve_link_and_number(opened: Opened) -> None:
    page = look(opened("#at=3"))
    expect.soft(page.get_by_role("slider", name="Prediction")).to_have_attribute(
        "aria-valuetext", "prediction 3, loss 2.5, slope 1"
    )
    page.get_by_role("spinbutton", name="delta").fill("0.5")
    expect(page.get_by_role("slider", name="Prediction")).to_have_attribute(
        "aria-valuetext", "prediction 3, loss 1.375, slope 0.5"
    )
    page.wait_for_url(re.compile(r"loss\.delta=0\.5"))
    page.get_by_role("slider", name="delta").press("ArrowRight")
    expect(page.get_by_role("spinbutton", name="delta")).not_to_have_value("0.5")


def test_a_parameter_out_of_bounds_is_said_beside_its_field(opened: Opened) -> None:
    page = look(opened(refusals=True))
    delta = page.get_by_role("spinbutton", name="delta")
    delta.fill("-1")
    expect(delta).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#parameter-delta-fault")).to_have_text(re.compile("delta must be greater than 0"))
    delta.fill("2")
    expect(page.locator("#parameter-delta-fault")).to_be_empty()
    expect(page.locator("#curve-plot svg")).to_be_visible()


def test_the_probe_says_what_the_service_says_and_lies_under_the_axis(opened: Opened, site: Server) -> None:
    page = look(opened("#loss=log_cosh"))
    slider = page.get_by_role("slider", name="Prediction")
    slider.focus()
    for _ in range(3):
        slider.press("ArrowRight")
    expect(slider).to_have_attribute("aria-valuetext", re.compile(r"^prediction 1\.36, "))
    with site.client() as client:
        body = {"loss": "log_cosh", "predictions": [1.36], "targets": [0]}
        answer = client.post("/v1/evaluate", json=body).json()
    assert words(page) == f"prediction 1.36, loss {answer['value']:.6g}, slope {answer['gradient'][0]:.6g}"
    plot = page.locator("#curve-plot .role-scope > g > path.background").first.bounding_box()
    box = slider.bounding_box()
    assert plot
    assert box
    assert box["x"] + 8 == pytest.approx(plot["x"], abs=1.5)
    assert box["x"] + box["width"] - 8 == pytest.approx(plot["x"] + plot["width"], abs=1.5)
    slider.press("Home")
    page.wait_for_url(re.compile("at=-3"))


def test_the_curve_is_dragged_on(opened: Opened) -> None:
    page = look(opened())
    plot = page.locator("#curve-plot .role-scope > g > path.background").first.bounding_box()
    assert plot
    middle = plot["y"] + plot["height"] / 2
    page.mouse.move(plot["x"] + plot["width"] / 2, middle)
    page.mouse.down()
    page.mouse.move(plot["x"] + plot["width"] / 6, middle, steps=4)
    page.mouse.up()
    expect(page.get_by_role("slider", name="Prediction")).to_have_attribute(
        "aria-valuetext", re.compile(r"^prediction −(2|1\.99|2\.01)")
    )


def test_others_are_drawn_over_it_and_added_to_it(opened: Opened) -> None:
    page = look(opened("#with=mean_absolute_error"))
    expect(page.get_by_role("figure", name="Loss and slope: huber, mean_absolute_error")).to_be_visible()
    expect(page.locator("#curve-legend li")).to_have_text(["huber", "mean_absolute_error"])
    page.get_by_role("button", name="Add them up").click()
    expect(page.get_by_role("figure", name="Loss and slope: weighted_sum")).to_be_visible()
    expect(page.get_by_role("slider", name="Prediction")).to_have_attribute("aria-valuetext", "prediction 1, loss 0.75, slope 1")
    page.get_by_role("spinbutton", name="terms.1.weight").fill("1.5")
    expect(page.get_by_role("slider", name="Prediction")).to_have_attribute("aria-valuetext", "prediction 1, loss 1.75, slope 2")


def test_a_loss_on_another_axis_is_refused_where_it_was_chosen(opened: Opened) -> None:
    page = look(opened(refusals=True))
    page.get_by_role("combobox", name="Overlay").fill("hinge")
    page.get_by_role("combobox", name="Overlay").press("Enter")
    expect(page.locator("#overlay-fault")).to_have_text("hinge is drawn over the margin, and huber over the residual")
    expect(page.get_by_role("figure", name="Loss and slope: huber", exact=True)).to_be_visible()


def test_a_link_to_an_overlay_that_there_is_not_is_said_and_the_loss_is_drawn(opened: Opened) -> None:
    page = look(opened("#with=nope&at=3", refusals=True))
    expect(page.locator("#overlay-fault")).to_contain_text("There is no loss named 'nope'")
    expect(page.locator("#curve-legend li")).to_have_text(["huber"])
    expect(page.get_by_role("slider", name="Prediction")).to_have_attribute("aria-valuetext", "prediction 3, loss 2.5, slope 1")


def test_an_expression_is_a_loss_with_parameters(opened: Opened) -> None:
    page = look(opened(refusals=True))
    expression = page.get_by_role("textbox", name="Expression")
    expression.fill("c*log1p(r**2")
    expect(page.locator("#expression-fault")).to_contain_text('")" is missing here')
    expression.fill("c*log1p(r**2)")
    expect(page.locator("#expression-fault")).to_be_empty()
    expect(page.get_by_role("slider", name="Prediction")).to_have_attribute(
        "aria-valuetext", "prediction 1, loss 0.693147, slope 1"
    )
    page.get_by_role("spinbutton", name="c", exact=True).fill("2")
    expect(page.get_by_role("slider", name="Prediction")).to_have_attribute(
        "aria-valuetext", "prediction 1, loss 1.38629, slope 2"
    )
    page.reload()
    expect(page.get_by_role("slider", name="Prediction")).to_have_attribute(
        "aria-valuetext", "prediction 1, loss 1.38629, slope 2"
    )
    expect(expression).to_have_value("c*log1p(r**2)")


def shown(page: Page, loss: str) -> None:
    page.evaluate("loss => { location.hash = `loss=${loss}`; }", loss)
    expect(page.get_by_role("heading", name=loss, exact=True)).to_be_visible()


SEVERAL = ("categorical_cross_entropy", "gaussian_nll", "weibull_nll", "beta_divergence", "arcface", "dpo", "giou", "dice", "ctc")


def test_a_loss_of_several_numbers_is_drawn_over_one_of_them(opened: Opened) -> None:
    page = look(opened())
    for loss in SEVERAL:
        shown(page, loss)
        expect(page.locator("#curve-caption")).to_contain_text(f"{loss} over ")
        expect(page.get_by_role("slider", name="Prediction")).to_have_attribute(
            "aria-valuetext", re.compile(r"^[a-z]+\[0\].*loss [−\d.e]+, slope [−\d.e]+$")
        )


def test_a_loss_without_a_curve_says_why_and_asks_for_none(opened: Opened) -> None:
    page = look(opened())
    for loss in ("zero_one", "relative_squared_error", "info_nce", "multi_task"):
        shown(page, loss)
        expect(page.locator("#curve-plot")).to_contain_text(f"{loss} has no curve")
        expect(page.locator("#loss-fault")).to_be_empty()


def test_a_link_to_a_loss_made_of_others_starts_from_an_example(opened: Opened) -> None:
    page = look(opened("#loss=weighted_sum&at=1"))
    expect(page.get_by_role("slider", name="Prediction")).to_have_attribute("aria-valuetext", "prediction 1, loss 1, slope 1.5")
    page.get_by_role("spinbutton", name="terms.1.weight").fill("2")
    expect(page.get_by_role("slider", name="Prediction")).to_have_attribute("aria-valuetext", "prediction 1, loss 2.5, slope 3")


def test_a_link_to_a_loss_that_there_is_not_is_said_and_the_rest_works(opened: Opened) -> None:
    page = opened("#loss=hubber", refusals=True)
    expect(page.locator("#loss-fault")).to_contain_text("hubber")
    expect(page.get_by_role("combobox", name="Loss", exact=True)).to_have_attribute("aria-describedby", "loss-fault")
    expect(page.locator("#train-fault")).to_contain_text("hubber")
    page.get_by_role("combobox", name="Loss", exact=True).fill("huber")
    page.get_by_role("combobox", name="Loss", exact=True).press("Enter")
    look(page)
    expect(page.locator("#loss-fault")).to_be_empty()
    expect(page.locator("#train-fault")).to_be_empty()


def test_facts_are_those_of_the_catalogue(opened: Opened, site: Server) -> None:
    page = look(opened("#loss=quantile"))
    entry = site.ask("GET", "/v1/losses/quantile").json()
    facts = page.locator("#facts")
    expect(facts).to_contain_text(entry["summary"])
    expect(facts.locator("math").first).to_be_visible()
    expect(page.locator("#more")).to_contain_text(entry["equals"][0]["call"])
    page.get_by_role("button", name=entry["see_also"][0], exact=True).click()
    expect(page.get_by_role("heading", name=entry["see_also"][0])).to_be_visible()


# --- to take away

PROGRAMS = {
    "curl": ("sh", "program.sh"),
    "Python": (sys.executable, "program.py"),
    "Python (httpx)": (sys.executable, "program.py"),
    "JavaScript": ("node", "program.mjs"),
}


def test_what_is_copied_runs_and_prints_the_number_on_the_screen(opened: Opened, tmp_path: Path) -> None:
    page = look(opened("#loss=log_cosh&at=-1.5"))
    for language, (program, file) in PROGRAMS.items():
        (tmp_path / file).write_text(copied(page, "look", language))
        printed = ran(program, file, tmp_path)
        number = json.loads(printed)["value"] if language == "curl" else float(printed)
        assert words(page).startswith(f"prediction −1.5, loss {number:.6g},"), language


def ran(program: str, file: str, folder: Path) -> str:
    """What a program prints that may have the client."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [program, file]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout


def test_what_is_copied_of_the_other_panels_prints_their_numbers(opened: Opened, tmp_path: Path) -> None:
    page = look(opened("#view=train&loss=mean_squared_error&train.epochs=3"))
    diagnosis = page.get_by_role("status", name="Diagnosis")
    expect(diagnosis).to_contain_text("in training")
    trained = re.search(r"loss ([\d.]+) in training", diagnosis.inner_text())
    assert trained
    for panel, number, digits in (("data", page.locator("#value .value").inner_text(), 17), ("train", trained[1], 4)):
        (tmp_path / "program.py").write_text(copied(page, panel, "Python"))
        assert f"{float(ran(sys.executable, 'program.py', tmp_path)):.{digits}g}" == f"{float(number):.{digits}g}", panel


def test_a_curve_over_one_of_several_numbers_is_downloaded_as_it_is_drawn(opened: Opened) -> None:
    page = look(opened("#loss=categorical_cross_entropy"))
    expect(page.get_by_role("slider", name="Prediction")).to_have_attribute("aria-valuetext", re.compile(r"^predictions\[0\]"))
    for form, start in DRAWN.items():
        name, content = downloaded(page, "look", form)
        assert name == f"loss.{form.lower()}"
        assert content.startswith(start), form
    assert downloaded(page, "look", "CSV")[1].startswith(b"x,categorical_cross_entropy,categorical_cross_entropy slope\n")


def test_the_curve_is_downloaded_in_four_forms(opened: Opened, site: Server) -> None:
    page = look(opened("#with=mse&loss.delta=2"))
    begins = {"CSV": b"x,huber,huber slope,mean_squared_error", "JSON": b"{", **DRAWN}
    for form, start in begins.items():
        name, content = downloaded(page, "look", form)
        assert name == f"loss.{form.lower()}"
        assert content.startswith(start), form
        if form == "JSON":
            curve = httpx.get(f"{site.url}/v1/losses/huber/curve?delta=2&against=mse").json()
            assert json.loads(content) == curve
