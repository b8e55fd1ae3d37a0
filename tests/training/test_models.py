"""Models as they are declared: names that exist, and parameters that arrive where they belong."""

from itertools import pairwise
from typing import Any, get_args

import numpy as np
import pytest

from app.training import MODELS
from app.training.activations import HIDDEN, OUTPUTS
from app.training.models import HiddenName, InitializerName, Model, OutputName
from app.training.network import INITIALIZERS, Network
from app.training.trees import Boosted, Trees


def made(name: str, **parameters: Any) -> Network | Trees:
    return MODELS[name](7, 3, OUTPUTS["softmax"], **{**MODELS[name].defaults, **parameters})


def test_every_name_that_a_parameter_takes_is_that_of_a_thing() -> None:
    assert set(get_args(OutputName)) == set(OUTPUTS)
    assert set(get_args(HiddenName)) == set(HIDDEN)
    assert set(get_args(InitializerName)) == set(INITIALIZERS)


@pytest.mark.parametrize("model", MODELS.values(), ids=list(MODELS))
def test_every_model_takes_an_output_and_says_whether_it_is_optimized(model: Model) -> None:
    assert model.defaults["output"] is None
    built = made(model.name)
    assert isinstance(built, Network if model.optimized else Trees)
    assert built.output.name == "softmax"
    assert model.summary.endswith(".")


def test_a_linear_model_is_one_layer() -> None:
    network = made("linear")
    assert isinstance(network, Network)
    assert (network.widths, network.dropout, network.size) == ((7, 3), 0.0, 24)
    assert not network.initial(np.random.default_rng(0)).any()
    drawn = made("linear", initialization="he_normal")
    assert isinstance(drawn, Network)
    assert drawn.named(drawn.initial(np.random.default_rng(0)))["weights_1"].all()


@pytest.mark.parametrize("hidden", [[5], [5, 4], [1, 2, 3, 4, 5, 6, 7, 8]])
def test_a_perceptron_has_the_layers_it_was_given(hidden: list[int]) -> None:
    network = made("mlp", hidden=hidden, hidden_activation="gelu", dropout=0.25)
    assert isinstance(network, Network)
    assert network.widths == (7, *hidden, 3)
    assert (network.hidden, network.dropout) == (HIDDEN["gelu"], 0.25)
    assert network.size == sum((inputs + 1) * outputs for inputs, outputs in pairwise(network.widths))


def test_a_perceptron_draws_hidden_and_last_layers_as_told() -> None:
    network = made("mlp", hidden=[4], initialization="zeros", output_initialization="lecun_normal")
    assert isinstance(network, Network)
    named = network.named(network.initial(np.random.default_rng(0)))
    assert not named["weights_1"].any()
    assert named["weights_2"].all()


def test_trees_are_as_told() -> None:
    trees = made("boosted_trees", learning_rate=0.3, max_depth=5, min_samples_leaf=4, subsample=0.5)
    assert trees == Boosted(7, 3, OUTPUTS["softmax"], learning_rate=0.3, max_depth=5, min_samples_leaf=4, subsample=0.5)


@pytest.mark.parametrize("name", ["MLPClassifier", "LogisticRegression", "GradientBoostingRegressor"])
def test_other_libraries_names_are_known(name: str) -> None:
    model, parameters = MODELS.resolve(name)
    assert model.name in MODELS
    assert parameters == {}
