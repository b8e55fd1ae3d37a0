"""How every chart looks: colours, type and space, light and dark, and how numbers and names are written.

Blue is the thing that is asked about, orange and dashed the other one; never colour alone: dash, order and a name too.
"""

import math
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

ThemeName: TypeAlias = Literal["light", "dark"]
Spec: TypeAlias = dict[str, Any]
Answer: TypeAlias = Mapping[str, Any]
Point: TypeAlias = tuple[float, float]

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
FONT = "Liberation Sans, Helvetica Neue, Arial, sans-serif"
SMALL, TEXT, HEADING = 12, 13, 16
"""The sizes of type: at the axes, beside the lines, above the chart."""
EMPTY: Answer = {}
DASHES: Sequence[Sequence[int]] = ([1, 0], [6, 4], [2, 3], [8, 3, 2, 3])
LONGEST_NAME = 32
WIDTH = 560
"""Of a panel that stands alone."""
LONGEST_STRAIGHT = 30
"""Points that a straight piece of a line may stand for."""
UNSEEN = 0.1
"""Of a pixel: a line that is drawn so far from where it is looks the same."""
MOST_POINTS = 1500
"""Of a line: more than a screen has columns for."""
LINE = 92
"""Letters in a line of the subtitle."""


@dataclass(frozen=True)
class Theme:
    """The colours of a chart by what they are for."""

    panel: str
    line: str
    """Hairlines and the grid."""
    ink: str
    muted: str
    control: str
    """Axes, rules, the zero line."""
    soft: str
    """Areas behind lines."""
    series: Sequence[str]
    bad: str

    def on(self, shade: float) -> bool:
        """Whether text is better read in the panel's colour than in ink, so far on the way from soft to the first series."""
        mixed = [
            (1.0 - shade) * soft + shade * full for soft, full in zip(_parts(self.soft), _parts(self.series[0]), strict=True)
        ]
        return _contrast(_parts(self.panel), mixed) > _contrast(_parts(self.ink), mixed)


def _parts(colour: str) -> list[float]:
    return [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]


def _contrast(first: Sequence[float], second: Sequence[float]) -> float:
    """As WCAG 2.2 has it, of colours by their parts."""
    light, dark = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(parts: Sequence[float]) -> float:
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


THEMES: Mapping[ThemeName, Theme] = {
    "light": Theme(
        "#ffffff", "#d9dde2", "#1b1f24", "#59616b", "#7d8794", "#e4effa", ("#0b62b8", "#c2500a", "#664254", "#0a9ccc"), "#b3261e"
    ),
    "dark": Theme(
        "#1b1f25", "#343b45", "#e8eaed", "#a3abb6", "#7b8696", "#1d3147", ("#6fb3f5", "#f2944e", "#fff3a0", "#806c59"), "#ff8a80"
    ),
}


def chart(theme: Theme, title: str, subtitle: str, description: str, body: Spec) -> Spec:
    """A whole chart: what is seen, under what it is called, with what it says in words."""
    return {
        "$schema": SCHEMA,
        "description": clean(description),
        "title": {"text": clean(title), "subtitle": textwrap.wrap(clean(subtitle), LINE) or [""]},
        "background": theme.panel,
        "padding": 16,
        **body,
        "config": _config(theme),
    }


def _config(theme: Theme) -> Spec:
    zero = {"condition": {"test": "datum.value === 0", "value": theme.control}, "value": theme.line}
    return {
        "font": FONT,
        "view": {"stroke": None},
        "concat": {"spacing": 16},
        "title": {
            "anchor": "start",
            "frame": "group",
            "offset": 22,
            "fontSize": HEADING,
            "fontWeight": 600,
            "color": theme.ink,
            "subtitleFontSize": TEXT,
            "subtitleColor": theme.muted,
            "subtitlePadding": 6,
            "subtitleLineHeight": 18,
        },
        "axis": {
            "domain": False,
            "ticks": False,
            "labelPadding": 6,
            "titlePadding": 8,
            "labelFontSize": SMALL,
            "titleFontSize": SMALL,
            "titleFontWeight": "normal",
            "labelColor": theme.muted,
            "titleColor": theme.muted,
            "gridColor": zero,
            "labelLimit": 200,
            "labelOverlap": "greedy",
            "labelSeparation": 6,
        },
        "text": {"fontSize": SMALL, "color": theme.ink},
        "legend": {"labelColor": theme.ink, "labelFontSize": SMALL},
        "line": {"strokeWidth": 2.25, "strokeJoin": "round", "strokeCap": "butt"},
        "rule": {"color": theme.control},
    }


