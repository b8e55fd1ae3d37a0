"""One runnable request per loss, drawn through the encodings it declares: what Swagger UI's drop-down offers."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from app.losses import NAMED, Loss
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


THREE: Mapping[str, Any] = {"predictions": [2.5, 0.0, 8.0], "targets": [3.0, -0.5, 2.0]}
COMPOSED_EXAMPLES: Mapping[str, dict[str, Any]] = {
    "expression": {
        "loss": {"name": "expression", "value": "where(abs(r) <= d, r**2/2, d*(abs(r) - d/2))", "parameters": {"d": 1.5}},
        **THREE,
    },
    "asymmetric": {"loss": {"name": "asymmetric", "loss": "mse", "over": 2.0, "under": 1.0}, **THREE},
    "weighted_sum": {
        "loss": {"name": "weighted_sum", "terms": [{"loss": "mse", "weight": 0.7}, {"loss": "mae", "weight": 0.3}]},
        **THREE,
    },
    "multi_task": {
        "loss": {
            "name": "multi_task",
            "heads": {
                "size": {"loss": "mse", "weight": 2.0},
                "kind": {"loss": {"name": "categorical_cross_entropy", "from_logits": True}, "log_variance": 0.4},
            },
        },
        "predictions": {"size": [1.0, 2.0], "kind": [[0.0, 1.0], [2.0, 0.0]]},
        "targets": {"size": [0.0, 2.5], "kind": [1, 1]},
    },
}
"""A request for each way to make a loss."""


def _described(name: str) -> dict[str, str]:
    """What else a loss is called. What it is stands in its schema, and docs.js puts it before the names."""
    other = ", ".join(alias.name for alias in NAMED[name].aliases)
    return {"description": f"Also called {other}."} if other else {}


class Examples(Mapping[str, dict[str, Any]]):
    """A request for each loss, and for each way to make one; drawn when it is asked for."""

    def __getitem__(self, name: str) -> dict[str, Any]:
        loss = NAMED[name]
        return {**_described(name), "value": example(loss) if isinstance(loss, Loss) else COMPOSED_EXAMPLES[name]}

    def __iter__(self) -> Iterator[str]:
        return iter(NAMED)

    def __len__(self) -> int:
        return len(NAMED)


EXAMPLES = Examples()
