"""What clients of ten languages send, and what people get wrong: each line of two lists that were made by trying.

A request that most would expect to work gives the number that it means. A mistake is told with its place, its rule, and the
words by which whoever made it can mend it.
"""

import gzip
from typing import Any, NamedTuple

import httpx
import numpy as np
import pytest

from tests.api.problem import problem_of
from tests.api.test_tables import CSV

pytestmark = pytest.mark.anyio


class Hint(NamedTuple):
    """How a request is refused: the first fault, and words of its message."""

    pointer: str
    code: str
    words: str
    status: int = 422


P, T = [0.2, 0.8], [0, 1]
SCORES = [[2.0, 1.0, 0.5], [0.5, 2.5, 1.0]]
THIRDS = [[0.3333, 0.3333, 0.3333]]


def weighed(class_weight: object) -> dict[str, Any]:
    return of({"name": "CrossEntropyLoss", "class_weight": class_weight}, SCORES, T)


def of(loss: object, predictions: object = P, targets: object = T, **more: object) -> dict[str, Any]:
    return {"loss": loss, "predictions": predictions, "targets": targets, **more}


class Sent(NamedTuple):
    """What somebody sends, and what comes of it: a number, a refusal, or what comes of another request."""

    request: dict[str, Any]
    expected: "float | Hint | dict[str, Any]"
    path: str = "/v1/evaluate"


TRAIN = "/v1/train"
OWN = {"inputs": [[1, 2], [2, 1], [3, 5], [4, 4], [5, 0], [6, 3]], "targets": [0, 1, 0, 1, 0, 1]}
MULTIPLE = {**OWN, "targets": ["a", "b", "c"] * 2}
BRIEF = {"data": OWN, "loss": {"name": "bce", "from_logits": True}, "epochs": 2, "model": {"name": "mlp", "hidden": [3]}}


def tensors(loss: str, predictions: list[float], labels: list[Any], datatype: str, of_labels: str, *shape: int) -> Sent:
    """The same by the inference protocol, of which the value is expected to be that of a request to /v1."""
    inputs = [
        {"name": "predictions", "shape": shape or (len(labels),), "datatype": datatype, "data": predictions},
        {"name": "targets", "shape": (len(labels),), "datatype": of_labels, "data": labels},
    ]
    rows = np.array(predictions, np.float16 if datatype == "FP16" else np.float64).reshape(shape or -1).tolist()
    return Sent({"inputs": inputs}, of(loss, rows, labels), f"/v2/models/{loss}/infer")


