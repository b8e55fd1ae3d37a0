"""python -m docs.pictures: the pictures of the README and the docs, as the service answers them, into docs/pictures.

Each is a request that anybody can send: with `Accept: image/svg+xml` it is answered by the same picture.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.api.calls import CALLS
from app.api.insight_examples import ANALYSES, COMPARISONS
from app.serving.address import Rest
from app.serving.pictures import SVG, Drawing, Theme
from app.serving.steps import Order, answer, run_job
from app.settings import Settings

FOLDER = Path(__file__).with_name("pictures")


@dataclass(frozen=True)
class Picture:
    """A request of which there is a picture."""

    name: str
    call: str
    """Its operation id."""
    query: dict[str, str] = field(default_factory=dict[str, str])
    body: dict[str, Any] = field(default_factory=dict[str, Any])
    theme: Theme = "light"


HUBER = {"name": "huber", "delta": "1.5", "against": "mae,log_cosh"}
OVERFITTING: dict[str, Any] = {
    "data": {"name": "moons", "n_samples": 100, "noise": 0.4},
    "model": {"name": "mlp", "hidden": [64, 64]},
    "epochs": 300,
    "validation": {"fraction": 0.4},
    "metrics": ["accuracy"],
}
PICTURES = (
    Picture("huber", "draw_curve", HUBER),
    Picture("cross-entropy", "draw_curve", {"name": "bce", "against": "brier_score,binary_focal"}),
    Picture("overfitting", "train", body=OVERFITTING),
    Picture("analysis", "analyze", body=ANALYSES["calibration"]["value"]),
    Picture("comparison", "compare", body=COMPARISONS["short"]["value"]),
)


def drawn(picture: Picture) -> bytes:
    """The picture, as the service answers it."""
    (call,) = [call for call in CALLS if call.name == picture.call]
    assert call.picture is not None
    path = {"name": picture.query["name"]} if "name" in picture.query else {}
    words = {name: [word] for name, word in picture.query.items() if name not in path}
    named = {name: given for name, given in words.items() if name in call.address.query}
    arguments = call.address.read(path, named, {}) if call.address.marks else {}
    if call.rest:
        arguments[call.rest] = Rest({name: given for name, given in words.items() if name not in named})
    order = Order(call.operation, None, arguments, Settings(), drawing=Drawing(call.picture, SVG, picture.theme))
    body = json.dumps(picture.body).encode()
    if call.lane == "training":
        return b"".join(run_job(memoryview(body), lambda event: None, order)[1])
    return b"".join(answer(body, order).pieces)


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for picture in PICTURES:
        file = FOLDER / f"{picture.name}.svg"
        file.write_bytes(drawn(picture) + b"\n")
        print(file)


if __name__ == "__main__":
    main()
