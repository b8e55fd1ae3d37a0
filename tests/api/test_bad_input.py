"""Everything that is refused: the same answer from the application, from a real server, and without the fast JSON parser."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from app.wire import json as arrays
from tests.api.problem import problem_of, strictly
from tests.folding import folded

pytestmark = pytest.mark.anyio

Post = Callable[..., Awaitable[httpx.Response]]


@pytest.fixture(params=["application", "server", "without simdjson"])
def post(
    request: pytest.FixtureRequest,
    client: httpx.AsyncClient,
    remote: httpx.AsyncClient,
    inline_client: httpx.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
) -> Post:
    """POST /v1/evaluate, in each of the three ways."""
    if request.param == "without simdjson":
        monkeypatch.setattr(arrays, "simdjson", None)
    by = {"application": client, "server": remote, "without simdjson": inline_client}[request.param]

    async def post(body: bytes, content_type: str | None = "application/json") -> httpx.Response:
        headers = {} if content_type is None else {"content-type": content_type}
        return await by.post("/v1/evaluate", content=body, headers=headers)

    return post


@dataclass(frozen=True)
class Case:
    """A body, and how it is refused: status and code of the problem; pointer, code and words of its first fault."""

    id: str
    body: bytes
    status: int
    problem: str
    pointer: str | None
    code: str | None
    words: tuple[str, ...]

    def __str__(self) -> str:
        return self.id


def invalid(id: str, body: object, pointer: str, code: str, *words: str) -> Case:  # noqa: A002 - a case's name
    return Case(id, _bytes(body), 422, "invalid_request", pointer, code, words)


def unknown(id: str, body: object, pointer: str, code: str, *words: str) -> Case:  # noqa: A002 - a case's name
    return Case(id, _bytes(body), 422, "unknown_name", pointer, code, words)


def malformed(id: str, body: object, *words: str) -> Case:  # noqa: A002 - a case's name
    return Case(id, _bytes(body), 400, "malformed_json", None, None, words)


def _bytes(body: object) -> bytes:
    return body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()


def batch(loss: object = "mse", predictions: object = (1, 2), targets: object = (1, 3), **more: object) -> dict[str, object]:
    """A request that is right but for what is passed. `targets=None` leaves them out."""
    request = {"loss": loss, "predictions": predictions, "targets": targets, **more}
    return {name: value for name, value in request.items() if name != "targets" or value is not None}


def huber(delta: object) -> dict[str, object]:
    return {"name": "huber", "delta": delta}


def of(loss: str, predictions: object, targets: object, **parameters: object) -> dict[str, object]:
    return batch({"name": loss, **parameters}, predictions, targets)


def raw(predictions: str, loss: str = '"mse"', more: str = "", targets: str = "[1]") -> str:
    """A request in which something stands that json.dumps would not write."""
    return f'{{"loss": {loss}, "predictions": {predictions}, "targets": {targets}{more}}}'


def keys(count: int, again: str) -> str:
    return json.dumps({str(number): 1 for number in range(count)})[:-1] + f', "{again}": 1}}'


def nested(depth: int, inside: str = "1", opening: str = "[", closing: str = "]") -> str:
    return opening * depth + inside + closing * depth


LONG = "x" * 100_000
SCORES = [[2.0, 1.0, 0.0], [0.5, 2.5, 1.0]]
ROWS = [[0.2, 0.5, 0.3], [0.6, 0.3, 0.1]]
BOXES = [[0, 0, 2, 2]]
FRAMES = [[[0.1, 0.2, 0.3]] * 4]

NOT_NUMBERS = [
    invalid(
        "a string among numbers", batch(predictions=[1, "2"]), "/predictions/1", "not_a_number", "predictions[1]", "not a string"
    ),
    invalid("a string first", batch(predictions=["1", 2]), "/predictions/0", "not_a_number", "predictions[0]", "not a string"),
    invalid("strings only", batch(predictions=["1", "2"]), "/predictions", "not_a_number", "predictions", "not strings"),
    invalid(
        "true among numbers", batch(predictions=[1, True]), "/predictions/1", "not_a_number", "predictions[1]", "not a boolean"
    ),
    invalid("true first", batch(predictions=[True, 1]), "/predictions/0", "not_a_number", "predictions[0]", "not a boolean"),
    invalid("booleans only", batch(targets=[True, False]), "/targets", "not_a_number", "must be numbers, not booleans"),
    invalid("true for predictions", of("hinge", [True, False], [True, False]), "/predictions", "not_a_number", "not booleans"),
    invalid("null among numbers", batch(targets=[1, None]), "/targets/1", "not_a_number", "targets[1]", "not null"),
    invalid("null first", batch(targets=[None, 1]), "/targets/0", "not_a_number", "targets[0]", "not null"),
    invalid(
        "null in a row",
        batch(predictions=[[1, 2], [3, None]], targets=[[1, 2], [3, 4]]),
        "/predictions/1/1",
        "not_a_number",
        "predictions[1, 1]",
        "mask",
        '"missing": "drop"',
    ),
    invalid("null for a label", of("CrossEntropyLoss", SCORES, [0, None]), "/targets/1", "not_a_number", "not null"),
    invalid(
        "null in a named input",
        of("gaussian_nll", {"mean": [1, None], "variance": [1, 1]}, [1, 1]),
        "/predictions/mean/1",
        "not_a_number",
        "predictions.mean[1]",
        "not null",
    ),
    invalid("another word", batch(predictions=[1, "NA"]), "/predictions/1", "not_a_number", "predictions[1]", "not a string"),
    invalid(
        "nothing but missing numbers",
        batch(targets=[None, 1], predictions=[1, None], missing="drop"),
        "/missing",
        "no_samples",
        "nothing is left",
    ),
    invalid("another way with missing numbers", batch(missing="skip"), "/missing", "choice", "'refuse' or 'drop'"),
    invalid("another way to write infinities", batch(non_finite_as="inf"), "/non_finite_as", "choice", "'null' or 'string'"),
    invalid("an infinity in words", batch(predictions=["Infinity", 1]), "/predictions/0", "not_finite", "got Infinity"),
    invalid("infinities alone", batch(predictions=["-Infinity", "Infinity"]), "/predictions/0", "not_finite", "-Infinity"),
    invalid(
        "an object of arrays among numbers", batch(predictions=[1, {"a": [1]}]), "/predictions/1", "not_a_number", "not an object"
    ),
    invalid("an object among numbers", batch(predictions=[1, {}]), "/predictions/1", "not_a_number", "not an object"),
    invalid("a string in a weight", batch(sample_weight=[1, "1"]), "/sample_weight/1", "not_a_number", "sample_weight[1]"),
    invalid("true in a weight", batch(sample_weight=[1, True]), "/sample_weight/1", "not_a_number", "sample_weight[1]"),
    invalid("null in a weight", batch(sample_weight=[None, 1]), "/sample_weight/0", "not_a_number", "sample_weight[0]"),
    invalid(
        "a string in a named input",
        of("gaussian_nll", {"mean": [1, "a"], "variance": [1, 1]}, [1, 1]),
        "/predictions/mean/1",
        "not_a_number",
        "predictions.mean[1]",
        "not a string",
    ),
    invalid("a number for an array", batch(predictions=3), "/predictions", "not_an_array", "predictions", "not a number"),
    invalid("a string for an array", batch(predictions="abc"), "/predictions", "not_an_array", "not a string"),
    invalid("true for an array", batch(targets=True), "/targets", "not_an_array", "not a boolean"),
    invalid("a number for weights", batch(sample_weight=1), "/sample_weight", "not_an_array", "not a number"),
    invalid("an object for weights", batch(sample_weight={"a": [1]}), "/sample_weight", "not_an_array", "not an object"),
]

NOT_FINITE = [
    invalid("NaN", raw("[1, NaN]", targets="[1, 2]"), "/predictions/1", "not_a_number", "predictions[1]", "NaN", "mask", "drop"),
    invalid("Infinity", raw("[Infinity, 2]", targets="[1, 2]"), "/predictions/0", "not_finite", "predictions[0]", "Infinity"),
    invalid(
        "-Infinity",
        raw("[[1, 2], [3, -Infinity]]", targets="[[1, 2], [3, 4]]"),
        "/predictions/1/1",
        "not_finite",
        "predictions[1, 1]",
        "-Infinity",
    ),
    invalid("1e400", raw("[1, 1e400]", targets="[1, 2]"), "/predictions/1", "not_finite", "predictions[1]"),
    invalid("-1e400", raw("[-1e400, 1]", targets="[1, 2]"), "/predictions/0", "not_finite", "-Infinity"),
    invalid("10 ** 400", batch(predictions=[1, 10**400]), "/predictions/1", "not_finite", "predictions[1]"),
    invalid("100,000 digits", raw(f"[1, {'9' * 100_000}]", targets="[1, 2]"), "/predictions/1", "not_finite", "predictions[1]"),
    invalid(
        "NaN as a weight",
        raw("[1]", more=', "sample_weight": [NaN]'),
        "/sample_weight/0",
        "not_a_number",
        "sample_weight[0]",
        "NaN",
    ),
    invalid(
        "NaN as a parameter", raw("[1]", '{"name": "huber", "delta": NaN}'), "/loss/delta", "not_finite", "loss.delta", "NaN"
    ),
    invalid(
        "1e400 as a parameter",
        raw("[1]", '{"name": "huber", "delta": 1e400}'),
        "/loss/delta",
        "not_finite",
        "loss.delta",
        "Infinity",
    ),
    invalid("10 ** 400 as a parameter", batch(huber(10**400)), "/loss/delta", "not_finite", "loss.delta"),
    invalid("NaN as a reduction", raw("[1]", more=', "reduction": NaN'), "/reduction", "choice", "reduction"),
    invalid("NaN as a loss", raw("[1]", "NaN"), "/loss", "type", "loss"),
]

SHAPES = [
    invalid("ragged rows", batch(predictions=[[1, 2], [3]]), "/predictions/1", "ragged", "predictions[1]", "(1,)", "(2,)"),
    invalid(
        "ragged rows, longer", batch(predictions=[[1], [2, 3]]), "/predictions/1", "ragged", "predictions[1]", "(2,)", "(1,)"
    ),
    invalid("ragged, as many numbers as a rectangle", batch(predictions=[[1, 2], [3], [4, 5, 6]]), "/predictions/1", "ragged"),
    invalid("a list in a row", batch(predictions=[[1, [2]], [3, 4]]), "/predictions/0/1", "ragged", "predictions[0, 1]"),
    invalid("a list among numbers", batch(predictions=[1, [2]]), "/predictions/1", "ragged", "predictions[1]"),
    invalid("a number among lists", batch(predictions=[[1], 2]), "/predictions/1", "ragged", "predictions[1]"),
    invalid(
        "ragged in 3-D", batch(predictions=[[[1, 2], [3, 4]], [[1, 2], [3]]]), "/predictions/1/1", "ragged", "predictions[1, 1]"
    ),
    invalid(
        "ragged in 3-D, a row less",
        batch(predictions=[[[1, 2], [3, 4]], [[1, 2]]]),
        "/predictions/1",
        "ragged",
        "(1, 2)",
        "(2, 2)",
    ),
    invalid("one level deeper", batch(predictions=[[[1, 2]], [[[3, 4]]]]), "/predictions/1", "ragged", "predictions[1]"),
    invalid(
        "ragged in a named input",
        of("gaussian_nll", {"mean": [[1], [1, 2]], "variance": [1, 1]}, [1, 1]),
        "/predictions/mean/1",
        "ragged",
    ),
    invalid("no samples", batch(predictions=[], targets=[]), "/predictions", "empty", "predictions is empty"),
    invalid("no targets in the list", batch(targets=[]), "/targets", "empty", "targets is empty"),
    invalid(
        "a sample without numbers", batch(predictions=[[]], targets=[[]]), "/predictions/0", "empty", "predictions[0] is empty"
    ),
    invalid("samples without numbers", batch(predictions=[[], []]), "/predictions/0", "empty", "predictions[0] is empty"),
    invalid("an empty row", batch(predictions=[[1], []]), "/predictions/1", "empty", "predictions[1] is empty"),
    invalid(
        "an empty row deep inside", batch(predictions=[[[1], []]]), "/predictions/0/1", "empty", "predictions[0, 1] is empty"
    ),
    invalid("an empty object", batch(predictions={}), "/predictions", "not_an_array", "must be an array, not an object"),
    invalid("no weights in the list", batch(sample_weight=[]), "/sample_weight", "empty", "sample_weight is empty"),
    invalid("other lengths", batch(targets=[1, 2, 3]), "/targets", "shape_mismatch", "(3,)", "(2,)", "2 samples there, 3 here"),
    invalid(
        "(n,) against (n, 1)",
        batch(predictions=[1, 2], targets=[[1], [2]]),
        "/targets",
        "shape_mismatch",
        "(2, 1)",
        "(2,)",
        "reshape it to (2,)",
    ),
    invalid(
        "(n, 1) against (n,)",
        batch(predictions=[[1], [2]], targets=[1, 2]),
        "/targets",
        "shape_mismatch",
        "(2, 1)",
        "(2,)",
        "reshape it to (2, 1)",
    ),
    invalid(
        "(n, d) against (n, e)",
        batch(predictions=[[1, 2], [3, 4]], targets=[[1, 2, 3], [4, 5, 6]]),
        "/targets",
        "shape_mismatch",
        "(2, 3)",
        "(2, 2)",
        "nothing is broadcast",
    ),
    invalid("scores without classes", of("multi_margin", [1, 2], [0, 1]), "/predictions", "shape", "(n, *d, k)", "(2,)"),
    invalid(
        "one-hot rows of another width",
        of("multi_margin", SCORES, [[1, 0], [0, 1]]),
        "/targets",
        "shape_mismatch",
        "axis k is 3 there and 2 here",
    ),
    invalid("targets of no known shape", of("nll", [[-1.0, -0.5]], [[[1]]]), "/targets", "shape_mismatch", "(1, 2)", "(1, 1, 1)"),
    invalid(
        "named inputs of other lengths",
        of("gaussian_nll", {"mean": [1, 2], "variance": [1]}, [1, 2]),
        "/predictions/variance",
        "shape_mismatch",
        "predictions.variance",
        "2 samples there, 1 here",
    ),
    invalid("boxes of five numbers", of("iou", [[0, 0, 1, 1, 1]], [[0, 0, 1, 1, 1]]), "/predictions", "shape", "predictions"),
    invalid("64 axes", raw(nested(60), '"multi_margin"'), "/targets", "shape_mismatch", "does not agree"),
]

LABELS = [
    invalid("binary", of("contrastive", [1, 2, 3], [0, 1, 2]), "/targets/2", "label", "targets[2]", "0 or 1", "got 2"),
    invalid("binary, signs mixed in", of("contrastive", [1, 2, 3], [0, 1, -1]), "/targets/2", "label", "targets[2]", "got -1"),
    invalid(
        "soft binary, above",
        of("binary_cross_entropy", [0.5, 0.5], [1, 1.5]),
        "/targets/1",
        "out_of_range",
        "targets[1]",
        "[0, 1]",
        "got 1.5",
    ),
    invalid(
        "soft binary, below",
        of("binary_cross_entropy", [0.5, 0.5], [-0.5, 1]),
        "/targets/0",
        "out_of_range",
        "targets[0]",
        "got -0.5",
    ),
    invalid("sign", of("hinge", [0.3, 2.0], [1, 0.5]), "/targets/1", "label", "targets[1] must be −1 or +1; got 0.5"),
    invalid("sign, zero mixed in", of("hinge", [0.3, 2.0, 1], [1, -1, 0]), "/targets/2", "label", "targets[2]", "got 0"),
    invalid("sign, two", of("logistic", [0.3, 2.0], [1, 2]), "/targets/1", "label", "got 2"),
    invalid(
        "class index, too large", of("multi_margin", SCORES, [0, 3]), "/targets/1", "label", "class index from 0 to 2", "got 3"
    ),
    invalid("class index, negative", of("nll", [[-1.0, -0.5]], [-1]), "/targets/0", "label", "class index from 0 to 1", "got -1"),
    invalid("class index, a fraction", of("multi_margin", SCORES, [0, 0.5]), "/targets/1", "label", "got 0.5"),
    invalid("class index, 2 ** 64", of("multi_margin", SCORES, [0, 2**64]), "/targets/1", "label", "targets[1]"),
    invalid(
        "class index beside logits",
        of("CrossEntropyLoss", SCORES, [0, 7]),
        "/targets/1",
        "label",
        "class index from 0 to 2",
        "got 7",
    ),
    invalid(
        "ignored index of another number",
        of("CrossEntropyLoss", SCORES, [0, -2], ignore_index=-1),
        "/targets/1",
        "label",
        "got -2",
    ),
    invalid(
        "one-hot, two ones", of("multi_margin", SCORES, [[1, 0, 0], [1, 1, 0]]), "/targets/1", "row_sum", "sums to 1", "got 2"
    ),
    invalid("one-hot, no one", of("multi_margin", SCORES, [[0, 0, 0], [1, 0, 0]]), "/targets/0", "row_sum", "sums to 1", "got 0"),
    invalid(
        "smoothed labels without classes",
        of("zero_one", [0.2, 0.7], [0, 1], label_smoothing=0.1),
        "/loss/label_smoothing",
        "classes",
        "axis of classes",
    ),
    invalid(
        "distribution, negative",
        of("CrossEntropyLoss", SCORES, [[1.5, -0.5, 0], [1, 0, 0]]),
        "/targets/0/0",
        "out_of_range",
        "[0, 1]",
        "got 1.5",
    ),
    invalid(
        "distribution, sum",
        of("CrossEntropyLoss", SCORES, [[0.5, 0.4, 0], [1, 0, 0]]),
        "/targets/0",
        "row_sum",
        "sums to 1",
        "got 0.9",
    ),
    invalid("multi-hot", of("coverage_error", SCORES, [[0, 1, 1], [1, 0, 2]]), "/targets/1/2", "label", "0 or 1", "got 2"),
    invalid("index list", of("multilabel_margin", SCORES, [[0, 1], [3, -1]]), "/targets/1/0", "label", "from 0 to 2", "got 3"),
    invalid("group", of("circle", [[1.0, 0.0], [0.0, 1.0]], [0, 0.5]), "/targets/1", "label", "whole number", "got 0.5"),
    invalid("labels of a sequence", of("ctc", FRAMES, [[1, 3]], from_logits=True), "/targets/0/1", "label", "got 3"),
    invalid("the blank of a sequence", of("ctc", FRAMES, [[1, 0]], from_logits=True), "/targets/0/1", "label", "got 0"),
    invalid(
        "a label within its length that is none",
        of("ctc", FRAMES, [[1, -1]], target_lengths=[2], from_logits=True),
        "/targets/0/1",
        "label",
        "up to its target length",
        "got -1",
    ),
    invalid(
        "more frames than there are",
        of("ctc", FRAMES, [[1, 2]], input_lengths=[5], from_logits=True),
        "/loss/input_lengths/0",
        "out_of_range",
        "input_lengths[0]",
        "at most 4",
        "predictions",
        "got 5",
    ),
    invalid(
        "more labels than there are",
        of("ctc", FRAMES, [[1, 2]], target_lengths=[3], from_logits=True),
        "/loss/target_lengths/0",
        "out_of_range",
        "target_lengths[0]",
        "at most 2",
        "targets",
        "got 3",
    ),
    invalid(
        "a length too many",
        of("ctc", FRAMES, [[1, 2]], input_lengths=[4, 4], from_logits=True),
        "/loss/input_lengths",
        "length",
        "one number per sample",
        "1, not 2",
    ),
    invalid("labels to compare", of("hamming_loss", [0, 1], [0, 0.5]), "/targets/1", "label", "got 0.5"),
    invalid(
        "an unknown class",
        batch("CrossEntropyLoss", SCORES, ["cat", "cow"], classes=["cat", "dog", "bird"]),
        "/targets/1",
        "unknown_class",
        "targets[1]",
        "'cow'",
        "classes",
    ),
    invalid(
        "class names without classes",
        batch("CrossEntropyLoss", SCORES, ["cat", "dog"]),
        "/classes",
        "missing",
        "targets",
        "classes",
    ),
    invalid(
        "a class twice",
        batch("CrossEntropyLoss", SCORES, ["a", "b"], classes=["a", "b", "a"]),
        "/classes/2",
        "duplicate",
        "classes[2]",
        "'a'",
    ),
    invalid(
        "a class less than scores",
        batch("CrossEntropyLoss", SCORES, ["a", "b"], classes=["a", "b"]),
        "/classes",
        "length",
        "3",
        "not 2",
    ),
    invalid(
        "a class more than scores",
        batch("CrossEntropyLoss", SCORES, [0, 1], classes=["a", "b", "c", "d"]),
        "/classes",
        "length",
        "3",
        "not 4",
    ),
    invalid(
        "one class", batch("CrossEntropyLoss", SCORES, ["a", "a"], classes=["a"]), "/classes", "length", "classes", "at least 2"
    ),
    invalid(
        "a name among classes that are numbers",
        batch("CrossEntropyLoss", SCORES, [0, 1], classes=[0, "b", 2]),
        "/classes/1",
        "type",
        "classes[1]",
        "number",
        '"b"',
    ),
    invalid(
        "a number among class names",
        batch("CrossEntropyLoss", SCORES, [0, 1], classes=["a", "b", 2]),
        "/classes/2",
        "type",
        "classes[2]",
        "string",
    ),
    invalid("true among classes", batch("CrossEntropyLoss", SCORES, [0, 1], classes=[0, True, 2]), "/classes/1", "type"),
    invalid(
        "a number that is no class",
        batch("CrossEntropyLoss", SCORES, [10, 40], classes=[10, 20, 30]),
        "/targets/1",
        "unknown_class",
        "targets[1]",
        "one of classes",
        "got 40",
    ),
    invalid(
        "a number that is a class twice",
        batch("CrossEntropyLoss", SCORES, [10, 20], classes=[10, 20, 20.0]),
        "/classes/2",
        "duplicate",
        "classes[2]",
    ),
    invalid(
        "classes in a string", batch("CrossEntropyLoss", SCORES, [0, 1], classes="abc"), "/classes", "type", "classes", "list"
    ),
    invalid("classes of a loss of numbers", batch(classes=["a", "b"]), "/classes", "unexpected", "takes no class names"),
    invalid(
        "class names of a loss of numbers",
        batch(targets=["a", "b"], classes=["a", "b"]),
        "/targets",
        "not_a_number",
        "not strings",
    ),
    invalid(
        "class names and numbers",
        batch("CrossEntropyLoss", SCORES, ["a", 1], classes=["a", "b", "c"]),
        "/targets/0",
        "not_a_number",
        "not a string",
    ),
    invalid(
        "three class names for two",
        batch("hinge", [1, 2, 3], ["a", "b", "c"], classes=["a", "b", "c"]),
        "/classes",
        "length",
    ),
]

NUMBERS = [
    invalid(
        "a probability above 1",
        of("binary_cross_entropy", [0.5, 1.5], [1, 0]),
        "/predictions/1",
        "out_of_range",
        "predictions[1]",
        "[0, 1]",
        "got 1.5",
        "from_logits",
    ),
    invalid(
        "a probability below 0",
        of("binary_cross_entropy", [-0.1, 0.5], [1, 0]),
        "/predictions/0",
        "out_of_range",
        "got -0.1",
        "from_logits",
    ),
    invalid(
        "logits for a distribution",
        of("categorical_cross_entropy", SCORES, [0, 1]),
        "/predictions/0/0",
        "out_of_range",
        "got 2",
        "from_logits",
    ),
    invalid(
        "a row that does not sum to 1",
        of("categorical_cross_entropy", [[0.2, 0.5, 0.3], [0.6, 0.3, 0.2]], [0, 1]),
        "/predictions/1",
        "row_sum",
        "predictions[1]",
        "sums to 1",
    ),
    invalid(
        "a row that just does not sum to 1",
        of("categorical_cross_entropy", [[0.5, 0.511]], [0]),
        "/predictions/0",
        "row_sum",
        "sums to 1",
    ),
    invalid("percentages", of("binary_cross_entropy", [30, 60], [0, 1]), "/predictions/0", "out_of_range", "divide by 100"),
    invalid("labels from 1 on", of("CrossEntropyLoss", SCORES, [1, 3]), "/targets/1", "label", "count from 0", "subtract 1"),
    invalid("torch's label of none", of("multi_margin", SCORES, [1, -100]), "/targets/1", "label", "set ignore_index to -100"),
    invalid("two arrays", of("binary_cross_entropy", [0.5, 2], [7, 1]), "/predictions/1", "out_of_range", "got 2"),
    invalid(
        "a target row that does not sum to 1",
        of("kl_divergence", ROWS, [[0.2, 0.5, 0.3], [0.5, 0.3, 0.1]]),
        "/targets/1",
        "row_sum",
        "targets[1]",
    ),
    invalid(
        "log-probabilities above 0", of("nll", [[-0.5, 0.5]], [0]), "/predictions/0/1", "out_of_range", "at most 0", "got 0.5"
    ),
    invalid("a rate of 0", of("poisson_deviance", [1, 0], [1, 1]), "/predictions/1", "out_of_range", "above 0", "got 0"),
    invalid("a negative count", of("poisson_deviance", [1, 1], [1, -1]), "/targets/1", "out_of_range", "at least 0", "got -1"),
    invalid(
        "a variance of 0",
        of("gaussian_nll", {"mean": [1], "variance": [0]}, [1], eps=0),
        "/predictions/variance/0",
        "out_of_range",
        "predictions.variance[0]",
    ),
    invalid(
        "a logarithm of nothing",
        of("mean_squared_logarithmic_error", [-1, 0], [0, 0]),
        "/predictions/0",
        "out_of_range",
        "above −1",
        "got -1",
    ),
    invalid("a box inside out", of("iou", [[2, 0, 1, 1]], BOXES), "/predictions/0/2", "box", "predictions[0, 2]"),
    invalid(
        "a box of no width",
        of("iou", [[2, 0, -1, 1]], BOXES, box_format="cxcywh"),
        "/predictions/0/2",
        "box",
        "at least 0",
        "not [x1, y1, x2, y2]",
        "got -1",
    ),
    invalid(
        "a negative weight",
        batch(sample_weight=[1, -1]),
        "/sample_weight/1",
        "out_of_range",
        "sample_weight[1]",
        "at least 0",
        "got -1",
    ),
    invalid("weights that overflow", batch(sample_weight=[1e308, 1e308]), "/sample_weight", "out_of_range", "finite sum"),
    invalid(
        "class weights that overflow",
        of("CrossEntropyLoss", SCORES, [0, 0], class_weight=[1e308, 1, 1]),
        "/loss/class_weight",
        "out_of_range",
        "finite sum",
    ),
    invalid(
        "class weights that overflow beside weights",
        batch({"name": "CrossEntropyLoss", "class_weight": [1e308, 1e308, 1]}, SCORES, [0, 1], sample_weight=[2, 0.5]),
        "/loss/class_weight",
        "out_of_range",
        "class_weight",
        "finite sum",
    ),
    invalid("weights of 0", batch(sample_weight=[0, 0]), "/sample_weight", "no_samples", "0 for every sample"),
    invalid("weights too few", batch(sample_weight=[1]), "/sample_weight", "shape_mismatch", "(2,)", "(1,)"),
    invalid("weights too many", batch(sample_weight=[1, 1, 1]), "/sample_weight", "shape_mismatch", "(2,)", "(3,)"),
    invalid("weights in rows", batch(sample_weight=[[1], [1]]), "/sample_weight", "shape_mismatch", "(2,)", "(2, 1)"),
    invalid("a mask that drops all", batch(mask=[False, False]), "/mask", "no_samples", "mask drops every sample"),
    invalid("a mask too short", batch(mask=[True]), "/mask", "shape_mismatch", "(2,)", "(1,)"),
    invalid("a mask too long", batch(mask=[True, True, True]), "/mask", "shape_mismatch", "(2,)", "(3,)"),
    invalid("a mask of nothing", batch(mask=[]), "/mask", "empty", "mask is empty"),
    invalid("a mask of numbers", batch(mask=[0.5, 2]), "/mask/0", "type", "mask[0]", "boolean"),
    invalid("a mask of numbers and booleans", batch(mask=[True, 1]), "/mask/1", "type", "mask[1]", "boolean", "number"),
    invalid("a mask of numbers in a row", batch(mask=[[1, 0], [True, False]]), "/mask/0/0", "type", "mask[0, 0]", "boolean"),
    invalid("a mask of strings", batch(mask=["true", "false"]), "/mask/0", "type", "mask[0]", "boolean"),
    invalid("a mask with null", batch(mask=[True, None]), "/mask/1", "type", "mask[1]", "boolean", "null"),
    invalid("a mask in rows", batch(mask=[[True], [True]]), "/mask", "shape_mismatch", "(2,)", "(2, 1)"),
    invalid("a mask of ragged rows", batch(mask=[[True], [True, False]]), "/mask/1", "ragged", "rows must be of one length"),
    invalid("a mask of words in rows", batch(mask=[[True], ["no"]]), "/mask/1/0", "type", "mask[1, 0]", "boolean"),
    invalid("a mask that is no list", batch(mask=True), "/mask", "type", "mask", "list"),
    invalid(
        "nothing but weights of 0 unmasked",
        batch(mask=[True, False], sample_weight=[0, 1]),
        "/sample_weight",
        "no_samples",
        "0 for every sample",
    ),
    invalid(
        "every target ignored", of("CrossEntropyLoss", SCORES, [-1, -1], ignore_index=-1), "/targets", "no_samples", "ignored"
    ),
]

PARAMETERS = [
    invalid("a bound", batch(huber(0)), "/loss/delta", "out_of_range", "loss.delta", "greater than 0", "got 0"),
    invalid("a negative", batch(huber(-1.5)), "/loss/delta", "out_of_range", "loss.delta", "got -1.5"),
    invalid(
        "above a bound",
        batch({"name": "quantile", "quantile": 1.5}),
        "/loss/quantile",
        "out_of_range",
        "less than or equal to 1",
        "got 1.5",
    ),
    invalid("a string", batch(huber("1.0")), "/loss/delta", "type", "loss.delta", "number", '"1.0"'),
    invalid("true", batch(huber(True)), "/loss/delta", "type", "loss.delta", "number", "true"),
    invalid("a list", batch(huber([1.0])), "/loss/delta", "type", "loss.delta", "number"),
    invalid("an object", batch(huber({"value": 1})), "/loss/delta", "type", "loss.delta", "number"),
    invalid(
        "a number for a flag", of("binary_cross_entropy", [0.5], [1], from_logits=1), "/loss/from_logits", "type", "boolean", "1"
    ),
    invalid(
        "a string for a flag", of("binary_cross_entropy", [0.5], [1], from_logits="yes"), "/loss/from_logits", "type", "boolean"
    ),
    invalid(
        "another choice",
        of("kl_divergence", ROWS, ROWS, input_format="logit"),
        "/loss/input_format",
        "choice",
        "'probabilities'",
        "logit",
    ),
    invalid("another number", of("multi_margin", SCORES, [0, 1], p=3), "/loss/p", "choice", "1 or 2", "3"),
    invalid(
        "a fraction for an index",
        of("CrossEntropyLoss", SCORES, [0, 1], ignore_index=0.5),
        "/loss/ignore_index",
        "type",
        "integer",
    ),
    invalid(
        "an index beyond 64 bits",
        of("CrossEntropyLoss", SCORES, [0, 1], ignore_index=10**20),
        "/loss/ignore_index",
        "type",
        "integer",
    ),
    invalid("a clip of logits", of("CrossEntropyLoss", SCORES, [0, 1], clip=0.1), "/loss/clip", "clip", "from_logits"),
    invalid("another power between", of("tweedie_nll", [1], [1], power=0.5), "/loss/power", "out_of_range", "power", "0.5"),
    invalid("a power between", of("tweedie_deviance", [1], [1], power=0.5), "/loss/power", "out_of_range", "power", "0.5"),
    invalid(
        "a number per class too few",
        of("CrossEntropyLoss", SCORES, [0, 1], class_weight=[1, 2]),
        "/loss/class_weight",
        "length",
        "3",
        "not 2",
    ),
    invalid(
        "a string in a list",
        of("CrossEntropyLoss", SCORES, [0, 1], class_weight=[1, "2", 3]),
        "/loss/class_weight/1",
        "type",
        "class_weight[1]",
    ),
    invalid(
        "a negative in a list",
        of("CrossEntropyLoss", SCORES, [0, 1], class_weight=[1, -2, 3]),
        "/loss/class_weight/1",
        "out_of_range",
        "class_weight[1]",
    ),
    unknown(
        "an unknown parameter",
        batch({"name": "huber", "dleta": 1}),
        "/loss/dleta",
        "unknown_parameter",
        "'dleta'",
        "did you mean delta?",
    ),
    unknown(
        "a parameter of a loss without",
        batch({"name": "mse", "delta": 1}),
        "/loss/delta",
        "unknown_parameter",
        "'delta'",
        "takes none",
    ),
    unknown("a parameter unlike any", batch({"name": "huber", "x": 1}), "/loss/x", "unknown_parameter", "'x'", "it takes delta"),
    unknown("a parameter with a slash", batch({"name": "huber", "a/b~c": 1}), "/loss/a~1b~0c", "unknown_parameter", "'a/b~c'"),
    unknown("an unknown loss", batch("huberr"), "/loss", "unknown_loss", "'huberr'", "Did you mean huber"),
    unknown(
        "an unknown loss in an object",
        batch({"name": "mean_square_error"}),
        "/loss/name",
        "unknown_loss",
        "Did you mean mean_squared_error",
    ),
    unknown("a loss unlike any", batch("zzzzzzzz"), "/loss", "unknown_loss", "There is no loss named 'zzzzzzzz'."),
    unknown("a loss without a name", batch(""), "/loss", "unknown_loss", "''"),
    unknown("a control character as a loss", batch("\x00\x1b[31m"), "/loss", "unknown_loss", "\\x00\\x1b"),
    invalid("no loss", {"predictions": [1], "targets": [1]}, "/loss", "missing", "loss is missing"),
    invalid("loss null", batch(None), "/loss", "type", "name or an object"),
    invalid("loss a number", batch(1), "/loss", "type", "name or an object"),
    invalid("loss a list", batch([]), "/loss", "type", "name or an object"),
    invalid("loss an empty object", batch({}), "/loss/name", "missing", "loss.name is missing"),
    invalid("loss name a number", batch({"name": 1}), "/loss/name", "type", "loss.name must be a string"),
    invalid("loss name null", batch({"name": None}), "/loss/name", "type", "loss.name must be a string"),
    invalid("loss name a list", batch({"name": ["mse"]}), "/loss/name", "type", "loss.name must be a string"),
]

FIELDS = [
    invalid("an unknown field", batch(weights=[1, 1]), "/weights", "unknown_field", "'weights'"),
    invalid("a field in another case", batch(Reduction="sum"), "/Reduction", "unknown_field", "'Reduction'"),
    invalid("an empty key", batch(**{"": 1}), "/", "unknown_field", "''"),
    invalid("an unknown reduction", batch(reduction="avg"), "/reduction", "choice", "'mean'", "'none'", '"avg"'),
    invalid("a reduction that is a number", batch(reduction=1), "/reduction", "choice", "'mean'"),
    invalid("a reduction that is a list", batch(reduction=["mean"]), "/reduction", "choice", "'mean'"),
    invalid(
        "a sum of medians",
        batch("median_absolute_error", reduction="sum"),
        "/reduction",
        "reduction",
        "median",
        "no sum",
        "mean or none",
    ),
    invalid("an unknown output", batch(outputs=["value", "valu"]), "/outputs/1", "choice", "'per_sample'", '"valu"'),
    invalid("batchmean", batch(reduction="batchmean"), "/reduction", "choice", "mean where samples are rows", "divide"),
    invalid("targets by both names", batch(labels=[1, 2]), "/labels", "duplicate", "targets"),
    invalid("labels that do not fit", {"loss": "hinge", "predictions": [1, 2], "labels": [1, 7]}, "/labels/1", "label", "got 7"),
    invalid("no labels in the list", {"loss": "mse", "predictions": [1, 2], "labels": []}, "/labels", "empty", "is empty"),
    invalid("no outputs", batch(outputs=[]), "/outputs", "length", "at least 1"),
    invalid("outputs that are numbers", batch(outputs=[1, 2]), "/outputs/0", "choice", "outputs[0]", "'value'"),
    invalid("no predictions", {"loss": "mse", "targets": [1]}, "/predictions", "missing", "predictions is missing"),
    invalid("predictions null", batch(predictions=None), "/predictions", "missing", "needs predictions"),
    invalid("no targets", batch(targets=None), "/targets", "missing", "mean_squared_error needs targets"),
    invalid(
        "targets where none are taken",
        of("triplet_margin", {"anchor": [[1]], "positive": [[1]], "negative": [[2]]}, [1]),
        "/targets",
        "unexpected",
        "takes no targets",
    ),
    invalid(
        "a named input missing",
        of("gaussian_nll", {"mean": [1]}, [1]),
        "/predictions",
        "missing",
        "predictions.variance is missing",
    ),
    invalid("named inputs missing", of("gaussian_nll", {}, [1]), "/predictions", "missing", "predictions.mean is missing"),
    invalid(
        "an unknown named input",
        of("gaussian_nll", {"mean": [1], "variance": [1], "a/b": [1]}, [1]),
        "/predictions/a~1b",
        "unknown_field",
        "predictions.a/b",
        "mean, variance",
    ),
    invalid("an array for named inputs", of("gaussian_nll", [1, 2], [1, 2]), "/predictions", "not_an_object", "{mean, variance}"),
    invalid(
        "named inputs for an array",
        batch(predictions={"mean": [1, 2]}),
        "/predictions",
        "not_an_array",
        "must be an array, not an object",
    ),
    invalid(
        "objects in a named input",
        of("gaussian_nll", {"mean": {"a": [1]}, "variance": [1]}, [1]),
        "/predictions/mean",
        "not_an_array",
        "not an object",
    ),
    invalid("nothing at all", {}, "/loss", "missing", "loss is missing"),
]

DOCUMENTS = [
    malformed("truncated", '{"loss": "mse", "predictions": [1, 2', "not JSON", "line 1, column 37"),
    malformed("truncated in a string", '{"loss": "ms', "not JSON"),
    malformed("trailing comma", '{"loss": "mse",}', "not JSON", "line 1"),
    malformed("trailing comma in an array", raw("[1, 2,]"), "not JSON"),
    malformed("trailing garbage", json.dumps(batch()) + " x", "not JSON", "Extra data"),
    malformed("two documents", json.dumps(batch()) * 2, "not JSON", "Extra data"),
    malformed("single quotes", "{'loss': 'mse'}", "not JSON"),
    malformed("a comment", '{"loss": "mse" /* so */}', "not JSON"),
    malformed("a leading zero", raw("[01]"), "not JSON"),
    malformed("a bare fraction", raw("[.5]"), "not JSON"),
    malformed("a plus sign", raw("[+1]"), "not JSON"),
    malformed("a hexadecimal number", raw("[0x10]"), "not JSON"),
    malformed("nan", raw("[nan]"), "not JSON"),
    malformed("a control character in a string", '{"loss": "m\tse"}', "not JSON", "control character"),
    malformed("an unknown escape", '{"loss": "\\x41"}', "not JSON"),
    malformed("UTF-16", json.dumps(batch()).encode("utf-16"), "not UTF-8", "byte 0"),
    malformed("Latin-1", '{"loss": "é"}'.encode("latin-1"), "not UTF-8", "byte 10"),
    malformed("an overlong encoding", b'{"loss": "\xc0\xaf"}', "not UTF-8", "byte 10"),
    malformed("an encoded surrogate", b'{"loss": "\xed\xa0\x80"}', "not UTF-8", "byte 10"),
    malformed("an array", [batch()], "JSON object, not an array"),
    malformed("a number", "1", "JSON object, not a number"),
    malformed("a string", '"mse"', "JSON object, not a string"),
    malformed("null", "null", "JSON object, not null"),
    malformed("true", "true", "JSON object, not a boolean"),
    malformed("NaN", "NaN", "JSON object, not a number"),
    malformed("nothing", b"", "empty"),
    malformed("white space", b" \n ", "not JSON"),
    malformed("a zero byte", b"\x00", "not JSON"),
    malformed("a key twice", raw("[1]", more=', "loss": "mae"'), "'loss' stands twice"),
    malformed("a key twice in the loss", raw("[1]", '{"name": "huber", "delta": 1, "delta": 2}'), "'delta' stands twice"),
    malformed("a key twice in predictions", raw('{"a": [1], "a": [1]}'), "'a' stands twice"),
    malformed("a key twice, escaped", raw("[1]", more=', "\\u006coss": "mae"'), "'loss' stands twice"),
    malformed("half a surrogate pair as a loss", raw("[1]", '"\\ud800"'), "surrogate"),
    malformed("the other half in a name", raw("[1]", '{"name": "mse\\udc00"}'), "surrogate"),
    malformed("half a surrogate pair as a key", raw("[1]", more=', "\\ud800": 1'), "surrogate"),
    malformed("half a surrogate pair as a parameter", raw("[1]", '{"name": "huber", "\\ud800": 1}'), "surrogate"),
    malformed("half a surrogate pair as a class", raw("[1]", more=', "classes": ["\\ud800", "b"]'), "surrogate"),
    malformed("half a surrogate pair as a reduction", raw("[1]", more=', "reduction": "\\ud83d"'), "surrogate"),
    malformed("brackets", nested(100_000), "too deeply"),
    malformed("brackets that stay open", "[" * 100_000, "too deeply"),
    malformed("brackets for predictions", raw(nested(100_000)), "too deeply"),
    malformed("80 axes", raw(nested(80)), "too deeply", "64"),
    malformed("400 axes", raw(nested(400)), "too deeply"),
    malformed("400 empty arrays", raw(nested(400, "")), "too deeply"),
    malformed("400 arrays of a string", raw(nested(400, '"x"')), "too deeply"),
    malformed("objects", nested(100_000, "1", '{"a":', "}"), "too deeply"),
    malformed("objects that stay open", '{"a":' * 100_000, "too deeply"),
    malformed("objects for a loss", raw("[1]", nested(400, "1", '{"name":', "}")), "too deeply"),
    malformed(
        "objects for a parameter", raw("[1]", '{"name": "huber", "delta": ' + nested(400, "1", '{"a":', "}") + "}"), "too deeply"
    ),
    malformed("objects and arrays", raw(nested(100, "1", '[{"a":', "}]")), "too deeply"),
]

LARGE = [
    invalid(
        "100,000 wrong numbers",
        batch(predictions=[None] * 100_000, targets=[0] * 100_000),
        "/predictions/0",
        "not_a_number",
        "predictions[0]",
    ),
    invalid("100,000 strings", batch(predictions=["x"] * 100_000), "/predictions", "not_a_number", "not strings"),
    invalid(
        "a wrong number at the end",
        batch(predictions=[1.5] * 100_000 + ["x"]),
        "/predictions/100000",
        "not_a_number",
        "predictions[100000]",
    ),
    invalid("100,000 wrong labels", of("hinge", [1] * 100_000, [7] * 100_000), "/targets/0", "label", "targets[0]", "got 7"),
    invalid(
        "100,000 wrong probabilities",
        of("binary_cross_entropy", [7] * 100_000, [1] * 100_000),
        "/predictions/0",
        "out_of_range",
        "got 7",
    ),
    invalid("100,000 ragged rows", batch(predictions=[[1]] + [[1, 2]] * 100_000), "/predictions/1", "ragged", "predictions[1]"),
    invalid("100,000 empty rows", batch(predictions=[[]] * 100_000), "/predictions/0", "empty", "predictions[0]"),
    invalid(
        "100,000 unknown classes",
        batch("CrossEntropyLoss", SCORES, ["x"] * 100_000, classes=["a", "b", "c"]),
        "/targets/0",
        "unknown_class",
        "'x'",
    ),
    invalid("100,000 unknown fields", batch(**{f"x{i}": i for i in range(100_000)}), "/x0", "unknown_field", "'x0'"),
    unknown(
        "100,000 unknown parameters",
        batch({"name": "huber", **{f"delta{i}": 1 for i in range(100_000)}}),
        "/loss/delta0",
        "unknown_parameter",
        "'delta0'",
    ),
    invalid(
        "100,000 named inputs",
        of("gaussian_nll", {f"mean{i}": [1] for i in range(100_000)}, [1]),
        "/predictions",
        "missing",
        "predictions.mean",
    ),
    malformed("the last of 100,000 keys twice", keys(100_000, "99999"), "'99999' stands twice"),
    unknown("a long loss", batch(LONG), "/loss", "unknown_loss", "There is no loss named 'xxx"),
    invalid("a long field", batch(**{LONG: 1}), "/" + "x" * 80, "unknown_field", "no field 'xxx"),
    unknown("a long parameter", batch({"name": "huber", LONG: 1}), "/loss/" + "x" * 80, "unknown_parameter", "no parameter 'xxx"),
    invalid("a long value of a parameter", batch(huber(LONG)), "/loss/delta", "type", "loss.delta", "number"),
    invalid("a long reduction", batch(reduction=LONG), "/reduction", "choice", "'mean'"),
    invalid(
        "a long class",
        batch("CrossEntropyLoss", SCORES, [LONG, "a"], classes=["a", "b", "c"]),
        "/targets/0",
        "unknown_class",
        "'xxx",
    ),
    invalid(
        "a long name of an input",
        of("gaussian_nll", {"mean": [1], "variance": [1], LONG: [1]}, [1]),
        "/predictions/" + "x" * 80,
        "unknown_field",
    ),
    malformed("a long key twice", f'{{"{LONG}": 1, "{LONG}": 2}}', "stands twice"),
]

CASES = [*NOT_NUMBERS, *NOT_FINITE, *SHAPES, *LABELS, *NUMBERS, *PARAMETERS, *FIELDS, *DOCUMENTS, *LARGE]


@folded("case", CASES, lambda case: case.code or case.problem)
async def test_refused(case: Case, post: Post) -> None:
    body = problem_of(await post(case.body))
    assert (body["status"], body["code"]) == (case.status, case.problem)
    message = body["detail"]
    if case.pointer is None:
        assert body["errors"] == []
    else:
        first = body["errors"][0]
        assert (first["pointer"], first["code"]) == (case.pointer, case.code)
        message = first["message"]
    for words in case.words:
        assert words in message
    assert "x" * 100 not in json.dumps(body)


def test_no_case_is_listed_twice() -> None:
    assert len({case.body for case in CASES}) == len(CASES)


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "text/json", "application/octet-stream", "multipart/form-data; b=x", "application/jsonp", "json", LONG[:1000]],
)
async def test_other_media_types_are_refused(content_type: str, post: Post) -> None:
    body = problem_of(await post(_bytes(batch()), content_type))
    assert (body["status"], body["code"], body["errors"]) == (415, "unsupported_media_type", [])
    assert "application/json" in body["detail"]
    assert content_type.partition(";")[0][:80] in body["detail"]
    assert "x" * 100 not in body["detail"]


@pytest.mark.parametrize(
    "content_type",
    [None, "application/json", "application/json; charset=utf-8", "Application/JSON", "application/vnd.criterion+json"],
)
async def test_json_is_taken_under_its_names_and_under_none(content_type: str | None, post: Post) -> None:
    response = await post(_bytes(batch()), content_type)
    assert response.status_code == 200
    assert response.json()["value"] == 0.5


TAKEN: dict[str, tuple[bytes, float]] = {
    "a byte order mark": (b"\xef\xbb\xbf" + _bytes(batch()), 0.5),
    "white space around": (b"\r\n\t " + _bytes(batch()) + b"\n\n", 0.5),
    "minus zero": (b'{"loss": "mse", "predictions": [-0, -0.0], "targets": [1, 1]}', 1.0),
    "an escaped key": (b'{"\\u006coss": "mse", "predictions": [1], "targets": [1]}', 0.0),
    "integers beyond 64 bits": (_bytes(batch("mae", [2**64, 2**64], [0, 0])), 2.0**64),
    "the largest integer that a double holds": (_bytes(batch("mae", [int(1.7976931348623157e308)], [0])), 1.7976931348623157e308),
    "a number that is too small": (b'{"loss": "mae", "predictions": [1e-400], "targets": [1]}', 1.0),
    "17 digits": (b'{"loss": "mae", "predictions": [0.1000000000000000055511151231257827], "targets": [0]}', 0.1),
    "a parameter of 1e308": (_bytes(batch(huber(1e308))), 0.25),
    "a parameter of 2 ** 64": (_bytes(batch(huber(2**64))), 0.25),
    "an index of 64 bits": (_bytes(of("nll", [[-0.5, -1.0]], [0], ignore_index=2**63)), 0.5),
    "an integer for a float": (_bytes(batch(huber(1))), 0.25),
    "null for what may be left out": (
        _bytes(batch(huber(None), sample_weight=None, mask=None, classes=None, reduction=None, outputs=None)),
        0.25,
    ),
    "labels": (_bytes({"loss": "mse", "predictions": [1, 2], "labels": [1, 3]}), 0.5),
    "an output that stands alone": (_bytes(batch(outputs="value")), 0.5),
    "an integer with a point": (_bytes(of("multi_margin", [[0.0, 0.5]], [1], p=2.0)), 0.125),
    "a reduction in capitals": (_bytes(batch(reduction="MEAN")), 0.5),
    "a reduction of Keras": (_bytes(batch(reduction="sum_over_batch_size", sample_weight=[2, 4])), 2.0),
    "a reduction of Keras 3": (_bytes(batch(reduction="mean_with_sample_weight", sample_weight=[2, 4])), 2 / 3),
    "a reduction of TensorFlow 1": (_bytes(batch(reduction="weighted_sum", sample_weight=[2, 4])), 4.0),
    "an emoji as a class": (_bytes(batch("hinge", [1, -1], ["🐈", "🐕"], classes=["🐕", "🐈"])), 0.0),
    "a zero character as a class": (_bytes(batch("hinge", [1, -1], ["\x00", "a"], classes=["a", "\x00"])), 0.0),
}


@folded("name", TAKEN, lambda name: "all")
async def test_taken(name: str, post: Post) -> None:
    body, value = TAKEN[name]
    response = await post(body)
    assert response.status_code == 200
    assert strictly(response.text)["value"] == value


async def test_faults_of_both_arrays_are_told(post: Post) -> None:
    body = problem_of(await post(_bytes(of("binary_cross_entropy", [0.5, 2], [7, 1]))))
    assert [fault["pointer"] for fault in body["errors"]] == ["/predictions/1", "/targets/0"]


async def test_every_fault_of_a_document_is_named_up_to_twenty(post: Post) -> None:
    body = problem_of(await post(_bytes(batch(huber(-1), reduction="avg", more=1))))
    assert {(error["pointer"], error["code"]) for error in body["errors"]} == {
        ("/loss/delta", "out_of_range"),
        ("/reduction", "choice"),
        ("/more", "unknown_field"),
    }
    body = problem_of(await post(_bytes(of("hinge", [1] * 30, [7] * 30))))
    assert [error["pointer"] for error in body["errors"]] == [f"/targets/{index}" for index in range(20)]
    assert "30 of 30" in body["detail"]


async def test_a_row_behind_a_mask_keeps_its_number(post: Post) -> None:
    request = batch("hinge", [1, 2, 3, 4], [1, 9, 1, 7], mask=[True, False, True, True])
    body = problem_of(await post(_bytes(request)))
    assert [error["pointer"] for error in body["errors"]] == ["/targets/3"]


async def test_every_code_is_in_the_docs(client: httpx.AsyncClient) -> None:
    description: str = (await client.get("/openapi.json")).json()["info"]["description"]
    codes: set[Any] = {case.code for case in CASES if case.code} | {case.problem for case in CASES}
    assert {code for code in codes if f"`{code}`" not in description} == set()


CLIPS = (b"null", b"1e400", b"0.1", b"1", b"true", b"-0.0", b'"0.1"', b"[0.1]", b"[]", b"{}", b"1e-1", b"-1e400")
"""Ways to write one parameter, several of which look alike once they are read."""


async def test_no_answer_depends_on_what_was_asked_before(client: httpx.AsyncClient) -> None:
    rows, labels = [[0.9, 0.1], [0.2, 0.8]], [0, 1]
    tensors: list[dict[str, Any]] = [
        {"name": "predictions", "datatype": "FP64", "shape": [2, 2], "data": rows},
        {"name": "targets", "datatype": "INT64", "shape": [2], "data": labels},
    ]
    bodies: dict[str, dict[str, Any]] = {
        "/v1/evaluate": of("categorical_cross_entropy", rows, labels, clip="?"),
        "/v2/models/categorical_cross_entropy/infer": {"inputs": tensors, "parameters": {"clip": "?"}},
    }
    for path, body in bodies.items():
        answers: dict[bytes, set[bytes]] = {clip: set() for clip in CLIPS}
        for clip in (*CLIPS, *reversed(CLIPS)):
            response = await client.post(path, content=json.dumps(body).encode().replace(b'"?"', clip))
            assert response.status_code in (200, 400, 422)
            answers[clip].add(response.content)
        assert all(len(answer) == 1 for answer in answers.values())
        assert answers[b"null"] != answers[b"1e400"]
