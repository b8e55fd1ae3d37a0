"""No answer depends on how a batch was cut into blocks, nor on how many threads shared them: not in one bit."""

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from app.losses import LOSSES, Evaluation, Loss, check, evaluate
from app.losses.inputs import Sizes
from app.losses.numerics.blocks import WORTH_A_THREAD, in_blocks, use_threads
from app.losses.outputs import arrays_by_name, outputs_of
from tests.folding import folded, one_of_each
from tests.losses.drawing import Arrays, Case, default_cases, frozen, gradients_of, more_digits, sides

N = 31
THREADS = (1, 2, 3, 8)
CASES = default_cases()


@pytest.fixture(autouse=True)
def _one_thread_afterwards() -> Iterator[None]:
    yield
    use_threads(1)


def bits(answer: Evaluation) -> list[Any]:
    """Everything an answer says, to the last bit."""
    arrays = {name: np.asarray(array) for name, array in arrays_by_name(answer.outputs).items() if array is not None}
    facts = [answer.reduction, answer.n_samples, answer.divisor, answer.encodings, answer.non_finite, answer.warnings]
    return [
        *facts,
        answer.counted.tobytes(),
        *((name, array.dtype, array.shape, array.tobytes()) for name, array in arrays.items()),
    ]


def evaluated(case: Case, arrays: Arrays, reduction: Any, block_bytes: int | None, **more: Any) -> list[Any]:
    """Every output that the loss has."""
    outputs = [output.name for output in outputs_of(case.loss)]
    return bits(evaluate(case.batch(arrays, **more), reduction=reduction, block_bytes=block_bytes, outputs=outputs))


