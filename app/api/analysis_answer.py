"""The answer of /v1/analyze: what each of its fields means."""

from typing import Annotated, Any, Literal, NotRequired, TypeAlias

from pydantic import Field, WithJsonSchema
from typing_extensions import TypedDict

from app.api.evaluate import NonFiniteNumber, NumberOrNull

Ends: TypeAlias = Annotated[
    list[float] | None,
    WithJsonSchema({"type": ["array", "null"], "items": {"type": "number"}, "minItems": 2, "maxItems": 2}),
]
"""The ends of an interval, [low, high]; null where there is none."""
NumbersOrNulls: TypeAlias = list[NumberOrNull]
Label: TypeAlias = Annotated[str | float | bool, WithJsonSchema({})]
"""Text, a number or a boolean, as it was sent."""


class IntervalAnswer(TypedDict):
    """Intervals for the value, each by its method."""

    confidence: Annotated[float, Field(description="How often such an interval holds the true value, if it keeps its word.")]
    t: Annotated[Ends, Field(description="Value ± t quantile · standard error; null for a loss of the whole batch.")]
    percentile: Annotated[Ends, Field(description="Quantiles of the resampled values; null without a bootstrap.")]
    bca: Annotated[Ends, Field(description="The same, corrected for bias and skewness (Efron 1987); null where there is none.")]
    recommended: Annotated[
        Literal["t", "percentile", "bca"] | None, Field(description="Which of them to quote; null where there is none.")
    ]
    resamples: Annotated[int, Field(description="How often samples, or clusters, were drawn anew.")]
    note: Annotated[str | None, Field(description="Why the intervals may hold the true value less often than they say.")]


class HistogramAnswer(TypedDict):
    """How many of the losses lie between neighbouring edges."""

    edges: Annotated[list[float], Field(description="One more than counts; the last bar includes its upper edge.")]
    counts: list[int]


class DistributionAnswer(TypedDict):
    """The losses of the samples that count, each once."""

    std: Annotated[NumberOrNull, Field(description="Standard deviation, with n − 1.")]
    skewness: Annotated[NumberOrNull, Field(description="Of the population; null without variance.")]
    min: NumberOrNull
    max: NumberOrNull
    quantiles: Annotated[dict[str, NumberOrNull], Field(description="By their shares, linear between samples.")]
    histogram: Annotated[HistogramAnswer | None, Field(description="Bars of one width, of the finite losses.")]


class WorstAnswer(TypedDict):
    """A sample that costs much."""

    index: Annotated[int, Field(description="Where it stands in the batch.")]
    loss: NumberOrNull
    share: Annotated[
        NumberOrNull, Field(description="Its part of the whole (weighted) loss; null where losses are negative or all 0.")
    ]


class TopAnswer(TypedDict):
    """The part of the loss that the samples with the largest losses have."""

    samples: Annotated[float, Field(description="A share of the samples.")]
    loss: Annotated[float, Field(description="Their share of the loss.")]


class LorenzAnswer(TypedDict):
    """The Lorenz curve, from the smallest losses on: points of it."""

    samples: list[float]
    loss: list[float]


class ConcentrationAnswer(TypedDict):
    """How unequally the samples share the loss."""

    gini: Annotated[float, Field(description="0 where all have the same loss, near 1 where one has all of it.")]
    top: list[TopAnswer]
    lorenz: LorenzAnswer
    sentence: Annotated[str, Field(description="One of `top` in words.")]


class HeteroscedasticityAnswer(TypedDict):
    """Whether the variance of the residuals depends on the prediction."""

    test: Literal["breusch_pagan"]
    statistic: Annotated[float, Field(description="n·R² of the squared residuals on the predictions (Koenker 1981).")]
    p_value: Annotated[float, Field(description="How probable so large a statistic is where the variance is constant.")]


class ResidualsAnswer(TypedDict):
    """Prediction less target, of each number that counts."""

    mean: Annotated[NumberOrNull, Field(description="Above 0: predictions are too high on average.")]
    std: NumberOrNull
    skewness: Annotated[NumberOrNull, Field(description="Null without variance.")]
    heteroscedasticity: Annotated[
        HeteroscedasticityAnswer | None, Field(description="Null for predictions that are all the same.")
    ]


class BinAnswer(TypedDict):
    """Predictions that lie next to each other."""

    n: Annotated[int, Field(description="How many.")]
    mean_prediction: Annotated[float, Field(description="The probability that was said, on average.")]
    observed: Annotated[float, Field(description="The share that came true.")]


class ScoreAnswer(TypedDict):
    """A score as its parts: reliability − resolution + uncertainty + within_bin (Murphy 1973)."""

    score: NumberOrNull
    reliability: Annotated[NumberOrNull, Field(description="How far bins are from what came true: 0 is calibrated.")]
    resolution: Annotated[NumberOrNull, Field(description="How far what came true in bins is from its average: more is better.")]
    uncertainty: Annotated[NumberOrNull, Field(description="What always saying the average would score.")]
    within_bin: Annotated[NumberOrNull, Field(description="What the bins do not see.")]


class CalibrationAnswer(TypedDict):
    """Whether what is said to be probable comes true as often; of several classes, for the one that was decided for."""

    bins: Annotated[list[BinAnswer], Field(description="Of about as many predictions each; empty ones are left out.")]
    ece: Annotated[float, Field(description="Expected calibration error: the mean distance of the bins.")]
    ece_if_calibrated: Annotated[float, Field(description="What a calibrated model would have on the same bins, by chance.")]
    brier: ScoreAnswer
    log_loss: ScoreAnswer


