"""Expressions: value and derivatives against 60 digits, slopes at kinks, what is told of them, and all that is refused."""

import random
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from mpmath import mp

from app.errors import InvalidParameter
from app.losses import COMPOSED, LOSSES, check, evaluate
from app.losses.composed import expression
from app.losses.expressions.compile import MOST_KEPT, MOST_KEPT_STEPS, Expression, expression_of
from app.losses.expressions.findings import Minimum, told_of
from app.losses.expressions.functions import CALLS, COMPARISONS
from app.losses.expressions.parse import MOST_STEPS, RESERVED, is_expression
from app.losses.sums import batch_of
from app.losses.sums import evaluate as evaluate_any
from tests.folding import in_turn
from tests.losses.expressions.exact import derivative, exact

SMOOTH: Sequence[tuple[str, Mapping[str, float]]] = (
    ("r**2", {}),
    ("c**2*log1p((r/c)**2)", {"c": 2.0}),
    ("where(abs(r) <= d, r**2/2, d*(abs(r) - d/2))", {"d": 1.5}),
    ("-xlogy(y**2, p**2) - xlogy(1 + y**2, 1 + p**2)", {}),
    ("logcosh(r)", {}),
    ("maximum(q*r, (q - 1)*r)", {"q": 0.3}),
    ("abs(r)**k", {"k": 1.5}),
    ("hypot(r, d) - d", {"d": 0.7}),
    ("sqrt(r**2 + 1) - 1", {}),
    ("(p - y)**3/(1 + y**2) + r**4 - r**-2", {}),
    ("1 - exp(-r**2/(2*s**2))", {"s": 1.3}),
    ("softplus(-y*p) + log_sigmoid(p) - sigmoid(p)*sigmoid(-y)", {}),
    ("2**r + (2 + sin(p))**(p - y)", {}),
    ("tanh(r)*erf(r) + arctan(p)/pi", {}),
    ("gammaln(p**2 + 1) - p*y + polygamma(1, p**2 + 2)", {}),
    ("expm1(p) - y*p + log(1 + exp(p)) + log2(4 + p**2) + log10(4 + p**2)", {}),
    ("sinh(r/3) + cosh(r/3) + tan(r/9) + cos(p)*sin(y)", {}),
    ("clip(r, -1, 2)**2 + minimum(r, 3*r) + relu(p - 0.3) + square(sign(r)*r)", {}),
    ("where(r < 0, where(p > y*2, p, exp(p)), where(p != 3, r**2, 7))", {}),
)


def points(seed: int, n: int = 12) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return np.round(rng.normal(0.0, 1.5, n), 3) + 1e-4, np.round(rng.normal(0.0, 1.0, n), 3)


def agree(text: str, parameters: Mapping[str, float], p: np.ndarray, y: np.ndarray, tolerance: float = 2e-13) -> None:
    """Value, slope and curvature are the exact ones, but for roundings of the terms that they are sums of."""
    with np.errstate(all="ignore"), mp.workdps(60):
        values, slopes, second = expression_of(text, parameters)(p, y)
        for index, (prediction, target) in enumerate(zip(p.tolist(), y.tolist(), strict=True)):
            for order, found in enumerate((values[index], slopes[index], second()[index])):
                known = (
                    exact(text, parameters, mp.mpf(prediction), mp.mpf(target))
                    if order == 0
                    else derivative(text, parameters, prediction, target, order)
                )
                if abs(known) < 1e150:
                    error = abs(mp.mpf(float(found)) - known)
                    assert error <= tolerance * max(abs(known), 1), (text, order, prediction, target, float(found), float(known))


@pytest.mark.parametrize(("text", "parameters"), SMOOTH, ids=[text for text, _ in SMOOTH])
def test_value_and_derivatives_are_exact(text: str, parameters: Mapping[str, float]) -> None:
    agree(text, parameters, *points(1))


