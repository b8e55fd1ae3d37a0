"""CONTRIBUTING.md keeps its word: each change that it shows, pasted where it says, is whole."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT

BLOCK = re.compile(r"```python\n# ([\w/.]+\.py)(?:, above (\w+)|[^\n]*)\n(.*?)```", re.DOTALL)
"""A file, the name above which the code belongs if not at the end, and the code."""

ASK = """
import asyncio, json
import httpx
from app.api.specs import LOSS_SPECS
from app.losses import LOSSES
from app.main import create_app

async def main():
    app = create_app()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        async def ask(path, **request):
            response = await (client.post(path, json=request) if request else client.get(path))
            return {"status": response.status_code, "body": response.json()}
        batch = {"predictions": [0.75, 3.0], "targets": [0.0, 3.0]}
        line = {"data": {"inputs": [[0.0], [1.0], [2.0], [3.0]], "targets": [1.0, 3.0, 5.0, 7.0]}, "loss": "mae", "epochs": 3}
        print(json.dumps({
            "families": {loss.name: loss.family for loss in LOSSES.values()},
            "spec": LOSS_SPECS["hyperbolic"].model_json_schema(),
            "evaluate": await ask("/v1/evaluate", loss={"name": "hyperbolic", "delta": 1, "slope": 2}, **batch),
            "alias": await ask("/v1/evaluate", loss={"name": "pseudo_l1", "delta": 1, "slope": 2}, **batch),
            "preset": await ask("/v1/evaluate", loss="pseudo_l1", **batch),
            "parameter": await ask("/v1/evaluate", loss={"name": "hyperbolic", "detla": 1}, **batch),
            "bound": await ask("/v1/evaluate", loss={"name": "hyperbolic", "delta": 0}, **batch),
            "misspelt": await ask("/v1/evaluate", loss="hyperbolc", **batch),
            "entry": await ask("/v1/losses/hyperbolic"),
            "found": await ask("/v1/losses?search=hyperbolic"),
            "model": await ask("/v2/models/hyperbolic"),
            "document": await ask("/openapi.json"),
            "percentage": await ask("/v1/evaluate", loss="percentage_points", predictions=[40, 50], targets=[50, 50]),
            "beyond": await ask("/v1/evaluate", loss="percentage_points", predictions=[40, 101], targets=[50, 50]),
            "weight": await ask("/v1/evaluate", loss="mse", outputs=["weight"], sample_weight=[2, 0.5], **batch),
            "tensor": await ask("/v2/models/mse/infer", outputs=[{"name": "weight"}], inputs=[
                {"name": name, "shape": [2], "datatype": "FP64", "data": data} for name, data in batch.items()
            ]),
            "worst": await ask("/v1/worst", loss="mae", count=1, **batch),
            "many": await ask("/v1/worst?count=2", loss="mae", **batch),
            "optimizer": await ask("/v1/optimizers/Signum"),
            "trained": await ask("/v1/train", optimizer={"name": "signum", "learning_rate": 0.5}, **line),
        }))

asyncio.run(main())
"""

TESTS = {
    "hyperbolic": "hyperbolic or (test_formulas or test_guide) and not circle",
    "signum": "signum",
    "percentage_points": "percentage_points",
    "weight": "test_outputs and (weight or mean_squared_error)",
    "show_worst": "test_pipeline and worst",
}
"""The tests over a registry that test what was added to it."""
FILES = {
    "hyperbolic": ["app/losses/families/robust.py", "tests/losses/oracles.py"],
    "signum": ["app/training/optimizers.py", "tests/training/published.py"],
    "percentage_points": ["app/losses/encodings.py", "app/losses/families/regression.py", "tests/losses/oracles.py"],
    "weight": ["app/losses/outputs.py", "tests/losses/test_outputs.py"],
    "show_worst": ["app/api/worst.py"],
}
"""Every file that a change touches; a call has a line in app/api/calls.py as well."""


def blocks() -> list[tuple[str, str, str]]:
    """The Python blocks of the page that say which file they belong to."""
    return BLOCK.findall((ROOT / "CONTRIBUTING.md").read_text())


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository with the blocks of the page in their files, and the new call in the list of calls."""
    root = tmp_path_factory.mktemp("changed")
    for name in ("app", "docs", "tests"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns(".*", "node_modules"))
    shutil.copy(ROOT / "pyproject.toml", root)
    for name, above, code in blocks():
        file = root / name
        text = file.read_text(encoding="utf-8") if file.exists() else ""
        place = text.index(f"\n{above} = ") if above else len(text)
        file.write_text(f"{text[:place]}\n\n{code}\n\n{text[place:]}", encoding="utf-8")
    calls = root / "app" / "api" / "calls.py"
    text = calls.read_text().replace("\nCALLS = (", "\nfrom app.api.worst import SHOW_WORST\n\nCALLS = (\n    SHOW_WORST,")
    calls.write_text(text)
    return root


