"""What other libraries call it: calls that give the same, as values, and the words in front of their names.

An `Equal` is a claim that is run: `make test-equals` evaluates every one of a library with a version, and what it says
it differs at as well. Names in a call are those of the arrays and parameters here; `reduction` is the one asked for, and
`k` the number of classes.
"""

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal, TypeAlias

Reduced: TypeAlias = Literal["mean", "sum", "none"]
AVERAGES: tuple[Reduced, ...] = ("mean", "none")
"""Of losses of numbers that are averaged within a sample before samples are summed, as in Keras."""
EACH: tuple[Reduced, ...] = ("none",)
Region: TypeAlias = Literal["ties", "exact", "zeros", "saturated"]
"""Inputs that are not ordinary: numbers of a coarse grid, with ties and kinks; predictions that hit their targets; zeros;
probabilities of 0 and 1, and scores and numbers of a thousand."""

AT_KINKS = ("gradient at ties", "gradient at exact", "gradient at zeros", "gradient at saturated")
"""What differs where another subgradient is taken."""


@dataclass(frozen=True)
class Library:
    """A library, and the version of it that calls were compared with; None where they were not."""

    name: str
    version: str | None
    prefixes: tuple[str, ...] = ()
    """What may stand before a name of it, beside the name of the library itself."""


LIBRARIES: Mapping[str, Library] = {
    library.name: library
    for library in (
        Library(
            "torch",
            "2.13.0",
            (
                "torch.nn.functional",
                "torch.nn",
                "nn.functional",
                "nn",
                "F",
                "torch.optim.lr_scheduler",
                "torch.optim",
                "optim.lr_scheduler",
                "optim",
                "lr_scheduler",
            ),
        ),
        Library("torchvision", "0.28.0", ("torchvision.ops", "ops")),
        Library(
            "torchmetrics",
            "1.9.0",
            (
                "torchmetrics.functional.classification",
                "torchmetrics.functional.regression",
                "torchmetrics.functional",
                "torchmetrics.classification",
                "torchmetrics.regression",
            ),
        ),
        Library(
            "keras",
            "3.15.1",
            (
                *(
                    f"{package}.{module}"
                    for package in ("keras", "tf.keras", "tensorflow.keras")
                    for module in ("losses", "metrics", "optimizers.schedules", "optimizers")
                ),
                "tf.keras",
                "tensorflow.keras",
                "tf.losses",
            ),
        ),
        Library(
            "sklearn",
            "1.9.1",
            (
                "sklearn.metrics",
                "sklearn._loss.loss",
                "sklearn._loss",
                "sklearn.linear_model",
                "sklearn.datasets",
                "sklearn.ensemble",
                "metrics",
            ),
        ),
        Library("scipy", "1.17.1", ("scipy.special", "scipy.optimize")),
        Library("optax", "0.2.8", ("optax.losses", "optax.schedules")),
        Library("xgboost", "3.2.0"),
        Library("lightgbm", "4.7.0"),
        Library("catboost", "1.2.10"),
        Library("monai", "1.6.1", ("monai.losses",)),
        Library(
            "segmentation_models_pytorch",
            "0.6.0",
            ("segmentation_models_pytorch.losses._functional", "segmentation_models_pytorch.losses", "smp.losses", "smp"),
        ),
        Library("kornia", "0.9.0", ("kornia.losses",)),
        Library("scoringrules", "0.10.0"),
        Library("statsmodels", "0.15.0", ("statsmodels.robust.norms",)),
        Library("pytorch_metric_learning", "2.9.0", ("pytorch_metric_learning.losses",)),
        Library("sentence_transformers", None, ("sentence_transformers.losses", "sentence_transformers.cross_encoder.losses")),
        Library("pycox", None, ("pycox.models.loss",)),
        Library("pytorch_forecasting", None, ("pytorch_forecasting.metrics",)),
        Library("gluonts", None),
        Library("mmdet", None, ("mmdet.models.losses",)),
        Library("trl", None),
        Library("tensorflow_addons", None, ("tensorflow_addons.losses", "tfa.losses")),
    )
}
PREFIXES: Mapping[str, Library] = {
    f"{prefix.casefold()}.": library for library in LIBRARIES.values() for prefix in (library.name, *library.prefixes)
}


