"""What a platform asks."""

import httpx
import pytest

from tests.api.problem import problem_of

pytestmark = pytest.mark.anyio

PATHS = ("/health/live", "/health/ready")


@pytest.mark.parametrize("path", PATHS)
async def test_healthy(path: str, client: httpx.AsyncClient, remote: httpx.AsyncClient) -> None:
    for asked in (client, remote):
        response = await asked.get(path)
        assert (response.status_code, response.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize("path", PATHS)
async def test_a_probe_may_use_head(path: str, client: httpx.AsyncClient) -> None:
    response = await client.head(path)
    assert (response.status_code, response.content) == (200, b"")


@pytest.mark.parametrize("path", PATHS)
async def test_there_is_nothing_to_change(path: str, client: httpx.AsyncClient) -> None:
    body = problem_of(await client.post(path))
    assert (body["status"], body["code"]) == (405, "method_not_allowed")
