"""Pages beside /docs: every error with its way out, whole programs, and addresses that are asked for everywhere."""

import re
from functools import cache
from itertools import pairwise
from pathlib import Path

from app.api.assets import page
from app.api.playground import ASSETS
from app.serving.call import Call
from app.serving.content import Content

FOLDER = Path(__file__).parent
ERRORS = FOLDER / "errors.md"
LANGUAGES = FOLDER / "languages.md"

PAGE = """<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="color-scheme" content="light dark">
    <title>Criterion: {title}</title>
    <link rel="icon" href="../playground/{version}/icon.svg">
    <link rel="stylesheet" href="../playground/{version}/page.css">
  </head>
  <body>
    <header class="banner">
      <div class="wide">
        <nav aria-label="Pages"><a href="../">Criterion</a><a href="../docs">API</a><a href="errors">Errors</a>\
<a href="languages">From your language</a></nav>
      </div>
    </header>
    <main class="wide text">
{text}
    </main>
  </body>
</html>
"""
ELSEWHERE = """<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta http-equiv="refresh" content="0; url={to}">
    <title>Criterion: API</title>
  </head>
  <body><p><a href="{to}">The API is described here.</a></p></body>
</html>
"""
ROBOTS = "User-agent: *\nAllow: /\n"


@cache
def written(file: Path, title: str) -> str:
    """A page of a text in Markdown, each heading under its own words as an anchor."""
    from markdown_it import MarkdownIt  # what nothing else needs

    reader = MarkdownIt()
    tokens = reader.parse(file.read_text(encoding="utf-8"))
    for opening, inline in pairwise(tokens):
        if opening.type == "heading_open":
            opening.attrSet("id", anchor(inline.content))
    text = reader.renderer.render(tokens, reader.options, {}).replace("<pre>", '<pre tabindex="0">')
    return PAGE.format(title=title, version=ASSETS.version, text=text.replace('href="../README.md"', 'href="../docs"'))


def anchor(heading: str) -> str:
    """As GitHub makes them; a code stands for itself, without its status."""
    code = re.match("`([a-z_]+)`", heading)
    return code[1] if code else re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def errors() -> Content:
    return page(written(ERRORS, "errors"))


def languages() -> Content:
    return page(written(LANGUAGES, "from your language"))


def docs_folder() -> Content:
    return page(ELSEWHERE.format(to="../docs"))


def redoc() -> Content:
    return page(ELSEWHERE.format(to="docs"))


def favicon() -> Content:
    return ASSETS.get(ASSETS.version, "icon.svg")._replace(fields=())


def robots() -> Content:
    return Content((ROBOTS.encode(),), "text/plain; charset=utf-8")


CALLS = (
    Call(method="GET", path="/docs/errors", function=errors, summary="Every error", constant=True),
    Call(method="GET", path="/docs/languages", function=languages, summary="Whole programs", constant=True),
    Call(method="GET", path="/docs/", function=docs_folder, summary="Leads to /docs", constant=True),
    Call(method="GET", path="/redoc", function=redoc, summary="Leads to /docs", constant=True),
    Call(method="GET", path="/favicon.ico", function=favicon, summary="An icon", constant=True),
    Call(method="GET", path="/robots.txt", function=robots, summary="That the page may be found", constant=True),
)
