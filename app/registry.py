"""registry(kind, *modules): every declared thing of a kind, by name. Nothing registers itself.

A declared thing is a function and what is known about it: its name is the function's, its parameters are the
keyword-only ones, its summary the first line of the docstring. It may have `aliases`: other names for it, each with the
parameters that make it mean here what it means at home. Where it means several things at home, by the shapes of the arrays,
each of these declares it.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType, ModuleType
from typing import Any, ClassVar, Generic, TypeVar

from app.errors import Fault, NotFound, Path, UnknownName
from app.libraries import Equal, unprefixed, with_twins
from app.suggestions import meant

FEW = 60
"""Names that are all listed where none comes close."""


@dataclass(frozen=True)
class Alias:
    """Another name, and the parameters it stands for."""

    name: str
    parameters: Mapping[str, object] = field(default_factory=dict[str, object])
    unless: str = ""
    """A flag that, where it is set beside the name, leaves the parameters as they are by default."""
    shapes: tuple[str, ...] = ()
    """The shapes for which the name means this rather than what it usually does, as axes: of the predictions, and of the
    targets where these tell as well."""

    def fits(self, shapes: Sequence[tuple[int, ...]]) -> bool:
        """Whether arrays of these shapes have its axes; one class is no axis of classes."""
        if not self.shapes or len(shapes) < len(self.shapes):
            return False
        pairs = zip(map(str.split, self.shapes), shapes, strict=False)
        return all(len(axes) == len(shape) and not (axes[-1] == "k" and shape[-1] == 1) for axes, shape in pairs)

    def sets(self, given: Mapping[str, object]) -> Mapping[str, object]:
        """The parameters that it sets beside those that are given."""
        return {} if self.unless and given.get(self.unless) is True else self.parameters


def alias(name: str, *, unless: str = "", shapes: tuple[str, ...] = (), **parameters: object) -> Alias:
    return Alias(name, parameters, unless, shapes)


@dataclass(frozen=True, eq=False, kw_only=True)
class Declared:
    """A function with everything that is known about it. Call it to call the function."""

    function: Callable[..., Any]
    names: tuple[str | Alias, ...] = ()
    """Its aliases as they are declared."""
    equals: tuple[Equal, ...] = ()
    """Calls of other libraries that give the same."""
    reference: str = ""
    compared: ClassVar[bool] = False
    """Whether all that libraries have that is the same was looked for: what else has one of its names there is something else."""

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
        return tuple(alias if isinstance(alias, Alias) else Alias(alias) for alias in self.names)

    @property
    def alias_parameters(self) -> dict[str, dict[str, object]]:
        """The parameters of the aliases that set any."""
        return {alias.name: dict(alias.parameters) for alias in self.aliases if alias.parameters}

    @property
    def alias_shapes(self) -> dict[str, list[str]]:
        """The shapes of predictions, and of targets, for which an alias means this and elsewhere something else."""
        return {alias.name: [*alias.shapes] for alias in self.aliases if alias.shapes}

    @property
    def summary(self) -> str:
        return self.description.partition("\n")[0]

    @property
    def description(self) -> str:
        return inspect.getdoc(self.function) or ""

    @cached_property
    def own(self) -> Mapping[str, inspect.Parameter]:
        """The parameters of the function itself."""
        resolved = inspect.signature(self.function, eval_str=True).parameters
        return MappingProxyType(
            {name: parameter for name, parameter in resolved.items() if parameter.kind is parameter.KEYWORD_ONLY}
        )

    @cached_property
    def parameters(self) -> Mapping[str, inspect.Parameter]:
        return self.own

    @cached_property
    def defaults(self) -> dict[str, Any]:
        return {name: parameter.default for name, parameter in self.parameters.items()}


T = TypeVar("T", bound=Declared)
NOTHING_GIVEN: Mapping[str, object] = MappingProxyType({})


class Registry(Mapping[str, T], Generic[T]):
    """The things of one kind in the order of their declaration. Keys are names; `resolve` takes aliases too."""

    def __init__(self, noun: str, things: list[T], usual: Iterable[str] | None = None) -> None:
        self.noun = noun
        self.usual = [thing.name for thing in things] if usual is None else [*usual]
        """What is listed where no name comes close."""
        self._things = {thing.name: thing for thing in things}
        self._resolved = {thing.name: (thing, Alias(thing.name)) for thing in things}
        self._by_shape: dict[str, list[tuple[T, Alias]]] = {}
        for thing in things:
            for other in thing.aliases:
                if other.shapes:
                    self._by_shape.setdefault(other.name, []).append((thing, other))
                    continue
                taken = self._resolved.setdefault(other.name, (thing, other))[0]
                if taken is not thing:
                    raise TypeError(f"{other.name!r} names both {taken.name} and {thing.name}")
        if lost := self._by_shape.keys() - self._resolved.keys():
            raise TypeError(f"{', '.join(lost)}: nothing that it usually means")
        self._folded: dict[str, list[str]] = {}
        for name in self._resolved:
            self._folded.setdefault(_fold(name), []).append(name)

    def __getitem__(self, name: str) -> T:
        return self._things[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._things)

    def __len__(self) -> int:
        return len(self._things)

    def resolve(self, name: str, path: Path = (), given: Mapping[str, object] = NOTHING_GIVEN) -> tuple[T, Mapping[str, object]]:
        """The thing of this name or alias, and the parameters the alias sets beside those given.

        An exact name first; then one of a library, with its prefix; then one that differs in case and hyphens only.
        UnknownName, with a suggestion, for one that is none of these or could be several.
        """
        thing, other = self.meanings(name, path)[0]
        return thing, other.sets(given)

    def meanings(self, name: str, path: Path = ()) -> Sequence[tuple[T, Alias]]:
        """What a name usually means, and after it what it means for arrays of some shapes; UnknownName as for `resolve`."""
        found = self._resolved.get(name)
        return [found, *self._by_shape.get(name, ())] if found else self._understood(name, path)

    def varies(self, name: str) -> bool:
        """Whether what a name means depends on the shapes of arrays."""
        return bool(self._by_shape) and name not in self._things and len(self._meanings_of(name)) > 1

    def _suggestion(self, name: str) -> str:
        """What is said of a name that is none: those that come close, one of each thing."""
        close: dict[str, str] = {}
        for other in meant(name, self._resolved, most=9):
            close.setdefault(self._resolved[other][0].name, other)
        return did_you_mean(self.noun, name, [*close.values()][:3] or self.usual)

    def find(
        self, name: str, given: Mapping[str, object] = NOTHING_GIVEN, shapes: Sequence[tuple[int, ...]] = ()
    ) -> tuple[T, Mapping[str, object]]:
        """What a name in an address means beside arrays of these shapes: NotFound, since it is the address that names nothing."""
        usual, *others = self._meanings_of(name)
        thing, other = next((meaning for meaning in others if meaning[1].fits(shapes)), usual)
        return thing, other.sets(given)

    def _meanings_of(self, name: str) -> Sequence[tuple[T, Alias]]:
        try:
            return self.meanings(name)
        except UnknownName as error:
            raise NotFound(error.detail) from None

    def _understood(self, name: str, path: Path) -> Sequence[tuple[T, Alias]]:
        """What is meant by a name that is not exactly any; with a library's prefix, what that library means by it."""
        library, plain = unprefixed(name)
        found = self._resolved.get(plain) or self._folded_to(plain, name, path)
        written = found[1].name if found else plain
        others = self._by_shape.get(written, [])
        calls = self._calls.get((library.name, written), []) if library else []
        if found and library is None:
            return [found, *others]
        if found and any(_alike(found, call) for call in calls):
            return [found, *(other for other in others if any(other[0] is thing for thing, _ in calls))]
        for thing, parameters in calls:
            # set in every call of the name, so what it means where nothing more is said
            if parameters is not None and all(
                other is thing and parameters.items() <= (more or parameters).items() for other, more in calls
            ):
                return [(thing, Alias(name, parameters))]
        known = {thing: parameters for thing, parameters in calls if parameters is not None}
        if found and len(known) == len(calls) and known.keys() == {found[0], *(thing for thing, _ in others)}:
            return [(thing, Alias(name, known[thing], shapes=other.shapes)) for thing, other in (found, *others)]
        if calls:
            meanings = [*dict.fromkeys(thing.name for thing, _ in calls)]
            message = f"{name[:80]!r} is not quite any {self.noun}: the catalogue says when {' or '.join(meanings[:3])} equals it"
        elif found and library and library.version and found[0].compared:
            message = (
                f"{name[:80]!r} has not been compared with any {self.noun}: without {library.name}, {written} is {found[0].name}"
            )
        elif found:
            return [found, *others]
        else:
            message = self._suggestion(plain)
        raise self._unknown(path, message)

    def _folded_to(self, plain: str, name: str, path: Path) -> tuple[T, Alias] | None:
        """The one that differs in case and hyphens only."""
        names = self._folded.get(_fold(plain), [])
        found = [self._resolved[other] for other in names]
        if any(not _alike(found[0], (thing, other.parameters)) for thing, other in found):
            raise self._unknown(path, f"{name[:80]!r} may mean {' or '.join(names)}: write it exactly")
        return found[0] if found else None

    def _unknown(self, path: Path, message: str) -> UnknownName:
        return UnknownName([Fault(path, f"unknown_{self.noun}", message)])

    @cached_property
    def _calls(self) -> Mapping[tuple[str, str], list[tuple[T, Mapping[str, object] | None]]]:
        """What each library calls by a name, with the parameters that it means; None for a multiple or a part of it."""
        calls: dict[tuple[str, str], list[tuple[T, Mapping[str, object] | None]]] = {}
        for thing in self.values():
            for equal in with_twins(thing.equals):
                meant = thing, equal.parameters if equal.is_plain else None
                known = calls.setdefault((equal.library.name, equal.function.rpartition(".")[2]), [])
                if meant not in known:
                    known.append(meant)
        return calls


def _alike(found: tuple[Declared, Alias], call: tuple[Declared, Mapping[str, object] | None]) -> bool:
    """Whether two names mean the same."""
    return found[0] is call[0] and found[1].parameters == call[1]


def _fold(name: str) -> str:
    return name.casefold().replace("-", "_").replace(" ", "_")


def did_you_mean(noun: str, name: str, known: Iterable[str]) -> str:
    """That there is no such name, and which ones come close, or which there are where these are few."""
    known = [*known]
    close = meant(name, known)
    hint = f" Did you mean {' or '.join(close)}?" if close else ""
    if not close and len(known) <= FEW:
        hint = f" There {'are' if len(known) > 1 else 'is'} {', '.join(known)}."
    return f"There is no {noun} named {name[:80]!r}.{hint}"


def registry(noun: str, kind: type[T], *modules: ModuleType) -> Registry[T]:
    """Every value of `kind` that the modules declare, in the order of modules and lines."""
    return Registry(noun, [value for module in modules for value in vars(module).values() if isinstance(value, kind)])
