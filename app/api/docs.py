"""The OpenAPI document and its page: Swagger UI from the package, with no call to any other host."""

from importlib.resources import files
from pathlib import Path
from typing import Any, cast

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.responses import FileResponse, HTMLResponse, Response
from fastapi.staticfiles import StaticFiles
from pydantic import TypeAdapter

from app.api.answers import recorded
from app.api.document import finished
from app.serving.problems import Problem

router = APIRouter(include_in_schema=False)

SWAGGER_UI = Path(str(files("fastapi_swagger") / "resources"))

PAGE = """<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>Criterion: API</title>
    <link rel="stylesheet" href="docs/static/swagger-ui.css">
    <link rel="icon" href="docs/static/favicon-32x32.png">
  </head>
  <body>
    <main id="swagger-ui"></main>
    <script src="docs/static/swagger-ui-bundle.js"></script>
    <script src="docs/docs.js"></script>
  </body>
</html>
"""

SCRIPT = Path(__file__).with_name("docs.js")

TAGS = [
    {"name": "losses", "description": "The catalogue: every loss with its formula, encodings, parameters and properties."},
    {"name": "evaluate", "description": "Value, per-sample losses and gradient of a loss on a batch."},
    {"name": "training", "description": "Short training runs: curves, where to stop, what went wrong; and what they may name."},
    {"name": "inference protocol", "description": "The Open Inference Protocol: a loss as a model, tensors as JSON or bytes."},
    {"name": "health", "description": "What a platform asks before it sends traffic."},
]

DESCRIPTION = """Send predictions and targets, and get the loss, each sample's loss and the gradient.

Every error is `application/problem+json` (RFC 9457) with a stable `code` and, per fault, a JSON pointer:
`malformed_json` (400), `not_found` (404), `method_not_allowed` (405), `body_too_large` (413), `unsupported_media_type`
(415), `unknown_name` and `invalid_request` (422), `internal_error` (500), `unavailable` (503).

The `code` of a fault says which rule was broken:

| about | codes |
|---|---|
| the document | `missing`, `unknown_field`, `unexpected`, `type`, `choice`, `length`, `duplicate` |
| names | `unknown_loss`, `unknown_parameter`, `unknown_class`, `unknown_family`, `unknown_property`, `unknown_dataset`, \
`unknown_model`, `unknown_optimizer`, `unknown_schedule`, `unknown_metric` |
| arrays | `not_an_array`, `not_an_object`, `not_a_number`, `not_finite`, `empty`, `ragged`, `shape`, `shape_mismatch` |
| numbers | `out_of_range`, `row_sum`, `label`, `one_hot`, `box`, `padding` |
| what does not go together | `reduction`, `clip`, `no_samples` |
| training | `not_trainable`, `does_not_fit`, `one_output`, `targets`, `metric`, `constant_column`, `limit` |
"""


@router.get("/docs")
async def page() -> HTMLResponse:
    return HTMLResponse(PAGE)


@router.get("/docs/docs.js")
async def script() -> Response:
    return FileResponse(SCRIPT, media_type="text/javascript")


def install(app: FastAPI) -> None:
    """Serve the page and its files, and make the document say what the handlers answer."""
    app.include_router(router)
    app.mount("/docs/static", StaticFiles(directory=SWAGGER_UI), name="swagger-ui")
    app.openapi = lambda: openapi(app)


def openapi(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI 3.1 document of the app, made once."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=DESCRIPTION, routes=app.routes, tags=TAGS,
            openapi_version="3.1.0", servers=[{"url": ".", "description": "This server, wherever it is mounted"}],
            license_info={"name": "MIT", "identifier": "MIT"}, contact={"name": "Criterion"},
        )  # fmt: skip
        document["security"] = []
        schemas: dict[str, Any] = document["components"]["schemas"]
        problem = TypeAdapter(Problem).json_schema(ref_template="#/components/schemas/{model}")
        schemas |= cast(dict[str, Any], problem.pop("$defs"))
        schemas["Problem"] = problem
        for unused in ("HTTPValidationError", "ValidationError"):  # FastAPI documents its own 422, which is never sent
            schemas.pop(unused, None)
        app.openapi_schema = finished(document, recorded())
    return app.openapi_schema
