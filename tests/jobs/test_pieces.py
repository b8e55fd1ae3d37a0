"""Pieces of jobs: however a job is cut, it tells the same and comes to the same."""

import json
from pathlib import Path
from typing import Any

import pytest

from app.api.jobs import OF_KIND
from app.serving.pieces import Checkpoint, Ended, Task, jobs_settings, work_on
from app.settings import Settings
from app.wire.json import decode
from tests.jobs.asking import timeless

DATA = {"inputs": [[x / 10, x % 3] for x in range(40)], "targets": [x / 7 for x in range(40)]}
RUN: dict[str, Any] = {"data": DATA, "model": "linear", "loss": "mse"}
REQUESTS: dict[str, dict[str, Any]] = {
    "train": {**RUN, "epochs": 5, "early_stopping": {"patience": 2}},
    "compare": {**RUN, "epochs": 2, "seeds": [1, 2]},
    "search": {
        **RUN,
        "model": {"name": "mlp", "hidden": [3]},
        "epochs": 2,
        "trials": 2,
        "eta": 2,
        "space": {"optimizer.learning_rate": {"low": 0.001, "high": 0.3, "scale": "log"}},
    },
    "evaluate": {"loss": "mse", "predictions": [1], "targets": [2]},
    "analyze": {"loss": "mse", "predictions": [1, 2, 3], "targets": [2, 2, 2]},
}


class Saying:
    """What a process would say, as lines."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def __call__(self, event: bytes) -> None:
        self.events.append(json.loads(event))

    def ask(self, question: object) -> None: ...


def done(kind: str, folder: Path, *, at_once: bool) -> tuple[list[Any], Any, int]:
    """What a job tells, what it comes to, and in how many pieces."""
    call, saying = OF_KIND[kind], Saying()
    assert call.job
    settings = jobs_settings(Settings(job_checkpoint_seconds=1000.0 if at_once else 0.0))
    body = memoryview(json.dumps({"kind": kind, "request": REQUESTS[kind]}).encode())
    checkpoint: Checkpoint | None = None
    pieces = 0
    while True:
        pieces += 1
        reached, written = work_on(body, saying, Task(call.job, call.job_check, settings, checkpoint, folder))
        if isinstance(reached, Ended):
            result, *told = reached.parts(b"".join(written))
            assert (reached.n > 0) == all(told) == (call.job.history is not None)
            return timeless(saying.events), timeless(json.loads(result)), pieces
        assert isinstance(reached, Checkpoint)
        checkpoint = reached


@pytest.mark.parametrize("kind", OF_KIND)
def test_a_job_comes_to_the_same_however_it_is_cut(kind: str, tmp_path: Path) -> None:
    events, answer, _ = done(kind, tmp_path, at_once=True)
    cut_events, cut_answer, pieces = done(kind, tmp_path, at_once=False)
    assert pieces == (len(events) + 1 if kind in ("train", "compare", "search") else 1)
    assert cut_events == events
    assert cut_answer == answer
    assert [number for number, *_ in events] == [*range(len(events))]
    progress = [how_much for _, _, how_much, _ in events]
    assert max(progress) <= OF_KIND[kind].job.total(checked(kind))  # pyright: ignore[reportOptionalMemberAccess]


def checked(kind: str) -> Any:
    return OF_KIND[kind].job_check(decode(memoryview(json.dumps(REQUESTS[kind]).encode())), {}, jobs_settings(Settings()))
