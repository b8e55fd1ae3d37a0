"""Files that pages load, each in a folder that is named by the hash of all of them: a browser may keep it for good."""

from collections.abc import Mapping
from hashlib import sha256
from mimetypes import guess_type

from app.errors import NotFound
from app.serving.content import Content, Field

FOREVER: Field = (b"cache-control", b"public, max-age=31536000, immutable")
ASKED_AGAIN: Field = (b"cache-control", b"no-cache")
"""Of a page itself: it names the hashes of now."""
TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}


class Assets:
    """Files by name; nothing else can be asked for."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.version = sha256(b"".join(name.encode() + content for name, content in sorted(files.items()))).hexdigest()[:12]
        self._contents = {name: Content((content,), _type(name), (FOREVER,)) for name, content in files.items()}

    def get(self, version: str, name: str) -> Content:
        """A file. NotFound where there is none; one of another version is not to be kept under that one's name."""
        if name not in self._contents:
            raise NotFound(f"there is no file {name[:200]!r} here")
        content = self._contents[name]
        return content if version == self.version else content._replace(fields=(ASKED_AGAIN,))


def page(text: str) -> Content:
    """A page as it is sent."""
    return Content((text.encode(),), "text/html; charset=utf-8", (ASKED_AGAIN,))


def _type(name: str) -> str:
    return TYPES.get(name[name.rfind(".") :]) or guess_type(name)[0] or "application/octet-stream"
