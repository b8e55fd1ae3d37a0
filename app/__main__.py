"""criterion [serve | worker | key]: the service, a process that does its jobs, or a new API key. So is python -m app.

They run in the environment that makes the service fast; what is set otherwise stays so.
"""

import gc
import os
import sys
from collections.abc import Mapping, Sequence

from app.serving.environment import ENVIRONMENT

USAGE = """usage: criterion [serve | worker | key NAME SCOPES [--expires WHEN] [--file FILE]]

serve   answer requests, until a signal ends it (as without a word)
worker  do jobs that are kept in PostgreSQL, until a signal ends it
key     make an API key, shown this once

What they go by are CRITERION_* variables."""
ATTENDED = "--attended"
"""Of a worker: whoever has started it wants it no longer than itself."""
ARGUMENTS: Mapping[str, Sequence[list[str]]] = {"serve": ([],), "worker": ([], [ATTENDED])}
"""What commands take; a key's are for keys.py to read."""


def main() -> int:
    """Do what is asked for; status 2 for what there is not."""
    command, *arguments = sys.argv[1:] or ["serve"]
    if command in ("-h", "--help", "help"):
        print(USAGE)
        return 0
    if command != "key" and arguments not in ARGUMENTS.get(command, ()):
        print(f"criterion: there is no {' '.join(sys.argv[1:])!r}\n{USAGE}", file=sys.stderr)
        return 2
    if not ENVIRONMENT.keys() <= os.environ.keys():
        os.execve(sys.executable, [sys.executable, "-m", "app", *sys.argv[1:]], {**ENVIRONMENT, **os.environ})
    if command == "key":
        from app.serving.keys import main as make_key

        return make_key(arguments)
    gc.disable()  # what is loaded stays: to look for garbage in it, while it grows and afterwards, is a sixth of the start
    from app.main import serve, work

    gc.freeze()
    gc.enable()
    if command == "worker":
        work(attended=ATTENDED in arguments)
    else:
        serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
