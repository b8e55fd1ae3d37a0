"""Optimizers: each turns weights and their gradient into the next weights, in place.

All weights of a model are one vector (P,), and so is the gradient. What an optimizer remembers between two steps are its
`slots`, vectors of the same length: weights, slots and the number of the step are everything there is to resume from.

    adam(weights, gradient, slots, scratch, step, learning_rate=0.01)

`weights` and `slots` (len(slots), P) are updated, `gradient` may be overwritten, and `scratch` (2, P) is room to work in,
whatever it holds. Slots are 0 before the first step, and steps count from 1. No step allocates.

An optimizer with `full_batch` takes the objective in place of a gradient: it asks for as many as it needs. An l1 penalty is
not in that objective, but beside it: what each weight's size costs.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, TypeAlias

import numpy as np
from annotated_types import Ge, Gt, Le, Lt
from typing_extensions import Doc

from app.libraries import Equal, equal
from app.losses.numerics.stable import Array
from app.registry import Alias, Declared, alias
from app.training import corners

Objective: TypeAlias = Callable[[Array], tuple[float, Array]]
"""Weights -> the loss at them and its gradient."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Optimizer(Declared):
    """A step towards smaller losses, with everything that is known about it. Call it to take the step."""

    function: Callable[..., None]
    slots: tuple[str, ...] = ()
    """The vectors that it remembers between two steps."""
    full_batch: bool = False
    """Whether a call is an epoch, and takes (weights, objective, l1 (P,) or None, whether the objective is smooth)."""
    paced: bool = True
    """Whether its learning rate, if it has one, scales every step: a schedule may then change it."""
    average: str | None = None
    """The slot that is the model, where the weights are only the place at which the gradient is wanted."""

    @property
    def has_rate(self) -> bool:
        """Whether steps have a length that is chosen: what a schedule scales, and what can be too large."""
        return self.paced and "learning_rate" in self.parameters


def optimizer(
    *,
    slots: tuple[str, ...] = (),
    full_batch: bool = False,
    paced: bool = True,
    average: str | None = None,
    aliases: tuple[str | Alias, ...] = (),
    equals: tuple[Equal, ...] = (),
    reference: str = "",
) -> Callable[[Callable[..., None]], Optimizer]:
    """Declare a function as an optimizer: its name is the function's, its parameters the keyword-only ones."""

    def declare(function: Callable[..., None]) -> Optimizer:
        return Optimizer(
            function=function,
            slots=slots,
            full_batch=full_batch,
            paced=paced,
            average=average,
            names=aliases,
            equals=equals,
            reference=reference,
        )

    return declare


LearningRate: TypeAlias = Annotated[float, Gt(0), Le(1e6), Doc("Length of a step, which a schedule may scale.")]
Momentum: TypeAlias = Annotated[float, Ge(0), Lt(1), Doc("How much of its velocity a step passes on to the next.")]
Rho: TypeAlias = Annotated[float, Ge(0), Lt(1), Doc("Decay of the mean of squares: 1/(1 − rho) steps are remembered.")]
Beta1: TypeAlias = Annotated[float, Ge(0), Lt(1), Doc("Decay of the mean of the gradients.")]
Beta2: TypeAlias = Annotated[float, Ge(0), Lt(1), Doc("Decay of the mean of their squares.")]
Epsilon: TypeAlias = Annotated[float, Gt(0), Doc("Added to what the step is divided by.")]
EpsilonInside: TypeAlias = Annotated[bool, Doc("Whether epsilon is added under the root, as Keras and optax do, not to it.")]
EpsilonHat: TypeAlias = Annotated[
    bool, Doc("Whether epsilon is added before the correction of the bias, as in Keras and scikit-learn, not after it.")
]
DecoupledDecay: TypeAlias = Annotated[
    float, Ge(0), Doc("Share of every weight that a step takes away, times learning_rate; the gradient does not see it.")
]

# --- steps along the gradient -----------------------------------------------------------------------------------------


@optimizer(
    aliases=("gd", "GradientDescent", "steepest_descent", "vanilla"),
    equals=(
        equal("torch.optim.SGD(lr)"),
        equal("keras.optimizers.SGD(learning_rate)"),
        equal("optax.sgd(learning_rate)"),
    ),
    reference="Cauchy (1847), Méthode générale pour la résolution des systèmes d'équations simultanées",
)
def gradient_descent(
    weights: Array, gradient: Array, slots: Array, scratch: Array, step: int, *, learning_rate: LearningRate = 0.01
) -> None:
    """Straight down: weights ← weights − learning_rate · gradient, and nothing is remembered."""
    gradient *= learning_rate
    weights -= gradient


