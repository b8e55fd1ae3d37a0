"""Imports run one way, and the core knows nothing of HTTP."""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import CodeType

import pytest

from tests.conftest import ROOT
from tests.folding import in_turn

pytestmark = pytest.mark.no_cover  # the rules of the tree run no line of app

APP = ROOT / "app"

MAY_IMPORT = {
    "errors": set[str](),
    "settings": set[str](),
    "version": set[str](),
    "client": {"client"},
    "domains": set[str](),
    "libraries": set[str](),
    "suggestions": set[str](),
    "registry": {"libraries", "suggestions", "errors"},
    "losses": {"losses", "domains", "registry", "libraries", "suggestions", "errors"},
    "insight": {"insight", "losses", "domains", "registry", "errors"},
    "training": {"training", "losses", "domains", "registry", "libraries", "errors"},
    "jobs": {"jobs", "errors"},
    "wire": {"wire", "losses", "errors"},
    "serving": {"serving", "jobs", "wire", "losses", "registry", "suggestions", "errors", "settings", "version"},
    "api": {
        "api",
        "serving",
        "wire",
        "jobs",
        "insight",
        "training",
        "losses",
        "libraries",
        "registry",
        "suggestions",
        "errors",
        "settings",
        "version",
    },
    "main": {"api", "serving", "settings"},
    "__main__": {"serving"},
}
"""Part of the app -> the parts it may import. What is not here does not exist."""

COMMANDS = {"api.openapi", "api.vega", "__main__"}
"""Modules that run the whole app, so that they import it; nobody imports them."""

WEB = {"fastapi", "starlette", "pydantic", "pydantic_settings", "uvicorn", "orjson", "simdjson", "httpx"}
CORE = {"errors", "registry", "losses", "insight", "training"}
CORE_MAY_IMPORT = {"numpy", "annotated_types", "typing_extensions"}
TRAINED_WITH = {"scipy", "sklearn"}
"""What app.training may import besides, inside the functions that need it."""
ALSO = {"training": TRAINED_WITH, "insight": {"scipy"}, "losses.numerics.special": {"scipy"}, "training.exported": {"onnx"}}


