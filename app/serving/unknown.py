"""A field that a request has not: what was probably meant by it, and where it belongs.

Requests are Pydantic models. One that stands for a named thing (a loss, an optimizer) has a field `name` with one value; its
other fields are the parameters of the thing. A field that takes such a thing is marked by a `Choice`, and may be by a `Holder`.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple, Protocol, cast, get_args, get_origin, runtime_checkable

from pydantic import AliasChoices, BaseModel
from pydantic.fields import FieldInfo
from typing_extensions import TypeAliasType

from app.errors import Fault, Path
from app.suggestions import meant, translated
from app.wire.exact import LazyList

FEW = 16
"""Fields of an object that are all named where nothing better can be said."""


@runtime_checkable
class Holder(Protocol):
    """Marks a field whose value names a thing: it knows what belongs to that."""

    def place_of(self, key: str, value: object) -> "Belongs | None":
        """Where `key` belongs, if to the thing in `value` (None: not given)."""
        ...


@runtime_checkable
class Choice(Protocol):
    """Marks a field whose value is an object of one of several models: errors then have its name after the field."""

    models: Mapping[str, type[BaseModel]]
    unnamed: type[BaseModel] | None
    """The model of an object that has no name."""


class Belongs(NamedTuple):
    """Where a field belongs."""

    words: str
    """What it is, after its name."""
    place: Path
    name: str | None = None
    """The name that stands beside it there."""


class Unknown(NamedTuple):
    """What is wrong with a field that there is not, and the field that was meant, where that is known."""

    fault: Fault
    meant: Path | None


def unknown_field(model: type[BaseModel] | None, location: Sequence[int | str], path: Path, document: object) -> Unknown:
    """What is said of a field that a request of this model has not; `location` is the place in Pydantic's own words."""
    key, above = str(path[-1]), path[:-1]
    owners = _owners(model, location[:-1]) if model else []
    if twin := _twin(owners, key):
        message = f"{key} is another name of {twin}, and both are there: send one of them"
        return Unknown(Fault(path, "duplicate", message), None)
    fields = list(dict.fromkeys(name for owner in owners for name in owner.model_fields))
    thing = _name_of(owners[0]) if len(owners) == 1 else None
    if thing:
        parameters = [name for name in fields if name != "name"]
        words, close = _meant(key, parameters, "takes", cutoff=0.5)
        if translated(key, parameters) is None and (elsewhere := _elsewhere(owners, key, _at(document, above))):
            words, place = elsewhere
            return Unknown(
                Fault(path, "unknown_parameter", f"{thing} has no parameter {key[:80]!r}: {words}"), (*above, *place[:1])
            )
        outer = None if close or model is None else translated(key, model.model_fields)
        words += f"; did you mean {outer}, a field of the request?" if outer else ""
        return Unknown(Fault(path, "unknown_parameter", f"{thing} has no parameter {key[:80]!r}; {words}"), None)
    message = f"there is no field {key[:80]!r}"
    if translated(key, fields) is None and (elsewhere := _elsewhere(owners, key, _at(document, above))):
        words, place = elsewhere
        return Unknown(Fault(path, "unknown_field", f"{message} here: {words}"), (*above, *place[:1]))
    words, field = _meant(key, fields, "has")
    fault = Fault(path, "unknown_field", f"{message}; {words}" if fields else message)
    return Unknown(fault, (*above, field) if field else None)


def _meant(key: str, fields: Sequence[str], verb: str, cutoff: float = 0.6) -> tuple[str, str | None]:
    close = meant(key, fields, most=1, cutoff=cutoff)
    if close:
        return f"did you mean {close[0]}?", close[0]
    return (f"it {verb} {', '.join(fields[:FEW])}{', …' * (len(fields) > FEW)}" if fields else f"it {verb} none"), None


# --- where it belongs -------------------------------------------------------------------------------------------------


