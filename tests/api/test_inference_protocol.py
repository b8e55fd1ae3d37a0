"""The Open Inference Protocol over a real server: tensors in JSON and in bytes, and everything that is refused."""

import gzip
import itertools
import json
import tracemalloc
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from app.api.inference_protocol import checked, read_message
from app.errors import CallerError
from app.losses import LOSSES
from app.losses.outputs import OUTPUTS, outputs_of
from app.settings import Settings
from tests.api.problem import strictly
from tests.conftest import SERVER_LIMIT, Server
from tests.folding import in_turn

Numbers = NDArray[Any]
LENGTH = "Inference-Header-Content-Length"

TYPES: dict[str, Any] = {
    "FP64": "<f8",
    "FP32": "<f4",
    "FP16": "<f2",
    "BOOL": "?",
    "INT8": "<i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "UINT8": "<u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
}
NAMES = {np.dtype(dtype): name for name, dtype in TYPES.items()}

PREDICTIONS = np.array([0.5, 2.0, -1.25, 3.0])
TARGETS = np.array([0.0, 2.5, 1.0, 3.0])


def inferred(body: bytes, length: int | None) -> object:
    """What a body asks of a loss; CallerError where it asks for nothing that there is."""
    return checked(read_message(body, length, False), {"name": "mean_squared_error", "version": "1"}, Settings())


# --- a client -----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Message:
    """A request's body and headers."""

    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


def in_json(name: str, array: Numbers, *, flat: bool = False) -> dict[str, Any]:
    data = array.reshape(-1) if flat else array
    return {"name": name, "datatype": NAMES[array.dtype], "shape": list(array.shape), "data": data.tolist()}


def in_bytes(name: str, array: Numbers) -> tuple[dict[str, Any], bytes]:
    described = {"name": name, "datatype": NAMES[array.dtype], "shape": list(array.shape)}
    return {**described, "parameters": {"binary_data_size": array.nbytes}}, array.tobytes()


def json_message(inputs: list[dict[str, Any]], **more: Any) -> Message:
    return Message(json.dumps({"inputs": inputs, **more}).encode())


def binary_message(arrays: Mapping[str, Numbers], also: list[dict[str, Any]] | None = None, **more: Any) -> Message:
    """These arrays as bytes behind the header, and `also` as they are within it."""
    written = [in_bytes(name, array) for name, array in arrays.items()]
    header = json.dumps({"inputs": [*(entry for entry, _ in written), *(also or [])], **more}).encode()
    return Message(header + b"".join(data for _, data in written), {LENGTH: str(len(header))})


@dataclass(frozen=True)
class Answer:
    header: dict[str, Any]
    tensors: dict[str, Numbers]
    binary: set[str]


def read(response: httpx.Response) -> Answer:
    """An answer as the protocol's clients read it."""
    assert response.status_code == 200, response.text[:500]
    content, length = response.content, response.headers.get(LENGTH)
    assert response.headers["content-type"] == ("application/json" if length is None else "application/octet-stream")
    if length is not None:
        assert int(length) % 64 == 0
    split = len(content) if length is None else int(length)
    header, start = strictly(content[:split].decode()), split
    tensors: dict[str, Numbers] = {}
    for output in header["outputs"]:
        dtype = np.dtype(TYPES[output["datatype"]])
        if "parameters" in output:
            assert "data" not in output
            size = output["parameters"]["binary_data_size"]
            tensors[output["name"]] = np.frombuffer(content[start : start + size], dtype).reshape(output["shape"])
            start += size
        else:
            tensors[output["name"]] = np.array(output["data"], dtype).reshape(output["shape"])
    assert start == len(content)
    return Answer(header, tensors, {output["name"] for output in header["outputs"] if "parameters" in output})


@pytest.fixture(scope="module")
def caller(server: Server) -> Iterator[httpx.Client]:
    with server.client() as caller:
        yield caller


def send(caller: httpx.Client, model: str, message: Message, **headers: str) -> httpx.Response:
    return caller.post(f"/v2/models/{model}/infer", content=message.body, headers={**message.headers, **headers})


def evaluated(caller: httpx.Client, **request: Any) -> dict[str, Any]:
    answer = caller.post("/v1/evaluate", json=request)
    assert answer.status_code == 200, answer.text
    return answer.json()


def mse(**arrays: Numbers) -> dict[str, Numbers]:
    return {"predictions": PREDICTIONS, "targets": TARGETS, **arrays}


# --- the server and its models --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v2", "/v2/"])
def test_server_describes_itself(caller: httpx.Client, path: str) -> None:
    answer = caller.get(path)
    assert answer.status_code == 200
    assert answer.json() == {"name": "criterion", "version": "1", "extensions": ["binary_tensor_data"]}


@pytest.mark.parametrize(
    "path",
    [
        "/v2/health/live",
        "/v2/health/ready",
        "/v2/models/mean_squared_error/ready",
        "/v2/models/CrossEntropyLoss/ready",
        "/v2/models/mean_squared_error/versions/1/ready",
    ],
)
def test_health_is_200(caller: httpx.Client, path: str) -> None:
    assert caller.get(path).status_code == 200
    assert caller.head(path).status_code == 200


@pytest.mark.parametrize("path", ["/v2/models/huber", "/v2/models/huber/versions/1"])
def test_model_describes_itself(caller: httpx.Client, path: str) -> None:
    assert caller.get(path).json() == {
        "name": "huber",
        "versions": ["1"],
        "platform": "criterion",
        "inputs": [
            {"name": "predictions", "datatype": "FP64", "shape": [-1]},
            {"name": "targets", "datatype": "FP64", "shape": [-1]},
        ],
        "outputs": [
            {"name": "value", "datatype": "FP64", "shape": [1]},
            {"name": "per_sample", "datatype": "FP64", "shape": [-1]},
            {"name": "per_element", "datatype": "FP64", "shape": [-1]},
            {"name": "gradient", "datatype": "FP64", "shape": [-1]},
            {"name": "hessian_diagonal", "datatype": "FP64", "shape": [-1]},
        ],
    }


