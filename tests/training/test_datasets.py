"""Datasets: scikit-learn's own arrays bit for bit, in an order that can be split, and refusals where it would refuse."""

import inspect
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
import sklearn.datasets
from annotated_types import Ge, Gt, Le, Lt
from numpy.testing import assert_array_equal
from sklearn.utils import shuffle

from app.errors import InvalidParameter, Path
from app.losses.numerics.stable import Array
from app.registry import registry
from app.training import datasets
from app.training.datasets import Dataset

DATASETS = registry("dataset", Dataset, datasets)
BUNDLED = ("diabetes", "linnerud", "breast_cancer", "iris", "wine", "digits")
OWN = ("xor", "spirals", "imbalanced", "outliers")
GENERATED = tuple(name for name in DATASETS if name not in (*BUNDLED, *OWN))
EACH = pytest.mark.parametrize("name", DATASETS)


def theirs(name: str) -> Callable[..., Any]:
    """scikit-learn's function, which the first alias names."""
    return getattr(sklearn.datasets, DATASETS[name].aliases[0].name)


def assert_same(data: datasets.Data, expected: tuple[Array, Array]) -> None:
    assert_array_equal(data.inputs, expected[0], strict=True)
    assert_array_equal(data.targets, expected[1].astype(np.float64), strict=True)


# --- against scikit-learn -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("circles", {"n_samples": 1000, "noise": 0.1}),
        ("circles", {"n_samples": 7, "noise": 0.0, "factor": 0.3}),
        ("moons", {"n_samples": 101, "noise": 0.25}),
        ("blobs", {"n_samples": 1000, "centers": 3, "n_features": 2, "cluster_std": 2}),
        ("blobs", {"n_samples": 10, "centers": 10, "n_features": 1, "cluster_std": 0.0}),
        ("regression", {"n_samples": 1000, "n_features": 20, "noise": 0.1}),
        ("regression", {"n_samples": 30, "n_features": 4, "n_informative": 2, "n_targets": 3, "bias": -5.0, "noise": 0.0}),
        ("friedman1", {"n_samples": 50, "n_features": 5, "noise": 0.5}),
        ("classification", {"n_samples": 200, "n_features": 6, "n_informative": 4, "n_redundant": 1, "n_classes": 3}),
        ("classification", {"n_samples": 200, "weights": [0.9, 0.1], "flip_y": 0.0, "class_sep": 2.0}),
        ("classification", {"n_samples": 99, "n_clusters_per_class": 1, "weights": [0.25]}),
    ],
)
@pytest.mark.parametrize("seed", [1, 2, 2**32 - 1])
def test_generated_rows_are_scikit_learns_bit_for_bit(name: str, parameters: dict[str, Any], seed: int) -> None:
    assert_same(DATASETS[name](**parameters, seed=seed), theirs(name)(**parameters, random_state=seed))


@pytest.mark.parametrize("name", GENERATED)
def test_defaults_that_differ_from_scikit_learns_are_the_ones_declared(name: str) -> None:
    parameters = dict(DATASETS[name].defaults)
    seed = parameters.pop("seed")
    assert_same(DATASETS[name](), theirs(name)(**parameters, random_state=seed))


@pytest.mark.parametrize(
    ("name", "parameters"), [*((name, {}) for name in BUNDLED), ("diabetes", {"scaled": False}), ("digits", {"n_class": 4})]
)
@pytest.mark.parametrize("seed", [0, 3])
def test_bundled_rows_are_scikit_learns_shuffled(name: str, parameters: dict[str, Any], seed: int) -> None:
    expected: Any = shuffle(*theirs(name)(return_X_y=True, **parameters), random_state=seed)
    assert_same(DATASETS[name](**parameters, seed=seed), expected)


@pytest.mark.parametrize("name", BUNDLED)
def test_what_a_bundled_set_says_that_it_equals_is_what_it_equals(name: str) -> None:
    values = {**DATASETS[name].defaults, "sklearn": sklearn}
    assert_same(DATASETS[name](), eval(DATASETS[name].equals[0].call, values))


# --- what every dataset keeps -------------------------------------------------------------------------------------------


@EACH
def test_arrays_are_finite_float64_rows(name: str) -> None:
    data = DATASETS[name]()
    for array in (data.inputs, data.targets):
        assert array.dtype == np.float64
        assert array.flags.c_contiguous
        assert np.isfinite(array).all()
    assert data.inputs.ndim == 2
    assert len(data.targets) == len(data.inputs)
    assert len(set(data.features)) == data.inputs.shape[1]
    assert all(type(feature) is str for feature in data.features)


