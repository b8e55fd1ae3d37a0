"""Text to steps, by a grammar of its own: what is not in it cannot be said, and nothing is ever evaluated as code.

comparison  sum (("<" | "<=" | ">" | ">=" | "==" | "!=") sum)?      as the first thing in a where only
sum         product (("+" | "-") product)*
product     signed (("*" | "/") signed)*
signed      ("-" | "+") signed | power
power       primary ("**" signed)?                                  binds as in Python: -r**2 is -(r**2)
primary     number | name | function "(" comparison ("," sum)* ")" | "(" sum ")"
"""

import math
import re
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple, NoReturn

import numpy as np

from app.errors import Fault, InvalidParameter
from app.losses.expressions.functions import CALLS, COMPARISONS, FUNCTIONS
from app.losses.expressions.simplify import vanishes
from app.losses.expressions.steps import PI, VARIABLES, Steps, Term

MOST_CHARACTERS, MOST_STEPS, DEEPEST = 2000, 500, 50
LARGEST_EXPONENT, LARGEST_NUMBER = 64.0, 1e300
RESERVED: Collection[str] = (*VARIABLES, PI, *CALLS)
"""Names that no parameter may have."""
ALLOWED = f"p, y, r, {PI}, the parameters, numbers, + - * / **, parentheses, and the functions {', '.join(CALLS)}"
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")
TOKENS = re.compile(
    r"(?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<sign>\*\*|<=|>=|==|!=|[-+*/(),<>])|(?P<space> +)"
)


class Token(NamedTuple):
    kind: str
    text: str
    column: int


class Parsed(NamedTuple):
    """An expression as steps."""

    value: Term
    constants: Mapping[int, float]
    """The number that each step has which depends on no variable."""


def reject(message: str, code: str = "invalid_expression", *path: str) -> NoReturn:
    raise InvalidParameter([Fault(("parameters", *(path or ("value",))), code, message)])


def parse(text: str, parameters: Mapping[str, float]) -> Parsed:
    """The steps of an expression over p, y, r and these parameters; InvalidParameter for everything else."""
    for name in parameters:
        if name in RESERVED or not NAME.fullmatch(name):
            rule = "begins with a letter, goes on with letters, digits and _ (40 at most), and is none of the language's own"
            reject(f"the name of a parameter {rule}", "name", "parameters", name)
    if len(text) > MOST_CHARACTERS:
        reject(f"an expression has at most {MOST_CHARACTERS} characters; this one has {len(text)}: shorten it")
    if not text.isascii() or not text.isprintable():
        reject(f"an expression is written in printable ASCII characters, on one line: {ALLOWED}")
    parsed = _Parser([*_tokens(text)], parameters).whole()
    steps = parsed.value.steps
    if not steps.depends(parsed.value, ("p", "r")):
        reject("an expression must depend on the prediction: on p, or on r, which is p - y")
    used = {step.name for step in steps.all if not step.inputs}
    for name in parameters:
        if name not in used:
            reject(f"the expression does not use the parameter {name}: leave it out", "unused_parameter", "parameters", name)
    return parsed


def is_expression(text: str, parameters: Mapping[str, float]) -> bool:
    """Whether it can be read as one, although it may not depend on the prediction, nor use all of the parameters."""
    try:
        _Parser([*_tokens(text)], parameters).whole()
    except InvalidParameter:
        return False
    return True


def _tokens(text: str) -> Iterator[Token]:
    position = 0
    while position < len(text):
        found = TOKENS.match(text, position)
        if found is None:
            hint = " (a power is **)" if text[position] == "^" else ""
            reject(f"character {position + 1} is none that an expression may have{hint}: it is made of {ALLOWED}")
        kind = found.lastgroup or ""
        if kind != "space":
            yield Token(kind, found.group(), position + 1)
        position = found.end()
    yield Token("end", "", len(text) + 1)