TWINS: Mapping[str, str] = {
    f"{classes}.{name}": f"{functions}.{function}"
    for classes, functions, pairs in (
        (
            "torch.nn",
            "torch.nn.functional",
            """
            MSELoss mse_loss, L1Loss l1_loss, HuberLoss huber_loss, SmoothL1Loss smooth_l1_loss, BCELoss binary_cross_entropy,
            BCEWithLogitsLoss binary_cross_entropy_with_logits, SoftMarginLoss soft_margin_loss, CrossEntropyLoss cross_entropy,
            NLLLoss nll_loss, MultiMarginLoss multi_margin_loss, MultiLabelSoftMarginLoss multilabel_soft_margin_loss,
            MultiLabelMarginLoss multilabel_margin_loss, KLDivLoss kl_div, PoissonNLLLoss poisson_nll_loss,
            GaussianNLLLoss gaussian_nll_loss, CosineEmbeddingLoss cosine_embedding_loss, HingeEmbeddingLoss hinge_embedding_loss,
            TripletMarginLoss triplet_margin_loss, MarginRankingLoss margin_ranking_loss, CTCLoss ctc_loss""",
        ),
        (
            "keras.losses",
            "keras.losses",
            """
            MeanSquaredError mean_squared_error, MeanAbsoluteError mean_absolute_error, LogCosh log_cosh, Huber huber,
            MeanSquaredLogarithmicError mean_squared_logarithmic_error, Poisson poisson, KLDivergence kl_divergence,
            MeanAbsolutePercentageError mean_absolute_percentage_error, BinaryCrossentropy binary_crossentropy,
            CategoricalCrossentropy categorical_crossentropy, SparseCategoricalCrossentropy sparse_categorical_crossentropy,
            BinaryFocalCrossentropy binary_focal_crossentropy, CategoricalFocalCrossentropy categorical_focal_crossentropy,
            CategoricalGeneralizedCrossEntropy categorical_generalized_cross_entropy, Hinge hinge, SquaredHinge squared_hinge,
            CategoricalHinge categorical_hinge, Dice dice, Tversky tversky, CTC ctc""",
        ),
        (
            "torchmetrics",
            "torchmetrics.functional",
            """
            MeanSquaredError mean_squared_error, MeanAbsoluteError mean_absolute_error, LogCoshError log_cosh_error,
            MeanSquaredLogError mean_squared_log_error, MeanAbsolutePercentageError mean_absolute_percentage_error,
            SymmetricMeanAbsolutePercentageError symmetric_mean_absolute_percentage_error,
            WeightedMeanAbsolutePercentageError weighted_mean_absolute_percentage_error,
            RelativeSquaredError relative_squared_error, NormalizedRootMeanSquaredError normalized_root_mean_squared_error,
            TweedieDevianceScore tweedie_deviance_score, KLDivergence kl_divergence""",
        ),
        (
            "torchmetrics.regression",
            "torchmetrics.functional.regression",
            "JensenShannonDivergence jensen_shannon_divergence",
        ),
        (
            "torchmetrics.classification",
            "torchmetrics.functional.classification",
            """
            MultilabelRankingLoss multilabel_ranking_loss, MultilabelCoverageError multilabel_coverage_error""",
        ),
    )
    for name, function in (pair.split() for pair in pairs.split(","))
}
"""Classes, and the function of the same library that is the same."""
_TWINS = {**TWINS, **{function: name for name, function in TWINS.items()}}
CHOOSE = {"loss", "loss_function", "objective", "metric", "eval_metric"}
"""Arguments by which an estimator is told its loss."""


