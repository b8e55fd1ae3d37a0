"""Registry -> Pydantic: the union of everything a request may name, one model each, with its parameters."""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from functools import cached_property, lru_cache, wraps
from types import UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Concatenate,
    Literal,
    NamedTuple,
    ParamSpec,
    TypeAlias,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    Tag,
    TypeAdapter,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    create_model,
)
from pydantic_core import CoreSchema, ErrorDetails, InitErrorDetails, PydanticCustomError, core_schema
from typing_extensions import Doc, TypeAliasType

from app.api.words import OneOrMore, Part
from app.errors import MAX_FAULTS, CallerError, Fault, InvalidInput, InvalidParameter, Path, UnknownName
from app.losses import COMPOSED, LOSSES, NAMED, Composed, Loss
from app.losses.composed import DEEPEST, MOST_LOSSES
from app.losses.form import Bound, Sum, bind
from app.losses.parameters import Per
from app.registry import Alias, Declared, Registry
from app.serving.unknown import Belongs
from app.suggestions import translated
from app.training import METRICS
from app.wire.faults import listed
from app.wire.faults import name as name_of
from app.wire.json import decode, encode

PIECE = 1000
REMEMBERED, REMEMBERED_BYTES = 256, 512
"""Values of each kind that are remembered, and how long the longest of them are."""
P = ParamSpec("P")
T = TypeVar("T")


def _in_pieces(value: object, validate: ValidatorFunctionWrapHandler) -> Any:
    """A list, looked at piece by piece up to the first with something wrong: an error takes a hundred times its element."""
    items = listed(value)
    if isinstance(items, list):
        for end in range(PIECE, len(cast(list[object], items)), PIECE):
            try:
                validate(items[end - PIECE : end])
            except ValidationError:
                return validate(items[:end])  # which says the same, and where
    return validate(items)


Listed = WrapValidator(_in_pieces)
"""What wants a Python list: of numbers it was decoded as an array, of other things not built at all."""


class Spec(Part):
    """A name and the parameters of what it names."""

    model_config = ConfigDict(frozen=True)

    name: str

    @property
    def given(self) -> dict[str, Any]:
        return {name: self.__dict__[name] for name in type(self).model_fields if name != "name"}


def _shape(array: object) -> tuple[int, ...]:
    """The shape of an array, or of a list of names or of sets of these; () of what is none."""
    if isinstance(array, np.ndarray):
        return cast("NDArray[Any]", array).shape
    return (len(cast(list[object], array)),) if isinstance(array, list) else ()


class BoundSpec(Spec):
    """The same for a loss: what follows from its parameters is found out once."""

    others: ClassVar[Sequence[tuple[Alias, "BoundSpec"]]] = ()
    """What its name means beside arrays of other shapes."""

    @property
    def varies(self) -> bool:
        """Whether its name, or one within it, means something else beside arrays of other shapes."""
        return bool(self.others)

    def beside(self, *arrays: object) -> "BoundSpec":
        """The loss that its name means beside these arrays."""
        if not self.others:  # as for nearly all names
            return self
        shapes = [*map(_shape, arrays)]
        return next((spec for other, spec in self.others if other.fits(shapes)), self)

    @cached_property
    def bound(self) -> Bound | Sum:
        return bind(LOSSES[self.name], self.given)

    @property
    def single(self) -> Bound:
        """The same; InvalidParameter for a sum of losses."""
        bound = self.bound
        if isinstance(bound, Sum):
            message = f"this takes single losses, and a {bound.name} is several: send them one by one, or as one expression"
            raise InvalidParameter([Fault(("parameters",), "does_not_fit", message)])
        return bound

    @cached_property
    def document(self) -> dict[str, Any]:
        """The loss with every parameter, as an answer shows it."""
        return {"name": self.name, **LOSSES[self.name].defaults, **self.given}


class Member(Part):
    """What stands in a list or an object of a composed loss: a loss, and what it counts."""

    made: ClassVar[type]
    """What the loss takes for it."""