@optimizer(
    slots=("velocity",),
    aliases=(
        "SGD",
        "SGDOptimizer",
        alias("momentum", momentum=0.9),
        alias("heavy_ball", momentum=0.9),
        alias("nesterov", momentum=0.9, nesterov=True),
        alias("nag", momentum=0.9, nesterov=True),
    ),
    equals=(
        equal("torch.optim.SGD(lr, momentum, weight_decay=weight_decay, nesterov=nesterov)"),
        equal("optax.sgd(learning_rate, momentum, nesterov)"),
        equal("keras.optimizers.SGD(learning_rate, momentum, nesterov)", caveat="At a constant learning rate."),
        equal('sklearn.neural_network.MLPRegressor(solver="sgd")', caveat="At a constant learning rate."),
    ),
    reference="Polyak (1964), doi:10.1016/0041-5553(64)90137-5; Nesterov's as in Sutskever et al. (2013), PMLR 28(3):1139–1147",
)
def sgd(
    weights: Array,
    gradient: Array,
    slots: Array,
    scratch: Array,
    step: int,
    *,
    learning_rate: LearningRate = 0.01,
    momentum: Momentum = 0.0,
    nesterov: Annotated[bool, Doc("Whether the step looks ahead to where the velocity will have led.")] = False,
    weight_decay: Annotated[float, Ge(0), Doc("Added to the gradient, times the weights: the gradient of ½ weights².")] = 0.0,
) -> None:
    """Gradient descent with momentum: velocity ← momentum · velocity + gradient, and a step along the velocity.

    With `nesterov` the step goes along gradient + momentum · velocity. The velocity is PyTorch's, which the learning rate
    scales when the step is taken; Keras and scikit-learn scale the gradient as it enters, so that a velocity keeps the
    learning rate of its time. Without momentum it is gradient_descent.
    """
    velocity, work = slots[0], scratch[0]
    if weight_decay:
        np.multiply(weights, weight_decay, out=work)
        gradient += work
    if momentum:
        velocity *= momentum
        velocity += gradient
    if momentum and nesterov:
        np.multiply(velocity, momentum, out=work)
        gradient += work
    np.multiply(velocity if momentum and not nesterov else gradient, learning_rate, out=work)
    weights -= work


# --- a step length for each weight ------------------------------------------------------------------------------------


@optimizer(
    slots=("sum_of_squares",),
    aliases=("Adagrad", "AdaGrad"),
    equals=(
        equal("torch.optim.Adagrad(lr, initial_accumulator_value=initial_accumulator_value, eps=epsilon)"),
        equal("keras.optimizers.Adagrad(learning_rate, initial_accumulator_value, epsilon)", epsilon_inside=True),
        equal("optax.adagrad(learning_rate, initial_accumulator_value, epsilon)", epsilon_inside=True),
    ),
    reference="Duchi, Hazan and Singer (2011), JMLR 12:2121–2159",
)
def adagrad(
    weights: Array,
    gradient: Array,
    slots: Array,
    scratch: Array,
    step: int,
    *,
    learning_rate: LearningRate = 0.01,
    initial_accumulator_value: Annotated[float, Ge(0), Doc("What the sum of squares starts from; Keras and optax: 0.1.")] = 0.0,
    epsilon: Epsilon = 1e-10,
    epsilon_inside: EpsilonInside = False,
) -> None:
    """Gradient over the root of the sum of all squared gradients so far: rare features keep long steps, all steps shrink.

    PyTorch's defaults, and its epsilon, outside the root. The sum starts from initial_accumulator_value at step 1.
    """
    total, work = slots[0], scratch[0]
    if step == 1:
        total.fill(initial_accumulator_value)
    np.multiply(gradient, gradient, out=work)
    total += work
    _root(total, epsilon, epsilon_inside, work)
    gradient /= work
    gradient *= learning_rate
    weights -= gradient


