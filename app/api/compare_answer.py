"""The answer of a comparison of runs: a table, the best by each metric, what repeats say of each variant, and all runs."""

from collections.abc import Sequence
from itertools import combinations
from typing import Annotated, Any, Literal, cast

from pydantic import Field
from typing_extensions import TypedDict

from app.api.analysis_answer import Ends
from app.api.evaluate import NumberOrNull
from app.api.grid import Grid
from app.api.training_answer import Scores, TrainResponse
from app.insight.repeats import apart, spread
from app.insight.significance import holm
from app.training import Chosen, Metric

VALIDATION_LOSS = "validation_loss"


class Best(TypedDict):
    """Which run a metric likes best, on validation rows where there are any."""

    run: Annotated[int, Field(description="Its place in `runs`.")]
    score: float


class Line(TypedDict):
    """A run in one line of the table."""

    name: Annotated[str | int, Field(description="What tells it from the others.")]
    seed: int
    fold: Annotated[int | None, Field(description="Which is held out, from 0.")]
    variant: Annotated[int, Field(description="Its place in `variants`.")]
    epoch: int
    training_loss: NumberOrNull
    validation_loss: NumberOrNull
    metrics: dict[str, Scores]
    stopped: str
    verdict: Annotated[str | None, Field(description="The first of its diagnosis.")]
    seconds: float


class SpreadAnswer(TypedDict):
    """A score of held-out rows over seeds and folds."""

    n: int
    mean: NumberOrNull
    deviation: Annotated[NumberOrNull, Field(description="With n − 1.")]
    standard_error: NumberOrNull
    interval: Ends


class VariantAnswer(TypedDict):
    """What is compared: a combination of all axes but seeds and folds."""

    name: str
    loss: dict[str, Any]
    optimizer: dict[str, Any] | None
    model: dict[str, Any]
    parameters: Annotated[dict[str, Any], Field(description="Values of the grid by path.")]
    runs: list[int]
    scores: Annotated[dict[str, SpreadAnswer], Field(description="By metric, and `validation_loss`.")]


class DifferenceOfRuns(TypedDict):
    """The held-out scores of two variants, paired by seed and fold."""

    a: int
    b: int
    metric: str
    difference: Annotated[NumberOrNull, Field(description="Mean of a − b.")]
    standard_error: NumberOrNull
    interval: Ends
    p_value: Annotated[NumberOrNull, Field(description="Two-sided; null without variance.")]
    p_adjusted: Annotated[NumberOrNull, Field(description="For the pairs of the metric (Holm).")]
    n: int
    method: Annotated[
        Literal["paired_t", "corrected_resampled_t"],
        Field(description="With folds the variance is corrected (Nadeau and Bengio 2003)."),
    ]


class CompareResponse(TypedDict):
    """Several runs side by side. Different losses have different units: compare them by the metrics."""

    by: Literal["loss", "optimizer", "model", "seed", "fold", "grid"]
    axes: list[str]
    table: list[Line]
    best: Annotated[dict[str, Best], Field(description="By each metric.")]
    variants: list[VariantAnswer]
    differences: list[DifferenceOfRuns]
    runs: list[TrainResponse]


def respond_all(grid: Grid, confidence: float, answers: Sequence[TrainResponse]) -> CompareResponse:
    """The whole answer, of the runs' own in their order."""
    metrics = grid.runs[0].plan.metrics
    variants = _variants(grid, confidence, answers)
    return CompareResponse(
        by=cast(Any, grid.by),
        axes=grid.axes,
        table=[line(run.name, answer) for run, answer in zip(grid.runs, answers, strict=True)],
        best=_best(metrics, answers),
        variants=variants,
        differences=_differences(grid, variants, confidence, answers),
        runs=[*answers],
    )


def line(name: str | int, answer: TrainResponse) -> Line:
    final = answer["final"]
    return Line(
        name=name,
        seed=answer["seed"],
        fold=answer.get("fold"),
        variant=answer.get("variant", 0),
        epoch=final["epoch"],
        training_loss=final["training_loss"],
        validation_loss=final["validation_loss"],
        metrics=final["metrics"],
        stopped=answer["stopped"]["reason"],
        verdict=next((finding["verdict"] for finding in answer["diagnosis"]), None),
        seconds=sum(epoch["seconds"] for epoch in answer["history"]),
    )


