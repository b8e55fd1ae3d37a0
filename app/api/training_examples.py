"""Runs that show something: what Swagger UI's drop-down offers for /v1/train and /v1/train/compare.

None of them has a null: FastAPI leaves these out of its document.
"""

from typing import Any


def _example(summary: str, description: str, **request: Any) -> dict[str, Any]:
    return {"summary": summary, "description": description, "value": request}


EXAMPLES = {
    "default": _example("Nothing said", "Two circles, a small network and cross-entropy: every field has a default that works."),
    "classification": _example(
        "Classification, stopped in time",
        "Noisy half-moons: the validation loss says when to stop, and the best epoch is kept.",
        data={"name": "moons", "n_samples": 200, "noise": 0.35},
        model={"name": "mlp", "hidden": [64]},
        loss={"name": "binary_cross_entropy", "from_logits": True},
        optimizer={"name": "adam", "learning_rate": 0.02},
        epochs=300,
        validation={"fraction": 0.3},
        early_stopping={"patience": 20},
        metrics=[{"name": "accuracy"}, {"name": "roc_auc"}],
    ),
    "short": _example(
        "Three epochs",
        "A line through six points, and the weights it comes to.",
        data={"inputs": [[0.0], [1.0], [2.0], [3.0], [4.0], [5.0]], "targets": [1.0, 2.9, 5.2, 6.8, 9.1, 11.0]},
        model={"name": "linear"},
        loss={"name": "huber", "delta": 1.0},
        optimizer={"name": "sgd", "learning_rate": 0.5},
        validation={"last": 2},
        epochs=3,
        metrics=[{"name": "mean_absolute_error"}],
        outputs=["parameters", "predictions", "per_sample"],
    ),
    "regression": _example(
        "Regression",
        "A curved function of ten columns, of which five matter; the step shrinks along a cosine.",
        data={"name": "friedman1", "n_samples": 500},
        model={"name": "mlp", "hidden": [32], "hidden_activation": "tanh"},
        loss={"name": "huber", "delta": 1.0},
        optimizer={"name": "sgd", "learning_rate": 0.05, "momentum": 0.9},
        schedule={"name": "cosine"},
        epochs=60,
        metrics=[{"name": "r2"}, {"name": "mean_absolute_error"}],
    ),
    "inline_data": _example(
        "Data of your own, with class names",
        "Length and width of petals, and which iris they are of: the weights, and what is predicted for the last three.",
        data={
            "inputs": [
                [1.4, 0.2],
                [4.7, 1.4],
                [6.0, 2.5],
                [1.3, 0.2],
                [4.5, 1.5],
                [5.9, 2.1],
                [1.5, 0.4],
                [4.0, 1.3],
                [5.8, 2.2],
                [1.7, 0.5],
                [4.9, 1.5],
                [5.6, 1.8],
            ],
            "targets": ["setosa", "versicolor", "virginica"] * 4,
        },
        model={"name": "linear"},
        loss={"name": "categorical_cross_entropy", "from_logits": True},
        optimizer={"name": "lbfgs"},
        regularization={"l2": 0.01},
        epochs=5,
        validation={"last": 3},
        metrics=[{"name": "accuracy"}],
        outputs=["parameters", "predictions", "per_sample"],
    ),
    "rare_class": _example(
        "A rare class that counts as much as the other",
        "One row in ten is positive: each class weighs the same in all, and the validation rows have their share of both.",
        data={"name": "classification", "n_samples": 400, "weights": [0.9]},
        loss={"name": "binary_cross_entropy", "from_logits": True},
        class_weight="balanced",
        validation={"fraction": 0.25, "split": "stratified"},
        epochs=20,
        metrics=[{"name": "f1"}, {"name": "roc_auc"}],
    ),
    "boosted_trees": _example(
        "Boosted trees on any loss",
        "One tree an epoch, each fitted to the gradient of the absolute error that the ones before it left.",
        data={"name": "diabetes"},
        model={"name": "boosted_trees", "max_depth": 2, "learning_rate": 0.1},
        loss={"name": "mean_absolute_error"},
        epochs=80,
        metrics=[{"name": "r2"}],
    ),
    "rate_too_high": _example(
        "A learning rate that is too high",
        "Each step overshoots by more than the one before: the run says `diverged`, and which rate would have worked.",
        data={"name": "diabetes"},
        model={"name": "linear"},
        loss={"name": "mean_squared_error"},
        optimizer={"name": "gradient_descent", "learning_rate": 2.0},
        batch_size="full",
        epochs=2000,
    ),
}

LINE = [[0.0], [0.5], [1.0], [1.5], [2.0], [2.5], [3.0], [3.5], [4.0], [4.5]]

