"""/v2: the Open Inference Protocol, for clients that the field already has. A model is a loss.

Inputs are `predictions` and `targets` (or the loss's named arrays), and optionally `sample_weight` and `mask`; outputs
`value`, `per_sample` and `gradient` (`gradient.<name>` where predictions are named). The request's parameters are the
loss's, and `reduction`. Tensors come as JSON or, with the binary extension, as bytes behind the JSON header; a float32
prediction gets float32 answers. https://github.com/kserve/open-inference-protocol
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from functools import cache
from types import MappingProxyType
from typing import Annotated, Any, TypeAlias

import numpy as np
from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, ValidationError

from app.api.route import run
from app.api.specs import LOSS_SPECS
from app.errors import CallerError, Fault, InvalidArray, InvalidInput, NotFound, StillArriving, Unavailable, UnknownName
from app.losses import LOSSES, Loss, check, evaluate
from app.losses.evaluate import Evaluation, Reduction
from app.registry import did_you_mean
from app.serving.bodies import Refusal, read_body
from app.serving.problems import from_pydantic, status_of
from app.settings import Settings
from app.wire.faults import listed
from app.wire.json import decode, encode
from app.wire.tensors import NAMES, InputTensor, Part, TensorParameters, no_parameters, read_tensors, widened

VERSION = "1"
HEADER_LENGTH = "inference-header-content-length"
ALIGNMENT = 64
"""The JSON header of a binary answer is padded to this, so that the tensors behind it can be used where they lie."""

CLIENT_PARAMETERS = frozenset(("binary_data_output", "sequence_id", "sequence_start", "sequence_end", "priority", "timeout"))
"""What clients say to a server about a request, and not about the model."""


REQUEST_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["inputs"],
                    "properties": {"inputs": {"type": "array", "items": {"type": "object"}}},
                }
            },
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}


class OutputChoice(Part):
    name: str
    parameters: TensorParameters = Field(default_factory=no_parameters)


Listed = BeforeValidator(listed)


class InferRequest(Part):
    id: str | None = None
    parameters: dict[str, Any] = Field(default_factory=dict[str, Any])
    inputs: Annotated[list[InputTensor], Listed]
    outputs: Annotated[list[OutputChoice] | None, Listed] = None


Pieces: TypeAlias = list[bytes | memoryview]
"""A body in parts: the JSON header, and the tensors as they lie."""


def infer(body: bytes | memoryview, name: str, header_length: int | None) -> tuple[int | None, Pieces]:
    """A loss evaluated as the protocol asks: the length of the JSON header where tensors stand behind it, and the answer."""
    loss, preset = model(name)
    whole = memoryview(body)
    split = len(whole) if header_length is None else header_length
    request = _request(whole[:split])
    arrays = read_tensors(request.inputs, whole[split:])
    mask = _mask(arrays.pop("mask", None))
    arrays = {key: widened(tensor) for key, tensor in arrays.items()}
    given = {key: listed(value) for key, value in request.parameters.items() if key not in CLIENT_PARAMETERS}
    reduction = _reduction(given.pop("reduction", "mean"))
    parameters = _parameters(loss, {**preset, **given}) if given else _preset(name)
    wanted = _wanted(loss, request)
    weights = arrays.pop("sample_weight", None)
    predictions, targets = _sides(loss, arrays)
    batch = check(loss, parameters, predictions, targets, sample_weight=weights, mask=mask)
    evaluation = evaluate(batch, reduction=reduction, outputs=tuple({_kind(output) for output in wanted}))
    dtype = np.dtype(np.float32 if batch.arrays[0].itemsize == 4 else np.float64)
    outputs = {output: _tensor(_output(evaluation, output), dtype) for output in wanted}
    return _encode(name, request.id, outputs, wanted)


def infer_whole(body: bytes | memoryview, name: str, header_length: int | None) -> tuple[int | None, bytes]:
    """The same, the answer in one piece."""
    header, pieces = infer(body, name, header_length)
    return header, b"".join(pieces)


# --- what the request says ----------------------------------------------------------------------------------------------


def model(name: str, version: str = VERSION) -> tuple[Loss, Mapping[str, object]]:
    loss, preset = LOSSES.find(name)
    if version != VERSION:
        raise NotFound(f"{name} has no version {version[:80]!r}, only {VERSION}")
    return loss, preset


def _request(header: bytes | memoryview) -> InferRequest:
    try:
        return InferRequest.model_validate(decode(header))
    except ValidationError as error:
        raise from_pydantic(error) from None


def _reduction(value: object) -> Reduction:
    known: tuple[Reduction, ...] = ("mean", "sum", "mean_over_samples", "none")
    if value not in known:
        raise UnknownName([Fault("/parameters/reduction", "reduction", did_you_mean("reduction", str(value), known))])
    return value


def _parameters(loss: Loss, given: Mapping[str, object]) -> dict[str, Any]:
    unknown = [key for key in given if key not in loss.parameters]
    if unknown:
        takes = ", ".join((*loss.parameters, "reduction"))
        raise UnknownName(f"{loss.name} has no parameter {unknown[0][:80]!r}; it takes {takes}")
    try:
        return LOSS_SPECS[loss.name].model_validate({"name": loss.name, **given}).parameters
    except ValidationError as error:
        raise from_pydantic(error) from None


@cache
def _preset(name: str) -> Mapping[str, Any]:
    """The parameters of a model that is given none."""
    return MappingProxyType(_parameters(*model(name)))


def _mask(array: NDArray[Any] | None) -> NDArray[np.bool_] | None:
    if array is not None and array.dtype != np.bool_:
        raise InvalidArray("mask must have datatype BOOL")
    return array


def _sides(loss: Loss, arrays: Mapping[str, NDArray[Any]]) -> tuple[Any, Any]:
    """Predictions and targets as `check` takes them: each an array, an object of named ones, or nothing."""
    sides: dict[str, Any] = {"predictions": None, "targets": None}
    for name, declared in loss.inputs.items():
        if name in arrays and declared.named:
            sides[declared.side] = {**(sides[declared.side] or {}), name: arrays[name]}
        elif name in arrays:
            sides[declared.side] = arrays[name]
    for name in arrays:
        if name not in loss.inputs:
            raise InvalidInput(
                f"{loss.name} has no input {name[:80]!r}; it takes {', '.join(loss.inputs)}, sample_weight and mask"
            )
    return sides["predictions"], sides["targets"]


# --- what the answer says -----------------------------------------------------------------------------------------------


@cache
def _outputs(loss: Loss) -> tuple[str, ...]:
    named = [f"gradient.{name}" for name, each in loss.inputs.items() if each.side == "predictions" and each.named]
    return ("value", "per_sample", *((named or ["gradient"]) if loss.differentiable else []))


def _kind(name: str) -> Any:
    return name.partition(".")[0]


def _wanted(loss: Loss, request: InferRequest) -> dict[str, bool]:
    """The outputs to answer, those the request names or all, and whether each is binary: it or the request says so."""
    default = request.parameters.get("binary_data_output", False)
    if not isinstance(default, bool):
        raise InvalidInput("parameters.binary_data_output must be true or false")
    outputs = _outputs(loss)
    if not request.outputs:
        return dict.fromkeys(outputs, default)
    for choice in request.outputs:
        if choice.name not in outputs:
            raise InvalidInput(f"{loss.name} has no output {choice.name[:80]!r}; it has {', '.join(outputs)}")
    own = {choice.name: choice.parameters.binary_data for choice in request.outputs}
    return {name: default if binary is None else binary for name, binary in own.items()}


def _output(evaluation: Evaluation, name: str) -> Any:
    kind, _, part = name.partition(".")
    if kind == "value":
        return [evaluation.value]
    output: Any = getattr(evaluation, kind)
    return output[part] if part else output


def _tensor(output: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    if dtype.itemsize == 8:
        return np.ascontiguousarray(output, dtype)
    with np.errstate(over="ignore"):  # too large for single precision: infinite, as it would be when computed in it
        return np.ascontiguousarray(output, dtype)


def _encode(
    name: str, identity: str | None, tensors: Mapping[str, NDArray[Any]], binary: Mapping[str, bool]
) -> tuple[int | None, Pieces]:
    outputs: list[dict[str, Any]] = []
    tail: Pieces = []
    for output, tensor in tensors.items():
        entry: dict[str, Any] = {"name": output, "datatype": NAMES[tensor.dtype], "shape": tensor.shape}
        if binary[output]:
            tail.append(tensor.data.cast("B"))
            entry["parameters"] = {"binary_data_size": tensor.nbytes}
        else:
            entry["data"] = tensor.reshape(-1)
        outputs.append(entry)
    answer: dict[str, Any] = {"model_name": name, "model_version": VERSION, "outputs": outputs}
    header = encode(answer if identity is None else {"id": identity, **answer})
    if not tail:
        return None, [header]
    header += b" " * (-len(header) % ALIGNMENT)
    return len(header), [header, *tail]


# --- routes -------------------------------------------------------------------------------------------------------------


class ProtocolRoute(APIRoute):
    """Answers errors as the protocol's clients read them: {"error": "..."}."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def protocol_handler(request: Request) -> Response:
            try:
                return await handler(request)
            except CallerError as error:
                status = status_of(error)
                answer = _json({"error": error.detail}, 400 if status == 422 else status)
                return Refusal(answer.body, status, media_type=answer.media_type) if isinstance(error, StillArriving) else answer
            except Unavailable as error:
                return _json({"error": str(error)}, 503, {"retry-after": "1"})

        return protocol_handler


