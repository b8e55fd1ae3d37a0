"""The log: one JSON object a line to stdout, or a line for people; uvicorn's own lines, warnings and the rest included.

What stands in a line is chosen field by field: no text of an error goes in, since it may have what a caller sent in it.
"""

import logging
import os
import sys
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal, TypeAlias, cast

import orjson

Format: TypeAlias = Literal["json", "text"]
LEVELS = {"critical": 50, "error": 40, "warning": 30, "info": 20, "debug": 10}


def configure(form: Format, level: str) -> None:
    """Have everything that is logged in this process written in this form, from this level on."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_Lines(form))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(LEVELS[level])
    for name in ("uvicorn", "uvicorn.error", "uvicorn.asgi"):  # what they say of starting and ending is told as events
        logging.getLogger(name).setLevel(max(LEVELS[level], logging.WARNING))
    logging.captureWarnings(True)


def least_level() -> int:
    """From which level on lines are written; from none on where nobody has configured the log, as in a program of somebody's."""
    root = logging.getLogger()
    configured = any(isinstance(handler.formatter, _Lines) for handler in root.handlers)
    return root.level if configured else logging.CRITICAL + 1


def tell(log: logging.Logger, level: int, event: str, error: BaseException | None = None, **fields: object) -> None:
    """Log an event with its fields, and where an error came from."""
    if log.isEnabledFor(level):
        if error is not None:
            fields["exception"] = frames_of(error)
        log.log(level, event, extra={"fields": fields})


def fields_of(record: logging.LogRecord) -> dict[str, object]:
    """What is known of a line beside its time: its event and that one's fields; another's line is a `message`."""
    given = cast("dict[str, object] | None", vars(record).get("fields"))
    return {"event": record.msg, **given} if given is not None else _foreign(record)


def _foreign(record: logging.LogRecord) -> dict[str, object]:
    about: dict[str, object] = {"event": "message", "logger": record.name, "message": record.getMessage()}
    error = record.exc_info[1] if record.exc_info else None
    return about | ({"exception": frames_of(error)} if error is not None else {})


def line(form: Format, fields: Mapping[str, object]) -> str:
    """A line of these fields, of which `seconds` are its time and `level` a number of logging's."""
    about = {name: value for name, value in fields.items() if name != "seconds"}
    seconds, level = cast(float, fields["seconds"]), logging.getLevelName(cast(int, fields["level"])).lower()
    return (_json if form == "json" else _text)(seconds, {**about, "level": level}) + "\n"


def timestamp(seconds: float) -> str:
    """RFC 3339, in UTC, with milliseconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _json(seconds: float, fields: dict[str, object]) -> str:
    told = {"time": timestamp(seconds), "level": fields["level"], "event": fields["event"], "pid": os.getpid(), **fields}
    return orjson.dumps(told, default=str).decode()


def _text(seconds: float, fields: dict[str, object]) -> str:
    """For people: time, level, event, and the fields that are not empty."""
    exception = fields.pop("exception", None)
    level, event = fields.pop("level"), fields.pop("event")
    told = " ".join(f"{name}={value}" for name, value in fields.items() if value not in (None, ""))
    return f"{timestamp(seconds)} {level:<8} {event} {told}" + (f"\n{exception}" if exception else "")


class _Lines(logging.Formatter):
    def __init__(self, form: Format) -> None:
        super().__init__()
        self._form: Format = form

    def format(self, record: logging.LogRecord) -> str:
        return line(self._form, {**fields_of(record), "seconds": record.created, "level": record.levelno}).removesuffix("\n")


def frames_of(error: BaseException) -> str:
    """An error and those before it: what kind, and where from. Its text may have numbers of a caller in it, and is left out."""
    lines: list[str] = []
    seen: BaseException | None = error
    while seen is not None:
        lines.append(type(seen).__name__)
        lines += [f"  {frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(seen.__traceback__)]
        lines += [note for note in getattr(seen, "__notes__", ()) if note.startswith(IN_A_PROCESS)]
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return "\n".join(lines)


IN_A_PROCESS = "in a process of the pool: "
"""What the note begins with under which an error of another process comes."""
