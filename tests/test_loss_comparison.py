"""docs/loss-comparison.md says what the service answers, its curves are those of its tables, and its command runs."""

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from docs import loss_comparison
from docs.loss_comparison import PAGE, TABLES, Array, Row, Runs, ask, filled
from tests.conftest import Server

TEXT = PAGE.read_text()
MADE = dict(re.findall(r"<!-- made: (.+?) -->\n(.*?)\n<!-- end -->", TEXT, re.DOTALL))
ROWS = {row.name: (table, row) for table, rows in TABLES.items() for row in rows}
PICTURED = [row for _, row in ROWS.values() if row.curves]
SEEDS = (0, 1, 2)
LIGHT = 60_000


def shown(name: str) -> Array:
    """(4, 3): median, first and third quartile of both losses and both metrics, as the page has them."""
    table, row = ROWS[name]
    cells = next(line.split(" | ") for line in MADE[table].splitlines() if line.startswith(f"| {row.loss} |"))
    return np.array([[float(number) for number in re.findall(r"[\d.]+", cell)] for cell in cells[1:5]])


@pytest.fixture(scope="module")
def answers(server: Server) -> dict[str, Runs]:
    """The rows that were asked for already: some tests look at the same."""
    return {}


def runs_of(name: str, server: Server, answers: dict[str, Runs]) -> Runs:
    if name not in answers:
        answers[name] = ask(server.url, ROWS[name][1], SEEDS)
    return answers[name]


@pytest.mark.thorough
@pytest.mark.parametrize("name", ROWS)
def test_the_service_answers_what_the_page_says(name: str, server: Server, answers: dict[str, Runs]) -> None:
    """The median of three of the seeds lies where half of all seeds do, or nearer to it than an outlier would."""
    _, low, high = shown(name).T
    middle = np.median(runs_of(name, server, answers).final, axis=0)
    room = 1.5 * (high - low) + 0.0005 * (high > 0.1)
    assert ((low - room <= middle) & (middle <= high + room)).all(), (middle, low, high)


@pytest.mark.thorough
def test_one_hot_rows_indices_and_divergence_are_the_same_runs(server: Server, answers: dict[str, Runs]) -> None:
    one_hot, index, divergence = (runs_of(name, server, answers).numbers for name in ("one_hot", "index", "kl"))
    np.testing.assert_allclose(index, one_hot, rtol=1e-9)
    np.testing.assert_allclose(divergence, one_hot, rtol=1e-9)
    assert (shown("index") == shown("one_hot")).all()
    assert (shown("kl") == shown("one_hot")).all()


def test_the_diagnosis_finds_the_logarithmic_loss_out(server: Server) -> None:
    (run,) = [server.ask("POST", "/v1/train", json=ROWS["msle"][1].request).json()]
    assert "misfit" in [finding["verdict"] for finding in run["diagnosis"]]


def test_the_hinges_take_the_labels_for_signs_and_say_so(server: Server) -> None:
    request = {**ROWS["hinge"][1].request, "epochs": 1}
    assert server.ask("POST", "/v1/train", json=request).json()["data"]["targets_encoding"] == "binary"


@pytest.mark.thorough
def test_the_command_of_the_page_prints_its_first_row(server: Server) -> None:
    (command,) = re.findall(r"```sh\n(curl .*?)```", TEXT, re.DOTALL)
    body, script = re.findall(r"(?:-d|-c) '(.*?)'", command, re.DOTALL)
    answer = server.ask("POST", "/v1/train/compare", content=body, headers={"Content-Type": "application/json"})
    printed = subprocess.run([sys.executable, "-c", script], input=answer.text, capture_output=True, text=True, check=True).stdout
    quartiles = np.array([[float(number) for number in line.split()[1:]] for line in printed.splitlines()])
    np.testing.assert_allclose(quartiles, shown("mse")[:2][:, [1, 0, 2]], rtol=0.05)
    assert json.loads(body)["seeds"] == list(loss_comparison.SEEDS)


# --- the page -----------------------------------------------------------------------------------------------------------


def test_every_made_part_of_the_page_is_made_and_the_rest_is_left() -> None:
    assert set(MADE) == {*TABLES, "how"}
    assert filled(TEXT, MADE) == TEXT
    anew = filled(TEXT, dict.fromkeys(MADE, "anew"))
    assert anew.count("-->\nanew\n<!--") == len(MADE)
    assert re.sub(r"<!-- made.*?<!-- end -->", "", anew, flags=re.DOTALL) == re.sub(
        r"<!-- made.*?<!-- end -->", "", TEXT, flags=re.DOTALL
    )


def test_a_part_that_nobody_makes_is_an_error() -> None:
    with pytest.raises(KeyError):
        filled("<!-- made: nothing -->\n<!-- end -->", {})


def test_links_of_the_page_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)]+)\)", TEXT)
    assert {f"loss-comparison-{row.curves}.svg" for row in PICTURED} <= set(links)
    for link in links:
        assert (PAGE.parent / link).exists(), link


# --- the curves -----------------------------------------------------------------------------------------------------------


def drawn(row: Row) -> Path:
    return PAGE.with_name(f"loss-comparison-{row.curves}.svg")


def points(path: str) -> Array:
    """(n, 2) of a path of relative lines."""
    start, steps = re.fullmatch(r"M(.*?)l(.*?)z?", path).groups()  # type: ignore[union-attr]
    numbers = [np.array(re.findall(r"-?(?:\d+\.?\d*|\.\d+)", part), float).reshape(-1, 2) for part in (start, steps)]
    return np.cumsum(np.concatenate(numbers), axis=0)


def ends(row: Row) -> list[float]:
    """What the last points of the median lines stand for, read off the axis: both losses, then both metrics where shown."""
    found: list[float] = []
    for group in ET.parse(drawn(row)).getroot().findall(".//{*}g"):
        lines = [path for path in group.findall("{*}path") if path.get("class") in ("training", "validation")]
        medians = [path.get("d", "") for path in lines if "l" in path.get("d", "")]
        ticks = [text for text in group.findall("{*}text") if text.get("x") == str(loss_comparison.LEFT - 5)]
        numbers = np.array([float(tick.text or "") for tick in ticks])
        heights = np.array([float(tick.get("y", "")) - 4 for tick in ticks])
        scale, back = (np.log, np.exp) if numbers.max() >= 10 * numbers.min() > 0 else (np.asarray, np.asarray)
        slope, start = np.polyfit(heights, scale(numbers), 1)
        found += [float(back(start + slope * points(path)[-1, 1])) for path in medians]
    return found


@pytest.mark.parametrize("row", PICTURED, ids=lambda row: row.name)
def test_the_curves_end_at_the_medians_of_the_table(row: Row) -> None:
    read = ends(row)
    assert len(read) in (2, 4)
    np.testing.assert_allclose(read, shown(row.name)[: len(read), 0], rtol=0.03)


@pytest.mark.parametrize("row", PICTURED, ids=lambda row: row.name)
def test_a_picture_is_light_and_has_colours_for_the_dark(row: Row) -> None:
    content = drawn(row).read_text()
    assert len(content.encode()) < LIGHT
    assert "prefers-color-scheme:dark" in content
    assert row.loss in (ET.fromstring(content).findtext("{*}title") or "")


def test_a_line_goes_through_its_points() -> None:
    """To a tenth, however long: steps that were rounded by themselves would drift away."""
    rng = np.random.default_rng(0)
    x, y = np.linspace(0, 300, 500), rng.uniform(0, 200, 500)
    np.testing.assert_allclose(points(loss_comparison.line(x, y)), np.c_[x, y], atol=0.051)