ERROR = {"application/json": {"schema": {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}}}

router = APIRouter(
    prefix="/v2", tags=["inference protocol"], route_class=ProtocolRoute,
    responses={"4XX": {"description": "What is wrong with the request.", "content": ERROR}},
)  # fmt: skip


def _json(answer: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(encode(answer), status, headers, media_type="application/json")


@router.get("", summary="Describe the server")
@router.get("/", include_in_schema=False)
async def server() -> Response:
    """Name, version and extensions of this server."""
    return _json({"name": "criterion", "version": VERSION, "extensions": ["binary_tensor_data"]})


@router.get("/health/live", summary="Is the server alive?")
async def live() -> Response:
    """Answers 200 as long as the process can answer at all."""
    return _json({"live": True})


@router.get("/health/ready", summary="Is the server ready?")
async def ready() -> Response:
    """Answers 200 once every loss is loaded."""
    return _json({"ready": True})


@router.get("/models/{name}", summary="Describe a model")
@router.get("/models/{name}/versions/{version}", include_in_schema=False)
async def metadata(name: str, version: str = VERSION) -> Response:
    """Inputs and outputs of a loss. Shapes are written with -1 for every axis whose length is the caller's."""
    loss, _ = model(name, version)
    inputs = [{"name": key, "datatype": "FP64", "shape": _axes(each.cases[0][1].axes[-1])} for key, each in loss.inputs.items()]
    outputs = [{"name": key, "datatype": "FP64", "shape": _shape_of_output(loss, key)} for key in _outputs(loss)]
    return _json({"name": name, "versions": [VERSION], "platform": "criterion", "inputs": inputs, "outputs": outputs})


@router.get("/models/{name}/ready", summary="Is a model ready?")
@router.get("/models/{name}/versions/{version}/ready", include_in_schema=False)
async def model_ready(name: str, version: str = VERSION) -> Response:
    """200 for every loss there is, 404 for any other name."""
    model(name, version)
    return _json({"name": name, "ready": True})


@router.post("/models/{name}/infer", summary="Evaluate a loss on tensors", openapi_extra=REQUEST_BODY)
@router.post("/models/{name}/versions/{version}/infer", include_in_schema=False)
async def infer_model(request: Request, name: str, version: str = VERSION) -> Response:
    """Tensors in, tensors out; binary where the request says so."""
    model(name, version)
    body = await read_body(request)
    length = _header_length(request, sum(map(len, body)))
    header, content = await _run(request, body, name, length)
    if header is None:
        return Response(content, media_type="application/json")
    return Response(content, media_type="application/octet-stream", headers={HEADER_LENGTH: str(header)})


@router.api_route("/{path:path}", methods=["GET", "POST"], include_in_schema=False)
async def nothing(path: str) -> Response:
    raise NotFound(f"there is no /v2/{path[:200]}")


async def _run(request: Request, body: list[bytes], name: str, length: int | None) -> tuple[int | None, bytes]:
    """`infer` where it holds nobody up: tensors that stay bytes leave the interpreter lock alone, so that a thread will do."""
    settings: Settings = request.app.state.settings
    if length is not None and length < settings.large_body_bytes <= sum(map(len, body)):
        loss, _ = model(name)
        wanted = _wanted(loss, _request(_head(body, length)))
        if all(wanted.values()):
            return await asyncio.to_thread(lambda: infer_whole(b"".join(body), name, length))
    return await run(request, infer_whole, body, name, length)


def _head(body: list[bytes], length: int) -> bytes:
    head = bytearray()
    for chunk in body:
        if len(head) >= length:
            break
        head += chunk
    return bytes(head[:length])


def _header_length(request: Request, size: int) -> int | None:
    given = request.headers.get(HEADER_LENGTH)
    if given is None:
        return None
    if not (given.isascii() and given.isdigit() and len(given) < 20 and int(given) <= size):
        raise InvalidInput(f"{HEADER_LENGTH} must be a number of bytes, at most the {size} of the body; got {given[:40]!r}")
    return int(given)


def _axes(axes: str) -> list[int]:
    return [-1 for _ in axes.replace(" *d", "").split()]


def _shape_of_output(loss: Loss, name: str) -> list[int]:
    if name == "value":
        return [1]
    if name == "per_sample":
        return [-1]
    source = name.partition(".")[2] or "predictions"
    return _axes(loss.inputs[source].cases[0][1].axes[-1])
