"""Losses on embeddings: partners by label, values and slopes by the loss itself, training, and what is refused."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from app.errors import InvalidInput
from app.losses import LOSSES, Loss, check, evaluate
from app.losses.form import bind
from app.training import Chosen, Holdout, Table, finish, fit, history, prepare, start
from app.training.activations import OUTPUTS
from app.training.agreement import agree_on
from app.training.drawn import embeds, measures, partners
from app.training.embeddings import Drawing
from app.training.metrics import recall_at_1
from app.training.objective import Labels, Objective, trainable
from app.training.result import keep
from tests.training.plans import Array, loss, mlp, model, optimizer, plan, trained

ON_EMBEDDINGS = [declared for declared in LOSSES.values() if embeds(declared) or measures(declared)]
each_loss = pytest.mark.parametrize("declared", ON_EMBEDDINGS, ids=lambda declared: declared.name)
OF_GROUPS = [declared for declared in ON_EMBEDDINGS if set(declared.inputs) == {"predictions", "targets"} and embeds(declared)]
LABELS = np.array([0, 1, 2, 0, 1, 2, 0, 3, 1, 1], float)


@pytest.fixture(autouse=True)
def as_in_a_run() -> Iterator[None]:
    """What overflows is infinite there."""
    with np.errstate(all="ignore"):
        yield


def agreed(declared: Loss, labels: Array = LABELS, step: int = 32, seed: int = 0) -> tuple[Objective, Labels]:
    return agree_on(bind(declared, {}), labels, None, OUTPUTS["identity"], drawing=Drawing(3, step, seed))


def rows(n: int = len(LABELS), width: int = 3) -> Array:
    return np.random.default_rng(5).normal(size=(n, width))


COLOURS = np.arange(120.0) % 3


def blobs(n: int = 120, seed: int = 0) -> Table:
    """Three clouds of which each has two parts, far from one another."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    part = (np.arange(n) // 3) % 2
    return Table(np.stack([labels + 0.0, 3.0 * part], axis=1) + 0.3 * rng.normal(size=(n, 2)), labels + 0.0)


# --- partners ----------------------------------------------------------------------------------------------------------


def test_partners_are_another_row_of_the_label_and_one_of_another_label() -> None:
    for seed in range(50):
        found = partners(LABELS, np.random.default_rng(seed).random(len(LABELS)))
        assert sorted(found.rows) == [0, 1, 2, 3, 4, 5, 6, 8, 9]  # 7 is alone with its label
        assert (found.alike != found.rows).all()
        assert (LABELS[found.alike] == LABELS[found.rows]).all()
        assert (LABELS[found.unlike] != LABELS[found.rows]).all()


def test_every_row_that_may_be_drawn_is_drawn_as_often() -> None:
    counts = np.zeros((2, len(LABELS)))
    draws = 4000
    for seed in range(draws):
        found = partners(LABELS, np.random.default_rng(seed).random(len(LABELS)))
        (first,) = np.flatnonzero(found.rows == 1)
        counts[0, found.alike[first]] += 1
        counts[1, found.unlike[first]] += 1
    alike, unlike = counts / draws
    np.testing.assert_allclose(alike[[4, 8, 9]], 1 / 3, atol=0.03)
    np.testing.assert_allclose(unlike[LABELS != 1], 1 / 6, atol=0.03)


# --- values and slopes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("declared", OF_GROUPS, ids=lambda declared: declared.name)
def test_identities_cost_what_evaluate_says_of_them(declared: Loss) -> None:
    objective, labels = agreed(declared)
    answer = evaluate(check(declared, {}, rows(), LABELS), outputs=("value", "gradient"))
    assert answer.value is not None
    assert objective.value(rows(), labels) == pytest.approx(answer.value, rel=1e-12)
    out = np.empty((len(LABELS), 3))
    objective.slope(rows(), labels, out)
    np.testing.assert_allclose(out, answer.gradient, rtol=1e-10, atol=1e-13)