@in_turn("loss", LOSSES)
def test_every_loss_is_a_model(caller: httpx.Client, loss: str) -> None:
    answer = caller.get(f"/v2/models/{loss}")
    assert answer.status_code == 200
    document = answer.json()
    assert [tensor["name"] for tensor in document["inputs"]] == list(LOSSES[loss].inputs)
    names = [name for output in outputs_of(LOSSES[loss]) for name in output.arrays(LOSSES[loss])]
    assert [output["name"] for output in document["outputs"]] == names
    assert caller.get(f"/v2/models/{loss}/ready").status_code == 200


def example_inputs(caller: httpx.Client, loss: str) -> tuple[dict[str, Any], dict[str, Numbers]]:
    """The catalogue's example request of a loss, and its arrays as tensors."""
    request = caller.get(f"/v1/losses/{loss}").json()["example_request"]
    arrays: dict[str, Numbers] = {}
    for side in ("predictions", "targets"):
        given = request.get(side)
        named = given if isinstance(given, dict) else {} if given is None else {side: given}
        arrays |= {name: np.array(array, dtype=np.float64) for name, array in named.items()}
    return request, arrays


@pytest.mark.no_cover  # others run these lines as well
@in_turn("loss", LOSSES)
@pytest.mark.parametrize("binary", [False, True], ids=["JSON", "bytes"])
def test_every_model_answers_what_evaluate_answers(caller: httpx.Client, loss: str, binary: bool) -> None:
    request, arrays = example_inputs(caller, loss)
    given = request["loss"] if isinstance(request["loss"], dict) else {}
    parameters = {name: value for name, value in given.items() if name != "name"} | {"binary_data_output": binary}
    message = (
        binary_message(arrays, parameters=parameters)
        if binary
        else json_message([in_json(name, array) for name, array in arrays.items()], parameters=parameters)
    )
    answer = read(send(caller, loss, message))
    described = caller.get(f"/v2/models/{loss}").json()
    unasked = [output for output in described["outputs"] if OUTPUTS[output["name"].partition(".")[0]].usual]
    assert [*answer.tensors] == [output["name"] for output in unasked]
    assert answer.binary == (set(answer.tensors) if binary else set())
    for output in unasked:
        assert answer.tensors[output["name"]].ndim >= len(output["shape"])
    assert_same(answer, evaluated(caller, **{**request, "reduction": "mean"}))


def assert_same(answer: Answer, expected: dict[str, Any]) -> None:
    """The very numbers of /v1."""
    assert answer.tensors["value"].tolist() == [expected["value"]]
    assert answer.tensors["per_sample"].tolist() == expected["per_sample"]
    gradient = expected["gradient"]
    if gradient is not None:
        named = (
            {f"gradient.{name}": array for name, array in gradient.items()}
            if isinstance(gradient, dict)
            else {"gradient": gradient}
        )
        assert {name: answer.tensors[name].tolist() for name in named} == named


@pytest.mark.parametrize(
    "path",
    [
        "/v2/models/no_such_loss",
        "/v2/models/no_such_loss/ready",
        "/v2/models/no_such_loss/versions/1",
        "/v2/models/mean_squared_error/versions/2",
        "/v2/models/mean_squared_error/versions/2/ready",
        "/v2/models/mean_squared_error/versions/one",
        "/v2/models",
        "/v2/nothing",
        "/v2/models/a/b/c/d",
        "/v2/models/%00",
        "/v2/models/" + "x" * 3000,
        "/v2/models/mean_squared_error/",
    ],
)
def test_what_there_is_not_is_404(caller: httpx.Client, path: str) -> None:
    assert error_of(caller.get(path), 404)


def test_inference_of_what_there_is_not_is_404(caller: httpx.Client) -> None:
    message = binary_message(mse())
    assert "mean_squared_error" in error_of(send(caller, "mean_sqared_error", message), 404)
    assert "version" in error_of(send(caller, "mean_squared_error/versions/2", message), 404)
    assert error_of(caller.post("/v2/models/mse/explain", content=b"{}"), 404)
    assert read(send(caller, "mean_squared_error/versions/1", message)).header["model_version"] == "1"


def error_of(response: httpx.Response, status: int) -> str:
    assert response.status_code == status, response.text[:500]
    assert response.headers["content-type"] == "application/json"
    assert len(response.content) < 3000
    body = strictly(response.text)
    assert body.keys() == {"error"}
    assert isinstance(body["error"], str)
    assert body["error"]
    assert '"exception"' not in body["error"]
    return body["error"]


# --- inference ----------------------------------------------------------------------------------------------------------------

MATRIX = np.array([[0.5, 2.0, -1.0], [1.0, 0.25, 0.125]])


@pytest.mark.parametrize("flat", [False, True], ids=["nested", "flat"])
def test_json_data_may_be_nested_or_flat(caller: httpx.Client, flat: bool) -> None:
    other = np.zeros((2, 3))
    answer = read(send(caller, "mse", json_message([in_json("predictions", MATRIX, flat=flat), in_json("targets", other)])))
    assert answer.header.keys() == {"model_name", "model_version", "outputs"}
    assert answer.header["model_name"] == "mse"
    assert answer.tensors["gradient"].shape == (2, 3)
    assert_same(answer, evaluated(caller, loss="mse", predictions=MATRIX.tolist(), targets=other.tolist()))


@pytest.mark.parametrize("content_type", [None, "application/octet-stream", "application/json", "text/plain"])
def test_content_type_does_not_matter(caller: httpx.Client, content_type: str | None) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    for message in (binary_message(mse()), json_message([in_json(name, array) for name, array in mse().items()])):
        response = send(caller, "mse", message, **headers)
        assert "content-type" in response.request.headers or content_type is None
        assert_same(read(response), evaluated(caller, loss="mse", predictions=PREDICTIONS.tolist(), targets=TARGETS.tolist()))


@pytest.mark.parametrize("datatype", [name for name in TYPES if name != "BOOL"])
@pytest.mark.parametrize("binary", [False, True], ids=["JSON", "bytes"])
def test_every_datatype_is_read(caller: httpx.Client, datatype: str, binary: bool) -> None:
    predictions, targets = (np.array(given, dtype=TYPES[datatype]) for given in ([1, 5, 3, 100], [0, 5, 4, 90]))
    arrays = {"predictions": predictions, "targets": targets}
    message = binary_message(arrays) if binary else json_message([in_json(name, array) for name, array in arrays.items()])
    answer = read(send(caller, "mse", message))
    expected = "FP32" if datatype == "FP32" else "FP64"
    assert {output["datatype"] for output in answer.header["outputs"]} == {expected}
    assert_same(answer, evaluated(caller, loss="mse", predictions=[1, 5, 3, 100], targets=[0, 5, 4, 90]))