COMPARISONS = {
    "outliers": _example(
        "Two outliers, four losses",
        "Points of the line 2x + 1, two of them far off: squares are drawn to these, bounded forces are not.",
        data={"inputs": LINE, "targets": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 29.0, 30.0]},
        validation={"inputs": [[0.25], [1.25], [2.25], [3.25], [4.25]], "targets": [1.5, 3.5, 5.5, 7.5, 9.5]},
        losses=[
            {"name": "mean_squared_error"},
            {"name": "huber", "delta": 0.5},
            {"name": "mean_absolute_error"},
            {"name": "log_cosh"},
        ],
        model={"name": "linear"},
        optimizer={"name": "adam", "learning_rate": 0.05},
        batch_size="full",
        epochs=300,
        metrics=[{"name": "mean_absolute_error"}, {"name": "max_error"}],
    ),
    "rare_class": _example(
        "A rare class",
        "One row in twenty is positive: weighing the positive class, or focusing on what is hard, against plain cross-entropy.",
        data={"name": "classification", "n_samples": 2000, "weights": [0.95], "class_sep": 0.8, "flip_y": 0.0},
        losses=[
            {"name": "binary_cross_entropy", "from_logits": True},
            {"name": "binary_cross_entropy", "from_logits": True, "pos_weight": 10.0},
            {"name": "binary_focal", "from_logits": True},
        ],
        epochs=20,
        metrics=[{"name": "accuracy"}, {"name": "f1"}, {"name": "roc_auc"}],
    ),
    "optimizers": _example(
        "Optimizers",
        "The same network, data and loss, and five ways down.",
        data={"name": "wine"},
        optimizers=[
            {"name": "gradient_descent", "learning_rate": 0.01},
            {"name": "sgd", "learning_rate": 0.01, "momentum": 0.9},
            {"name": "rmsprop", "learning_rate": 0.001},
            {"name": "adam", "learning_rate": 0.001},
            {"name": "lbfgs"},
        ],
        epochs=20,
    ),
    "short": _example(
        "Two losses, two epochs",
        "The least there is to compare: a line through six points of which one is far off.",
        data={"inputs": [[0.0], [1.0], [2.0], [3.0], [4.0], [5.0]], "targets": [1.0, 2.9, 5.2, 6.8, 29.0, 11.0]},
        losses=[{"name": "mean_squared_error"}, {"name": "huber", "delta": 1.0}],
        model={"name": "linear"},
        optimizer={"name": "sgd", "learning_rate": 0.1},
        validation={"last": 1},
        epochs=2,
        metrics=[{"name": "mean_absolute_error"}],
    ),
    "grid": _example(
        "Which rate, on five folds",
        "Every combination of two optimizers and two rates, each on all folds: means with intervals, and what is beyond chance.",
        data={"name": "wine"},
        model={"name": "linear"},
        optimizers=[{"name": "sgd"}, {"name": "adam"}],
        grid={"optimizer.learning_rate": [0.01, 0.1]},
        folds=5,
        validation={"split": "stratified"},
        epochs=5,
    ),
    "seeds": _example(
        "How much of it is luck",
        "Five seeds: other weights to begin with, and another order of the rows; the data and the split stay as they are.",
        data={"name": "circles", "n_samples": 300},
        seeds=[0, 1, 2, 3, 4],
        epochs=50,
    ),
}

SEARCHES = {
    "delta": _example(
        "Which δ",
        "Where Huber's loss turns is looked for together with the learning rate.",
        data={"name": "friedman1", "n_samples": 300, "noise": 3.0},
        model={"name": "linear"},
        loss={"name": "huber"},
        space={
            "loss.delta": {"low": 0.05, "high": 5.0, "scale": "log"},
            "optimizer.learning_rate": {"low": 0.001, "high": 0.3, "scale": "log"},
        },
        monitor="mean_absolute_error",
        trials=9,
        epochs=27,
    ),
    "network": _example(
        "Which network",
        "Width, depth and dropout of a network, by its accuracy on half-moons.",
        data={"name": "moons", "n_samples": 400, "noise": 0.3},
        space={
            "model.hidden": {"values": [[8], [32], [32, 32]]},
            "model.dropout": {"low": 0.0, "high": 0.4},
        },
        monitor="accuracy",
        trials=9,
        epochs=18,
    ),
    "short": _example(
        "Three δ",
        "Every value there is, on a line of which one point is far off.",
        data={"inputs": LINE, "targets": [1.0, 2.1, 2.9, 4.2, 5.0, 5.9, 7.1, 8.0, 29.2, 9.9]},
        model={"name": "linear"},
        loss={"name": "huber"},
        optimizer={"name": "lbfgs"},
        space={"loss.delta": {"values": [0.01, 0.1, 1.0]}},
        monitor="mean_absolute_error",
        trials=3,
        epochs=3,
    ),
}

RATES = {
    "adam": _example(
        "Of a network",
        "Where Adam begins to learn on two half-moons, and where it is thrown about.",
        data={"name": "moons", "n_samples": 200},
    ),
    "descent": _example(
        "Where descent diverges",
        "Squares on a line: above a rate that their curvature sets, each step overshoots by more than the one before.",
        data={"name": "diabetes"},
        model={"name": "linear"},
        optimizer={"name": "gradient_descent"},
        batch_size="full",
        low=0.001,
        steps=50,
    ),
    "short": _example(
        "Five rates",
        "A line through six points.",
        data={"inputs": [[0.0], [1.0], [2.0], [3.0], [4.0], [5.0]], "targets": [1.0, 2.9, 5.2, 6.8, 9.1, 11.0]},
        model={"name": "linear"},
        loss={"name": "mean_squared_error"},
        optimizer={"name": "sgd"},
        low=0.001,
        steps=5,
    ),
}

CURVES = {
    "classes": _example(
        "Would more rows help",
        "Boosted trees on ever more of the wines: both losses meet where rows are enough.",
        data={"name": "wine"},
        model={"name": "boosted_trees"},
        epochs=20,
        metrics=[{"name": "accuracy"}],
    ),
    "seeds": _example(
        "With error bars",
        "Three draws of the rows for each size.",
        data={"name": "friedman1", "n_samples": 200},
        model={"name": "linear"},
        epochs=20,
        sizes=[10, 40, 160],
        seeds=[0, 1, 2],
        metrics=[{"name": "r2"}],
    ),
    "short": _example(
        "Two sizes",
        "Half of the rows, and all.",
        data={"inputs": LINE, "targets": [1.0, 2.1, 2.9, 4.2, 5.0, 5.9, 7.1, 8.0, 9.2, 9.9]},
        model={"name": "linear"},
        loss={"name": "mean_squared_error"},
        optimizer={"name": "lbfgs"},
        epochs=2,
        sizes=[0.5, 1.0],
    ),
}
