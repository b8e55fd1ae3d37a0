"""What every client is asked to do, as plain requests, and which of the numbers in the answer are compared."""

from typing import Any, NamedTuple


class Case(NamedTuple):
    """A request, and paths into its answer."""

    path: str
    body: dict[str, Any] | None
    compared: tuple[tuple[str | int, ...], ...]


LOSS = (("value",), ("per_sample",), ("gradient",))

CASES = {
    "mse": Case("/v1/evaluate", {"loss": "mse", "predictions": [2.5, 0.1, 8.3], "targets": [3.0, -0.5, 2.0]}, LOSS),
    "huber": Case(
        "/v1/evaluate",
        {
            "loss": {"name": "huber", "delta": 1.7},
            "predictions": [2.5, 0.1, 8.3],
            "targets": [3.0, -0.5, 2.0],
            "sample_weight": [1.0, 0.3, 2.0],
        },
        LOSS,
    ),
    "cross_entropy": Case(
        "/v1/evaluate",
        {
            "loss": {"name": "categorical_cross_entropy", "from_logits": True},
            "predictions": [[2.0, 1.0, 0.1], [0.5, 2.5, 0.3]],
            "targets": [0, 2],
        },
        (*LOSS, ("targets_encoding",)),
    ),
    "pole": Case(
        "/v1/evaluate",
        {"loss": {"name": "binary_cross_entropy"}, "predictions": [0.0, 0.9], "targets": [1, 1]},
        (*LOSS, ("non_finite", 0, "value")),
    ),
    "named_arrays": Case(
        "/v1/evaluate",
        {
            "loss": {"name": "gaussian_nll"},
            "predictions": {"mean": [0.1, 1.2], "variance": [0.7, 2.3]},
            "targets": [0.3, -0.4],
        },
        LOSS,
    ),
    "train": Case(
        "/v1/train",
        {
            "data": {"inputs": [[0.0], [1.0], [2.0], [3.0], [4.0], [5.0]], "targets": [1.0, 2.9, 5.2, 6.8, 9.1, 11.0]},
            "model": {"name": "linear"},
            "loss": {"name": "huber", "delta": 1.0},
            "optimizer": {"name": "sgd", "learning_rate": 0.5},
            "validation": {"last": 2},
            "epochs": 3,
            "metrics": [{"name": "mean_absolute_error"}],
            "outputs": ["predictions", "per_sample"],
        },
        (
            ("history", 2, "training_loss"),
            ("history", 2, "validation_loss"),
            ("final", "metrics", "mean_absolute_error", "validation"),
            ("predictions",),
            ("per_sample",),
            ("best_epoch",),
            ("stopped", "reason"),
        ),
    ),
    "refusal": Case(
        "/v1/evaluate",
        {"loss": {"name": "hinge"}, "predictions": [0.3, 2.0], "targets": [1, 0.5]},
        (("status",), ("code",), ("errors", 0, "pointer"), ("errors", 0, "message")),
    ),
    "catalogue": Case("/v1/losses/gaussian_nll", None, (("name",), ("formula",))),
}


def compared(case: Case, answer: Any) -> list[Any]:
    """The parts of an answer that a client has to agree on."""
    found: list[Any] = []
    for path in case.compared:
        part = answer
        for key in path:
            part = part[key]
        found.append(part)
    return found
