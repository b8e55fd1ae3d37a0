"""What a loss says its work grows like is true, counted in NumPy's operations; its memory grows no faster than its arrays."""

import tracemalloc
from collections.abc import Mapping

import numpy as np
import pytest

from app.losses import LOSSES, Batch, check, evaluate
from app.losses.cost import Cost
from app.losses.inputs import Sizes
from tests.folding import folded
from tests.losses.counting import operations
from tests.losses.drawing import Array, Case, default_cases, frozen, more_digits, normalised

LENGTHS = {"n": 64, "k": 32, "d": 32, "t": 64, "s": 4}
TALL = {"n": 1500, "k": 3, "d": 3, "t": 5, "s": 2}
WIDE = {"n": 4, "k": 1500, "d": 1500, "t": 900, "s": 360}
FEWER: Mapping[str, Mapping[str, int]] = {
    "ctc": {"k": 3},
    "rnn_t": {"n": 16, "k": 8, "t": 60, "s": 40},
    "energy_score": {"k": 700},
    "sinkhorn": {"n": 300},
    "mmd": {"n": 500},
    "energy_distance": {"n": 700},
}
"""The longest axes of losses whose work grows fast with them."""
LARGE: Mapping[str, Mapping[str, int]] = {
    **{family: {"n": 128} for family in ("contrastive", "paired_contrastive", "identity_distances")},
    "self_supervised": {"d": 128},
}
"""From where on batches of a family all go the way of large ones (`numerics/small_batches.py`)."""
FIXED_BYTES = 16 * 2**20
"""What an evaluation may take beside a multiple of its arrays, whatever these are."""


def widest_cases() -> list[Case]:
    """Each loss with its defaults in the shape with the most axes, with hard labels and with soft ones."""
    found = {(case.loss.name, "soft" in case.words): case for case in default_cases()}
    return list(found.values())


CASES = widest_cases()
each_case = folded("case", CASES, of=lambda case: case.loss.family, long=["sequence"])


