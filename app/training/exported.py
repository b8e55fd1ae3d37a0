"""A model to keep as an ONNX file, which ONNX Runtime and its kin predict with: rows in, predictions and probabilities out.

Numbers are computed in float64 with the operators that every runtime has in it; sums of trees come in float32, as the operator
for trees gives them. The layers of a network of single precision are computed in that.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from app.losses.inputs import Numbers
from app.training.activations import GELU_CUBE, GELU_SCALE, LEAK, TINY, Activation
from app.training.decisions import Deciding, of_each
from app.training.forest import LEAST_SHARE
from app.training.metrics import PER_CLASS
from app.training.network import Network
from app.training.objective import Objective
from app.training.tables import Scale
from app.training.trained import Trained
from app.training.trees import Boosted, Forest, Trees

OPSET, OPSET_OF_TREES, IR = 17, 3, 9
"""Old enough for runtimes of years ago; trees have thresholds in float64 from 3 on."""
INPUTS, PREDICTIONS, PROBABILITIES = "inputs", "predictions", "probabilities"


class Graph:
    """A graph as it grows: each operator is a method call that gives the name of what it makes."""

    def __init__(self) -> None:
        from onnx import helper, numpy_helper  # only who asks for a file needs it

        self.helper: Any = helper
        self.numpy_helper: Any = numpy_helper
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []

    def __call__(self, operator: str, *inputs: "str | float | Numbers", domain: str = "", **attributes: Any) -> str:
        """One more operator; numbers among its inputs are constants in float64."""
        name = f"_{len(self.nodes)}"
        named = [made if isinstance(made, str) else self.constant(made) for made in inputs]
        self.nodes.append(self.helper.make_node(operator, named, [name], domain=domain, **attributes))
        return name

    def constant(self, numbers: "float | Numbers") -> str:
        name = f"c{len(self.initializers)}"
        array = np.asarray(numbers, np.float64) if isinstance(numbers, float | int) else np.ascontiguousarray(numbers)
        self.initializers.append(self.numpy_helper.from_array(array, name))
        return name

    def cast(self, name: str, kind: Literal["float64", "float32"]) -> str:
        return self("Cast", name, to=self.kind(kind))

    def kind(self, kind: str) -> int:
        return self.helper.np_dtype_to_tensor_dtype(np.dtype(kind))

    def named(self, name: str, as_name: str) -> None:
        """What has been made under this name is an output."""
        self.nodes.append(self.helper.make_node("Identity", [name], [as_name]))


def unexportable_because(model: Network | Trees, objective: Objective) -> str | None:
    """Why there is no ONNX file of a model, None for one of which there is."""
    if isinstance(model, Boosted) and model.categorical:
        return "these trees tell categories apart, for which there is no common ONNX operator"
    made = [objective.activation] if objective.heads is None else [*objective.heads.activations.values()]
    strange = next((activation.name for activation in made if activation.name not in ACTIVATIONS), None)
    return None if strange is None else f"there are no ONNX operators here for the output {strange} of {objective.loss.name}"


def onnx_file(trained: Trained) -> bytes:
    """The model as an ONNX file, of one that can be one; ModuleNotFoundError without the library onnx.

    It takes `inputs` (n, d) in float64, NaN where a number is missing, and gives `predictions` (n, *outputs) in the targets' own
    units, or each array of several by its name, and of classes whose probabilities are known `probabilities` (n, k), of a head
    NAME `NAME_probabilities`.
    """
    graph = Graph()
    sums, shares = _network(graph, trained) if isinstance(trained.model, Network) else _trees(graph, trained)
    outputs = _outputs(graph, trained, sums, shares)
    kind = graph.kind("float64")
    inputs = [graph.helper.make_tensor_value_info(INPUTS, kind, ["n", trained.inputs])]
    given = [graph.helper.make_tensor_value_info(name, kind, ["n", *shape]) for name, shape in outputs.items()]
    made = graph.helper.make_graph(graph.nodes, "criterion", inputs, given, graph.initializers)
    opsets = [graph.helper.make_opsetid("", OPSET), graph.helper.make_opsetid("ai.onnx.ml", OPSET_OF_TREES)]
    model = graph.helper.make_model(made, producer_name="criterion", opset_imports=opsets, ir_version=IR)
    told = {
        "features": trained.features,
        "classes": of_each(trained.deciding, lambda found: found.classes),
        "predictions_encoding": trained.encoding,
    }
    graph.helper.set_model_props(model, {name: json.dumps(value) for name, value in told.items() if value is not None})
    return model.SerializeToString()


# --- networks ---------------------------------------------------------------------------------------------------------


def _network(graph: Graph, trained: Trained) -> tuple[str, str | None]:
    network = trained.model
    assert isinstance(network, Network)
    rows, last = _scaled(graph, INPUTS, trained.inputs_scale), len(network.widths) - 1
    rows = graph.cast(rows, trained.precision)
    for layer in range(1, last + 1):
        weights, biases = (trained.parameters[f"{part}_{layer}"].astype(trained.precision) for part in ("weights", "biases"))
        rows = graph("Add", graph("MatMul", rows, weights), biases)
        if layer < last:
            rows = _activated(graph, network.hidden, rows, trained.precision)
    return graph.cast(rows, "float64"), None


def _scaled(graph: Graph, rows: str, scale: Scale | None) -> str:
    return rows if scale is None else graph("Div", graph("Sub", rows, np.asarray(scale.mean)), np.asarray(scale.deviation))


Made = Callable[[Graph, str, Callable[[float], Numbers]], str]


def _softplus(graph: Graph, z: str, number: Callable[[float], Numbers]) -> str:
    tail = graph("Log", graph("Add", graph("Exp", graph("Neg", graph("Abs", z))), number(1.0)))
    return graph("Max", graph("Add", graph("Max", z, number(0.0)), tail), number(_least(number)))


def _exp(graph: Graph, z: str, number: Callable[[float], Numbers]) -> str:
    return graph("Max", graph("Exp", z), number(_least(number)))


def _least(number: Callable[[float], Numbers]) -> float:
    """The least positive number of the precision; outputs have that of float64."""
    return TINY if number(0.0).dtype == np.float64 else float(np.finfo(np.float32).tiny)


def _elu(graph: Graph, z: str, number: Callable[[float], Numbers]) -> str:
    below = graph("Sub", graph("Exp", graph("Min", z, number(0.0))), number(1.0))
    return graph("Max", z, below)


def _gelu(graph: Graph, z: str, number: Callable[[float], Numbers]) -> str:
    cube = graph("Mul", graph("Add", graph("Mul", graph("Mul", z, z), number(GELU_CUBE)), number(1.0)), z)
    gate = graph("Add", graph("Tanh", graph("Mul", cube, number(GELU_SCALE))), number(1.0))
    return graph("Mul", graph("Mul", gate, z), number(0.5))


def _unit_length(graph: Graph, z: str, number: Callable[[float], Numbers]) -> str:
    axes = np.array([1], np.int64)
    largest = graph("Max", graph("ReduceMax", graph("Abs", z), axes=[1], keepdims=1), number(_least(number)))
    scaled = graph("Div", z, largest)
    length = graph("Sqrt", graph("ReduceSum", graph("Mul", scaled, scaled), axes, keepdims=1))
    return graph("Div", scaled, graph("Max", length, number(1.0)))


ACTIVATIONS: Mapping[str, Made] = {
    "identity": lambda graph, z, number: z,
    "relu": lambda graph, z, number: graph("Max", z, number(0.0)),
    "leaky_relu": lambda graph, z, number: graph("Max", z, graph("Mul", z, number(LEAK))),
    "elu": _elu,
    "tanh": lambda graph, z, number: graph("Tanh", z),
    "sigmoid": lambda graph, z, number: graph("Sigmoid", z),
    "softplus": _softplus,
    "exp": _exp,
    "gelu": _gelu,
    "softmax": lambda graph, z, number: graph("Softmax", z, axis=1),
    "log_softmax": lambda graph, z, number: graph("LogSoftmax", z, axis=1),
    "unit_length": _unit_length,
}
"""By their names, of the operators that runtimes have in both precisions."""


def _activated(graph: Graph, activation: Activation, z: str, precision: str = "float64") -> str:
    return ACTIVATIONS[activation.name](graph, z, lambda number: np.asarray(number, precision))


# --- trees --------------------------------------------------------------------------------------------------------------


def _trees(graph: Graph, trained: Trained) -> tuple[str, str | None]:
    """What trees say together, and the shares of classes of which that is made."""
    trees, nodes = trained.model, trained.parameters
    assert isinstance(trees, Trees)
    constant, starts = nodes["constant"], nodes["first_nodes"]
    rows = graph.cast(graph.cast(INPUTS, "float32"), "float64") if isinstance(trees, Forest) else INPUTS
    if not len(starts):
        zeros = graph("MatMul", rows, np.zeros((trained.inputs, constant.size)))
        return graph("Add", zeros, constant), None
    sums = graph.cast(
        graph("TreeEnsembleRegressor", rows, domain="ai.onnx.ml", **_ensemble(graph, nodes, constant.size)), "float64"
    )
    if isinstance(trees, Boosted):
        return graph("Add", sums, constant), None
    mean = graph("Div", sums, float(len(starts)))
    return (_encoded(graph, mean, trained.encoding), mean) if trained.shares else (mean, None)


def _ensemble(graph: Graph, nodes: Mapping[str, Numbers], k: int) -> dict[str, Any]:
    """The nodes as attributes of the operator for trees."""
    ends = np.append(nodes["first_nodes"], len(nodes["left"]))
    sizes = np.diff(ends)
    tree: NDArray[np.intp] = np.repeat(np.arange(len(sizes)), sizes)
    node: NDArray[np.intp] = np.arange(len(tree)) - np.repeat(ends[:-1], sizes)
    inner, width = nodes["left"] >= 0, nodes["value"].shape[1]
    leaf = np.flatnonzero(~inner)

    def whole(array: Numbers) -> list[int]:
        return np.where(inner, array, 0).astype(np.int64).tolist()

    targets: NDArray[np.intp] = (np.repeat(tree[leaf], width) * width + np.tile(np.arange(width, dtype=np.intp), leaf.size)) % k
    return {
        "aggregate_function": "SUM",
        "n_targets": k,
        "nodes_treeids": tree.tolist(),
        "nodes_nodeids": node.tolist(),
        "nodes_featureids": whole(nodes["feature"]),
        "nodes_modes": ["BRANCH_LEQ" if splits else "LEAF" for splits in inner],
        "nodes_values_as_tensor": graph.numpy_helper.from_array(np.where(inner, nodes["threshold"], 0.0), "thresholds"),
        "nodes_truenodeids": whole(nodes["left"]),
        "nodes_falsenodeids": whole(nodes["right"]),
        "nodes_missing_value_tracks_true": whole(nodes["missing_left"]),
        "target_treeids": np.repeat(tree[leaf], width).tolist(),
        "target_nodeids": np.repeat(node[leaf], width).tolist(),
        "target_ids": targets.tolist(),
        "target_weights_as_tensor": graph.numpy_helper.from_array(nodes["value"][leaf].ravel(), "values"),
    }


def _encoded(graph: Graph, shares: str, encoding: str) -> str:
    """Shares of classes as the loss takes predictions."""
    kept = graph("Min", graph("Max", shares, LEAST_SHARE), 1.0 - LEAST_SHARE)
    if encoding == "probability":
        return kept
    if encoding == "logit":
        return graph("Sub", graph("Log", kept), graph("Log", graph("Sub", 1.0, kept)))
    kept = graph("Div", kept, graph("ReduceSum", kept, np.array([1], np.int64), keepdims=1))
    return kept if encoding == "distribution" else graph("Log", kept)


# --- outputs --------------------------------------------------------------------------------------------------------------


def _outputs(graph: Graph, trained: Trained, sums: str, shares: str | None) -> dict[str, tuple[int, ...]]:
    """The outputs with the shape of a row of each, made of the sums of the last layer or of trees."""
    found: dict[str, tuple[int, ...]] = {}
    if trained.heads is not None:
        deciding = trained.deciding if isinstance(trained.deciding, dict) else {}
        for (name, shape), columns in zip(trained.heads.shapes.items(), trained.heads.columns, strict=True):
            part = graph("Slice", sums, *(np.array([end], np.int64) for end in (columns.start, columns.stop, 1)))
            linked = _activated(graph, trained.heads.activations[name], part)
            _named(graph, linked, name, shape)
            found[name] = shape
            if name in deciding:
                found |= _shared_out(graph, linked, None, deciding[name], f"{name}_{PROBABILITIES}")
        return found
    linked = sums if isinstance(trained.model, Forest) else _activated(graph, trained.activation, sums)
    own = linked
    if trained.targets_scale is not None:
        scale = trained.targets_scale
        own = graph("Add", graph("Mul", linked, np.atleast_1d(scale.deviation)), np.atleast_1d(scale.mean))
    _named(graph, own, PREDICTIONS, trained.outputs)
    found[PREDICTIONS] = trained.outputs
    if isinstance(trained.deciding, Deciding):
        found |= _shared_out(graph, linked, shares, trained.deciding, PROBABILITIES)
    return found


def _shared_out(graph: Graph, shown: str, shares: str | None, deciding: Deciding, name: str) -> dict[str, tuple[int, ...]]:
    """The probabilities of classes as an output of this name; nothing where predictions are scores."""
    made = _probabilities(graph, shown, shares, deciding)
    if made is None:
        return {}
    graph.named(made, name)
    return {name: (len(deciding.classes),)}


def _named(graph: Graph, rows: str, name: str, shape: Sequence[int]) -> None:
    """Rows (n, width) as an output (n, *shape)."""
    graph.named(graph("Reshape", rows, np.array([-1, *shape], np.int64)), name)


def _probabilities(graph: Graph, shown: str, shares: str | None, deciding: Deciding) -> str | None:
    """(n, k), as `decisions.probabilities` has them."""
    encoding = deciding.encoding
    if shares is not None:
        return shares if encoding in PER_CLASS else graph("Concat", graph("Sub", 1.0, shares), shares, axis=1)
    if encoding in ("scores", "score"):
        return None
    if encoding in PER_CLASS:
        made = shown if encoding == "distribution" else graph("Softmax", shown, axis=1)
        return graph("Div", made, graph("ReduceSum", made, np.array([1], np.int64), keepdims=1))
    if encoding == "logit":
        return graph("Concat", graph("Sigmoid", graph("Neg", shown)), graph("Sigmoid", shown), axis=1)
    return graph("Concat", graph("Sub", 1.0, shown), shown, axis=1)
