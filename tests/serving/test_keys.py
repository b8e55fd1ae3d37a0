"""Who may ask: keys, their scopes and ends, as the file says now."""

import json
import logging
import os
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.api.calls import CALLS
from app.serving.call import Call
from app.serving.keys import add_to, hash_of, new_key, read_keys
from tests.conftest import ROOT, Server, client_with, serving
from tests.processes import poll
from tests.serving.keyed import BODY, Made
from tests.serving.test_pipeline import ask, refusal_of

pytestmark = pytest.mark.anyio

EACH = pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call.method} {call.path}")
OPEN = ("/health/", "/v2/health/", "/docs", "/openapi.json")


@pytest.fixture(scope="module")
def made() -> Made:
    made = Made()
    made.add("all", "evaluate", "train", "jobs", "metrics")
    for scope in ("evaluate", "train", "jobs", "metrics"):
        made.add(scope, scope)
    made.add("expired", "evaluate", expires="2020-01-01T00:00:00+01:00")
    made.add("second", "train", label="all")
    return made


@pytest.fixture(scope="module")
async def keyed(made: Made, anyio_backend: str) -> AsyncIterator[httpx.AsyncClient]:
    async with client_with(keys=made.text) as client:
        yield client


def is_open(call: Call) -> bool:
    return call.path == "/" or call.path.startswith(OPEN) or not call.tag


@EACH
async def test_a_call_that_is_not_open_needs_a_key(call: Call, keyed: httpx.AsyncClient) -> None:
    async def never() -> AsyncIterator[bytes]:
        raise AssertionError("the body is read though nobody is known to ask")
        yield b""

    if is_open(call):
        assert (await ask(keyed, call)).status_code == 200
        return
    content = never() if call.method == "POST" else None
    response = await ask(keyed, call, "?serach=x", content=content, headers={"content-type": "text/plain"})
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == 'Bearer realm="criterion"'
    assert "needs a key" in json.dumps(refusal_of(response, call.path))


@EACH
async def test_a_key_opens_what_its_scopes_say(call: Call, made: Made, keyed: httpx.AsyncClient) -> None:
    needed = call.needs
    for name in ("evaluate", "train", "jobs", "metrics"):
        response = await ask(keyed, call, content=b"", headers=made.head(name))
        allowed = needed in ("open", "any", name)
        assert (response.status_code != 403) is allowed, name
        assert response.status_code != 401
        if not allowed:
            challenge = f'Bearer realm="criterion", error="insufficient_scope", scope="{needed}"'
            assert response.headers["www-authenticate"] == challenge
            detail = f'the key "{name}" has the scopes {name}; this call needs {needed}'
            assert detail in (refusal_of(response, call.path).get("detail") or response.json()["error"])


def test_every_call_that_works_on_a_body_needs_a_scope() -> None:
    for call in CALLS:
        if call.method == "POST":
            words = {"jobs": "jobs", "datasets": "jobs", "train": "train", "predict": "train"}
            needed = next((scope for word, scope in words.items() if word in call.path), "evaluate")
            assert call.needs == needed, call.path


async def test_a_key_is_sent_in_either_field_and_never_in_the_address(made: Made, keyed: httpx.AsyncClient) -> None:
    key = made.keys["evaluate"]

    async def status(*fields: tuple[str, str], query: str = "") -> int:
        return (await keyed.post(f"/v1/evaluate{query}", content=BODY, headers=[*fields])).status_code

    assert await status(("authorization", f"Bearer {key}")) == 200
    assert await status(("authorization", f"bEARER  {key}")) == 200
    assert await status(("x-api-key", key)) == 200
    assert await status(("x-api-key", key), ("authorization", f"Bearer {key}")) == 200
    assert await status(("x-api-key", key), ("authorization", f"Bearer {made.keys['all']}")) == 401
    assert await status(("x-api-key", key), ("x-api-key", made.keys["all"])) == 401
    assert await status(query=f"?api_key={key}") == 401


