"""Steps as they are best shown: sums and products gathered, so that c²·2(r/c)/c becomes 2r.

For showing only: what is computed keeps the order of its operations, and with it its digits and its range.
"""

import sys
from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

from app.losses.expressions.steps import Term


class Call(NamedTuple):
    """A function of sums; without a name, a sum in parentheses."""

    name: str
    inputs: tuple["Sum", ...]


Factors: TypeAlias = tuple[tuple[str | Call, float], ...]
"""Names and calls, each with the number other than 0 that it is raised to."""


class Product(NamedTuple):
    """A number other than 0 times factors."""

    number: float
    factors: Factors = ()


Sum: TypeAlias = tuple[Product, ...]
"""Of no products: 0."""
SMALLEST = sys.float_info.min


def simplified(output: Term, known: Mapping[str, Sum] = {}) -> Sum:
    """A step as a sum of products; what is known of a name stands in its place."""
    steps = output.steps
    found: dict[int, Sum] = {}
    for index in steps.needed([output]):
        step = steps.all[index]
        inputs = [found[source] for source in step.inputs]
        found[index] = _called(step.name, inputs) if inputs else known.get(step.name, _leaf(step.name, step.number))
    return found[output.index]


def vanishes(output: Term, parameters: Mapping[str, float]) -> bool:
    """Whether a step is 0 for every prediction and target, as far as sums and products tell."""
    numbers = {name: _leaf("", number) for name, number in parameters.items()}
    return not simplified(output, {**numbers, "r": (*_leaf("p", 0.0), *_scaled(_leaf("y", 0.0), -1.0))})


def _leaf(name: str, number: float) -> Sum:
    return (Product(1.0, ((name, 1.0),)),) if name else (Product(number),) if number else ()


def _called(name: str, inputs: list[Sum]) -> Sum:
    first, last = inputs[0], inputs[-1]
    if name in ("+", "-"):
        return _added(first, last if name == "+" else _scaled(last, -1.0))
    if name == "neg":
        return _scaled(first, -1.0)
    if name == "*":
        return _times(first, last)
    exponent = {"/": -1.0, "square": 2.0}.get(name, number_of(last) if name == "**" else None)
    power = None if exponent is None else _power(last if name == "/" else first, exponent)
    if power is None:
        return (Product(1.0, ((Call(name, tuple(inputs)), 1.0),)),)
    return _times(first, power) if name == "/" else power


def number_of(terms: Sum) -> float | None:
    """The number that a sum is, None where it is none."""
    if not terms:
        return 0.0
    return terms[0].number if len(terms) == 1 and not terms[0].factors else None


def _added(left: Sum, right: Sum) -> Sum:
    terms = {frozenset(product.factors): product for product in left}
    for product in right:
        key = frozenset(product.factors)
        before = terms.get(key, Product(0.0, product.factors))
        terms[key] = before._replace(number=before.number + product.number)
    return tuple(product for product in terms.values() if product.number)


def _scaled(terms: Sum, number: float) -> Sum:
    return tuple(product._replace(number=product.number * number) for product in terms)


def _as_product(terms: Sum) -> Product:
    """A sum as one product; what is common to its terms stands before it."""
    if len(terms) == 1:
        return terms[0]
    numbers = {product.number for product in terms}
    common = numbers.pop() if len(numbers) == 1 else 1.0
    if abs(common) < SMALLEST:  # it has no reciprocal, or has vanished
        common = 1.0
    return Product(common, ((Call("", (_scaled(terms, 1.0 / common),)), 1.0),))


def _times(left: Sum, right: Sum) -> Sum:
    if not left or not right:
        return ()
    for number, terms in ((number_of(left), right), (number_of(right), left)):
        if number is not None and (len(terms) == 1 or abs(number) == 1.0):
            return _scaled(terms, number)
    return _of(_as_product(left), _as_product(right))


def _of(left: Product, right: Product) -> Sum:
    powers = dict(left.factors)
    for factor, exponent in right.factors:
        powers[factor] = powers.get(factor, 0.0) + exponent
    kept = tuple((factor, exponent) for factor, exponent in powers.items() if exponent)
    number = left.number * right.number
    if len(kept) == 1 and kept[0][1] == 1.0 and isinstance(kept[0][0], Call) and not kept[0][0].name:
        return _scaled(kept[0][0].inputs[0], number)
    return (Product(number, kept),)


def _power(terms: Sum, exponent: float) -> Sum | None:
    """A power of a sum; None for one that is better left as it is: of 0, or a broken one of a product."""
    if not terms:
        return None
    if exponent == 0.0:
        return (Product(1.0),)
    number, factors = _as_product(terms)
    if not exponent.is_integer() and (number != 1.0 or len(factors) != 1 or factors[0][1] != 1.0):
        return None
    try:
        scale = number**exponent
    except (OverflowError, ZeroDivisionError):  # a number that has no reciprocal: it is beyond the range, or has vanished
        return None
    return _of(Product(scale), Product(1.0, tuple((factor, base * exponent) for factor, base in factors))) if scale else None