class ComposedSpec(BoundSpec):
    """The same for a loss that is made of others, or at run time."""

    written: ClassVar[object] = None
    """As it was written, where names in it mean something else beside arrays of other shapes."""

    @property
    def varies(self) -> bool:
        return self.written is not None

    def beside(self, *arrays: object) -> BoundSpec:
        if self.written is None:
            return self
        return LOSS_SPECS[self.name].model_validate(_Expansion(NAMED, arrays).whole(self.written, ())[0][1])  # pyright: ignore[reportReturnType]

    @cached_property
    def bound(self) -> Bound | Sum:
        faults: list[Fault] = []
        given = {name: _bound(value, (name,), faults) for name, value in self.given.items()}
        if faults:
            raise InvalidParameter(faults)
        return COMPOSED[self.name](**given)

    @cached_property
    def document(self) -> dict[str, Any]:
        return {"name": self.name, **{name: _shown(value) for name, value in self.given.items()}}


def _bound(value: Any, path: Path, faults: list[Fault]) -> Any:
    """A parameter with losses in it as what a composed loss takes; what is wrong with one is added where it stands."""
    if isinstance(value, BoundSpec):
        try:
            return value.bound
        except CallerError as error:
            faults += error.moved({("parameters",): ("parameters", *path)}).faults
            return None
    if isinstance(value, Member):
        return value.made(**{name: _bound(getattr(value, name), (*path, name), faults) for name in type(value).model_fields})
    if isinstance(value, list):
        return [_bound(item, (*path, index), faults) for index, item in enumerate(cast(list[Any], value))]
    if isinstance(value, dict):
        return {name: _bound(item, (*path, name), faults) for name, item in cast(dict[str, Any], value).items()}
    return value


def _shown(value: Any) -> Any:
    """A parameter as an answer shows it."""
    if isinstance(value, BoundSpec):
        return value.document
    if isinstance(value, Member):
        shown = {name: _shown(getattr(value, name)) for name in type(value).model_fields}
        return {name: item for name, item in shown.items() if item is not None}
    if isinstance(value, list):
        return [_shown(item) for item in cast(list[Any], value)]
    return {name: _shown(item) for name, item in cast(dict[str, Any], value).items()} if isinstance(value, dict) else value


def spec(declared: Declared) -> type[Spec]:
    """The model of what is declared: its name, and its parameters as the function's signature declares them."""
    fields: dict[str, Any] = {"name": (Literal[declared.name], Field(json_schema_extra={"default": declared.name}))}
    fields |= {name: _field(parameter) for name, parameter in declared.parameters.items()}
    of_loss = isinstance(declared, Loss | Composed)
    kind = "" if of_loss else type(declared).__name__  # a model and a schedule may have one name
    base = BoundSpec if isinstance(declared, Loss) else ComposedSpec if of_loss else Spec
    return create_model(_camel(declared.name) + kind, __base__=base, __doc__=declared.summary, **fields)


def parameter_schemas(model: type[Spec]) -> dict[str, Any]:
    """JSON Schema of each parameter of a model; losses within it are those of the document."""
    schema = model.model_json_schema(ref_template="/openapi.json#/components/schemas/{model}")
    of_itself = schema.get("$defs", {}).get(model.__name__, schema)  # where a loss may stand within it
    schemas: dict[str, dict[str, Any]] = of_itself["properties"]
    return {
        name: {key: value for key, value in schema.items() if key != "title"}
        for name, schema in schemas.items()
        if name != "name"
    }


class Specs(Mapping[str, type[Spec]]):
    """The models of what a registry has, or of what other such mappings have made of it already.

    Each is made when it is first asked for: few of them ever are by one process, and all take longer than the rest of its start.
    """

    def __init__(self, registry: Registry[Any], *made: Mapping[str, type[Spec]]) -> None:
        self._registry, self._made, self._own = registry, made, dict[str, type[Spec]]()

    def __getitem__(self, name: str) -> type[Spec]:
        for models in (self._own, *self._made):
            if name in models:
                return models[name]
        return self._own.setdefault(name, spec(self._registry[name]))

    def __contains__(self, name: object) -> bool:
        return name in self._registry

    def __iter__(self) -> Iterator[str]:
        return iter(self._registry)

    def __len__(self) -> int:
        return len(self._registry)


