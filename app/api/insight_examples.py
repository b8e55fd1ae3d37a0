"""Analyses and comparisons that show something: what Swagger UI's drop-down offers. None of them has a null."""

from typing import Any


def _example(summary: str, description: str, **request: Any) -> dict[str, Any]:
    return {"summary": summary, "description": description, "value": request}


TARGETS = [3.0, -0.5, 2.0, 7.0, 1.5, 5.0, 3.5, 4.0]
OLD = [2.5, 0.0, 8.0, 4.0, 1.0, 7.5, 3.0, 6.0]
NEW = [2.9, -0.4, 4.0, 6.0, 1.1, 6.0, 3.0, 4.5]

ANALYSES = {
    "short": _example(
        "Eight houses, two sites",
        "One sample makes two thirds of the loss, and the loss comes from site b.",
        loss={"name": "mean_squared_error"},
        predictions=OLD,
        targets=TARGETS,
        groups={"site": ["a", "a", "b", "b", "a", "b", "a", "b"]},
        n_worst=2,
    ),
    "calibration": _example(
        "Are the probabilities true?",
        "Twelve forecasts of rain in three bins: what was said, and how often it rained.",
        loss={"name": "binary_cross_entropy"},
        predictions=[0.1, 0.2, 0.3, 0.3, 0.4, 0.5, 0.6, 0.7, 0.7, 0.8, 0.9, 0.9],
        targets=[0, 0, 0, 1, 0, 1, 1, 0, 1, 1, 1, 1],
        bins=3,
    ),
    "clusters": _example(
        "Visits of the same patients",
        "Two visits each: the error bar counts the patients, not the visits.",
        loss={"name": "categorical_cross_entropy"},
        predictions=[
            [0.7, 0.2, 0.1], [0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.2, 0.6, 0.2],
            [0.3, 0.6, 0.1], [0.2, 0.5, 0.3], [0.2, 0.7, 0.1], [0.1, 0.3, 0.6],
        ],
        targets=[0, 0, 1, 1, 0, 2, 2, 2],
        clusters=["p1", "p1", "p2", "p2", "p3", "p3", "p4", "p4"],
    ),
}  # fmt: skip

COMPARISONS = {
    "short": _example(
        "Is the new model better?",
        "By the absolute error it is; by the squared error one sample says too much.",
        models={"old": OLD, "new": NEW},
        targets=TARGETS,
        losses=[{"name": "mean_squared_error"}, {"name": "mean_absolute_error"}],
    ),
    "one_model": _example(
        "One model, many losses",
        "The same predictions by several losses, each with its error bar.",
        models={"mine": NEW},
        targets=TARGETS,
        losses=[{"name": "mean_squared_error"}, {"name": "mean_absolute_error"}, {"name": "huber", "delta": 1.0}],
    ),
    "three_models": _example(
        "Three classifiers",
        "Logits of three models for the same flags, compared two by two.",
        models={
            "linear": [1.0, -0.5, 0.2, -1.2, 0.4, 0.8, -0.3, -0.6],
            "network": [2.2, -1.5, 1.0, -2.0, 1.4, 1.6, -1.0, -1.5],
            "guess": [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        },
        targets=[1, 0, 1, 0, 1, 1, 0, 0],
        losses=[{"name": "binary_cross_entropy", "from_logits": True}],
    ),
}
