"""python -m app.api.openapi [--check] [DIR]: the OpenAPI document and an answered example of every loss, as files.

They are committed, so that a change of the API is seen as one. Examples that were written by hand are left alone. The
answers that the document shows are recorded first, in `app/api/answers.json`.
"""

import argparse
import asyncio
import json
import math
import re
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from pydantic import SecretStr

from app.api.answers import FILE, record, recorded
from app.api.calls import CALLS
from app.api.docs import described
from app.api.evaluating import EVALUATE
from app.api.examples import example
from app.losses import LOSSES, Loss
from app.main import create_app
from app.serving.keys import new_key
from app.serving.steps import Order, answer
from app.settings import Settings


def wanted() -> dict[Path, Any]:
    """Every generated file, under the folder, with the document that belongs in it."""
    documents: dict[Path, Any] = {Path("openapi.json"): described(CALLS)}
    for loss in LOSSES.values():
        documents[Path("examples", f"{loss.name}.json")] = answered(loss)
    return documents


def answered(loss: Loss) -> dict[str, Any]:
    """The example of a loss, and what the service answers to it."""
    request = example(loss)
    content = answer(json.dumps(request).encode(), Order(EVALUATE.operation, None, {}, Settings()))
    return {"request": request, "answer": json.loads(b"".join(content.pieces))}


def drifted(folder: Path) -> dict[Path, Any]:
    """The files that are not as they should be, with what belongs in them: None for the example of a loss that is gone."""
    documents = wanted()
    changes = {path: document for path, document in documents.items() if not _is_as_it_should(folder / path, document)}
    gone = [path.relative_to(folder) for path in folder.glob("examples/*.json") if _generated(path)]
    return changes | {path: None for path in sorted(gone) if path not in documents}


def same(found: Any, expected: Any) -> bool:
    """Equal; numbers to 1e-12, since the last digits of exp and log are the processor's."""
    match found, expected:
        case (dict(), dict()):
            found, expected = cast(dict[str, Any], found), cast(dict[str, Any], expected)
            return found.keys() == expected.keys() and all(same(found[key], expected[key]) for key in found)
        case (list(), list()):
            found, expected = cast(list[Any], found), cast(list[Any], expected)
            return len(found) == len(expected) and all(map(same, found, expected))
        case (float(), float()):
            return math.isclose(found, expected, rel_tol=1e-12, abs_tol=1e-15)
        case _:
            return type(found) is type(expected) and found == expected


def text(document: Any) -> str:
    """The document as it stands in its file: indented, but with each array of numbers on one line."""
    spread = json.dumps(document, indent=2, ensure_ascii=False)
    return re.sub(r'\[\n[^][{}"]*\]', lambda array: "[" + " ".join(array[0][1:-1].split()) + "]", spread) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m app.api.openapi", description="Write openapi.json and examples/*.json.")
    parser.add_argument("folder", nargs="?", type=Path, default=Path("openapi"))
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 where a file is not as it should be")
    options = parser.parse_args()
    if not _recorded(options.check):
        print(f"{FILE} is not what the service answers: run `make openapi`", file=sys.stderr)
        return 1
    changes = drifted(options.folder)
    for path, document in changes.items():
        file: Path = options.folder / path
        if options.check:
            print(f"{file} is not what the code says: run `make openapi`", file=sys.stderr)
        elif document is None:
            file.unlink()
        else:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text(document), encoding="utf-8")
    return 1 if options.check and changes else 0


def _recorded(check: bool) -> bool:
    """Whether the recorded answers are those of the service; unless that is only to be checked, they are from now on."""
    key, entry = new_key("ci", ["evaluate"])
    entry["quota"] = {"requests": {"limit": 1, "seconds": 60}}
    keyed = create_app(Settings(keys=SecretStr(json.dumps({"keys": [entry]}))))
    with TemporaryDirectory() as folder:
        answers = asyncio.run(record(create_app(Settings(data_dir=Path(folder))), keyed, key, described(CALLS)))
    if same(answers, recorded()):
        return True
    if not check:
        FILE.write_text(text(answers), encoding="utf-8")
    return not check


def _is_as_it_should(file: Path, document: Any) -> bool:
    found = file.read_text(encoding="utf-8") if file.exists() else ""
    return found == text(document) or (_generated(file) and _answers_alike(json.loads(found), document))


def _generated(file: Path) -> bool:
    """Whether a file is an example as written here: a request and its answer, named for its loss."""
    match _read(file):
        case {"request": {"loss": {"name": name}}, "answer": _}:
            return name == file.stem
        case _:
            return False


def _read(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def _answers_alike(found: Any, document: Any) -> bool:
    return found["request"] == document["request"] and same(found["answer"], document["answer"])


if __name__ == "__main__":
    sys.exit(main())