@pytest.mark.parametrize(
    "value", ["Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "Bearer crit_nobody", "Bearer \xff", "x" * 5000, "", "Bearer a b"]
)
async def test_what_is_no_valid_key_is_refused_and_not_repeated(
    value: str, keyed: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        response = await keyed.post("/v1/evaluate", content=BODY, headers=[(b"authorization", value.encode("latin-1"))])
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == 'Bearer realm="criterion", error="invalid_token"'
    for word in value.split()[1:]:
        assert len(word) < 3 or word not in response.text + caplog.text


async def test_an_expired_key_is_refused_and_says_since_when(made: Made, keyed: httpx.AsyncClient) -> None:
    response = await keyed.post("/v1/evaluate", content=BODY, headers=made.head("expired"))
    assert response.status_code == 401
    body = refusal_of(response, "/v1/evaluate")
    assert body["code"] == "unauthorized"
    assert "expired at 2020-01-01T00:00:00+01:00" in body["detail"]


async def test_two_keys_of_a_name_have_each_their_scopes(made: Made, keyed: httpx.AsyncClient) -> None:
    assert (await keyed.post("/v1/evaluate", content=BODY, headers=made.head("all"))).status_code == 200
    assert (await keyed.post("/v1/evaluate", content=BODY, headers=made.head("second"))).status_code == 403


async def test_the_document_says_which_calls_need_a_key(keyed: httpx.AsyncClient, client: httpx.AsyncClient) -> None:
    """The same whether there are keys or not."""
    document = (await keyed.get("/openapi.json")).json()
    assert document == (await client.get("/openapi.json")).json()
    schemes = document["components"]["securitySchemes"]
    assert (schemes["bearer"]["scheme"], schemes["api_key"]["name"]) == ("bearer", "X-API-Key")
    for call in (call for call in CALLS if call.tag):
        operation = document["paths"][call.path][call.method.lower()]
        needed = [] if call.needs == "any" else [call.needs]
        expected = None if call.needs == "open" else [{"bearer": needed}, {"api_key": needed}]
        assert operation.get("security") == expected
        assert ({"401", "403", "429"} <= operation["responses"].keys()) is (expected is not None)


def test_the_hash_is_the_published_one() -> None:
    """The worked example, computed by hand with sha256sum."""
    salt = bytes(range(16))
    expected = "sha256$000102030405060708090a0b0c0d0e0f$c54b3343f054261c0c79913191d8b25e94c7964343b343306bd1110744c1ac15"
    assert hash_of("crit_EXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLEE", salt) == expected


# --- documents that are none ----------------------------------------------------------------------------------------------

ENTRY = new_key("ci", ["evaluate"])[1]


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"name": "Ci"}, "keys.0.name"),
        ({"name": "x" * 65}, "keys.0.name"),
        ({"hash": "sha256$00$00"}, "keys.0.hash"),
        ({"hash": ENTRY["hash"].upper()}, "keys.0.hash"),
        ({"scopes": []}, "keys.0.scopes"),
        ({"scopes": ["admin"]}, "keys.0.scopes.0"),
        ({"expires": "2027-01-31T00:00:00"}, "keys.0.expires"),
        ({"expires": "soon"}, "keys.0.expires"),
        ({"quota": {"requests": {"limit": 0, "seconds": 60}}}, "keys.0.quota.requests.limit"),
        ({"quota": {"requests": {"limit": 1.5, "seconds": 60}}}, "keys.0.quota.requests.limit"),
        ({"quota": {"requests": {"limit": 1, "seconds": 0}}}, "keys.0.quota.requests.seconds"),
        ({"quota": {"calls": {"limit": 1, "seconds": 1}}}, "keys.0.quota.calls"),
        ({"key": "crit_x"}, "keys.0.key"),
    ],
)
def test_an_entry_that_is_none_is_named_by_its_place(change: dict[str, Any], place: str) -> None:
    with pytest.raises(ValueError, match=f"^{place}: ") as error:
        read_keys(json.dumps({"keys": [{**ENTRY, **change}]}))
    assert "\n" not in str(error.value)
    assert ENTRY["hash"][10:] not in str(error.value)


