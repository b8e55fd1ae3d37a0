"""registry(kind, *modules): every declared thing of a kind, by name. Nothing registers itself.

A declared thing is a function and what is known about it: its name is the function's, its parameters are the
keyword-only ones, its summary the first line of the docstring. It may have `aliases`: other names for it, each with the
parameters that make it mean here what it means at home.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from types import MappingProxyType, ModuleType
from typing import Any, Generic, TypeVar

from app.errors import Fault, NotFound, Path, UnknownName


@dataclass(frozen=True)
class Alias:
    """Another name, and the parameters it stands for."""

    name: str
    parameters: Mapping[str, object] = field(default_factory=dict[str, object])


def alias(name: str, **parameters: object) -> Alias:
    return Alias(name, parameters)


@dataclass(frozen=True, eq=False, kw_only=True)
class Declared:
    """A function with everything that is known about it. Call it to call the function."""

    function: Callable[..., Any]
    names: tuple[str | Alias, ...] = ()
    """Its aliases as they are declared."""
    equals: tuple[str, ...] = ()
    """Calls of other libraries that give the same."""
    reference: str = ""

    def __call__(self, *arguments: Any, **parameters: Any) -> Any:
        return self.function(*arguments, **parameters)

    @cached_property
    def name(self) -> str:
        return self.function.__name__

    @property
    def family(self) -> str:
        """The module that declares it."""
        return self.function.__module__.rpartition(".")[2]

    @cached_property
    def aliases(self) -> tuple[Alias, ...]:
        return tuple(each if isinstance(each, Alias) else Alias(each) for each in self.names)

    @property
    def alias_parameters(self) -> dict[str, dict[str, object]]:
        """The parameters of the aliases that set any."""
        return {each.name: dict(each.parameters) for each in self.aliases if each.parameters}

    @property
    def summary(self) -> str:
        return self.description.partition("\n")[0]

    @property
    def description(self) -> str:
        return inspect.getdoc(self.function) or ""

    @cached_property
    def parameters(self) -> Mapping[str, inspect.Parameter]:
        resolved = inspect.signature(self.function, eval_str=True).parameters
        return MappingProxyType({name: each for name, each in resolved.items() if each.kind is each.KEYWORD_ONLY})

    @cached_property
    def defaults(self) -> dict[str, Any]:
        return {name: parameter.default for name, parameter in self.parameters.items()}


T = TypeVar("T", bound=Declared)


class Registry(Mapping[str, T], Generic[T]):
    """The things of one kind in the order of their declaration. Keys are names; `resolve` takes aliases too."""

    def __init__(self, noun: str, things: list[T]) -> None:
        self.noun = noun
        self._things = {thing.name: thing for thing in things}
        self._resolved = {thing.name: (thing, Alias(thing.name)) for thing in things}
        for thing in things:
            for other in thing.aliases:
                taken = self._resolved.setdefault(other.name, (thing, other))[0]
                if taken is not thing:
                    raise TypeError(f"{other.name!r} names both {taken.name} and {thing.name}")

    def __getitem__(self, name: str) -> T:
        return self._things[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._things)

    def __len__(self) -> int:
        return len(self._things)

    def resolve(self, name: str, path: Path = ()) -> tuple[T, Mapping[str, object]]:
        """The thing of this name or alias, and the parameters the alias sets; UnknownName with a suggestion otherwise."""
        if name not in self._resolved:
            raise UnknownName([Fault(path, f"unknown_{self.noun}", did_you_mean(self.noun, name, self._resolved))])
        thing, other = self._resolved[name]
        return thing, other.parameters

    def find(self, name: str) -> tuple[T, Mapping[str, object]]:
        """The same for a name in an address: NotFound, since it is the address that names nothing."""
        try:
            return self.resolve(name)
        except UnknownName as error:
            raise NotFound(error.detail) from None


def did_you_mean(noun: str, name: str, known: Iterable[str]) -> str:
    """That there is no such name, and which ones come close."""
    folded = {each.casefold(): each for each in reversed([*known])}  # of names that differ in case only, the first
    close = get_close_matches(name[:80].casefold(), folded, n=3, cutoff=0.6)
    hint = f" Did you mean {' or '.join(folded[each] for each in close)}?" if close else ""
    return f"There is no {noun} named {name[:80]!r}.{hint}"


def registry(noun: str, kind: type[T], *modules: ModuleType) -> Registry[T]:
    """Every value of `kind` that the modules declare, in the order of modules and lines."""
    return Registry(noun, [value for module in modules for value in vars(module).values() if isinstance(value, kind)])
