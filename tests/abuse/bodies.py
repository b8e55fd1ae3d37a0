"""The documents and tensors that are sent."""

import gzip
import json
import zlib
from typing import Any

import numpy as np

TINY = b'{"loss":"mse","predictions":[1,2],"targets":[1,3]}'
TINY_VALUE = 0.5


def dumps(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def row(word: str, count: int) -> str:
    return "[" + ",".join([word] * count) + "]"


def two_arrays(loss: str, predictions: str, targets: str) -> bytes:
    return f'{{"loss":{loss},"predictions":{predictions},"targets":{targets}}}'.encode()


# --- large, and ordinary --------------------------------------------------------------------------------------------------


def mae(n: int) -> bytes:
    """All predictions one too low: value 1, and a gradient of −1/n."""
    return two_arrays('"mae"', row("0", n), row("1", n))


def large() -> bytes:
    """1 MB; its value is 1."""
    return mae(250_000)


def long_answer() -> bytes:
    """1.8 MB, answered with 12.6 MB."""
    return mae(450_000)


# --- small, and costly ----------------------------------------------------------------------------------------------------


def ctc(n: int, t: int) -> bytes:
    """n sequences of t frames of two classes, and 0.45 t labels each."""
    logits = "[" + ",".join([row("[0,0]", t)] * n) + "]"
    return two_arrays('{"name":"ctc","from_logits":true}', logits, "[" + ",".join([row("1", int(0.45 * t))] * n) + "]")


def circle(n: int) -> bytes:
    """6 n + 45 bytes: n embeddings of one number, in two classes."""
    return two_arrays('"circle"', row("[0]", n), "[" + ",".join("01"[index % 2] for index in range(n)) + "]")


def half_true(loss: str, k: int) -> bytes:
    """One row of k scores, of whose labels every other one is true."""
    return two_arrays(loss, f"[{row('0', k)}]", "[[" + ",".join("01"[index % 2] for index in range(k)) + "]]")


MULTILABEL_MARGIN = '{"name":"multilabel_margin","target_format":"multi_hot"}'
LABEL_RANKING = '"label_ranking_loss"'


# --- packed ---------------------------------------------------------------------------------------------------------------


def packed_rows(word: str, megabytes: int = 63) -> bytes:
    """About 61 KB that unpack to so many megabytes of an array of this word, and as many targets."""
    count = megabytes * 1_000_000 // (len(word) + 1)
    return gzip.compress(two_arrays('"mse"', row(word, count), "[0]"), 9)


def packed_zeros() -> bytes:
    """15.9 million rows, right and dull: 64 MB of them."""
    return gzip.compress(two_arrays('"mse"', row("0", 15_900_000), row("0", 15_900_000)), 9)


def packed_whitespace(megabytes: int = 63) -> bytes:
    """A tiny request behind whitespace."""
    return gzip.compress(b" " * (megabytes * 1_000_000) + TINY, 9)


def bomb(coding: str) -> bytes:
    """1 MB that unpack to 1 GiB: one block of 16 MiB, again and again."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31 if coding == "gzip" else 15)
    zeros = bytes(1 << 24)
    head = packer.compress(zeros) + packer.flush(zlib.Z_FULL_FLUSH)
    return head + (packer.compress(zeros) + packer.flush(zlib.Z_FULL_FLUSH)) * 63


# --- tensors --------------------------------------------------------------------------------------------------------------


def tensors(**arrays: "np.ndarray[Any, Any]") -> tuple[bytes, str]:
    """A binary body of the inference protocol, and the header field that says where its tensors begin."""
    names = {"float64": "FP64", "int64": "INT64", "float32": "FP32"}
    inputs = [
        {
            "name": name,
            "datatype": names[str(array.dtype)],
            "shape": array.shape,
            "parameters": {"binary_data_size": array.nbytes},
        }
        for name, array in arrays.items()
    ]
    head = dumps({"inputs": inputs, "parameters": {"binary_data_output": True}})
    return head + b"".join(array.tobytes() for array in arrays.values()), f"Inference-Header-Content-Length: {len(head)}"


def squares(n: int = 1_250_000) -> tuple[bytes, str]:
    """Predictions and targets, one apart, at 16 bytes a sample: 20 MB. The mean squared error is 1."""
    return tensors(predictions=np.zeros(n), targets=np.ones(n))


def ranking(k: int = 225_000) -> tuple[bytes, str]:
    """One row of k scores for label_ranking_loss, every other label true: 3.6 MB, and k²/2 comparisons."""
    return tensors(predictions=np.zeros((1, k)), targets=np.arange(k)[None] % 2)


# --- training runs --------------------------------------------------------------------------------------------------------


def training(epochs: int, rows: int = 200, hidden: int = 16, **more: Any) -> bytes:
    return dumps(
        {
            "data": {"name": "circles", "n_samples": rows, "noise": 0.1, "seed": 1},
            "model": {"name": "mlp", "hidden": [hidden]},
            "loss": {"name": "binary_cross_entropy", "from_logits": True},
            "optimizer": {"name": "sgd", "learning_rate": 0.05},
            "epochs": epochs,
            "validation": {"last": rows // 4},
            "metrics": ["accuracy"],
            **more,
        }
    )


def short_training() -> bytes:
    return training(5)


def long_training() -> bytes:
    """As many epochs as are allowed, and more than their time is enough for."""
    return training(10_000, rows=2000, hidden=64)
