"""Server-sent events as the service writes them."""

import json
from collections.abc import Iterator
from typing import Any

from app.client.answers import Problem


class Events:
    """Events out of lines."""

    def __init__(self) -> None:
        self._name, self._data = "", list[str]()
        self.identity = ""
        """The id of the last event that had one."""

    def feed(self, line: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """The event that this line ends, if any; the Problem that it tells of is raised."""
        if line.startswith("event: "):
            self._name = line.removeprefix("event: ")
        elif line.startswith("id: "):
            self.identity = line.removeprefix("id: ")
        elif line.startswith("data: "):
            self._data.append(line.removeprefix("data: "))
        elif not line and self._data:
            name, document = self._name, json.loads("\n".join(self._data))
            self._name, self._data = "", []
            if name == "error":
                raise Problem(document["status"], document)
            yield name, document
