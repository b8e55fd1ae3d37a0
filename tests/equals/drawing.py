"""Arrays on which both sides are asked: ordinary ones, and those of each region at which libraries part."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from app.libraries import Equal
from app.losses.inputs import Encoding
from app.losses.loss import Loss

Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]
REGIONS = ("random", "ties", "exact", "zeros", "saturated")
LENGTHS = {"n": 6, "d": 3, "k": 4, "m": 3, "r": 5, "t": 7, "s": 2, "4": 4}
IGNORED = "ignore_index"


def _rows(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.dirichlet(np.ones(shape[-1]), shape[:-1])


def _one_hot(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return np.eye(shape[-1])[rng.integers(0, shape[-1], shape[:-1])]


def _picks(*numbers: float) -> Draw:
    return lambda rng, shape: rng.choice(np.array(numbers), shape)


def _index_list(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Labels padded to one for each class, as PyTorch wants them."""
    lists = np.full(shape, -1.0)
    for row in lists:
        count = rng.integers(1, shape[-1])
        row[:count] = rng.permutation(shape[-1])[:count]
    return lists


def _labels(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    drawn = rng.integers(1, LENGTHS["k"], shape).astype(float)
    drawn[-1, -1] = -1.0
    return drawn


def _boxes(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    corner, size = rng.uniform(0, 3, (shape[0], 2)), rng.uniform(0.5, 3, (shape[0], 2))
    return np.concatenate([corner, corner + size], axis=1)


def _touching_boxes(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    corner = rng.integers(0, 3, (shape[0], 2))
    return np.concatenate([corner, corner + rng.integers(1, 3, (shape[0], 2))], axis=1).astype(float)


def _first_row(value: float, others: Draw) -> Draw:
    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        drawn = others(rng, shape)
        drawn[0] = value
        return drawn

    return draw


def _normal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.normal(0, 2, shape)


def _unit(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    drawn = _normal(rng, shape)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def _positive(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return np.exp(rng.normal(0, 1, shape))


def _chances(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.uniform(0.02, 0.98, shape)


def _short(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Vectors of which the first two are far shorter than what libraries divide by at least."""
    drawn = _normal(rng, shape)
    drawn[:2] *= 1e-10
    return drawn


_GRID = _picks(-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0)
_ZEROS = _picks(0.0)
_REAL: Mapping[str, Draw] = {
    "random": _normal,
    "ties": _GRID,
    "zeros": _ZEROS,
    "saturated": _picks(-1e3, -40.0, -1.0, 0.5, 40.0, 1e3),
}
_FLAGS: Mapping[str, Draw] = {"random": _picks(0.0, 1.0)}
DRAWS: Mapping[str, Mapping[str, Draw]] = {
    **dict.fromkeys(
        (
            "real",
            "score",
            "logit",
            "logits",
            "scores",
            "value",
            "log_risk",
            "list_scores",
            "ensemble",
            "vector_ensemble",
            "outcome",
        ),
        _REAL,
    ),
    "time": {"random": _positive, "ties": _picks(2.0)},
    "time_or_never": {"random": _picks(60.0, 90.0, np.inf), "ties": _picks(2.0, 2.0, np.inf)},
    "event": {"random": _picks(0.0, 1.0)},
    "embedding": {"random": _normal, "ties": _GRID, "zeros": _first_row(0.0, _normal), "saturated": _short},
    "relevance": {"random": _picks(0.0, 1.0, 2.0, 3.0), "zeros": _ZEROS},
    "unit": {"random": _unit},
    **{key: {"random": _positive, "ties": _picks(0.5, 1.0, 2.0)} for key in ("shape", "degrees", "spectrum", "moderate")},
    "amounts": {"random": _positive, "ties": _picks(0.5, 1.0), "zeros": _ZEROS},
    "varied": {"random": _normal, "ties": _GRID},
    "share": {"random": _chances},
    "positive": {"random": _positive, "ties": _picks(0.5, 1.0, 2.0), "saturated": _picks(1e-6, 1.0, 1e6)},
    "non_negative": {"random": _positive, "ties": _picks(0.5, 1.0), "zeros": _ZEROS, "saturated": _picks(0.0, 1e-6, 1e6)},
    "distance": {"random": _positive, "ties": _picks(0.5, 1.0), "zeros": _ZEROS},
    "count": {"random": lambda rng, shape: rng.poisson(2.0, shape).astype(float), "zeros": _ZEROS, "saturated": _picks(0.0, 1e3)},
    "above_minus_one": {"random": _positive, "ties": _picks(0.0, 1.0), "zeros": _ZEROS, "saturated": _picks(0.0, 1e6)},
    "probability": {
        "random": _chances,
        "ties": _picks(0.25, 0.5, 0.75),
        "zeros": _first_row(0.0, _chances),
        "saturated": _picks(0.0, 1e-9, 0.5, 1.0),
    },
    "distribution": {"random": _rows, "ties": lambda rng, shape: np.full(shape, 1.0 / shape[-1]), "saturated": _one_hot},
    "log_probabilities": {
        "random": lambda rng, shape: np.log(_rows(rng, shape)),
        "saturated": lambda rng, shape: np.log(_one_hot(rng, shape) + 1e-300),
    },
    "token_logits": {"random": _normal, "ties": _GRID, "zeros": _ZEROS},
    "tokens": {"random": lambda rng, shape: rng.integers(0, LENGTHS["k"], shape).astype(float)},
    "angle": {"random": lambda rng, shape: rng.uniform(-3.0, 3.0, shape)},
    "concentration": {"random": _positive},
    "one_hot": {"random": _one_hot},
    "multi_hot": {"random": _picks(0.0, 1.0), "zeros": _first_row(0.0, _picks(0.0, 1.0))},
    "binary": {"random": _picks(0.0, 1.0), "zeros": _first_row(0.0, _picks(0.0, 1.0))},
    "label": {"random": _picks(0.0, 1.0)},
    "sign": {"random": _picks(-1.0, 1.0)},
    "class_index": {"random": lambda rng, shape: rng.integers(0, LENGTHS["k"], shape).astype(float)},
    "grade": {"random": lambda rng, shape: rng.integers(0, LENGTHS["k"], shape).astype(float)},
    "class_map": {"random": lambda rng, shape: rng.integers(0, LENGTHS["k"], shape).astype(float)},
    "index_list": {"random": _index_list},
    "proxy": {"random": lambda rng, shape: rng.integers(0, LENGTHS["k"], shape).astype(float)},
    "group": {"random": lambda rng, shape: np.arange(shape[0]) // 2 + 0.0},
    "apart": {"random": lambda rng, shape: np.arange(shape[0]) + 0.0},
    "label_sequence": {"random": _labels},
    "box_xyxy": {"random": _boxes, "ties": _touching_boxes},
}
ROWS = {
    "token_logits",
    "list_scores",
    "relevance",
    "logits",
    "scores",
    "distribution",
    "log_probabilities",
    "multi_hot",
    "one_hot",
    "index_list",
}


def shapes_of(loss: Loss, equal: Equal, parameters: Mapping[str, Any]) -> tuple[str, ...]:
    """The shapes of predictions to try, as axes."""
    if equal.axes:
        return equal.axes
    first = next(iter(loss.inputs.values())).decide(parameters, 2)
    if first.axes[0] in ("n *d", "n *d k"):
        return ("n d",) if first.axes[0] == "n *d" else ("n k",)
    return (first.axes[0].replace("*r", "r").replace("*d", "d"),)


def draw_all(
    loss: Loss, equal: Equal, parameters: Mapping[str, Any], axes: str, region: str, rng: np.random.Generator
) -> dict[str, tuple[str, np.ndarray]]:
    """Each array by name, with its encoding."""
    drawn: dict[str, tuple[str, np.ndarray]] = {}
    letters = axes.split()
    for name, declared in loss.inputs.items():
        encoding = declared.decide(parameters, len(letters))
        kind = equal.encodings.get(name, encoding.name)
        shape = _shape(encoding, kind, letters, parameters)
        draws = DRAWS[kind]
        array = draws.get(region, draws["random"])(rng, shape)
        if _rows_along(kind, parameters, letters):
            array = np.moveaxis(array, -1, parameters["class_axis"])
        drawn[name] = kind, array
    if region == "exact":
        _meet(drawn)
    if parameters.get(IGNORED) is not None and drawn["targets"][0] == "class_index":
        drawn["targets"][1][0] = parameters[IGNORED]
    return drawn


def _shape(encoding: Encoding, kind: str, letters: list[str], parameters: Mapping[str, Any]) -> tuple[int, ...]:
    if encoding.axes[0] in ("n", "n 4", "n s", "n d"):
        return tuple(LENGTHS[axis] for axis in encoding.axes[0].split())
    if kind in ROWS:  # the classes last, as they are drawn
        return tuple(
            LENGTHS[axis] for axis in [*(axis for axis in letters if axis not in "kt"), *("t" if "t" in letters else ""), "k"]
        )
    if kind in ("class_index", "class_map", "grade", "proxy", "tokens"):
        return tuple(LENGTHS[axis] for axis in letters if axis != "k")
    return tuple(LENGTHS[axis] for axis in letters)


def _rows_along(kind: str, parameters: Mapping[str, Any], letters: list[str]) -> bool:
    return kind in ROWS and parameters.get("class_axis") not in (None, -1) and "k" in letters


def _meet(drawn: dict[str, tuple[str, np.ndarray]]) -> None:
    """Let predictions hit the targets, where both are of one kind."""
    names = list(drawn)
    for name in names[1:]:
        if drawn[name][1].shape == drawn[names[0]][1].shape and drawn[name][0] == drawn[names[0]][0]:
            drawn[name] = drawn[name][0], drawn[names[0]][1].copy()
