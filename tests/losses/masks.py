"""The textbook formulas of losses of masks: of each class's mask by itself, and their mean."""

from typing import Any

from tests.losses.exact import Exact, cosh, dot, log, mean_of, one_hot, positive, sigmoid, softmax, sqrt, total_of, xlogy
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
    y = flat(target)
    return of_lovasz([1 - (2 * g - 1) * x for x, g in zip(flat(mask), y, strict=True)], y)


OF_MAPS = (
    {},
    {"from_logits": True},
    {"smooth": 1.0},
    {"include_background": False, "smooth": 1.0},
    {"from_logits": True, "activation": "sigmoid"},
)


@oracle
@tried(*OF_MAPS, {"size_weight": "simple"}, {"size_weight": "uniform"})
def generalized_dice(
    mask: Any,
    target: Any,
    size_weight: str = "square",
    smooth: Any = 0,
    from_logits: bool = False,
    class_axis: int = -1,
    include_background: bool = True,
    activation: str | None = None,
    pool: str = "sample",
) -> Exact:
    masks = masks_of(mask, target, from_logits, class_axis, include_background, activation)
    sizes = [total_of(g) ** {"square": 2, "simple": 1, "uniform": 0}[size_weight] for _, g in masks]
    shares = [1 / size for size in sizes if size > 0]
    dearest = max(shares, key=lambda share: share.value) if shares else Exact(0)
    counts = [1 / size if size > 0 else dearest for size in sizes]
    above = total_of(2 * count * dot(p, g) for count, (p, g) in zip(counts, masks, strict=True))
    below = total_of(count * (total_of(p) + total_of(g)) for count, (p, g) in zip(counts, masks, strict=True))
    return 1 - quotient(above + smooth, below + smooth)


@oracle
@tried(*SETTINGS)
def mcc(
    mask: Any,
    target: Any,
    smooth: Any = 0,
    from_logits: bool = False,
    class_axis: int | None = None,
    include_background: bool = True,
    activation: str | None = None,
    pool: str = "sample",
) -> Exact:
    def of(pair: Mask) -> Exact:
        p, g = pair
        rest, back = [1 - number for number in p], [1 - number for number in g]
        a, b, c, d = (dot(one, other) + smooth for one, other in ((p, g), (rest, back), (p, back), (rest, g)))
        size = (a + c) * (a + d) * (b + c) * (b + d)
        return 1 - (a * b - c * d) / sqrt(size) if size > 0 else Exact(1)

    return mean_of([of(pair) for pair in masks_of(mask, target, from_logits, class_axis, include_background, activation)])


@oracle
@tried({}, {"from_logits": True}, {"smooth": 1.0}, {"gamma": 0.0}, {"weight": 1.0}, {"weight": 0.0}, {"delta": 0.3})
def unified_focal(
    mask: Any,
    target: Any,
    weight: Any = 0.5,
    delta: Any = 0.6,
    gamma: Any = 0.5,
    smooth: Any = 0,
    from_logits: bool = False,
) -> Exact:
    p, y = [sigmoid(number) if from_logits else number for number in flat(mask)], flat(target)
    rest = [sigmoid(-number) if from_logits else 1 - number for number in flat(mask)]
    back = [1 - number for number in y]
    entropy = mean_of(
        [
            -delta * xlogy(g, one) - (1 - delta) * (xlogy(b, other) * one**gamma if b > 0 else Exact(0))
            for one, other, g, b in zip(p, rest, y, back, strict=True)
        ]
    )
    miss = tversky_of((p, y), 1 - delta, delta, smooth, smooth)
    ground = tversky_of((rest, back), 1 - delta, delta, smooth, smooth)
    return weight * entropy / 2 + (1 - weight) * (ground + (miss ** (1 - gamma) if miss > 0 else Exact(0))) / 2


@oracle
@tried({}, {"from_logits": True})
def boundary(mask: Any, target: Any, from_logits: bool = False) -> Exact:
    p = [sigmoid(number) if from_logits else number for number in flat(mask)]
    return dot(p, flat(target)) / len(p)


def of_lovasz(errors: Row, y: Row) -> Exact:
    """The errors in their order, each times what intersection over union loses with it."""
    ordered = sorted(zip(errors, y, strict=True), key=lambda pair: -pair[0].value)
    size = total_of(y)
    losses, hits, false_alarms = [Exact(0)], size, Exact(0)
    for _, g in ordered:
        hits, false_alarms = hits - g, false_alarms + 1 - g
        losses.append(1 - hits / (size + false_alarms))
    return total_of(
        positive(error, at_zero=0) * (after - before)
        for (error, _), before, after in zip(ordered, losses, losses[1:], strict=False)
    )


@oracle
@tried(
    {},
    {"from_logits": True},
    {"include_background": False},
    {"averaged_classes": "all"},
    {"from_logits": True, "activation": "sigmoid"},
)
def lovasz_softmax(
    mask: Any,
    target: Any,
    from_logits: bool = False,
    averaged_classes: str = "present",
    class_axis: int = -1,
    include_background: bool = True,
    activation: str | None = None,
    pool: str = "sample",
) -> Exact:
    masks = masks_of(mask, target, from_logits, class_axis, include_background, activation)
    seen = [(p, g) for p, g in masks if averaged_classes == "all" or total_of(g) > 0]
    return mean_of([of_lovasz([1 - one if true == 1 else one for one, true in zip(p, g, strict=True)], g) for p, g in seen])