def drawn(case: Case, lengths: Mapping[str, int], *, hard: bool = False) -> Batch:
    """A batch of these lengths; an axis whose length an encoding chooses itself is repeated up to it.

    Hard shares are all of one class: the few of soft ones that the softmax nearly meets would take more digits, and how many
    those are is chance.
    """
    rng = np.random.default_rng(5)
    rows = any("k" in encoding.axes[0].split() for encoding in case.encodings.values())
    d = max(1, lengths["d"] // 8) if rows else lengths["d"]  # which only repeats the rows
    lengths = {**lengths, "u": lengths["s"] + 1}
    lengths = {**lengths, "d": d} if any("n k d" in encoding.axes for encoding in case.encodings.values()) else lengths
    sizes = Sizes(n=lengths["n"], k=lengths["k"], d=(d,) * len(case.d))
    arrays: dict[str, Array] = {}
    for name, encoding in case.encodings.items():
        array = more_digits(encoding, np.asarray(encoding.draw(rng, sizes), np.float64), rng)
        if encoding.name == "label_sequence":
            array = np.abs(array)  # its padding stands at the end only
        if encoding.name == "relevance":
            array = 4.0 * np.eye(1, sizes.k).repeat(sizes.n, axis=0)  # rows whose scores nearly fit would take more digits
        if hard and encoding.name == "distribution" and name == "targets":
            array = np.broadcast_to(np.eye(1, sizes.k), array.shape)  # as above
        if encoding.name == "bin_place":
            array = np.zeros(sizes.n)  # as above
        for place, axis in enumerate(encoding.axes[0].split()):
            if axis in ("d", "t", "s", "u"):
                array = array.take(np.arange(lengths[axis]) % array.shape[place], axis=place)
        arrays[name] = normalised(array) if case.coupling == "batch" and encoding.name == "embedding" else array
    return case.batch(frozen(arrays))


def grown_axes(case: Case) -> list[str]:
    """The axes that change the work. The labels of a list are counted among the k that they become."""
    letters = {axis for encoding in case.encodings.values() if encoding.name != "index_list" for axis in encoding.axes[0].split()}
    return [axis for axis in LENGTHS if axis in letters or (axis == "d" and case.d)]


# --- work -----------------------------------------------------------------------------------------------------------


@pytest.mark.no_cover  # others run these lines as well
@each_case
def test_work_grows_as_declared(case: Case) -> None:
    """What doubling an axis adds, the second time against the first: what a call costs in any case is in neither."""
    for axis in grown_axes(case):
        hard = case.loss.name == "sequence_cross_entropy"
        few = {**LENGTHS, "n": 16, "t": 16} if case.loss.name == "rnn_t" else LENGTHS  # whose arrays have four axes
        few = {**few, **LARGE.get(case.loss.family, {})}
        batches = [drawn(case, {**few, axis: few[axis] * times}, hard=hard) for times in (1, 2, 4)]
        work = [
            operations(batch.kernel, *(array[:] for array in batch.arrays), **batch.columns_at(slice(None))) for batch in batches
        ]
        cost = [batch.cost for batch in batches]
        found, declared = ((counts[2] - counts[1]) / (counts[1] - counts[0]) for counts in (work, cost))
        assert 0.8 <= found / declared <= 1.15, axis
        # an exponential is one operation here and takes as long as ten, one of a long array a tenth of one of a short
        assert 1 / 30 < (cost[2] - cost[1]) / (work[2] - work[1]) < 30, axis


def test_work_that_grows_faster_is_seen() -> None:
    def all_pairs(x: Array) -> tuple[Array, None]:
        return np.maximum(x[:, :, None] - x[:, None, :], 0.0).sum(axis=(1, 2)), None

    def by_columns(x: Array) -> tuple[Array, Array]:
        total, made = np.zeros(len(x)), np.zeros_like(x)
        for column in range(x.shape[1]):
            total += np.count_nonzero(x > x[:, column, None], axis=1)
            made += np.sign(x - 1.0)
        return total, made

    for kernel in (all_pairs, by_columns):
        work = [operations(kernel, np.ones((500, k))) for k in (20, 40, 80)]
        assert (work[2] - work[1]) / (work[1] - work[0]) == pytest.approx(4.0, rel=0.05)


PAIRWISE = (
    "pairwise_logistic",
    "pairwise_hinge",
    "pairwise_soft_zero_one",
    "pairwise_mse",
    "pairwise_quantile",
    "cosent",
)
LISTWISE = ("listmle", "p_listmle", "unique_softmax", "approx_ndcg", "approx_mrr", "lambda_loss", "neural_ndcg")
CONTRASTS = (
    "nt_xent",
    "supervised_contrastive",
    "multi_similarity",
    "neighbourhood_components",
    "info_nce",
    "clip",
    "siglip",
    "n_pairs",
)


def test_growth_reads_as_a_word_and_counts_as_declared() -> None:
    cost = Cost(per_number=2.0, beyond={"n²": 3.0, "n·k·log k": 5.0})
    assert cost(100, {"n": 10, "k": 7}) == 200.0 + 300.0 + 5.0 * 10 * 7 * 3.0
    assert cost.growth == "n·k·log k"
    assert Cost().growth == "linear"
    grown = {loss.name: loss.cost.growth for loss in LOSSES.values() if loss.cost.beyond}
    assert grown == {
        "sparsemax": "n·k·log k",
        "multilabel_margin": "n·k·log k",
        "label_ranking_loss": "n·k·log k",
        "circle": "n²·d",
        "ctc": "n·t·s",
        "rnn_t": "n·t·u",
        "cox_partial_likelihood": "n·log n",
        "crps_ensemble": "n·k·log k",
        "energy_score": "n·k²·d",
        "variogram_score": "n·k·d²",
        "aot": "n·log n",
        **dict.fromkeys(("energy_distance", "mmd"), "n²·d"),
        "sinkhorn": "n²",
        **dict.fromkeys((*PAIRWISE, *LISTWISE), "n·k²"),
        **dict.fromkeys(CONTRASTS, "n²·d"),
        **dict.fromkeys(("barlow_twins", "vicreg"), "n·d²"),
        "lifted_structure": "n²·d",
        "batch_all_triplet": "n²·d",
        "deephit_rank": "n²",
        "integrated_brier_score": "n·log n",
    }


def test_rows_that_a_mask_drops_cost_nothing() -> None:
    rows = np.eye(8)
    whole, half = (check(LOSSES["circle"], {}, rows, np.arange(8.0) // 4, mask=np.arange(8) % 2 < step) for step in (2, 1))
    assert half.cost < whole.cost / 2


def test_shares_of_all_classes_cost_more_only_where_each_pair_of_classes_counts() -> None:
    scores, labels = np.eye(80), np.arange(80.0)
    for name, least in (("categorical_hinge", 1), ("multi_margin", 80)):
        costs = [
            check(LOSSES[name], parameters, scores, targets).cost
            for parameters, targets in (({}, labels), ({"label_smoothing": 0.1}, labels), ({}, np.full((80, 80), 0.0125)))
        ]
        assert least * costs[0] <= costs[1] <= 5 * least * costs[0]
        assert costs[1] <= costs[2] <= 2 * costs[1]


# --- memory ---------------------------------------------------------------------------------------------------------


def fewer(case: Case, lengths: Mapping[str, int]) -> dict[str, int]:
    return {axis: min(length, FEWER.get(case.loss.name, {}).get(axis, length)) for axis, length in lengths.items()}


def peak_bytes(batch: Batch) -> int:
    tracemalloc.start()
    try:
        evaluate(batch)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.no_cover  # others run these lines as well
@each_case
@pytest.mark.parametrize("lengths", [TALL, WIDE], ids=["tall", "wide"])
def test_memory_is_a_small_multiple_of_the_arrays(case: Case, lengths: dict[str, int]) -> None:
    rows = any("k" in encoding.axes[0].split() for encoding in case.encodings.values())
    batch = drawn(case, {**fewer(case, lengths), **({"d": 1} if rows else {})})
    assert peak_bytes(batch) <= FIXED_BYTES + 4 * sum(array.nbytes for array in batch.arrays)


def test_numbers_that_are_null_take_no_more_memory_than_those_that_are_listed() -> None:
    n = 100_000
    batch = check(LOSSES["binary_cross_entropy"], {"from_logits": False}, np.zeros(n), np.ones(n))
    answer = evaluate(batch)
    assert [number.index for number in answer.non_finite[:3]] == [(), (0,), (1,)]
    assert len(answer.non_finite) == 100
    assert any(f"of {2 * n + 1} numbers" in warning for warning in answer.warnings)
    assert peak_bytes(batch) <= 8 * 2**20
