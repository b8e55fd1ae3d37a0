"""The service as an ASGI application: every call, whatever it is, is carried by this one pipeline.

observe (exchange.py) → find the call → guards → address → body → decode → check → place → call → encode (steps.py) → reply
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send
from threadpoolctl import threadpool_limits

from app.errors import CallerError, ShuttingDown, Unavailable
from app.serving.accept import prefers_events
from app.serving.address import Rest
from app.serving.bodies import PassingBody, receive_body
from app.serving.budget import TINY_BYTES
from app.serving.call import IDEMPOTENCY_KEY, Call, Caller, Stream
from app.serving.cors import Cors
from app.serving.environment import PIECES, set_malloc
from app.serving.exchange import Exchange
from app.serving.guards import Guard
from app.serving.idempotency import once
from app.serving.installed import not_installed
from app.serving.lanes import TELLING
from app.serving.metrics import Meter
from app.serving.observation import Observer
from app.serving.pictures import THEME, Drawing, drawing
from app.serving.replies import checked_elsewhere, reply, reply_constant, reply_from_process, reply_stream
from app.serving.routes import Routes
from app.serving.signals import before_the_end
from app.serving.state import State
from app.serving.steps import LAST, Elsewhere, Order, answer
from app.serving.traces import collected, to_collector
from app.serving.wires import OWNER
from app.wire.json import Slow
from app.wire.packing import packing
from app.wire.unpacking import unpacking

VARIES_BY_FORM = (b"vary", b"accept")


class Service:
    """The whole service. There is no way to a call but through its guards."""

    def __init__(self, calls: Sequence[Call], state: State, guards: Iterable[Guard]) -> None:
        self.calls = tuple(calls)
        self.state = state
        self.guards = tuple(guards)
        self.routes = Routes(self.calls)
        self.observer = Observer(Meter(state.tally), state.gauges, state.settings.log_format)
        self.observer.begin()
        state.pool.died = self.observer.meter.lose
        if state.keys:
            state.keys.rejected = self.observer.meter.reject_keys
        self._http: ASGIApp = self._serve
        if origins := state.settings.cors_origins:
            self._http = Cors(
                self._serve,
                allow_origins=origins,
                allow_methods=["GET", "POST", "DELETE"],
                allow_headers=["*"],
                expose_headers=["*"],
            )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        else:
            await send({"type": "websocket.close"})

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope.get("state", {})["refused"] = self.observer.refused
        await receive()
        async with self.running():
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """The service with its processes, from before its first request to after its last."""
        set_malloc(PIECES)
        await self.state.pool.start()
        if collected():
            self.observer.traces = await asyncio.to_thread(to_collector)
        beside = [asyncio.create_task(self.observer.show())]
        if self.state.keys:
            beside.append(asyncio.create_task(self.state.keys.watch()))
        if self.state.jobs:
            beside.append(asyncio.create_task(self.state.jobs.watch()))
        try:
            # OpenBLAS's threads spin even for a dot product of 10,000 numbers
            with threadpool_limits(1, user_api="blas"), before_the_end(self.state.pool.end):
                yield
        finally:
            for task in beside:
                task.cancel()
            self.observer.write()
            if self.state.jobs:
                self.state.jobs.close()
            if self.observer.traces:
                await asyncio.to_thread(self.observer.traces.close)
            self.state.pool.close()
            self.state.buffers.close()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, receive, send)
        try:
            await self._carry(exchange)
        except (CallerError, Unavailable) as error:
            await exchange.refuse(error)
        except asyncio.CancelledError:
            if exchange.started:
                raise
            exchange.arrived = True  # no more of it will be read
            await exchange.refuse(ShuttingDown("the server ended before this was answered"))
        except Exception as error:
            if exchange.started:
                exchange.state["ended"] = error
                raise
            refused = not_installed(error)
            await (exchange.refuse(refused) if refused else exchange.fail(error))
        finally:
            self.observer.ended(exchange)

    def _carry(self, exchange: Exchange) -> Awaitable[None]:
        call, path = self.routes.find(exchange.method, exchange.path)
        self.observer.begun(exchange, call)
        for guard in self.guards:
            guard(exchange, call)
        arguments = call.address.read(path, exchange.query, exchange.fields) if call.address.marks else {}
        if call.state is not None:
            arguments[call.state] = self.state
        if call.rest is not None:
            arguments[call.rest] = Rest({name: words for name, words in exchange.query.items() if name not in call.query})
        order = self._order(exchange, call, arguments)
        if call.awaited:
            return self._awaited(exchange, call, order)
        if call.constant:
            return reply_constant(exchange, self.state, call.lane, order)
        if call.method == "GET":
            return reply(exchange, answer(b"", order), order.coding)
        lane = order.operation.lane
        if lane == "streams":
            return self._answer_stream(exchange, order)
        if lane != "training":
            return self._answer(exchange, call, order)
        if order.last_event == LAST:
            return exchange.nothing()
        key = arguments.pop(IDEMPOTENCY_KEY, None)
        return self._answer(exchange, call, order) if key is None else self._answer_once(exchange, call, order, key)

    def _order(self, exchange: Exchange, call: Call, arguments: dict[str, Any]) -> Order:
        fields, settings = exchange.fields, self.state.settings
        picture = _picture(exchange, call)
        coding = packing(exchange.listed(b"accept-encoding")) if b"accept-encoding" in fields else None
        if call.method == "GET" or call.request is None:
            return Order(call.operation, None, arguments, settings, coding=coding, drawing=picture)
        operation = call.operation_of(fields)
        head = operation.wire.head(exchange)
        packed = unpacking(exchange.listed(b"content-encoding")) if b"content-encoding" in fields else None
        if operation.lane not in TELLING:
            return Order(operation, head, arguments, settings, packed, coding, picture)
        arguments[OWNER] = exchange.name
        streamed = picture is None and b"accept" in fields and prefers_events(exchange.listed(b"accept"))
        again = streamed and operation.lane == "training"
        last_event = fields.get(b"last-event-id", b"").decode("latin-1") if again else ""
        return Order(operation, head, arguments, settings, packed, coding, picture, streamed, last_event)

    async def _awaited(self, exchange: Exchange, call: Call, order: Order) -> None:
        """The answer of a call that waits for others."""
        arguments = dict(order.arguments)
        if call.caller is not None:
            arguments[call.caller] = Caller(exchange.name, exchange.scopes)
        if call.request is not None:
            assert call.lane is not None
            body = await receive_body(exchange, self.state)
            try:
                asked = order._replace(arguments={OWNER: exchange.name})  # what the service has is not sent
                arguments[call.request] = await checked_elsewhere(exchange, self.state, call.lane, body, asked)
            finally:
                body.release()
        result = await call.function(**arguments)
        if result is None:
            await exchange.nothing()
        elif isinstance(result, Stream):
            await reply_stream(exchange, result.events)
        else:
            await reply(exchange, order.operation.wire.encode(result, None), order.coding, call.status)

    async def _answer(self, exchange: Exchange, call: Call, order: Order) -> None:
        """The answer to a body, worked on where it holds nobody up."""
        body = await receive_body(exchange, self.state)
        try:
            if call.lane is None or (call.lane == "large" and body.size < self.state.settings.large_body_bytes):
                try:
                    content = answer(body.view, order, exchange.admit, here=call.lane is not None)
                except (Slow, Elsewhere):
                    pass
                else:
                    size = content.size
                    if size <= TINY_BYTES:
                        await reply(exchange, content, order.coding)
                        return
                    with self.state.budget.reserve(size, beside=body.reserved):
                        await reply(exchange, content, order.coding)
                    return
            assert call.lane is not None
            await reply_from_process(exchange, self.state, call.lane, body, order)
        finally:
            body.release()

    async def _answer_stream(self, exchange: Exchange, order: Order) -> None:
        """The answer to a body that is worked on while it comes."""
        assert order.operation.lane is not None
        body = PassingBody(self.state)
        try:
            await reply_from_process(exchange, self.state, order.operation.lane, body, order)
        finally:
            body.release()

    async def _answer_once(self, exchange: Exchange, call: Call, order: Order, key: str) -> None:
        """The same under an Idempotency-Key."""
        assert call.lane is not None
        body = await receive_body(exchange, self.state)
        try:
            async with once(exchange, self.state, key, body, order) as keeping:
                if keeping:
                    plain = order._replace(coding=None)  # it is kept as it is sent, and not for readers of one coding alone
                    await reply_from_process(exchange, self.state, call.lane, body, plain, keeping)
        finally:
            body.release()


def _picture(exchange: Exchange, call: Call) -> Drawing | None:
    """The picture that is asked for. What the query says of it is not for the call to read."""
    if call.picture is None:
        return None
    exchange.more = (VARIES_BY_FORM,)
    theme = exchange.query.pop(THEME, ["light"])[-1]
    return drawing(call.picture, exchange.path, exchange.listed(b"accept"), theme, events=call.lane == "training")
