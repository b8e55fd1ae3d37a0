"""Which losses suit some targets: what is known of losses, as data, beside the traits that the targets show."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np

from app.domains import Simplex
from app.errors import CallerError
from app.insight.traits import Data, Task, Trait, traits_of
from app.losses import LOSSES
from app.losses.batch import Classes, batch_of
from app.losses.encodings import UNIT
from app.losses.form import bind
from app.losses.inputs import Sizes
from app.losses.loss import Loss
from app.losses.numerics.stable import Array

Chosen: TypeAlias = Callable[[Data], object]
"""A parameter that depends on the data; None leaves the loss out."""
DRAWN = 8
"""Predictions that are drawn where there are none, again and again."""


class For(NamedTuple):
    """What a trait says of a loss: how much it moves it, and why."""

    moves: float
    why: str = ""
    against: str = ""


class Advice(NamedTuple):
    """A loss for some tasks, and how far up it stands."""

    loss: str
    tasks: Mapping[Task, float]
    why: str
    against: str
    traits: Mapping[str, For] = {}
    parameters: Mapping[str, Any] = {}
    needs: str = ""
    """A trait without which it is not recommended."""


class Recommendation(NamedTuple):
    """A loss, ready to be asked for."""

    rank: int
    loss: Loss
    parameters: Mapping[str, Any]
    why: tuple[str, ...]
    against: tuple[str, ...]


class Recommended(NamedTuple):
    """Which losses suit, the best first, and what of the data says so."""

    task: Task
    traits: tuple[Trait, ...]
    recommendations: tuple[Recommendation, ...]
    doubt: str | None = None
    """What the targets leave open, where nobody has said it."""


def _delta(data: Data) -> object:
    """Where 95 % of the efficiency of the mean is kept under normal residuals (Huber 1964): 1.345 robust deviations."""
    return _spread(data, 1.345)


def _c(data: Data) -> object:
    """The same of Cauchy's loss (Holland and Welsch 1977): 2.385 robust deviations."""
    return _spread(data, 2.385)


def _spread(data: Data, times: float) -> float:
    numbers = (data.targets if data.residuals is None else data.residuals).reshape(-1)
    spread = 1.4826 * float(np.median(np.abs(numbers - np.median(numbers))))
    return float(f"{times * spread:.3g}") or 1.0


def _odds(data: Data) -> object:
    """Negatives for each positive."""
    positives = float(np.sum(data.targets.reshape(-1) > np.min(data.targets)))
    negatives = data.targets.size - positives
    return negatives / positives if positives and negatives else None


def _weights(data: Data) -> object:
    """n/(k·count) of each class, as scikit-learn's "balanced"; 1 for one that does not occur."""
    k = data.targets.shape[1] if data.targets.ndim > 1 else classes_of(data)
    first = 0 if data.targets.ndim > 1 or data.targets.min() < 1 else int(k == data.targets.max())
    counts = data.classes if data.targets.ndim > 1 else np.bincount(data.targets.astype(int) - first, minlength=k)
    return [float(data.targets.shape[0] / (np.count_nonzero(counts) * count)) if count else 1.0 for count in counts]


ROBUST = For(20.0, why="A target that is far off pulls with bounded force.")
SQUARED = For(-20.0, against="Outliers are squared: a few of them decide what is learnt.")
SYMMETRIC = For(-2.0, against="It takes the targets' skew for noise of the same size everywhere.")
CROSS_ENTROPY = "It is proper: the true probabilities cost least, and its slope never dies where a prediction is wrong."
SURE = For(
    0.0, against="A probability of 0 for what happens costs infinity: some of these are saturated; set clip, or send logits."
)
MARGINS = For(0.5, why="It is written for labels of −1 and 1.")
RARE = For(3.0, why="Samples that are classified well already count little, which leaves room for the rare class.")