def test_every_function_is_among_those_whose_derivatives_are_compared() -> None:
    assert not [name for name in CALLS if not any(f"{name}(" in text for text, _ in SMOOTH)]


def drawn(rng: random.Random, depth: int) -> str:
    """A random expression whose numbers stay moderate."""
    if depth == 0:
        return rng.choice(("p", "y", "r", "r", "0.5", "1.25", "a"))
    inner = [drawn(rng, depth - 1) for _ in range(2)]
    return rng.choice(
        (
            f"({inner[0]} + {inner[1]})",
            f"({inner[0]} - {inner[1]})",
            f"{inner[0]}*{inner[1]}",
            f"{inner[0]}/(2 + abs({inner[1]}))",
            f"tanh({inner[0]})",
            f"softplus({inner[0]})",
            f"sin({inner[0]})",
            f"({inner[0]})**2",
            f"-({inner[0]})",
            f"where({inner[0]} < 0.1234567, {inner[1]}, {inner[0]})",
            f"maximum({inner[0]}, {inner[1]} + 0.0123)",
            f"sqrt(1 + ({inner[0]})**2)",
            f"hypot({inner[0]}, 1)",
            f"log1p(({inner[0]})**2)",
            f"relu({inner[0]} - 0.0321)",
        )
    )


def test_random_expressions_and_the_text_of_their_derivatives_are_exact() -> None:
    rng = random.Random(5)
    compared = shown = 0
    while compared < 60:
        text = f"r*a + {drawn(rng, 3)}"
        compared += 1
        p, y = points(compared, 2)
        agree(text, {"a": 0.75}, p, y, tolerance=1e-11)
        told = told_of(expression_of(text, {"a": 0.75}))
        if told.derivative is None:
            continue
        shown += 1
        with mp.workdps(60):
            slope = expression_of(text, {"a": 0.75})(p, y)[1]
            again = [float(exact(told.derivative, {"a": 0.75}, mp.mpf(u), mp.mpf(v))) for u, v in zip(p, y, strict=True)]
        assert again == pytest.approx(slope.tolist(), rel=1e-10, abs=1e-10), (text, told.derivative)
    assert shown > 50


@pytest.mark.parametrize(
    ("text", "point", "slope"),
    [
        ("abs(r)", 0.0, 0.0),
        ("relu(r)", 0.0, 0.0),
        ("where(r < 0, -r, 2*r)", 0.0, 2.0),
        ("where(r <= 0, -r, 2*r)", 0.0, -1.0),
        ("maximum(3*r, r)", 0.0, 2.0),
        ("minimum(3*r, r)", 0.0, 2.0),
        ("clip(3*r, -3, 3)", 1.0, 3.0),
        ("sign(r) + r", 0.0, 1.0),
        ("logcosh(r)", 1e300, 1.0),
        ("softplus(r)", 1e300, 1.0),
        ("tanh(r)", 1e5, 0.0),
        ("xlogy(0*p, p) + r", 0.0, 1.0),
    ],
)
def test_slopes_at_a_kink_and_far_away_are_those_that_are_promised(text: str, point: float, slope: float) -> None:
    with np.errstate(all="ignore"):
        assert expression_of(text, {})(np.array([point]), np.zeros(1))[1].tolist() == [slope]


