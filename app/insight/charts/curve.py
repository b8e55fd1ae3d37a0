"""The curve of a loss: what it charges, how hard it pulls, how fast that changes; several losses over one axis."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, cast

from app.insight.charts.theme import (
    THEMES,
    WIDTH,
    Answer,
    Point,
    Spec,
    Theme,
    ThemeName,
    chart,
    end_labels,
    finite,
    listed,
    named,
    nothing,
    quantity,
    row,
    styles,
    thinned,
    ticks,
    within,
    written,
)

AXES = {
    "residual": "residual = prediction − target",
    "margin": "margin = score × target",
    "probability": "probability of the positive class",
    "logit": "logit of the positive class",
    "prediction": "prediction",
}
HEIGHTS = {"value": 250, "slope": 130, "curvature": 90}
TITLES = {"value": "loss", "slope": "slope", "curvature": "curvature"}
MOST_NAMED = 3
"""Losses that the title names."""
MOST_KINKS = 6
"""Kinks of a loss that are named; all are marked."""
SEEN = 0.02
"""Of the height: a line that stays as near to the curve is not seen beside it."""


def curve(answer: Answer, theme_name: ThemeName) -> Spec:
    """Loss, slope and curvature over the same axis, with kinks and asymptotes."""
    theme = THEMES[theme_name]
    names = _names(answer["curves"])
    shown = [field for field in HEIGHTS if _seen(field, [entry[field] for entry in answer["curves"]])]
    panels = [_panel(answer, theme, names, field, last=field == shown[-1]) for field in shown]
    if not panels:
        panels = [nothing(theme, "infinite all along this axis", WIDTH, HEIGHTS["value"])]
    first = answer["curves"][0]
    measures = [TITLES[field] for field in shown or ("value",)]
    of = listed(names) if len(names) <= MOST_NAMED else f"{named(names[0])} against {len(names) - 1} others"
    title = f"{of}: {listed(measures)}"
    return chart(theme, title, _subtitle(answer, first), _description(answer, names), {"vconcat": panels, "spacing": 10})


def _seen(field: str, found: Sequence[Sequence[object] | None]) -> bool:
    """Whether a panel shows something: a curvature that is 0 throughout does not."""
    numbers = [number for numbers in found for number in _numbers(numbers)]
    return any(numbers) if field == "curvature" else bool(numbers)


def _names(curves: Sequence[Answer]) -> list[str]:
    """What each is called: with its parameters where another has the same name."""
    plain = [str(entry["loss"]["name"]) for entry in curves]
    return [
        f"{name} ({parameters})" if plain.count(name) > 1 and (parameters := _parameters(entry)) else name
        for name, entry in zip(plain, curves, strict=True)
    ]


def _parameters(entry: Answer) -> str:
    """The parameters that are numbers, also those that stand in an object."""
    loss: dict[str, Any] = entry["loss"]
    within = [item for value in loss.values() if isinstance(value, dict) for item in cast(dict[str, Any], value).items()]
    numbers = [(name, value) for name, value in (*loss.items(), *within) if finite(value) is not None]
    return ", ".join(f"{named(name)} {written(number)}" for name, number in numbers)


def _subtitle(answer: Answer, first: Answer) -> str:
    parts = [
        f"target {written(answer['target'])}",
        _parameters(first),
        *(f"kink at {written(kink)}" for kink in first["kinks"][:MOST_KINKS]),
    ]
    return " · ".join(filter(None, parts))


def _panel(answer: Answer, theme: Theme, names: Sequence[str], field: str, *, last: bool) -> Spec:
    x: list[float] = answer["x"]
    curves: Sequence[Answer] = answer["curves"]
    height = HEIGHTS[field]
    poles = any(found["kind"] == "vertical" for entry in curves for found in entry["asymptotes"])
    low, high = _view([number for entry in curves for number in _numbers(entry[field])], poles=poles)
    across = quantity("x", AXES[answer["axis"]] if last else None, domain=(x[0], x[-1]), labels=last, **ticks((x[0], x[-1])))
    up = quantity(
        "y", TITLES[field], domain=(low, high), **ticks((low, high)), minExtent=44, tickCount=5 if field == "value" else 3
    )
    rows: list[Spec] = []
    ends: list[tuple[str, float]] = []
    for line, (name, entry) in enumerate(zip(names, curves, strict=True)):
        drawn = [piece for run in _runs(x, entry, field) for piece in within(run, low, high)]
        runs = [thinned(run, WIDTH / (x[-1] - x[0]), height / (high - low)) for run in drawn]
        seen = [y for run in runs for _, y in run]
        ends.append((name, seen[-1] if seen else low))
        rows = [
            {"x": abscissa, "y": y, "line": line, "piece": piece} for piece, run in enumerate(runs) for abscissa, y in run
        ] + rows
    layers = [*_asymptotes(answer, theme, (low, high))] if field == "value" else []
    layers.append(
        {
            "data": {"values": rows},
            "mark": "line",
            "encoding": {"detail": {"field": "piece", "type": "nominal"}, **styles(theme, len(names))},
        }
    )
    if field == "value":
        layers += _kinks(answer, theme)
        layers += end_labels(theme, ends, len(names), WIDTH, height, (low, high)) if len(names) > 1 else []
    for layer in layers:
        layer["encoding"] = {"x": across, "y": up} | layer["encoding"]
    return {"width": WIDTH, "height": height, "layer": layers}


def _numbers(numbers: Sequence[object] | None) -> list[float]:
    return [value for number in numbers or () if (value := finite(number)) is not None]


def _view(numbers: Sequence[float], *, poles: bool) -> tuple[float, float]:
    """From where to where the y axis goes: beside a pole, only as far as most of the curve does."""
    ordered = sorted(numbers)
    low, high = ordered[0], ordered[-1]
    if poles:
        inner = ordered[len(ordered) // 12], ordered[-1 - len(ordered) // 12]
        reach = 0.6 * (inner[1] - inner[0])
        low, high = max(low, inner[0] - reach), min(high, inner[1] + reach)
    if low == high:
        low, high = low - 0.5 * (abs(low) or 1.0), high + 0.5 * (abs(high) or 1.0)
    margin = 0.04 * (high - low)
    return low - margin, high + margin


def _runs(x: Sequence[float], entry: Answer, field: str) -> Iterator[list[Point]]:
    """The line in pieces: it ends where it is infinite, and but for the value itself it may jump at a kink.

    Each piece goes on, straight, up to the kink where the next begins.
    """
    ends = [float("-inf"), *(entry["kinks"] if field != "value" else ()), float("inf")]
    for start, end in pairwise(ends):
        run: list[Point] = []
        for place, number in zip(x, entry[field] or (), strict=False):
            if not start < place < end:
                continue
            value = finite(number)
            if value is not None:
                run.append((place, value))
            elif run:
                yield run
                run = []
        if len(run) > 1 and start > run[0][0] - (run[1][0] - run[0][0]) * 1.5:
            run.insert(0, (start, _onward(run[1], run[0], start)))
        if len(run) > 1 and end < run[-1][0] + (run[-1][0] - run[-2][0]) * 1.5:
            run.append((end, _onward(run[-2], run[-1], end)))
        if run:
            yield run


def _onward(before: Point, last: Point, x: float) -> float:
    return last[1] + (last[1] - before[1]) / (last[0] - before[0]) * (x - last[0])


def _kinks(answer: Answer, theme: Theme) -> list[Spec]:
    places = [
        row(x=kink, y=_at(answer["x"], entry["value"], kink), line=line)
        for line, entry in enumerate(answer["curves"])
        for kink in entry["kinks"]
    ]
    if not places:
        return []
    mark = {"type": "point", "size": 46, "filled": False, "fill": theme.panel, "strokeWidth": 2, "opacity": 1}
    return [{"data": {"values": places}, "mark": mark, "encoding": {"color": styles(theme, len(answer["curves"]))["color"]}}]


def _at(x: Sequence[float], numbers: Sequence[object], place: float) -> float | None:
    """The value at a place between those that are known."""
    known = [(abscissa, value) for abscissa, number in zip(x, numbers, strict=True) if (value := finite(number)) is not None]
    for before, after in pairwise(known):
        if before[0] <= place <= after[0]:
            return _onward(before, after, place)
    return None


def _asymptotes(answer: Answer, theme: Theme, view: tuple[float, float]) -> Iterator[Spec]:
    """The asymptotes of the first loss: where they can be told from the curve itself."""
    entry, x = answer["curves"][0], answer["x"]
    for found in entry["asymptotes"]:
        if found["kind"] == "vertical":
            if x[0] <= found["x"] <= x[-1]:
                yield {
                    "data": {"values": [{"x": found["x"]}]},
                    "mark": {"type": "rule", "color": theme.muted, "strokeDash": [3, 3]},
                    "encoding": {"y": {"value": 0}, "y2": {"value": HEIGHTS["value"]}},
                }
            continue
        slope, intercept = found.get("slope", 0.0), found.get("intercept", found.get("y", 0.0))
        line = [(place, slope * place + intercept, finite(value)) for place, value in zip(x, entry["value"], strict=True)]
        inside = [(place, y, value) for place, y, value in line if view[0] <= y <= view[1]]
        apart = SEEN * (view[1] - view[0])
        if any(value is not None and abs(value - y) > apart for _, y, value in inside):
            side = _side(line)
            rows = [{"x": place, "y": y} for place, y, _ in inside if slope == 0 or (place - side[0]) * side[1] >= 0]
            yield {
                "data": {"values": rows},
                "mark": {"type": "line", "color": theme.muted, "strokeWidth": 1, "strokeDash": [3, 3]},
                "encoding": {},
            }


def _side(line: Sequence[tuple[float, float, float | None]]) -> tuple[float, float]:
    """From where on, and in which direction, the curve comes nearer to the line."""
    first, last = (abs(value - y) if value is not None else float("inf") for _, y, value in (line[0], line[-1]))
    return (line[0][0], 1.0) if last <= first else (line[-1][0], -1.0)


def _description(answer: Answer, names: Sequence[str]) -> str:
    x = answer["x"]
    sentences = [
        f"Loss over the {answer['axis']}, from {written(x[0])} to {written(x[-1])}, at target {written(answer['target'])}."
    ]
    for name, entry in zip(names, answer["curves"], strict=True):
        numbers = _numbers(entry["value"])
        first, last = (written(entry["value"][index]) for index in (0, -1))
        least = f", at least {written(min(numbers))}" if numbers else ""
        text = f"{named(name)}: {first} at the left end, {last} at the right one{least}"
        if slopes := _numbers(entry["slope"]):
            text += f"; its slope goes from {written(min(slopes))} to {written(max(slopes))}"
        kinks = entry["kinks"]
        text += (
            f"; {'a kink' if len(kinks) == 1 else 'kinks'} at {listed(written(kink) for kink in kinks[:MOST_KINKS])}"
            if kinks
            else "; no kink"
        )
        poles = [found["x"] for found in entry["asymptotes"] if found["kind"] == "vertical"]
        text += f"; it grows without bound at {listed(map(written, poles))}" if poles else ""
        sentences.append(text + ".")
    return " ".join(sentences)
