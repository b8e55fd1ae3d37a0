"""A server that was built for evaluation only: without the libraries that `criterion[server]` has beyond `[evaluation]`."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from app.api.calls import CALLS
from app.api.evaluate import EVALUATE
from app.serving.installed import OPTIONAL
from tests.conftest import ROOT, Server, serving

HIDING = f"""
import sys
from importlib.abc import MetaPathFinder

class Hide(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {set(OPTIONAL)!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Hide())
"""
"""A sitecustomize of every process of the server: to import one of these fails as where it is not there."""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("small")
    (folder / "sitecustomize.py").write_text(HIDING)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder))
        with serving(folder) as server:
            yield server


def test_nothing_else_is_missing(tmp_path: Path) -> None:
    """What the lock of the small image has not is what is said to be optional: the service begins without it."""
    (tmp_path / "sitecustomize.py").write_text(HIDING)
    program = "import app.main; app.main.create_app()"
    environment = {"PYTHONPATH": f"{tmp_path}:{ROOT}", "PATH": ""}
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, check=False).returncode == 0


@pytest.mark.parametrize("name", EVALUATE.examples)
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


def _is_said(problem: Mapping[str, Any]) -> bool:
    assert (problem["status"], problem["code"]) == (501, "not_installed"), json.dumps(problem)
    return any(library in problem["detail"] for library in OPTIONAL.values())