@optimizer(
    slots=("mean_square", "mean", "velocity"),
    aliases=("RMSprop", "RMSProp"),
    equals=(
        equal("torch.optim.RMSprop(lr, alpha=rho, eps=epsilon, momentum=momentum, centered=centered)"),
        equal(
            "keras.optimizers.RMSprop(learning_rate, rho, momentum, epsilon, centered)",
            epsilon_inside=True,
            caveat="At a constant learning rate.",
        ),
        equal(
            "optax.rmsprop(learning_rate, rho, epsilon, centered=centered, momentum=momentum)",
            epsilon_inside=True,
            caveat="At a constant learning rate.",
        ),
    ),
    reference="Tieleman and Hinton (2012), Neural Networks for Machine Learning, lecture 6.5; "
    "centered: Graves (2013), arXiv:1308.0850",
)
def rmsprop(
    weights: Array,
    gradient: Array,
    slots: Array,
    scratch: Array,
    step: int,
    *,
    learning_rate: LearningRate = 0.01,
    rho: Rho = 0.99,
    epsilon: Epsilon = 1e-8,
    epsilon_inside: EpsilonInside = False,
    momentum: Momentum = 0.0,
    centered: Annotated[bool, Doc("Whether to divide by the standard deviation of the gradient, not by its size.")] = False,
) -> None:
    """Gradient over the root of a running mean of its square: every weight moves at about the same pace.

    PyTorch's defaults (its alpha is rho; Keras and optax take 0.9), and its epsilon, outside the root. The learning rate
    scales the velocity when the step is taken; in Keras and optax it scales what enters.
    """
    square, mean, velocity, work = slots[0], slots[1], slots[2], scratch[0]
    _average_square(square, gradient, rho, work)
    if centered:
        _average(mean, gradient, rho, work)
        np.multiply(mean, mean, out=work)
        np.subtract(square, work, out=work)
        np.maximum(work, 0.0, out=work)  # rounding takes a variance near 0 below it, where PyTorch's root is NaN
    _root(work if centered else square, epsilon, epsilon_inside, work)
    gradient /= work
    if momentum:
        velocity *= momentum
        velocity += gradient
    np.multiply(velocity if momentum else gradient, learning_rate, out=work)
    weights -= work


@optimizer(
    slots=("mean_square", "mean_square_update"),
    aliases=("Adadelta", "AdaDelta"),
    equals=(
        equal("torch.optim.Adadelta(lr, rho, epsilon)"),
        equal("keras.optimizers.Adadelta(learning_rate, rho, epsilon)"),
        equal("optax.adadelta(learning_rate, rho, epsilon)"),
    ),
    reference="Zeiler (2012), arXiv:1212.5701",
)
def adadelta(
    weights: Array,
    gradient: Array,
    slots: Array,
    scratch: Array,
    step: int,
    *,
    learning_rate: LearningRate = 1.0,
    rho: Rho = 0.9,
    epsilon: Annotated[float, Gt(0), Doc("Added to both means of squares: sets the length of the first steps.")] = 1e-6,
) -> None:
    """Gradient times the ratio of the usual size of an update to that of a gradient: steps have the unit of the weights.

    Epsilon is under both roots, in every library. PyTorch's defaults; Keras starts with a learning rate of 0.001.
    """
    square, square_update, work, update = slots[0], slots[1], scratch[0], scratch[1]
    _average_square(square, gradient, rho, work)
    np.add(square, epsilon, out=work)
    np.add(square_update, epsilon, out=update)
    update /= work
    np.sqrt(update, out=update)
    update *= gradient
    _average_square(square_update, update, rho, work)
    update *= learning_rate
    weights -= update


# --- both: momentum, and a step length for each weight ----------------------------------------------------------------


@optimizer(
    slots=("first_moment", "second_moment"),
    aliases=("Adam", "AdamOptimizer"),
    equals=(
        equal("torch.optim.Adam(lr, (beta_1, beta_2), epsilon)"),
        equal("optax.adam(learning_rate, beta_1, beta_2, epsilon)"),
        equal("keras.optimizers.Adam(learning_rate, beta_1, beta_2, epsilon)", epsilon_hat=True),
        equal('sklearn.neural_network.MLPRegressor(solver="adam")', epsilon_hat=True),
    ),
    reference="Kingma and Ba (2015), arXiv:1412.6980",
)
def adam(
    weights: Array,
    gradient: Array,
    slots: Array,
    scratch: Array,
    step: int,
    *,
    learning_rate: LearningRate = 0.001,
    beta_1: Beta1 = 0.9,
    beta_2: Beta2 = 0.999,
    epsilon: Epsilon = 1e-8,
    epsilon_hat: EpsilonHat = False,
) -> None:
    """Running mean of the gradient over the root of that of its square, both corrected for having started at 0.

    Epsilon is the one of the paper's Algorithm 1, added to the corrected root, as in PyTorch and optax; Keras and
    scikit-learn take the paper's ε̂ (`epsilon_hat`), which counts for more in the first steps.
    """
    _moments(slots, gradient, beta_1, beta_2, scratch[0])
    _adam_step(weights, slots[0], slots[1], scratch[0], step, learning_rate, beta_1, beta_2, epsilon, epsilon_hat)


