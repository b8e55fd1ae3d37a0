"""Models that can be asked: what Swagger UI's drop-down offers for /v1/predict. They are as small as a model can be.

None of them has a null: FastAPI leaves these out of its document.
"""

from collections.abc import Mapping
from typing import Any

from app.api.trained import FORMAT, VERSION


def _model(name: str, loss: Mapping[str, Any], encoding: str, parameters: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "version": VERSION,
        "model": {"name": name},
        "loss": loss,
        "output_activation": "identity",
        "predictions_encoding": encoding,
        "parameters": parameters,
        **more,
    }


PREDICTIONS: dict[str, Any] = {
    "line": {
        "summary": "A line",
        "description": "2x + 1 of two rows.",
        "value": {
            "model": _model(
                "linear",
                {"name": "mean_squared_error"},
                "real",
                {"weights_1": [[2.0]], "biases_1": [1.0]},
                inputs=1,
                range={"min": [0.0], "max": [4.0]},
            ),
            "inputs": [[0.0], [1.5]],
        },
    },
    "surface": {
        "summary": "A decision surface",
        "description": "Two columns, two classes, and at each place of a grid how probable each of them is.",
        "value": {
            "model": _model(
                "linear",
                {"name": "binary_cross_entropy", "from_logits": True},
                "logit",
                {"weights_1": [[1.0], [-1.0]], "biases_1": [0.0]},
                inputs=2,
                classes=["no", "yes"],
                range={"min": [0.0, 0.0], "max": [1.0, 1.0]},
            ),
            "surface": {"n": 2, "x": [0.0, 1.0]},
        },
    },
    "table": {
        "summary": "A table by the names of its columns",
        "description": "One split of boosted trees, at an age of 30.",
        "value": {
            "model": _model(
                "boosted_trees",
                {"name": "mean_squared_error"},
                "real",
                {
                    "constant": [10.0],
                    "first_nodes": [0],
                    "feature": [1, -1, -1],
                    "threshold": [30.0, 0.0, 0.0],
                    "left": [1, -1, -1],
                    "right": [2, -1, -1],
                    "missing_left": [1, 0, 0],
                    "gain": [8.0, 0.0, 0.0],
                    "value": [[0.0], [-2.0], [2.0]],
                },
                inputs=2,
                features=["size", "age"],
                leaves="predictions",
                range={"min": [1.0, 20.0], "max": [9.0, 60.0]},
            ),
            "inputs": {"rows": [{"age": 25, "size": 3}, {"age": 41, "size": 5}]},
        },
    },
}
