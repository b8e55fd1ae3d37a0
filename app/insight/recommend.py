"""Which losses suit some targets: what the catalogue knows of losses, and how far up they stand, beside the targets' traits."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np

from app.domains import Simplex
from app.errors import CallerError
from app.insight.traits import Data, Task, Trait, traits_of
from app.losses import LOSSES
from app.losses.batch import Classes, batch_of
from app.losses.encodings import REAL, SIGN, UNIT
from app.losses.form import bind
from app.losses.inputs import Sizes
from app.losses.loss import BOUNDED_GRADIENT, DIFFERENTIABLE, PROPER, SIDES, Loss
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
    """A loss for some tasks, and how far up it stands. What it is good for and what not, the catalogue says of it."""

    loss: str
    tasks: Mapping[Task, float]
    traits: Mapping[str, For] = {}
    """What traits say of it beside what they say of every loss of its kind."""
    parameters: Mapping[str, Any] = {}
    why: str = ""
    """What speaks for these parameters."""
    against: str = ""
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


# --- what traits say of every loss of a kind ------------------------------------------------------------------------------

ROBUST = For(20.0, why="A target that is far off pulls with bounded force.")
UNBOUNDED = For(-20.0, against="The farther off an outlier is, the harder it pulls: a few of them decide what is learnt.")
EVEN = For(-2.0, against="It takes the targets' skew for noise of the same size everywhere.")
OF_RESIDUALS: Mapping[str, For] = {
    "skew": EVEN,
    "zeros": EVEN,
    "bounds": For(-2.0, against="Predictions may leave [0, 1]."),
    "counts": For(-2.0, against="Counts vary more where they are larger; it weighs all alike."),
    "censoring": For(-1.0, against="Targets at the limit are taken at their word."),
}
SURE = For(
    0.0, against="A probability of 0 for what happens costs infinity: some of these are saturated; set clip, or send logits."
)
FINITE = For(1.0, why="It stays finite where probabilities are 0 or 1.")
MARGINS = For(0.5, why="It is written for labels of −1 and 1.")


def of_its_kind(loss: Loss, parameters: Mapping[str, Any]) -> Mapping[str, For]:
    """What traits say of a loss for what the catalogue knows of it: its encodings, its promises, its parameters."""
    known = {**loss.defaults, **{name: value for name, value in parameters.items() if not callable(value)}}
    encodings = {declared.decide(known, 1) for declared in loss.inputs.values()}
    bounded = BOUNDED_GRADIENT in loss.properties
    moves: dict[str, For] = {}
    if encodings == {REAL}:
        moves |= {**OF_RESIDUALS, "outliers": ROBUST if bounded else UNBOUNDED}
    if PROPER in loss.properties:
        moves["saturation"] = FINITE if bounded else SURE
    if SIGN in encodings:
        moves["label_encoding"] = MARGINS
    return moves


def _said(loss: Loss) -> tuple[str, str]:
    """What the catalogue says for a loss and against it."""
    cautions = [] if DIFFERENTIABLE in loss.properties else ["It has no gradient: for evaluation only."]
    for side in SIDES:
        names = [name for name, declared in loss.inputs.items() if declared.side == side and declared.named]
        if names:
            cautions.append(f"It takes {side} as an object with {' and '.join(names)}.")
    return f"Use it when {loss.guide.use_when}", " ".join((f"Avoid it when {loss.guide.avoid_when}", *cautions))


# --- which losses for which task ------------------------------------------------------------------------------------------

COUNTED = For(0.0, why="A count scatters the more the larger it is; it is measured by that.")
RARE = For(3.0, why="Samples that are classified well already count little, which leaves room for the rare class.")
BALANCED = "The probabilities are those of balanced classes: calibrate them before they are read as such."

ADVICE: Sequence[Advice] = (
    Advice("mean_squared_error", {"regression": 10.0, "count": 3.0}),
    Advice("half_squared_error", {"regression": 9.0}),
    Advice(
        "huber",
        {"regression": 7.0, "count": 1.0},
        parameters={"delta": _delta},
        why="Quadratic for usual residuals and linear beyond delta, set to 1.345 robust deviations.",
    ),
    Advice(
        "mean_absolute_error",
        {"regression": 6.0, "quantile": 3.0, "count": 0.5},
        {"ties": For(0.5, why="A median of a scale's grades is one of them.")},
    ),
    Advice("log_cosh", {"regression": 5.0}),
    Advice(
        "quantile",
        {"quantile": 10.0, "regression": 4.0},
        {"censoring": For(8.0, why="A quantile below the limit is the same whether targets are cut off or not.")},
        {"quantile": 0.5},
        why="Its best prediction is a quantile of the targets; 0.5 is the median.",
        against="One quantile says nothing of the others: ask for several.",
    ),
    *(
        Advice(
            "quantile",
            {"quantile": 8.0},
            parameters={"quantile": quantile},
            why=f"The {end} end of an interval of 80 %.",
            against="Two quantiles learnt apart may cross.",
        )
        for quantile, end in ((0.1, "lower"), (0.9, "upper"))
    ),
    Advice(
        "gamma_deviance",
        {"survival": 8.0, "regression": -5.0},
        {"skew": For(20.0, why="Skewed positive targets vary in proportion to their mean, as a gamma law does.")},
    ),
    Advice(
        "tweedie_deviance",
        {"regression": -5.0, "count": 5.0, "survival": 6.0},
        {
            "skew": For(18.0, why="Variance grows with the mean."),
            "zeros": For(21.0, why="With a power between 1 and 2 it is the law of a sum: exact zeros, and a continuous rest."),
        },
        {"power": 1.5},
    ),
    Advice(
        "mean_squared_logarithmic_error",
        {"regression": -5.0, "count": 2.0, "survival": 4.0},
        {"skew": For(17.0, why="On a logarithmic scale the skew is gone.")},
    ),
    Advice("poisson_deviance", {"count": 12.0}, {"counts": COUNTED}),
    *(
        Advice("poisson_nll", {"count": standing}, {"counts": COUNTED}, {"log_input": logarithm}, why=why)
        for standing, logarithm, why in (
            (11.0, True, "For logarithms of the rate, which may be any number."),
            (10.0, False, "For predictions that are the rates themselves."),
        )
    ),
    Advice(
        "binary_cross_entropy",
        {"binary": 10.0, "multilabel": 10.0, "regression": -15.0},
        {"bounds": For(41.5, why="Targets in [0, 1] are taken as shares: predictions stay within, and the truth costs least.")},
    ),
    Advice(
        "binary_cross_entropy",
        {"binary": 15.0},
        parameters={"pos_weight": _odds},
        why="Its pos_weight is negatives/positives: both classes count alike.",
        against=BALANCED,
        needs="imbalance",
    ),
    Advice("logistic", {"binary": 9.0}),
    Advice("brier_score", {"binary": 8.0, "multiclass": 7.0}),
    Advice("binary_focal", {"binary": 6.0, "multilabel": 7.0}, {"imbalance": RARE, "saturation": SURE}),
    Advice("hinge", {"binary": 4.0}),
    Advice("categorical_cross_entropy", {"multiclass": 10.0}),
    Advice(
        "categorical_cross_entropy",
        {"multiclass": 15.0},
        parameters={"class_weight": _weights},
        why="Its class_weight makes all classes count alike.",
        against=BALANCED,
        needs="imbalance",
    ),
    Advice("categorical_focal", {"multiclass": 6.0}, {"imbalance": RARE, "saturation": SURE}),
    Advice("generalized_cross_entropy", {"multiclass": 5.0}),
    Advice("multi_margin", {"multiclass": 4.0}),
    Advice("multilabel_soft_margin", {"multilabel": 9.0}),
    Advice("pseudo_huber", {"regression": 4.5}, parameters={"delta": _delta}, why="Its delta is 1.345 robust deviations."),
    Advice("cauchy", {"regression": 1.0}, parameters={"c": _c}, why="Its c is 2.385 robust deviations."),
    Advice("cox_partial_likelihood", {"survival": 10.0}),
    Advice("logistic_hazard", {"survival": 9.0}),
    Advice("interval_score", {"quantile": 9.0}),
    Advice("ranking_softmax", {"ranking": 9.0}),
    Advice("listnet", {"ranking": 8.5}),
    Advice("bradley_terry", {"ranking": 7.0}),
    Advice("margin_ranking", {"ranking": 10.0}),
    Advice("label_ranking_loss", {"ranking": 8.0}),
)
"""Which losses suit a task, and how far up: a test holds every name and parameter against the registry."""


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
        standing = advice.tasks[task] + sum(reason.moves for reason, _ in _reasons(advice, loss, traits))
        if not any(other is loss and known == fitted for _, other, known, _ in found):
            found.append((standing, loss, fitted, advice))
    found.sort(key=lambda entry: -entry[0])
    return Recommended(
        task,
        traits,
        tuple(
            Recommendation(rank, loss, parameters, *_texts(advice, loss, traits))
            for rank, (_, loss, parameters, advice) in enumerate(found[:limit], 1)
        ),
    )


def _reasons(advice: Advice, loss: Loss, traits: Sequence[Trait]) -> list[tuple[For, Trait]]:
    """What the data say of a loss. Of how labels are encoded, only that of signs says something."""
    moves = {**of_its_kind(loss, advice.parameters), **advice.traits}
    return [
        (moves[trait.trait], trait)
        for trait in traits
        if trait.trait in moves and (trait.trait != "label_encoding" or "signs" in trait.evidence)
    ]


def _texts(advice: Advice, loss: Loss, traits: Sequence[Trait]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Why, and what speaks against it: what the data say first, then what the catalogue says."""
    reasons = _reasons(advice, loss, traits)
    why = [f"{trait.text} {reason.why}" for reason, trait in reasons if reason.why]
    if advice.needs:
        why += [trait.text for trait in traits if trait.trait == advice.needs]
    against = dict.fromkeys(reason.against for reason, _ in reasons if reason.against)
    use, avoid = _said(loss)
    return (*why, advice.why or use), (*against, advice.against or avoid)


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
