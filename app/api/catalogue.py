"""GET /v1/models, /v1/optimizers, ...: what a training run may name, one catalogue for each kind."""

from collections.abc import Callable
from typing import Annotated, Any, cast

from fastapi import APIRouter, Path
from fastapi.responses import Response
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from app.api.specs import Spec, parameter_schemas
from app.api.training import DATASET_SPECS, METRIC_SPECS, MODEL_SPECS, OPTIMIZER_SPECS, SCHEDULE_SPECS
from app.registry import Declared, Registry
from app.serving.problems import responses
from app.training import DATASETS, METRICS, MODELS, OPTIMIZERS, SCHEDULES, Metric
from app.wire.json import encode

router = APIRouter(prefix="/v1")

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
    equals: Annotated[list[str], Field(description="Calls of other libraries that give the same.")]
    reference: str
    example_request: Annotated[dict[str, Any], Field(description="A body for POST /v1/train that names it.")]


def _catalogue(
    kind: str, registry: Registry[Any], specs: dict[str, type[Spec]], example: Callable[[Any], dict[str, Any]]
) -> None:
    """The two calls that list and describe what is in a registry."""
    entries = {name: _entry(thing, specs[name], example(thing)) for name, thing in registry.items()}
    listing = cast(type[BaseModel], TypedDict(f"{kind.capitalize()}", {kind: list[Entry]}))  # pyright: ignore[reportGeneralTypeIssues]

    async def list_all() -> Response:
        return Response(encode({kind: list(entries.values())}), media_type="application/json")

    async def describe(
        name: Annotated[
            str, Path(description=f"The name of a {registry.noun}, or an alias of it.", examples=[next(iter(registry))])
        ],
    ) -> Response:
        thing, _ = registry.find(name)
        return Response(encode(entries[thing.name]), media_type="application/json")

    list_all.__doc__ = f"Every {registry.noun} that a training run may name, with its parameters."
    describe.__doc__ = f"One {registry.noun}, with its parameters and a request that uses it."
    router.add_api_route(
        f"/{kind}", list_all, summary=f"List the {kind}", response_model=listing, tags=["training"], name=f"list_{kind}"
    )
    router.add_api_route(
        f"/{kind}/{{name}}", describe, summary=f"Describe a {registry.noun}", response_model=Entry, tags=["training"],
        responses=responses(404), name=f"describe_{registry.noun}",
    )  # fmt: skip


TRAITS = ("task", "optimized", "full_batch", "of", "higher_is_better")


def _entry(thing: Declared, spec: type[Spec], example: dict[str, Any]) -> Entry:
    return Entry(
        name=thing.name,
        aliases=[each.name for each in thing.aliases],
        alias_parameters=thing.alias_parameters,
        summary=thing.summary,
        description=thing.description,
        parameters=parameter_schemas(spec),
        traits={trait: getattr(thing, trait) for trait in TRAITS if hasattr(thing, trait)},
        equals=list(thing.equals),
        reference=thing.reference,
        example_request=example,
    )


def _named(thing: Declared) -> dict[str, Any]:
    """The thing with its parameters as they are by default."""
    return {"name": thing.name, **{name: value for name, value in thing.defaults.items() if value is not None}}


def _scored(metric: Metric) -> dict[str, Any]:
    """The first dataset whose task has what the metric is of."""
    real = metric.of == "numbers"
    data = next(each for each in DATASETS.values() if (each.task == "regression") == real)
    return {"data": {"name": data.name}, "metrics": [_named(metric)], "epochs": EPOCHS}


_catalogue("datasets", DATASETS, DATASET_SPECS, lambda thing: {"data": _named(thing), "epochs": EPOCHS})
_catalogue("models", MODELS, MODEL_SPECS, lambda thing: {"model": _named(thing), "epochs": EPOCHS})
_catalogue("optimizers", OPTIMIZERS, OPTIMIZER_SPECS, lambda thing: {"optimizer": _named(thing), "epochs": EPOCHS})
_catalogue("schedules", SCHEDULES, SCHEDULE_SPECS, lambda thing: {"schedule": _named(thing), "epochs": EPOCHS})
_catalogue("metrics", METRICS, METRIC_SPECS, _scored)