@pytest.mark.parametrize("binary", [False, True], ids=["JSON", "bytes"])
def test_booleans_mask_samples_and_label_them(caller: httpx.Client, binary: bool) -> None:
    arrays = {
        "predictions": np.array([0.2, 0.9, 0.4]),
        "targets": np.array([True, True, False]),
        "mask": np.array([True, False, True]),
    }
    message = binary_message(arrays) if binary else json_message([in_json(name, array) for name, array in arrays.items()])
    answer = read(send(caller, "binary_cross_entropy", message))
    request = {"predictions": [0.2, 0.9, 0.4], "targets": [1, 1, 0], "mask": [True, False, True]}
    assert_same(answer, evaluated(caller, loss="binary_cross_entropy", **request))
    assert answer.tensors["per_sample"][1] == 0


@pytest.mark.parametrize("binary", [False, True], ids=["JSON", "bytes"])
def test_booleans_may_have_rows(caller: httpx.Client, binary: bool) -> None:
    arrays = {"predictions": np.array([[0.2, 0.9], [0.4, 0.7]]), "targets": np.array([[True, False], [False, True]])}
    message = binary_message(arrays) if binary else json_message([in_json(name, array) for name, array in arrays.items()])
    answer = read(send(caller, "binary_cross_entropy", message))
    request = {"predictions": [[0.2, 0.9], [0.4, 0.7]], "targets": [[1, 0], [0, 1]]}
    assert_same(answer, evaluated(caller, loss="binary_cross_entropy", **request))


def test_booleans_as_predictions_are_zeros_and_ones(caller: httpx.Client) -> None:
    arrays = {"predictions": np.array([True, False]), "targets": np.array([0.5, 0.25])}
    answer = read(send(caller, "mse", binary_message(arrays)))
    assert_same(answer, evaluated(caller, loss="mse", predictions=[1, 0], targets=[0.5, 0.25]))


def test_every_byte_but_0_is_true(caller: httpx.Client) -> None:
    message = binary_message(mse(mask=np.array([True, False, True, False])))
    strange = Message(message.body[:-4] + b"\x02\x00\xff\x00", message.headers)
    assert send(caller, "mse", strange).content == send(caller, "mse", message).content


def test_json_and_bytes_may_be_mixed(caller: httpx.Client) -> None:
    weights = np.array([1.0, 0.5, 2.0, 0.0])
    expected = evaluated(
        caller, loss="mse", predictions=PREDICTIONS.tolist(), targets=TARGETS.tolist(), sample_weight=weights.tolist()
    )
    rest = {"targets": TARGETS, "sample_weight": weights}
    for names in itertools.chain.from_iterable(itertools.combinations(rest, count) for count in range(3)):
        in_header = [in_json(name, rest[name]) for name in names]
        binary = {"predictions": PREDICTIONS, **{name: array for name, array in rest.items() if name not in names}}
        assert_same(read(send(caller, "mse", binary_message(binary, in_header))), expected)


def test_inputs_in_any_order_have_their_bytes_in_that_order(caller: httpx.Client) -> None:
    expected = send(caller, "huber", binary_message(mse())).content
    assert send(caller, "huber", binary_message({"targets": TARGETS, "predictions": PREDICTIONS})).content == expected


@pytest.mark.parametrize("dtype", ["<f8", "<f4"])
@pytest.mark.parametrize("spaces", range(9))
def test_tensors_need_not_be_aligned(caller: httpx.Client, dtype: str, spaces: int) -> None:
    message = binary_message({name: array.astype(dtype) for name, array in mse().items()})
    length = int(message.headers[LENGTH])
    moved = Message(message.body[:length] + b" " * spaces + message.body[length:], {LENGTH: str(length + spaces)})
    assert send(caller, "mse", moved).content == send(caller, "mse", message).content


def test_single_precision_in_gives_single_precision_out(caller: httpx.Client) -> None:
    rng = np.random.default_rng(5)
    scores = rng.normal(0, 3, size=(200, 7)).astype(np.float32)
    labels = rng.integers(0, 7, 200).astype(np.int64)
    arrays: dict[str, Numbers] = {"predictions": scores, "targets": labels}
    single = read(send(caller, "CrossEntropyLoss", binary_message(arrays, parameters={"binary_data_output": True})))
    double = evaluated(caller, loss="CrossEntropyLoss", predictions=scores.astype(np.float64).tolist(), targets=labels.tolist())
    for name in ("value", "per_sample", "gradient"):
        assert single.tensors[name].dtype == np.float32
        expected = np.reshape(double[name], single.tensors[name].shape)
        np.testing.assert_allclose(single.tensors[name], expected, rtol=1.2e-7, atol=1e-45)
    in_text = read(send(caller, "CrossEntropyLoss", binary_message(arrays)))
    assert in_text.binary == set()
    for name, tensor in in_text.tensors.items():
        assert tensor.tobytes() == single.tensors[name].tobytes()


@pytest.mark.parametrize("loss", ["hamming_loss", "zero_one"])
@pytest.mark.parametrize(("far", "dtype"), [(2**53, "<i8"), (2**63 - 3, "<i8"), (-(2**53) - 2, "<i8"), (2**64 - 3, "<u8")])
def test_labels_keep_their_64_bits(caller: httpx.Client, loss: str, far: int, dtype: str) -> None:
    arrays = {"predictions": np.array([far, far + 1, 5], dtype), "targets": np.array([far + 1, far + 1, 5], dtype)}
    for message in (binary_message(arrays), json_message([in_json(name, array) for name, array in arrays.items()])):
        answer = read(send(caller, loss, message))
        assert answer.tensors["per_sample"].tolist() == [1.0, 0.0, 0.0]


def test_groups_keep_their_64_bits(caller: httpx.Client) -> None:
    rows = np.array([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [-0.6, 0.8]])
    numbers = np.array([0, 0, 1, 1])
    near, far = (
        read(send(caller, "circle", binary_message({"predictions": rows, "targets": numbers + n}))).tensors for n in (0, 2**53)
    )
    assert all(far[name].tobytes() == near[name].tobytes() for name in near)