SENT: dict[str, dict[str, Sent]] = {
    "true and false for labels": {
        "of classes": Sent(of("bce", [0.5, 0.5], [True, False]), 0.6931471805599453),
        "of signs": Sent(of("hinge", [0.5, 0.5], [True, False]), 1.0),
        "a matrix": Sent(of("multilabel_soft_margin", [[0, 0]], [[True, False]]), 0.6931471805599453),
        "of a run": Sent({**BRIEF, "data": {**OWN, "targets": [False, True] * 3}}, BRIEF, TRAIN),
        "as tensors": tensors("bce", [0.5, 0.25], [True, False], "FP64", "BOOL"),
        "among numbers": Sent(of("bce", P, [True, 0]), Hint("/targets/0", "not_a_number", "not a boolean")),
        "for predictions": Sent(of("bce", [True, False], T), Hint("/predictions", "not_a_number", "numbers, not booleans")),
    },
    "probabilities of few digits": {
        "four": Sent(of("categorical_cross_entropy", THIRDS, [0]), 1.098712293668443),
        "of half precision": tensors("categorical_cross_entropy", THIRDS[0], [0], "FP16", "INT64", 1, 3),
        "far from 1": Sent(
            of("categorical_cross_entropy", [[0.3, 0.3, 0.3]], [0]),
            Hint("/predictions/0", "row_sum", "set normalize to true to divide each row by its sum"),
        ),
        "far from 1, to be divided": Sent(
            of({"name": "categorical_cross_entropy", "normalize": True}, [[0.3, 0.3, 0.3]], [0]), 1.0986122886681098
        ),
        "counts": Sent(of({"name": "kl_divergence", "normalize": True}, [[2, 2]], [[7, 7]]), 0.0),
        "nothing": Sent(
            of({"name": "brier_score", "normalize": True}, [[0, 0]], [0]),
            Hint("/predictions/0", "row_sum", "whose sum is above 0"),
        ),
    },
    "missing numbers": {
        "where a mask drops them": Sent(of("mse", [1, 5, 3], [1, None, 3], mask=[True, False, True]), 0.0),
        "where a weight of 0 drops them": Sent(of("mse", [1, 5], [2, None], sample_weight=[1, 0]), 1.0),
        "in words": Sent(of("mse", [1, "NaN"], [2, 1], mask=[True, False]), 1.0),
        "of one label of a sample": Sent(of("mse", [[1, 2]], [[3, None]], mask=[[True, False]]), 4.0),
        "to be dropped": Sent(of("mse", [1, 5], [2, None], missing="drop"), 1.0),
        "elsewhere": Sent(
            of("mse", P, [1, None]),
            Hint("/targets/1", "not_a_number", 'set mask to false there, or send "missing": "drop"'),
        ),
        "R's NA": Sent(of("mse", P, [1, "NA"]), Hint("/targets/1", "not_a_number", "not a string")),
    },
    "a mask of 0 and 1": {
        "of samples": Sent(of("mse", [1, 5], [2, 5], mask=[1, 0]), 1.0),
        "of labels": Sent(of("mse", [[1, 2]], [[3, 9]], mask=[[1, 0]]), 4.0),
        "of other numbers": Sent(of("mse", P, T, mask=[1, 2]), Hint("/mask/1", "type", "a boolean, or 1 or 0; got 2")),
    },
    "classes by name and number": {
        "without classes": Sent(
            of("CrossEntropyLoss", SCORES, ["a", "b"]), Hint("/classes", "missing", 'their order in "classes"')
        ),
        "names": Sent(
            of("CrossEntropyLoss", SCORES, ["a", "b"], classes=["a", "b", "c"]), of("CrossEntropyLoss", SCORES, [0, 1])
        ),
        "names that are digits": Sent(
            of("CrossEntropyLoss", SCORES, ["1", "2"], classes=["1", "2", "3"]), of("CrossEntropyLoss", SCORES, [0, 1])
        ),
        "from 1 on, with classes": Sent(of("CrossEntropyLoss", [[0, 0], [0, 0]], [1, 2], classes=[1, 2]), 0.6931471805599453),
        "1 and 2 of two classes": Sent(of("bce", P, [1, 2], classes=[1, 2]), of("bce", P, T)),
        "from 1 on": Sent(of("CrossEntropyLoss", SCORES, [1, 3]), Hint("/targets/1", "label", "labels count from 0")),
    },
    "a bare value for a list of one": {
        "outputs": Sent(of("mse", [1], [3], outputs="value"), 4.0),
        "metrics": Sent({**BRIEF, "metrics": "accuracy"}, {**BRIEF, "metrics": ["accuracy"]}, TRAIN),
        "hidden": Sent({**BRIEF, "model": {"name": "mlp", "hidden": 3}}, BRIEF, TRAIN),
        "an array": Sent(of("mse", 1.5, 2), Hint("/predictions", "not_an_array", "one sample is [1.5] (R: I(1.5))")),
    },
    "a loss in a list": {
        "one": Sent(of(["mse"]), Hint("/loss", "type", 'several are {"name": "weighted_sum", "terms": [{"loss"')),
        "with weights": Sent(of({"mse": 0.7, "mae": 0.3}), Hint("/loss/name", "missing", '"weighted_sum"')),
        "a formula": Sent(of({"formula": "(p - y)**2"}), Hint("/loss/name", "missing", '{"name": "expression", "value":')),
    },
    "a data frame": {
        "its values": Sent(of("mse", [[1, 2]], [[3, 2]]), 2.0),
        "records": Sent(of("mse", "p", "t", data=[{"p": 1, "t": 3}]), 4.0),
        "lists": Sent(of("mse", "p", "t", data={"p": [1], "t": [3]}), 4.0),
        "columns": Sent(of("mse", "p", "t", data={"p": {"0": 1}, "t": {"0": 3}}), 4.0),
        "split": Sent(of("mse", "p", "t", data={"columns": ["p", "t"], "index": [0], "data": [[1, 3]]}), 4.0),
        "table": Sent(of("mse", "p", "t", data={"schema": {}, "data": [{"index": 0, "p": 1, "t": 3}]}), 4.0),
        "index": Sent(
            of("mse", "p", "t", data={"0": {"p": 1, "t": 3}}),
            Hint("/predictions", "unknown_column", 'pandas\' orient "index", send its orient "split", "records" or "columns"'),
        ),
        "for predictions": Sent(of("mse", [{"p": 1}], [3]), Hint("/predictions/0", "not_a_number", "the table is sent in data")),
        "of a run": Sent(
            {
                **BRIEF,
                "data": {"rows": [{"a": a, "b": b, "y": y} for (a, b), y in zip(*OWN.values(), strict=True)], "targets": "y"},
            },
            BRIEF,
            TRAIN,
        ),
    },
    "arrays that became objects": {
        "of JavaScript": Sent(of("mse", {"0": 1, "1": 2}, T), Hint("/predictions", "not_an_array", "JavaScript: Array.from")),
        "with gaps": Sent(of("mse", {"0": 1, "2": 2}, T), Hint("/predictions", "not_an_array", "pandas: tolist")),
        "for labels": Sent(of("mse", P, {"0": 1, "1": 2}), Hint("/targets", "not_an_array", "send an array")),
    },
    "other people's names": {
        "labels": Sent({"loss": "mse", "predictions": [1], "labels": [3]}, 4.0),
        "labels and targets": Sent(
            {"loss": "mse", "predictions": P, "targets": T, "labels": T},
            Hint("/labels", "duplicate", "labels is another name of targets, and both are there: send one of them"),
        ),
        **{
            f"{theirs} for {ours}": Sent(
                {name: value for name, value in {**of("mse"), theirs: T}.items() if name != ours},
                Hint(f"/{theirs}", "unknown_field", f"did you mean {ours}?"),
            )
            for ours, names in {
                "predictions": "y_pred prediction logits",
                "targets": "y_true target label_ids references",
                "sample_weight": "sample_weights",
            }.items()
            for theirs in names.split()
        },
        "learning_rate": Sent(
            {"learning_rate": 0.1},
            Hint("/learning_rate", "unknown_field", '{"optimizer": {"name": "adam", "learning_rate": 0.1}}'),
            TRAIN,
        ),
        "validation_split": Sent({"validation_split": 0.2}, {"validation": {"fraction": 0.2}}, TRAIN),
        "X": Sent({"X": [[1]], "y": [1]}, Hint("/X", "unknown_field", "did you mean data.inputs?"), TRAIN),
        "y": Sent({"X": [[1]], "y": [1]}, Hint("/y", "unknown_field", "did you mean data.targets?"), TRAIN),
        "delta": Sent(of("huber", delta=2), Hint("/delta", "unknown_field", '{"loss": {"name": "huber", "delta": 2}}')),
        "parameters": Sent(
            of({"name": "huber", "parameters": {"delta": 1}}),
            Hint("/loss/parameters", "unknown_parameter", "it takes delta"),
        ),
    },
    "reductions and weights of classes from elsewhere": {
        "Keras' mean": Sent(of("mse", [1, 3], [1, 1], reduction="sum_over_batch_size"), 2.0),
        "in capitals": Sent(of("mse", [1, 3], [1, 1], reduction="MEAN"), 2.0),
        "torch's batchmean": Sent(
            of("mse", reduction="batchmean"), Hint("/reduction", "choice", "elsewhere take sum, and divide by n")
        ),
        "weights by index": Sent(weighed({"0": 1, "1": 2}), weighed([1, 2, 1])),
        "weights by name": Sent({**weighed({"b": 2}), "targets": ["a", "b"], "classes": ["a", "b", "c"]}, weighed([1, 2, 1])),
        "balanced": Sent(weighed("balanced"), weighed([1, 1, 1])),
    },
    "boxes": {
        "by their width": Sent(of({"name": "iou", "box_format": "xywh"}, [[0, 0, 2, 2]], [[0, 0, 2, 2]]), 0.0),
        "by their middle": Sent(
            of({"name": "iou", "box_format": "cxcywh"}, [[1, 1, 2, 2]], [[1, 1, 2, 4]]),
            of("iou", [[0, 0, 2, 2]], [[0, -1, 2, 3]]),
        ),
        "inside out": Sent(
            of("iou", [[2, 2, 1, 1]], [[0, 0, 1, 1]]), Hint("/predictions/0/2", "box", "not [x, y, width, height]")
        ),
        "iou_loss": Sent(of("iou_loss", [[0, 0, 2, 2]], [[0, 0, 2, 2]]), Hint("/loss", "unknown_loss", "Did you mean iou?")),
    },
    "a column of predictions beside labels": {
        "(n, 1)": Sent(of("mse", [[1], [2]], [1, 2]), Hint("/targets", "shape_mismatch", "reshape it to (2, 1)")),
        "(n, 2)": Sent(of("bce", [P, P]), Hint("/targets", "shape_mismatch", "of two columns send the second, or name categ")),
        "(n, 2) of log_loss": Sent(of("log_loss", [P, P]), of("categorical_cross_entropy", [P, P])),
    },
    "sets of labels": {
        "with their classes": Sent(
            of("multilabel_soft_margin", SCORES, [["a", "c"], []], classes=["a", "b", "c"]),
            of("multilabel_soft_margin", SCORES, [[1, 0, 1], [0, 0, 0]]),
        ),
        "for a loss of one label": Sent(
            of("CrossEntropyLoss", SCORES, [["a", "c"], ["b"]], classes=["a", "b", "c"]),
            Hint("/targets", "not_a_number", "for losses of the family multilabel"),
        ),
    },
    "predictions that are names": {
        "of two": Sent(of("bce", ["yes", "no"]), Hint("/predictions", "not_a_number", "predict_proba")),
        "of a rate": Sent(of("zero_one", ["a", "b"], ["a", "b"]), Hint("/predictions", "not_a_number", "predict_proba")),
        "numbers in quotes": Sent(of("bce", ["0.2", "0.8"]), Hint("/predictions", "not_a_number", "(0.2 without quotes)")),
    },
    "inputs of a run": {
        "text": Sent(
            {"data": {**OWN, "inputs": [["a"], ["b"]] * 3}, "loss": "bce"},
            Hint("/data/inputs/0/0", "not_a_number", "one-hot"),
            TRAIN,
        ),
        "missing": Sent(
            {"data": {**OWN, "inputs": [[1], [None]] * 3}, "loss": "bce"},
            Hint("/data/inputs/1/0", "not_a_number", "leave the row out, or fill it in"),
            TRAIN,
        ),
        "one column": Sent(
            {"data": {"inputs": [1, 2], "targets": [1, 2]}, "loss": "mse"},
            Hint("/data/inputs", "shape", "one column is [[1], [2]]"),
            TRAIN,
        ),
    },
    "null for whatever is not given": {
        "of an evaluation": Sent(
            of("mse", [1], [3], sample_weight=None, mask=None, classes=None, reduction=None, outputs=None, data=None), 4.0
        ),
        "of a run": Sent({**BRIEF, "batch_size": None, "metrics": None, "seed": None, "outputs": None}, BRIEF, TRAIN),
        "whole numbers as they are read": Sent({**BRIEF, "epochs": 2.0, "seed": 0.0}, BRIEF, TRAIN),
    },
    "token scores with -100": {
        "by its name at home": Sent(of("CrossEntropyLoss", [[0, 0], [5, 1]], [1, -100]), 0.6931471805599453),
        "by positions": Sent(of("CrossEntropyLoss", [[[0, 5], [0, 1]]], [[1, -100]]), 0.6931471805599453),
    },
}
"""Each line of the first list, with the ways in which it is sent."""


