"""temporary"""

import gzip
from typing import Literal, TypeAlias

import zstandard

Coding: TypeAlias = Literal["gzip", "zstd"]


def packing(accept: str) -> Coding | None:
    return "gzip" if "gzip" in accept else "zstd" if "zstd" in accept else None


def pack(pieces, coding):
    b = b"".join(pieces)
    return gzip.compress(b, 1) if coding == "gzip" else zstandard.compress(b, 1)
