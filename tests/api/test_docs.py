"""The page of the API: served from here, and calling nobody else."""

import ast
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest

from app.serving.problems import RULES

pytestmark = pytest.mark.anyio

APP = Path(__file__).parents[2] / "app"
POLICY = {
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data:",
    "connect-src 'self'",
    "font-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
}


class Page(HTMLParser):
    """Every tag of a page with its attributes, and the text between them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inside: dict[str, str] = {}
        self._open = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open = tag

    def handle_data(self, data: str) -> None:
        self.inside[self._open] = self.inside.get(self._open, "") + data.strip()

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    @property
    def links(self) -> list[str]:
        return [link for _, attributes in self.tags for name in ("src", "href") if (link := attributes.get(name))]


async def page(client: httpx.AsyncClient) -> Page:
    response = await client.get("/docs")
    assert (response.status_code, response.headers["content-type"]) == (200, "text/html; charset=utf-8")
    return Page(response.text)


async def test_every_file_of_the_page_is_served(client: httpx.AsyncClient) -> None:
    links = (await page(client)).links
    types = {}
    for link in links:
        response = await client.get(urljoin("/docs", link))
        assert response.status_code == 200, link
        types[link.rpartition("/")[2]] = response.headers["content-type"].partition(";")[0]
        assert len(response.content) > 100
    assert types == {
        "swagger-ui.css": "text/css",
        "favicon-32x32.png": "image/png",
        "swagger-ui-bundle.js": "text/javascript",
        "docs.js": "text/javascript",
    }


async def test_links_are_relative_so_that_a_prefix_does_no_harm(client: httpx.AsyncClient) -> None:
    links = (await page(client)).links
    for link in links:
        assert re.fullmatch(r"docs/static/[0-9a-f]{12}/[\w.-]+", link)
    (address,) = [link for link in links if link.endswith("/docs.js")]
    script = (await client.get(f"/{address}")).text
    assert 'url: "openapi.json"' in script


async def test_files_are_kept_for_good_under_their_hash_and_the_page_is_asked_for_again(client: httpx.AsyncClient) -> None:
    for path in ("/", "/docs"):
        response = await client.get(path)
        assert response.headers["cache-control"] == "no-cache"
        links = [link for link in Page(response.text).links if "/" in link and not link.startswith(("docs/e", "docs/l"))]
        assert links
        for link in links:
            file = await client.get(f"/{link}")
            assert file.headers["cache-control"] == "public, max-age=31536000, immutable", link
            tag = file.headers["etag"]
            again = await client.get(f"/{link}", headers={"if-none-match": tag})
            assert (again.status_code, again.content) == (304, b"")
            folder, _, name = link.rpartition("/")
            other = await client.get(f"/{folder.rpartition('/')[0]}/000000000000/{name}")
            assert (other.content, other.headers["cache-control"]) == (file.content, "no-cache")


async def test_nothing_is_inline(client: httpx.AsyncClient) -> None:
    found = await page(client)
    assert not found.inside.get("script")
    assert "style" not in {tag for tag, _ in found.tags}
    for _, attributes in found.tags:
        assert not [name for name in attributes if name == "style" or name.startswith("on")]


async def test_swagger_ui_starts_with_the_document_and_asks_no_validator(client: httpx.AsyncClient) -> None:
    found = await page(client)
    files = {link.rpartition("/")[2]: (await client.get(f"/{link}")).text for link in found.links}
    (target,) = [attributes["id"] for tag, attributes in found.tags if tag == "div"]
    assert f'dom_id: "#{target}"' in files["docs.js"]
    assert "validatorUrl: null" in files["docs.js"]
    assert "SwaggerUIBundle" in files["swagger-ui-bundle.js"]


@pytest.mark.parametrize(
    "path",
    [
        "/docs",
        "/",
        "/playground/0/page.css",
        "/docs/static/0/swagger-ui.css",
        "/docs/errors",
        "/openapi.json",
        "/v1/losses",
        "/v1/losses/huber",
        "/health/live",
        "/none",
        "/v1/losses/none",
        "/v1/losses?family=none",
        "/v1/evaluate",
        "/v2",
        "/v2/models/none",
    ],
)
async def test_every_response_has_the_policy(path: str, client: httpx.AsyncClient, remote: httpx.AsyncClient) -> None:
    for asked in (client, remote):
        headers = (await asked.get(path)).headers
        assert set(headers["content-security-policy"].split("; ")) == POLICY
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"


async def test_the_policy_stands_on_refusals_too(client: httpx.AsyncClient) -> None:
    for content in (b"", b"{", b"[]", b'{"loss": 1}'):
        headers = (await client.post("/v1/evaluate", content=content)).headers
        assert set(headers["content-security-policy"].split("; ")) == POLICY


async def test_every_code_in_the_source_is_in_the_docs(client: httpx.AsyncClient) -> None:
    description: str = (await client.get("/openapi.json")).json()["info"]["description"]
    codes = {code for path in APP.rglob("*.py") for code in fault_codes(ast.parse(path.read_text()))} | {*RULES.values(), "type"}
    assert {"label", "ragged", "missing", "out_of_range"} < codes
    assert {code for code in codes if f"`{code}`" not in description} == set()


def fault_codes(tree: ast.AST) -> set[str]:
    """The codes that a module writes out: in a Fault, and in refusals of a Place or a table."""
    found: set[str] = set()
    for call in [node for node in ast.walk(tree) if isinstance(node, ast.Call)]:
        name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
        position = {"Fault": 1, "refuse_at": 1, "refuse": 0, "refuse_numbers": 3}.get(name)
        arguments: list[Any] = [] if position is None else call.args[position : position + 1]
        found |= {
            argument.value for argument in arguments if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
        }
    return found


# --- the pages beside it


@pytest.mark.parametrize(("path", "to"), [("/docs/", "/docs"), ("/redoc", "/docs")])
async def test_other_addresses_lead_there(path: str, to: str, client: httpx.AsyncClient) -> None:
    response = await client.get(path)
    assert response.status_code == 200
    (refresh,) = [
        attributes["content"] for tag, attributes in Page(response.text).tags if attributes.get("http-equiv") == "refresh"
    ]
    assert refresh
    assert urljoin(f"http://test{path}", refresh.partition("url=")[2]) == f"http://test{to}"


async def test_what_every_browser_asks_for_is_there(client: httpx.AsyncClient) -> None:
    assert (await client.get("/favicon.ico")).headers["content-type"] == "image/svg+xml"
    assert (await client.get("/robots.txt")).text.startswith("User-agent: *")


async def test_every_code_has_its_place_on_the_page_of_errors_to_which_a_problem_leads(client: httpx.AsyncClient) -> None:
    description: str = (await client.get("/openapi.json")).json()["info"]["description"]
    found = Page((await client.get("/docs/errors")).text)
    anchors = {attributes["id"] for tag, attributes in found.tags if tag == "h3"}
    assert set(re.findall(r"`([a-z_]{3,})`", description)) - {"code"} <= anchors
    problem = (await client.post("/v1/evaluate", json={})).json()
    path, _, anchor = problem["type"].partition("#")
    assert path == "/docs/errors"
    assert anchor in anchors


EXAMPLES = re.findall(r"^### `(\w+)`[^#]*?^```http\n(\w+) (\S+)\n(.*?)^```", (APP / "api" / "errors.md").read_text(), re.M | re.S)


@pytest.mark.parametrize(("code", "method", "path", "body"), EXAMPLES, ids=[example[0] for example in EXAMPLES])
async def test_the_example_of_an_error_is_answered_with_it(
    code: str, method: str, path: str, body: str, client: httpx.AsyncClient
) -> None:
    problem = (await client.request(method, path, content=body.strip() or None)).json()
    assert code in {problem["code"], *(fault["code"] for fault in problem["errors"])}, problem


async def test_the_programs_are_a_page(client: httpx.AsyncClient) -> None:
    found = await client.get("/docs/languages")
    text = (APP / "api" / "languages.md").read_text()
    anchors = {attributes["id"] for tag, attributes in Page(found.text).tags if tag == "h2"}
    assert set(re.findall(r"\]\(#([\w-]+)\)", text)) <= anchors
    assert found.text.count("<pre") == text.count("```") // 2
