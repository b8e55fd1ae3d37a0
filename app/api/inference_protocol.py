"""/v2: the Open Inference Protocol, for clients that the field already has. A model is a loss.

Inputs are `predictions` and `targets` (or the loss's named arrays), and optionally `sample_weight` and `mask`; outputs
are those of /v1/evaluate, an array for each of several named predictions (`gradient.<name>`). The request's parameters
are the loss's, `reduction`, `missing` and `non_finite_as`. Tensors come as JSON or, with the binary extension, as bytes
behind the JSON header; a float32 prediction gets float32 answers. https://github.com/kserve/open-inference-protocol
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, NamedTuple, cast, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, ValidationError

from app.api.specs import Listed, remembered, spec_of
from app.api.words import REDUCTIONS
from app.errors import Fault, InvalidInput, NotFound, UnknownName
from app.losses import NAMED, Composed, Loss
from app.losses.batch import AnyBatch, Missing
from app.losses.composed import DEEPEST
from app.losses.evaluate import Reduction
from app.losses.form import Bound, Sum
from app.losses.inputs import Input
from app.losses.outputs import AnyLoss, NonFiniteAs, arrays_by_name, in_words, outputs_of
from app.losses.sums import batch_of, evaluate
from app.registry import did_you_mean
from app.serving.address import Path
from app.serving.call import Call
from app.serving.content import Content, Piece
from app.serving.exchange import Exchange
from app.serving.problems import from_pydantic
from app.serving.state import State
from app.serving.usage import Usage, usage_of
from app.serving.wires import Wire
from app.settings import Settings
from app.suggestions import meant
from app.wire.faults import flags, listed
from app.wire.json import decode, encode
from app.wire.tensors import NAMES, InputTensor, Part, TensorParameters, no_parameters, read_tensors, widened

VERSION = "1"
HEADER_LENGTH = "inference-header-content-length"
ALIGNMENT = 64
"""The JSON header of a binary answer is padded to this, so that the tensors behind it can be used where they lie."""

SIDES = ("predictions", "targets", "sample_weight", "mask")
"""What a head may have an array for; the last two may also be one for all."""
CLIENT_PARAMETERS = frozenset(("binary_data_output", "sequence_id", "sequence_start", "sequence_end", "priority", "timeout"))
"""What clients say to a server about a request, and not about the model."""
MOST_SAID = 3
"""Arrays that no loss has are named, so many of them."""


def _known(name: str) -> str:
    NAMED.find(name)
    return name


def _served(version: str) -> str:
    if version != VERSION:
        raise NotFound(f"there is no version {version[:80]!r} of a model, only {VERSION}")
    return version


ModelName = Annotated[str, AfterValidator(_known), Path(description="The name of a loss, or an alias of it.", examples=["huber"])]
Version = Annotated[str, AfterValidator(_served), Path()]

REQUEST_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["inputs"],
                    "properties": {"inputs": {"type": "array", "items": {"type": "object"}}},
                },
                "example": {
                    "inputs": [
                        {"name": "predictions", "datatype": "FP64", "shape": [2], "data": [2.5, 0.0]},
                        {"name": "targets", "datatype": "FP64", "shape": [2], "data": [3.0, -0.5]},
                    ]
                },
            },
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}


class OutputChoice(Part):
    name: str
    parameters: TensorParameters = Field(default_factory=no_parameters)


class InferRequest(Part):
    id: str | None = None
    parameters: dict[str, Any] = Field(default_factory=dict[str, Any])
    inputs: Annotated[list[InputTensor], Listed]
    outputs: Annotated[list[OutputChoice] | None, Listed] = None


class Message(NamedTuple):
    """What a body holds: the protocol's request, and its tensors by name."""

    request: InferRequest
    tensors: dict[str, NDArray[Any]]


