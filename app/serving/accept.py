"""What a client prefers, of what it accepts (RFC 9110, 12.5.1)."""

import re
from collections.abc import Sequence

JSON, EVENTS, HTML = "application/json", "text/event-stream", "text/html"


def preferred(accept: str, offered: Sequence[str]) -> str | None:
    """The media type of these that an Accept header likes best, of equals the first; None where it takes none of them."""
    if not accept.strip():
        return offered[0]
    quality, best = max(((_preference(accept, offer), offer) for offer in offered), key=lambda found: found[0])
    return best if quality > NOTHING else None


def prefers_events(accept: str) -> bool:
    """Whether an Accept header asks for a stream of events before it asks for JSON."""
    return prefers(accept, EVENTS)


def prefers(accept: str, media_type: str) -> bool:
    """Whether an Accept header asks for a media type before it asks for JSON."""
    return preferred(accept, (JSON, media_type)) == media_type


NOTHING = (0.0, 0, 0)


def _preference(accept: str, media_type: str) -> tuple[float, int, int]:
    """Its quality, how exactly it is named, and how early: the most exact name of a type is the one that counts.

    Who asks for a page takes JSON for one, where he takes it at all: some browsers name pictures beside pages.
    """
    own = _named(accept, media_type)
    return max(own, _named(accept, HTML)) if media_type == JSON and own > NOTHING else own


def _named(accept: str, media_type: str) -> tuple[float, int, int]:
    exactness = {media_type: 2, media_type.partition("/")[0] + "/*": 1, "*/*": 0}
    named: list[tuple[int, float, int]] = []
    for place, item in enumerate(accept.lower().split(",")):
        name, _, parameters = item.partition(";")
        if name.strip() in exactness:
            quality = re.search(r"(?:^|;)\s*q=([01](?:\.\d{0,3})?)\s*(?:;|$)", parameters)
            named.append((exactness[name.strip()], float(quality[1]) if quality else 1.0, -place))
    exact, quality, early = max(named, default=(0, 0.0, 0))
    return (quality, exact, early) if quality else NOTHING
