"""The objective of app/api/languages.md, given to XGBoost and LightGBM: it grows the trees that theirs grows."""

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
    """What is wrong with the program as it stands on the page, and with the trees that are grown on its objective."""
    (program,) = re.findall(r"```python\n(.+?)^```", PAGE.partition(HEADING)[2], re.M | re.S)
    names: dict[str, Any] = {}
    with _serving() as address, redirect_stdout(StringIO()) as printed:
        exec(program.replace("http://localhost:8000", address), names)
        found = [int(count) for count in re.findall(r"finds (\d+)", printed.getvalue())]
        rare = int(names["targets"].sum())
        if len(found) != 2 or min(found, default=0) < rare / 2:
            yield f"it printed {printed.getvalue()!r} of {rare} rare events"
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
