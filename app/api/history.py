"""What is told of trainings once they have ended: how each was set up, how its losses went, and what it came to."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, cast

from pydantic import Field
from typing_extensions import TypedDict

from app.api.evaluate import NumberOrNull
from app.api.training_answer import DataEntry, Final, Stopped, TrainResponse
from app.serving.pieces import History

if TYPE_CHECKING:
    from app.api.compare_answer import CompareResponse
    from app.api.search_answer import SearchResponse

MOST_LISTED = 20
"""Runs of a job that a list shows."""
ABOUT = ("model", "n_parameters", "loss", "optimizer", "schedule", "seed", "fold", "variant", "best_epoch", "stopped", "final")
"""What is told of a run as it was answered, in lists too."""

Curve: TypeAlias = list[NumberOrNull]


class Scored(TypedDict):
    """A metric epoch by epoch."""

    training: Curve
    validation: Curve


class Curves(TypedDict):
    """What was measured after each epoch of the history, one number for each."""

    epoch: list[int]
    training_loss: Curve
    validation_loss: Curve
    metrics: dict[str, Scored]
    learning_rate: Curve


class RunEntry(TypedDict, total=False):
    """A model that was trained, or of a search a trial, the best first: what there is of it."""

    name: Annotated[str | int, Field(description="What tells it from the others of its job.")]
    model: dict[str, Any]
    n_parameters: int | None
    loss: dict[str, Any]
    optimizer: dict[str, Any] | None
    schedule: dict[str, Any] | None
    seed: int
    fold: int | None
    variant: int
    best_epoch: int | None
    stopped: Stopped
    final: Final
    seconds: float
    parameters: Annotated[dict[str, Any], Field(description="Of a trial.")]
    epochs: Annotated[int, Field(description="Of a trial.")]
    score: Annotated[NumberOrNull, Field(description="Of a trial.")]
    data: Annotated[DataEntry, Field(description="Not in lists, as what follows.")]
    curves: Curves


def of_run(answer: TrainResponse) -> History:
    """Of a job that was one run."""
    return _history([_entry(answer)], [answer])


def of_runs(answer: "CompareResponse") -> History:
    """Of one that was several."""
    runs = [_entry(run, line["name"]) for line, run in zip(answer["table"], answer["runs"], strict=True)]
    return _history(runs, answer["runs"])


def of_search(answer: "SearchResponse") -> History:
    """Of one that was a search: its trials."""
    trials = [cast(RunEntry, dict(trial)) for trial in answer["trials"]]
    trials[0]["loss"] = answer["best"]["loss"]
    return History(len(trials), trials[:MOST_LISTED], trials)


def _history(runs: Sequence[RunEntry], answers: Sequence[TrainResponse]) -> History:
    whole: list[RunEntry] = [
        {**run, "data": answer["data"], "curves": _curves(answer)} for run, answer in zip(runs, answers, strict=True)
    ]
    return History(len(runs), runs[:MOST_LISTED], whole)


def _entry(answer: TrainResponse, name: str | int | None = None) -> RunEntry:
    told: Mapping[str, Any] = {"name": name} if name is not None else {}
    about = {field: found for field, found in answer.items() if field in ABOUT}
    return cast(RunEntry, {**told, **about, "seconds": sum(epoch["seconds"] for epoch in answer["history"])})


def _curves(answer: TrainResponse) -> Curves:
    history = answer["history"]
    metrics = history[0]["metrics"] if history else {}
    return {
        "epoch": [epoch["epoch"] for epoch in history],
        "training_loss": [epoch["training_loss"] for epoch in history],
        "validation_loss": [epoch["validation_loss"] for epoch in history],
        "metrics": {
            name: {
                "training": [epoch["metrics"][name]["training"] for epoch in history],
                "validation": [epoch["metrics"][name]["validation"] for epoch in history],
            }
            for name in metrics
        },
        "learning_rate": [epoch["learning_rate"] for epoch in history],
    }