@optimizer(
    slots=("first_moment", "second_moment"),
    aliases=("AdamW",),
    equals=(
        equal("torch.optim.AdamW(lr, (beta_1, beta_2), epsilon, weight_decay)"),
        equal("optax.adamw(learning_rate, beta_1, beta_2, epsilon, weight_decay=weight_decay)"),
        equal("keras.optimizers.AdamW(learning_rate, weight_decay, beta_1, beta_2, epsilon)", epsilon_hat=True),
    ),
    reference="Loshchilov and Hutter (2019), arXiv:1711.05101",
)
def adamw(
    weights: Array,
    gradient: Array,
    slots: Array,
    scratch: Array,
    step: int,
    *,
    learning_rate: LearningRate = 0.001,
    beta_1: Beta1 = 0.9,
    beta_2: Beta2 = 0.999,
    epsilon: Epsilon = 1e-8,
    epsilon_hat: EpsilonHat = False,
    weight_decay: DecoupledDecay = 0.01,
) -> None:
    """Adam that lets all weights decay alike: beside the step, not through the gradient, which it would rescale.

    PyTorch's defaults; weight_decay is 0.004 in Keras and 0.0001 in optax. For epsilon see adam.
    """
    weights *= 1.0 - learning_rate * weight_decay
    _moments(slots, gradient, beta_1, beta_2, scratch[0])
    _adam_step(weights, slots[0], slots[1], scratch[0], step, learning_rate, beta_1, beta_2, epsilon, epsilon_hat)


@optimizer(
    slots=("first_moment", "second_moment", "largest_second_moment"),
    aliases=("AMSGrad", "AMSgrad"),
    equals=(
        equal("torch.optim.Adam(lr, (beta_1, beta_2), epsilon, amsgrad=True)"),
        equal("keras.optimizers.Adam(learning_rate, beta_1, beta_2, epsilon, amsgrad=True)", epsilon_hat=True),
    ),
    reference="Reddi, Kale and Kumar (2018), arXiv:1904.09237",
)
def amsgrad(
    weights: Array,
    gradient: Array,
    slots: Array,
    scratch: Array,
    step: int,
    *,
    learning_rate: LearningRate = 0.001,
    beta_1: Beta1 = 0.9,
    beta_2: Beta2 = 0.999,
    epsilon: Epsilon = 1e-8,
    epsilon_hat: EpsilonHat = False,
) -> None:
    """Adam with the largest mean square so far in place of the present one: step lengths never grow back.

    The largest is taken before the correction of the bias, as in PyTorch and Keras; optax.amsgrad takes it after, and the
    paper corrects nothing. For epsilon see adam.
    """
    _moments(slots, gradient, beta_1, beta_2, scratch[0])
    largest = np.maximum(slots[2], slots[1], out=slots[2])
    _adam_step(weights, slots[0], largest, scratch[0], step, learning_rate, beta_1, beta_2, epsilon, epsilon_hat)


