"""The programs that the page copies, each as it is copied, run, and the number that it prints compared."""

import json
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from tests.clients.generated import BUILD, run

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "app" / "playground" / "programs.js"
BODY: dict[str, Any] = {
    "loss": "binary_cross_entropy",
    "predictions": [0.1 + 0.2, 2 / 3, 0.9],
    "targets": ["a`b's", 'q"""\\n', 'q"""\\n'],
    "classes": ["a`b's", 'q"""\\n'],
}
"""Words that no quotation of a language keeps as they are."""
COMMANDS: dict[str, tuple[str, Sequence[str]]] = {
    "curl": ("evaluate.sh", ("sh",)),
    "Python": ("evaluate.py", (sys.executable,)),
    "Python (httpx)": ("evaluate.py", (sys.executable,)),
    "JavaScript": ("evaluate.mjs", ("node",)),
    "R": ("evaluate.R", ("Rscript",)),
    "Go": ("evaluate.go", ("go", "run")),
    "Java": ("Evaluate.java", ("java",)),
}
WRITER = """
const { LANGUAGES } = await import(process.argv[2]);
const { url, body, keyed } = JSON.parse(process.argv[3]);
console.log(JSON.stringify(Object.fromEntries(Object.entries(LANGUAGES).map(
  ([name, program]) => [name, program(url, JSON.stringify(body), "value", keyed)]))));
"""


@cache
def programs(url: str, keyed: bool) -> dict[str, str]:
    """What the page copies in each language, for a service that wants a key or does not."""
    module, writer = BUILD / "programs.mjs", BUILD / "write.mjs"
    module.write_text(PAGE.read_text())
    writer.write_text(WRITER)
    request = {"url": f"{url}/v1/evaluate", "body": BODY, "keyed": keyed}
    return json.loads(run("node", writer, module, json.dumps(request)))


def printed(language: str, url: str) -> list[float]:
    """The value that the program of a language prints, without a key and with one from the environment."""
    file, command = COMMANDS[language]
    values: list[float] = []
    for keyed in (False, True):
        folder = BUILD / "copied" / f"{language} {keyed}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(programs(url, keyed)[language])
        variables = {"GOCACHE": str(BUILD / "go" / "cache"), "CRITERION_KEY": "anything", "PYTHONPATH": str(ROOT)}
        text = run(*command, folder / file, **variables).strip()
        values.append(float(json.loads(text)["value"]) if text.startswith("{") else float(text.removeprefix("[1] ")))
    return values
