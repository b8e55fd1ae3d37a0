"""What the docstring of a loss tells a learner, each under its heading:

    \"""Quadratic near the target, linear beyond it: outliers pull with bounded force.

    What else there is to know.

    Use when: a few targets are far off, and the others should decide.
    Avoid when: large errors are what costs.
    See also: smooth_l1, log_cosh.
    \"""

It stands there because it is prose about the function, which whoever reads the function wants to read as well; formulas
and symbols are data, and stand in the declaration.
"""

import re
from typing import NamedTuple

_HEADINGS = ("Use when", "Avoid when", "See also")
_PART = re.compile(rf"^({'|'.join(_HEADINGS)}): (.*?)(?=^(?:{'|'.join(_HEADINGS)}): |\Z)", re.DOTALL | re.MULTILINE)


class Guide(NamedTuple):
    """A docstring in its parts; what it does not tell is empty."""

    description: str
    use_when: str
    avoid_when: str
    see_also: tuple[str, ...]


def guide(docstring: str) -> Guide:
    """The parts of a docstring."""
    parts = {heading: " ".join(text.split()) for heading, text in _PART.findall(docstring)}
    first = _PART.search(docstring)
    others = parts.get("See also", "").rstrip(".")
    return Guide(
        docstring[: first.start()].rstrip() if first else docstring,
        parts.get("Use when", ""),
        parts.get("Avoid when", ""),
        tuple(others.split(", ")) if others else (),
    )
