"""The JSON parser and the JSON formatter are native code: neither may touch memory that is not its own.

orjson 3.12.0 and 3.13.0 write a float64 of 24 characters past the end of their buffer at a point where it is about to
grow: valid requests of 72, 143 and 287 KB ended the server (realloc(): invalid next size).
"""

import ctypes.util
import os
import subprocess
import sys

import numpy as np
import pytest

from tests.conftest import ROOT, Server

SIZES = (18_034, 35_840, 71_713)
"""Where a gradient of the mean absolute error met the end of orjson's buffer."""


@pytest.mark.parametrize("n", SIZES)
def test_a_gradient_of_the_longest_numbers_is_answered(n: int, server: Server) -> None:
    request = {"loss": "mae", "predictions": [0] * n, "targets": [1] * n}
    answer = server.ask("POST", "/v1/evaluate", json=request).json()
    assert answer["value"] == 1.0
    np.testing.assert_array_equal(answer["gradient"], np.full(n, -1 / n))
    assert server.ask("GET", "/health/live").status_code == 200


WORK = """
import json
import numpy as np
from app.wire.json import decode, encode

LONGEST = (-1.2055455093429778e-300, -1.2055455093429777e-05, -2.2250738585072014e-308, -1.7976931348623157e308)
assert all(len(repr(number)) >= 22 for number in LONGEST)
sizes = [*range(1, 400), *(2**power + more for power in range(9, 17) for more in (-1, 0, 1)), {sizes}]
for n in sizes:
    array = np.resize(LONGEST, n)
    text = encode({{"gradient": array, "per_sample": array[:7]}})
    for body in (text, memoryview(text)):  # parsed where it lies: at the very end of its memory
        again = decode(body)["gradient"]
        assert (np.asarray(again) == array).all(), n
    if n < 400:
        for cut in range(len(text) - 60, len(text)):
            try:
                decode(text[:cut])
            except Exception as error:
                assert type(error).__name__ == "MalformedDocument", error
            else:
                raise AssertionError(cut)
print("done")
"""


def checked() -> dict[str, str]:
    """Settings under which the allocator looks at the ends of every block that is given back; none where it cannot."""
    if ctypes.util.find_library("c_malloc_debug") is None:
        return {}
    return {"LD_PRELOAD": "libc_malloc_debug.so.0", "MALLOC_CHECK_": "3", "GLIBC_TUNABLES": "glibc.malloc.check=3"}


def test_neither_codec_writes_beyond_its_memory() -> None:
    code = WORK.format(sizes=", ".join(map(str, SIZES)))
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | checked(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (result.returncode, result.stdout.strip()) == (0, "done"), result.stderr[-2000:]
