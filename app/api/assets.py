"""Files that pages load, each in a folder that is named by the hash of all of them: a browser may keep it for good."""

import gzip
from collections.abc import Iterable, Mapping
from functools import cached_property
from hashlib import sha256
from mimetypes import guess_type
from pathlib import Path

from app.errors import NotFound
from app.serving.content import Content, Field

FOREVER: Field = (b"cache-control", b"public, max-age=31536000, immutable")
ASKED_AGAIN: Field = (b"cache-control", b"no-cache")
"""Of a page itself: it names the hashes of now."""
TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}


class Assets:
    """Files by name, one that ends in .gz by what is in it; nothing else can be asked for.

    They are read when a page is first asked for: many servers never show one.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self._paths = paths

    @cached_property
    def _contents(self) -> Mapping[str, Content]:
        files = dict(map(_read, self._paths))
        return {name: Content((content,), _type(name), (FOREVER,)) for name, content in sorted(files.items())}

    @cached_property
    def version(self) -> str:
        """The hash of all of them."""
        digest = sha256()
        for name, content in self._contents.items():
            digest.update(name.encode() + content.pieces[0])
        return digest.hexdigest()[:12]

    def get(self, version: str, name: str) -> Content:
        """A file. NotFound where there is none; one of another version is not to be kept under that one's name."""
        if name not in self._contents:
            raise NotFound(f"there is no file {name[:200]!r} here")
        content = self._contents[name]
        return content if version == self.version else content._replace(fields=(ASKED_AGAIN,))


def page(text: str) -> Content:
    """A page as it is sent."""
    return Content((text.encode(),), "text/html; charset=utf-8", (ASKED_AGAIN,))


def _read(path: Path) -> tuple[str, bytes]:
    content = path.read_bytes()
    return (path.stem, gzip.decompress(content)) if path.suffix == ".gz" else (path.name, content)


def _type(name: str) -> str:
    return TYPES.get(name[name.rfind(".") :]) or guess_type(name)[0] or "application/octet-stream"
