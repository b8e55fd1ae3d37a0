"""Writes the numbers and curves of loss-comparison.md: a running service trains on every loss of it, from 20 seeds each.

    make serve                                                      # in one terminal
    .venv/bin/python -m docs.loss_comparison                        # in another; takes an address other than the usual

The prose of the page is left as it is; what lies between its `<!-- made: ... -->` and `<!-- end -->` is written anew.
"""

import json
import platform
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import make_blobs, make_regression

PAGE = Path(__file__).with_name("loss-comparison.md")
SERVICE = "http://127.0.0.1:8000"
SEEDS = tuple(range(20))


# --- what is run --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """A line of a table: a request to /v1/train/compare, all but its seeds, and what Keras came to."""

    name: str
    loss: str
    request: dict[str, Any] = field(repr=False)
    keras: tuple[str, str]
    """Its median metric on the training and the validation rows, over 30 seeds, as it is to be printed."""
    curves: str | None = None
    """The name of the picture of its curves; None where another row has the same."""

    @property
    def metric(self) -> str:
        return self.request["metrics"][0]


def _request(data: dict[str, Any], model: dict[str, Any], loss: dict[str, Any] | str, epochs: int, **more: Any) -> dict[str, Any]:
    return {
        "data": data,
        "model": {"name": "mlp", **model},
        "loss": loss,
        "optimizer": {"name": "sgd", "learning_rate": 0.01, "momentum": 0.9},
        "epochs": epochs,
        "batch_size": 32,
        "validation": {"last": 500},
        **more,
    }


def _regression(loss: dict[str, Any] | str) -> dict[str, Any]:
    data = {"name": "regression", "n_samples": 1000, "n_features": 20, "noise": 0.1, "seed": 1}
    model, standardize = {"hidden": [25], "output": "identity"}, {"inputs": True, "targets": True}
    return _request(data, model, loss, 100, standardize=standardize, metrics=["mean_squared_error"])


def _circles(loss: str, output: str) -> dict[str, Any]:
    data = {"name": "circles", "n_samples": 1000, "noise": 0.1, "seed": 1}
    return _request(data, {"hidden": [50], "output": output}, loss, 200, standardize={"inputs": False}, metrics=["accuracy"])


def _blobs(loss: str, *, one_hot: bool) -> dict[str, Any]:
    data: dict[str, Any] = {"name": "blobs", "n_samples": 1000, "centers": 3, "n_features": 2, "cluster_std": 2, "seed": 2}
    if one_hot:
        blobs: Any = make_blobs(n_samples=1000, centers=3, n_features=2, cluster_std=2, random_state=2)
        inputs, classes = blobs
        data = {"inputs": inputs.tolist(), "targets": np.eye(3)[classes].tolist()}
    return _request(data, {"hidden": [50], "output": "softmax"}, loss, 100, standardize={"inputs": False}, metrics=["accuracy"])


def beforehand(row: Row) -> Row:
    """The same on rows that were all standardized before half of them were held out, as the tutorial has it."""
    made: Any = make_regression(n_samples=1000, n_features=20, noise=0.1, random_state=1)
    inputs, targets = ((array - array.mean(axis=0)) / array.std(axis=0) for array in made)
    data = {"inputs": inputs.tolist(), "targets": targets.tolist()}
    request = {**row.request, "data": data, "standardize": {"inputs": False, "targets": False}}
    return replace(row, name=f"{row.name}, beforehand", request=request, curves=None)


MSLE = {"name": "mean_squared_logarithmic_error", "clip": 1e-7}
REGRESSION = (
    Row("mse", "mean squared error", _regression("mean_squared_error"), ("0.0023", "0.0057"), "mse"),
    Row("msle", "mean squared logarithmic error", _regression(MSLE), ("0.119", "0.159"), "msle"),
    Row("mae", "mean absolute error", _regression("mean_absolute_error"), ("0.0037", "0.0044"), "mae"),
)
BLOBS = ("0.827", "0.819")
TABLES = {
    "regression": REGRESSION,
    "regression, standardized beforehand": tuple(map(beforehand, REGRESSION)),
    "circles": (
        Row("bce", "binary cross-entropy, sigmoid", _circles("binary_cross_entropy", "sigmoid"), ("0.834", "0.850"), "bce"),
        Row("hinge", "hinge, tanh", _circles("hinge", "tanh"), ("0.850", "0.842"), "hinge"),
        Row("squared_hinge", "squared hinge, tanh", _circles("squared_hinge", "tanh"), ("0.838", "0.842"), "squared-hinge"),
    ),
    "blobs": (
        Row("one_hot", "cross-entropy, one-hot rows", _blobs("categorical_cross_entropy", one_hot=True), BLOBS),
        Row("index", "cross-entropy, class indices", _blobs("categorical_cross_entropy", one_hot=False), BLOBS, "blobs"),
        Row("kl", "Kullback–Leibler divergence, one-hot rows", _blobs("kl_divergence", one_hot=True), BLOBS),
    ),
}
"""The tables of the page. What Keras came to was measured with Keras itself, see the end of the page."""