@dataclass(frozen=True, kw_only=True)
class Equal:
    """A call of another library that gives what it is declared on gives."""

    call: str
    """A Python expression: the number or numbers, or an object that minimises or measures the loss."""
    parameters: Mapping[str, object] = field(default_factory=dict[str, object])
    """What has to be set here; all others are as they are by default, or named in the call."""
    reductions: tuple[Reduced, ...] = ("mean",)
    """The reductions under which it is the same; none: each sample's loss, or each element's."""
    encodings: Mapping[str, str] = field(default_factory=dict[str, str])
    """How the arrays are encoded for the call, where that is one of several or not the way it is here."""
    axes: tuple[str, ...] = ()
    """The shapes of predictions for which it is the same, as axes, where it is not so for all that the loss takes."""
    times: float = 1.0
    """What its numbers have to be multiplied by."""
    differs_at: tuple[str, ...] = ()
    """Where it does not hold: a region, or `gradient at` a region."""
    caveat: str = ""
    """Why, in a sentence; and what else there is to know."""

    @cached_property
    def tree(self) -> ast.Expression:
        return ast.parse(self.call, mode="eval")

    @cached_property
    def library(self) -> Library:
        """The library that it calls."""
        return LIBRARIES[self.function.partition(".")[0]]

    @cached_property
    def function(self) -> str:
        """What is called, with its dots: `torch.nn.HuberLoss`."""
        dotted = (ast.unparse(node) for node in ast.walk(self.tree) if _is_dotted(node))
        return next(name for name in dotted if name.partition(".")[0] in LIBRARIES)

    @cached_property
    def names(self) -> frozenset[str]:
        """The names of arrays and parameters that occur in the call."""
        return frozenset(node.id for node in ast.walk(self.tree) if isinstance(node, ast.Name)) - LIBRARIES.keys()

    @cached_property
    def twin(self) -> "Equal | None":
        """The same by the library's function for its class, or its class for its function."""
        other, body = _TWINS.get(self.function), self.tree.body
        if other is None or not isinstance(body, ast.Call):
            return None
        made = body.func if isinstance(body.func, ast.Call) else None
        settings = {keyword.arg: ast.unparse(keyword.value) for keyword in (made or body).keywords}
        arrays, reductions = [ast.unparse(array) for array in body.args], self.reductions
        if made and other.startswith("keras.") and settings.pop("reduction", None):
            reductions = EACH  # its functions have none
        named = [f"{name}={value}" for name, value in settings.items()]
        call = f"{other}({', '.join([*arrays, *named])})" if made else f"{other}({', '.join(named)})({', '.join(arrays)})"
        return replace(self, call=call, reductions=reductions)

    @property
    def is_plain(self) -> bool:
        """Whether what is called is a name of the loss: it gives the number itself, and is not told elsewhere which one."""
        chosen = {node.arg for node in ast.walk(self.tree) if isinstance(node, ast.keyword)} & CHOOSE
        return self.times == 1.0 and isinstance(self.tree.body, ast.Call) and not chosen


def _is_dotted(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and (isinstance(node.value, ast.Name) or _is_dotted(node.value))


def equal(
    call: str,
    *,
    reductions: Iterable[Reduced] | None = None,
    encodings: Mapping[str, str] | None = None,
    axes: tuple[str, ...] = (),
    times: float = 1.0,
    differs_at: tuple[str, ...] = (),
    caveat: str = "",
    **parameters: object,
) -> Equal:
    """An Equal under these parameters; of a call that takes `reduction`, under all of the three."""
    takes = "reduction=reduction" in call
    return Equal(
        call=call,
        parameters=parameters,
        encodings=encodings or {},
        axes=axes,
        times=times,
        differs_at=differs_at,
        caveat=caveat,
        reductions=("mean", "sum", "none") if reductions is None and takes else tuple(reductions or ("mean",)),
    )


def with_twins(equals: Iterable[Equal]) -> Iterator[Equal]:
    """These, and after each the same by its twin."""
    for equal in equals:
        yield equal
        if equal.twin:
            yield equal.twin


def unprefixed(name: str) -> tuple[Library | None, str]:
    """The library whose prefix a name has, and the name without the longest of its prefixes."""
    folded = name.casefold()
    prefix = max((prefix for prefix in PREFIXES if folded.startswith(prefix)), key=len, default="")
    return PREFIXES.get(prefix), name[len(prefix) :]
