"""Server-sent events as a client sees them, and a client of an application in this process that leaves when it likes."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from app.serving.pipeline import Service
from tests.api.problem import strictly


class Event(NamedTuple):
    """An event as it came."""

    name: str
    data: Any
    id: str | None = None


def events_in(text: str) -> list[Event]:
    """The events of a stream, as the HTML standard reads it (9.2.6); comments are left out."""
    assert text.endswith("\n\n")
    return [_event(block) for block in text[:-2].split("\n\n") if not block.startswith(":")]


def _event(block: str) -> Event:
    lines = [line.split(": ", 1) for line in block.split("\n")]
    fields = {name: "\n".join(value for other, value in lines if other == name) for name, _ in lines}
    assert fields.keys() <= {"event", "data", "id"}
    assert max(map(len, block.split("\n"))) < 64_000
    return Event(fields["event"], strictly(fields["data"]), fields.get("id"))


@dataclass
class Caller:
    """A client of an application in this process: it reads chunk by chunk, may stop reading, and may leave."""

    app: Service
    path: str
    document: Any
    accept: str = "text/event-stream"
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict[str, str])
    headers_sent: dict[str, str] = field(default_factory=dict[str, str])

    async def __aenter__(self) -> "Caller":
        self._chunks: asyncio.Queue[bytes] = asyncio.Queue()
        self._left, self._reads = asyncio.Event(), asyncio.Event()
        self._reads.set()
        self._sent = False
        headers = [(b"content-type", b"application/json"), (b"accept", self.accept.encode())]
        headers += [(name.encode(), value.encode()) for name, value in self.headers_sent.items()]
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": self.path,
            "raw_path": self.path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": headers,
            "client": ("test", 1),
            "server": ("test", 80),
        }
        self.task = asyncio.create_task(self.app(scope, self._receive, self._send))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.leave()
        await self.task

    def leave(self) -> None:
        self._left.set()
        self._reads.set()

    def stop_reading(self) -> None:
        """From now on nothing can be sent, until the client leaves."""
        self._reads.clear()

    async def chunk(self) -> bytes:
        """The next piece of the body; b"" at its end."""
        return await self._chunks.get()

    async def rest(self) -> bytes:
        chunks: list[bytes] = []
        while chunk := await self.chunk():
            chunks.append(chunk)
        return b"".join(chunks)

    async def _receive(self) -> dict[str, Any]:
        if not self._sent:
            self._sent = True
            return {"type": "http.request", "body": json.dumps(self.document).encode(), "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        await self._reads.wait()
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            return
        if message.get("body"):
            self._chunks.put_nowait(message["body"])
        if not message.get("more_body", False):
            self._chunks.put_nowait(b"")
