"""Response headers that every answer carries, and the id under which the log knows a request."""

import os
import re

from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTENT_SECURITY_POLICY = "; ".join((
    "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' data:", "connect-src 'self'",
    "font-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
))  # fmt: skip

SECURITY = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}

RAW = [(name.encode(), value.encode()) for name, value in SECURITY.items()]

ACCEPTED_ID = re.compile(rb"[\w.:-]{1,100}")


def headers_for(request_id: str) -> dict[str, str]:
    return {**SECURITY, "x-request-id": request_id}


class HeadersMiddleware:
    """Pure ASGI, so that streams pass through untouched. A caller's own X-Request-ID is kept where it is short and plain.

    HEAD is answered wherever GET is: the same headers, and no body.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = dict(scope["headers"]).get(b"x-request-id", b"")
        request_id = given.decode() if ACCEPTED_ID.fullmatch(given) else os.urandom(16).hex()
        scope["request_id"] = request_id

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *RAW, (b"x-request-id", request_id.encode())]
            if head and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        head = scope["method"] == "HEAD"
        await self.app({**scope, "method": "GET"} if head else scope, receive, send_with_headers)