class Inference(NamedTuple):
    """A message as what it asks of a loss."""

    name: str
    """The model, by the name that the client has given it."""
    identity: str | None
    batch: AnyBatch
    reduction: Reduction
    wanted: Mapping[str, bool]
    """The outputs to answer, and whether each is binary."""
    non_finite_as: NonFiniteAs = "null"
    """How JSON says what is not finite; the bytes of a tensor are the number itself."""

    @property
    def cost(self) -> float:
        """Steps that the evaluation takes."""
        return self.batch.cost

    @property
    def usage(self) -> Usage:
        """What is counted of it."""
        return usage_of(self.batch, self.cost)


class Answer(NamedTuple):
    """The tensors that were asked for, and whether each is binary."""

    name: str
    identity: str | None
    tensors: Mapping[str, NDArray[Any]]
    binary: Mapping[str, bool]
    n_missing: int | None = None
    non_finite_as: NonFiniteAs = "null"
    warnings: Sequence[str] = ()


def read_message(body: bytes | memoryview, length: int | None, quick: bool) -> Message:
    """The message in a body whose JSON header has this length (None: it is all header)."""
    whole = memoryview(body)
    if length is not None and length > len(whole):
        raise InvalidInput(f"{HEADER_LENGTH} is {length}, but the body has only {len(whole)} bytes")
    split = len(whole) if length is None else length
    request = (
        _known_header(bytes(whole[:split]))
        if length is not None and length <= KNOWN_BYTES
        else _header(whole[:split], quick=quick)
    )
    return Message(request, read_tensors(request.inputs, whole[split:]))


def _header(header: bytes | memoryview, *, quick: bool = False) -> InferRequest:
    document = decode(header, quick=quick)
    try:
        return InferRequest.model_validate(document)
    except ValidationError as error:
        raise from_pydantic(error, document) from None


KNOWN_BYTES = 1024
_known_header = lru_cache(256)(_header)
"""Tensors of the same shapes have the same header, byte by byte."""


def checked(message: Message, arguments: Mapping[str, Any], settings: Settings) -> Inference:
    """The loss that a message asks for, and its batch; CallerError for everything that does not fit."""
    request, tensors = message
    name: str = arguments["name"]
    shapes = [tensors[key].shape for key in ("predictions", "targets", "labels") if key in tensors] if NAMED.varies(name) else []
    bound, reduction, missing, non_finite_as, has = _asked((name, request.parameters, shapes))
    if isinstance(bound, Sum) and bound.by_head:
        given: dict[str, Any] = _by_head(bound, tensors)
    else:
        mask = _mask(tensors.pop("mask", None))
        arrays = {key: widened(tensor) for key, tensor in tensors.items()}
        weights = arrays.pop("sample_weight", None)
        given = {**_sides(_reader(bound), arrays), "sample_weight": weights, "mask": mask}
    batch = batch_of(bound, **given, missing=missing)
    return Inference(name, request.id, batch, reduction, _wanted(request, bound.name, *has), non_finite_as)


def infer(request: Inference, name: ModelName, version: Version = VERSION) -> Answer:
    """Tensors in, tensors out; binary where the request says so."""
    batch, wanted = request.batch, request.wanted
    evaluation = evaluate(batch, reduction=request.reduction, outputs={name.partition(".")[0]: None for name in wanted})
    dtype = np.float32 if batch.arrays[0].dtype.itemsize == 4 else np.float64
    arrays = arrays_by_name(evaluation.outputs)
    tensors = {name: _tensor(arrays[name], dtype) for name in wanted}
    return Answer(request.name, request.identity, tensors, wanted, batch.n_missing, request.non_finite_as, batch.warnings)


# --- what the request says ----------------------------------------------------------------------------------------------


class Asked(NamedTuple):
    """A model under the parameters of a request, and what stands among these."""

    bound: Bound | Sum
    reduction: Reduction
    missing: Missing
    non_finite_as: NonFiniteAs
    outputs: tuple[Mapping[str, list[int]], tuple[str, ...]]
    """The tensors that it has, each with its shape, and those that are answered unasked."""


