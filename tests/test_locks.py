"""The lock files hold what pyproject.toml asks for. When one of these fails: make lock."""

import re
import tomllib
from collections import defaultdict
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = PROJECT["project"]["optional-dependencies"]
EVALUATION = EXTRAS["evaluation"]
RUNTIME = EVALUATION + [requirement for requirement in EXTRAS["server"] if not requirement.startswith("criterion[")]
DEV = PROJECT["dependency-groups"]["dev"]


def locked(name: str) -> dict[str, set[str]]:
    """The versions of every package in a lock file; more than one where Python versions differ."""
    versions: defaultdict[str, set[str]] = defaultdict(set)
    for package, version in re.findall(r"^([\w.-]+)==(\S+)", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE):
        versions[package].add(version)
    return versions


@pytest.mark.parametrize(
    ("lock", "wanted"),
    [
        ("requirements-evaluation.lock", EVALUATION),
        ("requirements.lock", RUNTIME),
        ("requirements-dev.lock", RUNTIME + EXTRAS["onnx"] + DEV),
    ],
)
def test_a_lock_meets_every_requirement(lock: str, wanted: list[str]) -> None:
    versions = locked(lock)
    for requirement in map(Requirement, wanted):
        assert versions[requirement.name], f"{requirement.name} is not locked"
        assert all(requirement.specifier.contains(version) for version in versions[requirement.name]), str(requirement)


def test_tests_run_on_what_is_served() -> None:
    evaluated, served, tested = map(locked, ("requirements-evaluation.lock", "requirements.lock", "requirements-dev.lock"))
    assert evaluated.items() <= served.items() <= tested.items()


def test_locks_name_no_index() -> None:
    for lock in ("requirements-evaluation.lock", "requirements.lock", "requirements-dev.lock"):
        assert not re.search(r"--(extra-)?index-url|--find-links|://", (ROOT / lock).read_text(encoding="utf-8"))