@pytest.mark.parametrize("text", ["", "[]", "{", "{}", '{"keys": {}}', '{"keys": [], "more": 1}'])
def test_a_document_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        read_keys(text)


def started(**variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "", **{f"CRITERION_{name.upper()}": value for name, value in variables.items()}}
    command = [sys.executable, "-m", "app.main"]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"keys": '{"keys": [{"name": "secret name"}]}'}, "CRITERION_KEYS: keys.0.name"),
        ({"keys_file": "/nowhere/keys.json"}, "CRITERION_KEYS_FILE: /nowhere/keys.json cannot be read: No such file"),
        ({"keys": '{"keys": []}', "keys_file": "/nowhere"}, "CRITERION_KEYS: set it, or CRITERION_KEYS_FILE"),
    ],
)
def test_keys_that_cannot_be_read_end_the_start(variables: dict[str, str], says: str) -> None:
    result = started(**variables)
    assert result.returncode == 2
    assert says in result.stderr
    assert result.stderr.count("\n") == 1
    assert "secret" not in result.stderr + result.stdout


# --- a new key --------------------------------------------------------------------------------------------------------


def test_a_key_is_made_and_its_entry_added(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    for name in ("ci", "nightly"):
        command = [sys.executable, "-m", "app.serving.keys", name, "evaluate,train", "--file", str(file)]
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
        made = json.loads(result.stdout)
        assert len(made["key"]) == len("crit_") + 43
        assert made["entry"]["name"] == name
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        identity = read_keys(file.read_text()).identity_of([(b"x-api-key", made["key"].encode())])
        assert (identity.name, identity.scopes) == (name, ("evaluate", "train"))
        assert made["key"] not in file.read_text()
    assert os.listdir(tmp_path) == ["keys.json"]


def test_a_file_that_is_none_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_text("{")
    with pytest.raises(ValueError, match="JSON"):
        add_to(file, ENTRY)
    assert file.read_text() == "{"


# --- a file that changes --------------------------------------------------------------------------------------------------


@pytest.fixture
def rotating(tmp_path: Path) -> Iterator[tuple[Server, Made, Path]]:
    made = Made()
    made.add("old")
    path = made.write(tmp_path / "keys.json")
    with serving(tmp_path, keys_file=path, workers=2) as server:
        yield server, made, path


def asked(server: Server, made: Made, name: str) -> set[int]:
    """The statuses of some requests on connections of their own, which are dealt to both workers."""
    return {server.ask("POST", "/v1/evaluate", content=BODY, headers=made.head(name)).status_code for _ in range(20)}


def lines(server: Server, event: str) -> list[dict[str, Any]]:
    return [line for line in map(json.loads, server.log.read_text().splitlines()) if line["event"] == event]


def test_a_file_of_keys_is_read_anew_by_every_worker(rotating: tuple[Server, Made, Path]) -> None:
    server, made, path = rotating
    assert asked(server, made, "old") == {200}
    made.add("new")
    assert asked(server, made, "new") == {401}
    made.write(path)
    poll(lambda: asked(server, made, "new") == {200}, "the new key is not known")
    assert asked(server, made, "old") == {200}
    path.write_text('{"keys": [')  # in place, and broken
    poll(lambda: len(lines(server, "keys_rejected")) == 1, "nobody says that the file is broken")
    assert asked(server, made, "new") == asked(server, made, "old") == {200}
    made.entries.pop(0)
    path.write_text(made.text)
    poll(lambda: asked(server, made, "old") == {401}, "the old key is still valid")
    assert asked(server, made, "new") == {200}
    path.unlink()
    poll(lambda: len(lines(server, "keys_rejected")) == 2, "nobody says that the file is gone")
    assert asked(server, made, "new") == {200}
    assert [line["names"] for line in lines(server, "keys_loaded")] == [["old"], ["old", "new"], ["new"]]
    assert not any(key in server.log.read_text() for key in made.keys.values())