@optimizer(
    slots=("first_moment", "second_moment", "momentum_product"),
    aliases=("NAdam", alias("Nadam", learning_rate=0.001, epsilon=1e-7, momentum_decay=1.0)),
    equals=(
        equal("torch.optim.NAdam(lr, (beta_1, beta_2), epsilon, momentum_decay=momentum_decay)"),
        equal("keras.optimizers.Nadam(learning_rate, beta_1, beta_2, epsilon)", momentum_decay=1),
        equal("optax.nadam(learning_rate, beta_1, beta_2, epsilon)", momentum_decay=1e6),
    ),
    reference="Dozat (2016), Incorporating Nesterov momentum into Adam, openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ",
)
def nadam(
    weights: Array,
    gradient: Array,
    slots: Array,
    scratch: Array,
    step: int,
    *,
    learning_rate: LearningRate = 0.002,
    beta_1: Beta1 = 0.9,
    beta_2: Beta2 = 0.999,
    epsilon: Epsilon = 1e-8,
    momentum_decay: Annotated[float, Ge(0), Doc("How soon momentum rises from ½ beta_1 to beta_1.")] = 0.004,
) -> None:
    """Adam with Nesterov's momentum: the step takes the mean of the gradient as it will be one step on.

    Momentum at step t is beta_1 · (1 − ½ · 0.96^(t · momentum_decay)): PyTorch's; Keras has momentum_decay 1, and optax
    beta_1 throughout, as with a momentum_decay so large that 0.96^… is 0. The product of all momentums so far is the first
    number of its slot.
    """
    first, second, work, update = slots[0], slots[1], scratch[0], scratch[1]
    momentum = beta_1 * (1.0 - 0.5 * 0.96 ** (step * momentum_decay))
    coming = beta_1 * (1.0 - 0.5 * 0.96 ** ((step + 1) * momentum_decay))
    product = momentum * (slots.item(2, 0) if step > 1 else 1.0)
    slots[2, 0] = product
    _moments(slots, gradient, beta_1, beta_2, work)
    scale = math.sqrt(1.0 - beta_2**step)
    np.sqrt(second, out=work)
    work += epsilon * scale
    np.multiply(first, learning_rate * scale * coming / (1.0 - product * coming), out=update)
    gradient *= learning_rate * scale * (1.0 - momentum) / (1.0 - product)
    update += gradient
    update /= work
    weights -= update


@optimizer(
    slots=("first_moment", "largest_gradient"),
    aliases=("Adamax", "AdaMax"),
    equals=(
        equal("torch.optim.Adamax(lr, (beta_1, beta_2), epsilon)"),
        equal("optax.adamax(learning_rate, beta_1, beta_2, epsilon)"),
    ),
    reference="Kingma and Ba (2015), arXiv:1412.6980, Algorithm 2",
)
def adamax(
    weights: Array,
    gradient: Array,
    slots: Array,
    scratch: Array,
    step: int,
    *,
    learning_rate: LearningRate = 0.002,
    beta_1: Beta1 = 0.9,
    beta_2: Annotated[float, Ge(0), Lt(1), Doc("Decay of the largest gradient.")] = 0.999,
    epsilon: Epsilon = 1e-8,
) -> None:
    """Running mean of the gradient over the largest one so far, which decays: no root, and no correction of the second moment.

    Epsilon is added to the gradient's size before the larger is taken, as in PyTorch, whose defaults these are; the paper has
    none, and Keras adds it to what the step is divided by.
    """
    first, largest, work = slots[0], slots[1], scratch[0]
    _average(first, gradient, beta_1, work)
    np.abs(gradient, out=gradient)
    gradient += epsilon
    largest *= beta_2
    np.maximum(largest, gradient, out=largest)
    np.divide(first, largest, out=work)
    work *= learning_rate / (1.0 - beta_1**step)
    weights -= work


@optimizer(
    slots=("first_moment", "surprise"),
    aliases=("AdaBelief",),
    equals=(equal("optax.adabelief(learning_rate, beta_1, beta_2, epsilon, epsilon)"),),
    reference="Zhuang et al. (2020), arXiv:2010.07468, Algorithm 2",
)
def adabelief(
    weights: Array,
    gradient: Array,
    slots: Array,
    scratch: Array,
    step: int,
    *,
    learning_rate: LearningRate = 0.001,
    beta_1: Beta1 = 0.9,
    beta_2: Annotated[float, Ge(0), Lt(1), Doc("Decay of the mean square of the surprises.")] = 0.999,
    epsilon: Annotated[float, Gt(0), Doc("Added to the mean square of the surprises at each step, and to its root.")] = 1e-16,
) -> None:
    """Adam that divides by how far gradients are from their running mean: long steps where they are as expected.

    The paper's Algorithm 2, with its epsilon, added at every step under the running mean and once more to the root.
    """
    first, surprise, work = slots[0], slots[1], scratch[0]
    _average(first, gradient, beta_1, work)
    gradient -= first
    _average_square(surprise, gradient, beta_2, work)
    surprise += epsilon
    _adam_step(weights, first, surprise, work, step, learning_rate, beta_1, beta_2, epsilon, False)


