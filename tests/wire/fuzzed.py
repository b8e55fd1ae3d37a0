"""Every decoder that is fuzzed, and what makes bodies for them.

    python -m tests.wire.fuzzed 100000 csv npz              bent at random: each body follows from its number
    python -m tests.wire.fuzzed --guided 1000000 json       bent by atheris, towards code that no body has reached yet

What fails is told with its bytes, so that it can be asked for again (`bent(FUZZED["csv"], 4711)`) and made a test. A guided run
is of one decoder in a process of its own; it ends at the first body that is to be mended, that takes more than twenty seconds, or
for which the process has more than 2 GB.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.wire.fuzz import DECODERS, Fuzzed, Wrong, bent, tried
from tests.wire.fuzz_expressions import EXPRESSIONS
from tests.wire.fuzz_streams import ARROW, LINES, PARQUET
from tests.wire.fuzz_tensors import TENSORS

FUZZED: Mapping[str, Fuzzed] = {fuzzed.name: fuzzed for fuzzed in (*DECODERS, LINES, ARROW, PARQUET, TENSORS, EXPRESSIONS)}
SEEDS = 500


def failures(fuzzed: Fuzzed, count: int) -> Iterator[str]:
    """Every body that is to be mended, among so many; what became of the others is written to the standard error."""
    counts: Counter[str] = Counter()
    began = time.monotonic()
    for number in range(count):
        try:
            counts += tried(fuzzed, range(number, number + 1))
        except Wrong as wrong:
            counts["wrong"] += 1
            yield str(wrong)
    seconds = time.monotonic() - began
    print(f"{fuzzed.name}: {count} bodies in {seconds:.0f} s: {dict(counts)}", file=sys.stderr, flush=True)


def guided(fuzzed: Fuzzed, count: int) -> bool:
    """Whether so many bodies of atheris are all read right or refused. It begins with some that are bent at random."""
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "corpus"
        corpus.mkdir()
        for number, seed in enumerate([*fuzzed.seeds, *(bent(fuzzed, number) for number in range(SEEDS))]):
            (corpus / str(number)).write_bytes(seed)
        words = ['"' + "".join(f"\\x{code:02x}" for code in word) + '"' for word in fuzzed.words if word]
        (Path(folder) / "words").write_text("\n".join(words) + "\n")
        options = [
            f"-runs={count}",
            f"-dict={folder}/words",
            "-timeout=20",
            "-rss_limit_mb=2048",
            "-max_len=4096",
            "-verbosity=0",
        ]
        options += ["-print_final_stats=1", f"-artifact_prefix={os.getcwd()}/"]
        command = [sys.executable, "-m", "tests.wire.guided", fuzzed.name, *options, str(corpus)]
        return subprocess.run(command, check=False).returncode == 0


def main(arguments: list[str]) -> int:
    lead = arguments[:1] == ["--guided"]
    bodies, *names = arguments[lead:] or ["100000"]
    chosen = [FUZZED[name] for name in names or FUZZED]
    if lead:
        ended = [guided(fuzzed, int(bodies)) for fuzzed in chosen]
        return int(not all(ended))
    failed = 0
    for failure in (failure for fuzzed in chosen for failure in failures(fuzzed, int(bodies))):
        failed += 1
        print(failure, flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