def test_integers_among_real_numbers_are_the_nearest_of_these(caller: httpx.Client) -> None:
    predictions, targets = np.array([2**53 + 1, 2**53 + 3]), np.array([0.0, 1.0])
    whole, nearest = (
        read(send(caller, "mean_absolute_error", binary_message({"predictions": array, "targets": targets}))).tensors
        for array in (predictions, np.array([float(2**53 + 1), float(2**53 + 3)]))
    )
    assert all(whole[name].tobytes() == nearest[name].tobytes() for name in nearest)


def test_what_single_precision_does_not_hold_is_infinite(caller: httpx.Client) -> None:
    arrays = {"predictions": np.array([1e30, 1.0], np.float32), "targets": np.array([0.0, 0.0], np.float32)}
    answer = read(send(caller, "mse", binary_message(arrays, parameters={"binary_data_output": True})))
    assert answer.tensors["per_sample"].tolist() == [np.inf, 1.0]
    in_text = send(caller, "mse", binary_message(arrays)).json()
    assert in_text["outputs"][1]["data"] == [None, 1.0]


def test_outputs_are_those_asked_for_in_that_order(caller: httpx.Client) -> None:
    everything = read(send(caller, "mse", binary_message(mse())))
    assert [*everything.tensors] == ["value", "per_sample", "gradient"]
    for count in (1, 2, 3):
        for names in itertools.permutations(everything.tensors, count):
            answer = read(send(caller, "mse", binary_message(mse(), outputs=[{"name": name} for name in names])))
            assert [*answer.tensors] == [*names]
            assert all(answer.tensors[name].tobytes() == everything.tensors[name].tobytes() for name in names)
    assert [*read(send(caller, "mse", binary_message(mse(), outputs=[]))).tensors] == [*everything.tensors]


def test_outputs_are_binary_where_asked(caller: httpx.Client) -> None:
    plain = read(send(caller, "mse", binary_message(mse())))
    assert plain.binary == set()
    for whole, value, gradient in itertools.product((None, False, True), repeat=3):
        outputs = [
            {"name": name, **({} if chosen is None else {"parameters": {"binary_data": chosen}})}
            for name, chosen in (("value", value), ("gradient", gradient))
        ]
        parameters = {} if whole is None else {"binary_data_output": whole}
        answer = read(send(caller, "mse", binary_message(mse(), outputs=outputs, parameters=parameters)))
        chosen = {name for name, own in (("value", value), ("gradient", gradient)) if (whole if own is None else own)}
        assert answer.binary == chosen
        assert all(answer.tensors[name].tobytes() == plain.tensors[name].tobytes() for name in answer.tensors)
    # what one request asks for is nothing to the next
    assert read(send(caller, "mse", binary_message(mse()))).binary == set()
    assert read(send(caller, "mse", binary_message(mse(), outputs=[{"name": "value"}]))).binary == set()


@pytest.mark.parametrize("identity", ["1", "", "a b/c", "σ" * 10, '"\\'])
def test_id_is_echoed(caller: httpx.Client, identity: str) -> None:
    assert read(send(caller, "mse", binary_message(mse(), id=identity))).header["id"] == identity
    assert "id" not in read(send(caller, "mse", binary_message(mse()))).header


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
def test_packed_message_has_the_length_of_its_header_before_packing(caller: httpx.Client, pack: Any) -> None:
    message = binary_message(mse(), parameters={"binary_data_output": True})
    encoding = "gzip" if pack is gzip.compress else "deflate"
    packed = Message(pack(message.body), message.headers)
    answer = send(caller, "mse", packed, **{"Content-Encoding": encoding})
    assert answer.content == send(caller, "mse", message).content
    assert read(answer).binary == {"value", "per_sample", "gradient"}


def test_named_inputs_of_gaussian_nll(caller: httpx.Client) -> None:
    arrays = {"mean": PREDICTIONS, "variance": np.array([1.0, 2.0, 0.5, 0.25]), "targets": TARGETS}
    described = caller.get("/v2/models/gaussian_nll").json()
    assert [tensor["name"] for tensor in described["inputs"]] == [*arrays]
    assert [output["name"] for output in described["outputs"]] == [
        "value",
        "per_sample",
        "per_element",
        "gradient.mean",
        "gradient.variance",
        "hessian_diagonal.mean",
        "hessian_diagonal.variance",
    ]
    answer = read(send(caller, "gaussian_nll", binary_message(arrays)))
    predictions = {name: arrays[name].tolist() for name in ("mean", "variance")}
    assert_same(answer, evaluated(caller, loss="gaussian_nll", predictions=predictions, targets=TARGETS.tolist()))
    only = read(send(caller, "gaussian_nll", binary_message(arrays, outputs=[{"name": "gradient.variance"}])))
    assert [*only.tensors] == ["gradient.variance"]
    assert only.tensors["gradient.variance"].tobytes() == answer.tensors["gradient.variance"].tobytes()


@in_turn("loss", LOSSES)
def test_every_output_that_a_loss_has_is_that_of_v1(caller: httpx.Client, loss: str) -> None:
    request, arrays = example_inputs(caller, loss)
    parameters = {name: value for name, value in request["loss"].items() if name != "name" and value is not None}
    names = [name for output in outputs_of(LOSSES[loss]) for name in output.arrays(LOSSES[loss])]
    message = binary_message(arrays, parameters=parameters, outputs=[{"name": name} for name in names])
    answer = read(send(caller, loss, message))
    expected = evaluated(
        caller, **{**request, "outputs": [output.name for output in outputs_of(LOSSES[loss])], "reduction": "mean"}
    )
    assert [*answer.tensors] == names
    for name, tensor in answer.tensors.items():
        output, _, part = name.partition(".")
        found = expected[output][part] if part else expected[output]
        assert np.array_equal(tensor, np.reshape(np.array(found, np.float64), tensor.shape), equal_nan=True), name


def test_an_output_that_a_loss_has_not_is_refused_with_those_that_it_has(caller: httpx.Client) -> None:
    answer = send(caller, "rmse", binary_message(mse(), outputs=[{"name": "hessian_diagonal"}]))
    assert answer.status_code == 400
    has = "it has value, per_sample, per_element, gradient"
    assert answer.json()["error"] == f"root_mean_squared_error has no output 'hessian_diagonal'; {has}"


