"""One runnable request per loss, drawn through the encodings it declares: what Swagger UI's drop-down offers."""

from typing import Any

import numpy as np

from app.losses import LOSSES, Loss
from app.losses.inputs import Sizes


def example(loss: Loss) -> dict[str, Any]:
    """A small request for this loss; the same numbers every time."""
    rng = np.random.default_rng(7)
    decided = {
        name: input_.decide(loss.defaults, 1 if "predictions" in loss.inputs else 0) for name, input_ in loss.inputs.items()
    }
    request: dict[str, Any] = {
        "loss": {"name": loss.name, **{name: value for name, value in loss.defaults.items() if value is not None}}
    }
    for name, input_ in loss.inputs.items():
        drawn = decided[name].draw(rng, Sizes(n=4)).tolist()
        if input_.named:
            request.setdefault(input_.side, {})[name] = drawn
        else:
            request[input_.side] = drawn
    return request


EXAMPLES = {name: {"summary": name, "description": loss.summary, "value": example(loss)} for name, loss in LOSSES.items()}
