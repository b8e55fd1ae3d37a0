"""python -m tests.equals [LIBRARY or LOSS ...]: every call that a loss says it equals, run in its library and compared.

Prints what is wrong and a table, and ends with 1 where a claim is false. Needs the libraries of requirements.txt, and of
this repository's own only NumPy, annotated-types and typing-extensions.
"""

import importlib.util
import sys
import warnings
from collections import Counter
from collections.abc import Iterator

import numpy as np

from app.libraries import LIBRARIES, Equal, with_twins
from app.losses import LOSSES
from app.losses.loss import Loss
from tests.equals import examples, names, served
from tests.equals.asking import ask
from tests.equals.compare import judge

SHOWN = 5


def claims(*wanted: str) -> Iterator[tuple[Loss, Equal]]:
    """Every claim about a library that is run, or those of these libraries and losses."""
    for loss in LOSSES.values():
        for equal in with_twins(loss.equals):
            if equal.library.version and (not wanted or {loss.name, equal.library.name} & {*wanted}):
                yield loss, equal


def _agree(example: examples.Example) -> bool:
    """Whether an example gives here and there what is printed."""
    arrays = {
        "predictions": ("real", np.array(example.predictions, np.float64)),
        "targets": (example.encoding, np.array(example.targets, np.float64)),
    }
    there = ask(example.call.partition(".")[0], example.call, arrays, [], {}).numbers
    return examples.is_printed(example, there) and examples.is_printed(example, examples.here(example))


def main(*wanted: str) -> int:
    warnings.simplefilter("ignore")
    missing = [name for name, library in LIBRARIES.items() if library.version and not importlib.util.find_spec(name)]
    run, false, comparisons = Counter[str](), Counter[str](), 0
    for loss, equal in claims(*wanted):
        try:
            verdict = judge(loss, equal)
            faults, count = verdict.faults, verdict.comparisons
        except Exception as error:  # a call that cannot be made is a false claim like another
            faults, count = (f"{type(error).__name__}: {error}",), 0
        run[equal.library.name] += 1
        comparisons += count
        if faults:
            false[equal.library.name] += 1
            print(
                f"{loss.name}: {equal.call}",
                *(f"    {fault[:300]}" for fault in faults[:SHOWN]),
                *([f"    and {len(faults) - SHOWN} more"] if len(faults) > SHOWN else []),
                sep="\n",
            )
    unkept = [] if wanted else [*names.unkept()]
    print(*unkept, sep="\n", end="\n" if unkept else "")
    shown = [] if wanted else [example for example in (*examples.DOCUMENTED, *examples.CORRECTED) if not _agree(example)]
    print(*(f"{example.call}: not {example.printed}, here or there" for example in shown), sep="\n", end="\n" if shown else "")
    broken = [] if wanted else [*served.faults()]
    print(*(f"a served loss: {fault}" for fault in broken), sep="\n", end="\n" if broken else "")
    for name, number in run.items():
        print(f"{name:30}{number:5}{false[name] or '':>5}")
    print(
        f"{run.total()} claims, {comparisons} comparisons, {false.total()} false", *(f"; {name} is missing" for name in missing)
    )
    return 1 if false or missing or unkept or shown or broken else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
