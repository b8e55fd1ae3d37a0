"""Whole numbers stay whole: labels and ids keep their 64 bits, or are refused; two of them never become one."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.errors import InvalidArray
from app.losses import LOSSES, check, evaluate
from app.losses.inputs import Encoding, Place, Reading
from tests.folding import in_turn

pytestmark = pytest.mark.no_cover  # test_values runs these lines as well, and to trace them takes as long as they do

EDGE = 2**53
FAR = [EDGE, EDGE + 1, 2**62 + 1, 2**63 - 1]
"""Whole numbers, most of which no floating-point number is equal to."""
INTEGERS = [np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64]
K = 5


def encodings() -> Mapping[str, Encoding]:
    """Every encoding that a loss declares, by the loss, its input and the case."""
    return {
        f"{name}.{declared.name} {condition}".strip(): encoding
        for name, loss in LOSSES.items()
        for declared in loss.inputs.values()
        for condition, encoding in declared.cases
    }


def read(encoding: Encoding, numbers: NDArray[Any], k: int | None = K) -> Reading:
    """What the encoding makes of these numbers; where it takes rows, of rows of the same number."""
    labels = min(encoding.axes, key=len)  # not rows of shares, where it takes these as well
    row = [axis for axis in labels.split()[1:] if axis != "*d"]
    shape = tuple(int(axis) if axis.isdigit() else 1 for axis in row)
    array = np.broadcast_to(numbers.reshape(-1, *(1 for _ in row)), (numbers.size, *shape)).copy()
    return encoding.read(array, Place(("targets",), row_axes=len(row), k=k, classes="k" in row))


def takes(encoding: Encoding, number: float) -> bool:
    try:
        read(encoding, np.full(2, number))
    except InvalidArray:
        return False
    return True


WHOLE = {name: encoding for name, encoding in encodings().items() if encoding.whole}
over_whole_encodings = in_turn("encoding", WHOLE.values(), ids=list(WHOLE))


@in_turn("name", encodings())
def test_what_takes_2_and_not_2_and_a_half_holds_whole_numbers(name: str) -> None:
    encoding = encodings()[name]
    assert encoding.whole == (takes(encoding, 2.0) and not takes(encoding, 2.5))


@over_whole_encodings
@in_turn("dtype", INTEGERS)
def test_integers_of_every_size_read_as_floats_do(encoding: Encoding, dtype: type[np.integer[Any]]) -> None:
    integers, floats = (read(encoding, np.array([1, 3, 2], kind)) for kind in (dtype, np.float64))
    assert integers.encoding == floats.encoding
    assert integers.array.dtype == floats.array.dtype
    np.testing.assert_array_equal(integers.array, floats.array)


@over_whole_encodings
@pytest.mark.parametrize("numbers", [FAR, [-number for number in FAR], [2**63, 2**64 - 1, 1]], ids=["+", "-", "unsigned"])
def test_integers_are_kept_to_the_last_bit_or_refused_as_they_are(encoding: Encoding, numbers: list[int]) -> None:
    array = np.array(numbers, np.uint64 if max(numbers) > 2**63 else np.int64)
    try:
        reading = read(encoding, array, k=None if encoding.labels else K)
    except InvalidArray as refused:
        wrong = [fault.message.rpartition("; got ")[2] for fault in refused.faults]
        assert wrong == [str(number) for number in numbers if number != 1]
    else:
        assert reading.array.dtype.kind in "iu"
        assert reading.array.ravel().tolist() == numbers  # a map of one position is a row of one


@over_whole_encodings
@pytest.mark.parametrize("number", [2.0**53, -(2.0**53), 2.0**60, 1e19])
def test_a_float_that_may_be_left_of_another_number_is_refused(encoding: Encoding, number: float) -> None:
    with pytest.raises(InvalidArray) as refused:
        read(encoding, np.array([1.0, number]), k=None if encoding.labels else K)
    assert refused.value.faults[0].path[:2] == ("targets", 1)


@over_whole_encodings
def test_the_largest_float_that_stands_for_one_number_is_taken_as_that(encoding: Encoding) -> None:
    if takes(encoding, 2.0**52):  # no index of a known class
        assert read(encoding, np.array([EDGE - 1.0, 1.0])).array.tolist() == [EDGE - 1, 1]


LABELS = {name: loss for name, loss in LOSSES.items() if all(i.decide(loss.defaults, 1).whole for i in loss.inputs.values())}
"""Losses that compare labels with labels."""
assert LABELS.keys() >= {"hamming_loss", "zero_one"}


@pytest.mark.parametrize("name", LABELS)
@pytest.mark.parametrize("far", [[EDGE + 1, 5, -EDGE], [2**64 - 1, 5, 2**63]], ids=["int64", "uint64"])
def test_labels_that_differ_in_the_last_bit_are_two(name: str, far: list[int]) -> None:
    near = [far[0] - 1, 5, far[2] + 1]
    for dtype in (np.int64, np.uint64) if min(far) >= 0 else (np.int64,):
        if max(far) <= np.iinfo(dtype).max:
            predictions, targets = np.array(far, dtype), np.array(near, dtype)
            np.testing.assert_array_equal(evaluate(check(LABELS[name], {}, predictions, targets)).per_sample, [1, 0, 1])
            assert evaluate(check(LABELS[name], {}, predictions, predictions)).value == 0


@pytest.mark.parametrize("name", LABELS)
def test_signed_and_unsigned_labels_are_compared_as_numbers(name: str) -> None:
    signed, unsigned = np.array([-1, 5, 7], np.int64), np.array([2**64 - 1, 5, 7], np.uint64)
    for predictions, targets in ((signed, unsigned), (unsigned, signed)):
        assert evaluate(check(LABELS[name], {}, predictions, targets)).value == pytest.approx(1 / 3)


@pytest.mark.parametrize("name", [name for name, loss in LABELS.items() if "ignore_index" in loss.parameters])
def test_the_ignored_label_is_no_neighbour_of_itself(name: str) -> None:
    targets = np.array([EDGE, EDGE + 1, EDGE + 2])
    batch = check(LABELS[name], {"ignore_index": EDGE + 1}, targets, targets)
    assert batch.kept is not None
    assert batch.kept.tolist() == [0, 2]


def test_groups_that_differ_in_the_last_bit_are_two() -> None:
    rows = np.array([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [-0.6, 0.8]])
    far, near = np.array([EDGE, EDGE, EDGE + 1, EDGE + 1]), np.array([0.0, 0.0, 1.0, 1.0])
    assert evaluate(check(LOSSES["circle"], {}, rows, far)).value == evaluate(check(LOSSES["circle"], {}, rows, near)).value


@pytest.mark.parametrize("name", ["mean_absolute_error", "mean_squared_error", "poisson_deviance", "log_cosh"])
@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
def test_real_numbers_are_rounded_to_the_nearest_double(name: str, dtype: type[np.integer[Any]]) -> None:
    numbers = np.array([EDGE + 1, EDGE + 3, 2**62 + 2**9 + 1, 7], dtype)
    nearest = np.array([float(int(number)) for number in numbers])  # Python rounds an integer correctly
    answers = [evaluate(check(LOSSES[name], {}, np.arange(1.0, 5.0), targets)) for targets in (numbers, nearest)]
    assert answers[0].value == answers[1].value
    np.testing.assert_array_equal(answers[0].per_sample, answers[1].per_sample)
