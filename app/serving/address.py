"""What stands in a request's address and head: the parameters of a call that are marked by Path, Query and Header.

They are checked by a Pydantic model made of the function's own signature, which is also what FastAPI documents. The marks are
named as FastAPI's, and are not these: to load them takes as long as all of Pydantic, and only the document needs FastAPI.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from inspect import Parameter
from typing import Annotated, Any, TypeAlias, cast, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from app.serving.problems import from_pydantic

REMEMBERED = 256
Strings: TypeAlias = Mapping[str, str]
Lists: TypeAlias = Mapping[str, Sequence[str]]


@dataclass(frozen=True, kw_only=True)
class Mark:
    """Where a parameter stands; its bounds stand beside it, in Pydantic's words."""

    description: str | None = None
    examples: list[Any] | None = None
    openapi_examples: dict[str, Any] | None = None
    include_in_schema: bool = True


class Path(Mark):
    """In the path, under its name."""


class Query(Mark):
    """In the query, under its name: the last of several, unless its type is a list."""


class Header(Mark):
    """In the head, under its name with hyphens."""


class Rest(dict[str, list[str]]):
    """What the query says beyond the parameters that are marked: for the call's function to check."""


def marker(parameter: Parameter) -> Mark | None:
    """The Path, Query or Header that a parameter is marked by."""
    marks = [mark for mark in get_args(parameter.annotation)[1:] if isinstance(mark, Mark)]
    return marks[0] if marks else None


@dataclass(frozen=True)
class Address:
    """The marked parameters of a call."""

    parameters: Mapping[str, Parameter]

    @cached_property
    def marks(self) -> Mapping[str, Mark]:
        return {name: mark for name, parameter in self.parameters.items() if (mark := marker(parameter))}

    @cached_property
    def query(self) -> tuple[str, ...]:
        """The query parameters that it takes."""
        return tuple(name for name, mark in self.marks.items() if isinstance(mark, Query))

    @cached_property
    def _model(self) -> type[BaseModel]:
        fields = {name: _field(self.parameters[name]) for name in self.marks}
        return create_model("Address", __config__=ConfigDict(extra="forbid"), **cast(dict[str, Any], fields))

    def read(self, path: Strings, query: Lists, head: Mapping[bytes, bytes]) -> dict[str, Any]:
        """The values of the parameters; InvalidInput where one does not fit."""
        return self._read(path, query, head) if query or self._of_head else dict(self._of_path(tuple(path.items())))

    @cached_property
    def _of_head(self) -> bool:
        return any(isinstance(mark, Header) for mark in self.marks.values())

    @cached_property
    def _of_path(self) -> Callable[[tuple[tuple[str, str], ...]], dict[str, Any]]:
        """The values where nothing but the path tells them: remembered, since the same few are asked for again and again."""
        return lru_cache(REMEMBERED)(self._read_path)

    def _read_path(self, path: tuple[tuple[str, str], ...]) -> dict[str, Any]:
        return self._read(dict(path), {}, {})

    def _read(self, path: Strings, query: Lists, head: Mapping[bytes, bytes]) -> dict[str, Any]:
        if not self.marks:
            return {}
        values = {name: self._found(name, mark, path, query, head) for name, mark in self.marks.items()}
        found = {name: value for name, value in values.items() if value is not None}
        try:
            model = self._model.model_validate(found)
        except ValidationError as error:
            raise from_pydantic(error, found) from None
        return {name: getattr(model, name) for name in self.marks}

    def _found(self, name: str, mark: Mark, path: Strings, query: Lists, head: Mapping[bytes, bytes]) -> object:
        if isinstance(mark, Path):
            return path.get(name)
        if isinstance(mark, Header):
            value = head.get(name.replace("_", "-").encode())
            return None if value is None else value.decode("latin-1")
        values = query.get(name)
        listed = get_origin(get_args(self.parameters[name].annotation)[0]) is list
        return values if values is None or listed else values[-1]


def _field(parameter: Parameter) -> tuple[Any, Any]:
    base, *metadata = get_args(parameter.annotation)
    kept = tuple(mark for mark in metadata if not isinstance(mark, Mark))
    default = ... if parameter.default is Parameter.empty else parameter.default
    return Annotated[(base, *kept)] if kept else base, default