def test_a_triplet_costs_what_evaluate_says_of_it() -> None:
    objective, labels = agreed(LOSSES["triplet_margin"])
    assert labels.draw is not None
    found, embedded = partners(LABELS, labels.draw), rows()
    arrays: dict[str, Array] = dict(zip(("anchor", "positive", "negative"), (embedded[places] for places in found), strict=True))
    expected = evaluate(check(LOSSES["triplet_margin"], {}, arrays), outputs=("value",)).value
    assert objective.value(embedded, labels) == pytest.approx(expected, rel=1e-12)


def test_a_pair_costs_what_its_distance_does() -> None:
    """Hadsell, Chopra and LeCun (2006) without their half: d² of a pair that is alike, max(0, 1 − d)² of another."""
    objective, labels = agreed(LOSSES["contrastive"])
    assert labels.draw is not None
    places, embedded = partners(LABELS, labels.draw), rows()
    near = np.linalg.norm(embedded[places.rows] - embedded[places.alike], axis=1)
    far = np.linalg.norm(embedded[places.rows] - embedded[places.unlike], axis=1)
    expected = np.mean((near**2 + np.maximum(0.0, 1.0 - far) ** 2) / 2)
    assert objective.value(embedded, labels) == pytest.approx(expected, rel=1e-12)


@each_loss
@pytest.mark.parametrize("step", [32, 5])
def test_the_slope_is_the_derivative_of_the_value(declared: Loss, step: int) -> None:
    objective, labels = agreed(declared, step=step)
    labels = labels._replace(sample=np.linspace(0.5, 1.5, len(LABELS)))
    embedded, slope = rows(), np.empty((len(LABELS), 3))
    objective.slope(embedded, labels, slope)
    away = 1e-6 * np.random.default_rng(9).normal(size=embedded.shape)
    rise = objective.value(embedded + away, labels) - objective.value(embedded - away, labels)
    assert rise == pytest.approx(2.0 * float((slope * away).sum()), rel=1e-6, abs=1e-13)


@each_loss
def test_blocks_of_more_rows_than_a_step_are_averaged(declared: Loss) -> None:
    labels = np.arange(40.0) % 4
    objective, known = agreed(declared, labels, step=10)
    whole = objective.losses(rows(40), known)[0]
    assert known.draw is not None
    order = np.argsort(known.draw)
    parts = [objective.value(rows(40)[block], known.take(block)) for block in np.split(order, 4)]
    assert whole.mean() == pytest.approx(np.mean(parts), rel=1e-12)


# --- training ----------------------------------------------------------------------------------------------------------


@each_loss
def test_it_brings_rows_of_a_label_together(declared: Loss) -> None:
    chosen = Chosen(declared, {})
    run = prepare(
        plan(
            blobs(),
            loss=chosen,
            model=mlp(16, outputs=2),
            epochs=12,
            optimizer=optimizer("adam", learning_rate=0.02),
            validation=Holdout(0.25),
            metrics=(Chosen(recall_at_1, {}),),
            batch_size=None,
        )
    )
    state = trained(run)
    epochs, result = history(run, state), finish(run, state)
    assert epochs[-1].training_loss < epochs[0].training_loss
    assert (result.metrics["recall_at_1"][1] or 0.0) > 0.6  # a third by chance
    assert result.predictions.shape == (30, 2)
    np.testing.assert_allclose(np.linalg.norm(result.predictions, axis=1), 1.0, rtol=1e-12)
    held = run.plan.data.inputs[run.held_out]
    np.testing.assert_array_equal(keep(run, state, result).predict(held).predictions, result.predictions)


def test_the_same_seed_draws_the_same_and_another_one_others() -> None:
    def losses(seed: int, **changes: Any) -> list[float]:
        changes = {"validation": Holdout(0.25, seed=3), "epochs": 3, "batch_size": None} | changes
        run = prepare(plan(blobs(), loss=loss("triplet_margin"), model=mlp(8), seed=seed, **changes))
        return [epoch.validation_loss or 0.0 for epoch in history(run, trained(run))]

    assert losses(1) == losses(1) != losses(2)