# --- beside the losses that they are ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "parameters", "name"),
    [
        ("r**2", {}, "mean_squared_error"),
        ("abs(r)", {}, "mean_absolute_error"),
        ("logcosh(r)", {}, "log_cosh"),
        ("where(abs(r) <= delta, r**2/2, delta*(abs(r) - delta/2))", {"delta": 1.5}, "huber"),
    ],
)
def test_it_is_the_loss_of_the_same_formula(text: str, parameters: Mapping[str, float], name: str) -> None:
    p, y = points(3, 200)
    weights, mask = np.linspace(0.0, 2.0, 200), p < 2.0
    for reduction in ("mean", "sum", "none"):
        outputs = ("value", "per_sample", "per_element", "gradient", "hessian_diagonal")
        made = batch_of(expression(value=text, parameters=parameters), p, y, sample_weight=weights, mask=mask)
        known = check(LOSSES[name], parameters, p, y, sample_weight=weights, mask=mask)
        found, wanted = (
            evaluate_any(made, reduction=reduction, outputs=outputs),
            evaluate(known, reduction=reduction, outputs=outputs),
        )
        assert (found.n_samples, found.divisor) == (wanted.n_samples, wanted.divisor)
        for output in outputs:
            if wanted.outputs[output] is None:
                assert found.outputs[output] is None
                continue
            a, b = np.asarray(found.outputs[output]), np.asarray(wanted.outputs[output])
            assert (np.abs(a - b) <= 8 * np.spacing(np.maximum(np.abs(b), 1e-8))).all(), (output, reduction)


def test_blocks_and_elements_are_as_of_any_loss() -> None:
    rng = np.random.default_rng(0)
    p, y = rng.normal(size=(3000, 20)), rng.normal(size=(3000, 20))
    found = evaluate_any(batch_of(expression(value="r**2"), p, y))
    wanted = evaluate(check(LOSSES["mean_squared_error"], {}, p, y))
    assert found.n_elements == 60_000
    assert found.value == pytest.approx(wanted.value, rel=1e-15)
    assert found.gradient.shape == p.shape


def test_what_is_not_finite_is_named_and_spoils_nothing_else() -> None:
    answer = evaluate_any(batch_of(expression(value="log(p) + r"), np.array([1.0, -1.0, 2.0]), np.zeros(3)))
    assert np.isnan(answer.per_sample[1])
    assert answer.per_sample[[0, 2]] == pytest.approx([1.0, 2.0 + np.log(2.0)])
    assert {(number.output, number.index) for number in answer.non_finite} == {("value", ()), ("per_sample", (1,))}


# --- what is told ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "parameters", "told"),
    [
        ("r**2", {}, ("2*r", (), True, True, (0.0, 0.0), None)),
        ("c**2*log1p((r/c)**2)", {"c": 2.0}, ("2*r/(r**2/c**2 + 1)", (), False, True, (0.0, 0.0), 2.0)),
        (
            "where(abs(r) <= d, r**2/2, d*(abs(r) - d/2))",
            {"d": 1.5},
            ("where(abs(r) <= d, r, d*sign(r))", (), True, True, (0.0, 0.0), 1.5),
        ),
        ("abs(r)", {}, ("sign(r)", ("r = 0",), True, True, (0.0, 0.0), 1.0)),
        ("clip(r, -1, 2)", {}, ("where(r < -1, 0, where(r > 2, 0, 1))", ("r = -1", "r = 2"), False, False, (-1.0, -1.0), 1.0)),
        ("exp(r) - r - 1", {}, ("exp(r) - 1", (), True, False, (0.0, 0.0), None)),
        ("sign(r)", {}, ("0", ("r = 0",), False, False, (-0.01, -1.0), 0.0)),
        ("p", {}, ("1", (), True, False, None, 1.0)),
    ],
)
def test_what_is_told_of_it(text: str, parameters: Mapping[str, float], told: Any) -> None:
    known = told_of(expression_of(text, parameters))
    found, least = known.found, known.found.minimum
    seen = (known.derivative, known.not_differentiable, found.convex, found.symmetric, least and (least.residual, least.value))
    assert (*seen, found.lipschitz) == told
    assert str(known.derivative_mathml).startswith("<math")


def test_a_derivative_that_is_too_long_is_not_told_and_still_computed() -> None:
    text = "*".join(["sin(p*y)", "exp(r)", "tanh(r)"] * 20)
    assert told_of(expression_of(text, {})).derivative is None
    assert np.isfinite(expression_of(text, {})(np.ones(1), np.zeros(1))[1]).all()


