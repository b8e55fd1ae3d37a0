"""Sums of products as text, which can be read again as an expression, and as MathML."""

from collections.abc import Callable, Sequence
from functools import partial

from app.losses.expressions.functions import COMPARISONS
from app.losses.expressions.simplify import Call, Factors, Product, Sum

NAMES = {"log": "ln", "gammaln": "ln Γ", "arctan": "arctan", "polygamma": "ψ"}
"""Functions that have another name on paper."""
SIGNS = {"<=": "≤", ">=": "≥", "==": "=", "!=": "≠", "<": "&lt;", ">": "&gt;"}


def _split(product: Product) -> tuple[Factors, Factors]:
    """What is above and below the bar, all with positive exponents."""
    above = tuple((factor, exponent) for factor, exponent in product.factors if exponent > 0)
    return above, tuple((factor, -exponent) for factor, exponent in product.factors if exponent < 0)


def _plain(number: float) -> str:
    return str(int(number)) if number.is_integer() and abs(number) < 1e16 else repr(number)


# --- text -----------------------------------------------------------------------------------------------------------------


def text(terms: Sum) -> str:
    """As an expression is written."""
    if not terms:
        return "0"
    first, *others = terms
    written = ("-" if first.number < 0 else "") + _product(first)
    return written + "".join(f" {'-' if term.number < 0 else '+'} {_product(term)}" for term in others)


def _product(product: Product) -> str:
    """Without its sign."""
    above, below = _split(product)
    number = abs(product.number)
    parts = [_plain(number)] if number != 1.0 or not above else []
    parts += [_factor(*power) for power in above]
    if not below:
        return "*".join(parts)
    divisor = "*".join(_factor(*power) for power in below)
    return f"{'*'.join(parts)}/{f'({divisor})' if len(below) > 1 else divisor}"


def _factor(factor: str | Call, exponent: float) -> str:
    if isinstance(factor, str):
        base = factor
    elif factor.name in ("**", "/"):
        base = factor.name.join(map(_operand, factor.inputs))
        base = f"({base})" if exponent != 1.0 or factor.name == "/" else base
    elif factor.name in COMPARISONS:
        base = f"{text(factor.inputs[0])} {factor.name} {text(factor.inputs[1])}"
    else:
        base = f"{factor.name}({', '.join(map(text, factor.inputs))})"
    return base if exponent == 1.0 else f"{base}**{_plain(exponent)}"


def _operand(terms: Sum) -> str:
    return text(terms) if is_single(terms) else f"({text(terms)})"


def is_single(terms: Sum) -> bool:
    """Whether it is a name, a call or a number that needs no parentheses before or behind a sign."""
    if len(terms) != 1:
        return not terms
    number, factors = terms[0]
    if not factors:
        return number >= 0
    (factor, exponent), *others = factors
    return number == 1.0 and exponent == 1.0 and not others and (isinstance(factor, str) or factor.name not in ("**", "/"))


# --- MathML ---------------------------------------------------------------------------------------------------------------


def mathml(terms: Sum) -> str:
    """As presentation MathML."""
    return f'<math xmlns="http://www.w3.org/1998/Math/MathML">{_sum(terms)}</math>'


def _row(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"<mrow>{''.join(parts)}</mrow>"


def _sum(terms: Sum) -> str:
    if not terms:
        return "<mn>0</mn>"
    parts: list[str] = []
    for product in terms:
        if product.number < 0 or parts:
            parts.append(f"<mo>{'−' if product.number < 0 else '+'}</mo>")
        parts.append(_fraction(product))
    return _row(parts)


def _fraction(product: Product) -> str:
    above, below = _split(product)
    number = abs(product.number)
    parts = [f"<mn>{_plain(number)}</mn>"] if number != 1.0 or not above else []
    parts += [_power(*power) for power in above]
    if not below:
        return _row(parts)
    if not above or number == 1.0 or len(parts) > 1:
        bare = _bare(above) if number == 1.0 and above else None
        return f"<mfrac>{bare or _row(parts)}{_bare(below) or _row([_power(*power) for power in below])}</mfrac>"
    return f"<mfrac>{_row(parts)}{_row([_power(*power) for power in below])}</mfrac>"


def _bare(factors: Factors) -> str | None:
    """A sum that needs no parentheses, since nothing stands beside it."""
    (factor, exponent), *others = factors
    alone = not others and exponent == 1.0 and isinstance(factor, Call) and not factor.name
    return _sum(factor.inputs[0]) if alone and isinstance(factor, Call) else None


def _power(factor: str | Call, exponent: float) -> str:
    base = _base(factor)
    return base if exponent == 1.0 else f"<msup>{base}<mn>{_plain(exponent)}</mn></msup>"


def _fenced(left: str, right: str, inputs: Sequence[Sum]) -> str:
    return f"<mrow><mo>{left}</mo>{'<mo>,</mo>'.join(map(_sum, inputs))}<mo>{right}</mo></mrow>"


def _exponential(inputs: Sequence[Sum]) -> str:
    return f"<msup><mi>e</mi>{_sum(inputs[0])}</msup>"


def _cases(inputs: Sequence[Sum]) -> str:
    condition, then, otherwise = map(_sum, inputs)
    rows = ((then, f"<mtext>if </mtext>{condition}"), (otherwise, "<mtext>otherwise</mtext>"))
    table = "".join(f"<mtr><mtd>{value}</mtd><mtd>{when}</mtd></mtr>" for value, when in rows)
    return f"<mrow><mo>{{</mo><mtable>{table}</mtable></mrow>"


def _raised(inputs: Sequence[Sum]) -> str:
    base, exponent = inputs
    return f"<msup>{_sum(base) if is_single(base) else _fenced('(', ')', [base])}{_sum(exponent)}</msup>"


def _compared(sign: str, inputs: Sequence[Sum]) -> str:
    return f"<mrow>{_sum(inputs[0])}<mo>{SIGNS[sign]}</mo>{_sum(inputs[1])}</mrow>"


DRAWN: dict[str, Callable[[Sequence[Sum]], str]] = {
    "": partial(_fenced, "(", ")"),
    "abs": partial(_fenced, "|", "|"),
    "sqrt": lambda inputs: f"<msqrt>{_sum(inputs[0])}</msqrt>",
    "exp": _exponential,
    "where": _cases,
    "**": _raised,
    "/": lambda inputs: f"<mfrac>{_sum(inputs[0])}{_sum(inputs[1])}</mfrac>",
    **{sign: partial(_compared, sign) for sign in SIGNS},
}
"""Functions that have a notation of their own."""


def _base(factor: str | Call) -> str:
    if isinstance(factor, str):
        return f"<mi>{'π' if factor == 'pi' else factor}</mi>"
    draw = DRAWN.get(factor.name)
    if draw:
        return draw(factor.inputs)
    return f"<mrow><mi>{NAMES.get(factor.name, factor.name)}</mi><mo>&#x2061;</mo>{_fenced('(', ')', factor.inputs)}</mrow>"
