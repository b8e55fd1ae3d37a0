"""The process of a guided run: `python -m tests.wire.guided DECODER [what libFuzzer takes]`. fuzzed.py starts it."""

import random
import resource
import sys
from typing import Any

import atheris

instrumented: Any = vars(atheris)["instrument_imports"]  # it has no types

with instrumented(include=["app.wire", "app.api.files", "app.api.tables", "app.losses.expressions"]):
    from tests.wire.fuzzed import FUZZED


MEMORY_BYTES = 1 << 30
"""As a process of the pool has a bound: what says that it is larger once it is unpacked is refused."""


def main(name: str, options: list[str]) -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    fuzzed = FUZZED[name]

    def one(body: bytes) -> None:
        if fuzzed.name == "npz" and not body.startswith(b"PK"):
            body = fuzzed.wrapped(random.Random(len(body)), body)
        fuzzed.attempt(body)

    atheris.Setup([sys.argv[0], *options], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