# --- the runs -------------------------------------------------------------------------------------------------------------

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Runs:
    """(seeds, epochs, 4): loss on training and on validation rows, metric on both, after every epoch."""

    row: Row
    numbers: Array

    @property
    def final(self) -> Array:
        return self.numbers[:, -1]


def ask(service: str, row: Row, seeds: Sequence[int]) -> Runs:
    """The service trains once from each seed; RuntimeError where a run did not go through all its epochs."""
    body = json.dumps({**row.request, "seeds": list(seeds)}).encode()
    request = Request(f"{service}/v1/train/compare", body, {"Content-Type": "application/json"})
    with urlopen(request) as response:
        runs = json.load(response)["runs"]
    ended = {run["stopped"]["reason"] for run in runs}
    if ended != {"completed"}:
        raise RuntimeError(f"{row.name}: not every run went to its end: {ended}")
    return Runs(row, np.array([[_figures(row, epoch) for epoch in run["history"]] for run in runs]))


def _figures(row: Row, epoch: dict[str, Any]) -> list[float]:
    scores = epoch["metrics"][row.metric]
    return [epoch["training_loss"], epoch["validation_loss"], scores["training"], scores["validation"]]


# --- the tables -----------------------------------------------------------------------------------------------------------

METRICS = {"mean_squared_error": "MSE", "accuracy": "accuracy"}


def table(runs: Sequence[Runs]) -> str:
    metric = METRICS[runs[0].row.metric]
    head = ["loss", "training loss", "validation loss", f"training {metric}", f"validation {metric}", f"{metric} with Keras"]
    lines = [[run.row.loss, *(quartiles(run.final[:, column]) for column in range(4)), " / ".join(run.row.keras)] for run in runs]
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] + ["--:"] * (len(head) - 1), *lines])


def quartiles(values: Array) -> str:
    """Median (first to third quartile)."""
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
    return f"{number(middle)} ({number(low)} to {number(high)})"


def number(value: float) -> str:
    return f"{value:.4f}" if value < 0.1 else f"{value:.3f}"


def how(service: str) -> str:
    """When and with what this was run."""
    with urlopen(f"{service}/openapi.json") as response:
        served = json.load(response)["info"]
    libraries = " · ".join(f"{name} {version(name)}" for name in ("numpy", "scikit-learn"))
    return (
        f"`python -m docs.loss_comparison`, {datetime.now(UTC):%Y-%m-%d} · seeds {SEEDS[0]} to {SEEDS[-1]} · "
        f"{served['title']} {served['version']} · Python {platform.python_version()} · {libraries} · {platform.machine()}"
    )


# --- the curves -----------------------------------------------------------------------------------------------------------

WIDTH, HEIGHT = 340, 220
LEFT, RIGHT, TOP, BOTTOM = 46, 8, 24, 30
STYLE = (
    "svg{--back:#fff;--ink:#333;--grid:#ddd;--training:#1f6fb4;--validation:#c2550a;font:11px sans-serif}"
    "@media(prefers-color-scheme:dark){"
    "svg{--back:#14171c;--ink:#d5d9de;--grid:#343a42;--training:#6cb2f0;--validation:#f0a05a}}"
    ".back{fill:var(--back)}text{fill:var(--ink)}.grid{stroke:var(--grid)}path{fill:none;stroke-width:1.5}"
    ".training{stroke:var(--training)}.validation{stroke:var(--validation);stroke-dasharray:5 2}"
    ".training.band{fill:var(--training)}.validation.band{fill:var(--validation)}.band{stroke:none;fill-opacity:.22}"
)


@dataclass(frozen=True)
class Axis:
    """From numbers to heights: logarithmic where they span more than a factor of 20."""

    low: float
    high: float
    log: bool

    @classmethod
    def of(cls, numbers: Array) -> "Axis":
        low, high = float(numbers.min()), float(numbers.max())
        if low > 0 and high > 20 * low:
            return cls(low, high, log=True)
        room = 0.05 * (high - low) or 1.0
        return cls(low - room, high + room, log=False)

    def heights(self, numbers: Array) -> Array:
        low, high = (np.log(end) if self.log else end for end in (self.low, self.high))
        here = np.log(numbers) if self.log else numbers
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - here) / (high - low)

    def ticks(self) -> list[float]:
        if self.log:
            powers = range(int(np.floor(np.log10(self.low))), int(np.ceil(np.log10(self.high))) + 1)
            every = [digit * 10.0**power for power in powers for digit in (1, 2, 5)]
        else:
            step = 10 ** np.floor(np.log10(self.high - self.low))
            step = next(step * share for share in (0.1, 0.2, 0.5, 1, 2) if (self.high - self.low) / (step * share) <= 6)
            every = [step * count for count in range(int(np.ceil(self.low / step)), int(self.high / step) + 1)]
        return [number for number in every if self.low <= number <= self.high]


