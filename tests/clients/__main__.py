"""python -m tests.clients: clients generated from openapi/openapi.json, and programs of people, against a real server.

The clients are generated, compiled and called; the programs are those of app/api/languages.md, and those that the page
copies. Every number of theirs is compared with that of a plain request to the same server, to the last digit. Prints a
table, and ends with 1 where one is wrong, or its language can be neither found nor installed.
"""

import json
import sys
import tempfile
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from time import monotonic
from typing import Any

import httpx

from tests.clients import copied
from tests.clients.cases import CASES, compared
from tests.clients.generated import BUILD, CLIENTS
from tests.clients.languages import BODY, INSTALLS, LANGUAGES, REFUSED, mismatch, spoken
from tests.conftest import serving


def main() -> int:
    began = monotonic()
    BUILD.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as server, ThreadPoolExecutor() as pool:
        wanted = {name: _plain(server.url, name) for name in CASES}
        steps = {*INSTALLS, *(step for installs, _ in CLIENTS.values() for step in installs)}
        installed = {step: pool.submit(step) for step in steps}

        def called(name: str) -> dict[str, Any]:
            installs, client = CLIENTS[name]
            for step in installs:
                installed[step].result()
            return json.loads(client(server.url))

        def printed(language: str) -> str:
            for step in INSTALLS:
                installed[step].result()
            return spoken(language, server.url)

        def copied_value(language: str) -> list[float]:
            for step in INSTALLS:
                installed[step].result()
            return copied.printed(language, server.url)

        running = {name: pool.submit(called, name) for name in CLIENTS}
        printing = {language: pool.submit(printed, language) for language in LANGUAGES}
        copying = {language: pool.submit(copied_value, language) for language in copied.COMMANDS}
        verdicts = [verdict for name, future in running.items() for verdict in _verdicts(name, future, wanted)]
        answers = [httpx.post(f"{server.url}/v1/evaluate", json=body).json() for body in (BODY, REFUSED)]
        verdicts += [_spoken(language, future, *answers) for language, future in printing.items()]
        value = httpx.post(f"{server.url}/v1/evaluate", json=copied.BODY).json()["value"]
        verdicts += [_copied(language, future, value) for language, future in copying.items()]
    failed = [verdict for verdict in verdicts if verdict is not None]
    for fault in failed:
        print(f"\n{fault}", file=sys.stderr)
    print(f"\n{len(verdicts) - len(failed)} passed, {len(failed)} failed in {monotonic() - began:.0f} s")
    return 1 if failed else 0


def _plain(url: str, name: str) -> list[Any]:
    case = CASES[name]
    answer = httpx.post(f"{url}{case.path}", json=case.body) if case.body is not None else httpx.get(f"{url}{case.path}")
    return compared(case, answer.json())


def _verdicts(client: str, running: Future[dict[str, Any]], wanted: dict[str, list[Any]]) -> list[str | None]:
    """For each case None, or what is wrong; prints a row of the table."""
    try:
        found = running.result()
    except Exception as error:  # a client that cannot be made is a fault like a wrong number, and the others still count
        print(f"{client:28}{'does not work':>14}")
        return [f"{client}: {error}", *(f"{client}, {name}: not run" for name in list(wanted)[1:])]
    verdicts = [
        None if _alike(found.get(name), parts) else f"{client}, {name}: {found.get(name)} instead of {parts}"
        for name, parts in wanted.items()
    ]
    row = [name if fault is None else f"{name.upper()}!" for name, fault in zip(wanted, verdicts, strict=True)]
    print(f"{client:28}" + "".join(f"{word:>14}" for word in row))
    return verdicts


def _spoken(language: str, printing: Future[str], answer: dict[str, Any], refusal: dict[str, Any]) -> str | None:
    """None, or what is wrong with the program of a language; prints a row of the table."""
    try:
        wrong = mismatch(printing.result(), answer, refusal)
    except Exception as error:  # as above
        wrong = str(error)
    print(f"{language:28}{'WRONG!' if wrong else 'runs':>14}")
    return wrong and f"{language}: {wrong}"


def _copied(language: str, copying: Future[list[float]], value: float) -> str | None:
    """None, or what is wrong with the programs that the page copies in a language; prints a row of the table."""
    try:
        wrong = None if copying.result() == [value, value] else f"it printed {copying.result()} instead of {value} twice"
    except Exception as error:  # as above
        wrong = str(error)
    print(f"{f'copied: {language}':28}{'WRONG!' if wrong else 'runs':>14}")
    return wrong and f"copied {language}: {wrong}"


def _alike(found: Any, wanted: Any) -> bool:
    """Equal to the last digit; 4 is 4.0, which not every language can tell apart, but true is not 1."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        return found.keys() == wanted.keys() and all(_alike(found[key], wanted[key]) for key in wanted)
    if isinstance(wanted, list) and isinstance(found, list):
        return len(found) == len(wanted) and all(_alike(one, other) for one, other in zip(found, wanted, strict=True))
    return isinstance(found, bool) == isinstance(wanted, bool) and found == wanted


if __name__ == "__main__":
    sys.exit(main())
