"""Tensors of the Open Inference Protocol: JSON or bytes behind the JSON header, and how they lie in memory."""

import math
from collections.abc import Sequence
from typing import Annotated, Any, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from app.errors import InvalidArray, InvalidInput

DATATYPES: dict[str, np.dtype[Any]] = {
    "FP64": np.dtype("<f8"), "FP32": np.dtype("<f4"), "FP16": np.dtype("<f2"), "BOOL": np.dtype("?"),
    **{f"{sign}INT{bits}": np.dtype(f"<{kind}{bits // 8}") for sign, kind in (("", "i"), ("U", "u")) for bits in (8, 16, 32, 64)},
}  # fmt: skip
NAMES = {dtype: name for name, dtype in DATATYPES.items()}

MAX_AXES = 32
LONGEST_AXIS = 2**53
"""Beyond this a JSON number is no exact length; no body holds as much anyway."""


class Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", arbitrary_types_allowed=True)


class TensorParameters(Part):
    binary_data_size: Annotated[int, Field(ge=0)] | None = None
    binary_data: bool | None = None


class InputTensor(Part):
    """One array: its bytes stand behind the header where `binary_data_size` says so, else in `data`, nested or flat."""

    name: str
    datatype: str
    shape: Any
    parameters: TensorParameters = TensorParameters()
    data: Any = None


def read_tensors(inputs: Sequence[InputTensor], tail: memoryview) -> dict[str, NDArray[Any]]:
    """Every input as an array; binary ones are views of the bytes behind the header, in the order of the inputs."""
    arrays: dict[str, NDArray[Any]] = {}
    at = 0
    for each in inputs:
        if each.name in arrays:
            raise InvalidInput(f"the input {each.name[:80]!r} stands twice")
        size = each.parameters.binary_data_size
        if size is None:
            arrays[each.name] = _from_json(each)
        else:
            arrays[each.name] = _from_bytes(each, tail[at : at + size], size)
            at += size
    if at != len(tail):
        raise InvalidInput(f"{len(tail)} bytes stand behind the header, but the inputs account for {at}")
    return arrays


def _layout(tensor: InputTensor) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """Data type and shape, checked before anything of that size is made."""
    if tensor.datatype not in DATATYPES:
        raise InvalidArray(f"{tensor.name[:80]}: datatype {tensor.datatype[:20]!r} is not one of {', '.join(DATATYPES)}")
    lengths = cast(NDArray[Any], tensor.shape)
    if not isinstance(tensor.shape, np.ndarray) or lengths.ndim != 1 or lengths.size > MAX_AXES or not _whole(lengths).all():
        raise InvalidArray(f"{tensor.name[:80]}: shape must be a list of whole numbers of at least 1, and {MAX_AXES} at most")
    return DATATYPES[tensor.datatype], tuple(int(each) for each in lengths.tolist())


def _whole(lengths: NDArray[Any]) -> NDArray[np.bool_]:
    return (lengths >= 1) & (lengths <= LONGEST_AXIS) & (np.floor(lengths) == lengths)


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
    array = np.frombuffer(data, dtype=np.uint8 if dtype == np.bool_ else dtype).reshape(shape)
    return array != 0 if dtype == np.bool_ else array  # a bool that is neither 0 nor 1 is none


def _from_json(tensor: InputTensor) -> NDArray[Any]:
    dtype, shape = _layout(tensor)
    data = _flags(tensor.data) if dtype == np.bool_ else tensor.data
    if not isinstance(data, np.ndarray):
        raise InvalidArray(f"{tensor.name[:80]}: data must be an array of {tensor.datatype}, nested by rows or flat")
    values = cast(NDArray[Any], data)
    if values.size != math.prod(shape) or (values.ndim > 1 and values.shape != shape):
        raise InvalidArray(f"{tensor.name[:80]}: data of shape {values.shape} does not fill shape {shape}")
    if dtype.kind in "iuf":
        _check_range(tensor, values, dtype)
    return values.reshape(shape).astype(dtype, copy=False) if dtype.kind == "f" else values.reshape(shape)


def _flags(data: object) -> NDArray[np.bool_] | None:
    """Booleans in a list, or in lists of one length; None for anything else."""
    try:
        flags = np.array(data, dtype=object)
    except ValueError:  # ragged
        return None
    return flags.astype(np.bool_) if set(map(type, flags.flat)) == {bool} else None


def _check_range(tensor: InputTensor, values: NDArray[np.float64], dtype: np.dtype[Any]) -> None:
    """Numbers that the declared type does not hold are refused, not bent."""
    whole = dtype.kind in "iu"
    bounds: Any = np.iinfo(dtype) if whole else np.finfo(dtype)
    if values.min() < bounds.min or values.max() > bounds.max or (whole and not bool((np.floor(values) == values).all())):
        said = f"{'whole ' * whole}numbers from {bounds.min} to {bounds.max}"
        raise InvalidArray(f"{tensor.name[:80]}: {tensor.datatype} takes {said}")


def widened(array: NDArray[Any]) -> NDArray[Any]:
    """float32 and float64 are used as they lie; half precision, integers and booleans become float64."""
    return array if array.dtype.str in ("<f4", "<f8") else array.astype(np.float64)