@optimizer(
    slots=("momentum",),
    aliases=("Lion", "EvoLvedSignMomentum"),
    equals=(
        equal("optax.lion(learning_rate, beta_1, beta_2, weight_decay=weight_decay)"),
        equal("keras.optimizers.Lion(learning_rate, beta_1, beta_2, weight_decay=weight_decay)"),
    ),
    reference="Chen et al. (2023), arXiv:2302.06675",
)
def lion(
    weights: Array,
    gradient: Array,
    slots: Array,
    scratch: Array,
    step: int,
    *,
    learning_rate: LearningRate = 0.0001,
    beta_1: Annotated[float, Ge(0), Lt(1), Doc("Share of the momentum in the step; the gradient has the rest.")] = 0.9,
    beta_2: Annotated[float, Ge(0), Lt(1), Doc("Decay of the momentum, a mean of the gradients.")] = 0.99,
    weight_decay: DecoupledDecay = 0.0,
) -> None:
    """Sign of a mix of momentum and gradient: every weight moves by exactly the learning rate.

    Steps do not shrink near a minimum: take a learning rate 3 to 10 times smaller than for Adam, and a schedule.
    """
    momentum, towards, update = slots[0], scratch[0], scratch[1]
    np.subtract(gradient, momentum, out=towards)
    np.multiply(towards, 1.0 - beta_1, out=update)
    update += momentum
    np.sign(update, out=update)
    update *= learning_rate
    if weight_decay:
        weights *= 1.0 - learning_rate * weight_decay
    weights -= update
    towards *= 1.0 - beta_2
    momentum += towards


@optimizer(
    slots=("base", "average", "second_moment", "weight_sum"),
    average="average",
    aliases=("AdamWScheduleFree", "ScheduleFreeAdamW"),
    reference="Defazio et al. (2024), The road less scheduled, arXiv:2405.15682, Algorithm 1",
)
def schedule_free_adamw(
    weights: Array,
    gradient: Array,
    slots: Array,
    scratch: Array,
    step: int,
    *,
    learning_rate: LearningRate = 0.0025,
    beta_1: Annotated[float, Ge(0), Lt(1), Doc("How near to the average the gradient is taken; the base has the rest.")] = 0.9,
    beta_2: Beta2 = 0.999,
    epsilon: Epsilon = 1e-8,
    weight_decay: DecoupledDecay = 0.0,
    warmup_steps: Annotated[int, Ge(0), Le(1_000_000), Doc("Steps over which the length of a step rises to its own.")] = 0,
) -> None:
    """AdamW whose model is the average of all its steps: what a schedule does at the end is done all along.

    The gradient is taken between the average and the base, which moves by Adam's step without momentum. A step counts in the
    average as the square of its length. The defaults are those of the authors' library.
    """
    base, average, second, work = slots[0], slots[1], slots[2], scratch[0]
    if step == 1:
        base[:] = weights
        average[:] = weights
    _average_square(second, gradient, beta_2, work)
    rate = learning_rate * min(1.0, step / (warmup_steps or 1))
    np.multiply(second, 1.0 / (1.0 - beta_2**step), out=work)
    np.sqrt(work, out=work)
    work += epsilon
    gradient /= work
    if weight_decay:
        np.multiply(weights, weight_decay, out=work)
        gradient += work
    gradient *= rate
    base -= gradient
    total = slots.item(3, 0) + rate * rate
    slots[3, 0] = total
    np.subtract(base, average, out=work)
    work *= rate * rate / total if total > 0.0 else 1.0
    average += work
    np.subtract(average, base, out=weights)
    weights *= beta_1
    weights += base


