"""Datasets: generated ones, and the small classics that come with scikit-learn.

Generated rows stand in scikit-learn's own order, so that they are those of any tutorial. The classics are sorted (by
class, most of them); their rows are shuffled by a seed, so that the last ones can serve for validation.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple, NoReturn, TypeAlias

import numpy as np
from annotated_types import Ge, Gt, Le, Len, Lt
from typing_extensions import Doc

from app.errors import Fault, InvalidParameter
from app.libraries import Equal, equal
from app.losses.numerics.stable import Array
from app.registry import Alias, Declared

MOST_NUMBERS = 10_000_000
"""Inputs and targets of a dataset together: 80 MB."""
SHARE_TOLERANCE = 1e-6


class Data(NamedTuple):
    """Rows to learn from."""

    inputs: Array
    """(n, d)."""
    targets: Array
    """(n,), or (n, m) for several outputs; class indices where there are classes."""
    features: tuple[str, ...]
    """The names of the d columns."""
    classes: tuple[str, ...] | None
    """The name of each class index."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Dataset(Declared):
    """A dataset by its name. Call it with its parameters for the rows."""

    function: Callable[..., Data]
    task: Literal["regression", "binary", "multiclass"]
    """What the targets are: real numbers, two classes, or as many classes as the parameters say (at least two)."""


def dataset(
    *,
    task: Literal["regression", "binary", "multiclass"],
    aliases: tuple[str | Alias, ...] = (),
    equals: tuple[Equal, ...] = (),
    reference: str = "",
) -> Callable[[Callable[..., Data]], Dataset]:
    """Declare a function as a dataset: its name is the function's, its parameters the keyword-only ones."""
    return lambda function: Dataset(function=function, task=task, names=aliases, equals=equals, reference=reference)


Samples: TypeAlias = Annotated[int, Ge(2), Le(100_000), Doc("Number of rows.")]
Features: TypeAlias = Annotated[int, Ge(1), Le(1000), Doc("Number of columns.")]
Noise: TypeAlias = Annotated[float, Ge(0), Le(1e6), Doc("Standard deviation of the Gaussian noise that is added.")]
Seed: TypeAlias = Annotated[int, Ge(0), Lt(2**32), Doc("What the random numbers start from (scikit-learn's random_state).")]
Order: TypeAlias = Annotated[int, Ge(0), Lt(2**32), Doc("What the order of the rows is drawn from.")]


# --- regression -------------------------------------------------------------------------------------------------------


@dataset(
    task="regression",
    aliases=("make_regression",),
    equals=(
        equal("sklearn.datasets.make_regression(n_samples, n_features, n_informative, n_targets, bias, noise, random_state)"),
    ),
)
def regression(
    *,
    n_samples: Samples = 1000,
    n_features: Features = 20,
    n_informative: Annotated[int, Ge(0), Le(1000), Doc("Columns that the target depends on; all where there are fewer.")] = 10,
    n_targets: Annotated[int, Ge(1), Le(100), Doc("Number of targets; more than one makes rows of them.")] = 1,
    bias: Annotated[float, Ge(-1e6), Le(1e6), Doc("The target where every input is 0.")] = 0.0,
    noise: Noise = 0.1,
    seed: Seed = 1,
) -> Data:
    """A linear model with random weights up to 100, seen through noise: Gaussian inputs, some of which matter."""
    _refuse_too_many(n_samples, n_features + n_targets)
    inputs, targets = _sklearn().make_regression(
        n_samples=n_samples,
        n_features=n_features,
        n_informative=n_informative,
        n_targets=n_targets,
        bias=bias,
        noise=noise,
        random_state=seed,
    )
    return _data(inputs, targets)