class OneOf:
    """Marks a value that is an object of one of these models: of the one that has its `name`, which is known by then, or of
    the one for an object without a name.

    In the document a bare name stands beside the objects. What is validated has been expanded before. The tags tell the
    objects apart by themselves: with an OpenAPI discriminator, which is for objects alone, Java's generator would write of a
    class for the name that it does not make.
    """

    def __init__(self, noun: str, models: Mapping[str, type[Spec]], unnamed: type[Part] | None = None) -> None:
        self.models, self.unnamed = models, unnamed
        self.bare = {"type": "string", "description": f"The name of a {noun}, or an alias of it."}
        self._within = False

    def validate(self, value: Any) -> Part:
        """The model of the value; its errors are told as a union of models tells them: under the name of the member."""
        if self.unnamed and "name" not in value:
            return self.unnamed.model_validate(value)
        name: str = value["name"]
        try:
            return self.models[name].model_validate(value)
        except ValidationError as error:
            raise ValidationError.from_exception_data(error.title, [_under(name, detail) for detail in error.errors()]) from None

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.validate)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        if self._within:  # a loss within a loss: its component is being written
            return {}
        self._within = True
        try:
            members = (*([self.unnamed] if self.unnamed else []), *self.models.values())
            within = TypeAdapter(cast(Any, tuple)[members]).core_schema  # by itself a model would be written out
            return {"oneOf": [*handler(within)["prefixItems"], self.bare]}
        finally:
            self._within = False


PYDANTICS_OWN = frozenset(get_args(core_schema.ErrorType))


def _under(name: str, detail: ErrorDetails) -> InitErrorDetails:
    ctx = detail.get("ctx", {})
    kind = detail["type"] if detail["type"] in PYDANTICS_OWN else PydanticCustomError(*cast(Any, (detail["type"], detail["msg"])))
    return InitErrorDetails(type=kind, loc=(name, *detail["loc"]), input=detail["input"], ctx=ctx)


def named(component: str, noun: str, models: Mapping[str, type[Spec]], unnamed: type[Part] | None = None) -> Any:
    """The models as one type: one component of the document, wherever it stands."""
    return TypeAliasType(component, Annotated[Part, OneOf(noun, models, unnamed)])  # pyright: ignore[reportGeneralTypeIssues]


@dataclass(frozen=True, eq=False)
class OfRegistry:
    """Marks a field that names a thing of a registry, and says what belongs to that."""

    registry: Registry[Any]
    field: str
    default: str | None = None
    """What is taken where nothing is given."""

    def place_of(self, key: str, value: object) -> Belongs | None:
        given = cast(dict[str, object], value).get("name") if isinstance(value, dict) else value
        name = self.default if given is None else given
        if not isinstance(name, str):
            return None
        try:
            declared: Declared = self.registry.resolve(name)[0]
        except UnknownName:
            return None
        if parameter := translated(key, declared.parameters):
            words = f"is {'' if parameter == key else f'{parameter}, '}a parameter of {declared.name}"
            return Belongs(words, (self.field, parameter), name)
        if isinstance(declared, Loss) and key in declared.inputs:
            side = declared.inputs[key].side
            return Belongs(f"is one of the {side} of {declared.name}", (side, key))
        return None


def remembered(decide: Callable[Concatenate[Any, P], T]) -> Callable[Concatenate[Any, P], T]:
    """The same function of a value of JSON, for which it is asked again and again: by its text, which tells 1 from true."""
    known: dict[bytes, T] = {}

    @wraps(decide)
    def recalled(value: Any, *context: P.args, **more: P.kwargs) -> T:
        try:
            text = encode(value)
        except TypeError:  # a list that is none of numbers: it will be refused
            return decide(value, *context, **more)
        if b"null" in text:  # which may have been an infinity
            return decide(value, *context, **more)
        found = known.get(text)
        if found is None:
            found = decide(value, *context, **more)
            if len(text) <= REMEMBERED_BYTES:
                if len(known) >= REMEMBERED:
                    known.clear()
                known[text] = found
        return found

    return recalled


class Meanings(NamedTuple):
    """What is written for a thing, as the object with its name, and what else that means."""

    usual: dict[str, object]
    others: Sequence[tuple[Alias, dict[str, object]]] = ()
    """What its name means beside arrays of other shapes."""
    written: object = None
    """As it is written, where names within it mean something else beside arrays of other shapes."""


def _meanings(value: object, registry: Registry[Any], path: Path) -> Meanings:
    expansion = _Expansion(registry)
    (_, usual), *others = expansion.whole(value, path)
    return Meanings(usual, others, value if expansion.varies else None)


