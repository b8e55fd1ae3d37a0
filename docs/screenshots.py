"""python -m docs.screenshots: the page as the README shows it, light and dark, into docs/pictures. Needs Chromium."""

import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect, sync_playwright

from tests.browser.conftest import CHROMIUM, FOUND
from tests.conftest import serving

FOLDER = Path(__file__).with_name("pictures")
SIZE: Any = {"width": 1280, "height": 800}
LOOK = "#view=look&loss=huber&loss.delta=1.5&with=mean_absolute_error&at=-1.2"


def look(page: Page, name: str) -> None:
    expect(page.locator("#curve-plot svg")).to_be_visible()
    expect(page.get_by_role("slider", name="Prediction")).to_have_attribute(
        "aria-valuetext", "prediction −1.2, loss 0.72, slope −1.2"
    )
    page.screenshot(path=FOLDER / f"page-look-{name}.png")


def train(page: Page, name: str) -> None:
    page.get_by_role("button", name="Overfitting", exact=True).click()
    expect(page.get_by_role("status", name="Diagnosis")).to_contain_text("overfitting")
    expect(page.get_by_text("best: epoch 31")).to_be_visible()
    page.get_by_role("link", name="Train").click()
    expect(page.locator("#thumbs span:empty")).to_have_count(0)
    page.wait_for_timeout(300)  # what follows the scroll is painted
    page.screenshot(path=FOLDER / f"page-train-{name}.png")


def main() -> None:
    expect.set_options(timeout=FOUND)
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            page = browser.new_page(viewport=SIZE, color_scheme=scheme)
            page.goto(f"{server.url}/{LOOK}")
            look(page, scheme)
            train(page, scheme)
        browser.close()


if __name__ == "__main__":
    main()
