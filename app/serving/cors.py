"""Pages of other origins, as far as the settings let them in (Fetch standard, 3.2)."""

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import Receive, Scope, Send

from app.errors import Forbidden
from app.serving.content import Content, Field
from app.serving.exchange import NO_STORE, Exchange


class Cors(CORSMiddleware):
    """Starlette's, with answers to preflights that have what every answer has."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = Headers(scope=scope)
        if scope["method"] != "OPTIONS" or "origin" not in asked or "access-control-request-method" not in asked:
            await super().__call__(scope, receive, send)
            return
        exchange, response = Exchange(scope, receive, send), self.preflight_response(asked)
        reason = bytes(response.body).decode()
        if response.status_code != 200:
            await exchange.refuse(Forbidden(f"{reason}: CRITERION_CORS_ORIGINS says whose pages may ask"))
            return
        fields: list[Field] = [field for field in response.raw_headers if not field[0].startswith(b"content-")]
        await exchange.answer(Content((), "text/plain; charset=utf-8"), fields=(NO_STORE, *fields))
