"""python -m tests.insight.render: charts from standard input as pictures on standard output, JSON both.

In a process of its own: the engine that draws does not survive a fork, and other tests fork.
"""

import base64
import json
import sys

import vl_convert

from app.wire.pictures import png, svg


def main() -> None:
    definitions: dict[str, dict[str, object]] = json.load(sys.stdin)
    pictures: dict[str, dict[str, str]] = {}
    for name, definition in definitions.items():
        print(f"drawing {name}", file=sys.stderr, flush=True)
        vl_convert.vegalite_to_vega(definition, show_warnings=True)
        pictures[name] = {"svg": svg(definition).decode()}
        if name.endswith(" dark"):
            pictures[name]["png"] = base64.b64encode(png(definition)).decode()
    json.dump(pictures, sys.stdout)


if __name__ == "__main__":
    main()