def number_of(path: str, answer: dict[str, Any]) -> float:
    """What an answer comes to."""
    if path == TRAIN:
        return answer["final"]["training_loss"]
    return answer["value"] if path == "/v1/evaluate" else answer["outputs"][0]["data"][0]


async def test_what_clients_send(client: httpx.AsyncClient) -> None:
    for line, ways in SENT.items():
        for way, (request, expected, path) in ways.items():
            what = f"{line}: {way}"
            response = await client.post(path, json=request)
            if isinstance(expected, Hint):
                check(what, response, expected)
                continue
            assert response.status_code == 200, (what, response.text)
            if isinstance(expected, dict):
                where = TRAIN if path == TRAIN else "/v1/evaluate"
                number = number_of(where, (await client.post(where, json=expected)).json())
                assert number_of(path, response.json()) == number, what
            else:
                assert number_of(path, response.json()) == pytest.approx(expected, rel=1e-14), what


MISTAKES: dict[str, tuple[dict[str, Any], Hint]] = {
    **{
        f"{field} for {ours}": (
            {name: value for name, value in {**of("mse"), field: T}.items() if name != ours},
            Hint(f"/{field}", "unknown_field", f"did you mean {ours}?"),
        )
        for ours, fields in {
            "predictions": ["y_pred", "input", "prediction", "logits", "y_score", "probs", "preds", "Predictions"],
            "targets": ["y_true", "target", "label_ids", "references", "label", "y", "ground_truth", "trgets"],
            "sample_weight": ["weights", "sampleWeight", "sample_weights", "weight"],
            "mask": ["attention_mask"],
        }.items()
        for field in fields
    },
    "a parameter beside its loss": (
        of("huber", delta=2),
        Hint("/delta", "unknown_field", 'delta is a parameter of huber: {"loss": {"name": "huber", "delta": 2}}'),
    ),
    "from_logits beside its loss": (
        of("bce", from_logits=True),
        Hint("/from_logits", "unknown_field", '{"loss": {"name": "bce", "from_logits": true}}'),
    ),
    "the name of a loss at the top": (
        {"name": "huber", "predictions": P, "targets": T},
        Hint("/name", "unknown_field", "did you mean loss?"),
    ),
    **{
        f"{name} at the top": (
            {"loss": "triplet_margin", "anchor": [[1]], "positive": [[1]], "negative": [[2]]},
            Hint(f"/{name}", "unknown_field", f'one of the predictions of triplet_margin: {{"predictions": {{"{name}": …}}}}'),
        )
        for name in ("anchor", "positive", "negative")
    },
    "a metric for a loss": (of("r2"), Hint("/loss", "unknown_loss", "r2 is a metric, which a run takes in metrics")),
    "a loss that there is not": (of("xyzzy"), Hint("/loss", "unknown_loss", "GET /v1/losses?search= finds losses")),
    "a loss that is a kind of another": (of("wgan_gp"), Hint("/loss", "unknown_loss", "Did you mean wgan?")),
    "rmse_loss": (of("rmse_loss"), Hint("/loss", "unknown_loss", "Did you mean rmse?")),
    "a metric that is like a loss": (
        of("auc"),
        Hint("/loss", "unknown_loss", "roc_auc is a metric, which a run takes in metrics"),
    ),
    "a part of several names": (
        of("FocalLoss"),
        Hint("/loss", "unknown_loss", "Did you mean binary_focal or categorical_focal or"),
    ),
    "a typo": (of("hubber"), Hint("/loss", "unknown_loss", "Did you mean huber?")),
    "weight for class_weight": (
        of({"name": "CrossEntropyLoss", "weight": [1, 1, 2]}, SCORES, T),
        Hint("/loss/weight", "unknown_parameter", "did you mean class_weight?"),
    ),
    "tau": (of({"name": "quantile", "tau": 0.5}), Hint("/loss/tau", "unknown_parameter", "did you mean quantile?")),
    "padding_idx": (
        of({"name": "CrossEntropyLoss", "padding_idx": 0}, SCORES, T),
        Hint("/loss/padding_idx", "unknown_parameter", "did you mean ignore_index?"),
    ),
    "a parameter of a loss that takes none": (
        of({"name": "mse", "delta": 1}),
        Hint("/loss/delta", "unknown_parameter", "it takes none"),
    ),
    "a parameter out of bounds": (
        of({"name": "huber", "delta": -1}),
        Hint("/loss/delta", "out_of_range", "greater than 0; got -1"),
    ),
    "a parameter that is a string": (of({"name": "huber", "delta": "1"}), Hint("/loss/delta", "type", 'number; got "1"')),
    "percentages": (of("bce", [30, 60]), Hint("/predictions/0", "out_of_range", "divide by 100 if these are percentages")),
    "logits": (of("bce", [-1.5, 2]), Hint("/predictions/0", "out_of_range", "set from_logits to true if these are logits")),
    "logits of classes": (of("categorical_cross_entropy", SCORES, T), Hint("/predictions/0/0", "out_of_range", "from_logits")),
    "labels from 1 on": (of("multi_margin", SCORES, [1, 3]), Hint("/targets/1", "label", "labels count from 0")),
    "-100 among labels": (of("multi_margin", SCORES, [1, -100]), Hint("/targets/1", "label", "set ignore_index to -100")),
    "labels 1 and 2 of two classes": (of("bce", P, [1, 2]), Hint("/targets/1", "out_of_range", "[0, 1]")),
    "labels 0, 1, 2 for a hinge": (of("hinge", [1, 2, 3], [0, 1, 2]), Hint("/targets/2", "label", "got 2")),
    "a fraction for a label": (of("multi_margin", SCORES, [0, 0.5]), Hint("/targets/1", "label", "class index")),
    "one-hot rows of another width": (
        of("multi_margin", SCORES, [[1, 0], [0, 1]]),
        Hint("/targets", "shape_mismatch", "axis k is 3 there"),
    ),
    "lengths that differ": (of("mse", P, [1, 2, 3]), Hint("/targets", "shape_mismatch", "2 samples there, 3 here")),
    "ragged rows": (of("mse", [[1, 2], [3]], T), Hint("/predictions/1", "ragged", "rows must be of one length")),
    "nothing": (of("mse", [], []), Hint("/predictions", "empty", "is empty")),
    "a string among numbers": (of("mse", [1, "2"]), Hint("/predictions/1", "not_a_number", "not a string")),
    "an infinity": (of("mse", [1, "Infinity"]), Hint("/predictions/1", "not_finite", "must be finite; got Infinity")),
    "a negative weight": (of("mse", sample_weight=[1, -1]), Hint("/sample_weight/1", "out_of_range", "at least 0; got -1")),
    "weights that are all 0": (of("mse", sample_weight=[0, 0]), Hint("/sample_weight", "no_samples", "0 for every sample")),
    "weights too few": (of("mse", sample_weight=[1]), Hint("/sample_weight", "shape_mismatch", "(1,)")),
    "a mask that drops all": (of("mse", mask=[False, False]), Hint("/mask", "no_samples", "drops every sample")),
    "a class that is none": (
        of("CrossEntropyLoss", SCORES, ["a", "x"], classes=["a", "b", "c"]),
        Hint("/targets/1", "unknown_class", "'x'"),
    ),
    "a class too few": (of("CrossEntropyLoss", SCORES, ["a", "b"], classes=["a", "b"]), Hint("/classes", "length", "3")),
    "a class twice": (
        of("CrossEntropyLoss", SCORES, ["a", "b"], classes=["a", "b", "a"]),
        Hint("/classes/2", "duplicate", "'a'"),
    ),
    "an unknown reduction": (of("mse", reduction="avg"), Hint("/reduction", "choice", "'mean', 'sum'")),
    "an unknown output": (of("mse", outputs=["vale"]), Hint("/outputs/0", "choice", "'value'")),
    "no targets": ({"loss": "mse", "predictions": P}, Hint("/targets", "missing", "needs targets")),
    "targets where none are taken": (
        of("triplet_margin", {"anchor": [[1]], "positive": [[1]], "negative": [[2]]}, [1]),
        Hint("/targets", "unexpected", "takes no targets"),
    ),
    "a named input missing": (
        of("gaussian_nll", {"mean": P}),
        Hint("/predictions", "missing", "predictions.variance is missing"),
    ),
    "an array for named inputs": (of("gaussian_nll", P), Hint("/predictions", "not_an_object", "{mean, variance}")),
    "a variance of 0": (
        of({"name": "gaussian_nll", "eps": 0}, {"mean": [1], "variance": [0]}, [1]),
        Hint("/predictions/variance/0", "out_of_range", "above 0"),
    ),
    "TensorFlow Serving's instances": ({"instances": [1]}, Hint("/loss", "missing", "loss is missing")),
    "a table without names": (of("mse", data=[{"p": 1}]), Hint("/data", "unexpected", "no column of data is named")),
    "names without a table": (of("mse", "p", "t"), Hint("/predictions", "not_an_array", "the table is sent in data")),
    "a column misspelt": (
        of("mse", "pp", "t", data={"p": [1], "t": [1]}),
        Hint("/predictions", "unknown_column", "did you mean 'p'?"),
    ),
    "a table without rows": (of("mse", "p", "t", data=[]), Hint("/data", "empty", "data has no rows")),
}