def test_second_derivatives_of_single_precision_are_single(caller: httpx.Client) -> None:
    arrays = {"predictions": PREDICTIONS.astype(np.float32), "targets": TARGETS}
    answer = read(send(caller, "LogCosh", binary_message(arrays, outputs=[{"name": "hessian_diagonal"}])))
    assert answer.tensors["hessian_diagonal"].dtype == np.float32
    np.testing.assert_allclose(answer.tensors["hessian_diagonal"], np.cosh(PREDICTIONS - TARGETS) ** -2 / len(TARGETS), rtol=1e-5)


def test_elements_have_masks_weights_and_losses_of_their_own(caller: httpx.Client) -> None:
    rng = np.random.default_rng(9)
    arrays = {
        "predictions": rng.normal(size=(2, 3, 4)).astype(np.float32),
        "targets": np.array([[0, 1, -100, 2], [2, 0, 1, 1]]),
        "mask": rng.random((2, 4)) < 0.7,
        "sample_weight": rng.random((2, 4)),
    }
    outputs = [{"name": "value"}, {"name": "per_element"}]
    answer = read(send(caller, "CrossEntropyLoss", binary_message(arrays, outputs=outputs)))
    request = {name: array.tolist() for name, array in arrays.items()}
    expected = evaluated(caller, loss="CrossEntropyLoss", outputs=["value", "per_element"], **request)
    assert answer.tensors["value"].tolist() == pytest.approx([expected["value"]], rel=1e-6)
    np.testing.assert_allclose(answer.tensors["per_element"], expected["per_element"], rtol=1e-6)
    assert expected["n_elements"] == int((arrays["mask"] & (arrays["targets"] >= 0)).sum())


def test_named_inputs_of_triplet_margin(caller: httpx.Client) -> None:
    rng = np.random.default_rng(8)
    arrays = {name: rng.normal(size=(5, 4)) for name in ("anchor", "positive", "negative")}
    answer = read(send(caller, "TripletMarginLoss", binary_message(arrays, parameters={"binary_data_output": True})))
    assert answer.binary == {"value", "per_sample", "gradient.anchor", "gradient.positive", "gradient.negative"}
    predictions = {name: array.tolist() for name, array in arrays.items()}
    assert_same(answer, evaluated(caller, loss="TripletMarginLoss", predictions=predictions))


@pytest.mark.parametrize(
    ("model", "parameters"),
    [
        ("huber", {"delta": 0.75}),
        ("huber", {"delta": 2}),
        ("huber", {"reduction": "sum"}),
        ("huber", {}),
        ("huber", {"delta": 0.5, "reduction": "mean_over_samples"}),
        ("mean_squared_error", {"sequence_id": 4, "sequence_start": True, "sequence_end": False, "priority": 1, "timeout": 10}),
        ("MSELoss", {}),
        ("mse", {}),
        ("quantile", {"quantile": 0.9}),
    ],
)
def test_parameters_are_those_of_the_loss(caller: httpx.Client, model: str, parameters: dict[str, Any]) -> None:
    answer = read(send(caller, model, binary_message(mse(), parameters=parameters)))
    reduction = parameters.get("reduction", "mean")
    own = {name: value for name, value in parameters.items() if name in ("delta", "quantile")}
    request = {"predictions": PREDICTIONS.tolist(), "targets": TARGETS.tolist(), "reduction": reduction}
    assert_same(answer, evaluated(caller, loss={"name": model, **own}, **request))
    assert answer.header["model_name"] == model


def test_list_parameters_and_presets_of_an_alias(caller: httpx.Client) -> None:
    arrays: dict[str, Numbers] = {"predictions": MATRIX, "targets": np.array([2, 0])}
    parameters = {"class_weight": [1.0, 2.0, 0.5]}
    answer = read(send(caller, "CrossEntropyLoss", binary_message(arrays, parameters=parameters)))
    loss = {"name": "categorical_cross_entropy", "from_logits": True, **parameters}
    assert_same(answer, evaluated(caller, loss=loss, predictions=MATRIX.tolist(), targets=[2, 0]))


def test_without_a_reduction_there_is_no_value(caller: httpx.Client) -> None:
    response = send(caller, "mse", binary_message(mse(), parameters={"reduction": "none"}))
    assert response.json()["outputs"][0] == {"name": "value", "datatype": "FP64", "shape": [1], "data": [None]}
    expected = evaluated(caller, loss="mse", predictions=PREDICTIONS.tolist(), targets=TARGETS.tolist(), reduction="none")
    assert response.json()["outputs"][2]["data"] == expected["gradient"]


@pytest.mark.parametrize("dtype", ["<f8", "<f4"])
@pytest.mark.parametrize("binary_out", [False, True], ids=["JSON out", "bytes out"])
@pytest.mark.parametrize("binary_in", [False, True], ids=["JSON in", "bytes in"])
def test_large_tensors_are_answered_like_small_ones(caller: httpx.Client, dtype: str, binary_in: bool, binary_out: bool) -> None:
    """Above the limit from which a worker process does it, in whichever form the numbers come and go."""
    rng = np.random.default_rng(9)
    predictions, targets = (rng.normal(size=100_000).astype(dtype) for _ in range(2))
    arrays = {"predictions": predictions, "targets": targets}
    parameters = {"binary_data_output": binary_out, "delta": 0.7}
    inputs = [in_json(name, array) for name, array in arrays.items()]
    message = binary_message(arrays, parameters=parameters) if binary_in else json_message(inputs, parameters=parameters)
    assert len(message.body) > 600_000
    answer = read(send(caller, "huber", message))
    assert answer.binary == (set(answer.tensors) if binary_out else set())
    start = 70_000
    few = {name: array[start : start + 50] for name, array in arrays.items()}
    small = read(send(caller, "huber", binary_message(few, parameters=parameters)))
    assert answer.tensors["per_sample"][start : start + 50].tobytes() == small.tensors["per_sample"].tobytes()
    residual = predictions.astype(np.float64) - targets
    expected = np.where(np.abs(residual) <= 0.7, residual**2 / 2, 0.7 * (np.abs(residual) - 0.35))
    np.testing.assert_allclose(answer.tensors["value"], [expected.mean()], rtol=1e-6)