@cache
def modules() -> dict[str, Path]:
    """Every module below app/ by its name without `app.`, packages under their own names."""
    paths = sorted(APP.rglob("*.py"))
    return {".".join(path.relative_to(APP).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}


@cache
def imports(path: Path) -> tuple[str, ...]:
    """The modules that a file imports, with names imported from app/ as modules of it."""
    return tuple(_imports(path))


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports by dots"
            assert node.module
            yield from (f"app.{alias.name}" for alias in node.names) if node.module == "app" else (node.module,)


def part(module: str) -> str:
    return module.partition(".")[0]


EVERY_MODULE = in_turn("name", [name for name in modules() if name != "__init__"])


@EVERY_MODULE
def test_imports_run_one_way(name: str) -> None:
    allowed = MAY_IMPORT[part(name)] | ({"main"} if name in COMMANDS else set())
    found = {part(module.removeprefix("app.")) for module in imports(modules()[name]) if module.startswith("app.")}
    assert found <= allowed


@EVERY_MODULE
def test_nobody_imports_a_command(name: str) -> None:
    assert not {module.removeprefix("app.") for module in imports(modules()[name])} & COMMANDS


@in_turn("name", [name for name in modules() if part(name) in CORE | {"domains"}])
def test_the_core_needs_numpy_and_little_else(name: str) -> None:
    found = {part(module) for module in imports(modules()[name])} - set(sys.stdlib_module_names) - {"app"}
    assert found <= CORE_MAY_IMPORT | ALSO.get(part(name), set()) | ALSO.get(name, set())


@pytest.mark.parametrize("package", [name for name in ("losses", "insight", "training") if (APP / name).exists()])
def test_the_core_alone_loads_nothing_of_the_web(package: str) -> None:
    loaded = loaded_by(f"app.{package}")
    assert not {part(module) for module in loaded} & WEB
    assert not {module for module in loaded if module.startswith(("app.api", "app.main", "app.settings"))}


@pytest.mark.parametrize("module", ["app.insight", "app.training", "app.main"])
def test_only_a_process_that_trains_or_analyzes_loads_what_it_does_that_with(module: str) -> None:
    """Seconds and 100 MB, which the server is spared."""
    assert not {part(module) for module in loaded_by(module)} & TRAINED_WITH


NOT_AT_START = {
    "dbos": "the process that does jobs",
    "fastapi": "who makes the document",
    "markdown_it": "who first asks for a page of text",
    "numpy.polynomial": "the first interval that is integrated",
    "numpy.random": "who draws",
    "prometheus_client": "the first scrape",
    "sqlite3": "the first job",
    "vl_convert": "who draws a picture",
}
"""What a service at rest has not loaded, and who loads it. A third of a second and 25 MB together: see docs/decisions/pool.md."""


def test_a_service_that_waits_has_loaded_what_every_request_needs_and_little_else() -> None:
    loaded = loaded_by("app.main", "app.main.create_app()")
    assert not NOT_AT_START.keys() & loaded


def test_a_service_that_waits_has_read_no_page() -> None:
    """8 MB."""
    loaded_by(
        "app.main",
        "from app.api import docs, playground; app.main.create_app()\n"
        "assert not {'_contents', 'version'} & {*vars(docs.ASSETS), *vars(playground.ASSETS)}",
    )


@in_turn("name", [name for name in modules() if part(name) in CORE])
def test_the_core_names_its_arguments_and_no_place_in_a_document(name: str) -> None:
    """A fault's place is a path, which whoever has asked maps to fields of his own; a pointer is none of the core's words."""
    constants = [node for node in ast.walk(ast.parse(modules()[name].read_text())) if isinstance(node, ast.Constant)]
    assert not [node.value for node in constants if isinstance(node.value, str) and re.match("/[a-z0-9~]", node.value)]


def test_json_pointers_are_written_in_one_place() -> None:
    assert [name for name, path in modules().items() if "~1" in path.read_text()] == ["serving.problems"]


NAMELESS = {"each", "at", "said", "Told", "Seen", "Held"}
"""What a thing is not: a name says loss, row, index or message, and can be searched for."""


def bound(tree: ast.Module) -> Iterator[str]:
    """The names that a file gives: variables, arguments, attributes, functions and classes, and what it imports under one."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()) | ast.arg(arg=name):
                yield name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)) | ast.ExceptHandler(name=str(name)):
                yield name
            case ast.alias(asname=str(name)):
                yield name
            case _:
                pass


def mentioned(code: CodeType) -> set[str]:
    """The names that a compiled file gives or uses: found much sooner than `bound` finds those that it gives."""
    inner = (constant for constant in code.co_consts if isinstance(constant, CodeType))
    return {*code.co_names, *code.co_varnames, *code.co_cellvars}.union(*(mentioned(constant) for constant in inner))


@pytest.mark.parametrize("folder", ["app", "tests", "bench", "docs"])
def test_things_are_called_by_what_they_are(folder: str) -> None:
    paths = [path.relative_to(ROOT) for path in (ROOT / folder).rglob("*.py")]
    ours = [path for path in paths if not any(part.startswith(".") or part == "node_modules" for part in path.parts)]
    texts = {str(path): (ROOT / path).read_text() for path in ours}
    assert texts
    some = {path: text for path, text in texts.items() if NAMELESS & mentioned(compile(text, path, "exec"))}
    assert not {path: found for path, text in some.items() if (found := NAMELESS.intersection(bound(ast.parse(text))))}


def loaded_by(module: str, then: str = "") -> set[str]:
    """Every module that a fresh interpreter has loaded once it has imported this one, and done something."""
    code = f"import json, sys, {module}\n{then}\nprint(json.dumps(sorted(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    loaded = set(json.loads(result.stdout))
    assert module in loaded
    return loaded


@pytest.mark.parametrize(
    "path", ["app/losses/new.py", "app/errors.py", "app/registry.py", "app/training/new.py", "app/insight/new.py"]
)
@pytest.mark.parametrize("module", ["fastapi", "starlette.requests", "pydantic", "app.wire.json"])
def test_ruff_refuses_the_web_in_the_core(path: str, module: str) -> None:
    assert "TID251" in ruff(path, f"import {module}\n")


@pytest.mark.parametrize("path", ["app/api/new.py", "app/main.py", "app/settings.py"])
def test_ruff_takes_the_web_where_it_belongs(path: str) -> None:
    assert "TID251" not in ruff(path, "import fastapi\nimport pydantic\n")


def ruff(path: str, code: str) -> str:
    command = [sys.executable, "-m", "ruff", "check", "--stdin-filename", path, "--output-format", "concise", "-"]
    return subprocess.run(command, cwd=ROOT, input=code, capture_output=True, text=True, timeout=60, check=False).stdout


def test_folders_name_subjects_and_not_layers() -> None:
    layers = {"services", "repositories", "managers", "utils", "helpers", "common", "schemas", "core", "misc"}
    assert not {word for name in modules() for word in name.split(".")} & layers


def test_the_map_of_the_tree_names_what_is_there() -> None:
    """Each path in the docstring of app/ exists, and no part of the app is missing in it."""
    tree = ast.get_docstring(ast.parse((APP / "__init__.py").read_text())) or ""
    words = [line.split()[0] for line in tree.splitlines() if line.startswith("    ")]
    named = {word.removesuffix(".py") for word in words if word.endswith((".py", "/"))}
    present = {part for name in modules() for part in name.split(".")} | {
        f"{folder.name}/" for folder in APP.rglob("*") if folder.is_dir()
    }
    assert named <= present
    assert {part(name) for name in modules()} - {"__init__"} <= {folder.rstrip("/") for folder in named}


def test_no_family_of_losses_is_too_long_to_be_read() -> None:
    lengths = {path.name: len(path.read_text().splitlines()) for path in (APP / "losses" / "families").glob("*.py")}
    assert {name: length for name, length in lengths.items() if length > 400} == {}
