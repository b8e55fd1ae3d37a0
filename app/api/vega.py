"""python -m app.api.vega [--check]: the JavaScript that draws charts on the page, as a file.

It is made once and committed: to make it takes seconds and 120 MB, and it depends on the version of vl-convert alone.
"""

import gzip
import sys

from app.api.playground import CHARTS

EXPORTED = "window.vegaEmbed = vegaEmbed; window.vega = vega;"


def bundle() -> bytes:
    """Vega, Vega-Lite and vega-embed in one script."""
    import vl_convert

    return vl_convert.javascript_bundle(EXPORTED).encode()


def main() -> int:
    made = bundle()
    if "--check" not in sys.argv:
        CHARTS.write_bytes(gzip.compress(made, 9, mtime=0))
    elif gzip.decompress(CHARTS.read_bytes()) != made:
        print(f"{CHARTS} is not what vl-convert makes: run `make vega`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