@remembered
def _asked(asked: tuple[str, dict[str, Any], Sequence[tuple[int, ...]]]) -> Asked:
    """A model under the parameters of a request, and what stands among these."""
    name, parameters, shapes = asked
    loss, preset = NAMED.find(name, parameters, shapes)
    given = {key: listed(value) for key, value in parameters.items() if key not in CLIENT_PARAMETERS}
    reduction = _reduction(given.pop("reduction", None) or "mean")
    missing = cast(Missing, _choice(given, "missing", get_args(Missing)))
    non_finite_as = cast(NonFiniteAs, _choice(given, "non_finite_as", get_args(NonFiniteAs)))
    bound = _bound(loss, {**preset, **given})
    evaluated = bound.loss if isinstance(bound, Bound) else bound
    return Asked(bound, reduction, missing, non_finite_as, (_outputs(evaluated), _defaults(evaluated)))


def _choice(given: dict[str, object], name: str, words: Sequence[str]) -> str:
    """One of these words, taken out of the parameters; the first where none is given."""
    chosen = given.pop(name, None)
    if chosen is None:
        return words[0]
    if chosen not in words:
        quoted = [f'"{word}"' for word in words]
        message = f"parameters.{name} must be {' or '.join(quoted)}"
        raise UnknownName([Fault(("parameters", name), "choice", message)])
    return cast(str, chosen)


def _reduction(value: object) -> Reduction:
    found = REDUCTIONS.get(value.casefold()) if isinstance(value, str) else None
    if found is None:
        known = dict.fromkeys(REDUCTIONS.values())
        raise UnknownName([Fault(("parameters", "reduction"), "reduction", did_you_mean("reduction", str(value), known))])
    return found


def _bound(loss: Loss | Composed, given: Mapping[str, object]) -> Bound | Sum:
    unknown = [key for key in given if key not in loss.parameters]
    if unknown:
        known = (*loss.parameters, "reduction")
        close = meant(unknown[0], known, most=1)
        hint = f"did you mean {close[0]}?" if close else f"it takes {', '.join(known)}"
        raise UnknownName(f"{loss.name} has no parameter {unknown[0][:80]!r}; {hint}")
    try:
        return spec_of(loss.name, given).bound
    except ValidationError as error:
        raise from_pydantic(error, {"name": loss.name, **given}) from None


def _mask(array: NDArray[Any] | None) -> NDArray[np.bool_] | None:
    return array if array is None or array.dtype == np.bool_ else flags(array, ("mask",))


def _reader(bound: Bound | Sum) -> Loss:
    """The loss that says what the inputs are: of terms, which read the same, the first."""
    return bound.loss if isinstance(bound, Bound) else _reader(bound.parts[0].loss)