# --- what is refused ------------------------------------------------------------------------------------------------------------


def tensor(name: str = "predictions", **changes: Any) -> dict[str, Any]:
    """An input of four doubles, with changes; None removes a field."""
    whole = {**in_json(name, PREDICTIONS), **changes}
    return {key: value for key, value in whole.items() if value is not None}


def with_tensor(**changes: Any) -> Message:
    return json_message([tensor(**changes), in_json("targets", TARGETS)])


def with_binary(tail: bytes = PREDICTIONS.tobytes(), size: Any = None, **changes: Any) -> Message:
    """`predictions` as bytes, with changes to what the header says of them."""
    changes = {"parameters": {"binary_data_size": len(tail) if size is None else size}, "data": None, **changes}
    header = json.dumps({"inputs": [tensor(**changes), in_json("targets", TARGETS)]}).encode()
    return Message(header + tail, {LENGTH: str(len(header))})


def with_request(**changes: Any) -> Message:
    return json_message([in_json(name, array) for name, array in mse().items()], **changes)


def with_length(length: object, message: Message | None = None) -> Message:
    return Message((message or binary_message(mse())).body, {LENGTH: str(length)})


def text(body: str | bytes) -> Message:
    return Message(body if isinstance(body, bytes) else body.encode())


GOOD = binary_message(mse())
SPLIT = int(GOOD.headers[LENGTH])
NAN = np.array([1.0, np.nan, 2.0, 3.0])