@pytest.fixture(scope="module")
def answers(changed: Path) -> dict[str, Any]:
    result = run(changed, "-c", ASK)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def run(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=root, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize("name", FILES)
def test_a_change_touches_these_files_and_no_other(name: str) -> None:
    assert {file for file, _, code in blocks() if f"def {name}(" in code} <= set(FILES[name]) <= {file for file, _, _ in blocks()}


def test_it_can_be_evaluated_under_its_name_and_its_alias(answers: dict[str, Any]) -> None:
    assert answers["evaluate"] == answers["alias"]
    assert answers["evaluate"]["status"] == 200
    body = answers["evaluate"]["body"]
    assert body["loss"] == {"name": "hyperbolic", "delta": 1.0, "slope": 2.0}
    assert body["per_sample"] == pytest.approx([0.5, 0.0], rel=1e-15)
    assert body["gradient"] == pytest.approx([0.6, 0.0], rel=1e-15)
    assert answers["preset"]["body"]["loss"] == {"name": "hyperbolic", "delta": 0.5, "slope": 1.0}


def test_it_has_a_schema_and_is_a_member_of_the_union(answers: dict[str, Any]) -> None:
    assert answers["spec"]["properties"]["name"]["const"] == "hyperbolic"
    document = answers["document"]["body"]
    assert {"$ref": "#/components/schemas/Hyperbolic"} in document["components"]["schemas"]["Loss"]["oneOf"]
    assert "hyperbolic" in document["paths"]["/v1/evaluate"]["post"]["requestBody"]["content"]["application/json"]["examples"]


def test_it_is_in_the_catalogue_with_its_family_and_an_answered_example(answers: dict[str, Any]) -> None:
    assert answers["families"]["hyperbolic"] == "robust"
    assert [entry["name"] for entry in answers["found"]["body"]["losses"]] == ["hyperbolic"]
    entry = answers["entry"]["body"]
    assert entry["aliases"] == ["pseudo_l1"]
    assert [*entry["parameters"]] == ["delta", "slope"]
    assert {"convex", "smooth", "bounded_gradient"} <= set(entry["properties"])
    assert entry["example_request"]["loss"] == {"name": "hyperbolic", "delta": 1.0, "slope": 1.0}
    assert entry["example_answer"]["value"] > 0


def test_its_name_and_parameters_are_checked(answers: dict[str, Any]) -> None:
    assert "delta" in answers["parameter"]["body"]["detail"]
    assert "Did you mean hyperbolic" in answers["misspelt"]["body"]["detail"]
    assert [answers[request]["status"] for request in ("parameter", "bound", "misspelt")] == [422, 422, 422]


def test_it_is_a_model_of_the_inference_protocol(answers: dict[str, Any]) -> None:
    assert answers["model"]["status"] == 200
    assert answers["model"]["body"]["name"] == "hyperbolic"


def test_an_optimizer_is_in_the_catalogue_and_trains(answers: dict[str, Any]) -> None:
    assert answers["optimizer"]["body"]["name"] == "signum"
    trained = answers["trained"]
    assert trained["status"] == 200
    assert trained["body"]["optimizer"] == {"name": "signum", "learning_rate": 0.5, "momentum": 0.9}


def test_an_encoding_refuses_what_its_domain_does_not_hold(answers: dict[str, Any]) -> None:
    assert answers["percentage"]["body"]["per_sample"] == [0.1, 0.0]
    assert answers["percentage"]["body"]["targets_encoding"] == "percent"
    assert answers["beyond"]["status"] == 422
    assert answers["beyond"]["body"]["errors"][0]["pointer"] == "/predictions/1"
    assert "in [0, 100]; got 101" in answers["beyond"]["body"]["errors"][0]["message"]


def test_an_output_is_answered_by_both_protocols_and_documented(answers: dict[str, Any]) -> None:
    assert answers["weight"]["body"]["weight"] == [2.0, 0.5]
    (tensor,) = answers["tensor"]["body"]["outputs"]
    assert (tensor["name"], tensor["data"]) == ("weight", [1.0, 1.0])
    schemas = answers["document"]["body"]["components"]["schemas"]
    assert "the sum of its elements' weights" in schemas["EvaluateResponse"]["properties"]["weight"]["description"]


def test_a_call_is_answered_guarded_and_documented(answers: dict[str, Any]) -> None:
    assert answers["worst"] == {"status": 200, "body": {"samples": [0], "losses": [0.75]}}
    assert answers["many"]["status"] == 422
    operation = answers["document"]["body"]["paths"]["/v1/worst"]["post"]
    assert operation["operationId"] == "show_worst"
    assert operation["responses"]["200"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Worst"}


def outcomes(root: Path, *files: str) -> dict[str, str]:
    """The outcome of each test of what was added, by its name."""
    chosen = " or ".join(f"({tests})" for tests in TESTS.values())
    result = run(root, "-m", "pytest", "-n", "0", "-p", "no:cacheprovider", "--tb=no", "-vv", "-m", "", "-k", chosen, *files)
    found = dict(re.findall(r"^(tests/\S.*?) (PASSED|FAILED|ERROR)", result.stdout, re.MULTILINE))
    assert found, result.stdout + result.stderr
    return found


@pytest.mark.thorough
def test_the_tests_over_the_registries_test_each(changed: Path) -> None:
    found = outcomes(changed, "tests/losses", "tests/training/test_optimizers.py", "tests/serving/test_pipeline.py")
    assert not [test for test, outcome in found.items() if outcome != "PASSED"]
    for word in ("[hyperbolic", "signum", "[percentage_points", "weight", "/v1/worst"):
        assert any(word in test for test in found), word
    assert sum("[hyperbolic" in test for test in found) > 20


MISTAKES = [
    ("hyperbolic", "slope * np.tanh(angle)\n", "-slope * np.tanh(angle)\n", "derivatives_are_those_of_the_formula[hyperbolic]"),
    ("percentage_points", "/ 100.0, sign", "/ 99.0, sign", "derivatives_are_those_of_the_formula[percentage_points]"),
    ("weight", "else batch.weights\n", "else batch.weights**2\n", "weights_of_samples_add_up_to_the_divisor"),
    ("signum", "mean += gradient", "mean -= gradient", "steps_are_the_published_ones[signum{}-rosenbrock]"),
]
"""What was added, what is right in it, what is wrong, and the test that finds it."""


@pytest.mark.thorough
def test_the_tests_over_the_registries_find_a_mistake_in_each(changed: Path, tmp_path: Path) -> None:
    root = tmp_path / "mistaken"
    shutil.copytree(changed, root)
    for name, right, wrong, _ in MISTAKES:
        (file,) = (root / file for file, _, code in blocks() if right in code)
        before, mark, code = file.read_text().rpartition(f"def {name}(")
        assert right in code
        file.write_text(before + mark + code.replace(right, wrong))
    found = outcomes(root, "tests/losses/test_values.py", "tests/losses/test_outputs.py", "tests/training/test_optimizers.py")
    failed = [test for test, outcome in found.items() if outcome == "FAILED"]
    for *_, failing in MISTAKES:
        assert any(failing in test for test in failed), failing