class _Parser:
    def __init__(self, tokens: list[Token], parameters: Mapping[str, float]) -> None:
        self.tokens, self.parameters = tokens, parameters
        self.steps = Steps()
        self.constants: dict[int, float] = {}
        self.next = self.depth = self.size = 0
        self.exponent = False

    def whole(self) -> Parsed:
        value = self.sum()
        if self.token.kind != "end":
            self.unexpected()
        return Parsed(value, self.constants)

    @property
    def token(self) -> Token:
        return self.tokens[self.next]

    def taken(self, *signs: str) -> Token | None:
        """The next token, where it is one of these signs."""
        token = self.token
        if token.kind != "sign" or token.text not in signs:
            return None
        self.next += 1
        return token

    def expect(self, sign: str) -> None:
        if not self.taken(sign):
            self.unexpected(f'"{sign}" is missing here')

    def unexpected(self, hint: str = "") -> NoReturn:
        token = self.token
        where = "at the end" if token.kind == "end" else f"at character {token.column}"
        if token.text in COMPARISONS and not hint:
            hint = "a comparison stands in where(condition, then, otherwise) only"
        reject(f"the expression cannot be read {where}: {hint or f'it is made of {ALLOWED}'}")

    # --- the grammar ---

    def comparison(self) -> Term:
        left = self.sum()
        sign = self.taken(*COMPARISONS)
        if sign is None:
            self.unexpected("where takes a comparison first: where(r < 0, then, otherwise)")
        return self.made(sign.text, left, self.sum())

    def sum(self) -> Term:
        value = self.product()
        while sign := self.taken("+", "-"):
            value = self.made(sign.text, value, self.product())
        return value

    def product(self) -> Term:
        value = self.signed()
        while sign := self.taken("*", "/"):
            value = self.made(sign.text, value, self.signed())
        return value

    def signed(self) -> Term:
        self.depth += 1
        if self.depth > DEEPEST:
            reject(f"an expression is nested at most {DEEPEST} deep: write it with fewer parentheses, calls and signs")
        sign = self.taken("-", "+")
        value = self.power() if sign is None else self.signed()
        self.depth -= 1
        return self.made("neg", value) if sign and sign.text == "-" else value

    def power(self) -> Term:
        base = self.primary()
        sign = self.taken("**")
        if sign is None:
            return base
        if self.exponent:
            reject(f"there is a power within an exponent (character {sign.column}): write it as a product or with exp")
        self.exponent = True
        exponent = self.signed()
        self.exponent = False
        if abs(self.constants.get(exponent.index, 0.0)) > LARGEST_EXPONENT:
            reject(f"an exponent is at most {LARGEST_EXPONENT:.0f} (character {sign.column}): use exp for what grows faster")
        return self.made("**", base, exponent)

    def primary(self) -> Term:
        token = self.token
        self.next += 1
        if token.kind == "number":
            return self.number(token)
        if token.kind == "name":
            return self.function(token) if self.taken("(") else self.named(token)
        if token.text == "(":
            value = self.sum()
            self.expect(")")
            return value
        self.next -= 1
        self.unexpected()

    def function(self, token: Token) -> Term:
        found = CALLS.get(token.text)
        if found is None:
            reject(f"there is no function of the name at character {token.column}: there are {', '.join(CALLS)}")
        inputs = [self.comparison() if token.text == "where" else self.sum()]
        while self.taken(","):
            inputs.append(self.sum())
        self.expect(")")
        if len(inputs) != found.inputs:
            many = "one input" if found.inputs == 1 else f"{found.inputs} inputs"
            reject(f"{token.text} (character {token.column}) takes {many}, in their order; it has {len(inputs)}")
        if token.text == "polygamma" and self.steps.all[inputs[0].index] not in ORDERS:
            reject(f"the first input of polygamma (character {token.column}) is a whole number from 0 to {len(ORDERS) - 1}")
        return self.made(token.text, *inputs)

    def number(self, token: Token) -> Term:
        number = float(token.text)
        if number >= LARGEST_NUMBER:
            reject(f"numbers are below {LARGEST_NUMBER:.0e} (character {token.column})")
        return self.constant(self.steps.term(number), number)

    def named(self, token: Token) -> Term:
        if token.text in VARIABLES:
            return self.counted(self.steps.name(token.text))
        if token.text == PI:
            return self.constant(self.steps.name(PI), math.pi)
        if token.text not in self.parameters:
            rule = "is a function, and takes its inputs in parentheses" if token.text in CALLS else "is not known"
            reject(f"the name at character {token.column} {rule}: an expression is made of {ALLOWED}")
        return self.constant(self.steps.name(token.text), self.parameters[token.text])

    # --- steps ---

    def counted(self, term: Term) -> Term:
        self.size += 1
        if self.size > MOST_STEPS:
            reject(f"an expression has at most {MOST_STEPS} numbers, names, signs and calls: shorten it")
        return term

    def constant(self, term: Term, number: float) -> Term:
        self.constants[term.index] = number
        return self.counted(term)

    def made(self, name: str, *inputs: Term) -> Term:
        """A further step; what depends on no variable is computed here, and is finite."""
        term = self.counted(self.steps.call(name, *inputs))
        numbers = [self.constants.get(operand.index) for operand in inputs]
        divisor = inputs[1] if name == "/" else inputs[0] if name == "**" and (numbers[1] or 0.0) < 0.0 else None
        if divisor and (self.constants.get(divisor.index) == 0.0 or vanishes(divisor, self.parameters)):
            reject("the expression divides by what is always 0")
        if None not in numbers:
            with np.errstate(all="ignore"):
                number = float(FUNCTIONS[name].compute(*map(np.float64, numbers)))
            if not math.isfinite(number):
                reject("a part of the expression that depends on parameters and numbers alone is not finite")
            self.constants[term.index] = number
        return term


ORDERS = [Steps().term(float(order)).steps.all[0] for order in range(9)]
"""Of polygamma."""
