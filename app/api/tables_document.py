"""How OpenAPI describes the bodies that are tables, and what their requests say in the address.

The answer of rows (`Accept: text/csv`) stands in words only: of an answer of two types, generated clients make a union that
nobody can use (docs/decisions/openapi.md).
"""

from collections.abc import Mapping
from typing import Any

CSV_EXAMPLES = {
    "comma": {
        "summary": "With loss=bce, predictions=score, targets=label",
        "value": "id,score,label\n1,0.9,1\n2,0.2,0\n3,0.6,1\n",
    },
}


TRAINING_EXAMPLES = {
    "line": {
        "summary": "With targets=y, loss=mse, model=linear, validation=null, epochs=5",
        "value": "x,z,y\n0,1,1.0\n1,0,2.9\n2,2,5.2\n3,1,6.8\n",
    },
}


def _parameter(name: str, description: str, example: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "query",
        "description": f"For CSV and npz: {description}",
        "schema": {"type": "string"},
        "example": example,
    }


DELIMITER = _parameter("delimiter", "`,` `;` tab or `|`; without it, what stands most often in the header.", "")
DECIMAL = _parameter("decimal", "`,` for a decimal comma.", "")


def _further(description: str) -> dict[str, Any]:
    return {
        "name": "parameters",
        "in": "query",
        "description": f"For CSV and npz: {description}",
        "schema": {"type": "object", "additionalProperties": {"type": "string"}},
    }


def _bodies(examples: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "content": {
            "text/csv": {"schema": {"type": "string"}, "examples": examples},
            "application/x-npz": {"schema": {"type": "string", "format": "binary"}},
        }
    }


DOCUMENT: dict[str, Any] = {
    "responses": {
        "200": {
            "description": "The loss of the batch. With `Accept: text/csv`, a CSV body is answered by its rows with `loss` and "
            "`gradient` behind them."
        }
    },
    "parameters": [
        _parameter("loss", "the loss, by any of its names.", "bce"),
        _parameter("predictions", "the column of predictions; several with commas between them, side by side.", "score"),
        _parameter("targets", "the column of targets.", "label"),
        _parameter("sample_weight", "the column of weights.", ""),
        _parameter("mask", "the column of flags.", ""),
        DELIMITER,
        DECIMAL,
        _further("parameters of the loss, its named arrays, other fields of the request: `delta=1.5`."),
    ],
    "requestBody": _bodies(CSV_EXAMPLES),
}

TRAINING: dict[str, Any] = {
    "parameters": [
        _parameter("targets", "the column of targets; several with commas between them, side by side.", "y"),
        _parameter("inputs", "the columns of inputs; without it, all that are nothing else.", ""),
        DELIMITER,
        DECIMAL,
        _further('other fields of the request, as words or in JSON: `loss=mse`, `epochs=5`, `validation={"last":10}`.'),
    ],
    "requestBody": _bodies(TRAINING_EXAMPLES),
}
