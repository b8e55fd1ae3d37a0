"""Evaluation of rows that come one after the other, however many: as of data by reference, while the body is on its way."""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

from app.api.blockwise import NOTHING, Asked, answer_of, located, refuse_what_takes_all, so_far, with_block
from app.api.evaluate import COLUMNS
from app.api.files import LABELS, Query, as_written, from_query, listing
from app.api.gathered import Progress
from app.api.sources import Roles, unavailable
from app.api.tables import roles_in
from app.errors import CallerError, Fault, InvalidInput, Path
from app.serving.call import Operation
from app.serving.exchange import Exchange
from app.serving.steps import LAST, Event
from app.serving.usage import Usage, usage_of
from app.serving.wires import Wire, as_model, json_content
from app.settings import Settings
from app.wire import arrow, faults
from app.wire.exact import WORDS
from app.wire.lines import Lines
from app.wire.partitions import rows_of
from app.wire.tables import Block, Column

NDJSON, ARROW = "application/x-ndjson", "application/vnd.apache.arrow.stream"


class Incoming(Protocol):
    """Rows that are read as they come."""

    @property
    def names(self) -> Sequence[str]:
        """The columns, known once some of it is there."""
        ...

    def blocks(self, columns: Sequence[Column]) -> Iterator[Block]:
        """These columns, some rows at a time."""
        ...


class Stream(NamedTuple):
    """A body that is still coming, and what the address says of it."""

    rows: Incoming
    query: Query


class EvaluateStream(Asked):
    """A loss, and rows that come."""

    @property
    def stream(self) -> Stream:
        return vars(self)["stream"]

    @property
    def usage(self) -> Usage:
        """What is known of it beforehand; each block adds to that."""
        return Usage(self.loss.name, timed=True)


def _query(exchange: Exchange) -> Query:
    return exchange.query


def _query_where_arrow_is_read(exchange: Exchange) -> Query:
    if not arrow.installed():
        raise unavailable("Arrow", instead=f"; send {NDJSON}")
    return exchange.query


def _read_lines(body: io.BufferedReader, query: Query, quick: bool) -> Stream:
    return Stream(Lines(body), query)


def _read_arrow(body: io.BufferedReader, query: Query, quick: bool) -> Stream:
    return Stream(arrow.Stream(body, rows_of), query)


def _check(stream: Stream, arguments: Mapping[str, Any], settings: Settings) -> EvaluateStream:
    rows, query = stream
    try:
        asked = from_query(EvaluateStream, COLUMNS, query, rows)
        rest = {name: value for name, value in asked.items() if name not in COLUMNS.sides}
        request: EvaluateStream = as_model(EvaluateStream, rest, arguments, settings)
        refuse_what_takes_all(request)
        vars(request)["roles"] = roles_in(COLUMNS, asked, rows)
    except CallerError as error:
        raise as_written(error, query) from None
    vars(request)["stream"] = stream
    return request


def evaluate_stream(request: EvaluateStream) -> Iterator[Event]:
    """Evaluate rows as they come: after each block what they have come to, and at the end the answer."""
    progress, roles = Progress(), request.roles
    wanted = [*dict.fromkeys(column for columns in roles.values() for column in columns)]
    for block in request.stream.rows.blocks(wanted):
        try:
            _refuse_words(roles, block)
            progress, batch = with_block(progress, request, block, "rows")
        except CallerError as error:
            raise _placed(error, request, block.first) from None
        usage = None if batch is None else usage_of(batch, batch.cost)._replace(timed=True)
        yield Event("progress", so_far(request, progress), usage)
    if not progress.blocks:
        raise InvalidInput([Fault((), "no_samples", f"{NOTHING}, or there are none")])
    yield Event(LAST, answer_of(request, progress))


# --- where something is wrong -----------------------------------------------------------------------------------------------


def _refuse_words(roles: Roles, block: Block) -> None:
    """Labels may be words, of which the loss decides; anything else should have been numbers."""
    for path, columns in roles.items():
        for name in columns if path[-1] not in LABELS else ():
            column = block.columns[name]
            if isinstance(column, list) and isinstance(column[0], str) and column[0] not in WORDS:
                message = f"{faults.name(path)}[0] must be a number, not a string"
                raise InvalidInput([Fault((*path, 0, columns.index(name)), "not_a_number", message)])


def _placed(error: CallerError, request: EvaluateStream, first: int) -> CallerError:
    """The same error at lines, and their keys, as much as is known: the first line of a block where it is of all of them."""
    roles, (rows, query) = request.roles, request.stream
    moved = located(error, roles, first)
    faults = [_at_row(before, after, roles, first, rows) for before, after in zip(error.faults, moved.faults, strict=True)]
    return as_written(InvalidInput(faults) if faults else error, query)


def _at_row(before: Fault, after: Fault, roles: Roles, first: int, rows: Incoming) -> Fault:
    if after.path:
        return after
    if before.code == "missing":
        return replace(before, message=f"{before.message} (name its column; the columns are {listing(rows.names)})")
    columns = next((columns for role, columns in roles.items() if _side(role) == before.path[:1]), ())
    return replace(after, path=(first, *columns) if len(columns) == 1 else (first,))


def _side(role: Path) -> Path:
    return ("targets",) if role[0] in LABELS else role[:1]


STREAMS = {
    media_type: Operation(evaluate_stream, "request", _check, Wire(head, read, json_content, queried=True), "streams")
    for media_type, head, read in ((NDJSON, _query, _read_lines), (ARROW, _query_where_arrow_is_read, _read_arrow))
}
"""The media types of rows that come, and what is done with each."""
