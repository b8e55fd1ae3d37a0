"""The pages in a real Chromium, against a real server: whatever the browser complains about fails the test that saw it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request, expect, sync_playwright

from tests.conftest import Server, serving

CHROMIUM = "/usr/bin/chromium"
AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
FOUND = 60_000
"""Milliseconds to wait for what is to be seen: a loaded machine is slow, and a fast one does not wait."""
PAUSE = 20
"""Milliseconds between two looks at what a page has no event for."""
REFUSED = "Failed to load resource: the server responded with a status of 4"
"""What Chromium writes of every request that is refused, whether a page deals with it or not."""
UNREACHED = "Failed to load resource: net::ERR_"
HEIGHT = 900
LONG = "#view=train&loss=mean_squared_error&train.data=friedman1&train.data.n_samples=5000&train.epochs=2000"
"""A run that nobody waits for."""

Opened: TypeAlias = Callable[..., Page]


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """A browser is started where it is asked for by name, as `make test-browser` does, and not with the other tests."""
    return None if any("tests/browser" in str(argument) for argument in config.invocation_params.args) else True


@pytest.fixture(scope="session")
def chromium() -> Iterator[BrowserContext]:
    """One browser with one cache for all tests: what draws charts is loaded and compiled once."""
    expect.set_options(timeout=FOUND)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = browser.new_context(permissions=["clipboard-read", "clipboard-write"], accept_downloads=True)
        context.set_default_timeout(FOUND)
        yield context
        browser.close()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("site")) as running:
        yield running


@pytest.fixture
def opened(chromium: BrowserContext, site: Server) -> Iterator[Opened]:
    """opened(path, width=, scheme=, moving=, refusals=, base=) is a page.

    Moving: the reader wants to see runs played; refusals: requests will be refused; base: the address of another server.
    """
    faults: list[str] = []
    pages: list[Page] = []

    def open_page(
        path: str = "", *, width: int = 1280, scheme: Any = "light", moving: bool = False, refusals: bool = False, base: str = ""
    ) -> Page:
        base = base or site.url
        page = chromium.new_page()
        pages.append(page)
        page.set_viewport_size({"width": width, "height": HEIGHT})
        page.emulate_media(color_scheme=scheme, reduced_motion="no-preference" if moving else "reduce")

        def heard(message: ConsoleMessage) -> None:
            expected = refusals and message.text.startswith((REFUSED, UNREACHED))
            if message.type in ("error", "warning") and not expected:
                faults.append(f"console: {message.text}")

        def asked(request: Request) -> None:
            if not request.url.startswith((base, "data:", "blob:")):
                faults.append(f"a request elsewhere: {request.url}")

        page.on("console", heard)
        page.on("pageerror", lambda error: faults.append(f"error: {error}"))
        page.on("request", asked)
        page.goto(f"{base}/{path}")
        return page

    yield open_page
    for page in pages:
        page.close()
    chromium.set_offline(False)
    assert faults == []


DRAWN = {"SVG": b"<svg", "PNG": b"\x89PNG"}


def downloaded(page: Page, panel: str, form: str) -> tuple[str, bytes]:
    """Name and content of what a panel gives to be saved."""
    take = page.locator(f"#{panel}-take")
    take.get_by_role("combobox", name="Download as").select_option(form)
    with page.expect_download() as started:
        take.get_by_role("button", name="Download").click()
    return started.value.suggested_filename, Path(started.value.path()).read_bytes()


def copied(page: Page, panel: str, language: str) -> str:
    """The program that a panel gives."""
    take = page.locator(f"#{panel}-take")
    take.get_by_role("combobox", name="Copy as").select_option(language)
    take.get_by_role("button", name="Copy").click()
    expect(take.get_by_role("status")).to_have_text("Copied")
    return page.evaluate("navigator.clipboard.readText()")


def until(page: Page, condition: Callable[[], bool], what: str) -> None:
    """Wait for what a page has no event for."""
    for _ in range(FOUND // PAUSE):
        if condition():
            return
        page.wait_for_timeout(PAUSE)
    raise AssertionError(what)
