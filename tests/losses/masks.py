"""The textbook formulas of further losses of masks, of what two other losses say."""

from collections.abc import Callable
from typing import Any

from tests.losses.exact import Exact, cosh, log, positive, total_of
from tests.losses.oracle import ORACLES, Row, oracle, tried


def flat(mask: Any) -> Row:
    return [mask] if isinstance(mask, Exact) else [number for part in mask for number in flat(part)]


SETTINGS = (
    {},
    {"from_logits": True},
    {"smooth": 1.0},
    {"class_axis": -1},
    {"from_logits": True, "class_axis": -1},
    {"class_axis": -1, "include_background": False, "smooth": 1.0},
    {"from_logits": True, "class_axis": -1, "activation": "sigmoid"},
)


def of_classes(name: str, mask: Any, target: Any, of: Callable[[Exact], Exact], given: Any) -> Exact:
    """The mean over classes of a function of each one's loss."""
    if given.get("class_axis") is None:
        return of(ORACLES[name](mask, target, **given))
    masks = masks_by_class(mask, target, **given)
    given = {key: value for key, value in given.items() if key in ("alpha", "beta", "smooth")}
    return total_of(of(ORACLES[name](p, g, **given)) for p, g in masks) / len(masks)


def masks_by_class(mask: Any, target: Any, **given: Any) -> list[tuple[Row, Row]]:
    """Each class's mask, and the true one: the masks of the oracle of dice, which is asked when it is there."""
    how = given.get("from_logits", False), True, given.get("include_background", True), given.get("activation")
    return [(list(p), list(g)) for p, g in ORACLES["dice"].__globals__["masks_of"](mask, target, *how)]


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
    given = {
        "smooth": smooth,
        "from_logits": from_logits,
        "smooth_nr": smooth_nr,
        "smooth_dr": smooth_dr,
        "class_axis": class_axis,
        "include_background": include_background,
        "activation": activation,
        "pool": pool,
    }
    return ORACLES["tversky"](mask, target, alpha=Exact(1), beta=Exact(1), **given)


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
    given = {
        "smooth": smooth,
        "from_logits": from_logits,
        "class_axis": class_axis,
        "include_background": include_background,
        "activation": activation,
        "pool": pool,
    }

    def power(number: Exact) -> Exact:
        return Exact(0) if number == 0 else number**gamma

    return of_classes("tversky", mask, target, power, {"alpha": alpha, "beta": beta, **given})


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
    given = {
        "smooth": smooth,
        "from_logits": from_logits,
        "class_axis": class_axis,
        "include_background": include_background,
        "activation": activation,
        "pool": pool,
    }
    return of_classes("dice", mask, target, lambda number: log(cosh(number)), given)


@oracle
@tried({}, {"from_logits": True}, {"smooth": 1.0}, {"entropy_weight": 0.3, "dice_weight": 2.0})
def bce_dice(
    mask: Any, target: Any, entropy_weight: Any = 1, dice_weight: Any = 1, smooth: Any = 0, from_logits: bool = False
) -> Exact:
    entropies = [
        ORACLES["binary_cross_entropy"](p, y, from_logits=from_logits) for p, y in zip(flat(mask), flat(target), strict=True)
    ]
    return entropy_weight * total_of(entropies) / len(entropies) + dice_weight * ORACLES["dice"](
        mask, target, from_logits=from_logits, smooth=smooth
    )


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