def picture(runs: Runs) -> str:
    """Loss, and metric where it is another, over the epochs: medians, and the quartiles as bands around them."""
    panels = [("loss", runs.numbers[..., :2])]
    if runs.row.request["loss"] != runs.row.metric:
        panels.append((METRICS[runs.row.metric], runs.numbers[..., 2:]))
    width = WIDTH * len(panels)
    drawn = "".join(f'<g transform="translate({WIDTH * index})">{panel(*lines)}</g>' for index, lines in enumerate(panels))
    title = f"{runs.row.loss}: medians and quartiles of {len(runs.numbers)} seeds over {runs.numbers.shape[1]} epochs"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {HEIGHT}" width="{width}" height="{HEIGHT}" role="img">'
        f'<title>{title}</title><style>{STYLE}</style><rect class="back" width="{width}" height="{HEIGHT}"/>{drawn}</svg>\n'
    )


def panel(name: str, numbers: Array) -> str:
    """One chart of (seeds, epochs, 2): training and validation rows."""
    quarters = np.quantile(numbers, (0.25, 0.5, 0.75), axis=0)
    axis = Axis.of(quarters)
    across = np.linspace(LEFT, WIDTH - RIGHT, numbers.shape[1])
    parts = [_grid(name, axis, numbers.shape[1])]
    for column, rows in enumerate(("training", "validation")):
        low, middle, high = (axis.heights(quarter[:, column]) for quarter in quarters)
        parts.append(f'<path class="{rows} band" d="{line(np.r_[across, across[::-1]], np.r_[low, high[::-1]])}z"/>')
        parts.append(f'<path class="{rows}" d="{line(across, middle)}"/>')
    return "".join(parts)


def _grid(name: str, axis: Axis, epochs: int) -> str:
    """Lines across with their numbers, the key, and the ends of the epochs."""
    ticks = np.array(axis.ticks())
    right, foot, middle = WIDTH - RIGHT, HEIGHT - 14, (LEFT + WIDTH - RIGHT) // 2
    lines = [
        f'<path class="grid" d="M{LEFT} {y:.1f}H{right}"/><text x="{LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>'
        for tick, y in zip(ticks, axis.heights(ticks), strict=True)
    ]
    key = [
        f'<path class="{rows}" d="M{x} 12h22"/><text x="{x + 27}" y="16">{rows}</text>'
        for rows, x in (("training", right - 162), ("validation", right - 84))
    ]
    words = [
        f'<text x="{LEFT}" y="16">{name}</text><text x="{LEFT}" y="{foot}">1</text>',
        f'<text x="{middle}" y="{foot}" text-anchor="middle">epoch</text>',
        f'<text x="{right}" y="{foot}" text-anchor="end">{epochs}</text>',
    ]
    return "".join([*lines, *key, *words])


def line(x: Array, y: Array) -> str:
    """A path through the points, each told by its distance from the one before, in tenths."""
    points = np.round(np.c_[x, y] * 10).astype(int)
    steps = np.diff(points, axis=0)
    told = "".join(f"{_tenths(a)}{'' if b < 0 else ' '}{_tenths(b)} " for a, b in steps.tolist())
    return f"M{points[0, 0] / 10:g} {points[0, 1] / 10:g}l{told}".strip()


def _tenths(number: int) -> str:
    return re.sub(r"^(-?)0\.", r"\1.", f"{number / 10:g}")


# --- the page -------------------------------------------------------------------------------------------------------------


def filled(page: str, made: dict[str, str]) -> str:
    """The page with every made part as it is now; KeyError for one that is not made."""
    return re.sub(
        r"(<!-- made: (.+?) -->\n)(?:.*?\n)??(?=<!-- end -->)",
        lambda found: f"{found[1]}{made[found[2]]}\n",
        page,
        flags=re.DOTALL,
    )


def main(service: str = SERVICE) -> None:
    made = {"how": how(service)}
    pictures: dict[str, str] = {}
    for name, rows in TABLES.items():
        results: list[Runs] = []
        for row in rows:
            print(f"{name}: {row.loss}", file=sys.stderr, flush=True)
            results.append(ask(service, row, SEEDS))
        made[name] = table(results)
        pictures |= {runs.row.curves: picture(runs) for runs in results if runs.row.curves}
    PAGE.write_text(filled(PAGE.read_text(), made))
    for name, drawn in pictures.items():
        PAGE.with_name(f"loss-comparison-{name}.svg").write_text(drawn)


if __name__ == "__main__":
    main(*sys.argv[1:])