def clean(text: str) -> str:
    """The text without characters that no picture can hold."""
    return "".join(character if character.isprintable() else " " for character in text)


def named(name: object, longest: int = LONGEST_NAME) -> str:
    """A name from the data, of a length that a chart has room for."""
    text = clean(str(name).lower() if isinstance(name, bool) else str(name)).strip() or "(empty)"
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def finite(number: object) -> float | None:
    """The number, where it is one that can be drawn."""
    if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
        return None
    return float(number)


def written(number: object, digits: int = 4) -> str:
    """A number as people read it."""
    value = finite(number)
    if value is None:
        return "infinite"
    plain = f"{value:,.{digits}g}" if abs(value) >= 1 else f"{value:.{digits}g}"
    if abs(value) >= 10**digits:
        plain = f"{value:,.0f}" if abs(value) < 1e7 else f"{value:.{digits - 1}e}"
    plain = plain.replace("e+0", "e").replace("e-0", "e-").replace("e+", "e")
    return ("0" if float(plain.replace(",", "")) == 0 else plain).replace("-", "−")


def listed(names: Iterable[object]) -> str:
    """Names in a sentence."""
    *others, last = [named(name) for name in names]
    return f"{', '.join(others)} and {last}" if others else last


def part(answer: Answer | None, name: str) -> Answer:
    """A part of an answer; empty where the answer has none, or null."""
    return (answer or EMPTY).get(name) or EMPTY


def parts(answer: Answer | None, name: str) -> Sequence[Any]:
    """A list in an answer; empty where the answer has none, or null."""
    return (answer or EMPTY).get(name) or ()


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def row(**cells: object) -> Spec:
    """A row of data, without what is not there: a line breaks where its number is missing."""
    return {
        name: cell for name, cell in cells.items() if cell is not None and not (isinstance(cell, float) and finite(cell) is None)
    }


def quantity(field: str, title: str | None, *, domain: Sequence[float] | None = None, log: bool = False, **axis: Any) -> Spec:
    """A number along an axis."""
    scale: Spec = {"type": "log"} if log else {"zero": False}
    if domain is not None:
        scale |= {"domain": [*domain], "nice": False}
    return {"field": field, "type": "quantitative", "title": title, "scale": scale, "axis": {"tickCount": 5, **axis}}


def ticks(numbers: Iterable[float]) -> Spec:
    """How the numbers of an axis are written: plainly, or where they are very large or small, as powers."""
    sizes = [abs(number) for number in numbers if number]
    return {"format": ".3~g" if sizes and (max(sizes) >= 1e6 or max(sizes) < 1e-3) else "~r"} if sizes else {}