@dataset(
    task="regression",
    aliases=("make_friedman1", "friedman"),
    equals=(equal("sklearn.datasets.make_friedman1(n_samples, n_features, noise, random_state)"),),
    reference="Friedman (1991), doi:10.1214/aos/1176347963",
)
def friedman1(
    *,
    n_samples: Samples = 1000,
    n_features: Annotated[int, Ge(5), Le(1000), Doc("Number of columns, of which the first five matter.")] = 10,
    noise: Noise = 1.0,
    seed: Seed = 1,
) -> Data:
    """10 sin(π x₀ x₁) + 20 (x₂ − ½)² + 10 x₃ + 5 x₄ of inputs in [0, 1]: curved, with an interaction and idle columns."""
    _refuse_too_many(n_samples, n_features + 1)
    made = _sklearn().make_friedman1(n_samples=n_samples, n_features=n_features, noise=noise, random_state=seed)
    return _data(*made)


@dataset(
    task="regression",
    aliases=("load_diabetes",),
    equals=(equal("sklearn.utils.shuffle(*sklearn.datasets.load_diabetes(return_X_y=True, scaled=scaled), random_state=seed)"),),
    reference="Efron, Hastie, Johnstone and Tibshirani (2004), doi:10.1214/009053604000000067",
)
def diabetes(
    *,
    scaled: Annotated[bool, Doc("Whether each column is centred and has a sum of squares of 1, as it was published.")] = True,
    seed: Order = 0,
) -> Data:
    """Progression of diabetes within a year, of 442 patients, from age, sex, body mass, blood pressure and six serum values."""
    return _bundled(_sklearn().load_diabetes(scaled=scaled), seed)


@dataset(
    task="regression",
    aliases=("load_linnerud",),
    equals=(equal("sklearn.utils.shuffle(*sklearn.datasets.load_linnerud(return_X_y=True), random_state=seed)"),),
    reference="Tenenhaus (1998), La régression PLS, Technip",
)
def linnerud(*, seed: Order = 0) -> Data:
    """Weight, waist and pulse (three targets) of 20 men in a fitness club, from their chin-ups, sit-ups and jumps."""
    return _bundled(_sklearn().load_linnerud(), seed)


@dataset(
    task="regression",
    aliases=("contaminated", "heavy_tailed"),
    reference="Huber (1964), doi:10.1214/aoms/1177703732",
)
def outliers(
    *,
    n_samples: Samples = 1000,
    share: Annotated[float, Ge(0), Le(0.5), Doc("Of the rows, how many are outliers.")] = 0.05,
    size: Annotated[float, Ge(0), Le(1e6), Doc("How far off these are, in deviations of the noise; always above.")] = 30.0,
    noise: Noise = 0.5,
    seed: Seed = 1,
) -> Data:
    """The line 2x + 1 through noise, and a few targets far above it, which a squared error follows and a robust loss does not."""
    rng = np.random.default_rng(seed)
    places = rng.uniform(-3.0, 3.0, (n_samples, 1))
    targets = 2.0 * places[:, 0] + 1.0 + rng.normal(0.0, noise, n_samples)
    far = rng.permutation(n_samples)[: round(share * n_samples)]
    targets[far] += size * noise * rng.uniform(0.5, 1.5, len(far))
    return _data(places, targets)


# --- two classes ------------------------------------------------------------------------------------------------------


@dataset(
    task="binary",
    aliases=("make_circles",),
    equals=(equal("sklearn.datasets.make_circles(n_samples, noise, factor, random_state)"),),
)
def circles(
    *,
    n_samples: Samples = 1000,
    noise: Noise = 0.1,
    factor: Annotated[float, Ge(0), Lt(1), Doc("Radius of the inner circle; that of the outer one is 1.")] = 0.8,
    seed: Seed = 1,
) -> Data:
    """A circle within a circle: two classes that no line can part."""
    made = _sklearn().make_circles(n_samples=n_samples, noise=noise, factor=factor, random_state=seed)
    return _data(*made, classes=("outer", "inner"))


