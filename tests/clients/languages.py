"""The programs of app/api/languages.md, each run as it stands there but for the address, and what it prints compared."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.clients.generated import BIN, BUILD, install_debian, install_python, run

PAGE = (Path(__file__).parents[2] / "app" / "api" / "languages.md").read_text()
ADDRESS = "http://localhost:8000"
BODY: dict[str, Any] = {"loss": "bce", "predictions": [0.1 + 0.2, 2 / 3, 0.9], "targets": [0, 1, 1]}
REFUSED: dict[str, Any] = {**BODY, "targets": [0, 1, 2]}
JARS = ":".join(f"/usr/share/java/jackson-{part}.jar" for part in ("annotations", "core", "databind"))


class Language(NamedTuple):
    """How a program is kept and run, with its file as the last word."""

    file: str
    command: Sequence[str | Path]


LANGUAGES = {
    "curl, with jq": Language("evaluate.sh", ("sh",)),
    "Python, with pandas": Language("evaluate.py", (BIN / "python",)),
    "R": Language("evaluate.R", ("Rscript",)),
    "JavaScript": Language("evaluate.mjs", ("node",)),
    "Java": Language("Evaluate.java", ("java", "--class-path", JARS)),
    "Go": Language("evaluate.go", ("go", "run")),
    "PHP": Language("evaluate.php", ("php",)),
    "Octave": Language("evaluate.m", ("octave", "--no-gui", "--quiet")),
}
"""By the heading that the program stands under."""
PROGRAMS: dict[str, str] = dict(re.findall(r"^## ([^\n]+)\n\n```\w+\n(.+?)^```", PAGE, re.M | re.S))
"""The first block of code under each heading."""
INSTALLS = (install_debian, install_python)


def spoken(language: str, url: str) -> str:
    """What the program of a language prints, asking the server at this address."""
    file, command = LANGUAGES[language]
    folder = BUILD / "languages"
    folder.mkdir(exist_ok=True)
    (folder / file).write_text(PROGRAMS[language].replace(ADDRESS, url))
    return run(*command, folder / file, GOCACHE=str(BUILD / "go" / "cache"))


def mismatch(printed: str, answer: dict[str, Any], refusal: dict[str, Any]) -> str | None:
    """What is wrong with what a program printed: the value, each loss to the last digit, and why a request is refused."""
    wanted = [answer["value"], *answer["per_sample"]]
    numbers, colon, _ = printed.partition(refusal["detail"])
    found = [float(number) for number in re.findall(r"\d[\d.e-]*", numbers)][: len(wanted)]
    return None if colon and found == wanted else f"it printed {printed!r} instead of {wanted} and {refusal['detail']!r}"
