"""Arrays as tensors of the inference protocol, and back: bytes, where JSON would spell out each number."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import numpy as np

from app.client.answers import Answer
from app.client.frames import array_of
from app.client.request import Request, plain

DATATYPES = {"float64": "FP64", "float32": "FP32", "float16": "FP16", "bool": "BOOL"} | {
    f"{sign}int{bits}": f"{sign.upper()}INT{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)
}


def tensors_of(arrays: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The arrays as tensors, where all of them are; of lists and words JSON says more when they are wrong."""
    given = {name: array for name, array in arrays.items() if array is not None}
    if any(isinstance(array, list | tuple | str | Mapping) or np.isscalar(array) for array in given.values()):
        return {}
    tensors = {name: array_of(array) for name, array in given.items()}
    return tensors if all(tensor.dtype.name in DATATYPES and tensor.ndim for tensor in tensors.values()) else {}


def infer(
    loss: str, tensors: Mapping[str, np.ndarray], parameters: Mapping[str, Any], outputs: Sequence[str] | None
) -> Request[Answer]:
    contents = [np.ascontiguousarray(tensor).astype(tensor.dtype.newbyteorder("<"), copy=False) for tensor in tensors.values()]
    header: dict[str, Any] = {
        "parameters": {name: plain(value) for name, value in parameters.items() if value is not None}
        | {"binary_data_output": True},
        "inputs": [
            {
                "name": name,
                "shape": content.shape,
                "datatype": DATATYPES[content.dtype.name],
                "parameters": {"binary_data_size": content.nbytes},
            }
            for name, content in zip(tensors, contents, strict=True)
        ],
    }
    if outputs is not None:
        header["outputs"] = [{"name": name} for name in outputs]
    head = json.dumps(header).encode()
    headers = {"content-type": "application/octet-stream", "inference-header-content-length": str(len(head))}
    body = b"".join((head, *(content.tobytes() for content in contents)))
    return Request("POST", f"/v2/models/{loss}/infer", _inferred, body=body, headers=headers)


def _inferred(response: httpx.Response) -> Answer:
    """The tensors of an answer, and what else its header says."""
    content = response.content
    length = int(response.headers.get("inference-header-content-length", len(content)))
    header, place = json.loads(content[:length]), length
    dtypes = {datatype: np.dtype(name).newbyteorder("<") for name, datatype in DATATYPES.items()}
    answer = Answer(header.get("parameters") or {})
    for output in header["outputs"]:
        dtype, shape = dtypes[output["datatype"]], output["shape"]
        size = output.get("parameters", {}).get("binary_data_size")
        if size is None:
            array = np.array(output["data"], dtype=dtype).reshape(shape)
        else:
            array = np.frombuffer(content, dtype, offset=place, count=size // dtype.itemsize).reshape(shape).copy()
            place += size
        answer._members[output["name"]] = array if array.size != 1 or output["name"] != "value" else float(array.ravel()[0])  # pyright: ignore[reportPrivateUsage]
    return answer
