"""What a client prefers, of what it accepts (RFC 9110, 12.5.1)."""

import re


def prefers_events(accept: str) -> bool:
    """Whether an Accept header asks for a stream of events before it asks for JSON."""
    return prefers(accept, "text/event-stream")


def prefers(accept: str, media_type: str) -> bool:
    """Whether an Accept header asks for a media type before it asks for JSON."""
    return _preference(accept, media_type) > _preference(accept, "application/json")


def _preference(accept: str, media_type: str) -> tuple[float, int, int]:
    """Its quality, how exactly it is named, and how early: the most exact name of a type is the one that counts."""
    exactness = {media_type: 2, media_type.partition("/")[0] + "/*": 1, "*/*": 0}
    named: list[tuple[int, float, int]] = []
    for place, item in enumerate(accept.lower().split(",")):
        name, _, parameters = item.partition(";")
        if name.strip() in exactness:
            quality = re.search(r"(?:^|;)\s*q=([01](?:\.\d{0,3})?)\s*(?:;|$)", parameters)
            named.append((exactness[name.strip()], float(quality[1]) if quality else 1.0, -place))
    exact, quality, early = max(named, default=(0, 0.0, 0))
    return (quality, exact, early) if quality else (0.0, 0, 0)