class ConfusionAnswer(TypedDict):
    """What was decided against what is true; weights are summed, 0/0 is null."""

    classes: Annotated[list[Any], WithJsonSchema({"type": "array", "items": {}}), Field(description="In the order of the lists.")]
    matrix: Annotated[
        list[list[float]] | None,
        WithJsonSchema({"type": ["array", "null"], "items": {"type": "array", "items": {"type": "number"}}}),
        Field(description="A row for each true class, a column for each decision; null for more than 200 classes."),
    ]
    precision: Annotated[NumbersOrNulls, Field(description="Of what was decided for a class, the share that is of it.")]
    recall: Annotated[NumbersOrNulls, Field(description="Of what is of a class, the share that was decided for it.")]
    f1: Annotated[NumbersOrNulls, Field(description="2·TP / (2·TP + FP + FN).")]
    support: Annotated[list[float], Field(description="The weight of each true class.")]
    accuracy: Annotated[float, Field(description="The share of right decisions.")]
    balanced_accuracy: Annotated[float, Field(description="The mean recall of the classes that occur.")]


class ShareAnswer(TypedDict):
    """A predicted quantile."""

    expected: Annotated[float, Field(description="The share of targets that should lie at or below the prediction.")]
    observed: Annotated[float, Field(description="The share that does.")]
    interval: Annotated[Ends, Field(description="Wilson's.")]


class CoverageAnswer(TypedDict):
    """Whether as many targets lie below a predicted quantile, or between the outer two or the ends of an interval, as should."""

    expected: Annotated[float, Field(description="The share that should.")]
    observed: Annotated[float, Field(description="The share that does.")]
    interval: Annotated[Ends, Field(description="Wilson's.")]
    width: Annotated[NumberOrNull, Field(description="How far the outer two are apart on average; null where there is one.")]
    quantiles: Annotated[list[ShareAnswer], Field(description="Each by itself.")]


class GroupAnswer(TypedDict):
    """A group against all other samples, by Welch's t test."""

    group: Label
    n: int
    value: NumberOrNull
    interval: Annotated[Ends, Field(description="By t; null for a group of one sample.")]
    rest: Annotated[NumberOrNull, Field(description="The value of all other samples.")]
    difference: Annotated[NumberOrNull, Field(description="value − rest: above 0, the loss is larger here.")]
    difference_interval: Ends
    p_value: Annotated[NumberOrNull, Field(description="How probable a difference at least so large is by chance.")]
    p_adjusted: Annotated[NumberOrNull, Field(description="The same for the number of groups that were looked at (Holm 1979).")]


class SliceAnswer(TypedDict):
    """A pair of groups of two groupings against all other samples."""

    where: Annotated[dict[str, Label], WithJsonSchema({"type": "object", "additionalProperties": {}})]
    n: int
    value: NumberOrNull
    difference: NumberOrNull
    p_value: NumberOrNull
    p_adjusted: Annotated[NumberOrNull, Field(description="For all that were tried (Holm 1979).")]


class SlicesAnswer(TypedDict):
    """Pairs of groups of two groupings, of 5 samples or more."""

    tried: Annotated[int, Field(description="How many pairs were looked at: so many chances to find one by luck.")]
    found: Annotated[list[SliceAnswer], Field(description="Those with more loss than the rest, the surest first; at most 10.")]


class AnalyzeResponse(TypedDict):
    """How sure a loss is, and where it comes from; null for what this loss, or this request, has not."""

    loss: Annotated[dict[str, Any], Field(description="The loss with every parameter, defaults included.")]
    n_samples: Annotated[int, Field(description="Samples that count: not masked, not ignored.")]
    n_elements: NotRequired[Annotated[int, Field(description="Elements that count, where a sample has several.")]]
    n_missing: NotRequired[Annotated[int, Field(description="Elements that were left out because a number of them is missing.")]]
    n_clusters: NotRequired[Annotated[int, Field(description="Clusters that have samples which count.")]]
    value: Annotated[NumberOrNull, Field(description="The loss, as evaluate answers it.")]
    standard_error: Annotated[
        NumberOrNull,
        Field(description="How far the value may be from that of all samples there are; null where unknown."),
    ]
    interval: IntervalAnswer
    distribution: DistributionAnswer
    worst: Annotated[list[WorstAnswer], Field(description="The samples with the largest losses, largest first.")]
    concentration: Annotated[
        ConcentrationAnswer | None, Field(description="Null where a loss is negative or infinite, or all are 0.")
    ]
    residuals: Annotated[ResidualsAnswer | None, Field(description="For losses of a real prediction and target.")]
    calibration: Annotated[CalibrationAnswer | None, Field(description="For losses of probabilities, or logits, of classes.")]
    confusion: Annotated[ConfusionAnswer | None, Field(description="For losses of classes.")]
    coverage: Annotated[CoverageAnswer | None, Field(description="For losses of quantiles, and of an interval.")]
    groups: Annotated[
        dict[str, list[GroupAnswer]] | None,
        Field(description="By grouping, the largest difference first; null where there are none."),
    ]
    slices: Annotated[SlicesAnswer | None, Field(description="Where two groupings or more are asked for.")]
    targets_encoding: NotRequired[Annotated[str | dict[str, str], Field(description="What the targets were taken for.")]]
    non_finite: NotRequired[Annotated[list[NonFiniteNumber], Field(description="The nulls that stand for no finite number.")]]
    warnings: NotRequired[Annotated[list[str], Field(description="What was taken at its word, but is probably not meant.")]]