@EACH
def test_targets_are_what_the_task_says(name: str) -> None:
    data = DATASETS[name]()
    if DATASETS[name].task == "regression":
        assert data.classes is None
        assert len(np.unique(data.targets)) > 2
        return
    assert data.classes is not None
    assert len(set(data.classes)) == len(data.classes)
    assert all(type(name) is str for name in data.classes)
    assert data.targets.ndim == 1
    assert_array_equal(np.unique(data.targets), np.arange(len(data.classes)))
    assert DATASETS[name].task == "multiclass" or len(data.classes) == 2


@EACH
def test_a_seed_decides_every_bit(name: str) -> None:
    first, again, other = (DATASETS[name](seed=seed) for seed in (5, 5, 6))
    assert first.inputs.tobytes() == again.inputs.tobytes()
    assert first.targets.tobytes() == again.targets.tobytes()
    assert first.inputs.shape == other.inputs.shape
    assert first.inputs.tobytes() != other.inputs.tobytes()


@pytest.mark.parametrize("name", [name for name, dataset in DATASETS.items() if dataset.task != "regression"])
def test_the_last_fifth_has_every_class_in_its_share(name: str) -> None:
    data = DATASETS[name]()
    assert data.classes is not None
    last = data.targets[-(len(data.targets) // 5) :]
    shares, of_last = (
        np.bincount(labels.astype(int), minlength=len(data.classes)) / len(labels) for labels in (data.targets, last)
    )
    # four standard deviations of a share drawn without regard to class
    assert np.all(np.abs(of_last - shares) < 4 * np.sqrt(shares * (1 - shares) / len(last)))


@EACH
def test_every_parameter_has_a_default_within_its_bounds(name: str) -> None:
    holds = {Ge: lambda x, bound: x >= bound.ge, Gt: lambda x, bound: x > bound.gt, Le: lambda x, bound: x <= bound.le}
    holds[Lt] = lambda x, bound: x < bound.lt
    for parameter in DATASETS[name].parameters.values():
        assert parameter.default is not inspect.Parameter.empty
        for bound in parameter.annotation.__metadata__:
            assert type(bound) not in holds or holds[type(bound)](parameter.default, bound)


# --- what is known about them -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "shape", "counts"),
    [
        ("iris", (150, 4), {"setosa": 50, "versicolor": 50, "virginica": 50}),
        ("wine", (178, 13), {"class_0": 59, "class_1": 71, "class_2": 48}),
        ("breast_cancer", (569, 30), {"malignant": 212, "benign": 357}),
        ("digits", (1797, 64), dict(zip("0123456789", (178, 182, 177, 183, 181, 182, 181, 179, 174, 180), strict=True))),
    ],
)
def test_bundled_classes_are_as_many_as_published(name: str, shape: tuple[int, int], counts: dict[str, int]) -> None:
    data = DATASETS[name]()
    assert data.inputs.shape == shape
    assert data.classes == tuple(counts)
    assert_array_equal(np.bincount(data.targets.astype(int)), list(counts.values()))


def test_rows_keep_their_labels_when_they_are_shuffled() -> None:
    """Of Fisher's irises, setosa are the ones with short petals."""
    data = datasets.iris(seed=11)
    short = data.inputs[:, data.features.index("petal length (cm)")] < 2.5
    assert_array_equal(short, data.targets == 0)


def test_class_names_of_generated_shapes_say_where_they_are() -> None:
    circles, moons = datasets.circles(noise=0.0, factor=0.5), datasets.moons(noise=0.0)
    radius = np.hypot(*circles.inputs.T)
    assert circles.classes == ("outer", "inner")
    np.testing.assert_allclose(radius, np.where(circles.targets == 0, 1.0, 0.5))
    assert moons.classes == ("upper", "lower")
    assert moons.inputs[moons.targets == 0, 1].min() >= 0.0
    assert moons.inputs[moons.targets == 1, 1].max() <= 0.5


def test_friedmans_formula() -> None:
    x, y, *_ = datasets.friedman1(noise=0.0)
    np.testing.assert_allclose(
        y, 10 * np.sin(np.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2 + 10 * x[:, 3] + 5 * x[:, 4], rtol=1e-12
    )


def test_regression_without_noise_is_linear_in_its_informative_columns() -> None:
    data = datasets.regression(n_features=8, n_informative=3, bias=7.0, noise=0.0)
    weights, *_ = np.linalg.lstsq(np.column_stack([data.inputs, np.ones(1000)]), data.targets, rcond=None)
    assert np.count_nonzero(np.abs(weights[:-1]) > 1e-8) == 3
    assert weights[-1] == pytest.approx(7.0)


def test_xor_is_told_by_the_product_of_its_columns_and_by_neither_alone() -> None:
    data = datasets.xor(noise=0.0)
    assert data.classes == ("same", "different")
    assert_array_equal(data.targets, (data.inputs.prod(axis=1) < 0).astype(float))
    for column in data.inputs.T:
        assert abs(np.corrcoef(column, data.targets)[0, 1]) < 4 / np.sqrt(1000)


def test_spirals_wind_around_each_other() -> None:
    """The angle of a point, less what the spiral has turned by its radius, tells its class."""
    data = datasets.spirals(noise=0.0, turns=2.5)
    radius = np.hypot(*data.inputs.T)
    angle = np.arctan2(data.inputs[:, 1], data.inputs[:, 0]) - 2 * np.pi * 2.5 * radius
    assert_array_equal(np.cos(angle) < 0, data.targets == 1)
    assert 0.1 <= radius.min() < radius.max() <= 1.0


@pytest.mark.parametrize(("share", "rare"), [(0.05, 50), (0.02, 20), (1e-6, 1), (0.5, 500)])
def test_imbalanced_has_the_share_that_was_asked_for(share: float, rare: int) -> None:
    data = datasets.imbalanced(share=share, distance=3.0)
    assert data.targets.sum() == rare
    centre = data.inputs[data.targets == 0].mean(axis=0)
    assert np.abs(centre).max() < 0.3
    if rare == 500:
        away = data.inputs[data.targets == 1].mean(axis=0) - centre
        assert np.hypot(*away) == pytest.approx(3.0, abs=0.3)


def test_outliers_lie_above_the_line_and_are_as_many_as_asked_for() -> None:
    data = datasets.outliers(share=0.1)
    residual = data.targets - (2 * data.inputs[:, 0] + 1)
    assert (residual > 6.0).sum() == 100
    rest = residual[residual <= 6.0]
    assert rest.std() == pytest.approx(0.5, rel=0.1)
    assert abs(rest.mean()) < 4 * 0.5 / np.sqrt(900)


def test_shares_of_classes() -> None:
    data = datasets.classification(n_samples=1000, weights=[0.75, 0.25], flip_y=0.0)
    assert_array_equal(np.bincount(data.targets.astype(int)), [750, 250])


def test_linnerud_has_three_targets() -> None:
    assert datasets.linnerud().targets.shape == (20, 3)


# --- refusals -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "parameters", "path", "words"),
    [
        ("classification", {"n_features": 3}, ("n_features",), "at least n_informative + n_redundant: 4; got 3"),
        ("classification", {"n_classes": 3}, ("n_informative",), "n_clusters_per_class: 6; n_informative must be at least 3"),
        ("classification", {"weights": [0.2, 0.3, 0.5]}, ("weights",), "must have 2 numbers"),
        ("classification", {"weights": [0.5, 0.6]}, ("weights",), "sum to 1; got a sum of 1.1"),
        ("classification", {"weights": [0.25, 0.5]}, ("weights",), "sum to 1; got a sum of 0.75"),
        ("classification", {"n_samples": 100_000, "n_features": 100}, ("n_samples",), "at most 99009 with 101 columns"),
        ("regression", {"n_samples": 99_999, "n_features": 90, "n_targets": 20}, ("n_samples",), "at most 90909 with 110"),
        ("friedman1", {"n_samples": 10_000, "n_features": 1000}, ("n_samples",), "at most 9990 with 1001 columns"),
        ("blobs", {"n_samples": 100_000, "n_features": 1000}, ("n_samples",), "at most 9990 with 1001 columns"),
        ("blobs", {"n_samples": 5, "centers": 6}, ("centers",), "at most n_samples, so that no class is empty: 5; got 6"),
    ],
)
def test_parameters_that_do_not_go_together_are_refused(name: str, parameters: Any, path: Path, words: str) -> None:
    with pytest.raises(InvalidParameter) as refusal:
        DATASETS[name](**parameters)
    (fault,) = refusal.value.faults
    assert fault.path == path
    assert words in fault.message


@pytest.mark.parametrize("n_clusters_per_class", [1, 2])
@pytest.mark.parametrize("weights", [None, [0.5], [0.5, 0.5], [0.25, 0.25, 0.5]])
def test_classification_is_refused_exactly_where_scikit_learn_refuses(n_clusters_per_class: int, weights: Any) -> None:
    refused = []
    for n_features, n_informative, n_redundant, n_classes in product((2, 4), (1, 2, 3), (0, 1), (2, 3, 4)):
        parameters = {
            "n_samples": 20,
            "n_features": n_features,
            "n_informative": n_informative,
            "n_redundant": n_redundant,
            "n_classes": n_classes,
            "n_clusters_per_class": n_clusters_per_class,
            "weights": weights,
        }
        refused.append(fails(datasets.classification, InvalidParameter, **parameters))
        assert refused[-1] == fails(sklearn.datasets.make_classification, ValueError, **parameters)
    assert set(refused) == {True, False}


def fails(function: Callable[..., Any], error: type[Exception], **parameters: Any) -> bool:
    try:
        function(**parameters)
    except error:
        return True
    return False