@pytest.mark.parametrize(
    "text", ["r/(1e-200*p*1e-200)", "r/(r/(1e-200*p*1e-200))", "((p + y)*5e-324 + r)*((1e-200*(p + y)*1e-200))**-2"]
)
def test_numbers_that_vanish_in_what_is_shown_stop_nothing(text: str) -> None:
    told = told_of(expression_of(text, {}))
    assert told.derivative is None or is_expression(told.derivative, {})


# --- what is refused ---------------------------------------------------------------------------------------------------------

ATTACKS: Mapping[str, str] = {
    "names": "__import__",
    "attribute": "p.real",
    "attribute of a call": "abs(p).__class__",
    "import": "__import__('os')",
    "call of a name": "p(r)",
    "call of a call": "abs(p)(r)",
    "unknown function": "eval(p)",
    "subscript": "p[0]",
    "string": "'p' + p",
    "f-string": "f'{p}'",
    "lambda": "(lambda: p)()",
    "walrus": "(q := p)",
    "list": "[p for p in r]",
    "dict": "{p: r}",
    "star": "abs(*p)",
    "keyword": "abs(x=p)",
    "and": "where(p and r, p, r)",
    "not": "not p",
    "if": "p if r else y",
    "comparison outside": "(p < 0)*p",
    "comparison alone": "p < 0",
    "chain": "where(0 < p < 1, p, r)",
    "no comparison": "where(p, p, r)",
    "huge power": "p**9**9**9",
    "large exponent": "p**65",
    "computed exponent": "p**(8*9)",
    "negative exponent": "p**-65",
    "power in an exponent": "p**(r**2)",
    "nesting": "(" * 60 + "p" + ")" * 60,
    "deep calls": "abs(" * 60 + "p" + ")" * 60,
    "unary chain": "-" * 1900 + "p",
    "open": "(" * 1900,
    "too long": "p+" * 500_000 + "p",
    "steps": "+".join(["p"] * 300),
    "constant": "p*1e300",
    "larger constant": "p*1e999",
    "overflow": "p + 1e200*1e200",
    "division by 0": "p/0",
    "always 0": "p/(1 - 1)",
    "sine of 0": "p/sin(pi*0)",
    "difference of the same": "p/(y - y)",
    "difference of residuals": "1/(r - p + y)",
    "0 times a prediction": "r/(0*p)",
    "difference of products": "r/(square(p)*y - y*p*p)",
    "negative power": "p*(abs(p) - abs(p))**-1",
    "log of 0": "p + log(0)",
    "root": "p + sqrt(-1)",
    "no prediction": "y**2",
    "constant alone": "3",
    "empty": "",
    "blank": "   ",
    "unicode": "p²",
    "minus": "p − y",
    "full width": "ｐ",
    "null byte": "p\0",
    "newline": "p\n+y",
    "tab": "p\t+y",
    "caret": "p^2",
    "and so on": "p;r",
    "comment": "p # r",
    "backslash": "p\\",
    "floor": "p//r",
    "modulo": "p % r",
    "shift": "p << 2",
    "at": "p @ r",
    "too few": "maximum(p)",
    "too many": "abs(p, r)",
    "none": "abs()",
    "trailing": "p r",
    "dangling": "p +",
    "comma": "p, r",
    "imaginary": "1j*p",
    "underscore": "1_0*p",
    "hexadecimal": "0x10*p",
    "polygamma": "polygamma(p, r)",
    "order": "polygamma(9, r)",
    "bare function": "abs",
    "semicolon name": "p__",
    "ellipsis": "...",
    "dot": ".",
    "none word": "None*p",
    "true": "True*p",
}


@in_turn("text", ATTACKS.values(), ids=ATTACKS)
def test_whatever_is_no_expression_is_refused_at_once_and_not_repeated(text: str) -> None:
    started = time.process_time()
    with pytest.raises(InvalidParameter) as caught:
        expression_of(text, {})
    assert time.process_time() - started < 0.1
    (fault,) = caught.value.faults
    assert (fault.path, fault.code) == (("parameters", "value"), "invalid_expression")
    assert len(fault.message) < 500
    if len(text.strip()) > 9 and text.strip() not in RESERVED:
        assert text.strip() not in fault.message