ADVICE: Sequence[Advice] = (
    Advice(
        "mean_squared_error",
        {"regression": 10.0, "count": 3.0},
        "Its best prediction is the mean, and every method knows it.",
        "Large residuals count by their square.",
        {
            "outliers": SQUARED,
            "skew": SYMMETRIC,
            "zeros": SYMMETRIC,
            "bounds": For(-2.0, against="Predictions may leave [0, 1]."),
            "counts": For(-2.0, against="Counts vary more where they are larger; it weighs all alike."),
            "censoring": For(-1.0, against="Targets at the limit are taken at their word."),
        },
    ),
    Advice(
        "half_squared_error",
        {"regression": 9.0},
        "The same with the ½ that makes its slope the residual.",
        "Large residuals count by their square.",
        {"outliers": SQUARED, "skew": SYMMETRIC, "zeros": SYMMETRIC, "bounds": SYMMETRIC},
    ),
    Advice(
        "huber",
        {"regression": 7.0, "count": 1.0},
        "Quadratic for usual residuals and linear beyond delta, set to 1.345 robust deviations.",
        "delta is one more thing to choose, and its best prediction is neither mean nor median.",
        {"outliers": ROBUST},
        {"delta": _delta},
    ),
    Advice(
        "mean_absolute_error",
        {"regression": 6.0, "quantile": 3.0, "count": 0.5},
        "Its best prediction is the median.",
        "The slope has the same size however near the target is, and a kink there.",
        {"outliers": ROBUST, "ties": For(0.5, why="A median of a scale's grades is one of them.")},
    ),
    Advice(
        "log_cosh",
        {"regression": 5.0},
        "Nearly Huber's, and smooth: for methods that need second derivatives.",
        "Its scale is fixed: what is a large residual does not depend on your data.",
        {"outliers": ROBUST},
    ),
    Advice(
        "quantile",
        {"quantile": 10.0, "regression": 4.0},
        "Its best prediction is a quantile of the targets; 0.5 is the median.",
        "One quantile says nothing of the others: ask for several.",
        {
            "censoring": For(8.0, why="A quantile below the limit is the same whether targets are cut off or not."),
            "outliers": For(19.0, why="A quantile does not see how far off a target is."),
        },
        {"quantile": 0.5},
    ),
    Advice(
        "quantile",
        {"quantile": 8.0},
        "The lower end of an interval of 80 %.",
        "Two quantiles learnt apart may cross.",
        parameters={"quantile": 0.1},
    ),
    Advice(
        "quantile",
        {"quantile": 8.0},
        "The upper end of an interval of 80 %.",
        "Two quantiles learnt apart may cross.",
        parameters={"quantile": 0.9},
    ),
    Advice(
        "gamma_deviance",
        {"survival": 8.0, "regression": -5.0},
        "It compares by ratio: the spread of such targets grows with their mean.",
        "Targets and predictions have to be above 0, and it knows nothing of censoring.",
        {"skew": For(20.0, why="Skewed positive targets vary in proportion to their mean, as a gamma law does.")},
    ),
    Advice(
        "tweedie_deviance",
        {"regression": -5.0, "count": 5.0, "survival": 6.0},
        "Between Poisson and gamma: variance as a power of the mean.",
        "The power is one more thing to choose; predictions have to be above 0.",
        {
            "skew": For(18.0, why="Variance grows with the mean."),
            "zeros": For(21.0, why="With a power between 1 and 2 it is the law of a sum: exact zeros, and a continuous rest."),
        },
        {"power": 1.5},
    ),
    Advice(
        "mean_squared_logarithmic_error",
        {"regression": -5.0, "count": 2.0, "survival": 4.0},
        "Squares on a logarithmic scale: ratios count, not differences.",
        "Its best prediction is below the mean.",
        {"skew": For(17.0, why="On a logarithmic scale the skew is gone.")},
    ),
    Advice(
        "poisson_deviance",
        {"count": 12.0},
        "The deviance of counts: their variance is their mean, and it is measured by that.",
        "Where the variance is far above the mean, its error bars are too small.",
    ),
    Advice(
        "poisson_nll",
        {"count": 11.0},
        "The same for predictions that are logarithms of the rate, which may be any number.",
        "Its value is no error: it may be below 0.",
        parameters={"log_input": True},
    ),
    Advice(
        "poisson_nll",
        {"count": 10.0},
        "The likelihood of counts, for predictions that are rates.",
        "Its value is no error: it may be below 0.",
        parameters={"log_input": False},
    ),
    Advice(
        "binary_cross_entropy",
        {"binary": 10.0, "multilabel": 10.0, "regression": -15.0},
        CROSS_ENTROPY,
        "One sure mistake costs as much as many small ones: wrong labels hurt.",
        {
            "bounds": For(41.5, why="Targets in [0, 1] are taken as shares: predictions stay within, and the truth costs least."),
            "saturation": SURE,
        },
    ),
    Advice(
        "binary_cross_entropy",
        {"binary": 15.0},
        CROSS_ENTROPY + " pos_weight is negatives/positives.",
        "The probabilities are those of balanced classes: calibrate them before they are read as such.",
        {"saturation": SURE},
        {"pos_weight": _odds},
        needs="imbalance",
    ),
    Advice(
        "logistic",
        {"binary": 9.0},
        "Cross-entropy of scores: no probability is formed, and nothing saturates.",
        "Its predictions are scores.",
        {"label_encoding": MARGINS},
    ),
    Advice(
        "brier_score",
        {"binary": 8.0, "multiclass": 7.0},
        "It is proper and bounded: a sure mistake costs at most a fixed price.",
        "Its slope dies where a prediction is sure and wrong.",
        {"saturation": For(1.0, why="It stays finite where probabilities are 0 or 1.")},
    ),
    Advice(
        "binary_focal",
        {"binary": 6.0, "multilabel": 7.0},
        "Cross-entropy that passes over what is classified well.",
        "It is not proper: its probabilities are less sure than they should be.",
        {"imbalance": RARE, "saturation": SURE},
    ),
    Advice(
        "hinge",
        {"binary": 4.0},
        "It asks for a margin, and for no more.",
        "It gives decisions, and no probabilities.",
        {"label_encoding": MARGINS},
    ),
    Advice(
        "categorical_cross_entropy",
        {"multiclass": 10.0},
        CROSS_ENTROPY,
        "One sure mistake costs as much as many small ones: wrong labels hurt.",
        {"saturation": SURE},
    ),
    Advice(
        "categorical_cross_entropy",
        {"multiclass": 15.0},
        CROSS_ENTROPY + " class_weight makes all classes count alike.",
        "The probabilities are those of balanced classes: calibrate them before they are read as such.",
        {"saturation": SURE},
        {"class_weight": _weights},
        needs="imbalance",
    ),
    Advice(
        "categorical_focal",
        {"multiclass": 6.0},
        "Cross-entropy that passes over what is classified well.",
        "It is not proper: its probabilities are less sure than they should be.",
        {"imbalance": RARE, "saturation": SURE},
    ),
    Advice(
        "generalized_cross_entropy",
        {"multiclass": 5.0},
        "Bounded: wrong labels pull with limited force.",
        "It learns more slowly than cross-entropy where labels are right.",
    ),
    Advice(
        "multi_margin",
        {"multiclass": 4.0},
        "It asks for a margin between the true class and the others.",
        "It gives decisions, and no probabilities.",
    ),
    Advice(
        "multilabel_soft_margin",
        {"multilabel": 9.0},
        "Cross-entropy of each label's logit, averaged over a row.",
        "Its predictions are logits.",
    ),
    Advice(
        "pseudo_huber",
        {"regression": 4.5},
        "Huber's with a smooth seam: it has every derivative.",
        "Near its delta it is neither quadratic nor linear, and delta is one more thing to choose.",
        {"outliers": ROBUST},
        {"delta": _delta},
    ),
    Advice(
        "cauchy",
        {"regression": 1.0},
        "Its pull dies away: a target that is very far off is nearly left out.",
        "It is not convex: where training starts decides where it ends.",
        {"outliers": ROBUST},
        {"c": _c},
    ),
    Advice(
        "cox_partial_likelihood",
        {"survival": 10.0},
        "It takes censored times for what they are, and asks only for the order of risks.",
        "It gives no times; it wants targets as objects with time and event, and its value is of the whole batch.",
    ),
    Advice(
        "logistic_hazard",
        {"survival": 9.0},
        "The hazard of each interval, censored or not: it gives a curve of survival.",
        "Times have to be cut into intervals.",
    ),
    Advice(
        "interval_score",
        {"quantile": 9.0},
        "Both ends of an interval in one number: its width, and a fine for each target outside.",
        "It wants predictions as objects with lower and upper.",
    ),
    Advice(
        "ranking_softmax",
        {"ranking": 9.0},
        "What is relevant should have the largest share of a list's softmax.",
        "It wants a whole list as a row: (n, k) scores and relevances.",
    ),
    Advice(
        "listnet",
        {"ranking": 8.5},
        "The same for relevances with grades: both orders as distributions.",
        "It wants a whole list as a row, and its least value is not 0.",
    ),
    Advice(
        "bradley_terry",
        {"ranking": 7.0},
        "The probability that one of two wins, from the difference of their scores.",
        "It wants pairs, and says nothing of lists.",
    ),
    Advice(
        "margin_ranking",
        {"ranking": 10.0},
        "Of two scores the one that should be higher is, by a margin.",
        "It wants pairs: predictions are objects with first and second, targets are 1 or −1.",
    ),
    Advice(
        "label_ranking_loss",
        {"ranking": 8.0},
        "The share of pairs of labels that are in the wrong order.",
        "It has no gradient: for evaluation only.",
    ),
)
"""What is known of losses: a test holds every name and parameter of it against the registry."""


