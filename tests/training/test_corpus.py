"""How often the diagnosis is right on runs whose truth is known: the table of docs/decisions/diagnosis.md."""

from collections import Counter

import pytest

from tests.training import corpus_held_out, corpus_of_rows
from tests.training.corpus import HEALTHY, Case, ended, faulty, healthy, is_cured, is_named
from tests.training.corpus_of_rows import Judged

RIGHT, FALSE_ALARMS = 0.95, 0.02
SEEN_ONCE, ALARMS_SEEN_ONCE = 24 / 27, 3
"""Of the runs that no rule was made for, as it was when they were first looked at."""
TRUE = 0.95
"""Share of the cases whose truth is confirmed by what cures them; others count for nothing."""


def judged(cases: list[Case]) -> tuple[Counter[str], Counter[str], list[str]]:
    """By fault, the runs whose truth is confirmed, those that are named right, and what was wrong of the others."""
    confirmed, named, wrong = Counter[str](), Counter[str](), list[str]()
    for case in cases:
        end = ended(case.plan)
        if not is_cured(case, end):
            continue
        confirmed[case.fault] += 1
        named[case.fault] += is_named(case, end.findings)
        if not is_named(case, end.findings):
            wrong.append(f"{case}: {[(finding.verdict, finding.advice) for finding in end.findings]}")
    return confirmed, named, wrong


@pytest.mark.thorough
def test_faults_are_named_right() -> None:
    cases = [*faulty()]
    confirmed, named, wrong = judged(cases)
    assert confirmed.total() >= 100
    assert confirmed.total() >= TRUE * len(cases)
    assert named.total() >= RIGHT * confirmed.total(), wrong
    assert all(named[fault] > 0 for fault in confirmed), wrong


@pytest.mark.thorough
def test_nothing_is_found_in_healthy_runs() -> None:
    cases = [*healthy()]
    confirmed, named, wrong = judged(cases)
    assert confirmed.total() >= 50
    assert confirmed.total() - named[HEALTHY] <= FALSE_ALARMS * confirmed.total(), wrong


def judged_of_rows(cases: list[Judged]) -> tuple[Counter[str], Counter[str], list[str]]:
    """The same of faults in the rows, whose truth is told by rows unseen."""
    confirmed, named, wrong = Counter[str](), Counter[str](), list[str]()
    for case, fresh in cases:
        if not corpus_of_rows.is_cured(Judged(case, fresh)):
            continue
        findings = ended(case.plan).findings
        confirmed[case.fault] += 1
        named[case.fault] += is_named(case, findings)
        if not is_named(case, findings):
            wrong.append(f"{case}: {[(finding.verdict, finding.advice) for finding in findings]}")
    return confirmed, named, wrong


@pytest.mark.thorough
def test_faults_of_rows_are_named_right() -> None:
    cases = [*corpus_of_rows.faulty()]
    confirmed, named, wrong = judged_of_rows(cases)
    assert min(confirmed.values()) >= 3
    assert confirmed.total() >= TRUE * len(cases)
    assert named.total() >= RIGHT * confirmed.total(), wrong
    assert all(named[fault] >= 3 for fault in confirmed), wrong


@pytest.mark.thorough
def test_nothing_is_found_in_healthy_runs_near_them() -> None:
    confirmed, named, wrong = judged([*corpus_of_rows.healthy()])
    assert confirmed.total() >= 40
    assert confirmed.total() - named[HEALTHY] <= FALSE_ALARMS * confirmed.total(), wrong


@pytest.mark.thorough
def test_runs_that_no_rule_was_made_for() -> None:
    """At least as good as when they were looked at, once: docs/decisions/diagnosis.md has the figures."""
    confirmed, named, wrong = judged_of_rows([*corpus_held_out.faulty()])
    assert confirmed.total() >= 20
    assert named.total() >= SEEN_ONCE * confirmed.total(), wrong
    confirmed, named, wrong = judged([*corpus_held_out.healthy()])
    assert confirmed.total() >= 20
    assert confirmed.total() - named[HEALTHY] <= ALARMS_SEEN_ONCE, wrong


def test_one_run_of_each_fault_is_named() -> None:
    quick = {"gradient cut to nothing", "schedule falls too early", "stumps on xor"}
    first = {case.fault: case for case in reversed([*faulty(1)]) if case.fault in quick}
    assert {*first} == quick
    of_rows = {case.fault: case for case, _ in reversed([*corpus_of_rows.faulty(1)])}
    for case in [*first.values(), *of_rows.values()]:
        findings = ended(case.plan).findings
        assert is_named(case, findings), (str(case), findings)
