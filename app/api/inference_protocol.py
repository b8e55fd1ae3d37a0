"""/v2: the Open Inference Protocol, for clients that the field already has. A model is a loss.

Inputs are `predictions` and `targets` (or the loss's named arrays), and optionally `sample_weight` and `mask`; outputs
`value`, `per_sample` and `gradient` (`gradient.<name>` where predictions are named). The request's parameters are the
loss's, and `reduction`. Tensors come as JSON or, with the binary extension, as bytes behind the JSON header; a float32
prediction gets float32 answers. https://github.com/kserve/open-inference-protocol
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, cast

import numpy as np
from fastapi import APIRouter, Path, Request, Response
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.api.arrays import decode, encode
from app.api.problems import STATUS, from_pydantic
from app.api.specs import LOSS_SPECS
from app.errors import CallerError, Fault, InvalidArray, InvalidInput, MalformedDocument, NotFound, UnknownName
from app.losses import LOSSES, Loss, check, evaluate
from app.losses.evaluate import Reduction
from app.registry import did_you_mean

VERSION = "1"
HEADER_LENGTH = "inference-header-content-length"
ALIGNMENT = 64
"""The JSON header of a binary answer is padded to this, so that the tensors behind it can be used where they lie."""

DATATYPES: dict[str, np.dtype[Any]] = {
    "FP64": np.dtype("<f8"), "FP32": np.dtype("<f4"), "FP16": np.dtype("<f2"), "BOOL": np.dtype("?"),
    **{f"{sign}INT{bits}": np.dtype(f"<{kind}{bits // 8}") for sign, kind in (("", "i"), ("U", "u")) for bits in (8, 16, 32, 64)},
}  # fmt: skip
NAMES = {dtype: name for name, dtype in DATATYPES.items()}

CLIENT_PARAMETERS = frozenset(("binary_data_output", "sequence_id", "sequence_start", "sequence_end", "priority", "timeout"))
"""What clients say to a server about a request, and not about the model."""


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", arbitrary_types_allowed=True)


class TensorParameters(_Part):
    binary_data_size: Annotated[int, Field(ge=0)] | None = None
    binary_data: bool | None = None


class InputTensor(_Part):
    """One array: its bytes stand behind the header where `binary_data_size` says so, else in `data`, nested or flat."""

    name: str
    datatype: str
    shape: Any
    parameters: TensorParameters = TensorParameters()
    data: Any = None


class OutputChoice(_Part):
    name: str
    parameters: TensorParameters = TensorParameters()


class InferRequest(_Part):
    id: str | None = None
    parameters: dict[str, Any] = {}
    inputs: list[InputTensor]
    outputs: list[OutputChoice] | None = None


@dataclass(frozen=True)
class Inference:
    """An answer: JSON, or a JSON header of this length with tensors behind it."""

    content: bytes
    header_length: int | None


def infer(name: str, body: bytes, header_length: int | None) -> Inference:
    """A loss evaluated as the protocol asks; CallerError for everything that is wrong with the request."""
    loss, preset = _model(name)
    request = _request(body if header_length is None else body[:header_length])
    arrays = _tensors(request.inputs, memoryview(body)[len(body) if header_length is None else header_length :])
    given = {key: _plain(value) for key, value in request.parameters.items() if key not in CLIENT_PARAMETERS}
    reduction = _reduction(given.pop("reduction", "mean"))
    parameters = _parameters(loss, {**preset, **given})
    wanted = _wanted(loss, request)
    batch = check(
        loss, parameters, _side(loss, arrays, "predictions"), _side(loss, arrays, "targets"),
        sample_weight=arrays.get("sample_weight"), mask=_mask(arrays.get("mask")),
    )  # fmt: skip
    evaluation = evaluate(batch, reduction=reduction, outputs=tuple({_kind(choice.name) for choice in wanted}))
    single = next(iter(batch.arrays)).dtype == np.float32
    outputs: dict[str, Any] = {"value": [evaluation.value], "per_sample": evaluation.per_sample, "gradient": evaluation.gradient}
    if isinstance(evaluation.gradient, Mapping):
        outputs |= {f"gradient.{key}": value for key, value in evaluation.gradient.items()}
    tensors = {choice.name: _answer(outputs[choice.name], single) for choice in wanted}
    return _encode(name, request, wanted, tensors)


# --- what the request says ----------------------------------------------------------------------------------------------


def _model(name: str, version: str = VERSION) -> tuple[Loss, Mapping[str, object]]:
    try:
        loss, preset = LOSSES.resolve(name)
    except UnknownName as error:
        raise NotFound(error.detail) from None
    if version != VERSION:
        raise NotFound(f"{name} has no version {version[:80]!r}, only {VERSION}")
    return loss, preset


def _request(header: bytes) -> InferRequest:
    try:
        return InferRequest.model_validate(decode(header))
    except ValidationError as error:
        raise from_pydantic(error) from None


def _plain(value: object) -> object:
    return cast(Any, value).tolist() if isinstance(value, np.ndarray) else value


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


def _tensors(inputs: Sequence[InputTensor], tail: memoryview) -> dict[str, NDArray[Any]]:
    """Every input as an array; binary ones are views of the bytes behind the header, in the order of the inputs."""
    arrays: dict[str, NDArray[Any]] = {}
    at = 0
    for each in inputs:
        if each.name in arrays:
            raise InvalidInput(f"the input {each.name[:80]!r} stands twice")
        size = each.parameters.binary_data_size
        if size is None:
            arrays[each.name] = _widened(_from_json(each))
        else:
            arrays[each.name] = _widened(_from_bytes(each, tail[at : at + size], size))
            at += size
    if at != len(tail):
        raise InvalidInput(f"{len(tail)} bytes stand behind the header, but the inputs account for {at}")
    return arrays


def _layout(tensor: InputTensor) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """Data type and shape, checked before anything of that size is made."""
    if tensor.datatype not in DATATYPES:
        raise InvalidArray(f"{tensor.name[:80]}: datatype {tensor.datatype[:20]!r} is not one of {', '.join(DATATYPES)}")
    shape = (
        [int(each) if float(each).is_integer() else each for each in _plain(tensor.shape)] if _is_shape(tensor.shape) else None
    )
    if shape is None or not all(isinstance(each, int) and 0 <= each < 2**63 for each in shape):
        raise InvalidArray(f"{tensor.name[:80]}: shape must be a list of whole numbers of at least 0")
    return DATATYPES[tensor.datatype], tuple(cast(list[int], shape))


def _is_shape(shape: object) -> bool:
    return isinstance(shape, np.ndarray) and cast(NDArray[Any], shape).ndim == 1


def _from_bytes(tensor: InputTensor, data: memoryview, size: int) -> NDArray[Any]:
    dtype, shape = _layout(tensor)
    expected = math.prod(shape) * dtype.itemsize
    if size != expected:
        raise InvalidArray(
            f"{tensor.name[:80]}: binary_data_size is {size}, but {tensor.datatype} of shape {shape} takes {expected} bytes"
        )
    if len(data) != size:
        raise InvalidArray(f"{tensor.name[:80]}: the body ends after {len(data)} of its {size} bytes")
    if tensor.data is not None:
        raise InvalidArray(f"{tensor.name[:80]} has both data and binary_data_size")
    return np.frombuffer(data, dtype=dtype).reshape(shape)


def _from_json(tensor: InputTensor) -> NDArray[Any]:
    dtype, shape = _layout(tensor)
    data = np.array(tensor.data) if tensor.datatype == "BOOL" and isinstance(tensor.data, list) else tensor.data
    if not isinstance(data, np.ndarray):
        raise InvalidArray(f"{tensor.name[:80]}: data must be an array of numbers, nested by rows or flat")
    values = cast(NDArray[Any], data)
    if values.size != math.prod(shape) or (values.ndim > 1 and values.shape != shape):
        raise InvalidArray(f"{tensor.name[:80]}: data of shape {values.shape} does not fill shape {shape}")
    if dtype.kind in "iu" and not bool((np.floor(values) == values).all()):
        raise InvalidArray(f"{tensor.name[:80]}: {tensor.datatype} takes whole numbers")
    return values.reshape(shape).astype(dtype, copy=False) if dtype.kind in "bf" else values.reshape(shape)


def _widened(array: NDArray[Any]) -> NDArray[Any]:
    """float32 and float64 are used as they lie; half precision and integers become float64, which holds them."""
    return array if array.dtype.kind == "b" or array.dtype in (np.float32, np.float64) else array.astype(np.float64)


def _mask(array: NDArray[Any] | None) -> NDArray[np.bool_] | None:
    if array is not None and array.dtype != np.bool_:
        raise InvalidArray("mask must have datatype BOOL")
    return array


def _side(loss: Loss, arrays: Mapping[str, NDArray[Any]], side: Literal["predictions", "targets"]) -> Any:
    """One side of the loss's inputs as `check` takes it."""
    known = {*loss.inputs, "sample_weight", "mask"}
    for name in arrays:
        if name not in known:
            raise InvalidInput(
                f"{loss.name} has no input {name[:80]!r}; it takes {', '.join(loss.inputs)}, sample_weight and mask"
            )
    names = [name for name, each in loss.inputs.items() if each.side == side and name in arrays]
    if any(loss.inputs[name].named for name in names):
        return {name: arrays[name] for name in names}
    return arrays[side] if names else None


