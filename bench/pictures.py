"""Pictures as anybody gets them: what one costs once the process that draws is warm, and tiny requests meanwhile."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson

from app.api.insight_examples import ANALYSES, COMPARISONS
from bench.contenders import JSON, TINY, post, sample_of, started
from bench.wire import Crowded, Measured, Plan, Say, beside, interleaved, latencies

KINDS = {"SVG": "image/svg+xml", "PNG": "image/png"}
CURVE = "/v1/losses/huber/curve?delta=1.5&against=mae,log_cosh"
PLAN = Plan(rounds=3, seconds=1.0)
QUICK = Plan(rounds=1, seconds=0.5)
WARM = 0.5
"""Seconds of each picture before any is measured: the engine compiles what it runs often."""


@dataclass
class Pictured:
    """What each picture costs, and milliseconds of tiny requests alone, beside pictures, and of these."""

    drawn: dict[str, Measured] = field(default_factory=dict[str, Measured])
    crowded: Crowded = field(default_factory=Crowded)


def _messages() -> Mapping[str, bytes]:
    asked = {
        "curve": (CURVE, None),
        "analysis": ("/v1/analyze", ANALYSES["calibration"]["value"]),
        "comparison": ("/v1/compare", COMPARISONS["short"]["value"]),
    }
    return {
        f"{name}, {kind}": _got(path, accept) if body is None else post(path, orjson.dumps(body), _json(accept))
        for name, (path, body) in asked.items()
        for kind, accept in KINDS.items()
    }


def _json(accept: str) -> str:
    return f"Content-Type: application/json\r\nAccept: {accept}"


def _got(path: str, accept: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n\r\n".encode()


def measure(plan: Plan, say: Say) -> Pictured:
    result, messages = Pictured(), _messages()
    with started([JSON]) as servers:
        server = servers[JSON.name]
        for message in messages.values():
            latencies(server.connect(), message, WARM)
        result.drawn = interleaved({name: (server, message) for name, message in messages.items()}, plan, say, "pictures")
        tiny = JSON.message(sample_of(TINY))
        for name in messages:
            say(f"tiny requests beside pictures: {name}")
            beside(server, tiny, messages[name], plan.seconds, result.crowded)
    return result
