"""Models: what makes predictions from inputs, and learns from a loss's gradient.

A model is declared as a function from the number of inputs and outputs, and the activation of its last layer, to a
Network, which an optimizer trains, or to Trees, which are grown.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias, cast

from annotated_types import Ge, Gt, Le, Len, Lt
from typing_extensions import Doc

from app.libraries import Equal, equal
from app.registry import Alias, Declared
from app.training.activations import HIDDEN, OUTPUTS, Activation
from app.training.network import INITIALIZERS, Network
from app.training.trees import Boosted, Forest, Trees

if TYPE_CHECKING:
    OutputName: TypeAlias = str
    HiddenName: TypeAlias = str
    InitializerName: TypeAlias = str
else:
    OutputName, HiddenName, InitializerName = (Literal[tuple(table)] for table in (OUTPUTS, HIDDEN, INITIALIZERS))
Output: TypeAlias = Annotated[
    OutputName | None,
    Doc("Activation of the outputs; null: the first of these whose range the loss takes, of embeddings unit_length."),
]
Embedding: TypeAlias = Annotated[
    int | None,
    Ge(1),
    Le(4096),
    Doc("Numbers of an embedding, where the loss is on embeddings; null: 8. Elsewhere the loss says how many outputs there are."),
]


@dataclass(frozen=True, eq=False, kw_only=True)
class Model(Declared):
    """A model by its name. Call it with (inputs, outputs, output activation) for one of that size."""

    function: Callable[..., Network | Trees]
    optimized: bool = True
    """Whether an optimizer moves its weights; other models are of trees, which take missing inputs."""
    epochs: int | None = None
    """How many it takes, however many are asked for."""


def model(
    *,
    aliases: tuple[str | Alias, ...] = (),
    equals: tuple[Equal, ...] = (),
    reference: str = "",
    optimized: bool = True,
    epochs: int | None = None,
) -> Callable[[Callable[..., Network | Trees]], Model]:
    return lambda function: Model(
        function=function, names=aliases, equals=equals, reference=reference, optimized=optimized, epochs=epochs
    )


def task_of(name: str) -> Literal["classes", "numbers"] | None:
    """What a model's name, in scikit-learn's words, says of its targets; None where it says nothing."""
    word = name.casefold()
    if any(part in word for part in ("classifi", "logistic", "softmax")):
        return "classes"
    return "numbers" if "regress" in word else None


@model(
    aliases=("linear_regression", "logistic_regression", "softmax_regression", "LinearRegression", "LogisticRegression"),
    equals=(
        equal("torch.nn.Linear(d, k)"),
        equal("keras.layers.Dense(k)"),
    ),
)
def linear(
    inputs: int,
    width: int,
    activation: Activation,
    *,
    output: Output = None,
    outputs: Embedding = None,
    initialization: Annotated[InitializerName, Doc("How the weights are drawn; biases start at 0.")] = "zeros",
) -> Network:
    """A weighted sum of the inputs and a bias for each output: linear, logistic or softmax regression, as the loss has it."""
    return Network((inputs, width), HIDDEN["relu"], activation, INITIALIZERS[initialization], INITIALIZERS[initialization])


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
    width: int,
    activation: Activation,
    *,
    hidden: Annotated[
        list[Annotated[int, Ge(1), Le(4096)]], Len(1, 8), Doc("Units of each hidden layer, from the inputs on.")
    ] = [32],  # noqa: B006  # a declaration that nobody writes to
    hidden_activation: Annotated[HiddenName, Doc("Activation of the hidden layers.")] = "relu",
    initialization: Annotated[InitializerName, Doc("How hidden layers' weights are drawn; biases start at 0.")] = "he_uniform",
    output_initialization: Annotated[InitializerName, Doc("How the weights of the outputs are drawn.")] = "glorot_uniform",
    output: Output = None,
    outputs: Embedding = None,
    dropout: Annotated[float, Ge(0), Lt(1), Doc("Share of the hidden units left out of each training step.")] = 0.0,
) -> Network:
    """Hidden layers of units between inputs and outputs: bends where a linear model cannot."""
    return Network(
        (inputs, *hidden, width),
        HIDDEN[hidden_activation],
        activation,
        INITIALIZERS[initialization],
        INITIALIZERS[output_initialization],
        dropout,
    )


LearningRate: TypeAlias = Annotated[float, Gt(0), Le(1), Doc("Share of each tree's answer that is added.")]
SamplesLeaf: TypeAlias = Annotated[int, Ge(1), Doc("Rows that every leaf keeps.")]
LeafNodes: TypeAlias = Annotated[
    int | None, Ge(2), Doc("Leaves of a tree, the splits that gain most first; null: as many as its depth has.")
]
Share: TypeAlias = Annotated[float, Gt(0), Le(1), Doc("Share of the columns that is drawn for each split.")]


@model(
    optimized=False,
    aliases=(
        "gradient_boosting",
        "gbdt",
        "gbm",
        "GradientBoostingRegressor",
        "GradientBoostingClassifier",
        "HistGradientBoostingRegressor",
        "HistGradientBoostingClassifier",
    ),
    equals=(
        equal(
            "sklearn.ensemble.HistGradientBoostingRegressor(max_depth=3, max_leaf_nodes=None, early_stopping=False)",
            caveat="Up to rounding, for losses that both have; one tree for each class, as its classifier has.",
        ),
    ),
    reference="Friedman (2001), doi:10.1214/aos/1013203451; Ke et al. (2017), LightGBM, NeurIPS 30",
)
def boosted_trees(
    inputs: int,
    outputs: int,
    activation: Activation,
    *,
    learning_rate: LearningRate = 0.1,
    max_depth: Annotated[int, Ge(1), Le(16), Doc("Decisions from the root of a tree to a leaf.")] = 3,
    max_leaf_nodes: LeafNodes = None,
    min_samples_leaf: SamplesLeaf = 20,
    l2_regularization: Annotated[
        float, Ge(0), Le(1e100), Doc("Added to the sum of second derivatives of a leaf, which is then smaller.")
    ] = 0.0,
    max_bins: Annotated[
        int, Ge(2), Le(255), Doc("Bins of a column; one of fewer different numbers keeps each of them apart.")
    ] = 255,
    max_features: Share = 1.0,
    monotone_constraints: Annotated[
        list[Literal[-1, 0, 1]] | Mapping[str, Literal[-1, 0, 1]] | None,
        Doc("Whether predictions may only rise (1) or fall (-1) along a column: a number for each, or by name of some."),
    ] = None,
    categorical_features: Annotated[
        list[int] | list[str] | None,
        Doc("Columns whose numbers or words are names: their indices, or the names of the columns."),
    ] = None,
    subsample: Annotated[float, Gt(0), Le(1), Doc("Share of the training rows that each tree sees, drawn anew.")] = 1.0,
    output: Output = None,
) -> Boosted:
    """Small trees one after the other, each grown on the derivatives of the loss that the ones before it left.

    A leaf is a step of Newton's method where the second derivative is positive everywhere, and elsewhere the constant of least
    loss over its rows. Inputs may be missing; each split sends these rows to the side that gains more. Standardizing changes
    nothing, and is left out.
    """
    monotone = cast("list[int] | None", monotone_constraints)
    return Boosted(
        inputs,
        outputs,
        activation,
        learning_rate,
        max_depth,
        max_leaf_nodes,
        min_samples_leaf,
        l2_regularization,
        max_bins,
        max_features,
        tuple(monotone) if monotone and any(monotone) else None,
        tuple(cast("list[int]", categorical_features or ())),
        subsample,
    )


Criterion: TypeAlias = Annotated[
    Literal["squared_error", "absolute_error", "poisson", "gini", "log_loss"] | None,
    Doc("What splits lower; null: absolute_error for the mean absolute error, gini for classes, otherwise squared_error."),
]
Depth: TypeAlias = Annotated[int | None, Ge(1), Le(64), Doc("Decisions from the root to a leaf; null: as many as it takes.")]


@model(
    optimized=False,
    epochs=1,
    aliases=("DecisionTreeRegressor", "DecisionTreeClassifier", "cart", "CART"),
    equals=(
        equal("sklearn.tree.DecisionTreeRegressor(criterion, max_depth, min_samples_leaf)"),
        equal("sklearn.tree.DecisionTreeClassifier(criterion, max_depth, min_samples_leaf)"),
    ),
    reference="Breiman, Friedman, Olshen and Stone (1984), Classification and Regression Trees",
)
def decision_tree(
    inputs: int,
    outputs: int,
    activation: Activation,
    *,
    criterion: Criterion = None,
    max_depth: Depth = None,
    min_samples_leaf: SamplesLeaf = 1,
    max_features: Share = 1.0,
    max_leaf_nodes: LeafNodes = None,
    output: Output = None,
) -> Forest:
    """One tree of decisions, whose leaves are the shares of the classes, or the constant of least loss, of their rows.

    It is grown in one epoch, however many are asked for. Inputs may be missing.
    """
    return Forest(inputs, outputs, activation, criterion, max_depth, min_samples_leaf, max_features, max_leaf_nodes)


@model(
    optimized=False,
    aliases=("RandomForestRegressor", "RandomForestClassifier", "bagging", "forest"),
    equals=(
        equal("sklearn.ensemble.RandomForestRegressor(criterion, max_depth, min_samples_leaf)", caveat="Other random numbers."),
        equal("sklearn.ensemble.RandomForestClassifier(criterion, max_depth, min_samples_leaf)", caveat="Other random numbers."),
    ),
    reference="Breiman (2001), doi:10.1023/A:1010933404324",
)
def random_forest(
    inputs: int,
    outputs: int,
    activation: Activation,
    *,
    criterion: Criterion = None,
    max_depth: Depth = None,
    min_samples_leaf: SamplesLeaf = 1,
    max_features: Annotated[
        float | None,
        Gt(0),
        Le(1),
        Doc("Share of the columns that is drawn for each split; null: all, and of d columns √d for classes."),
    ] = None,
    max_leaf_nodes: LeafNodes = None,
    bootstrap: Annotated[bool, Doc("Whether each tree sees as many rows as there are, drawn with replacement.")] = True,
    output: Output = None,
) -> Forest:
    """The mean of trees that each see other rows and columns: of the shares of classes, or of what their leaves say.

    An epoch is a tree. Inputs may be missing.
    """
    return Forest(
        inputs,
        outputs,
        activation,
        criterion,
        max_depth,
        min_samples_leaf,
        max_features,
        max_leaf_nodes,
        bootstrap,
        single=False,
    )
