"""Keys for tests: documents of them, and the head that sends one."""

import json
from pathlib import Path
from typing import Any

from app.serving.keys import new_key

BODY = json.dumps({"loss": "mse", "predictions": [1, 2], "targets": [1, 3]}).encode()


class Made:
    """Keys by name, and the document with their entries."""

    def __init__(self) -> None:
        self.keys: dict[str, str] = {}
        self.entries: list[dict[str, Any]] = []

    def add(self, name: str, *scopes: str, **more: Any) -> str:
        """A new key; `label` in the document where the name is to be another."""
        key, entry = new_key(more.pop("label", name), scopes or ("evaluate",))
        self.keys[name] = key
        self.entries.append({**entry, **more})
        return key

    @property
    def text(self) -> str:
        return json.dumps({"keys": self.entries})

    def write(self, path: Path) -> Path:
        """The file, replaced as a whole."""
        beside = path.with_suffix(".new")
        beside.write_text(self.text)
        return beside.replace(path)

    def head(self, name: str) -> dict[str, str]:
        return {"authorization": f"Bearer {self.keys[name]}"}