def test_a_run_that_goes_on_from_its_state_has_the_same_bits() -> None:
    run = prepare(plan(blobs(), loss=loss("nt_xent"), model=mlp(8), epochs=4, batch_size=None))
    whole, state = trained(run), start(run)
    for epoch in fit(run, state):
        if epoch.epoch == 2:
            break
    for _ in fit(run, state):
        pass
    np.testing.assert_array_equal(state["weights"], whole["weights"])


def test_lbfgs_sees_the_same_triplets_at_every_step() -> None:
    run = prepare(
        plan(
            blobs(),
            loss=loss("soft_margin_triplet"),
            model=model("linear", initialization="glorot_uniform"),
            epochs=3,
            optimizer=optimizer("lbfgs", max_iter=5),
            batch_size=None,
        )
    )
    losses = [epoch.training_loss for epoch in history(run, trained(run))]
    assert (np.diff(losses) <= 1e-12).all()


def test_names_of_classes_are_labels() -> None:
    names = [("a", "b", "c")[int(label)] for label in COLOURS]
    table = Table(blobs().inputs, names, classes=("a", "b", "c"))
    other = Table(blobs().inputs, COLOURS)
    first, second = (
        prepare(plan(given, loss=loss("circle"), model=mlp(8), epochs=2, batch_size=None)) for given in (table, other)
    )
    np.testing.assert_array_equal(trained(first)["weights"], trained(second)["weights"])


def test_distances_of_rows_that_are_pairs_are_predicted_as_before() -> None:
    pairs = Table(np.random.default_rng(0).normal(size=(20, 2)), np.arange(20.0) % 2)
    assert prepare(plan(pairs, loss=loss("contrastive"), model=mlp(4))).objective.outputs == ()
    assert prepare(plan(pairs, loss=loss("contrastive"), model=mlp(4, outputs=5))).objective.outputs == (5,)


# --- the metric --------------------------------------------------------------------------------------------------------


def test_recall_at_1_is_that_of_the_nearest_neighbour() -> None:
    rng = np.random.default_rng(1)
    embedded, labels = rng.normal(size=(50, 3)), np.arange(50.0) % 4
    right = 0
    for left_out in range(50):
        others = np.arange(50) != left_out
        nearest = KNeighborsClassifier(1).fit(embedded[others], labels[others])
        right += int(nearest.predict(embedded[[left_out]])[0] == labels[left_out])
    assert recall_at_1(embedded, labels) == right / 50


def test_recall_at_1_leaves_out_who_is_alone() -> None:
    assert recall_at_1(np.array([[0.0], [0.1], [5.0]]), np.array([0.0, 0.0, 1.0])) == 1.0
    assert np.isnan(recall_at_1(np.array([[0.0], [1.0]]), np.array([0.0, 1.0])))


# --- refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "path", "code"),
    [
        ({"model": model("boosted_trees"), "optimizer": None}, ("model",), "does_not_fit"),
        ({"data": Table(blobs().inputs, np.ones(120))}, ("data", "targets"), "label"),
        ({"data": Table(blobs().inputs, np.arange(120.0))}, ("data", "targets"), "label"),
        ({"data": Table(blobs().inputs, COLOURS + 0.5)}, ("data", "targets"), "label"),
        ({"validation": Holdout(last=1)}, ("validation",), "label"),
        ({"loss": loss("categorical_cross_entropy"), "model": mlp(4, outputs=3)}, ("model", "outputs"), "unexpected"),
    ],
)
def test_what_cannot_be_drawn_from_is_refused(changes: dict[str, Any], path: tuple[str, ...], code: str) -> None:
    asked = {"data": blobs(), "loss": loss("triplet_margin"), "model": mlp(4), "batch_size": None} | changes
    with pytest.raises(InvalidInput) as refused:
        prepare(plan(**asked))
    assert [(fault.path, fault.code) for fault in refused.value.faults] == [(path, code)]


def test_all_of_them_are_trainable() -> None:
    assert all(trainable(declared) for declared in ON_EMBEDDINGS)
    assert {"triplet_margin", "contrastive", "cosine_embedding", "nt_xent", "n_pairs"} <= {one.name for one in ON_EMBEDDINGS}