def recommend(
    data: Data | None, task: Task, *, limit: int = 5, targets: Any = None, classes: Classes | None = None
) -> Recommended:
    """Losses for a task, or for data of it: each is verified to take the targets as they came, and the predictions."""
    predictions = None if data is None else data.predictions
    traits = () if data is None else traits_of(data)
    present = {trait.trait for trait in traits}
    found: list[tuple[float, Loss, dict[str, Any], Advice]] = []
    for advice in ADVICE:
        if task not in advice.tasks or (advice.needs and advice.needs not in present):
            continue
        parameters = _parameters(advice, data)
        loss = LOSSES[advice.loss]
        fitted = (
            parameters if data is None or parameters is None else _fitted(loss, parameters, data, predictions, targets, classes)
        )
        if fitted is None:
            continue
        standing = advice.tasks[task] + sum(advice.traits[name].moves for name in present & advice.traits.keys())
        if not any(other is loss and known == fitted for _, other, known, _ in found):
            found.append((standing, loss, fitted, advice))
    found.sort(key=lambda entry: -entry[0])
    return Recommended(
        task,
        traits,
        tuple(
            Recommendation(rank, loss, parameters, *_reasons(advice, traits))
            for rank, (_, loss, parameters, advice) in enumerate(found[:limit], 1)
        ),
    )