def _elsewhere(owners: Sequence[type[BaseModel]], key: str, beside: Mapping[str, object]) -> tuple[str, Path] | None:
    """Where another object of the request has the field, in words and as a path."""
    for owner in owners:
        for name, field in owner.model_fields.items():
            parts = parts_of(field)
            for part in parts:
                if isinstance(part, Holder) and (found := part.place_of(key, beside.get(name))):
                    return f"{key[:80]} {found.words}: {_shown(found, beside.get(key))}", found.place
            for model in _models(parts):
                inner = None if _name_of(model) else translated(key, model.model_fields)
                if inner:
                    return f"did you mean {name}.{inner}?", (name, inner)
    return None


def _at(document: object, path: Path) -> Mapping[str, object]:
    for step in path:
        document = document.item(cast(int, step)) if isinstance(document, LazyList) else cast(Any, document)[step]
    return cast(Mapping[str, object], document) if isinstance(document, Mapping) else {}


def _twin(owners: Iterable[type[BaseModel]], key: str) -> str | None:
    """The field that this is another name of: which is refused only where that is there as well."""
    return next(
        (
            name
            for owner in owners
            for name, field in owner.model_fields.items()
            if isinstance(field.validation_alias, AliasChoices) and key != name and key in field.validation_alias.choices
        ),
        None,
    )


def _shown(belongs: Belongs, value: object) -> str:
    """The field in its place, with its value where that is short and plain."""
    *above, last = map(str, belongs.place)
    name = f'"name": {json.dumps(belongs.name)[:80]}, ' if belongs.name else ""
    written = json.dumps(value, ensure_ascii=False)[:80] if isinstance(value, str | int | float | bool) else "…"
    return "".join(f'{{"{step}": ' for step in above) + f'{{{name}"{last}": {written}}}' + "}" * len(above)


def renamed(model: type[BaseModel], document: object, path: Path = ()) -> dict[Path, Path]:
    """The places of fields that stand in a document under another of their names."""
    if not isinstance(document, Mapping):
        return {}
    members = cast(Mapping[str, object], document)
    moves: dict[Path, Path] = {}
    for name, field in model.model_fields.items():
        if isinstance(field.validation_alias, AliasChoices) and name not in members:
            moves |= {
                (*path, name): (*path, other)
                for other in field.validation_alias.choices
                if isinstance(other, str) and other in members
            }
        elif name in members and not path:
            for inner in _models(_inside(model, name)):
                moves |= {} if _name_of(inner) else renamed(inner, members[name], (name,))
    return moves


# --- models within models ---------------------------------------------------------------------------------------------


def _owners(model: type[BaseModel], location: Iterable[int | str]) -> list[type[BaseModel]]:
    """The models that the object at a place may be: Pydantic names the member of a union after the field."""
    models, choices = [model], list[Choice]()
    for step in location:
        if isinstance(step, int):
            continue
        chosen = [choice.models[step] for choice in choices if step in choice.models]
        parts = [part for owner in models if step in owner.model_fields for part in _inside(owner, step)]
        choices = [part for part in parts if isinstance(part, Choice)]
        models = chosen or [*_models(parts)] or models
    return models


@lru_cache(256)
def _inside(owner: type[BaseModel], field: str) -> tuple[object, ...]:
    return tuple(parts_of(owner.model_fields[field]))


def _models(parts: Iterable[object]) -> Iterator[type[BaseModel]]:
    for part in parts:
        model = part.unnamed if isinstance(part, Choice) else part
        if isinstance(model, type) and issubclass(model, BaseModel):
            yield model


def parts_of(field: FieldInfo) -> list[object]:
    """The types that may stand in a field, and its marks."""
    return [*field.metadata, *_parts(field.annotation)]


def _parts(annotation: object) -> Iterator[object]:
    """The types that an annotation is made of, and their marks."""
    if isinstance(annotation, TypeAliasType):
        yield from _parts(annotation.__value__)
    elif get_origin(annotation) is not Literal and (arguments := get_args(annotation)):
        for argument in arguments:
            yield from _parts(argument)
    else:
        yield annotation


def _name_of(model: type[BaseModel]) -> str | None:
    """The name of the thing that a model stands for."""
    field = model.model_fields.get("name")
    return get_args(field.annotation)[0] if field and get_origin(field.annotation) is Literal else None
