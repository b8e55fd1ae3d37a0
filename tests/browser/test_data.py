"""Your data: pasted, opened and edited; columns by role; what it costs, and by which model it would cost less."""

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import DRAWN, Opened, downloaded
from tests.conftest import Server

ROWS = "model,target,weight,other,site\n2.5,3,1,2.9,a\n0,-0.5,1,-0.4,a\n8,2,2,4,b\n4,7,1,6,b\n1,1.5,1,1.1,a\n7.5,5,1,6,b\n"
PREDICTIONS, TARGETS, WEIGHTS = [2.5, 0, 8, 4, 1, 7.5], [3, -0.5, 2, 7, 1.5, 5], [1, 1, 2, 1, 1, 1]


def evaluated(site: Server, **body: Any) -> Any:
    with site.client() as client:
        return client.post("/v1/evaluate", json={"loss": "huber", **body}).json()


def value(page: Page) -> Any:
    return page.get_by_role("status", name="Value")


def test_it_begins_with_an_example_that_is_evaluated(opened: Opened) -> None:
    page = opened()
    expect(value(page)).to_contain_text("1.01")
    expect(page.get_by_role("status", name="Conclusion")).to_contain_text("10 % of the samples carry 54.5 % of the loss.")
    expect(page.get_by_role("status", name="Conclusion")).to_contain_text(
        "The gradient agrees with the numerical one at 6 places"
    )
    expect(page.get_by_role("figure", name="Per-sample loss")).to_contain_text("the largest loss is that of sample 3: 5.5")
    expect(page.get_by_role("table", name="Samples").get_by_role("row")).to_have_count(7)
    expect(page.locator("#analysis svg")).to_be_visible()
    expect(page.locator("#analysis svg")).to_contain_text("sample 3")
    expect(page.locator("#analysis")).to_have_attribute("aria-label", re.compile("The worst sample is 3: its loss is 5.5"))


def test_what_is_pasted_is_evaluated_by_the_columns_that_it_names(opened: Opened, site: Server) -> None:
    page = opened()
    page.get_by_role("textbox", name="Paste your data").fill(ROWS)
    wanted = evaluated(site, predictions=PREDICTIONS, targets=TARGETS, sample_weight=WEIGHTS)
    expect(value(page)).to_contain_text(str(wanted["value"]))
    for role, column in {"Predictions": "model", "Targets": "target", "Weights": "weight"}.items():
        expect(page.get_by_role("combobox", name=f"{role} column")).to_have_value(column)
    cells = page.get_by_role("table", name="Samples").locator("tbody tr").nth(2).locator("td")
    expect(cells).to_have_count(7)  # the numerical gradient comes last
    texts = cells.all_inner_texts()
    assert texts[-3:] == ["5.5", texts[-2], texts[-2]]
    assert float(texts[-2]) == float(f"{wanted['gradient'][2]:.6g}")
    page.get_by_role("combobox", name="Weights column").select_option("none")
    expect(value(page)).to_contain_text(str(evaluated(site, predictions=PREDICTIONS, targets=TARGETS)["value"]))
    page.reload()
    expect(value(page)).to_contain_text(str(evaluated(site, predictions=PREDICTIONS, targets=TARGETS)["value"]))


def test_what_is_pasted_before_the_example_is_there_is_kept(opened: Opened, site: Server) -> None:
    page, held, rows = opened(), list[Route](), "p,y\n0.9,1\n0.2,0\n"
    expect(value(page)).to_contain_text("1.01")
    page.route("**/v1/losses/binary_cross_entropy", lambda route: held.append(route))
    loss = page.get_by_role("combobox", name="Loss", exact=True)
    loss.fill("binary_cross_entropy")
    with page.expect_request("**/v1/losses/binary_cross_entropy"):
        loss.press("Enter")
    page.get_by_role("textbox", name="Paste your data").fill(rows)
    for route in held:
        route.continue_()
    wanted = evaluated(site, loss="binary_cross_entropy", predictions=[0.9, 0.2], targets=[1, 0])
    expect(value(page)).to_contain_text(str(wanted["value"]))
    expect(page.get_by_role("textbox", name="Paste your data")).to_have_value(rows)