def _reasons(advice: Advice, traits: Sequence[Trait]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Why, and what speaks against it: what the data say first."""
    reasons = [(advice.traits[trait.trait], trait) for trait in traits if trait.trait in advice.traits]
    why = [f"{trait.text} {reason.why}" for reason, trait in reasons if reason.why]
    if advice.needs:
        why += [trait.text for trait in traits if trait.trait == advice.needs]
    return (*why, advice.why), (*(reason.against for reason, _ in reasons if reason.against), advice.against)


def _parameters(advice: Advice, data: Data | None) -> dict[str, Any] | None:
    """Its parameters; None where the data do not give one."""
    parameters: dict[str, Any] = {}
    for name, value in advice.parameters.items():
        if callable(value):
            value = None if data is None else value(data)
            if value is None and data is None:
                continue
            if value is None:
                return None
        parameters[name] = value
    return parameters


def _fitted(
    loss: Loss, parameters: Mapping[str, Any], data: Data, predictions: Array | None, targets: Any, classes: Classes | None
) -> dict[str, Any] | None:
    """The parameters under which the loss takes the arrays; None where it does not, or where it would take them for others."""
    for chosen in _readings(loss, parameters, predictions):
        rank = 2 if data.task == "multiclass" else data.targets.ndim
        bound = bind(loss, chosen)
        given = predictions if predictions is not None else _drawn(loss, bound.parameters, data, rank)
        try:
            batch_of(bound, given, targets, classes=classes)
        except CallerError:
            continue
        return chosen
    return None


def _readings(loss: Loss, parameters: Mapping[str, Any], predictions: Array | None) -> Iterator[dict[str, Any]]:
    """Ways to take the predictions: as probabilities where they are some, as scores where they are none."""
    are_probabilities = predictions is not None and _probabilities(predictions)
    options: list[dict[str, Any]] = [{}, {"from_logits": True}] if "from_logits" in loss.parameters else [{}]
    for option in options:
        rank = 1 if predictions is None else predictions.ndim
        encoding = next(iter(loss.inputs.values())).decide({**loss.defaults, **parameters, **option}, rank)
        means = encoding.link or encoding.domain
        scores = encoding.domain not in (UNIT,) and not isinstance(encoding.domain, Simplex)
        if are_probabilities and scores and (means != encoding.domain or encoding.domain.span.infinite):
            continue
        yield {**parameters, **option}


def _probabilities(predictions: Array) -> bool:
    if predictions.min() < 0 or predictions.max() > 1:
        return False
    return predictions.ndim == 1 or bool((np.abs(predictions.sum(axis=-1) - 1.0) <= 1e-2).all())


def classes_of(data: Data) -> int:
    """How many classes there are, by the predictions or by the labels."""
    if data.predictions is not None and data.predictions.ndim > 1:
        return data.predictions.shape[1]
    if data.targets.ndim > 1:
        return data.targets.shape[1]
    return int(data.targets.max()) + (data.targets.min() < 1)


def _drawn(loss: Loss, parameters: Mapping[str, Any], data: Data, rank: int) -> Any:
    """Predictions that the loss takes, as many as there are targets."""
    n = data.targets.shape[0]
    k = classes_of(data) if data.task == "multiclass" else data.targets.shape[-1] if data.targets.ndim > 1 else 2
    d = data.targets.shape[1:] if data.task in ("regression", "quantile", "multilabel") else ()
    arrays: dict[str, Array] = {}
    named = False
    for name, declared in loss.inputs.items():
        if declared.side == "predictions":
            encoding, named = declared.decide(parameters, rank), declared.named
            several = "k" in encoding.axes[0].split()
            drawn = encoding.draw(np.random.default_rng(0), Sizes(DRAWN, max(k, 2), () if several else d))
            arrays[name] = np.resize(drawn, (n, *drawn.shape[1:]))
    return arrays if named else cast(Any, next(iter(arrays.values())))