def _by_head(bound: Sum, tensors: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """Tensors as objects by head: `predictions.boxes` is what the head "boxes" predicts."""
    given: dict[str, Any] = dict.fromkeys(SIDES)
    for name, tensor in tensors.items():
        side, *path = name.split(".", 2 * DEEPEST)
        if side not in SIDES or not (path or side in SIDES[2:]):
            example = f"predictions.{bound.parts[0].key}"
            raise InvalidInput(f"{bound.name} has no input {name[:80]!r}; its inputs are called as {example!r}")
        array = _mask(tensor) if side == "mask" else widened(tensor)
        inner = given
        for step, following in zip((side, *path), path, strict=False):
            if not isinstance(inner[step], dict):
                inner[step] = {}
            inner = inner[step]
            inner.setdefault(following, None)
        inner[(side, *path)[-1]] = array
    return given


def _sides(loss: Loss, arrays: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """Predictions and targets as `check` takes them: each an array, an object of named ones, or nothing."""
    sides: dict[str, Any] = {"predictions": None, "targets": None}
    for name, array in arrays.items():
        declared = loss.inputs.get(name) or _by_another_name(loss, name, arrays)
        sides[declared.side] = {**(sides[declared.side] or {}), name: array} if declared.named else array
    return sides


def _by_another_name(loss: Loss, name: str, arrays: Mapping[str, NDArray[Any]]) -> Input:
    """The input that `labels` are; InvalidInput, with the names of all arrays that the loss does not have, for any other."""
    named = {"labels"} if "targets" in loss.inputs and "targets" not in arrays else set[str]()
    if name in named:
        return loss.inputs["targets"]
    strange = [other for other in arrays if other not in loss.inputs and other not in named]
    raise InvalidInput("; ".join(_of_no_input(loss, other) for other in strange[:MOST_SAID]))


def _of_no_input(loss: Loss, name: str) -> str:
    if name == "labels" and "targets" in loss.inputs:
        return "labels is another name of targets, and both are there: send one of them"
    known = (*loss.inputs, "sample_weight", "mask")
    close = meant(name, known, most=1)
    hint = f"did you mean {close[0]}?" if close else f"it takes {', '.join(known[:-1])} and mask"
    return f"{loss.name} has no input {name[:80]!r}; {hint}"


# --- what the answer says -----------------------------------------------------------------------------------------------


def _outputs(loss: AnyLoss) -> Mapping[str, list[int]]:
    """The tensors that a loss may be asked for, each with its shape."""
    return {name: _axes(axes) or [1] for output in outputs_of(loss) for name, axes in output.arrays(loss).items()}


def _defaults(loss: AnyLoss) -> tuple[str, ...]:
    """What is answered where the request names no outputs."""
    return tuple(name for output in outputs_of(loss) if output.usual for name in output.arrays(loss))


def _wanted(request: InferRequest, loss: str, outputs: Mapping[str, list[int]], usual: tuple[str, ...]) -> dict[str, bool]:
    """The outputs to answer, those the request names or the usual, and whether each is binary: it or the request says so."""
    default = request.parameters.get("binary_data_output", False)
    if not isinstance(default, bool):
        raise InvalidInput("parameters.binary_data_output must be true or false")
    if not request.outputs:
        return dict.fromkeys(usual, default)
    for choice in request.outputs:
        if choice.name not in outputs:
            raise InvalidInput(f"{loss} has no output {choice.name[:80]!r}; it has {', '.join(outputs)}")
    own = {choice.name: choice.parameters.binary_data for choice in request.outputs}
    return {name: default if binary is None else binary for name, binary in own.items()}


def _tensor(output: Any, dtype: type[np.floating[Any]]) -> NDArray[Any]:
    """An output as a tensor, of one axis at least; what the reduction has no value for is undefined."""
    if dtype is np.float64:
        return np.ascontiguousarray(output, dtype)
    with np.errstate(over="ignore"):  # too large for single precision: infinite, as it would be when computed in it
        return np.ascontiguousarray(output, dtype)


def write_answer(answer: Answer, request: Inference) -> Content:
    """JSON, and behind it the bytes of the binary tensors."""
    outputs: list[dict[str, Any]] = []
    tail: list[Piece] = []
    for output, tensor in answer.tensors.items():
        entry: dict[str, Any] = {"name": output, "datatype": NAMES[tensor.dtype], "shape": tensor.shape}
        if answer.binary[output]:
            tail.append(tensor.data.cast("B"))
            entry["parameters"] = {"binary_data_size": tensor.nbytes}
        else:
            flat = tensor.reshape(-1)
            entry["data"] = in_words(flat) if answer.non_finite_as == "string" else flat
        outputs.append(entry)
    document: dict[str, Any] = {"model_name": answer.name, "model_version": VERSION, "outputs": outputs}
    parameters: dict[str, Any] = {} if answer.n_missing is None else {"n_missing": answer.n_missing}
    if answer.warnings:  # the protocol has no lists among its parameters
        parameters["warnings"] = "\n".join(answer.warnings)
    if parameters:
        document["parameters"] = parameters
    header = encode(document if answer.identity is None else {"id": answer.identity, **document})
    if not tail:
        return Content((header,))
    header += b" " * (-len(header) % ALIGNMENT)
    return Content((header, *tail), "application/octet-stream", ((HEADER_LENGTH.encode(), b"%d" % len(header)),))


def header_length(exchange: Exchange) -> int | None:
    """The length of the JSON header, where tensors stand behind it. The media type does not matter: clients send any."""
    given = exchange.fields.get(HEADER_LENGTH.encode())
    if given is None:
        return None
    if not given.isdigit() or len(given) >= 20:
        raise InvalidInput(f"{HEADER_LENGTH} must be a number of bytes; got {given[:40].decode('latin-1')!r}")
    return int(given)


TENSORS = Wire(header_length, read_message, write_answer)


# --- what else may be asked -----------------------------------------------------------------------------------------------


def server_metadata() -> dict[str, Any]:
    """Name, version and extensions of this server."""
    return {"name": "criterion", "version": VERSION, "extensions": ["binary_tensor_data"]}


def server_live() -> dict[str, bool]:
    """Answers 200 as long as the process can answer at all."""
    return {"live": True}


def server_ready(state: State) -> dict[str, bool]:
    """Answers 200 where requests can be taken, else 503."""
    state.check_ready()
    return {"ready": True}


def model_metadata(name: ModelName, version: Version = VERSION) -> dict[str, Any]:
    """Inputs and outputs of a loss. Shapes are written with -1 for every axis whose length is the caller's."""
    loss, _ = NAMED.find(name)
    if isinstance(loss, Loss):
        shapes = {key: _axes(input_.cases[0][1].axes[-1]) for key, input_ in loss.inputs.items()}
        results = _outputs(loss)
    else:  # whose arrays follow from its parameters
        shapes, results = {"predictions": [-1], "targets": [-1]}, {"value": [1], "per_sample": [-1], "gradient": [-1]}
    inputs = [{"name": key, "datatype": "FP64", "shape": shape} for key, shape in shapes.items()]
    outputs = [{"name": key, "datatype": "FP64", "shape": shape} for key, shape in results.items()]
    return {"name": name, "versions": [VERSION], "platform": "criterion", "inputs": inputs, "outputs": outputs}


def model_ready(name: ModelName, version: Version = VERSION) -> dict[str, Any]:
    """200 for every loss there is, 404 for any other name."""
    return {"name": name, "ready": True}


def _axes(axes: str) -> list[int]:
    return [-1 for axis in axes.split() if not axis.startswith("*")]


TAG = "inference protocol"
MODEL, VERSIONED = "/v2/models/{name}", "/v2/models/{name}/versions/{version}"

CALLS = (
    Call(method="GET", path="/v2", also=("/v2/",), function=server_metadata, summary="Describe the server", tag=TAG),
    Call(method="GET", path="/v2/health/live", function=server_live, summary="Is the server alive?", tag=TAG, scope="open"),
    Call(
        method="GET",
        path="/v2/health/ready",
        function=server_ready,
        summary="Is the server ready?",
        tag=TAG,
        scope="open",
        statuses=(503,),
    ),
    Call(
        method="GET",
        path=MODEL,
        also=(VERSIONED,),
        function=model_metadata,
        summary="Describe a model",
        tag=TAG,
        constant=True,
        statuses=(404,),
    ),
    Call(
        method="GET",
        path=f"{MODEL}/ready",
        also=(f"{VERSIONED}/ready",),
        function=model_ready,
        summary="Is a model ready?",
        tag=TAG,
        statuses=(404,),
    ),
    Call(
        method="POST",
        path=f"{MODEL}/infer",
        also=(f"{VERSIONED}/infer",),
        function=infer,
        summary="Evaluate a loss on tensors",
        tag=TAG,
        scope="evaluate",
        lane="large",
        wire=TENSORS,
        check=checked,
        statuses=(400, 404, 413, 503),
        document=REQUEST_BODY,
    ),
)