@dataset(
    task="binary",
    aliases=("make_moons", "two_moons"),
    equals=(equal("sklearn.datasets.make_moons(n_samples, noise, random_state)"),),
)
def moons(*, n_samples: Samples = 1000, noise: Noise = 0.1, seed: Seed = 1) -> Data:
    """Two half-moons, one reaching into the other: two classes that a bent line can part."""
    made = _sklearn().make_moons(n_samples=n_samples, noise=noise, random_state=seed)
    return _data(*made, classes=("upper", "lower"))


@dataset(
    task="binary",
    aliases=("exclusive_or", "checkerboard"),
    reference="Minsky and Papert (1969), Perceptrons, MIT Press",
)
def xor(*, n_samples: Samples = 1000, noise: Noise = 0.1, seed: Seed = 1) -> Data:
    """Points of a square, of one class where both coordinates have the same sign: no line parts them, nor does one column."""
    rng = np.random.default_rng(seed)
    places = rng.uniform(-1.0, 1.0, (n_samples, 2))
    targets = np.asarray((places[:, 0] > 0.0) != (places[:, 1] > 0.0), np.float64)
    return _data(places + rng.normal(0.0, noise, places.shape), targets, classes=("same", "different"))


@dataset(
    task="binary",
    aliases=("two_spirals", "spiral"),
    reference="Lang and Witbrock (1988), Learning to tell two spirals apart, Connectionist Models Summer School",
)
def spirals(
    *,
    n_samples: Samples = 1000,
    noise: Noise = 0.02,
    turns: Annotated[float, Gt(0), Le(10), Doc("Times that each spiral winds around the centre.")] = 1.5,
    seed: Seed = 1,
) -> Data:
    """Two spirals, each wound around the other, out to a radius of 1: more turns need a model that bends more often."""
    rng = np.random.default_rng(seed)
    targets = np.arange(n_samples) % 2
    radius = np.sqrt(rng.uniform(0.01, 1.0, n_samples))
    angle = 2.0 * np.pi * turns * radius + np.pi * targets
    places = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return _data(places + rng.normal(0.0, noise, places.shape), np.asarray(targets, np.float64), classes=("first", "second"))


@dataset(task="binary", aliases=("rare", "rare_class", "skewed"))
def imbalanced(
    *,
    n_samples: Annotated[int, Ge(10), Le(100_000), Doc("Number of rows.")] = 1000,
    share: Annotated[float, Gt(0), Le(0.5), Doc("Of the rows, how many are of the rare class; at least one is.")] = 0.05,
    distance: Annotated[float, Ge(0), Le(1e6), Doc("Between the centres of the classes, in their deviations.")] = 2.0,
    seed: Seed = 1,
) -> Data:
    """A rare class in a frequent one, both round clouds: who never names the rare one is right nearly always."""
    rng = np.random.default_rng(seed)
    targets = np.zeros(n_samples)
    targets[: max(1, round(share * n_samples))] = 1.0
    rng.shuffle(targets)
    places = rng.normal(0.0, 1.0, (n_samples, 2)) + distance / math.sqrt(2.0) * targets[:, None]
    return _data(places, targets, classes=("frequent", "rare"))


@dataset(
    task="binary",
    aliases=("load_breast_cancer", "breast_cancer_wisconsin"),
    equals=(equal("sklearn.utils.shuffle(*sklearn.datasets.load_breast_cancer(return_X_y=True), random_state=seed)"),),
    reference="Wolberg, Mangasarian, Street and Street (1993), doi:10.24432/C5DW2B",
)
def breast_cancer(*, seed: Order = 0) -> Data:
    """Malignant (0) or benign (1), of 569 tumours, from 30 measures of cell nuclei in an image. Columns differ much in scale."""
    return _bundled(_sklearn().load_breast_cancer(), seed)


# --- several classes --------------------------------------------------------------------------------------------------