REFUSED: dict[str, tuple[Message, str]] = {
    # sizes and shapes
    "too few bytes declared": (with_binary(PREDICTIONS.tobytes()[:-8]), "24"),
    "too many bytes declared": (with_binary(PREDICTIONS.tobytes() + bytes(8)), "40"),
    "half a number": (with_binary(PREDICTIONS.tobytes()[:-4]), "28"),
    "no bytes": (with_binary(b""), "0"),
    "another type's size": (with_binary(datatype="FP32"), "16 bytes"),
    "another shape's size": (with_binary(shape=[5]), "40 bytes"),
    "truncated": (with_binary(PREDICTIONS.tobytes()[:-1], size=32), "ends after 31 of its 32"),
    "size 2**40": (with_binary(size=2**40, shape=[2**37]), "ends after 32 of its"),
    "size 2**62": (with_binary(size=2**62, shape=[2**59]), "ends after|shape"),
    "size beyond all": (with_binary(size=10**30), "binary_data_size"),
    "negative size": (with_binary(size=-32), "binary_data_size"),
    "size in words": (with_binary(size="32"), "binary_data_size"),
    "fractional size": (with_binary(size=32.0), "binary_data_size"),
    "size true": (with_binary(size=True), "binary_data_size"),
    "shape 2**62": (with_binary(shape=[2**62]), "predictions"),
    "shape 2**62 in JSON": (with_tensor(shape=[2**62]), "predictions"),
    "shape whose product overflows": (with_binary(shape=[2**32, 2**32]), "predictions"),
    "shape whose product overflows to the size": (with_binary(shape=[2**32, 2**32, 4]), "predictions"),
    "shape whose product overflows to the size, 2**61": (with_binary(shape=[2**61 + 1, 4]), "predictions"),
    "shape whose product overflows in JSON": (with_tensor(shape=[2**63 + 2, 2]), "predictions"),
    "vast shape": (with_tensor(shape=[10**300, 10**300]), "shape"),
    "vast shape with many axes": (with_tensor(shape=[10**300] * 1000), "shape"),
    "shape of a million axes": (with_tensor(shape=[1] * 1_000_000), "shape"),
    "shape of 65 axes": (with_tensor(shape=[1] * 64 + [4]), "shape"),
    "shape of 65 axes, in bytes": (with_binary(shape=[1] * 64 + [4]), "shape"),
    "shape of 33 axes": (with_tensor(shape=[1] * 32 + [4]), "shape"),
    "32 axes": (with_tensor(shape=[1] * 31 + [4]), "shape"),
    "negative shape": (with_tensor(shape=[-4]), "shape"),
    "two negative lengths": (with_binary(shape=[-2, -2]), "shape"),
    "shape −1": (with_tensor(shape=[-1]), "shape"),
    "shape 0": (with_tensor(shape=[0]), "shape"),
    "shape 0 and nothing": (with_binary(b"", shape=[0]), "shape"),
    "shape 0 times 2**62": (with_binary(b"", shape=[0, 2**62]), "shape"),
    "fractional shape": (with_tensor(shape=[2.5]), "shape"),
    "no axes": (with_tensor(shape=[]), "shape"),
    "nested shape": (with_tensor(shape=[[4]]), "shape"),
    "shape that is a number": (with_tensor(shape=4), "shape"),
    "shape in words": (with_tensor(shape=["4"]), "shape"),
    "shape true": (with_tensor(shape=[True]), "shape"),
    "shape with null": (with_tensor(shape=[4, None]), "shape"),
    "shape that is an object": (with_tensor(shape={"0": 4}), "shape"),
    "no shape": (with_tensor(shape=None), "shape"),
    "flat data of another length": (with_tensor(shape=[5]), "(5,)"),
    "nested data of another shape": (with_tensor(shape=[4], data=[[0.5, 2.0], [1.0, 3.0]]), "(2, 2)"),
    "nested the other way": (with_tensor(shape=[4, 1], data=[[1.0, 2.0, 3.0, 4.0]]), "(1, 4)"),
    # types
    "unknown type": (with_tensor(datatype="FP8"), "FP8"),
    "BYTES": (with_tensor(datatype="BYTES", data=["a"] * 4), "BYTES"),
    "BYTES in bytes": (with_binary(datatype="BYTES"), "BYTES"),
    "BF16": (with_binary(datatype="BF16"), "BF16"),
    "type in lower case": (with_tensor(datatype="fp64"), "fp64"),
    "type of Python": (with_binary(datatype="<f8"), "<f8"),
    "type with a long name": (with_tensor(datatype="x" * 10_000), "datatype"),
    "type that is a number": (with_tensor(datatype=64), "datatype"),
    "no type": (with_tensor(datatype=None), "datatype"),
    "no name": (json_message([{"datatype": "FP64", "shape": [1], "data": [1.0]}]), "name"),
    "name that is a number": (with_tensor(name=7), "name"),
    "fractions as INT32": (with_tensor(datatype="INT32"), "INT32 takes whole numbers"),
    "128 as INT8": (with_tensor(datatype="INT8", data=[1, 2, 3, 128]), "INT8 takes whole numbers from -128 to 127"),
    "−1 as UINT8": (with_tensor(datatype="UINT8", data=[1, 2, 3, -1]), "UINT8 takes whole numbers from 0 to 255"),
    "2**63 as INT64": (with_tensor(datatype="INT64", data=[1, 2, 3, 2**63]), "INT64"),
    "2**64 as UINT64": (with_tensor(datatype="UINT64", data=[1, 2, 3, 2**65]), "UINT64"),
    "1e300 as FP32": (with_tensor(datatype="FP32", data=[1, 2, 3, 1e300]), "FP32"),
    "1e5 as FP16": (with_tensor(datatype="FP16", data=[1, 2, 3, 1e5]), "FP16"),
    # data
    "no data": (with_tensor(data=None), "data"),
    "ragged data": (with_tensor(shape=[2, 2], data=[[1.0, 2.0], [3.0]]), "data"),
    "null in data": (json_message([{**tensor(), "data": [1.0, None, 2.0, 3.0]}]), "needs targets"),
    "a string in data": (with_tensor(data=[1.0, "2", 2.0, 3.0]), "data"),
    "booleans as numbers": (with_tensor(data=[True, False, True, True]), "data"),
    "numbers as BOOL": (with_tensor(datatype="BOOL", data=[1, 0, 1, 1]), "BOOL"),
    "strings as BOOL": (with_tensor(datatype="BOOL", data=["true"] * 4), "BOOL"),
    "a number among BOOL": (with_tensor(datatype="BOOL", data=[True, True, True, 1]), "BOOL"),
    "null among BOOL": (with_tensor(datatype="BOOL", data=[True, True, True, None]), "BOOL"),
    "ragged BOOL": (with_tensor(datatype="BOOL", shape=[3], data=[[True], [True, False]]), "BOOL"),
    "mixed depth BOOL": (with_tensor(datatype="BOOL", shape=[3], data=[True, [True, False]]), "BOOL"),
    "BOOL beside rows of numbers": (with_tensor(datatype="BOOL", data=[[[1, 2], [3, 4]], [[1, 2, 3], [4, 5, 6]]]), "BOOL"),
    "an object as BOOL": (with_tensor(datatype="BOOL", data={"a": True}), "BOOL"),
    "no BOOL": (with_tensor(datatype="BOOL", data=[]), "BOOL"),
    "BOOL without data": (with_tensor(datatype="BOOL", data=None), "BOOL"),
    "an object as data": (with_tensor(data={"0": 1.0}), "data"),
    "a string as data": (with_tensor(data="1234"), "data"),
    "data and size": (with_binary(data=PREDICTIONS.tolist()), "both data and binary_data_size"),
    "NaN in JSON": (text(with_tensor().body.replace(b"-1.25", b"NaN")), "not null or NaN"),
    "NaN in bytes": (binary_message(mse(predictions=NAN)), "not null or NaN"),
    "infinity in bytes": (binary_message(mse(targets=np.array([0, np.inf, 1, 2]))), "finite"),
    "NaN in single precision": (binary_message(mse(predictions=NAN.astype(np.float32))), "not null or NaN"),
    "−infinity in half precision": (binary_message(mse(targets=np.array([0, -np.inf, 1, 2], np.float16))), "finite"),
    "NaN in weights": (binary_message(mse(sample_weight=NAN)), "not null or NaN"),
    # which inputs, outputs and parameters
    "no inputs": (text('{"inputs": []}'), "predictions"),
    "inputs missing": (text("{}"), "inputs"),
    "inputs an object": (text('{"inputs": {}}'), "inputs"),
    "inputs null": (text('{"inputs": null}'), "inputs"),
    "inputs of numbers": (text('{"inputs": [1, 2]}'), "inputs"),
    "no targets": (json_message([in_json("predictions", PREDICTIONS)]), "targets"),
    "no predictions": (json_message([in_json("targets", TARGETS)]), "predictions"),
    "an input twice": (json_message([in_json("predictions", PREDICTIONS)] * 2), "twice"),
    "an input twice, in bytes": (
        json_message([in_json("targets", TARGETS), tensor(), in_json("targets", TARGETS)]),
        "twice",
    ),
    "an unknown input": (binary_message(mse(logits=PREDICTIONS)), "logits"),
    "another loss's input": (binary_message(mse(anchor=PREDICTIONS)), "anchor"),
    "an input with a long name": (binary_message(mse(**{"x" * 5000: PREDICTIONS})), "xxx"),
    "another number of samples": (binary_message(mse(targets=TARGETS[:3])), "targets"),
    "another number of weights": (binary_message(mse(sample_weight=TARGETS[:3])), "sample_weight"),
    "mask of numbers": (binary_message(mse(mask=np.full(4, 0.5))), "mask[0] must be a boolean, or 1 or 0"),
    "mask of integers": (binary_message(mse(mask=np.full(4, 2, np.uint8))), "mask[0] must be a boolean, or 1 or 0"),
    "mask of rows": (binary_message(mse(mask=np.ones((4, 1), np.bool_))), "mask"),
    "mask that drops all": (binary_message(mse(mask=np.zeros(4, np.bool_))), "mask"),
    "weights of a negative sum": (binary_message(mse(sample_weight=-np.ones(4))), "sample_weight"),
    "an unknown output": (with_request(outputs=[{"name": "loss"}]), "loss"),
    "a gradient by a name it has not": (with_request(outputs=[{"name": "gradient.mean"}]), "gradient.mean"),
    "an output without a name": (with_request(outputs=[{}]), "name"),
    "outputs of strings": (with_request(outputs=["value"]), "outputs"),
    "outputs an object": (with_request(outputs={"name": "value"}), "outputs"),
    "binary_data in words": (with_request(outputs=[{"name": "value", "parameters": {"binary_data": "yes"}}]), "binary_data"),
    "binary_data_output in words": (with_request(parameters={"binary_data_output": "false"}), "binary_data_output"),
    "binary_data_output in numbers": (with_request(parameters={"binary_data_output": 1}), "binary_data_output"),
    "an unknown parameter": (with_request(parameters={"delta": 1}), "delta"),
    "a parameter called name": (with_request(parameters={"name": "huber"}), "name"),
    "an unknown reduction": (with_request(parameters={"reduction": "average"}), "average"),
    "a reduction that is a list": (with_request(parameters={"reduction": ["mean"]}), "reduction"),
    "a reduction that is an object": (with_request(parameters={"reduction": {"a": 1}}), "reduction"),
    "a long reduction": (with_request(parameters={"reduction": [1] * 5000}), "reduction"),
    "parameters that are a list": (with_request(parameters=[1]), "parameters"),
    "parameters null": (with_request(parameters=None), "parameters"),
    "an id that is a number": (with_request(id=7), "id"),
    # the header
    "empty": (text(""), "JSON"),
    "no JSON": (text("predictions=1"), "JSON"),
    "half of a JSON": (text(with_request().body[:-10]), "JSON"),
    "a list": (text("[1, 2]"), "JSON object"),
    "a number": (text("7"), "JSON object"),
    "null": (text("null"), "JSON object"),
    "a key twice": (text('{"inputs": [], "inputs": []}'), "twice"),
    "too deep": (text('{"inputs": ' + "[" * 5000 + "]" * 5000 + "}"), "deep"),
    "not UTF-8": (text(b'{"id": "\xff"}'), "UTF-8"),
    "bytes without the length": (text(GOOD.body), "JSON|UTF-8"),
    "length 0": (with_length(0), "JSON"),
    "a length one too small": (with_length(SPLIT - 1), "JSON"),
    "a length one too large": (with_length(SPLIT + 1), "JSON|UTF-8"),
    "the length of all": (with_length(len(GOOD.body)), "JSON|UTF-8"),
    "a length beyond the end": (with_length(len(GOOD.body) + 1), LENGTH.lower()),
    "a vast length": (with_length(2**62), LENGTH.lower()),
    "a length of 100 digits": (with_length("9" * 100), LENGTH.lower()),
    "a length of 5000 digits": (with_length("9" * 5000), LENGTH.lower()),
    "a negative length": (with_length(-1), LENGTH.lower()),
    "a length with a sign": (with_length(f"+{SPLIT}"), LENGTH.lower()),
    "a fractional length": (with_length(f"{SPLIT}.0"), LENGTH.lower()),
    "a length in words": (with_length("all"), LENGTH.lower()),
    "a length in hexadecimal": (with_length(hex(SPLIT)), LENGTH.lower()),
    "an empty length": (with_length(""), LENGTH.lower()),
    # the bytes
    "bytes left over": (Message(GOOD.body + b"x", GOOD.headers), "account for 64"),
    "a number left over": (Message(GOOD.body + bytes(8), GOOD.headers), "account for 64"),
    "bytes missing": (Message(GOOD.body[:-1], GOOD.headers), "ends after 31 of its 32"),
    "a tensor missing": (Message(GOOD.body[:-32], GOOD.headers), "ends after 0 of its 32"),
    "bytes behind JSON tensors": (
        Message(with_request().body + bytes(8), {LENGTH: str(len(with_request().body))}),
        "account for 0",
    ),
}


