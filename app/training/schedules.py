"""Schedules: the factor on the learning rate in each epoch of a run.

    factor = cosine(epoch, epochs, losses, minimum=0.01)

`epoch` counts from 0 to `epochs` − 1, and `losses` are those of the epochs before, one each. A schedule remembers nothing:
the same arguments give the same factor, so a run that is resumed goes on as if it had never stopped.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

import numpy as np
from annotated_types import Ge, Gt, Le, Lt
from typing_extensions import Doc

from app.libraries import Equal, equal
from app.losses.numerics.stable import Array
from app.registry import Alias, Declared, alias

Losses: TypeAlias = Sequence[float] | Array


@dataclass(frozen=True, eq=False, kw_only=True)
class Schedule(Declared):
    """A factor on the learning rate, with everything that is known about it. Call it to get the factor."""

    function: Callable[..., float]


def schedule(
    *, aliases: tuple[str | Alias, ...] = (), equals: tuple[Equal, ...] = (), reference: str = ""
) -> Callable[[Callable[..., float]], Schedule]:
    """Declare a function as a schedule: its name is the function's, its parameters the keyword-only ones."""

    def declare(function: Callable[..., float]) -> Schedule:
        return Schedule(function=function, names=aliases, equals=equals, reference=reference)

    return declare


Minimum: TypeAlias = Annotated[float, Ge(0), Le(1), Doc("Factor that it does not fall below.")]


@schedule(
    aliases=("constant_schedule", "fixed", "none"),
    equals=(equal("optax.constant_schedule(learning_rate)"),),
    reference="Bottou, Curtis and Nocedal (2018), doi:10.1137/16M1080173",
)
def constant(epoch: int, epochs: int, losses: Losses) -> float:
    """The learning rate as it is, in every epoch."""
    return 1.0


