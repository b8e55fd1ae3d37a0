"""The OpenAPI document and its page: Swagger UI from the package, with no call to any other host."""

from collections.abc import Sequence
from functools import cache
from importlib.metadata import distribution
from pathlib import Path
from typing import Annotated, Any

from app.api.answers import recorded
from app.api.assets import Assets, page
from app.api.document import finished
from app.serving.address import Path as InPath
from app.serving.call import Call
from app.serving.content import Content
from app.version import VERSION
from app.wire.json import encode

SWAGGER_UI = Path(str(distribution("fastapi-swagger").locate_file("fastapi_swagger/resources")))
SCRIPT = Path(__file__).with_name("docs.js")
SERVED = ("swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png")
ASSETS = Assets([SCRIPT, *(SWAGGER_UI / name for name in SERVED)])
"""What the page loads, by name: nothing else can be asked for."""

PAGE = """<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>Criterion: API</title>
    <meta name="color-scheme" content="light dark">
    <link rel="stylesheet" href="docs/static/{version}/swagger-ui.css">
    <link rel="icon" href="docs/static/{version}/favicon-32x32.png">
  </head>
  <body>
    <div id="swagger-ui"></div>
    <script src="docs/static/{version}/swagger-ui-bundle.js"></script>
    <script src="docs/static/{version}/docs.js"></script>
  </body>
</html>
"""

TAGS = [
    {"name": "losses", "description": "The catalogue: every loss with its formula, encodings, parameters and properties."},
    {
        "name": "evaluate",
        "description": "Value, losses of samples and elements, derivatives; how sure a loss is, and which model is better.",
    },
    {"name": "training", "description": "Short training runs: curves, where to stop, what went wrong; and what they may name."},
    {"name": "jobs", "description": "The same for as long as it takes: work that outlives its request, and any crash."},
    {"name": "inference protocol", "description": "The Open Inference Protocol: a loss as a model, tensors as JSON or bytes."},
    {"name": "health", "description": "What a platform asks before it sends traffic."},
]

DESCRIPTION = """Send predictions and targets, and get the loss, each sample's loss and the gradient.

Whole programs in eight languages: [docs/languages](docs/languages). Every error and its way out: [docs/errors](docs/errors).

Every error is `application/problem+json` (RFC 9457) with a stable `code` and, per fault, a JSON pointer:
`malformed_request`, `malformed_json` and `malformed_table` (400), `unauthorized` (401), `forbidden` (403), `not_found` (404),
`method_not_allowed` (405), `not_acceptable` (406), `request_timeout` (408), `body_too_large` (413),
`unsupported_media_type` (415), `unknown_name` and `invalid_request` (422), `quota_exceeded` (429), `head_too_large` (431),
`internal_error` (500), `unavailable` and `shutting_down` (503).

The `code` of a fault says which rule was broken:

| about | codes |
|---|---|
| the document | `missing`, `unknown_field`, `unexpected`, `type`, `choice`, `length`, `duplicate` |
| names | `unknown_column`, `unknown_loss`, `unknown_parameter`, \
`unknown_class`, `unknown_family`, `unknown_property`, `unknown_dataset`, \
`unknown_model`, `unknown_optimizer`, `unknown_schedule`, `unknown_metric` |
| arrays | `not_an_array`, `not_an_object`, `not_a_number`, `not_finite`, `empty`, `ragged`, `shape`, `shape_mismatch` |
| numbers | `out_of_range`, `row_sum`, `label`, `one_hot`, `box`, `padding`, `ambiguous`, `constant` |
| what does not go together | `reduction`, `output`, `clip`, `classes`, `ignore_index`, `no_samples` |
| curves | `no_curve`, `axis` |
| data by reference | `source_forbidden`, `source_empty`, `format_unavailable`, `not_read`, `not_written`, `changed` |
| samples to compare | `too_few_samples`, `one_group` |
| training | `not_trainable`, `does_not_fit`, `one_output`, `targets`, `metric`, `incomparable`, `constant_column`, `limit` |
"""


def described(calls: Sequence[Call]) -> dict[str, Any]:
    """The OpenAPI document of these calls."""
    from app.serving.document import document  # and with it FastAPI, which nothing else needs

    made = document(
        calls,
        title="Criterion",
        version=VERSION,
        description=DESCRIPTION,
        tags=TAGS,
        servers=[{"url": ".", "description": "This server, wherever it is mounted"}],
        license_info={"name": "MIT", "identifier": "MIT"},
        contact={"name": "Criterion"},
    )
    return finished(made, recorded())


def openapi() -> Content:
    return Content((_encoded(),))


@cache
def _encoded() -> bytes:
    from app.api.calls import CALLS  # this one among them

    return encode(described(CALLS))


def docs() -> Content:
    return page(PAGE.replace("{version}", ASSETS.version))


def static(version: Annotated[str, InPath()], name: Annotated[str, InPath()]) -> Content:
    return ASSETS.get(version, name)


CALLS = (
    Call(method="GET", path="/openapi.json", function=openapi, summary="The OpenAPI document", constant=True, lane="large"),
    Call(method="GET", path="/docs", function=docs, summary="Swagger UI", constant=True),
    Call(method="GET", path="/docs/static/{version}/{name}", function=static, summary="A file of Swagger UI", constant=True),
)
