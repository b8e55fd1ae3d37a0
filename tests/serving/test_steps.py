"""Decode, check, place: what is wrong with a long body is told in the memory that twenty faults take."""

import json
import tracemalloc
from typing import Any

import pytest

from app.api.calls import CALLS
from app.api.compare import COMPARE
from app.api.evaluating import EVALUATE
from app.api.inference_protocol import CALLS as PROTOCOL
from app.api.training import TRAIN
from app.errors import MAX_FAULTS, CallerError, InvalidInput
from app.losses import LOSSES, NAMED
from app.serving.call import Call
from app.serving.steps import Elsewhere, Order, request_of
from app.serving.usage import Usage
from app.settings import Settings
from tests.folding import in_turn

INFER = PROTOCOL[-1]
BATCH: dict[str, Any] = {"loss": "mse", "predictions": [1, 2], "targets": [1, 3]}
FEW, MANY = 1000, 3000
PER_ELEMENT = 150
"""Bytes: an empty list and its place in another; a fault alone takes ten times as many."""

LISTS: dict[str, tuple[Call, str]] = {
    **{
        field: (EVALUATE, json.dumps({**BATCH, field: ["?"]}))
        for field in ("mask", "classes", "outputs", "predictions", "sample_weight")
    },
    "a parameter": (EVALUATE, json.dumps({**BATCH, "loss": {"name": "categorical_cross_entropy", "class_weight": ["?"]}})),
    "metrics": (TRAIN, json.dumps({"metrics": ["?"]})),
    "losses": (COMPARE, json.dumps({"losses": ["?"]})),
    "seeds": (COMPARE, json.dumps({"seeds": ["?"]})),
    "hidden": (TRAIN, json.dumps({"model": {"name": "mlp", "hidden": ["?"]}})),
    "inputs": (INFER, json.dumps({"inputs": ["?"]})),
    "wanted outputs": (INFER, json.dumps({"inputs": [], "outputs": ["?"]})),
}


def refusal(call: Call, body: str) -> CallerError:
    arguments = {"name": "mse", "version": "1"} if call is INFER else {}
    with pytest.raises(CallerError) as caught:
        request_of(body.encode(), Order(call.operation, None, arguments, Settings()), here=False)
    return caught.value


def peak_of(call: Call, body: str) -> int:
    """Bytes that the refusal of this body takes at most."""
    tracemalloc.start()
    try:
        error = refusal(call, body)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        assert len(error.faults) <= MAX_FAULTS
        assert len(error.detail) < 300


@pytest.mark.no_cover  # others run these lines as well
@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize(
    "element",
    ["{}", '"x"', pytest.param("0.5", marks=pytest.mark.thorough), pytest.param("[]", marks=pytest.mark.thorough)],
    ids=["objects", "strings", "numbers", "lists"],
)
def test_a_long_list_of_what_is_wrong_takes_little_more_than_a_short_one(name: str, element: str) -> None:
    call, pattern = LISTS[name]
    short, long = (pattern.replace('"?"', ", ".join([element] * count)) for count in (FEW, MANY))
    refusal(call, short)  # what is remembered for good is remembered now
    assert peak_of(call, long) < peak_of(call, short) + PER_ELEMENT * (MANY - FEW) + 100_000


def test_what_costs_too_much_here_is_for_elsewhere_and_what_costs_too_much_anywhere_is_refused() -> None:
    body = json.dumps({"loss": "circle", "predictions": [[0.5]] * 1000, "targets": [0, 1] * 500}).encode()
    order = Order(EVALUATE.operation, None, {}, Settings(inline_cost=1e6))
    with pytest.raises(Elsewhere):
        request_of(body, order, here=True)
    cost = request_of(body, order, here=False).cost
    assert cost > 1e6
    with pytest.raises(InvalidInput) as caught:
        request_of(body, order._replace(settings=Settings(max_cost=cost * 0.99)), here=False)
    (fault,) = caught.value.faults
    assert fault.code == "limit"
    assert "CRITERION_MAX_COST" in fault.message
    assert request_of(body, order._replace(settings=Settings(inline_cost=cost)), here=True)


@in_turn("name", LOSSES)
def test_the_example_of_every_loss_is_cheap_enough_to_be_done_here(name: str) -> None:
    body = json.dumps(EVALUATE.examples[name]["value"]).encode()
    assert request_of(body, Order(EVALUATE.operation, None, {}, Settings()), here=True).batch


@pytest.mark.parametrize("call", [call for call in CALLS if call.model and call.examples], ids=lambda call: call.path)
def test_what_is_counted_of_every_example_is_a_loss_that_there_is(call: Call) -> None:
    """By its own name, composed ones too, so that a label of a metric is never what a caller wrote."""
    told: list[Usage] = []
    for example in call.examples.values():
        body = json.dumps(example["value"]).encode()
        request_of(body, Order(call.operation, None, {}, Settings()), told.append, here=False)
    assert len(told) == len(call.examples)
    assert {usage.loss for usage in told} <= {"", *NAMED}
    assert all(usage.cost > 0 for usage in told)
    if call is EVALUATE:
        assert "" not in {usage.loss for usage in told}
        assert all(usage.samples > 0 for usage in told)


def test_what_is_refused_is_counted_under_the_loss_that_was_meant() -> None:
    told: list[Usage] = []
    for named in ("MSELoss", {"name": "torch.nn.L1Loss"}, "nonsense", 7, {"name": ["x"]}):
        body = json.dumps({"loss": named, "predictions": [1], "targets": ["x"]}).encode()
        with pytest.raises(CallerError):
            request_of(body, Order(EVALUATE.operation, None, {}, Settings()), told.append, here=True)
    assert [usage.loss for usage in told] == ["mean_squared_error", "mean_absolute_error", "unknown", "unknown", "unknown"]
