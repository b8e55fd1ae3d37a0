"""A served loss in other libraries: the objective of app/api/languages.md, and what app.client has for them.

Given to XGBoost and LightGBM an objective grows the trees that theirs grows; PyTorch's gradient through a served loss is that of
its own; the same numbers come from the data frames of each library.
"""

import importlib
import os
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from io import StringIO
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.request import urlopen

import numpy as np

from app.client import Criterion, objective, torch_loss

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "app" / "api" / "languages.md").read_text()
HEADING = "## A loss as an objective of XGBoost or LightGBM"
READY_SECONDS = 60.0


@contextmanager
def _serving() -> Iterator[str]:
    """The address of a server that runs in the repository's own environment."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [str(ROOT / ".venv" / "bin" / "python"), "-m", "app.main"]
    environment = {**os.environ, "CRITERION_PORT": str(port)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            _wait(process, f"http://127.0.0.1:{port}/health/ready")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def _wait(process: subprocess.Popen[bytes], address: str) -> None:
    end = monotonic() + READY_SECONDS
    while True:
        try:
            urlopen(address, timeout=READY_SECONDS).close()
            return
        except OSError:
            if monotonic() > end or process.poll() is not None:
                raise
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.05)


def faults() -> Iterator[str]:
    """What is wrong with any of it."""
    with _serving() as address, Criterion(address) as client:
        yield from _of_the_page(address)
        for program in (_boosted, _of_torch, _of_frames):
            yield from (f"app.client: {fault}" for fault in program(client))


def _boosted(client: Criterion) -> Iterator[str]:
    """Trees that `xgboost.train` and `lightgbm.train` grow on an objective of the client, and on their own."""
    xgboost: Any = importlib.import_module("xgboost")
    lightgbm: Any = importlib.import_module("lightgbm")
    rng, served = np.random.default_rng(0), objective(client, "binary_cross_entropy", from_logits=True)
    inputs = rng.normal(size=(300, 3))
    targets, weights = (inputs[:, 0] + rng.normal(size=300) > 0.5).astype(float), rng.uniform(0.5, 2.0, 300)
    rows = xgboost.DMatrix(inputs, targets, weight=weights)
    setting = {"base_score": 0.5, "disable_default_eval_metric": True}
    mine = xgboost.train({**setting, "base_score": 0.0}, rows, 10, obj=served).predict(rows, output_margin=True)
    theirs = xgboost.train({**setting, "objective": "binary:logistic"}, rows, 10).predict(rows, output_margin=True)
    if not np.allclose(mine, theirs, rtol=1e-3, atol=1e-3):
        yield f"xgboost grows other trees: scores are up to {np.abs(mine - theirs).max():.3g} apart"
    quiet = {"verbosity": -1, "boost_from_average": False}
    table = {"label": targets, "weight": weights, "free_raw_data": False}
    mine = lightgbm.train({**quiet, "objective": served}, lightgbm.Dataset(inputs, **table), 10).predict(inputs)
    theirs = lightgbm.train({**quiet, "objective": "binary"}, lightgbm.Dataset(inputs, **table), 10).predict(
        inputs, raw_score=True
    )
    if not np.allclose(mine, theirs, rtol=1e-3, atol=1e-3):
        yield f"lightgbm grows other trees: scores are up to {np.abs(mine - theirs).max():.3g} apart"


def _of_torch(client: Criterion) -> Iterator[str]:
    """Value and gradient of a served loss behind a layer, and of PyTorch's own."""
    torch: Any = importlib.import_module("torch")
    torch.manual_seed(0)
    for dtype, close in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        inputs, targets = torch.randn(20, 4, dtype=dtype), torch.randn(20, dtype=dtype)
        layer = torch.nn.Linear(4, 1, dtype=dtype)
        found: list[Any] = []
        for loss in (torch_loss(client, "huber", delta=0.5), torch.nn.HuberLoss(delta=0.5)):
            layer.zero_grad()
            value = 3 * loss(layer(inputs)[:, 0], targets)
            value.backward()
            found.append((value.item(), layer.weight.grad.clone()))
        (mine, gradient), (theirs, expected) = found
        if abs(mine - theirs) > close * abs(theirs) or not torch.allclose(gradient, expected, rtol=close, atol=close):
            yield f"torch in {dtype}: {mine} and {theirs}, gradients {gradient} and {expected}"