@dataset(
    task="multiclass",
    aliases=("make_blobs",),
    equals=(equal("sklearn.datasets.make_blobs(n_samples, n_features, centers, cluster_std, random_state)"),),
)
def blobs(
    *,
    n_samples: Samples = 1000,
    n_features: Features = 2,
    centers: Annotated[int, Ge(2), Le(100), Doc("Number of blobs, each a class; at most one per row.")] = 3,
    cluster_std: Annotated[float, Ge(0), Le(1e6), Doc("Standard deviation of each blob; the centres lie in [−10, 10].")] = 2.0,
    seed: Seed = 1,
) -> Data:
    """Round Gaussian clouds around random centres, one for each class: they overlap as much as their spread has it."""
    _refuse_too_many(n_samples, n_features + 1)
    if centers > n_samples:
        _refuse("centers", f"centers must be at most n_samples, so that no class is empty: {n_samples}; got {centers}")
    made = _sklearn().make_blobs(
        n_samples=n_samples, n_features=n_features, centers=centers, cluster_std=cluster_std, random_state=seed
    )
    return _data(*made, classes=_numbered(centers))


@dataset(
    task="multiclass",
    aliases=("make_classification",),
    equals=(
        equal(
            "sklearn.datasets.make_classification(n_samples, n_features, n_informative, n_redundant, n_classes, "
            "n_clusters_per_class, weights, flip_y, class_sep, random_state)",
        ),
    ),
    reference="Guyon (2003), Design of experiments for the NIPS 2003 variable selection benchmark",
)
def classification(
    *,
    n_samples: Samples = 1000,
    n_features: Features = 20,
    n_informative: Annotated[int, Ge(1), Le(100), Doc("Columns that tell the classes apart.")] = 2,
    n_redundant: Annotated[int, Ge(0), Le(1000), Doc("Columns that are sums of the informative ones; the rest is noise.")] = 2,
    n_classes: Annotated[int, Ge(2), Le(100), Doc("Number of classes.")] = 2,
    n_clusters_per_class: Annotated[int, Ge(1), Le(10), Doc("Clusters of each class.")] = 2,
    weights: Annotated[
        Annotated[list[Annotated[float, Ge(0), Le(1)]], Len(1, 100)] | None,
        Doc("Share of each class, the last one optional; null makes them alike. Rare classes are what some losses are for."),
    ] = None,
    flip_y: Annotated[float, Ge(0), Le(1), Doc("Share of the rows whose class is drawn at random: noise in the labels.")] = 0.01,
    class_sep: Annotated[float, Gt(0), Le(1e6), Doc("How far apart the clusters are.")] = 1.0,
    seed: Seed = 1,
) -> Data:
    """Gaussian clusters at the corners of a hypercube, several for each class, among redundant and useless columns."""
    _refuse_too_many(n_samples, n_features + 1)
    _check_clusters(n_features, n_informative, n_redundant, n_classes * n_clusters_per_class)
    _check_shares(weights, n_classes)
    made = _sklearn().make_classification(
        n_samples=n_samples,
        n_features=n_features,
        n_informative=n_informative,
        n_redundant=n_redundant,
        n_classes=n_classes,
        n_clusters_per_class=n_clusters_per_class,
        weights=weights,
        flip_y=flip_y,
        class_sep=class_sep,
        random_state=seed,
    )
    return _data(*made, classes=_numbered(n_classes))


@dataset(
    task="multiclass",
    aliases=("load_iris",),
    equals=(equal("sklearn.utils.shuffle(*sklearn.datasets.load_iris(return_X_y=True), random_state=seed)"),),
    reference="Fisher (1936), doi:10.1111/j.1469-1809.1936.tb02137.x",
)
def iris(*, seed: Order = 0) -> Data:
    """Three species of iris, 50 flowers of each, from the length and width of sepal and petal."""
    return _bundled(_sklearn().load_iris(), seed)


@dataset(
    task="multiclass",
    aliases=("load_wine",),
    equals=(equal("sklearn.utils.shuffle(*sklearn.datasets.load_wine(return_X_y=True), random_state=seed)"),),
    reference="Aeberhard, Coomans and de Vel (1992), Tech. Rep. 92-02, James Cook University",
)
def wine(*, seed: Order = 0) -> Data:
    """Three growers in one Italian region, 178 wines, from 13 chemical measures. Columns differ much in scale."""
    return _bundled(_sklearn().load_wine(), seed)