TRAINING: dict[str, tuple[dict[str, Any], Hint]] = {
    "own labels without a loss": ({"data": OWN}, Hint("/loss", "missing", "binary_cross_entropy")),
    "own names without a loss": ({"data": MULTIPLE}, Hint("/loss", "missing", "as categorical_cross_entropy: it cannot")),
    "own numbers without a loss": (
        {"data": {**OWN, "targets": [1.5, 2, 3, 4, 5, -6]}},
        Hint("/loss", "missing", "as mean_squared_error: it"),
    ),
    "X and y in data": (
        {"data": {"X": OWN["inputs"], "y": OWN["targets"]}},
        Hint("/data/X", "unknown_field", "did you mean inputs?"),
    ),
    "features and labels": (
        {"data": {"features": OWN["inputs"], "labels": OWN["targets"]}},
        Hint("/data/features", "type", "did you mean inputs?"),
    ),
    "X and y at the top": ({"X": OWN["inputs"], "y": OWN["targets"]}, Hint("/X", "unknown_field", "did you mean data.inputs?")),
    "learning_rate at the top": (
        {"learning_rate": 0.1},
        Hint("/learning_rate", "unknown_field", '{"optimizer": {"name": "adam", "learning_rate": 0.1}}'),
    ),
    "hidden_layer_sizes": (
        {"model": {"name": "mlp", "hidden_layer_sizes": [8]}},
        Hint("/model/hidden_layer_sizes", "unknown_parameter", "did you mean hidden?"),
    ),
    "layers": ({"layers": [8]}, Hint("/layers", "unknown_field", "hidden, a parameter of mlp")),
    "activation": (
        {"model": {"name": "mlp", "activation": "relu"}},
        Hint("/model/activation", "unknown_parameter", "hidden_activation?"),
    ),
    "neural_network": ({"model": "neural_network"}, Hint("/model", "unknown_model", "Did you mean mlp?")),
    "xgboost": ({"model": "xgboost"}, Hint("/model", "unknown_model", "Did you mean boosted_trees?")),
    "svm": ({"model": "svm"}, Hint("/model", "unknown_model", "There are linear, mlp, boosted_trees")),
    "n_estimators": ({"n_estimators": 50}, Hint("/n_estimators", "unknown_field", "did you mean epochs?")),
    "n_estimators of a model": (
        {"model": {"name": "boosted_trees", "n_estimators": 5}},
        Hint("/model/n_estimators", "unknown_parameter", "epochs, a field of the request, counts the trees"),
    ),
    "n_epochs": ({"n_epochs": 5}, Hint("/n_epochs", "unknown_field", "did you mean epochs?")),
    "random_state": ({"random_state": 1}, Hint("/random_state", "unknown_field", "did you mean seed?")),
    "patience": ({"patience": 3}, Hint("/patience", "unknown_field", "did you mean early_stopping.patience?")),
    "l2 by its name": ({"regularization": "l2"}, Hint("/regularization", "type", '{"l2": 0.01}')),
    "a metric that is none": (
        {"metrics": ["confusion_matrix"]},
        Hint("/metrics/0", "unknown_metric", "There are accuracy, f1, precision, recall, "),
    ),
    "a metric that does not fit": (
        {"data": "diabetes", "metrics": ["accuracy"]},
        Hint("/metrics/0", "metric", "Metrics that fit: r2"),
    ),
    "mnist": ({"data": "mnist"}, Hint("/data", "unknown_dataset", "There are regression, friedman1, diabetes")),
    "a hinge on three classes": (
        {"data": "iris", "loss": "hinge"},
        Hint("/loss", "label", "must be −1 or +1 (of more than two classes: crammer_singer_hinge)"),
    ),
    "labels 1 and 2": (
        {"data": {**OWN, "targets": [1, 2] * 3}, "loss": "bce"},
        Hint("/data/targets/1", "out_of_range", "[0, 1]"),
    ),
    "inputs without columns": (
        {"data": {"inputs": [1, 2], "targets": [1, 2]}, "loss": "mse"},
        Hint("/data/inputs", "shape", "one column is [[1], [2]]"),
    ),
    "two rows": (
        {"data": {"inputs": [[1], [2]], "targets": [1, 2]}, "loss": "mse"},
        Hint("/validation/fraction", "no_samples", "set validation to null to train on all"),
    ),
    "steps of more rows than there are": (
        {"data": OWN, "loss": "bce", "batch_size": 64},
        Hint("/batch_size", "out_of_range", "at most 5"),
    ),
    "trees with an optimizer": ({"model": "boosted_trees", "optimizer": "adam"}, Hint("/optimizer", "unexpected", "no weights")),
    "too many epochs": ({"epochs": 100_000}, Hint("/epochs", "limit", "at most 10000")),
    "a loss of two arrays": ({"data": OWN, "loss": "bradley_terry"}, Hint("/loss", "not_trainable", "it has no targets")),
    "a list of rows": (
        {"data": [{"x": 1, "y": 2}], "loss": "mse"},
        Hint("/data", "type", '{"rows": [{"x": 1, "y": 2}], "targets": "y"}'),
    ),
    "a column of text": (
        {"data": {**OWN, "inputs": [["a"], ["b"]] * 3}, "loss": "bce"},
        Hint("/data/inputs/0/0", "not_a_number", "one-hot"),
    ),
    "a missing input": (
        {"data": {**OWN, "inputs": [[1], [None]] * 3}, "loss": "bce"},
        Hint("/data/inputs/1/0", "not_a_number", "leave the row out, or fill it in"),
    ),
    "a parameter beside its loss": (
        {"loss": "huber", "delta": 3},
        Hint("/delta", "unknown_field", '{"loss": {"name": "huber", "delta": 3}}'),
    ),
}


