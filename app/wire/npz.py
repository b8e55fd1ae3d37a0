"""NumPy's npz: a zip of arrays by name. No more is unpacked than the sizes that it declares, and these are looked at first."""

import io
import sys
import zipfile
from collections.abc import Iterable, Sequence
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from app.errors import Fault, InvalidInput, MalformedTable, TooLarge
from app.wire.exact import FAR
from app.wire.json import Slow

QUICK_BYTES = 512 * 1024
"""Arrays that may be unpacked while everybody waits."""
HEADER_BYTES = 10_000
MOST_ARRAYS = 1000
SUFFIX = ".npy"
BEGINNINGS = (b"PK\x03\x04", b"PK\x05\x06")
"""Of a zip; of one with nothing in it."""


class Npz:
    """A file, its directory read. `names` are those of its arrays."""

    def __init__(self, body: bytes | memoryview, *, quick: bool = False) -> None:
        self._quick = quick
        if bytes(body[:4]) not in BEGINNINGS:  # zipfile also reads what stands behind something else
            raise MalformedTable("the body is no npz file: it does not begin as one")
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(body))
            members = self._zip.infolist()
        except Exception as error:  # whatever it is that zipfile raises, this is no file that it reads
            raise MalformedTable(f"the body is no npz file: {str(error)[:200]}") from None
        if not members:
            raise MalformedTable("the npz file has no arrays in it")
        if len(members) > MOST_ARRAYS:
            raise TooLarge(f"the npz file has {len(members)} arrays; {MOST_ARRAYS} are the most")
        self._members = {member.filename.removesuffix(SUFFIX): member for member in members}
        if len(self._members) != len(members):
            raise MalformedTable("two arrays of the npz file have one name")
        self.names = tuple(self._members)

    def read(self, names: Iterable[str], limit: int, text: frozenset[str] = frozenset()) -> dict[str, Any]:
        """These arrays as JSON would hold them; TooLarge before more than `limit` bytes are unpacked."""
        members = {name: self._members[name] for name in names}
        size = sum(member.file_size for member in members.values())
        if size > limit:
            raise TooLarge(f"the arrays unpack to {size} bytes; this server takes {limit}")
        if self._quick and size > QUICK_BYTES:
            raise Slow
        return {name: as_json(name, self._array(name, member)) for name, member in members.items()}

    def _array(self, name: str, member: zipfile.ZipInfo) -> NDArray[Any]:
        try:
            with self._zip.open(member) as file:
                shape, fortran, dtype = described(file)
                if dtype.hasobject:
                    raise ValueError("it holds Python objects, which are not read")
                data = file.read()
            if len(data) != dtype.itemsize * int(np.prod(shape, dtype=object)):
                raise ValueError(f"{dtype} of shape {shape} does not take the {len(data)} bytes that are there")
            return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")
        except MemoryError:
            raise
        except Exception as error:  # NumPy, its tokenizer and four packings have errors of their own each
            raise MalformedTable(f"the array {name[:80]!r} of the npz file cannot be read: {str(error)[:200]}") from None

    def places(self, cells: Sequence[tuple[int, str]]) -> list[str]:
        return [f"row {row} of the array {name!r}" for row, name in cells]


def described(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """The header of an npy file: shape, whether columns lie together, and type; ValueError and others where it is none."""
    version = npy.read_magic(file)
    if version == (1, 0):
        return npy.read_array_header_1_0(file, max_header_size=HEADER_BYTES)
    if version in ((2, 0), (3, 0)):
        return npy.read_array_header_2_0(file, max_header_size=HEADER_BYTES)
    raise ValueError(f"its version is {version}")


def as_json(name: str, array: NDArray[Any]) -> Any:
    """The array as its numbers in JSON would be read: float64; integers where one is beyond 2⁵³; strings and flags as lists."""
    kind = array.dtype.kind
    known = kind == "U" or (kind in "biuf" and array.dtype.itemsize <= 8)
    if not known or not array.ndim or not array.size:
        what = "has no rows" if known else f"is of {array.dtype}"
        message = f"the array {name[:80]!r} {what}: send numbers, booleans or strings, a row for each sample"
        raise InvalidInput([Fault((name,), "type", message)])
    if kind == "U":
        return _strings(name, array)
    if kind in "iu" and array.dtype.itemsize == 8 and bool((array >= int(FAR)).any() or (array <= -int(FAR)).any()):
        return np.ascontiguousarray(array, np.uint64 if bool((array > 2**63 - 1).any()) else np.int64)
    with np.errstate(all="ignore"):  # a signalling NaN is one like another
        return np.ascontiguousarray(array, np.float64)


def _strings(name: str, array: NDArray[Any]) -> list[Any]:
    """Text as Python has it; NumPy keeps numbers that are no characters."""
    if array.dtype.itemsize:
        codes = np.ascontiguousarray(array).view(np.dtype(np.uint32).newbyteorder(array.dtype.byteorder))
        if bool(((codes > sys.maxunicode) | ((codes >= 0xD800) & (codes < 0xE000))).any()):
            raise MalformedTable(f"the array {name[:80]!r} of the npz file has numbers in it that are no characters")
    return array.tolist()