@in_turn("what", REFUSED)
def test_bad_input_is_400_with_a_sentence(caller: httpx.Client, what: str) -> None:
    message, expected = REFUSED[what]
    error = error_of(send(caller, "mse", message), 400)
    assert any(words in error for words in expected.split("|")), error
    assert len(error) < 1500


def test_server_is_well_after_all_that(server: Server, caller: httpx.Client) -> None:
    assert send(caller, "mse", GOOD).status_code == 200
    assert '"exception"' not in server.log.read_text()


@in_turn("what", REFUSED)
def test_nothing_is_made_of_what_a_header_claims(what: str) -> None:
    """Refusing takes the memory of reading the message, whatever sizes it speaks of."""
    message, _ = REFUSED[what]
    given = message.headers.get(LENGTH, "")
    length = int(given) if given.isdigit() and len(given) < 5 else None
    tracemalloc.start()
    try:
        with pytest.raises(CallerError):
            inferred(message.body, length)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000 + 100 * len(message.body)


def test_a_long_word_among_booleans_takes_no_memory() -> None:
    """As an array of strings, a thousand flags beside one word of a megabyte would take four gigabytes."""
    flags = [True] * 1000 + ["x" * 1_000_000]
    message = with_tensor(datatype="BOOL", shape=[1001], data=flags)
    tracemalloc.start()
    try:
        with pytest.raises(CallerError, match="BOOL"):
            inferred(message.body, None)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 30_000_000


def test_every_cut_of_a_message_is_refused() -> None:
    for index in range(len(GOOD.body)):
        for length in (SPLIT, None):
            if length is None or length <= index:
                with pytest.raises(CallerError):
                    inferred(GOOD.body[:index], length)


@pytest.mark.parametrize("seed", range(4))
def test_changed_messages_are_answered_or_refused(seed: int) -> None:
    rng = np.random.default_rng([30, seed])
    messages = [GOOD, binary_message(mse(mask=np.array([True, False, True, True]))), with_request(outputs=[{"name": "value"}])]
    outcomes: set[bool] = set()
    for _ in range(400):
        message = messages[rng.integers(len(messages))]
        body = bytearray(message.body)
        for _ in range(rng.integers(1, 4)):
            place = int(rng.integers(len(body)))
            body[place : place + 1] = [b"", bytes([body[place]]) * 2, bytes([rng.integers(256)]), rng.choice([*b'[]{},:"0-e'])][
                rng.integers(3)
            ]
        length = int(message.headers.get(LENGTH, len(body))) + int(rng.integers(-1, 2))
        try:
            inferred(bytes(body), min(length, len(body)))
            outcomes.add(True)
        except CallerError:
            outcomes.add(False)
    assert outcomes == {True, False}


def test_body_above_the_limit_is_413(caller: httpx.Client) -> None:
    too_large = binary_message({"predictions": np.zeros(SERVER_LIMIT // 8), "targets": np.zeros(2)})
    response = send(caller, "mse", too_large)
    assert str(SERVER_LIMIT) in error_of(response, 413)
    assert response.headers["connection"] == "close"
    assert send(caller, "mse", GOOD).status_code == 200
