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
STREAM_EXAMPLES = {
    "lines": {
        "summary": "With loss=bce, predictions=score, targets=label",
        "value": '{"score":0.9,"label":1}\n{"score":0.2,"label":0}\n',
    },
}
COMPARISON_EXAMPLES = {
    "models": {
        "summary": "With models=old,new, losses=bce,brier_score, targets=label",
        "value": "id,old,new,label\n1,0.9,0.8,1\n2,0.2,0.1,0\n3,0.6,0.9,1\n",
    },
}
CHECK_EXAMPLES = {
    "half": {
        "summary": "With reference=mse, predictions=score, targets=label, gradient=mine",
        "value": "score,label,mine\n1,0,0.3333333333333333\n2,0,0.6666666666666666\n4,1,1\n",
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
        "description": f"CSV and npz: {description}",
        "schema": {"type": "string"},
        "example": example,
    }


DELIMITER = _parameter("delimiter", "`,` `;` tab or `|`; without it, what stands most often in the header.", "")
DECIMAL = _parameter("decimal", "`,` for a decimal comma.", "")


def _further(description: str) -> dict[str, Any]:
    return {
        "name": "parameters",
        "in": "query",
        "description": f"CSV and npz: {description}",
        "schema": {"type": "object", "additionalProperties": {"type": "string"}},
    }


def _bodies(examples: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "content": {
            "text/csv": {"schema": {"type": "string"}, "examples": examples},
            "application/x-npz": {"schema": {"type": "string", "format": "binary"}},
        }
    }


PREDICTIONS = _parameter("predictions", "the column of predictions; several with commas between them, side by side.", "score")
LABELLED = (
    _parameter("targets", "the column of targets.", "label"),
    _parameter("sample_weight", "the column of weights.", ""),
    _parameter("mask", "the column of flags.", ""),
    DELIMITER,
    DECIMAL,
)
ANALYSIS: dict[str, Any] = {
    "parameters": [
        _parameter("loss", "the loss, by any of its names.", "bce"),
        PREDICTIONS,
        *LABELLED,
        _further("parameters of the loss, its named arrays, other fields of the request: `delta=1.5`."),
    ],
    "requestBody": _bodies(CSV_EXAMPLES),
}
STREAMS: dict[str, Any] = {
    "application/x-ndjson": {"schema": {"type": "string"}, "examples": STREAM_EXAMPLES},
    "application/vnd.apache.arrow.stream": {"schema": {"type": "string", "format": "binary"}},
}
"""Bodies that are read as they come."""
DOCUMENT: dict[str, Any] = {
    "responses": {
        "200": {
            "description": "The loss of the batch. With `Accept: text/csv`, a CSV body is answered by its rows with `loss` and "
            "`gradient` behind them. NDJSON (an object a line) and Arrow streams may have any length; their columns stand in the "
            "address too. They are answered by `value` and `standard_error`; with `Accept: text/event-stream` by events "
            "`progress` (`n_samples`, `value`) meanwhile, and `end`."
        }
    },
    **ANALYSIS,
    "requestBody": {"content": {**ANALYSIS["requestBody"]["content"], **STREAMS}},
}
COMPARISON: dict[str, Any] = {
    "parameters": [
        _parameter(
            "models", "the columns of predictions, each of the model of its name; or columns by model in JSON.", "old,new"
        ),
        _parameter("losses", "the losses, by any of their names, or in JSON.", "bce,brier_score"),
        *LABELLED,
        _further("other fields of the request: `confidence=0.9`."),
    ],
    "requestBody": _bodies(COMPARISON_EXAMPLES),
}
CHECK: dict[str, Any] = {
    "parameters": [
        _parameter("reference", "the loss that yours should be, by any of its names, or in JSON.", "mse"),
        PREDICTIONS,
        *LABELLED,
        _parameter("gradient", "the column of your gradient; `per_sample` and `hessian_diagonal` likewise.", "mine"),
        _further("other fields of the request: `value=7`, `reduction=sum`."),
    ],
    "requestBody": _bodies(CHECK_EXAMPLES),
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
