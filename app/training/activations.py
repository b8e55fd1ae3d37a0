"""Activations: what a layer makes of its sums z, and how a gradient passes back through it.

`forward(z, out)` writes the activations a; `backward(slope, z, a)` multiplies the slope by da/dz in place. Activations of
single numbers take arrays of any shape, those of a row (n, width).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from app.domains import Domain, Interval, Simplex
from app.losses.numerics.stable import Array, softplus


@dataclass(frozen=True)
class Activation:
    """An activation of a layer, by the name that the field gives it."""

    name: str
    forward: Callable[[Array, Array], object] = field(compare=False)
    backward: Callable[[Array, Array, Array], object] = field(compare=False)
    range: Domain
    """Where the activations lie, at any sums."""

    def of(self, sums: Array) -> Array:
        """The activations of these sums, as a new array."""
        activations = np.empty_like(sums)
        self.forward(sums, activations)
        return activations


# --- of every number by itself ----------------------------------------------------------------------------------------


def _identity(z: Array, out: Array) -> None:
    np.copyto(out, z)


def _identity_back(slope: Array, z: Array, a: Array) -> None:
    return


def _relu(z: Array, out: Array) -> None:
    np.maximum(z, 0.0, out=out)


def _relu_back(slope: Array, z: Array, a: Array) -> None:
    np.multiply(slope, z > 0.0, out=slope)  # 0 at the corner, as in PyTorch


LEAK = 0.01


def _leaky_relu(z: Array, out: Array) -> None:
    np.multiply(z, LEAK, out=out)
    np.maximum(z, out, out=out)


def _leaky_relu_back(slope: Array, z: Array, a: Array) -> None:
    slope *= np.where(z > 0.0, 1.0, LEAK)


def _elu(z: Array, out: Array) -> None:
    np.minimum(z, 0.0, out=out)
    np.expm1(out, out=out)
    np.maximum(z, out, out=out)


def _elu_back(slope: Array, z: Array, a: Array) -> None:
    slope *= np.minimum(a, 0.0) + 1.0


def _sigmoid(z: Array, out: Array) -> None:
    np.negative(z, out=out)
    np.exp(out, out=out)  # may overflow to infinity, whose reciprocal is the right 0
    out += 1.0
    np.reciprocal(out, out=out)


def _sigmoid_back(slope: Array, z: Array, a: Array) -> None:
    slope *= a
    slope *= 1.0 - a


def _tanh(z: Array, out: Array) -> None:
    np.tanh(z, out=out)


def _tanh_back(slope: Array, z: Array, a: Array) -> None:
    rise = a * a
    np.subtract(1.0, rise, out=rise)
    slope *= rise


TINY = float(np.finfo(np.float64).tiny)


def _softplus(z: Array, out: Array) -> None:
    np.maximum(softplus(z), TINY, out=out)  # as positive as losses of means ask for, though eᶻ is 0 below −745


def _softplus_back(slope: Array, z: Array, a: Array) -> None:
    slope *= -np.expm1(-a)  # σ(z) = 1 − e^−softplus(z)


def _exp(z: Array, out: Array) -> None:
    np.exp(z, out=out)  # may overflow, which ends a run as diverged
    np.maximum(out, TINY, out=out)


def _exp_back(slope: Array, z: Array, a: Array) -> None:
    slope *= a


GELU_SCALE = math.sqrt(2.0 / math.pi)
GELU_CUBE = 0.044715
LEAST_GELU = -0.17004076
"""The least of it, at z = −0.7525, rounded down."""


def _gelu(z: Array, out: Array) -> None:
    """½z(1 + tanh u) with u = √(2/π)(z + 0.044715z³) (Hendrycks and Gimpel 2016, arXiv:1606.08415)."""
    np.multiply(z, z, out=out)
    out *= GELU_CUBE
    _gelu_gate(z, out)
    out += 1.0
    out *= z
    out *= 0.5


def _gelu_gate(z: Array, cube: Array) -> None:
    """tanh u in place of 0.044715z²."""
    cube += 1.0
    cube *= z
    cube *= GELU_SCALE
    np.tanh(cube, out=cube)


def _gelu_back(slope: Array, z: Array, a: Array) -> None:
    """½(1 + tanh u)(1 + z(1 − tanh u)u′)."""
    rise = z * z
    rise *= GELU_CUBE
    gate = rise.copy()
    _gelu_gate(z, gate)
    rise *= 3.0
    rise += 1.0
    rise *= z
    rise *= GELU_SCALE
    rise *= 1.0 - gate
    rise += 1.0
    gate += 1.0
    gate *= 0.5
    slope *= gate
    slope *= rise


# --- of a row -----------------------------------------------------------------------------------------------------------


def _softmax(z: Array, out: Array) -> None:
    np.subtract(z, np.maximum.reduce(z, axis=1, keepdims=True), out=out)
    np.exp(out, out=out)
    out /= np.add.reduce(out, axis=1, keepdims=True)


def _softmax_back(slope: Array, z: Array, a: Array) -> None:
    slope -= np.einsum("ij,ij->i", slope, a)[:, None]
    slope *= a


def _log_softmax(z: Array, out: Array) -> None:
    np.subtract(z, np.maximum.reduce(z, axis=1, keepdims=True), out=out)
    out -= np.log(np.add.reduce(np.exp(out), axis=1, keepdims=True))


def _log_softmax_back(slope: Array, z: Array, a: Array) -> None:
    slope -= np.exp(a) * slope.sum(axis=1, keepdims=True)


def _unit_length(z: Array, out: Array) -> None:
    np.divide(z, _lengths(z), out=out)


def _unit_length_back(slope: Array, z: Array, a: Array) -> None:
    slope -= np.einsum("ij,ij->i", slope, a)[:, None] * a
    slope /= _lengths(z)


def _lengths(z: Array) -> Array:
    """(n, 1) of rows; not 0 for a zero vector, which has no direction, so that it stays one."""
    largest = np.maximum(np.abs(z).max(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    scaled = z / largest  # whose squares do not overflow
    return largest * np.maximum(np.sqrt(np.einsum("ij,ij->i", scaled, scaled))[:, None], 1.0)


BROAD = 100.0
"""An interval from 0 on whose upper end lies beyond is one that outputs rise through without bound, until they come to it."""


def within(low: float, high: float) -> Activation | None:
    """An activation whose numbers lie between two finite ends; None where there are no such.

    It is the usual one for numbers without these ends, cut off at them with a slope of 0; between near ends a sigmoid.
    """
    if not (math.isfinite(low) and math.isfinite(high)):
        return None
    if high - low <= BROAD:
        usual, scale, start = SIGMOID, high - low, low
    elif low >= 0.0:
        usual, scale, start = SOFTPLUS, 1.0, low
    else:
        usual, scale, start = IDENTITY, 1.0, 0.0

    def forward(z: Array, out: Array) -> None:
        usual.forward(z, out)
        out *= scale
        out += start
        np.clip(out, low, high, out=out)

    def backward(slope: Array, z: Array, a: Array) -> None:
        usual.backward(slope, z, (a - start) / scale)
        slope *= scale * ((a >= low) & (a <= high) if usual is not IDENTITY else (z >= low) & (z <= high))

    return Activation(f"{usual.name} in [{low:g}, {high:g}]", forward, backward, Interval(low, high))


IDENTITY = Activation("identity", _identity, _identity_back, Interval())
SIGMOID = Activation("sigmoid", _sigmoid, _sigmoid_back, Interval(0.0, 1.0, open_low=True, open_high=True))
TANH = Activation("tanh", _tanh, _tanh_back, Interval(-1.0, 1.0, open_low=True, open_high=True))
SOFTPLUS = Activation("softplus", _softplus, _softplus_back, Interval(0.0, open_low=True))
EXP = Activation("exp", _exp, _exp_back, Interval(0.0, open_low=True))
SOFTMAX = Activation("softmax", _softmax, _softmax_back, Simplex())
LOG_SOFTMAX = Activation("log_softmax", _log_softmax, _log_softmax_back, Simplex(logarithms=True))
UNIT_LENGTH = Activation("unit_length", _unit_length, _unit_length_back, Interval(-1.0, 1.0, of_rows=True))

HIDDEN = {
    activation.name: activation
    for activation in (
        Activation("relu", _relu, _relu_back, Interval(0.0)),
        TANH,
        SIGMOID,
        Activation("leaky_relu", _leaky_relu, _leaky_relu_back, Interval()),
        Activation("elu", _elu, _elu_back, Interval(-1.0, open_low=True)),
        Activation("gelu", _gelu, _gelu_back, Interval(LEAST_GELU)),
        SOFTPLUS,
    )
}
"""What a hidden layer may use."""

OUTPUTS = {
    activation.name: activation for activation in (IDENTITY, SOFTPLUS, SIGMOID, SOFTMAX, LOG_SOFTMAX, TANH, EXP, UNIT_LENGTH)
}
"""What a last layer may use, in the order in which they are tried for a loss: the first whose range the loss takes.

`exp` is the log link of generalized linear models, `unit_length` makes directions of embeddings."""


def output_of(domain: Domain, *, of_rows: bool) -> Activation | None:
    """The first output whose numbers the domain takes; for an interval with ends of its own, one that is made for these."""
    if isinstance(domain, Interval) and math.isfinite(domain.high) and (domain.low, domain.high) not in ENDS:
        return within(domain.low, domain.high)
    fitting = (output for output in OUTPUTS.values() if of_rows or not output.range.of_rows)
    return next((output for output in fitting if domain.includes(output.range)), None)


ENDS = {(0.0, 1.0), (-1.0, 1.0)}
"""Those of sigmoid and tanh."""
