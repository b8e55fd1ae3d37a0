"""What a request may write otherwise: null for what is not given, 5.0 for 5, a value for a list of one, other names."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple, cast

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from app.errors import Fault, InvalidInput
from app.losses.evaluate import Reduction
from app.serving.unknown import parts_of

EXACT = 2.0**53
"""Up to here a float of 64 bits holds every integer."""
TARGETS = AliasChoices("targets", "labels")
"""The names under which targets may stand."""
ONE_HOT = "a column of text becomes numbers as one column of 0 and 1 for each of its words (one-hot; pandas: get_dummies)"
"""What to do with inputs that are words."""

REDUCTIONS: Mapping[str, Reduction] = {
    **dict[str, Reduction](mean="mean", sum="sum", mean_over_samples="mean_over_samples", none="none"),
    "elementwise_mean": "mean",  # PyTorch before 1.0
    "mean_with_sample_weight": "mean",  # Keras 3
    "sum_over_batch_size": "mean_over_samples",  # Keras
    "weighted_mean": "mean",  # TensorFlow 1, as the two that follow
    "weighted_sum": "sum",
    "weighted_sum_over_batch_size": "mean_over_samples",
}
"""Ours, and those of other libraries that mean exactly one of ours."""


class Part(BaseModel):
    """An object of a request."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _as_meant(cls, document: Any) -> Any:
        if not isinstance(document, dict):
            return document
        fields = _fields(cls)
        return {
            name: _whole(value) if name in fields.whole else value
            for name, value in cast(dict[str, object], document).items()
            if value is not None or name not in fields.given
        }


class _Fields(NamedTuple):
    """The fields of a model that are read with some latitude."""

    whole: frozenset[str]
    """Those of integers."""
    given: frozenset[str]
    """Those that need not be given, and to which null says nothing."""


@lru_cache(512)
def _fields(model: type[BaseModel]) -> _Fields:
    kinds = {name: {*parts_of(field)} for name, field in model.model_fields.items()}
    whole = {name for name, kind in kinds.items() if int in kind and float not in kind}
    given = {name for name, kind in kinds.items() if type(None) not in kind and not model.model_fields[name].is_required()}
    return _Fields(frozenset(whole), frozenset(given))


def _whole(value: object) -> object:
    """An integer, where it is one that is written with a point, and exact."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) <= EXACT else value


def _reduction(value: object) -> object:
    if value is None:
        return "mean"
    word = value.casefold() if isinstance(value, str) else ""
    if word == "batchmean":
        message = "reduction batchmean is mean where samples are rows (n, k); elsewhere take sum, and divide by n"
        raise InvalidInput([Fault(("reduction",), "choice", message)])
    return REDUCTIONS.get(word, value)


AnyReduction = BeforeValidator(_reduction)
"""Takes reductions by their names in PyTorch, Keras and TensorFlow, in any case."""


def or_default(default: object) -> BeforeValidator:
    """Takes null for what is not given."""
    return BeforeValidator(lambda value: default if value is None else value)


def one_or_more(value: object, validate: ValidatorFunctionWrapHandler) -> Any:
    return validate([value] if isinstance(value, str | int | float | dict) else value)


OneOrMore = WrapValidator(one_or_more)
"""For a list of names or sizes: one that stands alone is a list of one."""
