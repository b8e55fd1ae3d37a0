"""The log: one JSON object a line to stdout, or a line for people; uvicorn's own lines, warnings and the rest included.

What stands in a line is chosen field by field: no text of an error goes in, since it may have what a caller sent in it.
"""

import logging
import os
import sys
import traceback
from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal, TypeAlias, cast

import orjson

Format: TypeAlias = Literal["json", "text"]
LEVELS = {"critical": 50, "error": 40, "warning": 30, "info": 20, "debug": 10}
NAMES = {level: name for name, level in LEVELS.items()}


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


def told_by(record: logging.LogRecord) -> tuple[str, dict[str, object]]:
    """The event of a record and its fields; what others log is a `message`."""
    given = cast("dict[str, object] | None", vars(record).get("fields"))
    if given is not None:
        return record.msg, given
    error = record.exc_info[1] if record.exc_info else None
    about: dict[str, object] = {"logger": record.name, "message": record.getMessage()}
    return "message", about | ({"exception": frames_of(error)} if error is not None else {})


def begun(seconds: float, level: int, event: str) -> dict[str, object]:
    """What every line begins with; its other fields follow."""
    return {"time": timestamp(seconds), "level": NAMES.get(level, str(level)), "event": event, "pid": os.getpid()}


def line(form: Format, fields: dict[str, object]) -> str:
    """A line of these fields."""
    return orjson.dumps(fields, default=str).decode() + "\n" if form == "json" else _text(fields)


def timestamp(seconds: float) -> str:
    """RFC 3339, in UTC, with milliseconds."""
    whole = int(seconds)
    return f"{_second(whole)}.{int((seconds - whole) * 1000):03d}Z"


@lru_cache(maxsize=4)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _text(fields: dict[str, object]) -> str:
    """For people: time, level, event, and the fields that are not empty."""
    time, level, event, _, *others = fields.items()
    told = " ".join(f"{name}={value}" for name, value in others if value not in (None, "") and name != "exception")
    exception = fields.get("exception")
    return f"{time[1]} {level[1]:<8} {event[1]} {told}\n" + (f"{exception}\n" if exception else "")


class _Lines(logging.Formatter):
    def __init__(self, form: Format) -> None:
        super().__init__()
        self._form: Format = form

    def format(self, record: logging.LogRecord) -> str:
        event, fields = told_by(record)
        return line(self._form, begun(record.created, record.levelno, event) | fields).removesuffix("\n")


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
