"""Which coding an Accept-Encoding chooses, by examples of RFC 9110 and of clients; packed bytes as other readers unpack them."""

import gzip

import numpy as np
import pytest
import zstandard

from app.wire.packing import Coding, pack, packing


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        # RFC 9110, 12.5.3
        ("compress, gzip", "gzip"),
        ("", None),
        ("*", "zstd"),
        ("compress;q=0.5, gzip;q=1.0", "gzip"),
        ("gzip;q=1.0, identity; q=0.5, *;q=0", "gzip"),
        # browsers, curl, httpx, requests, Go, Java, nobody
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip, deflate", "gzip"),
        ("deflate, gzip, br, zstd", "zstd"),
        ("gzip", "gzip"),
        ("identity", None),
        ("x-gzip", "gzip"),
        ("gzip,deflate", "gzip"),
        ("br", None),
        ("deflate", None),
        # qualities
        ("gzip;q=0.8, zstd;q=0.7", "gzip"),
        ("gzip;q=0.7, zstd;q=0.8", "zstd"),
        ("gzip;q=0.5, zstd;q=0.5", "zstd"),
        ("gzip;q=0", None),
        ("zstd;q=0, gzip", "gzip"),
        ("zstd;q=0, *", "gzip"),
        ("gzip;q=0, zstd;q=0, *", None),
        ("*;q=0", None),
        ("*;q=0, gzip", "gzip"),
        ("gzip;q=0.001", "gzip"),
        ("gzip;q=0.000", None),
        ("gzip;q=1.000", "gzip"),
        ("identity;q=1, gzip;q=0.5", None),
        ("identity;q=0.5, gzip;q=0.5", "gzip"),
        ("identity;q=0", None),
        ("identity;q=0, gzip;q=0.1", "gzip"),
        ("identity;q=0, *", "zstd"),
        ("identity;q=0.5, *;q=0.1", None),
        # case, spaces, empty members
        ("GZIP", "gzip"),
        ("Zstd ; Q=0.5 , gzip;q=0.4", "zstd"),
        ("\tgzip\t", "gzip"),
        (", ,gzip,,", "gzip"),
        ("gzip;  q=1", "gzip"),
        # what is no member is passed over
        ("gzip;q=2", None),
        ("gzip;q=-1", None),
        ("gzip;q=nan", None),
        ("gzip;q=0.1234", None),
        ("gzip;q=", None),
        ("gzip;level=1", None),
        ("gz ip", None),
        ("gzip;q=1;q=0", None),
        ("gzip;q=x, zstd", "zstd"),
        ("gzip²", None),
    ],
)
def test_a_client_gets_the_coding_it_likes_best(accepted: str, coding: Coding | None) -> None:
    assert packing(accepted) == coding


@pytest.mark.parametrize("count", [0, 1, 3, 50])
@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_packed_pieces_are_what_they_were(count: int, coding: Coding) -> None:
    rng = np.random.default_rng(count)
    pieces = [rng.normal(size=5000).round(2).tobytes() for _ in range(count)]
    views = [piece if index % 2 else memoryview(piece) for index, piece in enumerate(pieces)]
    packed = pack(views, coding)
    whole = b"".join(pieces)
    if coding == "gzip":
        assert gzip.decompress(packed) == whole
    else:
        assert zstandard.ZstdDecompressor().stream_reader(packed).read() == whole
    assert len(packed) < max(len(whole), 30)
