"""How OpenAPI describes the bodies that are tables, and what their requests say in the address.

The answer of rows (`Accept: text/csv`) stands in words only: of an answer of two types, generated clients make a union that
nobody can use (docs/decisions/openapi.md).
"""

from typing import Any

CSV_EXAMPLES = {
    "comma": {
        "summary": "With loss=bce, predictions=score, targets=label",
        "value": "id,score,label\n1,0.9,1\n2,0.2,0\n3,0.6,1\n",
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
        _parameter("delimiter", "`,` `;` tab or `|`; without it, what stands most often in the header.", ""),
        _parameter("decimal", "`,` for a decimal comma.", ""),
        {
            "name": "parameters",
            "in": "query",
            "description": "For CSV and npz: parameters of the loss, its named arrays, other fields of the request: `delta=1.5`.",
            "schema": {"type": "object", "additionalProperties": {"type": "string"}},
        },
    ],
    "requestBody": {
        "content": {
            "text/csv": {"schema": {"type": "string"}, "examples": CSV_EXAMPLES},
            "application/x-npz": {"schema": {"type": "string", "format": "binary"}},
        }
    },
}
