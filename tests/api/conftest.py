"""What several tests of the calls need."""

import httpx
import pytest
from jsonschema.protocols import Validator
from openapi_schema_validator import OAS31Validator


@pytest.fixture(scope="session")
async def schemas(client: httpx.AsyncClient) -> dict[str, Validator]:
    """The schemas of the OpenAPI document by name, ready to validate."""
    parts = (await client.get("/openapi.json")).json()["components"]
    return {name: OAS31Validator({"$ref": f"#/components/schemas/{name}", "components": parts}) for name in parts["schemas"]}