@dataset(
    task="multiclass",
    aliases=("load_digits",),
    equals=(equal("sklearn.utils.shuffle(*sklearn.datasets.load_digits(n_class=n_class, return_X_y=True), random_state=seed)"),),
    reference="Kaynak (1995), MSc thesis, Boğaziçi University",
)
def digits(
    *,
    n_class: Annotated[int, Ge(2), Le(10), Doc("Digits 0 to n_class − 1.")] = 10,
    seed: Order = 0,
) -> Data:
    """Handwritten digits as 8 × 8 pixels of 0 to 16, about 180 of each."""
    bunch = _sklearn().load_digits(n_class=n_class)
    return _bundled(bunch, seed)._replace(classes=_numbered(n_class))  # its own names are those of all ten


# --- what they share --------------------------------------------------------------------------------------------------


def _sklearn() -> Any:
    # only a process that trains pays for scikit-learn: a second or two, and 100 MB
    import sklearn.datasets

    return sklearn.datasets


def _data(inputs: Array, targets: Array, classes: tuple[str, ...] | None = None) -> Data:
    features = tuple(f"x{column}" for column in range(inputs.shape[1]))
    return Data(_array(inputs), _array(targets), features, classes)


def _bundled(bunch: Any, seed: int) -> Data:
    """A set that comes with scikit-learn, its rows in the order that sklearn.utils.shuffle gives them."""
    order = np.arange(len(bunch.data))
    np.random.RandomState(seed).shuffle(order)  # the old generator: its numbers are promised never to change
    classes = None if bunch.target.dtype.kind == "f" else _names(bunch.target_names)
    return Data(_array(bunch.data[order]), _array(bunch.target[order]), _names(bunch.feature_names), classes)


def _array(numbers: Any) -> Array:
    return np.ascontiguousarray(numbers, dtype=np.float64)


def _names(names: Iterable[object]) -> tuple[str, ...]:
    return tuple(map(str, names))


def _numbered(classes: int) -> tuple[str, ...]:
    return _names(range(classes))


def _refuse(parameter: str, message: str) -> NoReturn:
    raise InvalidParameter([Fault((parameter,), "out_of_range", message)])


def _refuse_too_many(n_samples: int, columns: int) -> None:
    if n_samples * columns > MOST_NUMBERS:
        most = MOST_NUMBERS // columns
        _refuse("n_samples", f"n_samples must be at most {most} with {columns} columns of inputs and targets; got {n_samples}")


def _check_clusters(n_features: int, n_informative: int, n_redundant: int, clusters: int) -> None:
    """Each cluster has a corner of the hypercube of the informative columns to itself."""
    if n_features < n_informative + n_redundant:
        least = n_informative + n_redundant
        _refuse("n_features", f"n_features must be at least n_informative + n_redundant: {least}; got {n_features}")
    if n_informative < math.log2(clusters):
        least = math.ceil(math.log2(clusters))
        rule = f"2 to the power of n_informative must be at least n_classes · n_clusters_per_class: {clusters}"
        _refuse("n_informative", f"{rule}; n_informative must be at least {least}; got {n_informative}")


def _check_shares(weights: list[float] | None, n_classes: int) -> None:
    if weights is None:
        return
    if len(weights) not in (n_classes, n_classes - 1):
        _refuse("weights", f"weights must have {n_classes} numbers, one per class, or all but the last; got {len(weights)}")
    total = math.fsum(weights)
    if total > 1 + SHARE_TOLERANCE or (len(weights) == n_classes and total < 1 - SHARE_TOLERANCE):
        rule = "sum to 1" if len(weights) == n_classes else "sum to at most 1, the last class has the rest"
        _refuse("weights", f"weights must {rule}; got a sum of {total!r}")
