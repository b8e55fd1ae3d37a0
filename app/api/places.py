"""The same run with other values at some places of its request, each told by a dotted path: `optimizer.learning_rate`."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar, cast

from pydantic import ValidationError

from app.api.specs import BoundSpec, Spec
from app.api.training_fields import RunFields
from app.api.training_plan import USUAL_LOSS, USUAL_OPTIMIZER
from app.api.words import Part
from app.errors import CallerError, Fault, InvalidInput, Path
from app.serving.problems import from_pydantic
from app.training import DATASETS
from app.wire.exact import LazyList
from app.wire.faults import listed

UNKNOWN = "unknown_field"
T = TypeVar("T", bound=RunFields)


def with_values(request: T, values: Mapping[str, Any]) -> T:
    """The request with these values at dotted paths; CallerError, with faults where the whole request would have them."""
    whole = {path: value for path, value in values.items() if "." not in path}
    if whole and len(whole) < len(values):  # a path may lead into one of these
        return with_values(with_values(request, whole), {path: value for path, value in values.items() if path not in whole})
    documents: dict[str, Any] = {}
    for path, value in values.items():
        root, *steps = path.split(".")
        documents[root] = _put(documents.get(root, _written(request, root)), steps, value, (root,)) if steps else value
    try:
        read = RunFields.model_validate(documents)
    except ValidationError as error:
        raise from_pydantic(error, documents, RunFields) from None
    return request.model_copy(update={root: getattr(read, root) for root in documents})


def document_of(request: RunFields) -> dict[str, Any]:
    """What is said of a run, as it can be sent to /v1/train."""
    given = [name for name in RunFields.model_fields if name in request.model_fields_set]
    return {name: _document(getattr(request, name)) for name in given}


def told_at(error: CallerError, places: Mapping[str, Path]) -> CallerError:
    """The same error where the values at dotted paths were given: `places` says where that is.

    A path that leads nowhere is an unknown field where its values are.
    """
    faults = [_moved(fault, places) for fault in error.faults]
    return type(error)(faults, detail=error.detail) if faults else error


def leading_nowhere(error: CallerError, paths: Sequence[str]) -> list[str]:
    """The dotted paths that an error says are none of the request's; empty where something else is wrong as well."""
    lost = [next((path for path in paths if _is_lost(fault, path)), None) for fault in error.faults]
    return [] if None in lost else [path for path in lost if path is not None]


def _is_lost(fault: Fault, path: str) -> bool:
    return fault.code in (UNKNOWN, "unknown_parameter") and _within(path, _dotted(fault.path))


def _moved(fault: Fault, places: Mapping[str, Path]) -> Fault:
    for path, place in places.items():
        if _is_lost(fault, path):
            return Fault(place[:2], UNKNOWN, fault.message)
    inner = [path for path in places if _within(_dotted(fault.path), path)]
    beside = [path for path in places if path.partition(".")[0] in fault.path[:1]] if fault.code == "missing" else []
    found = inner or beside  # a parameter of something that has no name
    if not found:
        return fault
    path = max(found, key=len)
    rest = fault.path[path.count(".") + 1 :] if inner else ()
    return replace(fault, path=(*places[path], *rest))


def _dotted(path: Path) -> str:
    return ".".join(map(str, path))


def _within(path: str, above: str) -> bool:
    return path == above or path.startswith(f"{above}.")


def _put(document: Any, steps: Sequence[str], value: Any, above: Path) -> Any:
    """The document with a value at a place; what is on the way there and is not, is made."""
    if not steps:
        return value
    step, *rest = steps
    members: object = {} if document is None else listed(document)
    if isinstance(members, dict):
        known = cast(dict[str, Any], members)
        return {**known, step: _put(known.get(step), rest, value, (*above, step))}
    if isinstance(members, list) and step.isdecimal() and int(step) < len(items := cast(list[Any], members)):
        index = int(step)
        return [*items[:index], _put(items[index], rest, value, (*above, index)), *items[index + 1 :]]
    message = f"there is nothing named {step[:80]!r} in {_dotted(above)[:80]}"
    raise InvalidInput([Fault((*above, step), UNKNOWN, message)])


def _written(request: RunFields, root: str) -> Any:
    """A field of the request as it could have been written, or what is taken where it is not."""
    value = getattr(request, root, None)
    if value is None and root == "optimizer":
        value = {"name": USUAL_OPTIMIZER.thing.name, **USUAL_OPTIMIZER.parameters}
    if value is None and root == "loss" and isinstance(request.data, Spec):
        usual = USUAL_LOSS[DATASETS[request.data.name].task]
        value = {"name": usual.thing.name, **usual.parameters}
    return _document(value) if root in RunFields.model_fields else None


def _document(value: Any) -> Any:
    if isinstance(value, BoundSpec):
        return value.document
    if isinstance(value, Spec):
        return {"name": value.name, **value.given}
    if isinstance(value, Part):
        return {name: _document(getattr(value, name)) for name in value.model_fields_set}
    if isinstance(value, list):
        return [_document(item) for item in cast(list[Any], value)]
    return value.built() if isinstance(value, LazyList) else value
