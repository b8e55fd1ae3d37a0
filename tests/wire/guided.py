"""The process of a guided run: `python -m tests.wire.guided DECODER [what libFuzzer takes]`. fuzzed.py starts it."""

import random
import resource
import sys
from pathlib import Path
from typing import Any

import atheris

instrumented: Any = vars(atheris)["instrument_imports"]  # it has no types

with instrumented(include=["app.wire", "app.api.files", "app.api.tables", "app.losses.expressions"]):
    from tests.wire.fuzzed import FUZZED


MEMORY_BYTES = 1 << 30
"""Beyond what is there when it begins. A process of the pool has such a bound too: what would be larger, unpacked, is refused."""


def main(name: str, options: list[str]) -> None:
    fuzzed = FUZZED[name]

    def one(body: bytes) -> None:
        if fuzzed.name == "npz" and not body.startswith(b"PK"):
            body = fuzzed.wrapped(random.Random(len(body)), body)
        fuzzed.attempt(body)

    atheris.Setup([sys.argv[0], *options], one)
    _, _, _, _, _, pages, _ = map(int, Path("/proc/self/statm").read_text().split())
    most = pages * resource.getpagesize() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