def spaced(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places as near as can be to where they are wanted, a gap between any two of them, within bounds."""
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    places = [min(max(wanted[index], low), high) for index in order]
    for index in range(1, len(places)):
        places[index] = max(places[index], places[index - 1] + gap)
    if places and places[-1] > high:
        places[-1] = high
        for index in range(len(places) - 2, -1, -1):
            places[index] = min(places[index], places[index + 1] - gap)
    back = dict(zip(order, places, strict=True))
    return [back[index] for index in range(len(wanted))]


def stroke(index: int) -> Sequence[int]:
    """The dash of the n-th line: with its colour it is another one for each of the first sixteen."""
    return DASHES[(index + index // len(DASHES)) % len(DASHES)]


def colour(theme: Theme, index: int) -> str:
    return theme.series[index % len(theme.series)]


def styles(theme: Theme, lines: int) -> Spec:
    """Colour and dash by the field `line`, which counts the lines from 0."""
    domain = [*range(lines)]
    return {
        "color": {
            "field": "line",
            "type": "nominal",
            "legend": None,
            "scale": {"domain": domain, "range": [colour(theme, index) for index in domain]},
        },
        "strokeDash": {
            "field": "line",
            "type": "nominal",
            "legend": None,
            "scale": {"domain": domain, "range": [[*stroke(index)] for index in domain]},
        },
    }


def end_labels(
    theme: Theme, ends: Sequence[tuple[str, float]], lines: int, width: float, height: float, y: tuple[float, float]
) -> list[Spec]:
    """The names of lines behind their ends (name, where it ends), each with a piece of its line, none upon another.

    For a panel of so many lines whose y axis goes over `y`, evenly: what is encoded there comes from the panel.
    """
    gap = 17 * (y[1] - y[0]) / height
    places = spaced([end for _, end in ends], gap, y[0], max(y[1], y[0] + gap * (len(ends) - 1)))
    rows = [
        {"line": index, "name": named(name), "y": place}
        for index, ((name, _), place) in enumerate(zip(ends, places, strict=True))
    ]
    text = {"type": "text", "align": "left", "baseline": "middle", "fontSize": TEXT, "clip": False}
    return [
        {
            "data": {"values": rows},
            "mark": {"type": "rule", "strokeWidth": 2.25, "clip": False},
            "encoding": {"x": {"value": width + 8}, "x2": {"value": width + 30}, **styles(theme, lines)},
        },
        {"data": {"values": rows}, "mark": text, "encoding": {"x": {"value": width + 35}, "text": {"field": "name"}}},
    ]


def thinned(run: Sequence[Point], across: float, up: float) -> list[Point]:
    """A line without the points that nobody would see the want of, at so many pixels a unit: it stays within a tenth of one.

    Of a crowd, the lowest and the highest of each neighbourhood.
    """
    run = _extremes(run)
    kept, start = [*run[:1]], 0
    low, high = -math.inf, math.inf  # between which a straight line from the start passes all points since near enough
    for end in range(1, len(run)):
        distance, direction = _polar(run[start], run[end], across, up)
        if end - start > LONGEST_STRAIGHT or not low <= direction <= high:
            start = end - 1
            kept.append(run[start])
            low, high = -math.inf, math.inf
            distance, direction = _polar(run[start], run[end], across, up)
        if distance > UNSEEN:
            room = math.asin(UNSEEN / distance)
            low, high = max(low, direction - room), min(high, direction + room)
    return [*kept, *run[1:][-1:]]


def _polar(start: Point, end: Point, across: float, up: float) -> tuple[float, float]:
    """How far it is from one to the other, and in which direction."""
    width, height = (end[0] - start[0]) * across, (end[1] - start[1]) * up
    return math.hypot(width, height), math.atan2(height, width)


def _extremes(run: Sequence[Point]) -> Sequence[Point]:
    if len(run) <= MOST_POINTS:
        return run
    size = -(-2 * len(run) // MOST_POINTS)
    parts = [run[start : start + size] for start in range(0, len(run), size)]
    return [point for part in parts for point in sorted({min(part, key=_second), max(part, key=_second)})]


def _second(point: Point) -> float:
    return point[1]


def within(run: Sequence[Point], low: float, high: float) -> Iterator[list[Point]]:
    """The pieces of a line between two heights, cut where it crosses them.

    A picture with lines that the renderer clips takes it five times as long.
    """
    piece: list[Point] = []
    for index, point in enumerate(run):
        crossed = _crossings(run[index - 1], point, low, high) if index else []
        inside = low <= point[1] <= high
        if crossed and not piece:
            piece.append(crossed.pop(0))
        if inside:
            piece.append(point)
        elif piece:
            yield [*piece, *crossed[:1]]
            piece = []
    if piece:
        yield piece


def _crossings(before: Point, point: Point, low: float, high: float) -> list[Point]:
    """Where a step from one point to the next enters the range, or leaves it, in this order."""
    (x, y), (right, top) = before, point
    bounds = (low, high) if y <= top else (high, low)
    return [(x + (bound - y) / (top - y) * (right - x), bound) for bound in bounds if min(y, top) < bound < max(y, top)]


def nothing(theme: Theme, text: str, width: float, height: float) -> Spec:
    """A panel with nothing to draw, and why."""
    mark = {"type": "text", "color": theme.muted, "fontSize": TEXT}
    layer = {"data": {"values": [{"text": text}]}, "mark": mark, "encoding": {"text": {"field": "text"}}}
    return {"width": width, "height": height, "layer": [layer]}


def panel_title(theme: Theme, text: str, *, noted: bool = False) -> Spec:
    """What a panel among others is called; with room below for a note."""
    place = {"anchor": "start", "frame": "group", "offset": 20 if noted else 8}
    return {"text": clean(text), "fontSize": TEXT, "fontWeight": 600, "color": theme.ink, **place}


def row_names(names: Sequence[str], step: float, *, grid: bool = True) -> Spec:
    """The names of rows that follow each other from the top, left of the panel: two may be the same."""
    rows = [{"name": named(name), "row": index} for index, name in enumerate(names, 1)]
    return {
        "data": {"values": rows},
        "mark": {"type": "text", "align": "right", "baseline": "middle", "clip": False, "fontSize": SMALL},
        "encoding": {"x": {"value": -10}, "y": row_axis(len(names), step, grid=grid), "text": {"field": "name"}},
    }


def row_axis(rows: int, step: float, *, grid: bool = True) -> Spec:
    """The field `row`, which counts rows from 1 at the top, along y."""
    scale = {"domain": [0.5, rows + 0.5], "range": [0, rows * step], "nice": False}
    axis = {"labels": False, "grid": grid, "values": [*range(1, rows + 1)]}
    return {"field": "row", "type": "quantitative", "title": None, "scale": scale, "axis": axis}


def forest(theme: Theme, title: str, measure: str, rows: Sequence[Spec], width: float, reference: float | None) -> Spec:
    """Numbers with their intervals, one a row: {name, value, low, high, strong}, and a rule at the number they are held against.

    Those that are strong are filled; the others are hollow.
    """
    step = max(24.0, 72 / max(1, len(rows)))
    numbers = [cells[key] for cells in rows for key in ("value", "low", "high") if key in cells] + (
        [] if reference is None else [reference]
    )
    low, high = (min(numbers), max(numbers)) if numbers else (0.0, 1.0)
    margin = 0.06 * (high - low) or 0.5 * (abs(high) or 1.0)
    x = quantity("value", measure, domain=(low - margin, high + margin), **ticks(numbers))
    y = row_axis(len(rows), step)
    data = {
        "values": [
            {"row": index} | {key: cell for key, cell in cells.items() if key != "name"} for index, cells in enumerate(rows, 1)
        ]
    }
    fill = {"condition": {"test": "datum.strong", "value": theme.series[0]}, "value": theme.panel}
    layers: list[Spec] = []
    if reference:  # at 0 there is a line anyway
        layers.append(
            {
                "data": {"values": [{"value": reference}]},
                "mark": {"type": "rule", "color": theme.muted, "strokeDash": [3, 3]},
                "encoding": {"x": x},
            }
        )
    layers += [
        {
            "data": {"values": [cells for cells in data["values"] if "low" in cells and "high" in cells]},
            "mark": {"type": "rule", "color": theme.series[0], "strokeWidth": 2},
            "encoding": {"x": x | {"field": "low"}, "x2": {"field": "high"}, "y": y},
        },
        {
            "data": {"values": [cells for cells in data["values"] if "value" in cells]},
            "mark": {"type": "point", "size": 64, "opacity": 1, "stroke": theme.series[0], "strokeWidth": 2},
            "encoding": {"x": x, "y": y, "fill": fill},
        },
        {
            "data": {"values": [cells | {"text": "no finite value"} for cells in data["values"] if "value" not in cells]},
            "mark": {"type": "text", "align": "left", "baseline": "middle", "color": theme.muted},
            "encoding": {"x": {"value": 8}, "y": y, "text": {"field": "text"}},
        },
        row_names([cells["name"] for cells in rows], step),
    ]
    return {"width": width, "height": max(1, len(rows)) * step, "title": panel_title(theme, title), "layer": layers}
