"""GET /v1/models, /v1/optimizers, ...: what a training run may name, one catalogue for each kind. Data sets: datasets.py."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Annotated, Any

from pydantic import Field
from typing_extensions import TypedDict

from app.api.equals import EqualEntry, equal_entries
from app.api.specs import Spec, parameter_schemas
from app.api.trained import MODEL_SPECS
from app.api.training_fields import DATASET_SPECS, METRIC_SPECS, OPTIMIZER_SPECS, SCHEDULE_SPECS
from app.losses import LOSSES
from app.registry import Declared, Registry
from app.serving.address import Path
from app.serving.call import Call
from app.training import DATASETS, METRICS, MODELS, OPTIMIZERS, SCHEDULES, Metric
from app.training.drawn import embeds

EPOCHS = 20
"""Of the examples: enough to see where the curves go."""


class Entry(TypedDict):
    """Everything known about it."""

    name: str
    aliases: Annotated[list[str], Field(description="Names that other libraries give it; each is accepted wherever the name is.")]
    alias_parameters: Annotated[
        dict[str, dict[str, Any]], Field(description="The parameters that an alias sets, to mean what it means at home.")
    ]
    summary: str
    description: str
    parameters: Annotated[dict[str, Any], Field(description="JSON Schema of each parameter.")]
    traits: Annotated[dict[str, Any], Field(description="What else is told of its kind, such as a dataset's task.")]
    equals: Annotated[list[EqualEntry], Field(description="Calls of other libraries that give the same.")]
    reference: str
    example_request: Annotated[dict[str, Any], Field(description="A body for POST /v1/train that names it.")]


def _entries(
    registry: Registry[Any], specs: Mapping[str, type[Spec]], example: Callable[[Any], dict[str, Any]]
) -> Callable[[], dict[str, Entry]]:
    """What makes the entries of a registry, by name, when they are first asked for."""

    @cache
    def entries() -> dict[str, Entry]:
        return {name: _entry(declared, specs[name], example(declared)) for name, declared in registry.items()}

    return entries


def _catalogue(
    kind: str, registry: Registry[Any], specs: Mapping[str, type[Spec]], example: Callable[[Any], dict[str, Any]]
) -> tuple[Call, Call]:
    """The two calls that list and describe what is in a registry."""
    listing: Any = TypedDict(f"{kind.capitalize()}", {kind: list[Entry]})  # pyright: ignore[reportGeneralTypeIssues]  # named by its kind

    entries = _entries(registry, specs, example)

    def list_all() -> dict[str, list[Entry]]:
        return {kind: list(entries().values())}

    def describe(
        name: Annotated[
            str, Path(description=f"The name of a {registry.noun}, or an alias of it.", examples=[next(iter(registry))])
        ],
    ) -> Entry:
        declared, _ = registry.find(name)
        return entries()[declared.name]

    list_all.__doc__ = f"Every {registry.noun} that a training run may name, with its parameters."
    describe.__doc__ = f"One {registry.noun}, with its parameters and a request that uses it."
    list_all.__name__, describe.__name__ = f"list_{kind}", f"describe_{registry.noun}"
    return (
        Call(
            method="GET",
            path=f"/v1/{kind}",
            function=list_all,
            summary=f"List the {kind}",
            tag="training",
            answer=listing,
            constant=True,
        ),
        Call(
            method="GET",
            path=f"/v1/{kind}/{{name}}",
            function=describe,
            summary=f"Describe a {registry.noun}",
            tag="training",
            constant=True,
            statuses=(404,),
        ),
    )


TRAITS = ("task", "optimized", "full_batch", "of", "higher_is_better")


def _entry(declared: Declared, spec: type[Spec], example: dict[str, Any]) -> Entry:
    return Entry(
        name=declared.name,
        aliases=[alias.name for alias in declared.aliases],
        alias_parameters=declared.alias_parameters,
        summary=declared.summary,
        description=declared.description,
        parameters=parameter_schemas(spec),
        traits={trait: getattr(declared, trait) for trait in TRAITS if hasattr(declared, trait)},
        equals=equal_entries(declared),
        reference=declared.reference,
        example_request=example,
    )


def _named(declared: Declared) -> dict[str, Any]:
    """Its name, with its parameters as they are by default."""
    return {"name": declared.name, **{name: value for name, value in declared.defaults.items() if value is not None}}


def _scored(metric: Metric) -> dict[str, Any]:
    """The first dataset whose task has what the metric is of."""
    real = metric.of == "numbers"
    dataset = next(dataset for dataset in DATASETS.values() if (dataset.task == "regression") == real)
    of_embeddings = {"loss": next(loss.name for loss in LOSSES.values() if embeds(loss))} if metric.of == "embeddings" else {}
    return {"data": {"name": dataset.name}, **of_embeddings, "metrics": [_named(metric)], "epochs": EPOCHS}


dataset_entries = _entries(DATASETS, DATASET_SPECS, lambda declared: {"data": _named(declared), "epochs": EPOCHS})
"""Of the data sets, beside which others are kept."""
CALLS = (
    *_catalogue("models", MODELS, MODEL_SPECS, lambda declared: {"model": _named(declared), "epochs": EPOCHS}),
    *_catalogue("optimizers", OPTIMIZERS, OPTIMIZER_SPECS, lambda declared: {"optimizer": _named(declared), "epochs": EPOCHS}),
    *_catalogue("schedules", SCHEDULES, SCHEDULE_SPECS, lambda declared: {"schedule": _named(declared), "epochs": EPOCHS}),
    *_catalogue("metrics", METRICS, METRIC_SPECS, _scored),
)
