"""Examples that libraries print in their own documentation, and cases in which we once said the wrong thing: run here and there.

Here by what the library calls the loss, so that the name has to mean what it means at home; there as they stand.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from app.libraries import Reduced
from app.losses import LOSSES, check, evaluate

NO: Mapping[str, Any] = {}
SPAM = [[0.1, 0.9], [0.9, 0.1], [0.8, 0.2], [0.35, 0.65]]
FOCUS = [-18.6, 0.51, 2.94, -12.8], [0, 1, 0, 0]
CLASSES = [[0.05, 0.95, 0.0], [0.1, 0.8, 0.1]]
RANKED = [[0.75, 0.5, 1.0], [1.0, 0.2, 0.1]], [[1, 0, 0], [0, 0, 1]]


class Example(NamedTuple):
    """A call and what is printed for it: a number, or one for each sample."""

    loss: str
    parameters: Mapping[str, Any]
    call: str
    predictions: Any
    targets: Any
    printed: str
    reduction: Reduced = "mean"
    encoding: str = "real"
    """Of the targets as the library wants them."""


def _sklearn(name: str, printed: str, predictions: Any, targets: Any, more: str = "", **parameters: Any) -> Example:
    return Example(
        f"sklearn.metrics.{name}",
        parameters,
        f"sklearn.metrics.{name}(targets, predictions{more})",
        predictions,
        targets,
        printed,
    )


def _keras(
    name: str, printed: str, predictions: Any, targets: Any, more: str = "", encoding: str = "real", **parameters: Any
) -> Example:
    return Example(
        f"keras.losses.{name}",
        parameters,
        f"keras.losses.{name}({more})(targets, predictions)",
        predictions,
        targets,
        printed,
        encoding=encoding,
    )


def _metric(name: str, printed: str, predictions: Any, targets: Any, more: str = "", **parameters: Any) -> Example:
    return Example(
        f"torchmetrics.{name}", parameters, f"torchmetrics.{name}({more})(predictions, targets)", predictions, targets, printed
    )


DOCUMENTED = (
    _sklearn("mean_squared_error", "0.375", [2.5, 0.0, 2, 8], [3, -0.5, 2, 7]),
    _sklearn("mean_squared_error", "0.708", [[0, 2], [-1, 2], [8, -5]], [[0.5, 1], [-1, 1], [7, -6]]),
    _sklearn("root_mean_squared_error", "0.612", [2.5, 0.0, 2, 8], [3, -0.5, 2, 7]),
    _sklearn("root_mean_squared_error", "0.822", [[0, 2], [-1, 2], [8, -5]], [[0.5, 1], [-1, 1], [7, -6]]),
    _sklearn("mean_absolute_error", "0.5", [2.5, 0.0, 2, 8], [3, -0.5, 2, 7]),
    _sklearn("mean_squared_log_error", "0.039", [2.5, 5, 4, 8], [3, 5, 2.5, 7]),
    _sklearn("root_mean_squared_log_error", "0.199", [2.5, 5, 4, 8], [3, 5, 2.5, 7]),
    _sklearn("mean_absolute_percentage_error", "0.3273", [2.5, 0.0, 2, 8], [3, -0.5, 2, 7]),
    _sklearn("median_absolute_error", "0.5", [2.5, 0.0, 2, 8], [3, -0.5, 2, 7]),
    _sklearn("max_error", "1.0", [4, 2, 7, 1], [3, 2, 7, 1]),
    _sklearn("mean_pinball_loss", "0.03", [0, 2, 3], [1, 2, 3], ", alpha=0.1", quantile=0.1),
    _sklearn("mean_pinball_loss", "0.3", [1, 2, 4], [1, 2, 3], ", alpha=0.1", quantile=0.1),
    _sklearn("mean_poisson_deviance", "1.4260", [0.5, 0.5, 2.0, 2.0], [2, 0, 1, 4]),
    _sklearn("mean_gamma_deviance", "1.0568", [0.5, 0.5, 2.0, 2.0], [2, 0.5, 1, 4]),
    _sklearn("mean_tweedie_deviance", "1.4260", [0.5, 0.5, 2.0, 2.0], [2, 0, 1, 4], ", power=1", power=1),
    _sklearn("brier_score_loss", "0.0375", [0.1, 0.9, 0.8, 0.3], [0, 1, 1, 0]),
    _sklearn("zero_one_loss", "0.25", [1, 2, 3, 4], [2, 2, 3, 4]),
    _sklearn("hamming_loss", "0.75", [[0, 0], [0, 0]], [[0, 1], [1, 1]]),
    _sklearn("label_ranking_loss", "0.75", *RANKED),
    _sklearn("coverage_error", "2.5", *RANKED),
    _keras("MeanSquaredError", "0.02", [0.9, 0.1, 0.8], [1.0, 0.0, 1.0]),
    _keras("MeanAbsoluteError", "0.5666667", [1.9, 0.3, 1.8], [1.0, 0.3, 1.0]),
    _keras("MeanAbsolutePercentageError", "6.111111", [90.0, 210.0, 310.0], [100.0, 200.0, 300.0]),
    _keras("BinaryCrossentropy", "0.8654", *FOCUS, "from_logits=True", from_logits=True),
    _keras("BinaryCrossentropy", "0.815", [[0.6, 0.4], [0.4, 0.6]], [[0, 1], [0, 0]]),
    _keras("BinaryFocalCrossentropy", "0.691", *FOCUS, "gamma=2, from_logits=True", from_logits=True, gamma=2),
    _keras(
        "BinaryFocalCrossentropy",
        "0.51",
        *FOCUS,
        "apply_class_balancing=True, gamma=2, from_logits=True",
        from_logits=True,
        gamma=2,
        alpha=0.25,
    ),
    _keras("CategoricalCrossentropy", "1.177", CLASSES, [[0, 1, 0], [0, 0, 1]]),
    _keras("SparseCategoricalCrossentropy", "1.177", CLASSES, [1, 2], encoding="class_index"),
    _keras("CategoricalFocalCrossentropy", "0.2331528", CLASSES, [[0, 1, 0], [0, 0, 1]]),
    Example(
        "keras.losses.log_cosh",
        NO,
        "keras.losses.log_cosh(targets, predictions)",
        [[1.0, 1.0], [0.0, 0.0]],
        [[0.0, 1.0], [0.0, 0.0]],
        "0.217 0.0",
        "none",
    ),
    Example(
        "keras.losses.categorical_crossentropy",
        NO,
        "keras.losses.categorical_crossentropy(targets, predictions)",
        CLASSES,
        [[0, 1, 0], [0, 0, 1]],
        "0.0513 2.303",
        "none",
    ),
    Example(
        "keras.losses.binary_crossentropy",
        NO,
        "keras.losses.binary_crossentropy(targets, predictions)",
        [[0.6, 0.4], [0.4, 0.6]],
        [[0, 1], [0, 0]],
        "0.916 0.714",
        "none",
    ),
    _metric("MeanSquaredError", "0.8750", [3.0, 5.0, 2.5, 7.0], [2.5, 5.0, 4.0, 8.0]),
    _metric("MeanAbsoluteError", "0.5000", [2.5, 0.0, 2.0, 8.0], [3.0, -0.5, 2.0, 7.0]),
    _metric("MeanSquaredLogError", "0.0397", [3, 5, 2.5, 7], [2.5, 5, 4, 8]),
    _metric("MeanAbsolutePercentageError", "0.2667", [0.9, 15, 1.2e6], [1, 10, 1e6]),
    _metric("LogCoshError", "0.3523", [3.0, 5.0, 2.5, 7.0], [2.5, 5.0, 4.0, 8.0]),
    _metric("TweedieDevianceScore", "1.2083", [4.0, 3.0, 2.0, 1.0], [1.0, 2.0, 3.0, 4.0], "power=2", power=2),
    Example(
        "torch.nn.MultiMarginLoss",
        NO,
        "torch.nn.MultiMarginLoss()(predictions, targets)",
        [[0.1, 0.2, 0.4, 0.8]],
        [3],
        "0.32",
        encoding="class_index",
    ),
    Example(
        "torch.nn.MultiLabelMarginLoss",
        NO,
        "torch.nn.MultiLabelMarginLoss()(predictions, targets)",
        [[0.1, 0.2, 0.4, 0.8]],
        [[3, 0, -1, 1]],
        "0.85",
        encoding="index_list",
    ),
    Example(
        "optax.softmax_cross_entropy",
        NO,
        "optax.softmax_cross_entropy(predictions, targets)",
        [[1.2, -0.8, -0.5], [0.9, -1.2, 1.1]],
        [[1, 0, 0], [0, 1, 0]],
        "0.2761 2.9518",
        "none",
    ),
    Example(
        "optax.softmax_cross_entropy_with_integer_labels",
        NO,
        "optax.softmax_cross_entropy_with_integer_labels(predictions, targets)",
        [[1.2, -0.8, -0.5], [0.9, -1.2, 1.1]],
        [0, 1],
        "0.2761 2.9518",
        "none",
        "class_index",
    ),
)
"""As in the docstrings and pages of the versions of `LIBRARIES`."""

EMPTY = [[0.0, 0.0]], [[0, 0]]
LONG = [1000.0, -1000.0, 0.5], [0, 1, 1]
CORRECTED = (
    Example(
        "tweedie_nll",
        {"power": 1.5, "log_input": True},
        "sklearn._loss.loss.HalfTweedieLoss(power=1.5)",
        [0.3, -0.2, 1.1],
        [1.0, 0.0, 4.0],
        "4.04508444 1.80967484 8.08210452",
        "none",
    ),
    _keras("Tversky", "0.364161886", [[0.9, 0.2]], [[1, 1]], "alpha=0.7, beta=0.3", alpha=0.3, beta=0.7),
    Example(
        "optax.losses.binary_dice_loss",
        NO,
        "optax.losses.binary_dice_loss(predictions, targets)",
        [[2.0, -1.0, 0.5, 0.3]],
        [[1, 0, 1, 0]],
        "0.21115542",
        "none",
    ),
    _sklearn("root_mean_squared_error", "1.94454365", [[1.0, 5.0], [2.0, 1.0]], [[0.5, 1.0], [2.0, 4.0]]),
    _sklearn("root_mean_squared_log_error", "0.607494729", [[1.0, 5.0], [2.0, 1.0]], [[0.5, 1.0], [2.0, 4.0]]),
    _keras("Dice", "1.0", *EMPTY),
    _keras("Tversky", "1.0", *EMPTY),
    _keras("CategoricalCrossentropy", "8.66103", [[0.0, 1.0], [0.7, 0.3]], [[1, 0], [0, 1]]),
    _keras("BinaryCrossentropy", "5.49159", [0.0, 1.0, 0.3], [1, 1, 0]),
    _sklearn("log_loss", "12.1334428", [0.0, 1.0, 0.3], [1, 1, 0]),
    _keras("BinaryCrossentropy", "666.8247", *LONG, "from_logits=True", from_logits=True),
    Example("torch.nn.BCELoss", NO, "torch.nn.BCELoss()(predictions, targets)", [0.0, 1.0, 0.3], [1, 1, 0], "33.452225"),
    Example(
        "torch.nn.CrossEntropyLoss",
        NO,
        "torch.nn.CrossEntropyLoss()(predictions, targets)",
        [[2.0, 1.0, 0.1], [0.5, 2.5, 0.3], [1.0, 1.0, 3.0]],
        [0, -100, 2],
        "0.328287391",
        encoding="class_index",
    ),
    Example(
        "torch.nn.CrossEntropyLoss",
        NO,
        "torch.nn.CrossEntropyLoss()(predictions, targets)",
        [[[2.0, 1.0], [0.1, 0.5]], [[0.3, 1.0], [1.0, 3.0]]],
        [[0, 1], [-100, 1]],
        "0.413463918",
        encoding="class_index",
    ),
)
"""What was once said wrongly here, with the numbers of the library."""


def here(example: Example) -> Any:
    """What this says of it, by the name that the library has for the loss."""
    loss, parameters = LOSSES.resolve(example.loss, given=example.parameters)
    batch = check(loss, {**parameters, **example.parameters}, np.array(example.predictions), np.array(example.targets))
    evaluation = evaluate(batch, reduction=example.reduction)
    return evaluation.per_sample if example.reduction == "none" else evaluation.value


def is_printed(example: Example, found: Any) -> bool:
    """Whether numbers are those that are printed, which some libraries round and others cut off: to a unit of the last place."""
    printed = example.printed.split()
    numbers = np.atleast_1d(np.asarray(found, np.float64))
    units = [10.0 ** -len(text.partition(".")[2]) for text in printed]
    return numbers.shape == (len(printed),) and bool(np.all(np.abs(numbers - [float(text) for text in printed]) <= units))
