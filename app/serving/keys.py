"""API keys: who may ask for what, from a file or a variable. No key itself is ever kept, only its salted hash.

    python -m app.serving.keys NAME SCOPE,SCOPE [--expires TIME] [--file keys.json]

Keys are 256 random bits: a hash that takes long would not make them safer, and be a door for floods.
"""

import hashlib
import hmac
import json
import os
import secrets
import sys
import tempfile
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias, get_args

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from app.errors import Unauthorized

Scope: TypeAlias = Literal["evaluate", "train", "jobs", "metrics"]

HASH = r"^sha256\$([0-9a-f]{2}){16,64}\$[0-9a-f]{64}$"
HASH_RULE = "must be sha256$SALT$DIGEST in lower-case hex, with a salt of 16 bytes at least"
SALT_BYTES, KEY_BYTES = 16, 32
REMEMBERED = 1024
"""Valid keys whose entry is remembered, so that a request costs one hash, however many keys there are."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Limit(_Part):
    """So much within so many seconds."""

    limit: Annotated[int, Field(gt=0, strict=True)]
    seconds: Annotated[int, Field(ge=1, strict=True)]


class ComputeLimit(_Part):
    """So many seconds of work within so many seconds."""

    limit: Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]
    seconds: Annotated[int, Field(ge=1, strict=True)]


class Quota(_Part):
    """What a name may have; what is absent has no limit."""

    requests: Limit | None = None
    bytes: Limit | None = None
    compute: ComputeLimit | None = None


class Entry(_Part):
    """One key."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]{1,64}$")]
    hash: Annotated[str, StringConstraints(pattern=HASH), Field(repr=False)]
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1)]
    expires: AwareDatetime | None = None
    quota: Quota | None = None


class _Document(_Part):
    keys: tuple[Entry, ...]


class Identity(NamedTuple):
    """Who asks: a name, what its key allows, and what it may have."""

    name: str
    scopes: tuple[Scope, ...] = ()
    quota: Quota | None = None


class _Known(NamedTuple):
    salt: bytes
    digest: bytes
    expires: datetime | None
    identity: Identity


class Keys:
    """The keys that are live. All keys of a name are one identity, with the quota of its first."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        first: dict[str, Quota | None] = {}
        self._known: list[_Known] = []
        for entry in entries:
            _, salt, digest = entry.hash.split("$")
            identity = Identity(entry.name, entry.scopes, first.setdefault(entry.name, entry.quota))
            self._known.append(_Known(bytes.fromhex(salt), bytes.fromhex(digest), entry.expires, identity))
        self.names = tuple(first)
        self._secret = secrets.token_bytes(16)
        self._remembered: dict[bytes, _Known] = {}

    def identity_of(self, fields: Sequence[tuple[bytes, bytes]]) -> Identity:
        """Whose request has these fields; Unauthorized where that cannot be told."""
        presented = {value for name, value in fields if name == b"x-api-key"}
        for value in (value for name, value in fields if name == b"authorization"):
            scheme, _, key = value.partition(b" ")
            if scheme.lower() != b"bearer":
                raise Unauthorized("Authorization has another scheme than Bearer: send Authorization: Bearer …", sent=True)
            presented.add(key.strip())
        if not presented:
            raise Unauthorized("this call needs a key: Authorization: Bearer …, or X-API-Key", sent=False)
        if len(presented) > 1:
            raise Unauthorized("two keys were sent that differ: send one", sent=True)
        (key,) = presented
        known = self._find(key)
        if known is None:
            raise Unauthorized("this key is none that is known here", sent=True)
        if known.expires is not None and known.expires <= datetime.now(UTC):
            raise Unauthorized(f"this key of {known.identity.name!r} expired at {known.expires.isoformat()}", sent=True)
        return known.identity

    def _find(self, key: bytes) -> _Known | None:
        """The entry of a key. How long it takes says nothing of it: all entries are compared, in constant time."""
        mark = hashlib.blake2b(key, key=self._secret).digest()
        known = self._remembered.get(mark)
        if known is None:
            for entry in self._known:
                if hmac.compare_digest(hashlib.sha256(entry.salt + key).digest(), entry.digest):
                    known = entry
            if known is not None and len(self._remembered) < REMEMBERED:
                self._remembered[mark] = known
        return known


def read_keys(text: str) -> Keys:
    """The keys of a document; ValueError with one line that shows no hash."""
    try:
        document = _Document.model_validate_json(text)
    except ValidationError as error:
        raise ValueError(_said_of(error)) from None
    return Keys(document.keys)


def _said_of(error: ValidationError) -> str:
    first = error.errors(include_input=False, include_url=False)[0]
    place = ".".join(str(step) for step in first["loc"])
    rule = HASH_RULE if place.endswith(".hash") else first["msg"]
    return f"{place}: {rule}" if place else rule


# --- a new key --------------------------------------------------------------------------------------------------------


def new_key(name: str, scopes: Sequence[str], expires: str | None = None) -> tuple[str, dict[str, Any]]:
    """A key that nobody else has, and its entry; ValueError for what cannot be one."""
    key = "crit_" + urlsafe_b64encode(secrets.token_bytes(KEY_BYTES)).rstrip(b"=").decode()
    salt = secrets.token_bytes(SALT_BYTES)
    entry: dict[str, Any] = {"name": name, "hash": hash_of(key, salt), "scopes": list(scopes)}
    if expires is not None:
        entry["expires"] = expires
    read_keys(json.dumps({"keys": [entry]}))
    return key, entry


def hash_of(key: str, salt: bytes) -> str:
    return f"sha256${salt.hex()}${hashlib.sha256(salt + key.encode()).hexdigest()}"


def add_to(file: Path, entry: Mapping[str, Any]) -> None:
    """One entry more in a file of keys, which is made where it is missing, and replaced as a whole."""
    text = file.read_text(encoding="utf-8") if file.exists() else '{"keys": []}'
    read_keys(text)
    document = json.loads(text)
    document["keys"].append(entry)
    descriptor, beside = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")  # with mode 600
    with open(descriptor, "w", encoding="utf-8") as written:
        json.dump(document, written, indent=2)
        written.write("\n")
        written.flush()
        os.fsync(written.fileno())
    if file.exists():
        os.chmod(beside, file.stat().st_mode & 0o777)
    Path(beside).replace(file)


def main(arguments: Sequence[str] | None = None) -> int:
    import argparse  # what a server has no use for

    parser = argparse.ArgumentParser(prog="criterion key", description="Make a key, shown this once.")
    parser.add_argument("name", help="who it is, in logs and metrics: small letters, digits, _ and -")
    parser.add_argument("scopes", help=f"what it allows, with commas between: {', '.join(get_args(Scope))}")
    parser.add_argument("--expires", help="when it ends, as 2027-01-31T00:00:00Z")
    parser.add_argument("--file", type=Path, help="a file of keys that gets its entry")
    options = parser.parse_args(arguments)
    scopes = [scope.strip() for scope in options.scopes.split(",") if scope.strip()]
    try:
        key, entry = new_key(options.name, scopes, options.expires or None)
        if options.file is not None:
            add_to(options.file, entry)
    except (OSError, ValueError) as error:
        print(f"no key was made: {error}", file=sys.stderr)
        return 2
    print(json.dumps({"key": key, "entry": entry}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