@pytest.mark.parametrize(
    ("parameters", "path", "code"),
    [
        ({"a": 1.0, "b": 2.0}, ("parameters", "parameters", "b"), "unused_parameter"),
        ({"a": 1.0, "sqrt": 2.0}, ("parameters", "parameters", "sqrt"), "name"),
        ({"a": 1.0, "p": 2.0}, ("parameters", "parameters", "p"), "name"),
        ({"a": 1.0, "_b": 2.0}, ("parameters", "parameters", "_b"), "name"),
        ({"a": 1.0, "b c": 2.0}, ("parameters", "parameters", "b c"), "name"),
        ({"a": 0.0}, ("parameters", "value"), "invalid_expression"),
    ],
)
def test_parameters_have_names_of_their_own_and_are_used(parameters: Mapping[str, float], path: Any, code: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        expression_of("r**2/a", parameters)
    assert (caught.value.faults[0].path, caught.value.faults[0].code) == (path, code)


def test_the_largest_expressions_are_compiled_and_told_of_in_a_moment() -> None:
    nested = "r"
    for _ in range(48):
        nested = f"sin({nested})"
    for text in ("*".join(["exp(p*y)", "sin(r)"] * 60), nested, "+".join(["hypot(p, r)"] * 120), "/".join(["(2+cos(r))"] * 80)):
        started = time.process_time()
        told_of(expression_of(text, {}))
        assert time.process_time() - started < 1.0, text[:20]


def test_steps_grow_with_the_text_and_not_with_its_depth() -> None:
    text = "*".join(["exp(p*y)", "sin(r)"] * 60)
    compiled = expression_of(text, {})
    assert len(compiled.value.steps.all) < 40 * MOST_STEPS


def test_the_language_is_what_the_declaration_says() -> None:
    assert set(COMPARISONS) == {"<", "<=", ">", ">=", "==", "!="}
    assert COMPOSED["expression"].function is expression.function


def test_expressions_are_kept_up_to_a_size() -> None:
    def large(number: int) -> Expression:
        return expression_of("+".join(f"sin(p*{number}.{index})" for index in range(60)), {})

    usual, first = expression_of("abs(r)**1.25", {}), large(0)
    assert large(0) is first
    others = 2 * MOST_KEPT_STEPS // len(first.value.steps.all)
    assert others < MOST_KEPT
    for number in range(1, others):
        last = large(number)
        assert expression_of("abs(r)**1.25", {}) is usual
    assert large(others - 1) is last
    assert large(0) is not first


@pytest.mark.parametrize(
    ("value", "conditions", "minimum"),
    [
        ("1/r", ("r = 0",), None),
        ("-1/r**2", ("r**2 = 0",), None),
        ("1/r**2", ("r**2 = 0",), None),
        ("1/(r - 0.005)", ("r - 0.005 = 0",), None),
        ("log(abs(r))", ("r = 0",), None),
        ("where(r > 0, r**2, 1/r)", ("r = 0",), None),
        ("sqrt(r**2)", ("r**2 = 0",), (0.0, 0.0)),
        ("abs(r)**1.5", (), (0.0, 0.0)),
        ("log(r**2 + 1)", (), (0.0, 0.0)),
        ("r**4/(1 + r**2)", (), (0.0, 0.0)),
    ],
)
def test_what_is_said_of_poles_is_true(value: str, conditions: tuple[str, ...], minimum: tuple[float, float] | None) -> None:
    """A pole has no derivative, no slope is the largest beside it, and where the value falls there no minimum is found."""
    found = told_of(expression_of(value, {}))
    assert found.not_differentiable == conditions
    assert found.found.minimum == (None if minimum is None else Minimum(*minimum))
    if minimum is None:
        assert found.found.lipschitz is None
