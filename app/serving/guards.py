"""What is asked of every request before its body is read, whatever call it is for.

A guard is a function of the exchange and its call that raises an error where the request may not go on. The list holds
for every call, since there is no other way to one.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias
from urllib.parse import urlsplit

from app.errors import MAX_FAULTS, CrossSite, Fault, QueueFull, ScopeMissing, UnknownHost, UnknownName
from app.serving.call import Call
from app.serving.exchange import Exchange
from app.serving.key_file import LiveKeys
from app.serving.quotas import Quotas
from app.serving.state import State
from app.suggestions import meant

Guard: TypeAlias = Callable[[Exchange, Call], None]


def guards(state: State) -> tuple[Guard, ...]:
    """The guards that these settings ask for, in the order in which they are asked."""
    settings = state.settings
    chosen: list[Guard] = [known_query, room_for(state)]
    if state.keys is not None:
        chosen.insert(0, identified(state.keys, state.quotas))
    if "*" not in settings.trusted_hosts:
        chosen.insert(0, trusted_host(settings.trusted_hosts))
    chosen.insert(0, same_site(settings.cors_origins))
    return tuple(chosen)


def identified(live: LiveKeys, quotas: Quotas) -> Guard:
    """A key is sent that is valid and allows the call, and its name has not had all that it may have."""

    def guard(exchange: Exchange, call: Call) -> None:
        needed = call.needs
        if needed == "open":
            return
        exchange.keyed = True
        identity = live.keys.identity_of(exchange.scope["headers"])
        exchange.name, exchange.scopes = identity.name, identity.scopes
        if needed != "any" and needed not in identity.scopes:
            allowed = ", ".join(identity.scopes)
            raise ScopeMissing(f'the key "{identity.name}" has the scopes {allowed}; this call needs {needed}', needed)
        if identity.quota is not None:
            exchange.account = quotas.account(identity.name, identity.quota)
            exchange.account.open(exchange.declared_size, works=call.request is not None)

    return guard


def trusted_host(trusted: Sequence[str]) -> Guard:
    """The Host is one of these names, so that no page can reach the service under a name of its own (DNS rebinding)."""
    names = frozenset(name.lower() for name in trusted)

    def guard(exchange: Exchange, call: Call) -> None:
        host = exchange.fields.get(b"host", b"").decode("latin-1").lower()
        name = _hostname(host)
        if name not in names and not any(known.startswith("*.") and name.endswith(known[1:]) for known in names):
            raise UnknownHost(f"this server does not answer for the host {host[:80]!r}: see CRITERION_TRUSTED_HOSTS")

    return guard


def _hostname(host: str) -> str:
    """A Host without its port; nothing where it is none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:  # a bracket that is not closed
        return ""


def same_site(origins: Sequence[str]) -> Guard:
    """No page of another site asks, unless CORS lets its origin: a browser sends simple requests without asking first."""

    def guard(exchange: Exchange, call: Call) -> None:
        if exchange.fields.get(b"sec-fetch-site") != b"cross-site" or exchange.fields.get(b"sec-fetch-mode") == b"navigate":
            return
        origin = exchange.fields.get(b"origin", b"").decode("latin-1")
        if "*" not in origins and origin not in origins:
            raise CrossSite(f"a page of {origin[:80] or 'another site'} asks, which CRITERION_CORS_ORIGINS does not allow")

    return guard


def known_query(exchange: Exchange, call: Call) -> None:
    """Every query parameter is one of the call's, or for its wire to check."""
    if not exchange.query_string or call.rest or call.operation_of(exchange.fields).wire.queried:
        return
    unknown = [name for name in exchange.query if name not in call.query]
    if unknown:
        raise UnknownName([Fault((name,), "unknown_field", _no_parameter(name, call)) for name in unknown[:MAX_FAULTS]])


def _no_parameter(name: str, call: Call) -> str:
    takes = call.query
    close = meant(name, takes, most=1)
    hint = f"did you mean {close[0]}?" if close else f"it takes {', '.join(takes)}" if takes else "it takes none"
    body = "; what is asked goes into the body" if call.request and not takes else ""
    files = " or ".join([*(media_type for media_type, wire in call.wires.items() if wire.queried), *call.streams])
    body += f", or beside a file into the address: set the header Content-Type to {files}" if body and files else ""
    return f"{call.method} {call.path} has no query parameter {name[:80]!r}: {hint}{body}"


def room_for(state: State) -> Guard:
    """Whoever would have to wait in a queue that is full is told so before the body is read."""

    def guard(exchange: Exchange, call: Call) -> None:
        if call.lane is None or not state.pool.full(call.lane, exchange.name):
            return
        if call.lane != "large" or exchange.declared_size >= state.settings.large_body_bytes:
            if call.operation_of(exchange.fields).lane != call.lane:  # that one is asked before anything of the body is read
                return
            raise QueueFull(f"too many requests wait already for a process that takes {call.lane} ones; try again later")

    return guard
