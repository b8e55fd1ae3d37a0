"""python -m docs.pictures: the pictures of the README and the docs, as a service answers them, into docs/pictures.

Each is a request that anybody can send: with `Accept: image/svg+xml` it is answered by the same picture. Those of the recipes
are asked for by the recipes themselves.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from app.api.insight_examples import ANALYSES, COMPARISONS
from docs.recipe import PAGES, run

FOLDER = Path(__file__).with_name("pictures")
START_SECONDS = 60.0


class Picture(NamedTuple):
    """A request of which there is a picture."""

    name: str
    path: str
    body: dict[str, Any] | None = None
    """None for one that is only got."""


OVERFITTING: dict[str, Any] = {
    "data": {"name": "moons", "n_samples": 100, "noise": 0.4},
    "model": {"name": "mlp", "hidden": [64, 64]},
    "epochs": 300,
    "validation": {"fraction": 0.4},
    "metrics": ["accuracy"],
}
PICTURES = (
    Picture("huber", "/v1/losses/huber/curve?delta=1.5&against=mae,log_cosh"),
    Picture("cross-entropy", "/v1/losses/bce/curve?against=brier_score,binary_focal"),
    Picture("overfitting", "/v1/train", OVERFITTING),
    Picture("analysis", "/v1/analyze", ANALYSES["calibration"]["value"]),
    Picture("comparison", "/v1/compare", COMPARISONS["short"]["value"]),
)


def drawn(address: str) -> Iterator[tuple[str, str]]:
    """Every picture by the name of its file, as the service at this address answers it."""
    with httpx.Client(base_url=address, headers={"Accept": "image/svg+xml"}, timeout=60) as service:
        for picture in PICTURES:
            method = "GET" if picture.body is None else "POST"
            answer = service.request(method, picture.path, json=picture.body).raise_for_status()
            yield f"{picture.name}.svg", answer.text
    for page in PAGES:
        yield from ((shown.name, shown.made) for shown in run(page, address) if shown.name != "answer")


@contextmanager
def serving() -> Generator[str]:
    """The address of a service that is there for the time being."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    with subprocess.Popen([sys.executable, "-m", "app"], env=os.environ | {"CRITERION_PORT": str(port)}) as process:
        try:
            address = f"http://127.0.0.1:{port}"
            _wait_for(address)
            yield address
        finally:
            process.terminate()


def _wait_for(address: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            httpx.get(f"{address}/health/ready").raise_for_status()
            return
        except httpx.HTTPError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    with serving() as address:
        for name, picture in drawn(address):
            (FOLDER / name).write_text(f"{picture}\n")
            print(FOLDER / name)


if __name__ == "__main__":
    main()
