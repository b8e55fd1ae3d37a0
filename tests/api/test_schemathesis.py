"""Schemathesis with every check on all operations: what is sent follows the document, or bends it, and each answer has to be one
that the document has."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, Server

CASES = 2
"""Made at random for each operation, beside those that its document suggests."""


@pytest.mark.thorough
def test_no_request_has_an_answer_that_is_not_in_the_document(server: Server, tmp_path: Path) -> None:
    command = [str(Path(sys.executable).parent / "st"), "--config-file", str(ROOT / "tests/schemathesis.toml"), "run"]
    phases = ["--phases", "examples,coverage,fuzzing", "--max-examples", str(CASES)]
    options = ["--checks", "all", *phases, "--request-timeout", "60", "--continue-on-failure", "--generation-database", "none"]
    document = [str(ROOT / "openapi/openapi.json"), "--url", server.url]
    ended = subprocess.run([*command, *document, *options], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout
    (operations,) = re.findall(r"Tested: (\d+)", ended.stdout)
    (generated,) = re.findall(r"(\d+) generated", ended.stdout)
    assert int(operations) >= 30
    assert int(generated) > 1000
