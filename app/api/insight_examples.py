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
            [0.7, 0.2, 0.1],
            [0.8, 0.1, 0.1],
            [0.1, 0.8, 0.1],
            [0.2, 0.6, 0.2],
            [0.3, 0.6, 0.1],
            [0.2, 0.5, 0.3],
            [0.2, 0.7, 0.1],
            [0.1, 0.3, 0.6],
        ],
        targets=[0, 0, 1, 1, 0, 2, 2, 2],
        clusters=["p1", "p1", "p2", "p2", "p3", "p3", "p4", "p4"],
    ),
}

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

CHECKS = {
    "short": _example(
        "Half of it",
        "A gradient of the squared error that somebody wrote with the ½ in front.",
        reference={"name": "mean_squared_error"},
        predictions=[1.0, 2.0, 4.0],
        targets=[0.0, 0.0, 1.0],
        gradient=[0.3333333333333333, 0.6666666666666666, 1.0],
    ),
    "kinks": _example(
        "Another slope at the kink",
        "It disagrees only where the residual is 0, where any slope between −1 and 1 is right.",
        reference={"name": "mean_absolute_error"},
        predictions=[1.0, 2.0, 3.0, 5.0],
        targets=[1.0, 0.0, 3.0, 7.0],
        gradient=[0.25, 0.25, 0.25, -0.25],
    ),
    "weights": _example(
        "Weights left out",
        "The losses of the samples are right, and their mean forgets sample_weight.",
        reference={"name": "binary_cross_entropy"},
        predictions=[0.1, 0.4, 0.8],
        targets=[0, 1, 1],
        sample_weight=[1.0, 3.0, 1.0],
        value=0.4149316,
        per_sample=[0.10536051565782628, 0.916290731874155, 0.2231435513142097],
    ),
}

RECOMMENDATIONS = {
    "short": _example(
        "Prices with an outlier",
        "One of twelve is far off the others: a robust loss comes first.",
        targets=[3.1, 2.4, 2.9, 3.3, 2.7, 3.6, 2.2, 3.0, 2.8, 41.0, 3.4, 2.6],
    ),
    "logits": _example(
        "Rare flags, predicted by logits",
        "One of twelve is positive: cross-entropy whose weight of positives makes up for it, told that these are logits.",
        targets=[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0],
        predictions=[-2.1, -1.3, -3.0, 0.4, -0.2, -2.5, -1.9, -0.7, -3.3, -1.1, -2.8, -1.6],
    ),
    "task": _example(
        "Nothing but a task",
        "Before there are any data: what suits counts in general.",
        task="count",
        limit=3,
    ),
}


DRAWN_ALONE: dict[str, Any] = {
    "huber": {"value": "huber"},
    "bce": {"value": "binary_cross_entropy"},
    "hinge": {"value": "hinge"},
}
DRAWN_AGAINST: dict[str, Any] = {
    "alone": {"value": ""},
    "huber": {"value": "mae,log_cosh"},
    "bce": {"value": "brier_score"},
    "hinge": {"value": "logistic"},
}
DRAWN_UNDER: dict[str, Any] = {"defaults": {"value": {}}, "huber": {"value": {"delta": "1.5"}}}
"""Curves by the parts of their address: any name with the first of the others, or all of one name."""