def test_two_models_are_compared_and_groups_told(opened: Opened, site: Server) -> None:
    page = opened(f"#loss=mean_absolute_error&data={quote(ROWS)}&data.weights=none")
    page.get_by_role("combobox", name="Compare with column").select_option("other")
    other = [2.9, -0.4, 4, 6, 1.1, 6]
    with site.client() as client:
        body = {"losses": ["mae"], "models": {"model": PREDICTIONS, "other": other}, "targets": TARGETS}
        conclusion = client.post("/v1/compare", json=body).json()["losses"][0]["conclusion"]
    expect(page.get_by_role("status", name="Conclusion")).to_contain_text(conclusion)
    page.get_by_role("combobox", name="Groups column").select_option("site")
    expect(page.locator("#analysis")).to_have_attribute("aria-label", re.compile("site"))


def test_a_recommended_loss_is_used(opened: Opened) -> None:
    page = opened()
    page.get_by_role("button", name="Use mean_absolute_error").click()
    expect(value(page)).to_contain_text("mean mean_absolute_error")
    expect(page.get_by_role("combobox", name="Loss", exact=True)).to_have_value("mean_absolute_error")


def test_losses_that_suit_are_those_of_the_table_that_there_is(opened: Opened) -> None:
    page = opened(refusals=True)
    suits = page.locator("#recommended")
    paste = page.get_by_role("textbox", name="Paste your data")
    loss = page.get_by_role("combobox", name="Loss", exact=True)
    expect(suits).to_contain_text("Use huber")
    for nothing in ("a,b\n1,2,3", ""):
        paste.fill(nothing or ROWS)
        expect(suits).to_be_empty() if nothing else expect(suits).to_contain_text("Use ")
    paste.fill("score,label\n3,cat\n-2,dog\n1,emu")
    expect(suits).to_contain_text("No loss here takes these targets and predictions")
    expect(suits.get_by_role("button")).to_have_count(0)
    loss.click()
    expect(page.get_by_role("group", name="Recommended")).to_have_count(0)
    loss.press("Escape")
    page = opened()
    suits = page.locator("#recommended")
    expect(suits).to_contain_text("Use huber")
    page.evaluate("location.hash = 'loss=ctc'")
    expect(value(page)).to_contain_text("What ctc takes is no table of rows")
    expect(suits).to_be_empty()


def test_a_link_to_columns_that_there_are_not_says_so_and_guesses(opened: Opened) -> None:
    page = opened(f"#data={quote(ROWS)}&data.predictions=nope&data.compare=none_such")
    expect(page.locator("#data-predictions-fault")).to_have_text("There is no column “nope” in this table.")
    expect(page.locator("#data-compare-fault")).to_contain_text("none_such")
    expect(value(page)).to_contain_text("mean huber")
    expect(page.get_by_role("combobox", name="Predictions column")).to_have_value("model")


def test_all_of_it_is_downloaded_in_four_forms(opened: Opened) -> None:
    page = opened()
    expect(page.locator("#analysis svg")).to_be_visible()
    for form, start in {"CSV": b"sample,", "JSON": b"{", **DRAWN}.items():
        name, content = downloaded(page, "data", form)
        assert name == f"losses.{form.lower()}"
        assert content.startswith(start), form
    answer = json.loads(downloaded(page, "data", "JSON")[1])
    assert answer["evaluation"]["value"] == 1.01


def test_a_cell_is_changed_by_keys(opened: Opened, site: Server) -> None:
    page = opened()
    table = page.get_by_role("table", name="Samples")
    first = table.locator("td").first
    expect(first).to_be_visible()
    first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.keyboard.type("1")
    page.keyboard.press("Enter")
    predictions, targets = [2.5, 1, 8, 4.1, 5.2, 1.9], [3, -0.5, 2, 4.4, 5, 2.6]
    expect(value(page)).to_contain_text(str(evaluated(site, predictions=predictions, targets=targets)["value"]))
    expect(page.get_by_role("textbox", name="Paste your data")).to_have_value(re.compile(r"\n1,-0\.5\n"))