def check(what: str, response: httpx.Response, told: Hint) -> None:
    problem = problem_of(response)
    found = {(fault["pointer"], fault["code"]): fault["message"] for fault in problem["errors"]}
    assert problem["status"] == told.status, (what, problem)
    assert told.words in found.get((told.pointer, told.code), ""), (what, problem)


async def test_mistakes_of_an_evaluation_can_be_mended(client: httpx.AsyncClient) -> None:
    for what, (request, told) in MISTAKES.items():
        check(what, await client.post("/v1/evaluate", json=request), told)


async def test_mistakes_of_a_run_can_be_mended(client: httpx.AsyncClient) -> None:
    for what, (request, told) in TRAINING.items():
        check(what, await client.post("/v1/train", json=request), told)


async def test_all_that_is_wrong_with_a_list_or_a_table_is_told_at_once(client: httpx.AsyncClient) -> None:
    rows = {"inputs": [[1, 2], [2, "x"], [3, 4]], "targets": [1, None, 2], "sample_weight": [1, 1, "y"]}
    for path, request, pointers in (
        ("/v1/train", {"data": rows, "loss": "mse"}, {"/data/targets/1", "/data/inputs/1/1", "/data/sample_weight/2"}),
        ("/v1/train", {"data": OWN, "loss": "bce", "metrics": ["acuracy", "r3", "f1"]}, {"/metrics/0", "/metrics/1"}),
        ("/v1/train/compare", {"data": OWN, "losses": ["hubber", "mse", "msee"]}, {"/losses/0", "/losses/2"}),
        ("/v1/compare", {"models": {"a": P, "b": T}, "targets": T, "losses": ["hubber", "msee"]}, {"/losses/0", "/losses/1"}),
    ):
        problem = problem_of(await client.post(path, json=request))
        assert {fault["pointer"] for fault in problem["errors"]} == pointers, problem


