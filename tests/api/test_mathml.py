"""Formulas as MathML: well formed, and read back by somebody else they say the same."""

from xml.etree import ElementTree

import numpy as np
import pytest

from app.api.mathml import mathml
from app.losses import LOSSES
from app.losses.formula import read
from tests.losses.formulas import evaluated
from tests.losses.test_formulas import CASES, samples

MATH = "{http://www.w3.org/1998/Math/MathML}"
CORE = {"math", "mrow", "mi", "mn", "mo", "mtext", "mfrac", "msqrt", "msup", "msub", "msubsup", "munder", "mtable", "mtr", "mtd"}


def text_of(element: ElementTree.Element) -> str:
    """What an element says, in the house's notation, with brackets round all that it holds together."""
    tag, parts = element.tag.removeprefix(MATH), [text_of(part) for part in element]
    words = (element.text or "").replace("\u2061", " ").replace("\u2062", " ").replace("\u00a0", " ")
    match tag:
        case "mfrac":
            return f"(({parts[0]})/({parts[1]}))"
        case "msqrt":
            return f"√({''.join(parts)})"
        case "msup":
            return f"{parts[0]}^({parts[1]})"
        case "msub" | "munder":
            return f"{parts[0]}_({parts[1]})"
        case "msubsup":
            return f"{parts[0]}_({parts[1]})^({parts[2]})"
        case "mrow" if parts and parts[0] == "{":
            branches = [[text_of(cell) for cell in row] for row in element[1]]
            return ", ".join(f"else {branch}" if when == "otherwise" else f"{branch} {when}" for branch, when in branches)
        case "mtable":
            return "; ".join(parts)
        case _:
            return words + "".join(parts)


def test_it_is_mathml_core_and_holds_what_the_text_holds() -> None:
    for loss in LOSSES.values():
        for formula in filter(None, (loss.formula, loss.gradient)):
            root = ElementTree.fromstring(mathml(formula))
            assert {element.tag.removeprefix(MATH) for element in root.iter()} <= CORE
            assert read(text_of(root)), loss.name
    assert mathml("") == ""


def test_its_numbers_are_those_of_the_text() -> None:
    for case in {case.loss.name: case for case in CASES if case.coupling == "sample"}.values():
        read_back = text_of(ElementTree.fromstring(mathml(case.loss.formula)))
        for numbers, loss, _ in samples(case):
            with np.errstate(all="ignore"):
                found = evaluated(read_back, numbers.reading(read_back) if numbers.defined else numbers)
                assert found == pytest.approx(loss, rel=1e-9, abs=1e-9), f"{case}: {read_back}"


def test_brackets_go_where_a_line_or_a_place_says_the_same() -> None:
    assert "(" not in mathml("(a + b)/(c + d)")
    assert "(" not in mathml("e^(a − b)")
    assert mathml("(a + b)·c/d").count("(") == 1
    assert mathml("a/(b + c)·d").count("<mfrac>") == 1
