"""The pages in a real Chromium, against a real server: whatever the browser complains about fails the test that saw it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

from tests.conftest import Server, serving

CHROMIUM = "/usr/bin/chromium"
AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
FOUND = 90_000
"""Milliseconds to wait for what is to be seen: a loaded machine is slow, and a fast one does not wait."""
REFUSED = "Failed to load resource: the server responded with a status of 4"
"""What Chromium writes of every request that is refused, whether a page deals with it or not."""

Opened: TypeAlias = Callable[..., Page]


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """A browser is started where it is asked for by name, as `make test-browser` does, and not with the other tests."""
    return None if any("tests/browser" in str(argument) for argument in config.invocation_params.args) else True


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    expect.set_options(timeout=FOUND)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One process for training, and nobody waits for it: a run that goes on is seen by the next."""
    with serving(tmp_path_factory.mktemp("site"), training_processes=1, training_waiting=0) as running:
        yield running


@pytest.fixture
def opened(chromium: Browser, site: Server) -> Iterator[Opened]:
    """opened(path, width=, scheme=, refusals=) is a page; refusals says that requests will be refused."""
    faults: list[str] = []
    contexts: list[Any] = []

    def open_page(path: str = "", *, width: int = 1280, scheme: Any = "light", refusals: bool = False, **more: Any) -> Page:
        context = chromium.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
            permissions=["clipboard-read", "clipboard-write"],
            **more,
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(FOUND)

        def heard(message: ConsoleMessage) -> None:
            expected = refusals and message.text.startswith((REFUSED, "Failed to load resource: net::ERR_INTERNET_DISCONNECTED"))
            if message.type in ("error", "warning") and not expected:
                faults.append(f"console: {message.text}")

        def asked(request: Request) -> None:
            if not request.url.startswith((site.url, "data:", "blob:")):
                faults.append(f"a request elsewhere: {request.url}")

        page.on("console", heard)
        page.on("pageerror", lambda error: faults.append(f"error: {error}"))
        page.on("request", asked)
        page.goto(f"{site.url}/{path}")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []
