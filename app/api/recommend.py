"""POST /v1/recommend: which losses suit some targets, and why."""

from typing import TYPE_CHECKING, Annotated, Any, Literal, NotRequired, TypeAlias, cast

from pydantic import Field
from typing_extensions import TypedDict

from app.api.evaluate import Arrays, ClassesInOrder, TableData, Targets
from app.api.files import Layout
from app.api.insight_examples import RECOMMENDATIONS
from app.api.tables import check_columns
from app.api.words import Part
from app.insight.described import recommend_for
from app.insight.traits import TRAITS, Task
from app.serving.call import Call

if TYPE_CHECKING:
    TraitName: TypeAlias = str
else:
    TraitName = Literal[tuple(trait.__name__ for trait in TRAITS)]

CHEAP, PER_NUMBER = 2e6, 3000.0
"""Steps of a recommendation, and of each number that is looked at and checked by some losses."""


class RecommendRequest(Part):
    """What is to be predicted: targets, or the kind of them, or both; and predictions, where there are some."""

    targets: Targets = None
    task: Annotated[
        Task | None,
        Field(
            description="What is predicted; left out, it is found out from the targets. Where these leave it open, it decides."
        ),
    ] = None
    predictions: Annotated[
        Arrays, Field(description="Predictions for these targets: probabilities, logits or numbers.", examples=[[2.5, 0.0, 8.0]])
    ] = None
    data: TableData = None
    classes: ClassesInOrder = None
    limit: Annotated[int, Field(description="How many losses to name at most.", ge=1, le=50)] = 5

    @property
    def cost(self) -> float:
        """Steps that it takes."""
        sizes = [getattr(array, "size", 0) or len(array) for array in (self.targets, self.predictions) if array is not None]
        return CHEAP + PER_NUMBER * sum(sizes)


class TraitAnswer(TypedDict):
    """Something that the data show."""

    trait: TraitName
    evidence: Annotated[dict[str, float], Field(description="The numbers that it was told by.")]
    text: Annotated[str, Field(description="The same in a sentence.")]


class RecommendationAnswer(TypedDict):
    """A loss that suits."""

    rank: int
    loss: Annotated[dict[str, Any], Field(description="The loss with the parameters that matter here, ready for evaluate.")]
    why: Annotated[list[str], Field(description="What speaks for it, what the data show first.")]
    against: Annotated[list[str], Field(description="What speaks against it.")]


class RecommendResponse(TypedDict):
    """The losses that suit, the best first."""

    task: Task
    traits: Annotated[list[TraitAnswer], Field(description="What the data show; nothing of it, or no data: an empty list.")]
    recommendations: Annotated[
        list[RecommendationAnswer],
        Field(description="Each is taken by evaluate with these targets, and predictions where they are given."),
    ]
    note: NotRequired[Annotated[str, Field(description="What to know of the whole list.")]]


def recommend(request: RecommendRequest) -> RecommendResponse:
    """Which losses suit these targets, each with what the data say for it and against it.

    Outliers, skew, zeros, counts, bounds, censoring and ties of numbers, imbalance and encoding of labels, and saturated
    probabilities are looked for, each by a threshold that the answer shows the numbers of.
    """
    classes = cast(list[str | float] | None, request.classes)
    found = recommend_for(request.targets, request.task, request.predictions, limit=request.limit, classes=cast(Any, classes))
    answer: dict[str, Any] = {
        "task": found.task,
        "traits": [{"trait": trait.trait, "evidence": dict(trait.evidence), "text": trait.text} for trait in found.traits],
        "recommendations": [
            {
                "rank": recommendation.rank,
                "loss": {"name": recommendation.loss.name, **recommendation.parameters},
                "why": [*recommendation.why],
                "against": [*recommendation.against],
            }
            for recommendation in found.recommendations
        ],
    }
    if found.doubt:
        answer["note"] = found.doubt
    if not found.recommendations:
        answer["note"] = (
            "No loss here takes these targets and predictions for this task: look at their shapes, or choose another task."
        )
    return cast(RecommendResponse, answer)


RECOMMEND = Call(
    method="POST",
    path="/v1/recommend",
    function=recommend,
    summary="Recommend losses",
    tag="evaluate",
    scope="evaluate",
    lane="large",
    check=check_columns(RecommendRequest, Layout(("targets", "labels", "predictions"))),
    statuses=(400, 413, 415, 422, 503),
    examples=RECOMMENDATIONS,
)
