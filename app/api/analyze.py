"""POST /v1/analyze: how sure a loss is, and which samples, groups and mistakes it comes from."""

from typing import Annotated, Any, Literal, cast

from pydantic import Field

from app.api.analysis_answer import AnalyzeResponse
from app.api.evaluate import COLUMNS as EVALUATED
from app.api.evaluate import FIELDS, BatchRequest
from app.api.files import Layout
from app.api.labels import Clusters, Groupings
from app.api.plain import Plain
from app.api.words import AnyReduction, Part
from app.errors import CallerError
from app.insight import Analysis, Asked, Labels
from app.insight import analyze as analyze_batch
from app.insight.analysis import cost_of


class AnalyzeRequest(BatchRequest, Part):
    """A loss, the arrays to analyze it on, and what to look at."""

    reduction: Annotated[Literal["mean"], Field(description="What is analyzed is a mean."), AnyReduction] = "mean"
    groups: Annotated[
        Groupings,
        Field(
            description="Groups to compare: an object of label arrays (n,) by name, one such array (then named `group`), or a "
            "list of column names of `data`. Labels are text, numbers or booleans.",
            examples=[{"site": ["a", "a", "b"], "device": [1, 2, 1]}, ["a", "a", "b"]],
        ),
    ] = None
    clusters: Annotated[
        Clusters,
        Field(
            description="One label per sample (n,), or a column: samples with the same one depend on each other, as the visits "
            "of one patient do.",
            examples=[[1, 1, 2, 2]],
        ),
    ] = None
    confidence: Annotated[float, Field(description="How often an interval shall hold the true value.", gt=0, lt=1)] = 0.95
    resamples: Annotated[int, Field(description="Resamples of the bootstrap; 0 for none.", ge=0, le=100_000)] = 2000
    seed: Annotated[int, Field(description="The same request with the same seed gets the same answer.", ge=0, lt=2**63)] = 0
    n_worst: Annotated[int, Field(description="How many of the worst samples to show.", ge=0, le=1000)] = 10
    bins: Annotated[int, Field(description="Bins of the calibration.", ge=2, le=100)] = 10

    @property
    def cost(self) -> float:
        """Steps that the analysis takes."""
        return cost_of(self.batch, self.groups, self.resamples)


def analyze(request: AnalyzeRequest) -> AnalyzeResponse:
    """How sure the value of a loss is, and where it comes from.

    The error bar has a standard error and intervals by t and by the bootstrap; a note says where they may be too narrow. Then
    the distribution of the samples' losses, the worst of them and how few carry how much; what the predictions are like
    (residuals, calibration, confusion, coverage, as the loss has it); and groups of samples against the rest.
    """
    batch = request.batch
    classes = cast(list[str | float] | None, request.classes)
    try:
        found = analyze_batch(
            batch,
            cast(dict[str, Labels] | None, request.groups),
            cast(Labels | None, request.clusters),
            Asked(request.confidence, request.resamples, request.seed),
            n_worst=request.n_worst,
            bins=request.bins,
            classes=None if classes is None else tuple(classes),
        )
    except CallerError as error:
        raise error.moved(FIELDS) from None
    return _respond(request, found)


def _respond(request: AnalyzeRequest, found: Analysis) -> AnalyzeResponse:
    batch, plain = request.batch, Plain()
    answer: dict[str, Any] = {"loss": request.loss.document, "n_samples": batch.n_samples}
    if len(batch.elements) > 1:
        answer["n_elements"] = batch.n_elements
    if batch.n_missing is not None:
        answer["n_missing"] = batch.n_missing
    members = found._asdict()
    if found.n_clusters is None:
        del members["n_clusters"]
    answer |= plain(members)
    if encoding := batch.targets_encoding:
        answer["targets_encoding"] = encoding
    if plain.non_finite:
        answer["non_finite"] = plain.non_finite
    if batch.warnings:
        answer["warnings"] = list(batch.warnings)
    return cast(AnalyzeResponse, answer)


COLUMNS = Layout((*EVALUATED.sides, "groups", "clusters"), text=("groups", "clusters"), single=("groups",))
"""What may be columns of a table."""
