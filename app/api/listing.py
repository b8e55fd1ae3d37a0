"""Lists that are read a page at a time, the newest first. A cursor is the id after which a page begins: whatever comes and goes
meanwhile, no later page has anything twice, or leaves anything out."""

from typing import Annotated, TypeAlias

from pydantic import Field

from app.errors import Fault, InvalidInput
from app.serving.address import Query

Limit: TypeAlias = Annotated[int, Query(description="So many at most."), Field(ge=1, le=200)]
LIMIT = 50
Cursor: TypeAlias = Annotated[str | None, Query(description="`next` of the page before.")]
Next: TypeAlias = Annotated[str | None, Field(description="The cursor of those that follow; null where there are none.")]
ID_LENGTH = 26


def before(cursor: str | None) -> str | None:
    """The id that a cursor is; InvalidInput for what is none."""
    if cursor is not None and not (len(cursor) == ID_LENGTH and cursor.isascii() and cursor.isalnum()):
        raise InvalidInput([Fault(("cursor",), "choice", "cursor must be what the page before has as next")])
    return cursor
