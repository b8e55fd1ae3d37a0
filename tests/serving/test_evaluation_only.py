"""A server that was built for evaluation only: without the libraries that `criterion[server]` has beyond `[evaluation]`."""

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import distribution, packages_distributions
from pathlib import Path
from typing import Any

import pytest

from app.api.calls import CALLS
from app.api.evaluating import EVALUATE
from app.serving.installed import OPTIONAL
from tests.conftest import ROOT, Server, serving
from tests.folding import in_turn


def _normal(package: str) -> str:
    """The name of a package as locks have it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", package).lower()


def _packages(lock: str) -> set[str]:
    return set(re.findall(r"^([\w.-]+)==", (ROOT / lock).read_text(), re.M))


NOT_THERE = _packages("requirements.lock") - _packages("requirements-evaluation.lock")


@cache
def hidden() -> set[str]:
    """The modules of what the lock of the small image has not: those at the top of a package, or below a name that it shares with
    one that is there."""
    owners = packages_distributions()
    shared = {name for name, packages in owners.items() if not {*map(_normal, packages)} <= NOT_THERE}
    files = [file for package in NOT_THERE for file in distribution(package).files or () if file.suffix in (".py", ".so")]
    return {".".join(parts[: 2 if parts[0] in shared else 1]) for parts in (file.parts for file in files) if len(parts) > 1}


HIDING = """
import sys
from importlib.machinery import PathFinder

class Hiding(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        parts = name.split(".")
        hidden = HIDDEN.intersection([parts[0], ".".join(parts[:2])])
        return None if hidden else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Hiding
"""


def hide(folder: Path) -> None:
    """A sitecustomize of every process with the folder on its path: to import what is hidden fails as where it is not there."""
    (folder / "sitecustomize.py").write_text(f"HIDDEN = {hidden()!r}\n{HIDING}")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("small")
    hide(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder))
        with serving(folder) as server:
            yield server


def test_nothing_else_is_missing(tmp_path: Path) -> None:
    """What the lock of the small image has not is what is said to be optional: the service begins without it."""
    hide(tmp_path)
    program = "import app.main; app.main.create_app()"
    environment = {"PYTHONPATH": f"{tmp_path}:{ROOT}", "PATH": ""}
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, check=False).returncode == 0


@in_turn("name", EVALUATE.examples)
def test_losses_are_evaluated(small: Server, name: str) -> None:
    example = EVALUATE.examples[name]["value"]
    answer = small.ask("POST", "/v1/evaluate", json=example)
    assert answer.status_code == 200 or _is_said(answer.json())


@pytest.mark.parametrize("call", [call for call in CALLS if call.examples], ids=lambda call: call.name)
def test_whoever_asks_for_what_is_not_there_is_told_so(small: Server, call: Any) -> None:
    example = next(iter(call.examples.values()))["value"]
    answer = small.ask(call.method, call.path, json=example)
    assert answer.status_code == 200 or _is_said(answer.json())


def test_what_is_drawn_trained_and_told_by_statistics_is_not_there(small: Server) -> None:
    picture = small.ask("GET", "/v1/losses/huber/curve.svg")
    run = small.ask("POST", "/v1/train", json={"data": "diabetes", "epochs": 1})
    analysis = small.ask("POST", "/v1/analyze", json={"loss": "mse", "predictions": [1, 2, 4], "targets": [1, 2, 3]})
    assert [answer.status_code for answer in (picture, run, analysis)] == [501, 501, 501]
    assert all(_is_said(answer.json()) for answer in (picture, run, analysis))
    assert small.ask("GET", "/health/ready").status_code == 200


def test_what_may_be_missing_is_what_is(tmp_path: Path) -> None:
    assert set(OPTIONAL) <= hidden()
    assert "dbos" in hidden()
    assert "numpy" not in hidden()


def test_a_collector_that_nothing_can_be_sent_to_is_told_of(tmp_path: Path) -> None:
    hide(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(tmp_path))
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
        with serving(tmp_path) as server:
            example = next(iter(EVALUATE.examples.values()))["value"]
            assert server.ask("POST", "/v1/evaluate", json=example).status_code == 200
            events = [json.loads(line) for line in server.log.read_text().splitlines()]
    assert [event["level"] for event in events if event["event"] == "no_traces"] == ["warning"]


def _is_said(problem: Mapping[str, Any]) -> bool:
    assert (problem["status"], problem["code"]) == (501, "not_installed"), json.dumps(problem)
    return any(library in problem["detail"] for library in OPTIONAL.values())
