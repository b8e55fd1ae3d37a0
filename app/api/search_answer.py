"""The answer of a search: the best settings, all trials, and what the best is worth on rows held out."""

from typing import Annotated, Any

from pydantic import Field
from typing_extensions import TypedDict

from app.api.analysis_answer import Ends
from app.api.evaluate import NumberOrNull


class TrialAnswer(TypedDict):
    """Settings that were tried."""

    parameters: dict[str, Any]
    epochs: Annotated[int, Field(description="As far as it was trained.")]
    score: NumberOrNull


class Found(TypedDict):
    """The best trial."""

    parameters: dict[str, Any]
    loss: Annotated[dict[str, Any], Field(description="As a request has it.")]
    request: Annotated[dict[str, Any], Field(description="For `/v1/train`.")]
    score: NumberOrNull


class HeldOutAnswer(TypedDict):
    """The best trial and the request as it was given, on rows that neither has seen."""

    rows: int
    score: NumberOrNull
    baseline: NumberOrNull
    difference: Annotated[NumberOrNull, Field(description="score − baseline.")]
    interval: Annotated[Ends, Field(description="Of 95 %, by the bootstrap of these rows.")]


class RefusedAnswer(TypedDict):
    """Expressions that were drawn and are no loss to train on."""

    reason: str
    times: int
    example: str


class SearchResponse(TypedDict):
    """What was found."""

    monitor: str
    best: Found
    trials: Annotated[list[TrialAnswer], Field(description="The best first: those that were trained longer before others.")]
    holdout: Annotated[HeldOutAnswer, Field(description="Of several sets of data the mean, rows drawn within each.")]
    refused: Annotated[list[RefusedAnswer], Field(description="By a grammar, by their reason.")]
