"""npy files that grow by blocks of rows, and are there under their names once they are whole."""

import os
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray


class Growing:
    """A file of rows of float64. It takes the place of one that is there, when it is closed without an error; OSError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._new = path.with_name(f".{path.name}.{os.getpid()}.new")
        self._row: tuple[int, ...] = ()
        self._rows = 0
        self._file: IO[bytes] | None = None

    def append(self, rows: NDArray[Any]) -> None:
        """Rows of the shape of those before."""
        if not self._rows:
            self._row = rows.shape[1:]
        if rows.shape[1:] != self._row:
            raise ValueError(f"rows of shape {rows.shape[1:]} after rows of shape {self._row}")
        file = self._open()
        if not self._rows:
            self._write_header()
        file.write(np.ascontiguousarray(rows, "<f8").data)
        self._rows += len(rows)

    def __enter__(self) -> Self:
        self._open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        file = self._open()
        try:
            if kind is None:
                file.seek(0)
                self._write_header()
                file.close()
                self._new.replace(self._path)
        finally:
            file.close()
            self._new.unlink(missing_ok=True)

    def _open(self) -> IO[bytes]:
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._new.open("wb")
        return self._file

    def _write_header(self) -> None:
        """Of the same length however many rows there are: NumPy leaves room for the first axis to grow."""
        head = {"descr": "<f8", "fortran_order": False, "shape": (self._rows, *self._row)}
        npy.write_array_header_1_0(self._open(), head)
