"""What holds for every page: no barriers, no sideways scroll, little to load, and a server that is lost is said."""

import re
from typing import Any, Literal

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import AXE, HEIGHT, Opened, until
from tests.browser.test_train import PRESETS
from tests.conftest import Server

WIDTHS = (320, 768, 1280)
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
PAPER = 718
"""A4 without its margins, in px."""
MOST_REQUESTS = 20
JAVASCRIPT_BYTES = 60_000
CSS_BYTES = 15_000


NAMES: dict[str, dict[Any, tuple[str, ...]]] = {
    "Look": {
        "combobox": ("Loss", "Overlay"),
        "slider": ("delta", "Prediction"),
        "spinbutton": ("delta",),
        "textbox": ("Expression",),
        "figure": ("Loss and slope: huber, mean_absolute_error",),
        "heading": ("Look", "huber"),
    },
    "Your data": {
        "textbox": ("Paste your data",),
        "button": ("Open a file", "Use huber"),
        "combobox": ("Predictions column", "Targets column", "Weights column", "Compare with column", "Groups column"),
        "status": ("Value", "Conclusion"),
        "table": ("Samples",),
        "columnheader": ("numerical",),
        "figure": ("Per-sample loss",),
    },
    "Train": {
        "group": ("Presets", "Datasets", "Runs"),
        "button": (*PRESETS, "Run", "Pause", "Step", "Stop", "Reset"),
        "combobox": ("Dataset", "Model", "Optimizer", "Schedule"),
        "spinbutton": ("Learning rate", "Epochs", "Seed", "Held out", "n_samples", "noise"),
        "status": ("Epoch", "Diagnosis"),
        "figure": ("Training and validation loss", "Fit"),
        "checkbox": ("Log scale", "huber"),
        "slider": ("Smoothing",),
    },
}
"""What people, screen readers and links to the page rely on."""
EACH: dict[Any, tuple[str, ...]] = {"combobox": ("Copy as", "Download as"), "button": ("Copy", "Download")}
FORMS = ["CSV", "JSON", "SVG", "PNG"]
LANGUAGES = ["curl", "Python", "Python (httpx)", "JavaScript", "R", "Go", "Java"]


def settled(page: Page) -> Page:
    """The page with all of its panels."""
    expect(page.locator("#curve-plot svg")).to_be_visible()
    expect(page.locator("#analysis svg")).to_be_visible()
    page.locator("#train").scroll_into_view_if_needed()
    expect(page.get_by_role("status", name="Diagnosis")).not_to_be_empty()
    return page


def barriers(page: Page, within: str = "body") -> list[str]:
    """What axe-core finds."""
    page.evaluate(AXE.read_text())
    found: list[dict[str, Any]] = page.evaluate("within => axe.run(within).then(result => result.violations)", within)
    return [
        f"{rule['id']}: {node['html'][:200]} {node.get('failureSummary', '')[:200]}" for rule in found for node in rule["nodes"]
    ]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_nothing_is_in_the_way_and_nothing_scrolls_sideways(scheme: str, opened: Opened) -> None:
    page = settled(opened("#with=mean_absolute_error", width=WIDTHS[0], scheme=scheme))
    page.get_by_text("More", exact=True).click()
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": HEIGHT})
        until(page, lambda width=width: scrolled(page) == width, f"it scrolls sideways at {width} px")
        assert barriers(page) == []
    page.get_by_role("combobox", name="Loss", exact=True).click()
    expect(page.get_by_role("option").first).to_be_visible()
    assert barriers(page, "#look") == []


def scrolled(page: Page) -> int:
    return page.evaluate("document.documentElement.scrollWidth")


def test_pages_of_text_are_free_of_barriers(opened: Opened) -> None:
    for path in ("docs/errors", "docs/languages"):
        page = opened(path, width=320)
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            assert barriers(page) == []
        assert scrolled(page) == 320


def test_what_is_loaded_before_the_first_chart_is_little(opened: Opened) -> None:
    page = opened()
    expect(page.locator("#curve-plot svg")).to_be_visible()
    settled(page)
    loaded: list[dict[str, Any]] = page.evaluate("performance.getEntriesByType('resource').map(entry => entry.toJSON())")
    first = next(entry["startTime"] for entry in loaded if entry["name"].endswith("/data.js"))
    before = [entry for entry in loaded if entry["startTime"] < first]
    assert len(before) + 1 <= MOST_REQUESTS
    own = [entry for entry in loaded if re.search(r"/playground/.*(?<!vega)\.js$", entry["name"])]
    assert len(own) > 10
    assert sum(entry["encodedBodySize"] for entry in own) < JAVASCRIPT_BYTES
    (style,) = [entry for entry in loaded if entry["name"].endswith("page.css")]
    assert style["encodedBodySize"] < CSS_BYTES


def test_all_of_it_is_reached_by_keys_in_the_order_of_reading(opened: Opened) -> None:
    page = settled(opened())
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the panels")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("combobox", name="Loss", exact=True)).to_be_focused()
    order: list[float] = []
    for _ in range(12):
        page.keyboard.press("Tab")
        order.append(page.evaluate("[...document.querySelectorAll('*')].indexOf(document.activeElement)"))
    assert order == sorted(order)


