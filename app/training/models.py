"""Models: what makes predictions from inputs, and learns from a loss's gradient.

A model is declared as a function from the number of inputs and outputs, and the activation of its last layer, to a
Network, which an optimizer trains, or to Trees, which are boosted.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from annotated_types import Ge, Gt, Le, Len, Lt
from typing_extensions import Doc

from app.libraries import Equal, equal
from app.registry import Alias, Declared
from app.training.activations import HIDDEN, OUTPUTS, Activation
from app.training.network import INITIALIZERS, Network
from app.training.trees import Trees

if TYPE_CHECKING:
    OutputName: TypeAlias = str
    HiddenName: TypeAlias = str
    InitializerName: TypeAlias = str
else:
    OutputName, HiddenName, InitializerName = (Literal[tuple(table)] for table in (OUTPUTS, HIDDEN, INITIALIZERS))
Output: TypeAlias = Annotated[
    OutputName | None, Doc("Activation of the outputs; null takes the first of these whose range the loss takes.")
]


@dataclass(frozen=True, eq=False, kw_only=True)
class Model(Declared):
    """A model by its name. Call it with (inputs, outputs, output activation) for one of that size."""

    function: Callable[..., Network | Trees]
    optimized: bool = True
    """Whether an optimizer moves its weights; other models learn in their own way."""


def model(
    *, aliases: tuple[str | Alias, ...] = (), equals: tuple[Equal, ...] = (), reference: str = "", optimized: bool = True
) -> Callable[[Callable[..., Network | Trees]], Model]:
    return lambda function: Model(function=function, names=aliases, equals=equals, reference=reference, optimized=optimized)


@model(
    aliases=("linear_regression", "logistic_regression", "softmax_regression", "LinearRegression", "LogisticRegression"),
    equals=(
        equal("torch.nn.Linear(d, k)"),
        equal("keras.layers.Dense(k)"),
    ),
)
def linear(
    inputs: int,
    outputs: int,
    activation: Activation,
    *,
    output: Output = None,
    initialization: Annotated[InitializerName, Doc("How the weights are drawn; biases start at 0.")] = "zeros",
) -> Network:
    """A weighted sum of the inputs and a bias for each output: linear, logistic or softmax regression, as the loss has it."""
    return Network((inputs, outputs), HIDDEN["relu"], activation, INITIALIZERS[initialization], INITIALIZERS[initialization])


@model(
    aliases=("multilayer_perceptron", "MLP", "MLPRegressor", "MLPClassifier", "feedforward"),
    equals=(
        equal("torch.nn.Sequential(Linear, ReLU, ..., Linear)"),
        equal("keras.Sequential([Dense, ..., Dense])"),
    ),
    reference="Rumelhart, Hinton and Williams (1986), doi:10.1038/323533a0",
)
def mlp(
    inputs: int,
    outputs: int,
    activation: Activation,
    *,
    hidden: Annotated[
        list[Annotated[int, Ge(1), Le(4096)]], Len(1, 8), Doc("Units of each hidden layer, from the inputs on.")
    ] = [32],  # noqa: B006  # a declaration that nobody writes to
    hidden_activation: Annotated[HiddenName, Doc("Activation of the hidden layers.")] = "relu",
    initialization: Annotated[InitializerName, Doc("How hidden layers' weights are drawn; biases start at 0.")] = "he_uniform",
    output_initialization: Annotated[InitializerName, Doc("How the weights of the outputs are drawn.")] = "glorot_uniform",
    output: Output = None,
    dropout: Annotated[float, Ge(0), Lt(1), Doc("Share of the hidden units left out of each training step.")] = 0.0,
) -> Network:
    """Hidden layers of units between inputs and outputs: bends where a linear model cannot."""
    return Network(
        (inputs, *hidden, outputs),
        HIDDEN[hidden_activation],
        activation,
        INITIALIZERS[initialization],
        INITIALIZERS[output_initialization],
        dropout,
    )


@model(
    optimized=False,
    aliases=("gradient_boosting", "gbdt", "gbm", "GradientBoostingRegressor", "GradientBoostingClassifier"),
    equals=(
        equal(
            "sklearn.ensemble.GradientBoostingRegressor(max_depth, learning_rate)",
            caveat="For mean_squared_error, up to its constant.",
        ),
    ),
    reference="Friedman (2001), doi:10.1214/aos/1013203451",
)
def boosted_trees(
    inputs: int,
    outputs: int,
    activation: Activation,
    *,
    learning_rate: Annotated[float, Gt(0), Le(1), Doc("Share of each tree's answer that is added.")] = 0.1,
    max_depth: Annotated[int, Ge(1), Le(16), Doc("Decisions from the root of a tree to a leaf.")] = 3,
    min_samples_leaf: Annotated[int, Ge(1), Doc("Rows that every leaf keeps.")] = 1,
    subsample: Annotated[float, Gt(0), Le(1), Doc("Share of the training rows that each tree sees, drawn anew.")] = 1.0,
    output: Output = None,
) -> Trees:
    """One small regression tree an epoch, each fitted to the negative gradient that the ones before it left."""
    return Trees(inputs, outputs, activation, learning_rate, max_depth, min_samples_leaf, subsample)
