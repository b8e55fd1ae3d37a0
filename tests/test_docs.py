"""The README and the guides keep their word: every request is sent as it stands, and answered as they say."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import httpx
import pytest

from app import settings
from app.api.openapi import same
from app.version import VERSION
from docs import losses
from tests.clients import languages
from tests.conftest import Server

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
PAGES = sorted(
    str(page.relative_to(ROOT))
    for folder in (ROOT, ROOT / "docs", ROOT / "docs/decisions", ROOT / "docs/recipes", ROOT / "tests")
    for page in folder.glob("*.md")
)
GUIDES = "".join((ROOT / "docs" / page).read_text() for page in ("insight.md", "composed.md"))
SHOWN = re.findall(r"```sh\n(curl [^`]+)```\n```json\n([^`]+)```", README + GUIDES)
IN_PART = (
    "/v1/train",
    "/v1/analyze",
    "/v1/compare",
    "/v1/check-gradient",
    "/v1/recommend",
    '"expression"',
    '"multi_task"',
)
"""Calls and losses whose answers are long: the pages show a part of them."""


def sent(command: str, server: Server) -> httpx.Response:
    """What a curl command of the README gets from this server instead of the one on port 8000."""
    words = shlex.split(command)
    url = next(word for word in words if word.startswith("localhost:8000"))
    data = words[words.index("-d") + 1]
    name, _, value = words[words.index("-H") + 1].partition(": ")
    content = (ROOT / data[1:]).read_bytes() if data.startswith("@") else data.encode()
    return server.ask("POST", url.removeprefix("localhost:8000"), content=content, headers={name: value})


def test_the_readme_shows_requests() -> None:
    assert len(SHOWN) >= 3


@pytest.mark.parametrize(("command", "answer"), SHOWN)
def test_a_request_of_the_readme_gets_the_answer_it_shows(command: str, answer: str, server: Server) -> None:
    got = sent(command, server).json()
    shown = json.loads(answer)
    assert same(part(got, shown) if any(path in command for path in IN_PART) else got, shown), got


def part(got: Any, shown: Any) -> Any:
    """Of what a training run answers, what the page shows: an answer has a line for every epoch."""
    if isinstance(shown, dict):
        return {key: part(got[key], value) for key, value in shown.items()}
    return [part(*pair) for pair in zip(got, shown, strict=True)] if isinstance(shown, list) else got


def test_the_page_of_languages_shows_what_its_programs_get(server: Server) -> None:
    """Here without the languages, by a request like theirs; `make test-clients` runs the programs."""
    (shown,) = re.findall(r"```text\n([^`]+)```", languages.PAGE)
    answer, refusal = (server.ask("POST", "/v1/evaluate", json=body).json() for body in (languages.BODY, languages.REFUSED))
    assert shown.splitlines() == [str(answer["value"]), str(answer["per_sample"]), refusal["detail"]]
    assert languages.mismatch(shown, answer, refusal) is None
    assert languages.mismatch(shown.replace("0.28916685590157437", "0.2891668559015744"), answer, refusal)
    assert languages.mismatch(shown.replace("throughout", ""), answer, refusal)


def test_each_language_has_a_program_that_is_run() -> None:
    assert languages.LANGUAGES.keys() <= languages.PROGRAMS.keys()
    assert len(languages.LANGUAGES) == 8
    assert all(languages.ADDRESS in program for program in languages.PROGRAMS.values())


@pytest.mark.parametrize("document", PAGES)
def test_links_lead_somewhere(document: str) -> None:
    page = ROOT / document
    for link in re.findall(r"\]\(([^)#]+)", page.read_text()):
        assert link.startswith("http") or (page.parent / link).exists(), link


def test_make_commands_of_the_documents_exist() -> None:
    targets = set(re.findall(r"^([\w-]+):", MAKEFILE, re.M))
    documents = "".join((ROOT / page).read_text() for page in PAGES)
    assert set(re.findall(r"`make ([\w-]+)", documents)) <= targets


def test_every_decision_is_in_the_index() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = re.findall(r"^- \[([\w-]+\.md)\]", (folder / "README.md").read_text(), re.M)
    assert sorted([*listed, "README.md"]) == sorted(page.name for page in folder.iterdir())


def test_the_change_log_begins_with_this_version() -> None:
    versions = re.findall(r"^## \[(.+)\]", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert versions[0] == VERSION


def test_the_image_serves_as_make_serve_does() -> None:
    assert "python -m app\n" in MAKEFILE
    assert 'CMD ["python", "-m", "app"]' in (ROOT / "Dockerfile").read_text()


def test_every_dependency_has_its_reason() -> None:
    declared = set(re.findall(r'^    "([a-z-]+)\b(?!\[)', (ROOT / "pyproject.toml").read_text(), re.M))
    reasons = (ROOT / "CONTRIBUTING.md").read_text()
    assert {name for name in declared if name not in reasons} == set()


def test_the_page_of_settings_is_what_the_code_says() -> None:
    assert (ROOT / "docs/settings.md").read_text() == settings.table(), "run: python -m app.settings > docs/settings.md"


@pytest.mark.thorough  # `make check` draws them all as well
def test_the_pictures_of_the_page_of_losses_are_small() -> None:
    assert sum(len(text.encode()) for path, text in losses.wanted() if path.suffix == ".svg") < 100_000
