"""A service that wants a key: asked for on the page, kept in its tab, taken by the API reference; and one lost in mid-run."""

import json
import re
from pathlib import Path

from playwright.sync_api import expect

from app.serving.keys import new_key
from tests.browser.conftest import LONG, Opened
from tests.conftest import serving


def test_a_key_is_asked_for_kept_in_the_tab_and_sent_and_a_run_is_lost_with_its_service(opened: Opened, tmp_path: Path) -> None:
    key, entry = new_key("reader", ["evaluate", "train"])
    (tmp_path / "keys.json").write_text(json.dumps({"keys": [entry]}))
    with serving(tmp_path, keys_file=tmp_path / "keys.json") as locked:
        page = opened("#loss=log_cosh", refusals=True, base=locked.url)
        field = page.get_by_role("textbox", name="API key")
        expect(field).to_have_attribute("aria-invalid", "true")
        expect(page.locator("#key-text-fault")).to_contain_text("this call needs a key")
        field.fill("nobody's")
        field.press("Enter")
        expect(page.locator("#key-text-fault")).to_contain_text("this key is none that is known here")
        field.fill(key)
        page.get_by_role("button", name="Use this key").click()
        expect(field).to_be_hidden()
        expect(page.get_by_role("figure", name="Loss and slope: log_cosh")).to_be_visible()
        expect(page.locator("#analysis svg")).to_be_visible()
        page.get_by_role("button", name="Run", exact=True).click()
        expect(page.get_by_role("status", name="Diagnosis")).not_to_be_empty()
        assert key not in page.url
        assert page.evaluate("localStorage.length") == 0
        assert page.evaluate("document.cookie") == ""
        page.reload()
        expect(page.locator("#analysis svg")).to_be_visible()
        page.get_by_role("button", name="Use another key").click()
        expect(field).to_be_visible()

        page = opened("docs#/evaluate/evaluate", refusals=True, base=locked.url)
        page.get_by_role("button", name="Execute").click()
        status = page.locator(".live-responses-table .response .response-col_status")
        expect(status).to_contain_text("401")
        page.get_by_role("button", name="Authorize", exact=True).first.click()
        page.locator("#auth-bearer-value").fill(key)
        page.locator(".modal-ux").get_by_role("button", name="Apply credentials").first.click()
        page.locator(".modal-ux").get_by_role("button", name="Close", exact=True).first.click()
        page.get_by_role("button", name="Execute").click()
        expect(status).to_contain_text("200")
        page.locator(".operation-filter-input").fill("HuberLoss")
        expect(page.locator(".opblock-summary-path").filter(has_text="evaluate")).to_be_visible()

        page = opened(LONG, refusals=True, moving=True, base=locked.url)
        page.get_by_role("textbox", name="API key").fill(key)
        page.get_by_role("button", name="Use this key").click()
        epoch = page.get_by_role("status", name="Epoch")
        expect(epoch).to_have_text(re.compile(r"^Epoch [1-9]\d* of 2000$"))
        locked.process.kill()
        expect(epoch).to_have_text(re.compile(r"^The service was lost at epoch [1-9]\d*$"))
        expect(page.locator("#lost")).to_contain_text("The service does not answer")
        expect(page.locator("#loss-curve-plot svg")).to_be_visible()
        expect(page.get_by_role("button", name="Stop")).to_be_disabled()
