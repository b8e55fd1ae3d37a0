"""A call: one thing that may be asked of the service, as a value. The list of calls is the only registration.

From it follow the routes, the OpenAPI document, what the guards know of a request, and the tests. A call's function is
written as FastAPI knows it: parameters in the path, the query and the head are marked by `Path`, `Query` and `Header`.
One that is not marked takes the request, checked; one of the type State takes what the service itself has, one of the type
Rest what else the query says, one of the type Caller who asks. A function that is a coroutine is awaited in the server itself:
it waits for others, and does nothing that takes time; its request is checked in a process of its lane.
"""

from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from inspect import Parameter, iscoroutinefunction, signature
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, TypeAlias

from pydantic import AfterValidator, BaseModel, Field

from app.serving.address import Address, Header, Rest, marker
from app.serving.pictures import THEME, Chart
from app.serving.state import State
from app.serving.wires import JSON, Check, Wire, check_model

if TYPE_CHECKING:
    from app.serving.pieces import Kind

Lane: TypeAlias = Literal["large", "training", "streams", "jobs"]
Scope: TypeAlias = Literal["open", "any", "evaluate", "train", "jobs", "metrics"]


class Caller(NamedTuple):
    """Who asks."""

    name: str
    """Of the key; nothing where keys are off."""
    scopes: tuple[str, ...] | None
    """What the key allows; None where keys are off."""


def _printable(key: str) -> str:
    if not (key.isascii() and key.isprintable()):
        raise ValueError("it should be printable characters of ASCII")
    return key


IdempotencyKey: TypeAlias = Annotated[
    Annotated[
        str,
        Field(min_length=1, max_length=255, json_schema_extra={"pattern": "^[ -~]+$"}),
        AfterValidator(_printable),  # which says what the pattern is
    ]
    | None,
    Header(description="The same request with the same one is not done a second time: the first answer comes again."),
]
IDEMPOTENCY_KEY = "idempotency_key"
"""What a run may be given, whose function need not know of it (idempotency.py)."""


class Stream(NamedTuple):
    """An answer of server-sent events: what a coroutine gives to be told as it happens."""

    events: AsyncGenerator[bytes]


class Operation(NamedTuple):
    """What is to be done with a body, and who does it: functions of modules, so that they can be sent to a process by name."""

    function: Callable[..., Any]
    request: str | None
    """The parameter that takes the request."""
    check: Check | None
    wire: Wire
    lane: Lane | None
    with_body: bool = True
    """Whether one that is awaited takes the bytes of its request too."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Call:
    """One call, with everything that is known about it."""

    method: Literal["GET", "POST", "DELETE"]
    path: str
    function: Callable[..., Any]
    summary: str
    tag: str = ""
    """The group in which it is documented; without one it is not in the document."""
    also: tuple[str, ...] = ()
    """Other paths that mean the same."""
    scope: Scope | None = None
    """What a key has to allow, where keys are asked for: "any" key will do, or the call is "open" without one. If nothing is
    said, it is open where it is a file of a page, which no document names, and any key will do elsewhere."""
    lane: Lane | None = None
    """Who does it: None, the server itself, here and now; "large", a process where the body is large or the work costly;
    "training", always a process, which tells of events where the client asks for them; "streams", the same while the body is
    still coming; "jobs", always a process, soon."""
    job: "Kind | None" = None
    """How it is done as a job, where it can be one."""
    status: int = 200
    """Of its success."""
    with_body: bool = True
    """Whether its function, where it is awaited, takes the bytes of the request beside what they were checked to be."""
    wire: Wire = JSON
    wires: Mapping[str, Wire] = field(default_factory=dict[str, Wire])
    """Further media types that its body may have, and how each travels."""
    streams: Mapping[str, Operation] = field(default_factory=dict[str, Operation])
    """Media types of bodies that have no end, perhaps, and what is done with each instead."""
    check: Check | None = None
    """(document, arguments, settings) -> the request; derived where the function's parameter is a Pydantic model."""
    picture: Chart | None = None
    """What is drawn of its answer, for who asks for a picture of it."""
    constant: bool = False
    """Whether the same address has the same answer as long as the service runs."""
    statuses: tuple[int, ...] = ()
    """What it may answer beside its success, for the document."""
    answer: Any = None
    """The type of its answer, where the function's annotation does not say it."""
    examples: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Requests that can be sent as they are."""
    document: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What else is documented, in OpenAPI's own words."""

    @property
    def name(self) -> str:
        """Its operation id: the verb."""
        return self.function.__name__

    @cached_property
    def label(self) -> str:
        """Its operation id, by which its requests are counted; the files of pages are counted together."""
        return self.name if self.tag else "other"

    @cached_property
    def needs(self) -> Scope:
        """What a key has to allow."""
        return self.scope or ("any" if self.tag else "open")

    @cached_property
    def parameters(self) -> Mapping[str, Parameter]:
        own = signature(self.function, eval_str=True).parameters
        key = Parameter(IDEMPOTENCY_KEY, Parameter.KEYWORD_ONLY, default=None, annotation=IdempotencyKey)
        return {**own, IDEMPOTENCY_KEY: key} if self.lane == "training" else own

    @cached_property
    def address(self) -> Address:
        return Address(self.parameters)

    @cached_property
    def state(self) -> str | None:
        """The parameter that takes what the service has."""
        return next((name for name, parameter in self.parameters.items() if parameter.annotation is State), None)

    @cached_property
    def rest(self) -> str | None:
        """The parameter that takes what the query says beyond those that are marked."""
        return next((name for name, parameter in self.parameters.items() if parameter.annotation is Rest), None)

    @cached_property
    def caller(self) -> str | None:
        """The parameter that takes who asks."""
        return next((name for name, parameter in self.parameters.items() if parameter.annotation is Caller), None)

    @cached_property
    def awaited(self) -> bool:
        """Whether its function waits for others."""
        return iscoroutinefunction(self.function)

    @cached_property
    def query(self) -> tuple[str, ...]:
        """The query parameters that it names."""
        return (*self.address.query, *((THEME,) if self.picture else ()))

    @cached_property
    def request(self) -> str | None:
        """The parameter that takes the checked request."""
        return next(
            (
                name
                for name, found in self.parameters.items()
                if not marker(found) and found.annotation not in (State, Rest, Caller)
            ),
            None,
        )

    @cached_property
    def model(self) -> type[BaseModel] | None:
        """The request's model, where it is one of Pydantic."""
        annotation = self.parameters[self.request].annotation if self.request else None
        return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None

    @property
    def job_check(self) -> Check:
        """How its request is checked, where it is a job."""
        assert self.job
        check = self.job.check or self.operation.check
        assert check
        return check

    @cached_property
    def operation(self) -> Operation:
        check = self.check or (check_model(self.model) if self.model else None)
        return Operation(self.function, self.request, check, self.wire, self.lane, self.with_body)

    def operation_of(self, fields: Mapping[bytes, bytes]) -> Operation:
        """What a request with these fields asks for: that of its media type, where it has one of its own."""
        given = fields.get(b"content-type")
        if given == b"application/json" or not given or not (self.wires or self.streams):
            return self.operation
        media_type = given.partition(b";")[0].strip().lower().decode("latin-1")
        if media_type in self.streams:
            return self.streams[media_type]
        return self.operation._replace(wire=self.wires.get(media_type, self.wire))
