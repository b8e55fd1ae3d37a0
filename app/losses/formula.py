"""Formulas in the house's notation, read into a tree: text, MathML and the list of symbols come from one source.

    ½r² if |r| ≤ δ, else δ(|r| − ½δ)             cases; the last may be left out
    αₜ·(1 − pₜ)^γ·b; pₜ = p·y + (1 − p)(1 − y)   what a name stands for, after a semicolon
    −∑ⱼ yⱼ ln pⱼ                                 a sum takes the whole product after it, a function the next factor
    max_(j ≠ y) sⱼ, [ŷ ≠ y], ‖a − b‖ₚ, |A ∩ B|   below an operator, 1 where it holds, norms, sizes
    ∂ℓ/∂m = (m − y)/v                            of a gradient, where predictions have names

A name has one letter, or is a word. `written` gives the text back as it was read: there is one way to write each formula.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal[
    "number",
    "name",
    "function",
    "group",
    "size",
    "norm",
    "truth",
    "call",
    "apply",
    "root",
    "below",
    "above",
    "negative",
    "product",
    "sum",
    "relation",
    "and",
    "cases",
    "define",
    "statements",
]

FUNCTIONS: Mapping[str, str] = {
    "ln": "the natural logarithm",
    "exp": "the exponential function",
    "max": "the largest of them",
    "min": "the smallest of them",
    "sign": "−1, 0 or 1: the sign of a number",
    "cosh": "the hyperbolic cosine, ½(eˣ + e⁻ˣ)",
    "tanh": "the hyperbolic tangent, (eˣ − e⁻ˣ)/(eˣ + e⁻ˣ)",
    "arctan": "the angle that has this tangent",
    "cos": "the cosine of the angle between two vectors",
    "mean": "the mean over all that counts",
    "median": "the one in the middle when all are sorted",
    "ψ": "the digamma function: the derivative of ln Γ",
    "sin": "the sine of an angle",
    "erf": "the error function: the share of a normal distribution within √2·x standard deviations",
    "σ": "the sigmoid, 1/(1 + e⁻ˣ)",
    "Γ": "the gamma function, (y − 1)! of a whole number y",
    "softplus": "ln(1 + eˣ)",
    "softmax": "exponentials, divided by their sum over the classes",
}
"""What stands before what it is of, each with what it means."""
BIG: Mapping[str, str] = {"∑": "the sum over all of them", "∏": "the product over all of them"}
"""Operators that take the whole product after them."""

LOWERED = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ", "0123456789+−aehijklmnoprstuvx", strict=True))
RAISED = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁻ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻ", "0123456789−abcdefghijklmnoprstuvwxyz", strict=True))
TO_LOWERED, TO_RAISED = ({plain: small for small, plain in glyphs.items()} for glyphs in (LOWERED, RAISED))

_TOKEN = re.compile(
    rf"""\s*(?:
    (?P<number>\d+(?:\.\d+)?|[½¼⅓⅔¾])
    | (?P<word>[A-Za-z]{{2,}}(?:_[a-z]+)*)
    | (?P<low>[{"".join(LOWERED)}]+)
    | (?P<high>[{"".join(RAISED)}]+)
    | (?P<name>∂?[^\W\d_][̂̄]*′*)
    | (?P<mark>[−+·/√|‖()\[\],;=≠<>≤≥∈∉∩∪_^{"".join(BIG)}])
    )""",
    re.VERBOSE,
)
RELATIONS = "=≠<>≤≥∈∉"
SUMS = "+−∩∪"
CLOSING = {"(": ")", "[": "]", "|": "|", "‖": "‖"}
BRACKETS: Mapping[str, Kind] = {"(": "group", "[": "truth", "|": "size", "‖": "norm"}


@dataclass(frozen=True)
class Node:
    """A part of a formula. Its `text` is a number, a name, or the signs between its parts."""

    kind: Kind
    text: str = ""
    parts: tuple["Node", ...] = ()


class _Reader:
    """The tokens of a formula, and how far they are read."""

    def __init__(self, formula: str) -> None:
        self.formula = formula
        self.tokens: list[tuple[str, str]] = []
        start = 0
        while start < len(formula):
            found = _TOKEN.match(formula, start)
            if not found or not found.lastgroup:
                raise ValueError(f"{formula!r} has something that is no part of a formula: {formula[start:]!r}")
            self.tokens.append((found.lastgroup, found[found.lastgroup]))
            start = found.end()
        self.tokens.append(("end", ""))
        self.position = 0
        self.open = ""

    @property
    def kind(self) -> str:
        return self.tokens[self.position][0]

    @property
    def text(self) -> str:
        return self.tokens[self.position][1]

    def take(self) -> str:
        self.position += 1
        return self.tokens[self.position - 1][1]

    def takes(self, text: str) -> bool:
        if self.text != text or self.kind == "end":
            return False
        self.position += 1
        return True

    def need(self, text: str) -> None:
        if not self.takes(text):
            raise ValueError(f"{self.formula!r} has {self.text or 'its end'!r} where {text!r} should be")

    def statements(self) -> Node:
        parts = [self.statement()]
        while self.takes(";"):
            parts.append(self.statement())
        if self.kind != "end":
            raise ValueError(f"{self.formula!r} goes on with {self.text!r}")
        return parts[0] if len(parts) == 1 else Node("statements", parts=tuple(parts))

    def statement(self) -> Node:
        first = self.sum()
        if self.takes("="):
            return Node("define", parts=(first, self.cases(self.sum())))
        return self.cases(first)

    def cases(self, first: Node) -> Node:
        if not self.takes("if"):
            return first
        parts = [first, self.condition()]
        while self.takes(","):
            if self.takes("else"):
                return Node("cases", parts=(*parts, self.sum()))
            parts.append(self.sum())
            self.need("if")
            parts.append(self.condition())
        return Node("cases", parts=tuple(parts))

    def condition(self) -> Node:
        parts = [self.relation()]
        while self.takes("and"):
            parts.append(self.relation())
        return parts[0] if len(parts) == 1 else Node("and", parts=tuple(parts))

    def relation(self) -> Node:
        parts, signs = [self.sum()], ""
        while self.text and self.text in RELATIONS:
            signs += self.take()
            parts.append(self.sum())
        return Node("relation", signs, tuple(parts)) if signs else parts[0]

    def sum(self) -> Node:
        parts, signs = [self.signed()], ""
        while self.text and self.text in SUMS:
            signs += self.take()
            parts.append(self.product())
        return Node("sum", signs, tuple(parts)) if signs else parts[0]

    def signed(self) -> Node:
        return Node("negative", parts=(self.product(),)) if self.takes("−") else self.product()

    def product(self) -> Node:
        parts, signs = [self.power()], ""
        while True:
            if self.text and self.text in "·/":
                signs += self.take()
            elif self.begins():
                signs += " "
            else:
                return Node("product", signs, tuple(parts)) if signs else parts[0]
            parts.append(self.power())

    def begins(self) -> bool:
        """Whether a further factor begins here."""
        if self.kind == "word":
            return self.text not in ("if", "else", "and")
        return self.kind in ("number", "name") or (self.text in BRACKETS and self.text != self.open) or self.text in ("√", *BIG)

    def power(self) -> Node:
        return self.scripts(self.primary())

    def scripts(self, base: Node) -> Node:
        """What stands below and above a thing."""
        while True:
            if self.kind == "low":
                base = Node("below", parts=(base, _plain(self.take(), LOWERED)))
            elif self.kind == "high":
                base = Node("above", parts=(base, _plain(self.take(), RAISED)))
            elif self.takes("_"):
                base = Node("below", parts=(base, self.bracketed() if self.text == "(" else self.primary()))
            elif self.takes("^"):
                base = Node("above", parts=(base, self.bracketed() if self.text == "(" else self.primary()))
            else:
                return base

    def bracketed(self) -> Node:
        """What is between two brackets: one thing, or a list."""
        opening = self.take()
        outer, self.open = self.open, opening if opening in "|‖" else ""
        parts = [self.condition()]
        while self.takes(","):
            parts.append(self.condition())
        self.open = outer
        self.need(CLOSING[opening])
        return Node(BRACKETS[opening], parts=tuple(parts))

    def primary(self) -> Node:
        kind, text = self.kind, self.text
        if text in FUNCTIONS and (kind == "word" or self.tokens[self.position + 1][1] == "("):
            return self.applied(Node("function", self.take()))
        if kind == "mark" and text in BIG:
            operator = self.scripts(Node("function", self.take()))
            return Node("apply", parts=(operator, self.product()))
        if self.takes("√"):
            return Node("root", parts=(self.primary(),))
        if kind == "number":
            return Node("number", self.take())
        if kind in ("name", "word") and text not in ("if", "else", "and"):
            name = Node("name", self.take())
            if self.text == "(" and self.is_list():
                return Node("call", parts=(name, self.bracketed()))
            return name
        if kind == "mark" and text in BRACKETS:
            return self.bracketed()
        raise ValueError(f"{self.formula!r} has {text or 'its end'!r} where a number or a name should be")

    def applied(self, function: Node) -> Node:
        function = self.scripts(function)
        if self.text == "(":
            return Node("call", parts=(function, self.bracketed()))
        return Node("apply", parts=(function, self.power()))

    def is_list(self) -> bool:
        """Whether there are commas in the brackets that open here: a name before these is a function of several things."""
        depth = 0
        for _, text in self.tokens[self.position :]:
            depth += (text in ("(", "[")) - (text in (")", "]"))
            if text == "," and depth == 1:
                return True
            if depth == 0:
                return False
        return False


def _plain(small: str, glyphs: Mapping[str, str]) -> Node:
    """What is written in small letters: names of one letter each, or a number, with a sign before it."""
    text = "".join(glyphs[glyph] for glyph in small)
    sign, rest = text[: text[0] in "+−"], text[text[0] in "+−" :]
    node = Node("number" if rest.isdigit() else "name", rest)
    if not rest:
        return Node("name", sign)
    return Node("negative", parts=(node,)) if sign == "−" else node


@lru_cache(maxsize=1024)
def read(formula: str) -> Node:
    """The tree of a formula; ValueError for what is none."""
    return _Reader(formula).statements()


def written(node: Node) -> str:
    """The formula as text."""
    parts = [written(part) for part in node.parts]
    match node.kind:
        case "number" | "name" | "function":
            return node.text
        case "group" | "size" | "norm" | "truth":
            opening = next(mark for mark, kind in BRACKETS.items() if kind == node.kind)
            return f"{opening}{', '.join(parts)}{CLOSING[opening]}"
        case "call":
            return "".join(parts)
        case "apply":
            return " ".join(parts)
        case "root":
            return f"√{parts[0]}"
        case "below" | "above":
            return parts[0] + _script(node, parts[1])
        case "negative":
            return f"−{parts[0]}"
        case "product":
            text = parts[0]
            for sign, part, left in zip(node.text, parts[1:], node.parts, strict=False):
                text += (" " if left.kind == "apply" or _need_room(text, part) else "") * (sign == " ") or sign.strip()
                text += part
            return text
        case "sum" | "relation":
            return parts[0] + "".join(f" {sign} {part}" for sign, part in zip(node.text, parts[1:], strict=True))
        case "and":
            return " and ".join(parts)
        case "define":
            return " = ".join(parts)
        case "cases":
            *branches, last = [parts[start : start + 2] for start in range(0, len(parts), 2)]
            ended = [f"else {last[0]}"] if len(last) == 1 else [" if ".join(last)]
            return ", ".join([*map(" if ".join, branches), *ended])
        case "statements":
            return "; ".join(parts)


def _script(node: Node, text: str) -> str:
    """What stands below or above, in small letters where there are such."""
    glyphs, mark = (TO_LOWERED, "_") if node.kind == "below" else (TO_RAISED, "^")
    plain = node.parts[1].kind in ("number", "name") or node.parts[1].kind == "negative"
    return "".join(map(glyphs.__getitem__, text)) if plain and all(map(glyphs.__contains__, text)) else mark + text


def _need_room(left: str, right: str) -> bool:
    """Whether two factors with no sign between them would be read as one, or run into a word."""
    return bool(
        re.search(r"[A-Za-z]{2,}$", left)
        or re.match(rf"[A-Za-z]{{2,}}|\d|[{''.join(BIG)}]", right)
        or (re.search(r"[A-Za-z]$", left) and re.match(r"[A-Za-z]", right))
    )


def names(node: Node) -> Iterator[str]:
    """The names that occur in a formula, functions and operators among them, in its order."""
    if node.kind in ("name", "function"):
        yield node.text
    for part in node.parts:
        yield from names(part)