def test_everything_has_the_name_by_which_it_is_found(opened: Opened) -> None:
    page = settled(opened("#with=mean_absolute_error"))
    for region, roles in NAMES.items():
        panel = page.get_by_role("region", name=region, exact=True)
        for role, names in [*roles.items(), *EACH.items()]:
            for name in names:
                expect(panel.get_by_role(role, name=name, exact=True), f"{region}: {role} {name}").to_have_count(1)
        expect(panel.get_by_role("combobox", name="Copy as").get_by_role("option")).to_have_text(LANGUAGES)
        expect(panel.get_by_role("combobox", name="Download as").get_by_role("option")).to_have_text(FORMS)
    expect(page.get_by_role("note", name="What this shows")).to_have_count(0)
    for landmark in (page.get_by_role("banner"), page.get_by_role("main"), page.get_by_role("navigation", name="Panels")):
        expect(landmark).to_have_count(1)
    expect(page.locator("h1")).to_have_count(1)
    assert page.locator("#look math").count() > 1


def test_to_choose_is_a_step_of_the_history_and_to_move_or_type_is_none(opened: Opened) -> None:
    page = settled(opened("#at=1.23456789"))
    slider = page.get_by_role("slider", name="Prediction")
    expect(slider).to_have_attribute("aria-valuetext", re.compile(r"^prediction 1\.23456789, "))
    before = page.evaluate("history.length")
    for key in ("ArrowRight", "PageDown", "Home"):
        slider.press(key)
    page.get_by_role("spinbutton", name="delta").fill("2")
    page.wait_for_url(re.compile(r"at=-3&loss=huber&loss\.delta=2$"))
    assert page.evaluate("history.length") == before
    page.get_by_role("combobox", name="Optimizer").select_option("sgd")
    page.wait_for_url(re.compile("train.optimizer=sgd"))
    assert page.evaluate("history.length") == before + 1
    page.go_back()
    expect(page.get_by_role("combobox", name="Optimizer")).to_have_value("adam")
    expect(page.get_by_role("spinbutton", name="delta")).to_have_value("2")


def test_all_panels_are_printed_without_what_paper_cannot_do(opened: Opened) -> None:
    page = settled(opened())
    page.emulate_media(media="print")
    for name in ("Look", "Your data", "Train"):
        panel = page.get_by_role("region", name=name, exact=True)
        expect(panel.get_by_role("heading", name=name, exact=True)).to_be_visible()
        expect(panel.locator("figure svg").first).to_be_visible()
    for gone in (page.get_by_role("banner"), page.locator(".take").first, page.get_by_role("button", name="Run", exact=True)):
        expect(gone).to_be_hidden()
    page.set_viewport_size({"width": PAPER, "height": HEIGHT})
    until(page, lambda: scrolled(page) == PAPER, "paper is too narrow")
    assert page.pdf().startswith(b"%PDF")


def test_a_chart_says_its_points(opened: Opened) -> None:
    page = settled(opened())
    page.get_by_role("figure", name="Per-sample loss").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#said")).to_have_text("Sample 1: loss 0.125")
    page.keyboard.press("End")
    expect(page.locator("#said")).to_have_text("Sample 6: loss 0.245")
    page.locator("#analysis").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#said")).to_contain_text("huber: 1.01 ± 0.8986")
    page.get_by_role("figure", name="Fit").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#said")).to_have_text(re.compile(r"^x0 −\d\S*: −\d\S*$"))
    page.get_by_role("figure", name="Training and validation loss").focus()
    page.keyboard.press("End")
    expect(page.locator("#said")).to_have_text(re.compile(r"^Epoch 100: training \S+, validation \S+$"))


def test_a_server_that_is_lost_is_said_and_what_was_asked_is_asked_again(opened: Opened, site: Server) -> None:
    page = settled(opened(refusals=True))
    page.context.set_offline(True)
    page.get_by_role("spinbutton", name="delta").fill("2")
    expect(page.locator("#lost")).to_contain_text("The service does not answer. Your work is kept; trying again")
    page.context.set_offline(False)
    expect(page.locator("#lost")).to_be_empty()
    body = {
        "loss": {"name": "huber", "delta": 2},
        "predictions": [2.5, 0, 8, 4.1, 5.2, 1.9],
        "targets": [3, -0.5, 2, 4.4, 5, 2.6],
    }
    value = site.ask("POST", "/v1/evaluate", json=body).json()["value"]
    expect(page.get_by_role("status", name="Value")).to_contain_text(f"mean huber{value}")
    expect(page.get_by_role("spinbutton", name="delta")).to_have_value("2")


def test_the_api_reference_runs_as_it_opens_finds_losses_and_follows_the_scheme(opened: Opened) -> None:
    page = opened("docs#/evaluate/evaluate", scheme="dark", refusals=True)
    expect(page.locator("html")).to_have_class("dark-mode")
    expect(page.locator(".opblock.is-open tr.response")).to_have_count(3)
    page.get_by_role("button", name="Execute").click()
    for operation in ("losses-describe_loss", "losses-draw_curve", "training-train", "inference_protocol-infer"):
        page.locator(f"#operations-{operation} .opblock-summary-control").first.click()
        page.locator(f"#operations-{operation}").get_by_role("button", name="Execute").click()
    expect(page.locator(".live-responses-table .response .response-col_status")).to_contain_text(["200"] * 5)
    expect(page.locator(".errors-wrapper")).to_have_count(0)
    page.locator(".operation-filter-input").fill("hubber")
    expect(page.locator(".opblock-summary-path")).to_have_count(0)
    for name in ("huber", "HuberLoss"):
        page.locator(".operation-filter-input").fill(name)
        expect(page.locator(".opblock-summary-path").filter(has_text="evaluate")).to_be_visible()
    assert page.locator("main").count() <= 1
    own = [fault for fault in barriers(page) if "responses-table" not in fault]  # a region of Swagger UI's for each operation
    assert [fault for fault in own if fault.startswith("landmark")] == []
