"""What an answer is made of, before anybody knows how it will travel."""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

Piece: TypeAlias = bytes | memoryview
Field: TypeAlias = tuple[bytes, bytes]


class Content(NamedTuple):
    """The bytes of an answer in pieces, and the fields that say what they are."""

    pieces: Sequence[Piece]
    media_type: str = "application/json"
    fields: tuple[Field, ...] = ()

    @property
    def size(self) -> int:
        return sum(map(len, self.pieces))


def fields_of(content: Content) -> list[Field]:
    return [(b"content-type", content.media_type.encode()), *content.fields]