@optimizer(
    slots=("previous_gradient", "step_size"),
    paced=False,
    aliases=("Rprop", "RProp", "resilient_propagation"),
    equals=(equal("torch.optim.Rprop(lr=learning_rate, etas=(shrink, grow), step_sizes=(smallest_step, largest_step))"),),
    reference="Riedmiller and Braun (1993), doi:10.1109/ICNN.1993.298623; without going back: Igel and Hüsken (2000), iRprop−",
)
def rprop(
    weights: Array,
    gradient: Array,
    slots: Array,
    scratch: Array,
    step: int,
    *,
    learning_rate: Annotated[float, Gt(0), Le(1e6), Doc("Length of the first step; no schedule changes it.")] = 0.01,
    shrink: Annotated[float, Gt(0), Lt(1), Doc("What a length is multiplied by where the gradient has changed its sign.")] = 0.5,
    grow: Annotated[float, Gt(1), Le(10), Doc("What it is multiplied by where the gradient has kept its sign.")] = 1.2,
    smallest_step: Annotated[float, Gt(0), Le(1e6), Doc("The least length.")] = 1e-6,
    largest_step: Annotated[float, Gt(0), Le(1e6), Doc("The greatest length.")] = 50.0,
) -> None:
    """Each weight moves by a length of its own, whatever the size of its gradient: longer while the sign of that stays.

    Where the sign has changed the weight rests for a step. For all rows at once (batch_size "full"): the signs of small batches
    change by chance. PyTorch's defaults.
    """
    previous, size, sign = slots[0], slots[1], scratch[0]
    if step == 1:
        size.fill(learning_rate)
    np.sign(gradient, out=sign)
    np.sign(previous, out=previous)
    previous *= sign  # 1 where the sign has stayed, −1 where it has changed
    work = scratch[1]
    np.multiply(previous, 0.5 * (grow - shrink), out=work)
    np.multiply(previous, previous, out=sign)
    sign *= 0.5 * (grow + shrink) - 1.0
    work += sign
    work += 1.0  # shrink, 1 or grow, as a parabola through the three
    size *= work
    np.clip(size, smallest_step, largest_step, out=size)
    np.minimum(previous, 0.0, out=previous)
    previous += 1.0
    gradient *= previous
    previous[:] = gradient
    np.sign(gradient, out=gradient)
    gradient *= size
    weights -= gradient


def _average(average: Array, x: Array, decay: float, work: Array) -> None:
    """average ← decay · average + (1 − decay) · x"""
    np.subtract(x, average, out=work)
    work *= 1.0 - decay
    average += work


def _average_square(average: Array, x: Array, decay: float, work: Array) -> None:
    """average ← decay · average + (1 − decay) · x²"""
    np.multiply(x, x, out=work)
    work *= 1.0 - decay
    average *= decay
    average += work


def _root(square: Array, epsilon: float, epsilon_inside: bool, out: Array) -> None:
    if epsilon_inside:
        np.add(square, epsilon, out=out)
        np.sqrt(out, out=out)
    else:
        np.sqrt(square, out=out)
        out += epsilon


def _moments(slots: Array, gradient: Array, beta_1: float, beta_2: float, work: Array) -> None:
    _average(slots[0], gradient, beta_1, work)
    _average_square(slots[1], gradient, beta_2, work)


def _adam_step(
    weights: Array,
    first: Array,
    second: Array,
    work: Array,
    step: int,
    learning_rate: float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
    epsilon_hat: bool,
) -> None:
    """Both corrections of the bias are numbers, so they scale the step and epsilon in place of the moments."""
    scale = math.sqrt(1.0 - beta_2**step)
    np.sqrt(second, out=work)
    work += epsilon if epsilon_hat else epsilon * scale
    np.divide(first, work, out=work)
    work *= learning_rate * scale / (1.0 - beta_1**step)
    weights -= work


# --- curvature --------------------------------------------------------------------------------------------------------


