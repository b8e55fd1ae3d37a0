"""The keys that are in force: of a variable once and for all, of a file as it is now."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

from app.serving.keys import Keys, read_keys
from app.serving.log import tell
from app.serving.shared import NUMBER_BYTES, Once, SharedMemory
from app.settings import Settings

LOOK_SECONDS = 0.25
"""How often the file is looked at. One that cannot be read is looked at twice: somebody may be writing it."""

log = logging.getLogger("criterion")


class Version(NamedTuple):
    """What tells one state of a file from another; all 0 where there is none."""

    modified: int = 0
    inode: int = 0
    size: int = 0

    @property
    def mark(self) -> float:
        return 1.0 + crc32(repr(self).encode())


class LiveKeys:
    """The keys in force. What is no document of keys leaves those before it in force."""

    def __init__(self, settings: Settings, memory: SharedMemory) -> None:
        """ValueError, with the variable and the reason in one line, where there are none at the start."""
        self._path: Path | None = settings.keys_file
        self.rejected: Callable[[], object] = bool
        """Called where the file cannot be taken."""
        self._version: Version = _version(self._path)
        self._broken = Version()
        self._loaded_once, self._rejected_once = Once(memory, 0), Once(memory, NUMBER_BYTES)
        self.keys = read(settings)
        self._tell()

    @staticmethod
    def memory_bytes() -> int:
        return 2 * NUMBER_BYTES

    async def watch(self) -> None:
        """Take over the file whenever it changes."""
        while self._path is not None:
            await asyncio.sleep(LOOK_SECONDS)
            self._look(self._path)

    def _look(self, path: Path) -> None:
        version = _version(path)
        if version == self._version:
            return
        try:
            self.keys = _read_file(path)
        except ValueError as error:
            if version == self._broken:  # it is so for good, and not half written
                self._version = version
                if self._rejected_once.first(version.mark):
                    self.rejected()
                    tell(log, logging.ERROR, "keys_rejected", reason=str(error))
            self._broken = version
        else:
            self._version = version
            self._tell()

    def _tell(self) -> None:
        if self._loaded_once.first(self._version.mark):
            tell(log, logging.INFO, "keys_loaded", names=list(self.keys.names))


def read(settings: Settings) -> Keys:
    """The keys that the settings name."""
    if settings.keys is None:
        assert settings.keys_file is not None
        try:
            return _read_file(settings.keys_file)
        except ValueError as error:
            raise ValueError(f"CRITERION_KEYS_FILE: {error}") from None
    if settings.keys_file is not None:
        raise ValueError("CRITERION_KEYS: set it, or CRITERION_KEYS_FILE, and not both")
    try:
        return read_keys(settings.keys.get_secret_value())
    except ValueError as error:
        raise ValueError(f"CRITERION_KEYS: {error}") from None


def _read_file(path: Path) -> Keys:
    try:
        return read_keys(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path} is no text in UTF-8") from None


def _version(path: Path | None) -> Version:
    try:
        found = path.stat() if path else None
    except OSError:
        found = None
    return Version(found.st_mtime_ns, found.st_ino, found.st_size) if found else Version()
