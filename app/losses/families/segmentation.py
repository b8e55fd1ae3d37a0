"""Losses of whole masks: a row of predictions is one mask of any shape, or a map of classes, and has one value.

A map has a mask for each class, and its loss is the mean of theirs. Overlaps are taken of each mask by itself, unless the
batch is pooled, so that no mask's loss depends on its company. Weights of positions go into all sums.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

from annotated_types import Ge, Le
from typing_extensions import Doc

from app.errors import Fault, InvalidParameter
from app.libraries import EACH, equal
from app.losses.encodings import CLASS_MAP, LOGIT, PROBABILITY, SOFT_BINARY, map_of, mask_of
from app.losses.inputs import Case, Choice
from app.losses.loss import DIFFERENTIABLE, NON_NEGATIVE, SYMMETRIC, Gradient, loss
from app.losses.numerics.masks import Layout
from app.losses.numerics.overlaps import overlap_of, squared_dice_of
from app.losses.numerics.stable import Array
from app.losses.parameters import Pools
from app.registry import alias


def _of_classes(given: Mapping[str, Any], rank: int) -> bool:
    return given["class_axis"] is not None


def _of_logits(given: Mapping[str, Any], rank: int) -> bool:
    return bool(given["from_logits"])


MASK = Choice(
    (
        Case(
            "from_logits is true, class_axis null",
            lambda given, rank: _of_logits(given, rank) and not _of_classes(given, rank),
            mask_of(LOGIT),
        ),
        Case("from_logits is true", _of_logits, map_of(LOGIT)),
        Case("class_axis is set", _of_classes, map_of(PROBABILITY)),
        Case("otherwise", lambda _, __: True, mask_of(PROBABILITY)),
    )
)
TRUE_MASK = Choice(
    (
        Case("class_axis is set", _of_classes, CLASS_MAP),
        Case("otherwise", lambda _, __: True, mask_of(SOFT_BINARY)),
    )
)

FalsePositives: TypeAlias = Annotated[float, Ge(0), Le(1e100), Doc("Weight of false positives.")]
FalseNegatives: TypeAlias = Annotated[float, Ge(0), Le(1e100), Doc("Weight of false negatives.")]
Smooth: TypeAlias = Annotated[float, Ge(0), Doc("Added to both sides of the fraction, for small masks.")]
SmoothNr: TypeAlias = Annotated[Annotated[float, Ge(0)] | None, Doc("What the numerator has instead of `smooth`.")]
SmoothDr: TypeAlias = Annotated[Annotated[float, Ge(0)] | None, Doc("What the denominator has instead of `smooth`.")]
FromLogits: TypeAlias = Annotated[bool, Doc("Whether predictions are logits.")]
ClassAxis: TypeAlias = Annotated[
    int | None,
    Doc("The axis along which the classes are, each with a mask of its own (1 as in PyTorch); null: a row is one mask."),
]
MapAxis: TypeAlias = Annotated[int, Doc("The axis along which the classes are: the last, or 1 as in PyTorch.")]
Background: TypeAlias = Annotated[bool, Doc("Whether class 0 is one of those whose masks are averaged.")]
Activation: TypeAlias = Annotated[
    Literal["sigmoid", "softmax"] | None,
    Doc("What makes logits probabilities; null: the softmax over the classes where there is an axis of them, else the sigmoid."),
]
Pool: TypeAlias = Annotated[
    Literal["sample", "batch"],
    Pools("batch"),
    Doc("Whether each sample has its own sums, or all of the batch have them together."),
]


@loss(
    predictions=MASK,
    targets=TRUE_MASK,
    formula="1 − (2 ∑ᵢ pᵢ·yᵢ + s)/(∑ᵢ pᵢᶜ + ∑ᵢ yᵢᶜ + s); c = 2 if squared, else 1; p = σ(x) if from_logits",
    gradient="h·(c·pᵢ^(c − 1)·(1 − ℓ) − 2yᵢ)/u; u = ∑ᵢ pᵢᶜ + ∑ᵢ yᵢᶜ + s; h = pᵢ(1 − pᵢ) if from_logits, else 1",
    symbols={"i": "a position of the mask"},
    aliases=(
        alias("Dice", pool="batch", smooth_nr=0.0, smooth_dr=1e-7),
        "DiceLoss",
        "dice_loss",
        "sorensen_dice",
        "f1_loss",
        alias("binary_dice_loss", from_logits=True, smooth=2.0),
    ),
    equals=(
        equal("keras.losses.Dice()(targets, predictions)", pool="batch", smooth_nr=0.0, smooth_dr=1e-7),
        equal(
            "keras.losses.Dice(axis=(1, 2), reduction=reduction)(targets, predictions)",
            axes=("n m r",),
            smooth_nr=0.0,
            smooth_dr=1e-7,
        ),
        equal(
            "optax.losses.binary_dice_loss(predictions, targets, smooth=smooth / 2)",
            reductions=EACH,
            from_logits=True,
            smooth=2.0,
        ),
        equal(
            "segmentation_models_pytorch.losses.DiceLoss('binary', smooth=smooth / 2)(predictions[:, None], targets[:, None])",
            from_logits=True,
            pool="batch",
        ),
        equal(
            "segmentation_models_pytorch.losses.DiceLoss('multiclass', smooth=smooth / 2)(predictions, targets)",
            axes=("n k m r",),
            from_logits=True,
            class_axis=1,
            pool="batch",
        ),
        equal(
            "monai.losses.DiceLoss(squared_pred=squared, smooth_nr=smooth_nr, smooth_dr=smooth_dr, reduction=reduction)"
            "(predictions[:, None], targets[:, None])",
            reductions=("mean", "sum"),
            smooth_nr=1e-5,
            smooth_dr=1e-5,
        ),
        equal(
            "monai.losses.DiceLoss(softmax=True, to_onehot_y=True, include_background=include_background, smooth_nr=smooth_nr, "
            "smooth_dr=smooth_dr)(predictions, targets[:, None])",
            axes=("n k m",),
            from_logits=True,
            class_axis=1,
            smooth_nr=1e-5,
            smooth_dr=1e-5,
        ),
    ),
    reference="Milletari, Navab and Ahmadi (2016), doi:10.1109/3DV.2016.79",
    properties=DIFFERENTIABLE | SYMMETRIC | NON_NEGATIVE,
    weighs_rows=True,
)
def dice(
    predictions: Array,
    targets: Array,
    weights: Array | None = None,
    *,
    from_logits: FromLogits = False,
    smooth: Smooth = 0.0,
    smooth_nr: SmoothNr = None,
    smooth_dr: SmoothDr = None,
    squared: Annotated[bool, Doc("Whether the denominator sums squares (V-Net) rather than the probabilities.")] = False,
    class_axis: ClassAxis = None,
    include_background: Background = True,
    activation: Activation = None,
    pool: Pool = "sample",
) -> tuple[Array, Gradient]:
    """One minus the overlap of two masks, relative to their size: a rare foreground counts as much as a large one.

    Targets may be soft; the loss then is 0 at the target only with `squared`. Two empty masks without `smooth` have
    loss 0 and gradient 0. With `class_axis`, targets are class indices or a mask for each class, and the loss is the mean over
    the classes. Keras and some others pool all masks of a batch by default: `pool` does.

    Use when: a mask covers a small part of a picture, as an organ or a road does, and its overlap is what counts.
    Avoid when: masks may be empty or tiny, where a single pixel decides; or calibrated probabilities are wanted.
    See also: tversky, iou, jaccard, bce_dice, log_cosh_dice.
    """
    above, below = smoothing_of(smooth, smooth_nr, smooth_dr)
    layout = layout_of(predictions, class_axis, include_background, activation, from_logits, pool)
    if squared:
        return layout.apply(lambda masks, y, w: squared_dice_of(masks, y, w, above, below - above), predictions, targets, weights)
    return layout.apply(
        lambda masks, y, w: overlap_of(masks, y, w, 0.5, 0.5, above / 2, (below - above) / 2), predictions, targets, weights
    )


@loss(
    predictions=MASK,
    targets=TRUE_MASK,
    formula=(
        "1 − (TP + s)/(TP + α·FP + β·FN + s); TP = ∑ᵢ pᵢ·yᵢ; FP = ∑ᵢ pᵢ·(1 − yᵢ); FN = ∑ᵢ (1 − pᵢ)·yᵢ; p = σ(x) if from_logits"
    ),
    gradient="h·((1 − ℓ)(yᵢ + α(1 − yᵢ) − β·yᵢ) − yᵢ)/u; u = TP + α·FP + β·FN + s; h = pᵢ(1 − pᵢ) if from_logits, else 1",
    symbols={"i": "a position of the mask"},
    aliases=(alias("Tversky", pool="batch", smooth_nr=0.0, smooth_dr=1e-7), "TverskyLoss", "tversky_loss"),
    equals=(
        equal(
            "keras.losses.Tversky(alpha=beta, beta=alpha)(targets, predictions)",
            pool="batch",
            smooth_nr=0.0,
            smooth_dr=1e-7,
            caveat="Keras before 3.16 has alpha and beta exchanged.",
        ),
        equal(
            "keras.losses.Tversky(alpha=beta, beta=alpha, axis=(1, 2), reduction=reduction)(targets, predictions)",
            axes=("n m r",),
            smooth_nr=0.0,
            smooth_dr=1e-7,
            caveat="Keras before 3.16 has alpha and beta exchanged.",
        ),
        equal(
            "segmentation_models_pytorch.losses.TverskyLoss('binary', smooth=smooth, alpha=alpha, beta=beta)(predictions[:, "
            "None], targets[:, None])",
            from_logits=True,
            pool="batch",
        ),
        equal(
            "monai.losses.TverskyLoss(alpha=alpha, beta=beta, smooth_nr=smooth_nr, smooth_dr=smooth_dr, reduction=reduction)"
            "(predictions[:, None], targets[:, None])",
            reductions=("mean", "sum"),
            smooth_nr=1e-5,
            smooth_dr=1e-5,
        ),
    ),
    reference="Salehi, Erdogmus and Gholipour (2017), doi:10.1007/978-3-319-67389-9_44",
    properties=DIFFERENTIABLE | NON_NEGATIVE,
    weighs_rows=True,
)
def tversky(
    predictions: Array,
    targets: Array,
    weights: Array | None = None,
    *,
    alpha: FalsePositives = 0.5,
    beta: FalseNegatives = 0.5,
    smooth: Smooth = 0.0,
    smooth_nr: SmoothNr = None,
    smooth_dr: SmoothDr = None,
    from_logits: FromLogits = False,
    class_axis: ClassAxis = None,
    include_background: Background = True,
    activation: Activation = None,
    pool: Pool = "sample",
) -> tuple[Array, Gradient]:
    """Dice with a price for each kind of error: beta above alpha makes a learner miss less and mark more.

    `alpha` weighs false positives, as in the paper; Keras before 3.16 had the two exchanged. Two empty masks without
    `smooth` have loss 0 and gradient 0.

    Use when: a mask is small and to miss some of it is worse than to mark too much, or the other way round.
    Avoid when: nobody can price the two errors: alpha and beta of ½ are dice.
    See also: dice, focal_tversky.
    """
    above, below = smoothing_of(smooth, smooth_nr, smooth_dr)
    layout = layout_of(predictions, class_axis, include_background, activation, from_logits, pool)
    return layout.apply(
        lambda masks, y, w: overlap_of(masks, y, w, alpha, beta, above, below - above), predictions, targets, weights
    )


def layout_of(
    predictions: Array, class_axis: int | None, include_background: bool, activation: str | None, from_logits: bool, pool: str
) -> Layout:
    """How these predictions are masks; InvalidParameter for settings that leave none."""
    k = 1 if class_axis is None else predictions.shape[-1]
    if not include_background and k == 1:
        message = "include_background leaves out class 0: it needs class_axis, and another class beside that"
        raise InvalidParameter([Fault(("parameters", "include_background"), "classes", message)])
    if class_axis is None and activation == "softmax":
        message = "a softmax is over classes: set class_axis to where they are, or activation to sigmoid"
        raise InvalidParameter([Fault(("parameters", "activation"), "classes", message)])
    made = activation or ("sigmoid" if class_axis is None else "softmax")
    return Layout(len(predictions), k, 0 if include_background else 1, made if from_logits else "", pool == "batch")


def smoothing_of(smooth: float, above: float | None, below: float | None) -> tuple[float, float]:
    """What is added to the numerator, and to the denominator."""
    return smooth if above is None else above, smooth if below is None else below