async def test_both_lists_are_whole() -> None:
    refused = sum(isinstance(sent.expected, Hint) for ways in SENT.values() for sent in ways.values())
    assert len(SENT) >= 16
    assert len(MISTAKES) + len(TRAINING) + refused >= 89


TAKEN: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "validation as a share": ({"validation": 0.25}, {"validation": {"fraction": 0.25}}),
    "early_stopping as a flag": ({"early_stopping": True}, {"early_stopping": {}}),
    "no early_stopping as a flag": ({"early_stopping": False}, {"early_stopping": None}),
    "one size": ({"model": {"name": "mlp", "hidden": 3}}, {"model": {"name": "mlp", "hidden": [3]}}),
    "flags for labels": ({"data": {**OWN, "targets": [False, True] * 3}}, {"data": OWN}),
}


async def test_what_is_said_shortly_means_the_same(client: httpx.AsyncClient) -> None:
    for what, pair in TAKEN.items():
        base = {"data": OWN, "loss": {"name": "bce", "from_logits": True}, "epochs": 2, "outputs": ["parameters"]}
        short, long = [(await client.post("/v1/train", json={**base, **part})).json() for part in pair]
        assert short["parameters"] == long["parameters"], what


async def test_a_body_of_another_type_is_told_what_is_taken(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/evaluate", content=b"a=1", headers={"content-type": "application/x-www-form-urlencoded"})
    assert problem_of(answer)["status"] == 415
    file = await client.post(
        "/v1/evaluate", params={"loss": "mse"}, content=b"p,t\n1,2\n", headers={"content-type": "text/plain"}
    )
    assert "set the header Content-Type to text/csv or application/x-npz" in problem_of(file)["detail"]
    for body, words in {
        gzip.compress(b'{"loss": "mse"}'): "looks like gzip: say so in the header Content-Encoding",
        '{"loss": "mse"}'.encode("utf-16"): "looks like UTF-16: send UTF-8",
        '{"loss": "mse"}'.encode("utf-16-le"): "looks like UTF-16: send UTF-8",
        b"PK\x03\x04\xff": "set the header Content-Type to application/x-npz",
    }.items():
        answer = await client.post("/v1/evaluate", content=body)
        assert words in problem_of(answer)["detail"], words
        assert answer.status_code == 400
    torn = await client.post("/v1/evaluate", params={"loss": "mse"}, content=b"", headers=CSV)
    assert (torn.status_code, problem_of(torn)["code"]) == (400, "malformed_table")