def _of_frames(client: Criterion) -> Iterator[str]:
    """The same numbers out of what several libraries hold them in."""
    numbers = {"a": [0.5, -1.0, 2.0], "b": [1.0, 0.25, -0.5]}
    expected = client.evaluate("mse", np.column_stack([*numbers.values()]), np.zeros((3, 2))).value
    for name, make in (("pandas", "DataFrame"), ("polars", "DataFrame"), ("pyarrow", "table")):
        frame = getattr(importlib.import_module(name), make)(numbers)
        for held in (frame, _Held(frame), *([_Told(frame)] if hasattr(frame, "__dataframe__") else [])):
            found = client.evaluate("mse", held, np.zeros((3, 2))).value
            if found != expected:
                yield f"{name}: {found} instead of {expected}"
    pandas: Any = importlib.import_module("pandas")
    column = pandas.Series([1.0, None, 3.0], dtype="Float64")
    if client.evaluate("mse", column, np.zeros(3), missing="drop").n_missing != 1:
        yield "a missing number of pandas is not missing"
    if client.evaluate("hinge", np.array([0.5, -0.5]), pandas.Series(["no", "yes"]), classes=["no", "yes"]).value != 1.5:
        yield "names of classes in pandas are no names"


class _Told:
    """A data frame that tells where its numbers lie, and nothing else."""

    def __init__(self, frame: Any) -> None:
        self._frame = frame

    def __dataframe__(self) -> object:
        return self._frame.__dataframe__()


class _Held:
    """A data frame that nobody but Arrow's streams can read."""

    def __init__(self, frame: Any) -> None:
        self._frame = frame

    def __arrow_c_stream__(self, schema: object = None) -> object:
        return self._frame.__arrow_c_stream__(schema)


def _of_the_page(address: str) -> Iterator[str]:
    """The program as it stands there, and the trees that are grown on its objective."""
    (program,) = re.findall(r"```python\n(.+?)^```", PAGE.partition(HEADING)[2], re.M | re.S)
    names: dict[str, Any] = {}
    with redirect_stdout(StringIO()) as printed:
        exec(program.replace("http://localhost:8000", address), names)
        found = [int(count) for count in re.findall(r"finds (\d+)", printed.getvalue())]
        rare = int(names["targets"].sum())
        if len(found) != 2 or min(found, default=0) < rare / 2:
            yield f"the objective on the page printed {printed.getvalue()!r} of {rare} rare events"
        ours = names["objective"]({"name": "binary_cross_entropy", "from_logits": True})
        for library, (mine, theirs) in _pairs(ours).items():
            scores = mine.fit(names["inputs"], names["targets"]).predict(names["inputs"])
            own = _raw(theirs.fit(names["inputs"], names["targets"]), names["inputs"])
            if not np.allclose(scores, own, rtol=1e-3, atol=1e-3):
                yield f"{library} grows other trees: scores are up to {np.abs(scores - own).max():.3g} apart"


def _pairs(ours: Any) -> dict[str, tuple[Any, Any]]:
    """Of each library a model with our objective, and one with its own."""
    xgboost: Any = importlib.import_module("xgboost")
    lightgbm: Any = importlib.import_module("lightgbm")
    rounds = {"n_estimators": 10, "n_jobs": 1}
    quiet = {"verbosity": -1, "boost_from_average": False}
    return {
        "xgboost": (
            xgboost.XGBRegressor(objective=ours, base_score=0.0, **rounds),
            xgboost.XGBClassifier(objective="binary:logistic", base_score=0.5, **rounds),
        ),
        "lightgbm": (
            lightgbm.LGBMRegressor(objective=ours, **quiet, **rounds),
            lightgbm.LGBMClassifier(objective="binary", **quiet, **rounds),
        ),
    }


def _raw(model: Any, inputs: np.ndarray) -> np.ndarray:
    keyword = "output_margin" if type(model).__module__.startswith("xgboost") else "raw_score"
    return model.predict(inputs, **{keyword: True})