@optimizer(
    full_batch=True,
    aliases=("LBFGS", "L-BFGS", "l_bfgs", "L-BFGS-B", "lbfgsb", "fmin_l_bfgs_b"),
    equals=(
        equal(
            'scipy.optimize.minimize(method="L-BFGS-B", jac=True, options={"maxiter": max_iter, "maxcor": history, "gtol": '
            'tolerance, "ftol": 0})',
        ),
    ),
    reference="Liu and Nocedal (1989), doi:10.1007/BF01589116; Zhu, Byrd, Lu and Nocedal (1997), doi:10.1145/279232.279236",
)
def lbfgs(
    weights: Array,
    objective: Objective,
    l1: Array | None = None,
    smooth: bool = True,
    *,
    max_iter: Annotated[int, Ge(1), Le(1000), Doc("Most iterations of an epoch; each may evaluate the loss several times.")] = 20,
    history: Annotated[int, Ge(1), Le(100), Doc("Changes of the gradient that are remembered to tell the curvature.")] = 10,
    tolerance: Annotated[float, Ge(0), Doc("An epoch ends when no component of the gradient is larger than this.")] = 1e-9,
    corner_iter: Annotated[
        int,
        Ge(0),
        Le(10_000),
        Doc("The same for a loss with corners, as |r| has one: its curvature is forgotten between epochs."),
    ] = 1000,
) -> None:
    """Quasi-Newton steps with a line search, over all training rows: the fewest epochs where a problem is small and smooth.

    A call is an epoch: it starts without memory of the last, so that weights alone are enough to resume from, and leaves
    the weights at its last iterate, where the loss is never larger than before. Where the loss or its gradient is not
    finite the line search turns back; weights that start at such a point stay as they are. torch.optim.LBFGS searches
    its lines otherwise, and comes to the same minimum by other steps.

    A weight with an l1 penalty is the difference of two numbers that are not below 0, so that it is exactly 0 where the minimum
    has it there. A loss that is not smooth has another line search, for up to 500 weights, which ends at its minimum, and BFGS's
    whole matrix (Lewis and Overton 2013, doi:10.1007/s10107-012-0514-2).
    """
    # here, as the server's own process never trains and need not load SciPy
    from scipy.optimize import minimize  # pyright: ignore[reportUnknownVariableType]

    if not smooth and corner_iter and weights.size <= corners.MOST_WEIGHTS:
        penalized = objective if l1 is None else partial(_with_corner, objective, l1)
        weights[:] = corners.past_corners(penalized, weights.copy(), corner_iter)
        return
    search = _Descent(objective if l1 is None else partial(_of_halves, objective, l1))
    start, bounds = (weights, None) if l1 is None else _halves(weights, l1)
    options = {"maxiter": max_iter, "maxcor": history, "gtol": tolerance, "ftol": 0.0}
    minimize(search, start, method="L-BFGS-B", jac=True, bounds=bounds, callback=search.accept, options=options)
    if search.iterate is not None:
        weights[:] = search.iterate[0] if l1 is None else _whole(search.iterate[0])


def _halves(weights: Array, l1: Array) -> tuple[Array, list[tuple[float, float]]]:
    """What is above 0 of each weight and then what is below, with their bounds; a weight without l1 is whole in the first."""
    bound = l1 > 0.0
    above = np.where(bound, np.maximum(weights, 0.0), weights)
    least, most = np.where(bound, 0.0, -np.inf).tolist(), np.where(bound, np.inf, 0.0).tolist()
    return np.concatenate([above, above - weights]), [*((low, math.inf) for low in least), *((0.0, high) for high in most)]


def _whole(halves: Array) -> Array:
    above, below = halves.reshape(2, -1)
    return above - below


def _of_halves(objective: Objective, l1: Array, halves: Array) -> tuple[float, Array]:
    """The objective with its penalty, which is linear in the halves."""
    value, gradient = objective(_whole(halves))
    return value + float(l1 @ halves.reshape(2, -1).sum(axis=0)), np.concatenate([gradient + l1, l1 - gradient])


def _with_corner(objective: Objective, l1: Array, weights: Array) -> tuple[float, Array]:
    """The objective with its penalty, whose slope at 0 is 0."""
    value, gradient = objective(weights)
    return value + float(l1 @ np.abs(weights)), gradient + l1 * np.sign(weights)


class _Descent:
    """An objective as SciPy's line search may see it, finite everywhere, and the iterate that the search has come to."""

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self.iterate: tuple[Array, float, Array] | None = None
        self.latest: tuple[Array, float, Array] | None = None

    def __call__(self, point: Array) -> tuple[float, Array]:
        value, gradient = self.objective(point)
        if math.isfinite(value) and np.isfinite(gradient).all():
            self.latest = (point.copy(), value, gradient.copy())
            self.iterate = self.iterate or self.latest
            return value, self.latest[2]
        if self.iterate is None:
            return 0.0, np.zeros_like(point)  # there is nowhere to start from, and a gradient of 0 ends the search
        # As if the loss were a parabola along the step, least after a quarter of it: that is where the search tries next.
        start, value, gradient = self.iterate
        return value - float(gradient @ (point - start)), -3.0 * gradient

    def accept(self, _: Any) -> None:
        """SciPy calls it with each new iterate: the point that it has evaluated last."""
        self.iterate = self.latest