# --- what the answer says -----------------------------------------------------------------------------------------------


def _outputs(loss: Loss) -> list[str]:
    named = [f"gradient.{name}" for name, each in loss.inputs.items() if each.side == "predictions" and each.named]
    return ["value", "per_sample", *((named or ["gradient"]) if loss.differentiable else [])]


def _kind(name: str) -> Any:
    return name.partition(".")[0]


def _wanted(loss: Loss, request: InferRequest) -> list[OutputChoice]:
    """The outputs to answer: those the request names, or all; each binary where it or the request says so."""
    default = bool(request.parameters.get("binary_data_output"))
    chosen = request.outputs or [OutputChoice(name=name) for name in _outputs(loss)]
    for choice in chosen:
        if choice.name not in _outputs(loss):
            raise InvalidInput(f"{loss.name} has no output {choice.name[:80]!r}; it has {', '.join(_outputs(loss))}")
        if choice.parameters.binary_data is None:
            choice.parameters.binary_data = default
    return chosen


def _answer(output: Any, single: bool) -> NDArray[Any]:
    return np.ascontiguousarray(output, dtype=np.float32 if single else np.float64)


def _encode(name: str, request: InferRequest, wanted: Sequence[OutputChoice], tensors: Mapping[str, NDArray[Any]]) -> Inference:
    outputs: list[dict[str, Any]] = []
    tail: list[memoryview] = []
    for choice in wanted:
        tensor = tensors[choice.name]
        entry = {"name": choice.name, "datatype": NAMES[tensor.dtype], "shape": list(tensor.shape)}
        if choice.parameters.binary_data:
            tail.append(tensor.reshape(-1).view(np.uint8).data)
            outputs.append({**entry, "parameters": {"binary_data_size": tensor.nbytes}})
        else:
            outputs.append({**entry, "data": tensor.reshape(-1)})
    answer: dict[str, Any] = {"model_name": name, "model_version": VERSION, "outputs": outputs}
    header = encode({"id": request.id, **answer} if request.id is not None else answer)
    if not tail:
        return Inference(header, None)
    header += b" " * (-len(header) % ALIGNMENT)
    return Inference(b"".join((header, *tail)), len(header))