def cuts_of(arrays: Arrays) -> list[tuple[int, int]]:
    """Threads and block sizes that cut these arrays into single rows, a few rows, and a few blocks."""
    row = max(array.nbytes // len(array) for array in arrays.values())
    return [(1, 1), (3, 2 * row), (8, 5 * row)]


def test_every_loss_is_here() -> None:
    assert {case.loss.name for case in CASES} == set(LOSSES)


@folded("case", CASES, of=lambda case: case.loss.family, long=["sequence"])
def test_answer_does_not_depend_on_blocks_or_threads(case: Case) -> None:
    """In double precision and, where no sample needs the others, in single."""
    weights, kept = np.linspace(0.0, 2.0, N) ** 1.5, np.arange(N) % 7 != 3
    first = next(iter(case.loss.inputs))
    for dtype in (np.float64, np.float32)[: 2 if case.coupling == "sample" else 1]:
        drawn = case.draw(n=N)
        arrays: dict[str, Any] = {**drawn, first: drawn[first].astype(dtype)}
        asked: list[tuple[str, dict[str, Any]]] = [("mean", {"sample_weight": weights, "mask": kept}), ("none", {})]
        for reduction, more in asked[: 2 if dtype is np.float64 else 1]:  # in single the harder one
            use_threads(1)
            whole = evaluated(case, arrays, reduction, None, **more)
            for threads, size in cuts_of(arrays):
                use_threads(threads)
                assert evaluated(case, arrays, reduction, size, **more) == whole, (dtype, reduction, threads, size)


@pytest.mark.no_cover  # others run these lines as well
@pytest.mark.parametrize(
    "loss",
    one_of_each((loss for loss in LOSSES.values() if loss.coupling == "sample"), lambda loss: loss.family),
    ids=lambda loss: loss.name,
)
@pytest.mark.parametrize(("k", "d"), [(37, (33,)), (130, (5, 9))], ids=["odd rows", "wide rows"])
def test_wide_rows_do_not_depend_on_blocks(loss: Loss, k: int, d: tuple[int, ...]) -> None:
    """Sums along a row may be taken in another order where the rows are fewer: they must not be."""
    rng = np.random.default_rng(k)
    case = [case for case in CASES if case.loss is loss][-1]  # the one with the most axes

    def draw(n: int) -> Arrays:
        sizes, encodings = Sizes(n=n, k=k, d=d), case.encodings
        drawn = {name: np.asarray(encoding.draw(rng, sizes), np.float64) for name, encoding in encodings.items()}
        return frozen({name: more_digits(encodings[name], array, rng) for name, array in drawn.items()})

    arrays = draw(19 if case.batch(draw(1)).cost < 1e6 else 3)  # each sample of those that compare all classes is much work
    row = max(array.nbytes // len(array) for array in arrays.values())
    whole = evaluated(case, arrays, "mean", 1 << 40)
    for rows in (1, 2, 7):
        assert evaluated(case, arrays, "mean", rows * row) == whole, rows


@pytest.mark.parametrize(("name", "columns"), [("categorical_cross_entropy", 3), ("categorical_cross_entropy", 100), ("mse", 50)])
def test_batch_of_many_default_blocks_does_not_depend_on_threads(name: str, columns: int) -> None:
    rng = np.random.default_rng(columns)
    loss, _ = LOSSES.resolve(name)
    case = next(case for case in CASES if case.loss is loss)
    rows = 3_000_000 // (8 * columns)
    scores = rng.normal(size=(rows, columns))
    targets = rng.integers(0, columns, rows).astype(float) if name.startswith("cat") else rng.normal(size=(rows, columns))
    case = Case(loss, {"from_logits": True} if name.startswith("cat") else {}, case.encodings, (), case.words)
    arrays = frozen({"predictions": scores, "targets": targets})
    answers: list[list[Any]] = []
    for threads in THREADS:
        use_threads(threads)
        answers += [evaluated(case, arrays, "mean", None), evaluated(case, arrays, "mean", 1 << 16)]
    assert all(answer == answers[0] for answer in answers)


@pytest.mark.parametrize("width", [2, 5, 10, 33, 64, 1000, 9000])
@pytest.mark.parametrize("name", ["mean_squared_error", "root_mean_squared_error", "gaussian_nll"])
def test_mean_of_a_sample_does_not_depend_on_the_samples_beside_it(name: str, width: int) -> None:
    """The means of many samples are taken in blocks of these, and in threads."""
    rng = np.random.default_rng(width)
    loss, shape = LOSSES[name], (max(4, 300_000 // width), width)
    arrays = {key: rng.lognormal(size=shape) for key in loss.inputs}
    mask = rng.random(shape) < 0.9
    mask[1], mask[1, 0], mask[2] = False, True, True
    few = slice(1, 3)
    options: list[tuple[dict[str, Any], dict[str, Any]]] = [({}, {}), ({"mask": mask}, {"mask": mask[few]})]
    for more, of_few in options:
        for threads in (1, 3):
            use_threads(threads)
            whole = evaluate(check(loss, {}, *sides(loss, arrays), **more), reduction="none")
            alone = evaluate(
                check(loss, {}, *sides(loss, {key: array[few] for key, array in arrays.items()}), **of_few), reduction="none"
            )
            np.testing.assert_array_equal(np.asarray(whole.per_sample)[few], alone.per_sample)
            for there, here in zip(gradients_of(whole).values(), gradients_of(alone).values(), strict=True):
                np.testing.assert_array_equal(there[few], here)


LABELS = np.array([0.0, 1.0, 1.0, 0.25, 0.0, 1e-320, 1.0 - 2.0**-53, 0.0, 1.0])


@pytest.mark.parametrize("name", ["binary_cross_entropy", "categorical_cross_entropy"])
def test_hard_labels_beside_soft_ones_are_worth_what_they_are_alone(name: str) -> None:
    """A block of hard labels alone may take a shorter way, as long as it leads to the same bits."""
    labels = np.tile(LABELS, 30)
    targets = labels if name.startswith("b") else np.stack((labels, 1.0 - labels), axis=1)
    scores = np.random.default_rng(0).normal(scale=3.0, size=targets.shape)
    scores[40:60] *= 400.0
    batch = check(LOSSES[name], {"from_logits": True}, scores, targets)
    whole = bits(evaluate(batch))
    for rows in (1, 2, 3, 4, 16, 100):
        assert bits(evaluate(batch, block_bytes=rows * batch.arrays[0].nbytes // len(labels))) == whole, rows
    hard = targets.reshape(len(labels), -1)[:, 0] % 1.0 == 0.0
    alone = evaluate(check(LOSSES[name], {"from_logits": True}, scores[hard], targets[hard]), reduction="sum")
    beside = evaluate(batch, reduction="sum")
    np.testing.assert_array_equal(alone.per_sample, np.asarray(beside.per_sample)[hard])
    np.testing.assert_array_equal(alone.gradient, np.asarray(beside.gradient)[hard])


# --- in_blocks --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize(
    ("n", "row_bytes", "block_bytes"), [(1, 8, 64), (7, 8, 64), (8, 8, 64), (1000, 8, 64), (5, 1000, 64), (9, 0, 4)]
)
def test_every_row_is_in_one_block(threads: int, n: int, row_bytes: int, block_bytes: int) -> None:
    use_threads(threads)
    seen = np.zeros(n, dtype=int)
    lengths: list[int] = []

    def work(rows: slice) -> None:
        seen[rows] += 1
        lengths.append(rows.stop - rows.start)

    assert in_blocks(work, n, row_bytes, block_bytes) == [None] * len(lengths)
    assert (seen == 1).all()
    assert max(lengths) <= max(1, block_bytes // max(row_bytes, 1))


@pytest.mark.parametrize("threads", THREADS)
def test_results_come_in_the_order_of_the_rows(threads: int) -> None:
    use_threads(threads)
    ends = in_blocks(lambda rows: (rows.start, rows.stop), 100, 8, 24)
    assert [start for start, _ in ends] == [0, *(stop for _, stop in ends[:-1])]
    assert ends[-1][1] == 100
    assert len(ends) % threads == 0


def test_threads_share_a_large_batch_and_leave_a_small_one_alone() -> None:
    use_threads(2)
    met = threading.Barrier(2, timeout=30)
    threads: set[int] = set()

    def work(rows: slice) -> None:
        threads.add(threading.get_ident())
        if rows.start < 2:
            met.wait()  # passes only when two threads are here at once

    in_blocks(work, WORTH_A_THREAD, 1, 1)
    assert len(threads) == 2
    assert threading.get_ident() in threads
    threads.clear()
    in_blocks(lambda rows: threads.add(threading.get_ident()), WORTH_A_THREAD - 1, 1, 1)
    assert threads == {threading.get_ident()}


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("row", [0, 7, 49])
def test_error_in_a_block_reaches_the_caller(threads: int, row: int) -> None:
    use_threads(threads)

    def work(rows: slice) -> None:
        if rows.start == row:
            raise ArithmeticError(f"row {row}")

    with pytest.raises(ArithmeticError, match=f"row {row}"):
        in_blocks(work, 50, 1, 1)
    done: list[int] = []
    in_blocks(lambda rows: done.append(rows.start), 50, 1, 1)  # the threads go on afterwards
    assert sorted(done) == list(range(50))


@pytest.mark.parametrize("threads", THREADS)
def test_no_floating_point_warning_leaves_a_thread(threads: int) -> None:
    use_threads(threads)
    zeros, out = np.zeros(1000), np.empty(1000)
    with np.errstate(all="ignore"):  # the caller's, which every thread takes over
        in_blocks(lambda rows: np.divide(1.0, zeros[rows], out=out[rows]).size, 1000, 100, 100)
    assert np.isinf(out).all()


def test_kernel_that_fails_in_a_thread_fails_the_evaluation() -> None:
    use_threads(3)
    case = next(case for case in CASES if case.loss is LOSSES["mean_squared_error"])
    arrays = case.draw(n=N)
    batch = case.batch(arrays, sample_weight=np.ones(N))

    class Broken(np.ndarray):  # type: ignore[type-arg]
        """Numbers that cannot be computed with."""

        def __array_ufunc__(self, *args: object, **kwargs: object) -> Any:
            raise ArithmeticError("broken numbers")

    broken = tuple(np.asarray(array[:]).view(Broken) for array in batch.arrays)
    with pytest.raises(ArithmeticError, match="broken numbers"):
        evaluate(batch._replace(arrays=broken), block_bytes=64)
