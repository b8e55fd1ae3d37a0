"""Answers as the contract describes them, written out by NumPy alone: what charts are drawn from in these tests."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def interval(losses: Array, value: float, error: float | None = None) -> dict[str, Any]:
    error = float(losses.std(ddof=1) / np.sqrt(losses.size)) if error is None else error
    return {
        "confidence": 0.95,
        "t": [value - 2 * error, value + 2 * error],
        "percentile": [value - 1.8 * error, value + 1.9 * error],
        "bca": [value - 1.6 * error, value + 2.3 * error],
        "recommended": "bca",
        "resamples": 2000,
        "note": None,
    }


def analysis(losses: Array, name: str = "mean_squared_error", **more: Any) -> dict[str, Any]:
    """What an analysis of these losses would be, without what depends on the kind of the loss."""
    value = float(losses.mean())
    order = np.argsort(-losses, kind="stable")[:10]
    counts, edges = np.histogram(losses, "auto" if losses.size > 1 else 1)
    total = float(losses.sum())
    return {
        "loss": {"name": name},
        "n_samples": int(losses.size),
        "value": value,
        "standard_error": float(losses.std(ddof=1) / np.sqrt(losses.size)) if losses.size > 1 else None,
        "interval": interval(losses, value) if losses.size > 1 else None,
        "distribution": {
            "std": 1.0,
            "skewness": None,
            "min": float(losses.min()),
            "max": float(losses.max()),
            "quantiles": {},
            "histogram": {"edges": edges.tolist(), "counts": counts.tolist()},
        },
        "worst": [
            {"index": int(row), "loss": float(losses[row]), "share": float(losses[row]) / total if total else None}
            for row in order
        ],
        "concentration": {"gini": 0.5, "top": [], "lorenz": {}, "sentence": "5 % of the samples carry 41 % of the loss."},
        **more,
    }


def groups(names: Sequence[object], values: Sequence[float | None]) -> list[dict[str, Any]]:
    return [
        {
            "group": name,
            "n": 40 + 7 * index,
            "value": value,
            "interval": None if value is None else [0.7 * value, 1.4 * value],
            "rest": 1.0,
            "difference": None,
            "difference_interval": None,
            "p_value": None,
            "p_adjusted": 0.01 if index == 0 else 0.4,
        }
        for index, (name, value) in enumerate(zip(names, values, strict=True))
    ]


def comparison(
    models: Mapping[str, Array], losses: Sequence[str] = ("mean_squared_error",), best: str | None = None
) -> dict[str, Any]:
    """What a comparison would be: the losses of the samples of each model, here the same under each loss."""
    names = [*models]
    table = [
        {
            "model": name,
            "value": float(found.mean()),
            "standard_error": 1.0,
            "interval": interval(found, float(found.mean())),
            "rank": 1,
        }
        for name, found in models.items()
    ]
    pairs: list[dict[str, Any]] = []
    for index, first in enumerate(names):
        for second in names[index + 1 :]:
            apart = models[first] - models[second]
            error = float(apart.std(ddof=1) / np.sqrt(apart.size))
            mean = float(apart.mean())
            pairs.append(
                {
                    "models": [first, second],
                    "difference": mean,
                    "standard_error": error,
                    "interval": [mean - 2 * error, mean + 2 * error],
                    "p_value": 0.04,
                    "p_permutation": 0.03,
                    "p_adjusted": 0.04 * (1 + len(pairs)),
                    "won": [0.2, 0.8],
                    "tied": 0.0,
                    "largest": [],
                }
            )
    conclusion = f"{best} has the lowest loss." if best else "Nothing may be concluded from these samples."
    entries = [
        {"loss": {"name": name}, "table": table, "pairs": pairs, "best": best, "conclusion": conclusion} for name in losses
    ]
    return {"n_samples": 200, "losses": entries}


def run(
    history: Array, *, name: object = "mean_squared_error", reason: str = "completed", best: int | None = None
) -> dict[str, Any]:
    """What a training run would answer whose training and validation losses these are, a row an epoch."""
    epochs = [
        {
            "epoch": index + 1,
            "training_loss": float(losses[0]),
            "validation_loss": float(losses[1]) if np.isfinite(losses[1]) else None,
            "metrics": {"accuracy": {"training": 0.5 + index / (2 * len(history)), "validation": None}},
            "learning_rate": 0.1,
            "gradient_norm": 1.0,
            "seconds": 0.0,
        }
        for index, losses in enumerate(history)
    ]
    return {
        "loss": {"name": name},
        "history": epochs,
        "best_epoch": best,
        "stopped": {"epoch": len(history), "reason": reason},
        "diagnosis": [{"verdict": "still_improving", "summary": "The loss was still falling.", "evidence": {}, "advice": ""}],
    }


def runs(found: Sequence[dict[str, Any]], by: str = "loss") -> dict[str, Any]:
    table = [
        {
            "name": one["loss"]["name"],
            "epoch": len(one["history"]),
            "training_loss": 1.0,
            "validation_loss": None,
            "metrics": {"r2": {"training": 0.9, "validation": 0.7}},
            "stopped": "completed",
            "verdict": None,
            "seconds": 0.0,
        }
        for one in found
    ]
    return {
        "by": by,
        "axes": [by],
        "table": table,
        "best": {"r2": {"run": 0, "score": 0.7}},
        "variants": [],
        "differences": [],
        "runs": [*found],
    }


def repeated(names: Sequence[str], repeats: int, *, loss: bool = True) -> dict[str, Any]:
    """Variants with as many runs each, the first without a score."""
    falling = np.stack([np.exp(-np.arange(9) / 4), 0.3 + np.exp(-np.arange(9) / 3)], axis=1)
    answer = runs([run(falling, name=name) for name in names for _ in range(repeats)])
    scores = [
        {"n": repeats, "mean": 0.1 * place, "standard_error": 0.02, "interval": [0.1 * place - 0.05, 0.1 * place + 0.05]}
        for place in range(len(names))
    ]
    scores[0] = {"n": 0, "mean": None, "standard_error": None, "interval": None}
    variants = [
        {"name": name, "loss": {"name": name if loss else "mse"}, "scores": {"r2": score, "validation_loss": score}}
        for name, score in zip(names, scores, strict=True)
    ]
    apart = [
        {
            "a": a,
            "b": b,
            "metric": "r2",
            "difference": None if a == 0 else 0.1,
            "interval": None if a == 0 else [-0.1, 0.3],
            "p_adjusted": None,
        }
        for b in range(len(names))
        for a in range(b)
    ]
    return {**answer, "by": "grid", "axes": ["loss", "seed"], "variants": variants, "differences": apart}


RNG = np.random.default_rng(0)
LONG = "a name that is far too long to be drawn anywhere: " + "x" * 200
STRANGE = "<script>&\"'\u0000\n${x}</script>"

REAL: dict[str, Any] = {
    "residuals": {
        "mean": 0.8125,
        "std": 2.698,
        "skewness": 1.0,
        "heteroscedasticity": {"test": "breusch_pagan", "statistic": 3.75, "p_value": 0.0528},
    }
}
BINS = [
    {"n": 40, "mean_prediction": (index + 0.5) / 10, "observed": min(1.0, max(0.0, (index + 0.3) / 9))} for index in range(10)
]
PROBABLE: dict[str, Any] = {
    "calibration": {"bins": BINS, "ece": 0.031, "ece_if_calibrated": 0.028, "brier": {}, "log_loss": {}},
    "confusion": {"classes": ["no", "yes"], "matrix": [[180, 12], [31, 77]], "accuracy": 0.857, "balanced_accuracy": 0.82},
}
ANALYSES: Mapping[str, dict[str, Any]] = {
    "regression": analysis(
        RNG.gamma(0.6, 4.0, 400), **REAL, groups={"site": groups(["b", "a", "c", "d"], [13.8, 6.1, 2.0, 0.25])}
    ),
    "binary": analysis(RNG.exponential(0.3, 300), "binary_cross_entropy", **PROBABLE),
    "classes": analysis(
        RNG.exponential(0.5, 300),
        "categorical_cross_entropy",
        confusion={"classes": [*range(10)], "matrix": RNG.integers(0, 60, (10, 10)).tolist(), "accuracy": 0.9},
    ),
    "quantile": analysis(
        RNG.exponential(0.5, 300), "quantile", coverage={"expected": 0.9, "observed": 0.86, "interval": [0.82, 0.89]}
    ),
    "two samples": analysis(np.array([1.0, 3.0])),
    "no variance": analysis(np.zeros(8)) | {"interval": None, "standard_error": 0.0},
    "infinite": analysis(RNG.exponential(1.0, 50))
    | {
        "value": None,
        "standard_error": None,
        "interval": {"confidence": 0.95, "t": None, "percentile": None, "bca": None, "recommended": None, "note": "one"},
        "distribution": {"std": None, "min": 0.0, "max": None, "quantiles": {}, "histogram": {"edges": [], "counts": []}},
        "worst": [{"index": 3, "loss": None, "share": None}, {"index": 1, "loss": 2.5, "share": None}],
        "concentration": None,
    },
    "huge": analysis(1e150 * RNG.exponential(1.0, 50), groups={"g": groups(["a", "b"], [1e150, None])}),
    "names": analysis(
        RNG.exponential(1.0, 50),
        groups={
            LONG: groups([STRANGE, LONG, "", "null", True, 3, *range(40)], [1.0] * 46),
            STRANGE: groups(["é", "漢字"], [2.0, 1.0]),
        },
    ),
}
SHIFTED = RNG.exponential(1.0, 200)
COMPARISONS: Mapping[str, dict[str, Any]] = {
    "two": comparison({"old": SHIFTED + 0.3, "new": SHIFTED}, best="new"),
    "one": comparison({"only": SHIFTED}),
    "three under two": comparison(
        {"a": SHIFTED, "b": SHIFTED + RNG.normal(0, 1, 200), "c": SHIFTED * 1.5}, ["mean_squared_error", "mean_absolute_error"]
    ),
    "many": comparison(
        {f"model {index}": SHIFTED + RNG.normal(0, 1, 200) for index in range(20)}, [f"loss {index}" for index in range(12)]
    ),
    "names": comparison({STRANGE: SHIFTED, LONG: SHIFTED + 1}),
    "infinite": {
        "n_samples": 3,
        "losses": [
            {
                "loss": {"name": "poisson_deviance"},
                "best": None,
                "conclusion": "The loss of a is infinite.",
                "table": [
                    {"model": "a", "value": None, "standard_error": None, "interval": None, "rank": 2},
                    {"model": "b", "value": 1.0, "standard_error": None, "interval": None, "rank": 1},
                ],
                "pairs": [{"models": ["a", "b"], "difference": None, "interval": None, "p_adjusted": None}],
            }
        ],
    },
}
FALLING = np.stack([np.exp(-np.arange(80) / 12), 0.3 + np.exp(-np.arange(80) / 8)], axis=1)
RUNS: Mapping[str, dict[str, Any]] = {
    "falling": run(FALLING, best=80),
    "far down": run(FALLING**4, best=80),
    "one epoch": run(FALLING[:1], best=1),
    "no epoch": run(FALLING[:0], reason="diverged"),
    "no validation": run(np.stack([FALLING[:, 0], np.full(80, np.nan)], axis=1), best=80),
    "many epochs": run(np.random.default_rng(1).exponential(1.0, (5000, 2)), best=17),
    "constant": run(np.ones((10, 2)), best=1),
    "huge": run(10.0 ** np.linspace(10, 300, 60)[:, None] * [1, 2], reason="diverged", best=1),
    "negative": run(-FALLING, best=1),
    "name": run(FALLING, name=LONG),
}
COMPARED: Mapping[str, dict[str, Any]] = {
    "losses": runs(
        [run(FALLING, name="mean_squared_error", best=4), run(3 * FALLING, name="huber"), run(FALLING[:1], name="huber")]
    ),
    "repeats": repeated(["a", "huber(delta=0.5)", LONG], 3),
    "many": repeated([f"learning_rate={place}" for place in range(60)], 3, loss=False),
    "seeds": runs([run(FALLING, name=seed) for seed in range(10)], by="seed"),
    "none": runs([run(FALLING[:0], name="a", reason="diverged"), run(FALLING[:0], name="b", reason="diverged")], by="optimizer"),
}
