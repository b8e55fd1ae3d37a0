"""diagnose(run, state): what the numbers of a run say about it, in the field's words, and what to try.

A rule is a public function of one of the modules of rules: it takes what was measured of a run, and gives what it finds, with
the threshold and the evidence that make it say so. Whatever is defined in such a module is a rule; those of a module are asked
in the order in which they stand there, the modules in the order of the lists below, and the first that finds something speaks.
"""

from collections.abc import Callable, Iterable
from inspect import isfunction
from types import ModuleType
from typing import TypeAlias, cast

import numpy as np

from app.training.diagnosis import (
    by_heart,
    forests,
    held_out,
    hindered,
    labels,
    long_steps,
    probabilities,
    reach,
    rest,
    rows,
    stuck,
    unfinished,
)
from app.training.diagnosis.finding import Finding, Verdict
from app.training.diagnosis.measurements import Measurements
from app.training.learned import settled
from app.training.learners import State
from app.training.run import Run
from app.training.trees import Forest

Rule: TypeAlias = Callable[[Measurements], Finding | None]

__all__ = ["COURSES", "COURSES_OF_FORESTS", "EVIDENCE", "MISFITS", "Finding", "Rule", "Verdict", "diagnose"]


def _rules(*modules: ModuleType) -> tuple[Rule, ...]:
    return tuple(
        cast(Rule, value)
        for module in modules
        for name, value in vars(module).items()
        if isfunction(value) and value.__module__ == module.__name__ and not name.startswith("_")
    )


MISFITS = _rules(labels, reach, probabilities, rows)
"""Loss and rows that do not fit."""
COURSES = _rules(long_steps, by_heart, hindered, stuck, unfinished, rest)
"""How the run went: the last of them always finds something."""
WELL = ("converged", "still_improving")
"""Verdicts of runs with which nothing is wrong."""
EVIDENCE = _rules(held_out)
"""What the run proves."""
COURSES_OF_FORESTS = (*_rules(forests, by_heart), rest.converged)
"""No tree of a forest depends on those before it."""


def diagnose(run: Run, state: State) -> list[Finding]:
    """What is wrong with a run, or that nothing is: the most important first, never empty. The state is left as it is.

    A misfit of loss and rows comes before what the course of the losses says, and that before how sure it is; that all is well
    comes last. The time it takes is that of some hundred steps on up to SAMPLED rows, and of the run itself where that is short.
    """
    seen = Measurements(*settled(run, state))
    courses = COURSES_OF_FORESTS if isinstance(run.model, Forest) else COURSES
    with np.errstate(all="ignore"):
        found = [_first(rules, seen) for rules in (MISFITS, courses, EVIDENCE)]
    return sorted((finding for finding in found if finding is not None), key=lambda finding: finding.verdict in WELL)


def _first(rules: Iterable[Rule], seen: Measurements) -> Finding | None:
    return next((found for rule in rules if (found := rule(seen))), None)
