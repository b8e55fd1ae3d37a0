"""Tensors of the Open Inference Protocol: JSON or bytes behind the JSON header, and how they lie in memory."""

import math
from collections.abc import Sequence
from typing import Annotated, Any, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from app.errors import InvalidArray, InvalidInput
from app.losses.numerics.stable import Array
from app.wire.exact import flags, gapped

DATATYPES: dict[str, np.dtype[Any]] = {
    "FP64": np.dtype("<f8"),
    "FP32": np.dtype("<f4"),
    "FP16": np.dtype("<f2"),
    "BOOL": np.dtype("?"),
    **{f"{sign}INT{bits}": np.dtype(f"<{kind}{bits // 8}") for sign, kind in (("", "i"), ("U", "u")) for bits in (8, 16, 32, 64)},
}
NAMES = {dtype: name for name, dtype in DATATYPES.items()}

MAX_AXES = 32
LONGEST_AXIS = 2**53
"""Beyond this a JSON number is no exact length; no body holds as much anyway."""


class Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", arbitrary_types_allowed=True)


class TensorParameters(Part):
    binary_data_size: Annotated[int, Field(ge=0)] | None = None
    binary_data: bool | None = None


NO_PARAMETERS = TensorParameters()


def no_parameters() -> TensorParameters:
    """One for all: Pydantic takes as long to copy a default as to read a request."""
    return NO_PARAMETERS


class InputTensor(Part):
    """One array: its bytes stand behind the header where `binary_data_size` says so, else in `data`, nested or flat."""

    name: str
    datatype: str
    shape: Any
    parameters: TensorParameters = Field(default_factory=no_parameters)
    data: Any = None


def read_tensors(inputs: Sequence[InputTensor], tail: memoryview) -> dict[str, NDArray[Any]]:
    """Every input as an array; binary ones are views of the bytes behind the header, in the order of the inputs."""
    arrays: dict[str, NDArray[Any]] = {}
    start = 0
    for tensor in inputs:
        if tensor.name in arrays:
            raise InvalidInput(f"the input {tensor.name[:80]!r} stands twice")
        size = tensor.parameters.binary_data_size
        if size is None:
            arrays[tensor.name] = _from_json(tensor)
        else:
            arrays[tensor.name] = _from_bytes(tensor, tail[start : start + size], size)
            start += size
    if start != len(tail):
        raise InvalidInput(f"{len(tail)} bytes stand behind the header, but the inputs account for {start}")
    return arrays


def _layout(tensor: InputTensor) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """Data type and shape, checked before anything of that size is made."""
    dtype = DATATYPES.get(tensor.datatype)
    if dtype is None:
        raise InvalidArray(f"{tensor.name[:80]}: datatype {tensor.datatype[:20]!r} is not one of {', '.join(DATATYPES)}")
    shape = _whole(tensor.shape)
    if shape is None:
        raise InvalidArray(f"{tensor.name[:80]}: shape must be a list of whole numbers of at least 1, and {MAX_AXES} at most")
    return dtype, shape


def _whole(lengths: object) -> tuple[int, ...] | None:
    if not isinstance(lengths, np.ndarray) or lengths.ndim != 1 or lengths.size > MAX_AXES:
        return None
    numbers = cast(Array, lengths).tolist()
    shape = tuple(map(int, numbers))
    return shape if min(numbers) >= 1 and max(numbers) <= LONGEST_AXIS and [*shape] == numbers else None


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
    if dtype.kind == "b":  # one that is neither 0 nor 1 is none
        return np.frombuffer(data, dtype=np.uint8).reshape(shape) != 0
    return np.frombuffer(data, dtype=dtype).reshape(shape)


def _from_json(tensor: InputTensor) -> NDArray[Any]:
    dtype, shape = _layout(tensor)
    data = flags(tensor.data) if dtype.kind == "b" else tensor.data
    if dtype.kind == "f" and not isinstance(data, np.ndarray):  # null for a number that is missing, words for infinite ones
        data = gapped(data)
    if not isinstance(data, np.ndarray):
        raise InvalidArray(f"{tensor.name[:80]}: data must be an array of {tensor.datatype}, nested by rows or flat")
    values = cast(Array, data)
    if values.size != math.prod(shape) or (values.ndim > 1 and values.shape != shape):
        raise InvalidArray(f"{tensor.name[:80]}: data of shape {values.shape} does not fill shape {shape}")
    if dtype.kind in "iuf":
        _check_range(tensor, values, dtype)
    return values.reshape(shape).astype(dtype, copy=False) if dtype.kind == "f" else values.reshape(shape)


def _check_range(tensor: InputTensor, values: NDArray[Any], dtype: np.dtype[Any]) -> None:
    """Numbers that the declared type does not hold are refused, not bent."""
    whole = dtype.kind in "iu"
    bounds: Any = np.iinfo(dtype) if whole else np.finfo(dtype)
    if not whole:
        values = np.where(np.isfinite(values), values, 0.0)
    if values.min() < bounds.min or values.max() > bounds.max or (whole and not bool((np.floor(values) == values).all())):
        whole_or_not = "whole numbers" if whole else "numbers"
        raise InvalidArray(f"{tensor.name[:80]}: {tensor.datatype} takes {whole_or_not} from {bounds.min} to {bounds.max}")


def widened(array: NDArray[Any]) -> NDArray[Any]:
    """Numbers are used as they lie; booleans become float64."""
    return array if array.dtype.kind in "iuf" else array.astype(np.float64)
