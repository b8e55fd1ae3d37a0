"""The textbook formulas of losses of masks: of each class's mask by itself, and their mean."""

from typing import Any

from tests.losses.exact import Exact, cosh, dot, log, mean_of, one_hot, positive, sigmoid, softmax, total_of
from tests.losses.oracle import ORACLES, Row, oracle, tried

Mask = tuple[Row, Row]
"""A predicted mask and the true one."""

SETTINGS = (
    {},
    {"from_logits": True},
    {"smooth": 1.0},
    {"class_axis": -1},
    {"from_logits": True, "class_axis": -1},
    {"class_axis": -1, "include_background": False, "smooth": 1.0},
    {"from_logits": True, "class_axis": -1, "activation": "sigmoid"},
)


def flat(mask: Any) -> Row:
    return [mask] if isinstance(mask, Exact) else [number for part in mask for number in flat(part)]


def quotient(above: Exact, below: Exact) -> Exact:
    """above / below, and 1 where both masks are empty."""
    return above / below if below != 0 else Exact(1)


def positions(array: Any) -> list[Row]:
    """A map (*r, k) as rows, one for each position."""
    return [array] if isinstance(array[0], Exact) else [row for part in array for row in positions(part)]


def labels_of(array: Any) -> list[int]:
    return [array] if isinstance(array, int) else [label for part in array for label in labels_of(part)]


def masks_of(
    mask: Any, target: Any, from_logits: bool, class_axis: int | None, background: bool, activation: str | None
) -> list[Mask]:
    """Pairs of a predicted and a true mask, of each class that counts."""
    if class_axis is None:
        p = flat(mask)
        return [([sigmoid(number) for number in p] if from_logits else p, flat(target))]
    rows = positions(mask)
    k = len(rows[0])
    if from_logits:
        rows = [[sigmoid(number) for number in row] if activation == "sigmoid" else softmax(row) for row in rows]
    hard = isinstance(flat_first(target), int)
    true = [one_hot(label, k) for label in labels_of(target)] if hard else positions(target)
    return [([row[c] for row in rows], [row[c] for row in true]) for c in range(0 if background else 1, k)]


def flat_first(array: Any) -> Any:
    return flat_first(array[0]) if isinstance(array, list) else array


def dice_of(mask: Mask, above: Any, below: Any, power: int = 1) -> Exact:
    p, g = mask
    size = total_of(number**power for number in p) + total_of(number**power for number in g)
    return 1 - quotient(2 * dot(p, g) + above, size + below)


def tversky_of(mask: Mask, alpha: Any, beta: Any, above: Any, below: Any) -> Exact:
    p, g = mask
    hits, false_alarms, misses = dot(p, g), dot(p, [1 - number for number in g]), dot([1 - number for number in p], g)
    return 1 - quotient(hits + above, hits + alpha * false_alarms + beta * misses + below)


@oracle
def dice(
    mask: Any,
    target: Any,
    from_logits: bool = False,
    smooth: Any = 0,
    squared: bool = False,
    smooth_nr: Any = None,
    smooth_dr: Any = None,
    class_axis: int | None = None,
    include_background: bool = True,
    activation: str | None = None,
    pool: str = "sample",
) -> Exact:
    above, below = (smooth if term is None else term for term in (smooth_nr, smooth_dr))
    masks = masks_of(mask, target, from_logits, class_axis, include_background, activation)
    return mean_of([dice_of(pair, above, below, 2 if squared else 1) for pair in masks])


@oracle
def tversky(
    mask: Any,
    target: Any,
    alpha: Any = 0.5,
    beta: Any = 0.5,
    smooth: Any = 0,
    from_logits: bool = False,
    smooth_nr: Any = None,
    smooth_dr: Any = None,
    class_axis: int | None = None,
    include_background: bool = True,
    activation: str | None = None,
    pool: str = "sample",
) -> Exact:
    above, below = (smooth if term is None else term for term in (smooth_nr, smooth_dr))
    masks = masks_of(mask, target, from_logits, class_axis, include_background, activation)
    return mean_of([tversky_of(pair, alpha, beta, above, below) for pair in masks])


@oracle
@tried(*SETTINGS)
def jaccard(
    mask: Any,
    target: Any,
    smooth: Any = 0,
    from_logits: bool = False,
    smooth_nr: Any = None,
    smooth_dr: Any = None,
    class_axis: int | None = None,
    include_background: bool = True,
    activation: str | None = None,
    pool: str = "sample",
) -> Exact:
    above, below = (smooth if term is None else term for term in (smooth_nr, smooth_dr))
    masks = masks_of(mask, target, from_logits, class_axis, include_background, activation)
    return mean_of([tversky_of(pair, 1, 1, above, below) for pair in masks])


@oracle
@tried(*SETTINGS, {"gamma": 2.0}, {"gamma": 1.0}, {"alpha": 0.5, "beta": 0.5})
def focal_tversky(
    mask: Any,
    target: Any,
    alpha: Any = 0.3,
    beta: Any = 0.7,
    gamma: Any = 0.75,
    smooth: Any = 0,
    from_logits: bool = False,
    class_axis: int | None = None,
    include_background: bool = True,
    activation: str | None = None,
    pool: str = "sample",
) -> Exact:
    masks = masks_of(mask, target, from_logits, class_axis, include_background, activation)
    losses = [tversky_of(pair, alpha, beta, smooth, smooth) for pair in masks]
    return mean_of([Exact(0) if loss == 0 else loss**gamma for loss in losses])


@oracle
@tried(*SETTINGS)
def log_cosh_dice(
    mask: Any,
    target: Any,
    smooth: Any = 0,
    from_logits: bool = False,
    class_axis: int | None = None,
    include_background: bool = True,
    activation: str | None = None,
    pool: str = "sample",
) -> Exact:
    masks = masks_of(mask, target, from_logits, class_axis, include_background, activation)
    return mean_of([log(cosh(dice_of(pair, smooth, smooth))) for pair in masks])


@oracle
@tried({}, {"from_logits": True}, {"smooth": 1.0}, {"entropy_weight": 0.3, "dice_weight": 2.0})
def bce_dice(
    mask: Any, target: Any, entropy_weight: Any = 1, dice_weight: Any = 1, smooth: Any = 0, from_logits: bool = False
) -> Exact:
    entropies = [
        ORACLES["binary_cross_entropy"](p, y, from_logits=from_logits) for p, y in zip(flat(mask), flat(target), strict=True)
    ]
    return entropy_weight * mean_of(entropies) + dice_weight * dice(mask, target, from_logits=from_logits, smooth=smooth)


@oracle
def lovasz_hinge(mask: Any, target: Any) -> Exact:
    pairs = [(1 - (2 * y - 1) * x, y) for x, y in zip(flat(mask), flat(target), strict=True)]
    ordered = sorted(pairs, key=lambda number: -number[0].value)
    size = total_of(y for _, y in pairs)
    losses, hits, false_alarms = [Exact(0)], size, Exact(0)
    for _, y in ordered:
        hits, false_alarms = hits - y, false_alarms + 1 - y
        losses.append(1 - hits / (size + false_alarms))
    return total_of(
        positive(error, at_zero=0) * (after - before)
        for (error, _), before, after in zip(ordered, losses, losses[1:], strict=False)
    )