def _validated(meanings: Meanings, validate: ValidatorFunctionWrapHandler) -> Any:
    """The model of what a name usually means, with the others that have these parameters; of one of those where it has not."""
    specs: list[tuple[Alias, Any]] = []
    for other, document in meanings.others:
        with suppress(ValidationError):
            specs.append((other, validate(document)))
    try:
        spec = validate(meanings.usual)
    except ValidationError:
        if len(specs) != 1:
            raise
        return specs[0][1]
    if specs:
        vars(spec)["others"] = specs
    if meanings.written is not None:
        vars(spec)["written"] = meanings.written
    return spec


def expanded(either: Any, registry: Registry[Any], default: str | None = None, field: str | None = None) -> Any:
    """The type, for which a bare string or an alias stands for the object it means; under a field that is called as it is."""
    name = field or registry.noun

    @remembered
    def expand_and_validate(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
        return _validated(_meanings(value, registry, (name,)), validate)

    return Annotated[either, WrapValidator(expand_and_validate), OfRegistry(registry, name, default)]


def list_of(either: Any, registry: Registry[Any], field: str) -> Any:
    """A list of the type, under this field of the request, whether it was decoded or left unbuilt."""

    def expand(items: object) -> object:
        if not isinstance(items, list):
            return items
        found: list[Meanings] = []
        faults: list[Fault] = []
        for index, item in enumerate(cast(list[object], items)):
            try:
                found.append(_meanings(item, registry, (field, index)))
            except (UnknownName, InvalidInput) as error:
                faults += error.faults
                if len(faults) >= MAX_FAULTS:  # to find what each was meant to be takes milliseconds
                    break
        if faults:
            raise _of_names(faults)
        return found

    return Annotated[list[Annotated[either, WrapValidator(_validated)]], BeforeValidator(expand), Listed]


def expander(registry: Registry[Any], path: Path) -> Callable[[object], dict[str, object]]:
    """From a name, an alias or an object with either to the object with the name; CallerError under the path.

    The losses that another one is made of are expanded with it.
    """
    return lambda value: _Expansion(registry).whole(value, path)[0][1]


class _Expansion:
    """Names within a loss, and what they mean beside arrays of the shapes that these have."""

    def __init__(self, registry: Registry[Any], arrays: Sequence[Any] = ()) -> None:
        self.registry, self.arrays = registry, arrays
        self.count = 0
        self.varies = False
        """Whether shapes decide what one of the losses within is."""
        self.faults: list[Fault] = []
        """What is wrong with the losses within."""
        self.bare = 0
        """How many things stand where an object with a loss should."""

    def whole(self, value: object, path: Path) -> Sequence[tuple[Alias, dict[str, object]]]:
        """The object that a name or an alias stands for, with what else it means beside arrays of other shapes."""
        meanings = _meant(value, self.registry, path)
        if meanings[0][1]["name"] not in COMPOSED or self.registry is not NAMED:
            return meanings
        document = self.composed(meanings[0][1], path, 1, self.arrays)
        if self.faults:
            raise _of_names(self.faults)
        return [(meanings[0][0], document)]

    def composed(self, document: dict[str, Any], path: Path, deep: int, arrays: Sequence[Any]) -> dict[str, Any]:
        """A composed loss with the losses in it."""
        known = COMPOSED[document["name"]].parameters
        return {
            name: self.within(name, item, (*path, name), deep, arrays) if name in known else item
            for name, item in document.items()
        }

    def within(self, name: str, value: Any, path: Path, deep: int, arrays: Sequence[Any]) -> Any:
        """What stands under a name in a composed loss."""
        if name == "loss":
            return self.inner(value, path, deep, arrays)

        def member(key: str | int, item: Any) -> Any:
            members: dict[str, Any] = cast(dict[str, Any], item) if isinstance(item, dict) else {}
            if "loss" not in members:
                self.bare += 1
                if self.bare <= MAX_FAULTS:
                    self.faults += _bare((*path, key), cast(Any, item), self.registry)
                return cast(Any, item)
            own = arrays if isinstance(key, int) else [_of_head(array, key) for array in arrays]
            return {**members, "loss": self.inner(members["loss"], (*path, key, "loss"), deep, own)}

        items: Any = cast(Any, value) if isinstance(value, np.ndarray) else listed(value)
        if isinstance(items, list):
            return [member(index, item) for index, item in enumerate(cast(list[Any], items))]
        return {key: member(key, item) for key, item in cast(dict[str, Any], items).items()} if isinstance(items, dict) else items

    def inner(self, value: object, path: Path, deep: int, arrays: Sequence[Any]) -> dict[str, Any]:
        """A loss within another."""
        self.count += 1
        if deep >= DEEPEST:
            raise InvalidInput([Fault(path, "limit", f"losses stand within each other at most {DEEPEST} deep")])
        if self.count > MOST_LOSSES:
            raise InvalidInput([Fault(path, "limit", f"a loss is made of at most {MOST_LOSSES} others")])
        if len(self.faults) >= MAX_FAULTS:
            return {}
        try:
            (_, usual), *others = _meant(value, self.registry, path)
        except (UnknownName, InvalidInput) as error:
            self.faults += error.faults
            return {}
        self.varies |= bool(others)
        shapes = [*map(_shape, arrays)] if others else []
        document = next((document for other, document in others if other.fits(shapes)), usual)
        return self.composed(document, path, deep + 1, arrays) if document["name"] in COMPOSED else document


def _of_names(faults: Sequence[Fault]) -> UnknownName | InvalidInput:
    """What is wrong with names of things, as one error."""
    return (UnknownName if all(fault.code.startswith("unknown_") for fault in faults) else InvalidInput)(faults)


def _bare(path: Path, item: object, registry: Registry[Any]) -> Iterator[Fault]:
    """What is said of the name of a loss where an object with a loss should stand."""
    with suppress(CallerError):
        if isinstance(item, str) and registry.resolve(item):
            yield Fault(path, "type", f'{name_of(path)} must be an object with a loss: {{"loss": "{item[:80]}"}}')


def _of_head(array: object, head: str) -> object:
    return cast(Mapping[str, object], array).get(head) if isinstance(array, Mapping) else None


def _meant(value: object, registry: Registry[Any], path: Path) -> Sequence[tuple[Alias, dict[str, object]]]:
    """The same, with what else the name means beside arrays of other shapes."""
    given = {"name": value} if isinstance(value, str) else value
    if not isinstance(given, dict):
        message = f"{name_of(path) or registry.noun} must be a name or an object with a name"
        raise InvalidInput([Fault(path, "type", message + _sum_of(value, registry))])
    document = cast(dict[str, object], given)
    if "name" not in document:
        message = f"{name_of(path) or registry.noun}.name is missing{_unnamed(document, registry)}"
        raise InvalidInput([Fault((*path, "name"), "missing", message)])
    name = document["name"]
    if not isinstance(name, str):
        raise InvalidInput([Fault((*path, "name"), "type", f"{name_of(path) or registry.noun}.name must be a string")])
    try:
        meanings = registry.meanings(name, (*path, "name") if isinstance(value, dict) else path)
    except UnknownName as error:
        raise _with_way_out(error, name) if registry is NAMED else error from None
    return [(other, {**other.sets(document), **document, "name": declared.name}) for declared, other in meanings]


def _with_way_out(error: UnknownName, name: str) -> UnknownName:
    """The same error, with what a name of a metric is; of one that is like no loss, where losses are found by what they do."""
    try:
        hint = f"{METRICS.resolve(name)[0].name} is a metric, which a run takes in metrics."
    except UnknownName:
        if not error.detail.endswith(repr(name[:80]) + "."):
            return error
        hint = "GET /v1/losses?search= finds losses by what they do."
    return UnknownName([replace(fault, message=f"{fault.message} {hint}") for fault in error.faults])


def _unnamed(document: Mapping[str, object], registry: Registry[Any]) -> str:
    """How what an object without a name probably means is asked for: the loss of an expression, or a sum of losses."""
    if registry is NAMED and {"formula", "expression", "value"} & document.keys():
        return ': a loss of your own is {"name": "expression", "value": "abs(p - y)"}'
    return _sum_of([*document], registry)


def _sum_of(names: object, registry: Registry[Any]) -> str:
    """How several losses are asked for as one, where these are some."""
    if registry is not NAMED or not isinstance(names, list) or not names:
        return ""
    try:
        first = registry.resolve(str(cast(list[object], names)[0]))[0].name
    except CallerError:
        return ""
    return f': several are {{"name": "weighted_sum", "terms": [{{"loss": "{first}", "weight": 1}}, ...]}}'


def _field(parameter: inspect.Parameter) -> Any:
    base, *metadata = get_args(parameter.annotation) or (parameter.annotation,)
    if parameter.annotation is base or not hasattr(parameter.annotation, "__metadata__"):
        base, metadata = parameter.annotation, []
    base = _by_kind(_modelled(base))
    doc = next((mark.documentation for mark in metadata if isinstance(mark, Doc)), None)
    bounds = [mark for mark in metadata if not isinstance(mark, Doc)]
    default = ... if parameter.default is inspect.Parameter.empty else parameter.default
    sizes = (OneOrMore,) if get_origin(base) is list and not any(isinstance(mark, Per) for mark in metadata) else ()
    return Annotated[(base, *bounds, Listed, *sizes)], Field(default=default, description=doc)


class _AnyOf:
    """In the document, members of a union that are told apart by what kind of value they are stand beside each other."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": handler(schema)["oneOf"]}


def _by_kind(annotation: Any) -> Any:
    """A union with lists or objects in it as one of which a value is told only what is wrong with its own kind."""
    members = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else ()
    kinds = [KINDS.get(get_origin(member) or member, "number") for member in members]
    if not {"list", "object"} & {*kinds} or len({*kinds} - {"null"}) < 2:
        return annotation
    words = [str(word) for member in members if get_origin(member) is Literal for word in get_args(member)]

    def kind_of(value: object) -> str | None:
        kind = "number" if type(value) in (int, float) else KINDS.get(type(value))
        if kind == "word" and value not in words and NUMBER.fullmatch(str(value)):
            kind = "number"  # as an address has it; where it is none, the number says so
        return None if kind not in kinds or (kind == "word" and value not in words) else kind

    told = {
        "number": "a number",
        "list": "a list of numbers",
        "object": "an object by name",
        "word": " or ".join(map(repr, words)),
    }
    *most, last = (told[kind] for kind in kinds if kind in told)
    rule = f"{', '.join(most)}{',' * (len(most) > 1)} or {last}"
    tagged = [Annotated[member, Tag(kind)] for member, kind in zip(members, kinds, strict=True)]
    either = cast(Any, Union)[tuple(tagged)]
    return Annotated[either, Discriminator(kind_of, "kind", f"Input should be {rule}"), _AnyOf()]


NUMBER = re.compile(r"[+-]?[0-9]*\.?[0-9]+([eE][+-]?[0-9]+)?")
KINDS: Mapping[Any, str] = {list: "list", dict: "object", Mapping: "object", Literal: "word", str: "word", type(None): "null"}
"""The kinds of value that a parameter may be, by its type in Python; all others are numbers."""


def _modelled(annotation: Any) -> Any:
    """The annotation of a parameter as the type of a field: a loss and what stands beside it are models."""
    if annotation == Bound | Sum:
        return Annotated[EitherLoss, OfRegistry(NAMED, "loss")]
    if is_dataclass(annotation):
        return _member(annotation)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in CONTAINERS:
        inner = tuple(map(_modelled, arguments))
        return CONTAINERS[origin][inner]
    return annotation


CONTAINERS: Mapping[Any, Any] = {Mapping: dict, Sequence: list}


@lru_cache(16)
def _member(declared: type) -> type[Member]:
    """The model of one that stands in a list or an object."""
    hints = get_type_hints(declared, include_extras=True)
    described = {
        field.name: inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in fields(declared)
    }
    model = create_model(
        declared.__name__,
        __base__=Member,
        __doc__=declared.__doc__,
        **{name: _field(about) for name, about in described.items()},
    )
    model.made = declared
    return model


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def spec_of(name: str, given: Mapping[str, Any], *, strict: bool | None = None) -> BoundSpec:
    """The model of a loss with these parameters, where lists and objects may be JSON text; CallerError, or ValidationError."""
    document: Any = {"name": name, **given}
    if name in COMPOSED:
        document = _Expansion(NAMED).whole({key: _of_text(value) for key, value in document.items()}, ())[0][1]
    return cast(BoundSpec, LOSS_SPECS[name].model_validate(document, strict=strict))


def _of_text(value: object) -> object:
    return decode(b'{"value":%b}' % value.encode())["value"] if isinstance(value, str) and value[:1] in ("[", "{") else value


LOSS_SPECS = Specs(NAMED)

if TYPE_CHECKING:
    EitherLoss: TypeAlias = Spec  # what all members of the union have in common
    LossSpec: TypeAlias = BoundSpec
else:
    EitherLoss = named("Loss", "loss", LOSS_SPECS)
    LossSpec = expanded(EitherLoss, NAMED)