@schedule(
    aliases=("StepLR", "step_decay", "staircase"),
    equals=(
        equal("torch.optim.lr_scheduler.StepLR(step_size=every, gamma=factor)"),
        equal("keras.optimizers.schedules.ExponentialDecay(learning_rate, decay_steps=every, decay_rate=factor, staircase=True)"),
        equal("optax.exponential_decay(learning_rate, transition_steps=every, decay_rate=factor, staircase=True)"),
    ),
    reference="Ge, Kakade, Kidambi and Netrapalli (2019), arXiv:1904.12838",
)
def step(
    epoch: int,
    epochs: int,
    losses: Losses,
    *,
    every: Annotated[int, Ge(1), Doc("Epochs between two falls.")] = 10,
    factor: Annotated[float, Gt(0), Le(1), Doc("What each fall multiplies the learning rate by.")] = 0.1,
) -> float:
    """Falls by a factor every so many epochs."""
    return factor ** (epoch // every)


@schedule(
    aliases=("ExponentialLR", "exponential_decay", "ExponentialDecay"),
    equals=(
        equal("torch.optim.lr_scheduler.ExponentialLR(gamma=decay)"),
        equal("keras.optimizers.schedules.ExponentialDecay(learning_rate, decay_steps=1, decay_rate=decay)"),
        equal("optax.exponential_decay(learning_rate, transition_steps=1, decay_rate=decay)"),
    ),
    reference="Li and Arora (2020), arXiv:1910.07454",
)
def exponential(
    epoch: int,
    epochs: int,
    losses: Losses,
    *,
    decay: Annotated[float, Gt(0), Le(1), Doc("What every epoch multiplies the learning rate by.")] = 0.95,
) -> float:
    """Falls by the same factor every epoch."""
    return decay**epoch


@schedule(
    aliases=("CosineAnnealingLR", "cosine_annealing", "cosine_decay", "CosineDecay", "cosine_decay_schedule"),
    equals=(
        equal("torch.optim.lr_scheduler.CosineAnnealingLR(T_max=epochs, eta_min=minimum * learning_rate)"),
        equal("keras.optimizers.schedules.CosineDecay(learning_rate, decay_steps=epochs, alpha=minimum)"),
        equal("optax.cosine_decay_schedule(learning_rate, decay_steps=epochs, alpha=minimum)"),
    ),
    reference="Loshchilov and Hutter (2017), arXiv:1608.03983",
)
def cosine(epoch: int, epochs: int, losses: Losses, *, minimum: Minimum = 0.0) -> float:
    """Falls along half a cosine over the run: slowly, fast, slowly. The minimum would be reached one epoch after the last."""
    return _along_cosine(1.0, minimum, epoch / epochs)


@schedule(
    aliases=("OneCycleLR", "onecycle", "1cycle", "super_convergence"),
    equals=(
        equal(
            "torch.optim.lr_scheduler.OneCycleLR(max_lr=learning_rate, total_steps=epochs, pct_start=pct_start, "
            "div_factor=div_factor, final_div_factor=final_div_factor, cycle_momentum=False)",
        ),
    ),
    reference="Smith and Topin (2018), arXiv:1708.07120",
)
def one_cycle(
    epoch: int,
    epochs: int,
    losses: Losses,
    *,
    pct_start: Annotated[float, Ge(0), Le(1), Doc("Share of the epochs in which the learning rate rises.")] = 0.3,
    div_factor: Annotated[float, Ge(1), Doc("What the learning rate is divided by in the first epoch.")] = 25.0,
    final_div_factor: Annotated[float, Ge(1), Doc("What that is divided by once more in the last epoch.")] = 1e4,
) -> float:
    """Rises along half a cosine to the learning rate, then falls along one to nearly nothing.

    PyTorch's, one step an epoch and with its counting: the peak is at epoch pct_start · epochs − 1, which need not be whole,
    and lies before the run if it is short. Momentum does not cycle along. optax.cosine_onecycle_schedule peaks an epoch later.
    """
    peak, low = pct_start * epochs - 1.0, 1.0 / div_factor
    if epoch <= peak:
        return _along_cosine(low, 1.0, epoch / peak if peak else 1.0)
    return _along_cosine(1.0, low / final_div_factor, (epoch - peak) / (epochs - 1.0 - peak))


@schedule(
    aliases=(
        "warmup",
        "LinearLR",
        "linear_warmup",
        "warmup_constant_schedule",
        alias("warmup_cosine", then="cosine"),
        alias("warmup_cosine_decay_schedule", then="cosine"),
    ),
    equals=(
        equal("torch.optim.lr_scheduler.LinearLR(start_factor=start, total_iters=epochs_up)"),
        equal("optax.warmup_constant_schedule(start * learning_rate, learning_rate, epochs_up)"),
        equal(
            "optax.warmup_cosine_decay_schedule(start * learning_rate, learning_rate, epochs_up, epochs, minimum * "
            "learning_rate)",
            then="cosine",
        ),
        equal(
            "keras.optimizers.schedules.CosineDecay(start * learning_rate, epochs - epochs_up, minimum, "
            "warmup_target=learning_rate, warmup_steps=epochs_up)",
            then="cosine",
        ),
    ),
    reference="Goyal et al. (2017), arXiv:1706.02677",
)
def warm_up(
    epoch: int,
    epochs: int,
    losses: Losses,
    *,
    epochs_up: Annotated[int, Ge(1), Doc("Epochs until the learning rate is reached.")] = 5,
    start: Annotated[float, Ge(0), Le(1), Doc("Factor of the first epoch.")] = 1 / 3,
    then: Annotated[Literal["constant", "cosine"], Doc("Whether it stays or falls afterwards.")] = "constant",
    minimum: Minimum = 0.0,
) -> float:
    """Rises in a straight line over the first epochs, then stays, or falls along half a cosine over the rest of the run."""
    if epoch < epochs_up:
        return start + (1.0 - start) * epoch / epochs_up
    return 1.0 if then == "constant" else _along_cosine(1.0, minimum, (epoch - epochs_up) / (epochs - epochs_up))


@schedule(
    aliases=("ReduceLROnPlateau", "plateau", "reduce_lr_on_plateau"),
    equals=(
        equal(
            "torch.optim.lr_scheduler.ReduceLROnPlateau(factor=factor, patience=patience, threshold=threshold, "
            "cooldown=cooldown, min_lr=minimum * learning_rate, eps=0)",
        ),
    ),
    reference="He et al. (2016), doi:10.1109/CVPR.2016.90",
)
def reduce_on_plateau(
    epoch: int,
    epochs: int,
    losses: Losses,
    *,
    factor: Annotated[float, Gt(0), Lt(1), Doc("What a fall multiplies the learning rate by.")] = 0.1,
    patience: Annotated[int, Ge(0), Doc("Epochs without improvement that are borne; the next one brings the fall.")] = 10,
    threshold: Annotated[float, Ge(0), Lt(1), Doc("How far below the best loss, as a share of it, is better.")] = 1e-4,
    cooldown: Annotated[int, Ge(0), Doc("Epochs after a fall that are not counted.")] = 0,
    minimum: Minimum = 0.0,
) -> float:
    """Falls by a factor when the loss has not improved for a while.

    PyTorch's, except that a fall is never too small to be made (its eps). A loss that is not finite is no improvement. Keras
    has one epoch less of patience, and a threshold that is absolute.
    """
    reached, bar, bad, cooling = 1.0, math.inf, 0, 0
    for loss in losses.tolist() if isinstance(losses, np.ndarray) else losses:
        if loss < bar:
            bar, bad = loss * (1.0 - threshold), 0
        else:
            bad += 1
        if cooling:
            cooling, bad = cooling - 1, 0
        elif bad > patience:
            reached, bad, cooling = max(reached * factor, minimum), 0, cooldown
    return reached


def _along_cosine(first: float, last: float, share: float) -> float:
    return last + (first - last) * (1.0 + math.cos(math.pi * share)) / 2.0