def test_files_are_opened(opened: Opened, site: Server, tmp_path: Path) -> None:
    page = opened()
    wanted = str(evaluated(site, predictions=PREDICTIONS, targets=TARGETS)["value"])
    rows = [{"prediction": p, "label": y} for p, y in zip(PREDICTIONS, TARGETS, strict=True)]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    (tmp_path / "rows.tsv").write_text(
        "".join(f"{p}\t{y}\n" for p, y in [("prediction", "label"), *zip(PREDICTIONS, TARGETS, strict=True)])
    )
    np.savez_compressed(tmp_path / "packed.npz", predictions=np.array(PREDICTIONS, np.float32), targets=np.array(TARGETS))
    for file in ("rows.json", "rows.tsv", "packed.npz"):
        page.get_by_role("textbox", name="Paste your data").fill("a,b\n1,1\n2,2")
        expect(value(page)).to_contain_text("mean huber0")
        page.locator("#file").set_input_files(tmp_path / file)
        expect(value(page)).to_contain_text(wanted)


def test_a_file_is_dropped_and_a_long_one_is_said_to_be_long(opened: Opened) -> None:
    page = opened()
    expect(value(page)).to_contain_text("samples6")
    rows = "p,y\n" + "\n".join(f"{row % 7},{row % 5}" for row in range(5_100))
    dropped = page.evaluate_handle(
        "text => { const all = new DataTransfer(); all.items.add(new File([text], 'long.csv')); return all; }", rows
    )
    page.locator("#data").dispatch_event("drop", {"dataTransfer": dropped})
    expect(page.locator("#samples-words")).to_have_text("5,100 rows, of which 5,000 are shown.")
    expect(page.locator("#paste-hint")).to_contain_text("it is not in the link")
    assert "data=" not in page.url


def test_what_does_not_fit_is_said_beside_its_column_and_what_fits_is_offered(opened: Opened) -> None:
    page = opened(
        f"#loss=binary_cross_entropy&data={quote('score,label' + chr(10) + '1.5,1' + chr(10) + '-2,0' + chr(10) + '3,1')}",
        refusals=True,
    )
    expect(page.locator("#data-predictions-fault")).to_contain_text("predictions must be in [0, 1]")
    expect(value(page)).to_contain_text("once the data fits it")
    page.get_by_role("textbox", name="Paste your data").fill("score,label\n0.5,1,2")
    expect(page.locator("#paste-fault")).to_have_text("Row 1 has 3 values, and there are 2 columns.")


def test_names_of_classes_and_columns_side_by_side_are_taken(opened: Opened, site: Server) -> None:
    table = "p_0,p_1,p_2,label\n0.7,0.2,0.1,cat\n0.1,0.8,0.1,dog\n0.2,0.2,0.6,emu\n0.5,0.3,0.2,dog\n"
    page = opened(f"#loss=categorical_cross_entropy&data={quote(table)}")
    body = {"predictions": [[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6], [0.5, 0.3, 0.2]], "targets": [0, 1, 2, 1]}
    expect(value(page)).to_contain_text(str(evaluated(site, **{**body, "loss": "categorical_cross_entropy"})["value"]))


def test_what_costs_most_is_sorted_to_the_top_and_saved(opened: Opened) -> None:
    page = opened()
    page.get_by_role("button", name="loss", exact=True).click()
    expect(page.get_by_role("table", name="Samples").locator("tbody tr").first.locator("td").first).to_have_text("3")
    with page.expect_download() as started:
        page.locator("#data-take").get_by_role("button", name="Download").click()
    lines = Path(started.value.path()).read_text().splitlines()
    assert lines[0] == "sample,prediction,label,loss,gradient,numerical"
    assert lines[3].startswith("3,8,2,5.5,0.16666666666666666,")