def _best(metrics: Sequence[Chosen], answers: Sequence[TrainResponse]) -> dict[str, Best]:
    """The run that each metric likes best; a metric that is nowhere defined likes none."""
    best: dict[str, Best] = {}
    side: Literal["training", "validation"] = "validation" if answers[0]["data"]["validation_rows"] else "training"
    for chosen in metrics:
        name = chosen.thing.name
        scored = [(answer["final"]["metrics"][name][side], number) for number, answer in enumerate(answers)]
        known = [(score, number) for score, number in scored if score is not None]
        if known:
            pick = max if isinstance(chosen.thing, Metric) and chosen.thing.higher_is_better else min
            score, number = pick(known, key=lambda pair: pair[0])
            best[name] = Best(run=number, score=score)
    return best


# --- repeats ----------------------------------------------------------------------------------------------------------


def held_out(answer: TrainResponse, metric: str) -> float | None:
    """A score of the rows held out; None where there is none."""
    final = answer["final"]
    return final["validation_loss"] if metric == VALIDATION_LOSS else final["metrics"][metric]["validation"]


def _ratio(answers: Sequence[TrainResponse], folds: bool) -> float:
    """The rows held out for each one trained on, where the runs are of folds."""
    held, trained = (sum(answer["data"][side] for answer in answers) for side in ("validation_rows", "training_rows"))
    return held / trained if folds and trained else 0.0


def _variants(grid: Grid, confidence: float, answers: Sequence[TrainResponse]) -> list[VariantAnswer]:
    metrics = [chosen.thing.name for chosen in grid.runs[0].plan.metrics]
    found: list[VariantAnswer] = []
    for number, variant in enumerate(grid.variants):
        runs = [index for index, run in enumerate(grid.runs) if run.variant == number]
        scores: dict[str, SpreadAnswer] = {}
        for metric in (*metrics, VALIDATION_LOSS):
            scored = [answers[run] for run in runs if held_out(answers[run], metric) is not None]
            numbers = [score for run in scored if (score := held_out(run, metric)) is not None]
            told = spread(numbers, confidence, _ratio(scored, "fold" in grid.axes))
            scores[metric] = cast(SpreadAnswer, told._asdict())
        first = answers[runs[0]]
        shown = {"loss": first["loss"], "optimizer": first["optimizer"], "model": first["model"]}
        known = {"name": variant.name, **shown, "parameters": dict(variant.parameters), "runs": runs, "scores": scores}
        found.append(cast(VariantAnswer, known))
    return found


def _differences(
    grid: Grid, variants: Sequence[VariantAnswer], confidence: float, answers: Sequence[TrainResponse]
) -> list[DifferenceOfRuns]:
    """Each two variants by each metric, and by their loss where it is the same."""
    folds = "fold" in grid.axes
    found: list[DifferenceOfRuns] = []
    for metric in variants[0]["scores"]:
        told: list[dict[str, Any]] = []
        for (a, one), (b, other) in combinations(enumerate(variants), 2):
            if metric == VALIDATION_LOSS and one["loss"] != other["loss"]:
                continue
            pairs = [
                (first, second, answers[run])
                for run, paired in zip(one["runs"], other["runs"], strict=True)
                if (first := held_out(answers[run], metric)) is not None
                and (second := held_out(answers[paired], metric)) is not None
            ]
            ratio = _ratio([answer for *_, answer in pairs], folds)
            difference = apart([first for first, *_ in pairs], [second for _, second, _ in pairs], confidence, ratio)
            told.append({"a": a, "b": b, "metric": metric, **difference._asdict()})
        adjusted = holm([difference["p_value"] for difference in told])
        method = "corrected_resampled_t" if folds else "paired_t"
        for difference, p in zip(told, adjusted, strict=True):
            found.append(cast(DifferenceOfRuns, {**difference, "p_adjusted": p, "method": method}))
    return found
