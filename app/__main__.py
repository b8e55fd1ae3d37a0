"""criterion [serve | worker | key]: the service, a process that does its jobs, or a new API key. So is python -m app.

They run in the environment that makes the service fast; what is set otherwise stays so.
"""

import os
import sys
from collections.abc import Mapping, Sequence

from app.serving.environment import ENVIRONMENT

COMMANDS: Mapping[str, Sequence[str]] = {
    "serve": ("app.main",),
    "worker": ("app.main", "worker"),
    "key": ("app.serving.keys",),
}
USAGE = """usage: criterion [serve | worker | key NAME SCOPES [--expires WHEN] [--file FILE]]

serve   answer requests, until a signal ends it (as without a word)
worker  do jobs that are kept in PostgreSQL, until a signal ends it
key     make an API key, shown this once

What they go by are CRITERION_* variables."""


def main() -> None:
    """Become what is asked for; status 2 for what there is not."""
    command, *arguments = sys.argv[1:] or ["serve"]
    if command in ("-h", "--help", "help"):
        print(USAGE)
        return
    if command not in COMMANDS or (arguments and command == "serve"):
        print(f"criterion: there is no {' '.join(sys.argv[1:])!r}\n{USAGE}", file=sys.stderr)
        sys.exit(2)
    environment = {**ENVIRONMENT, **os.environ}
    os.execve(sys.executable, [sys.executable, "-m", *COMMANDS[command], *arguments], environment)


if __name__ == "__main__":
    main()
