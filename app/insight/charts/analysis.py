"""An analysis as a chart: the error bar, the losses of the samples, and where the loss comes from."""

import math
from collections.abc import Iterator, Mapping, Sequence

from app.insight.charts.theme import (
    EMPTY,
    SMALL,
    THEMES,
    Answer,
    Spec,
    Theme,
    ThemeName,
    chart,
    counted,
    finite,
    forest,
    listed,
    named,
    nothing,
    panel_title,
    part,
    parts,
    quantity,
    row,
    row_axis,
    row_names,
    ticks,
    written,
)

PANEL, SPACE, COLUMNS = 300, 48, 2
STEP = 22
MOST_ROWS = 12
"""Samples, groups and models that are drawn of a kind."""
MOST_CLASSES = 12
"""Classes up to which a confusion matrix can be read."""
SQUARE = 220
INTERVALS = {"t": "t", "percentile": "bootstrap, percentile", "bca": "bootstrap, BCa"}


def analyze(answer: Answer, theme_name: ThemeName) -> Spec:
    """What an analysis says, in panels: those for which the answer has something to show."""
    theme = THEMES[theme_name]
    panels = [
        *_error_bar(theme, answer),
        *_histogram(theme, answer),
        *_worst(theme, answer),
        *_groups(theme, answer),
        *_reliability(theme, answer.get("calibration")),
        *_confusion(theme, answer.get("confusion")),
        *_coverage(theme, answer.get("coverage")),
        *_residuals(theme, answer),
    ]
    if not panels:
        panels = [nothing(theme, "nothing finite to draw", PANEL, 120)]
    return chart(theme, _title(answer), _subtitle(answer), _description(answer), grid(panels))


def grid(panels: Sequence[Spec]) -> Spec:
    """Panels in columns, their left edges one below the other."""
    return {"concat": [*panels], "columns": COLUMNS, "align": "each", "spacing": {"row": 28, "column": SPACE}}


def recommended(interval: Answer | None) -> Sequence[float] | None:
    """The interval that an answer recommends, where there is one that can be drawn."""
    found = parts(interval, str((interval or EMPTY).get("recommended")))
    return found if len(found) == 2 and all(finite(end) is not None for end in found) else None


def _error_bar(theme: Theme, answer: Answer) -> Iterator[Spec]:
    value, interval = finite(answer["value"]), part(answer, "interval")
    rows = [
        row(name=text, value=value, low=ends[0], high=ends[1], strong=kind == interval.get("recommended"))
        for kind, text in INTERVALS.items()
        if (ends := interval.get(kind)) and all(finite(end) is not None for end in ends)
    ]
    if rows and value is not None:
        title = f"{_percent(interval.get('confidence'))} intervals; recommended: filled"
        yield forest(theme, title, named(answer["loss"]["name"]), rows, PANEL, None)


def _histogram(theme: Theme, answer: Answer) -> Iterator[Spec]:
    """The losses of the samples, and their mean."""
    distribution = part(answer, "distribution")
    histogram = part(distribution, "histogram")
    edges, counts = parts(histogram, "edges"), parts(histogram, "counts")
    if len(edges) < 2 or any(finite(edge) is None for edge in edges):
        return
    rows = [{"from": low, "to": high, "n": n} for low, high, n in zip(edges[:-1], edges[1:], counts, strict=True)]
    x = quantity("from", "loss of a sample", domain=_room(edges), **ticks(edges))
    y = quantity("n", "samples", domain=(0, 1.08 * max(1, *counts)), values=_whole(max(1, *counts)), format="d")
    bars = {"type": "bar", "color": theme.series[0], "binSpacing": 1}
    title = "Losses of the samples"
    layers: list[Spec] = [
        {"data": {"values": rows}, "mark": bars, "encoding": {"x": x, "x2": {"field": "to"}, "y": y, "y2": {"datum": 0}}}
    ]
    if (mean := finite(answer["value"])) is not None and edges[0] <= mean <= edges[-1]:
        layers.append(_rule(theme, "from", mean, x, 150))
        title += f"; dashed: {written(mean)}, the value"
    yield {"width": PANEL, "height": 150, "title": panel_title(theme, title), "layer": layers}


def _rule(theme: Theme, field: str, value: float, x: Spec, height: float) -> Spec:
    return {
        "data": {"values": [{field: value}]},
        "mark": {"type": "rule", "color": theme.series[1], "strokeDash": [6, 4], "strokeWidth": 2},
        "encoding": {"x": x, "y": {"value": 0}, "y2": {"value": height}},
    }


def _worst(theme: Theme, answer: Answer) -> Iterator[Spec]:
    """The samples of largest loss, and how much of all loss each is."""
    worst = [found for found in parts(answer, "worst") if finite(found["loss"]) is not None][:MOST_ROWS]
    if not worst:
        return
    rows = [row(row=index, loss=found["loss"], share=_percent(found.get("share"))) for index, found in enumerate(worst, 1)]
    losses = [cells["loss"] for cells in rows]
    x = quantity("loss", "loss", domain=_room([0.0, *losses]), **ticks(losses))
    step = max(STEP, 72 / len(rows))
    y = row_axis(len(rows), step, grid=False)
    bars = {"type": "bar", "color": theme.series[0], "height": 14, "cornerRadiusEnd": 2}
    share = {
        "type": "text",
        "align": "left",
        "dx": 5,
        "baseline": "middle",
        "color": theme.muted,
        "fontSize": SMALL,
        "clip": False,
    }
    layers: list[Spec] = [
        {"data": {"values": rows}, "mark": bars, "encoding": {"x": x, "x2": {"datum": 0}, "y": y}},
        {
            "data": {"values": [cells for cells in rows if cells.get("share")]},
            "mark": share,
            "encoding": {"x": x, "y": y, "text": {"field": "share"}},
        },
        row_names([f"sample {found['index']}" for found in worst], step, grid=False),
    ]
    title = "Worst samples, and their share of the loss" if any(cells.get("share") for cells in rows) else "Worst samples"
    yield {"width": PANEL, "height": step * len(rows), "title": panel_title(theme, title), "layer": layers}


def _residuals(theme: Theme, answer: Answer) -> Iterator[Spec]:
    """Where the residuals lie: mean and deviation, against 0."""
    residuals = part(answer, "residuals")
    mean, std = finite(residuals.get("mean")), finite(residuals.get("std"))
    if mean is None or std is None:
        return
    rows = [row(name="prediction − target", value=mean, low=mean - std, high=mean + std, strong=True)]
    yield forest(theme, "Residuals, mean ± deviation", "residual", rows, PANEL, 0.0)


def _reliability(theme: Theme, calibration: Answer | None) -> Iterator[Spec]:
    """What was predicted against what was observed."""
    bins = parts(calibration, "bins")
    rows = [row(x=found["mean_prediction"], y=found["observed"], n=found["n"]) for found in bins]
    rows = [cells for cells in rows if "x" in cells and "y" in cells]
    if calibration is None or not rows:
        return
    low, high = _tenths([number for cells in rows for number in (cells["x"], cells["y"])])
    x, y = (
        quantity(field, name, domain=(low, high), tickCount=4, format="~r")
        for field, name in (("x", "mean prediction"), ("y", "share observed"))
    )
    layers: list[Spec] = [
        {
            "data": {"values": [{"x": low, "y": low}, {"x": high, "y": high}]},
            "mark": {"type": "line", "color": theme.control, "strokeWidth": 1, "strokeDash": [3, 3]},
            "encoding": {"x": x, "y": y},
        },
        {"data": {"values": rows}, "mark": {"type": "line", "color": theme.series[0]}, "encoding": {"x": x, "y": y}},
        {
            "data": {"values": rows},
            "mark": {"type": "point", "filled": True, "size": 56, "opacity": 1, "color": theme.series[0]},
            "encoding": {"x": x, "y": y},
        },
    ]
    title = f"Reliability: ECE {written(calibration.get('ece'), 3)}"
    if (by_chance := finite(calibration.get("ece_if_calibrated"))) is not None:
        title += f", {written(by_chance, 3)} if calibrated"
    yield {"width": SQUARE, "height": SQUARE, "title": panel_title(theme, title), "layer": layers}


def _confusion(theme: Theme, confusion: Answer | None) -> Iterator[Spec]:
    classes = parts(confusion, "classes")
    if confusion is None or not 2 <= len(classes) <= MOST_CLASSES:
        return
    matrix: Sequence[Sequence[float]] = confusion["matrix"]
    names = [named(name, 12) for name in classes]
    k, step = len(classes), max(24.0, SQUARE / len(classes))
    most = max(max(line) for line in matrix) or 1.0
    rows = [
        {"truth": truth, "predicted": predicted, "n": n, "text": written(n), "light": theme.on(n / most)}
        for truth, line in enumerate(matrix)
        for predicted, n in enumerate(line)
    ]

    def places(field: str, title: str) -> Spec:
        return {"field": field, "type": "ordinal", "title": title, "axis": {"labels": False, "grid": False, "titlePadding": 10}}

    x = places("predicted", "predicted") | {"scale": {"domain": [*range(k)], "paddingInner": 0.06}}
    y = places("truth", "truth") | {"scale": {"domain": [*range(k)], "paddingInner": 0.06}}
    x["axis"] |= {"orient": "bottom", "titlePadding": 24}
    y["axis"] |= {"titlePadding": 18 + 7 * max(len(name) for name in names)}
    shade = {
        "field": "n",
        "type": "quantitative",
        "legend": None,
        "scale": {"domain": [0, most], "range": [theme.soft, theme.series[0]], "interpolate": "rgb"},
    }
    letters = {"condition": {"test": "datum.light", "value": theme.panel}, "value": theme.ink}
    layers: list[Spec] = [
        {"data": {"values": rows}, "mark": {"type": "rect"}, "encoding": {"x": x, "y": y, "color": shade}},
        {
            "data": {"values": rows},
            "mark": {"type": "text"},
            "encoding": {"x": x, "y": y, "text": {"field": "text"}, "color": letters},
        },
        {
            "data": {"values": [{"truth": index, "name": name} for index, name in enumerate(names)]},
            "mark": {"type": "text", "align": "right", "clip": False, "color": theme.muted},
            "encoding": {"x": {"value": -8}, "y": y, "text": {"field": "name"}},
        },
        {
            "data": {"values": [{"predicted": index, "name": name} for index, name in enumerate(names)]},
            "mark": {"type": "text", "baseline": "top", "clip": False, "color": theme.muted, "limit": step},
            "encoding": {"x": x, "y": {"value": step * k + 6}, "text": {"field": "name"}},
        },
    ]
    title = f"Classes: accuracy {_percent(confusion.get('accuracy'))}"
    yield {"width": step * k, "height": step * k, "title": panel_title(theme, title), "layer": layers}


def _coverage(theme: Theme, coverage: Answer | None) -> Iterator[Spec]:
    """How many targets lie below the quantile, against how many should."""
    observed = finite(coverage.get("observed")) if coverage else None
    if coverage is None or observed is None:
        return
    low, high = coverage.get("interval") or (None, None)
    expected = finite(coverage.get("expected"))
    title = f"Coverage: {_percent(observed)} observed, {_percent(expected)} expected"
    yield forest(
        theme, title, "share of targets", [row(name="observed", value=observed, low=low, high=high, strong=True)], PANEL, expected
    )


def _groups(theme: Theme, answer: Answer) -> Iterator[Spec]:
    """Each grouping as a forest: its groups with their intervals, beside the value of all."""
    alpha = 1.0 - (finite(part(answer, "interval").get("confidence")) or 0.95)
    groupings: Mapping[str, Sequence[Answer]] = part(answer, "groups")
    for name, groups in groupings.items():
        rows = [
            row(
                name=f"{named(group['group'], 20)} ({group['n']:,})",
                value=finite(group["value"]),
                low=ends[0],
                high=ends[1],
                strong=(p := finite(group.get("p_adjusted"))) is not None and p < alpha,
            )
            for group in groups[:MOST_ROWS]
            for ends in [group.get("interval") or (None, None)]
        ]
        more = f", the first {MOST_ROWS} of {len(groups)}" if len(groups) > MOST_ROWS else ""
        yield forest(theme, f"By {named(name, 24)}{more}; filled: unlike the rest", "loss", rows, PANEL, finite(answer["value"]))


def _room(numbers: Sequence[float]) -> tuple[float, float]:
    """The range of these numbers; around one alone, some."""
    low, high = min(numbers), max(numbers)
    return (low, high) if low < high else (low - 0.5 * (abs(low) or 1.0), high + 0.5 * (abs(high) or 1.0))


def _whole(most: float) -> list[int]:
    """Whole numbers from 0 on, some four steps up to the most."""
    size = 10 ** max(0, math.floor(math.log10(most / 4)))
    step = next(size * times for times in (1, 2, 5, 10) if size * times * 5 > most)
    return [*range(0, int(most) + 1, step)]


def _tenths(shares: Sequence[float]) -> tuple[float, float]:
    """The tenths between which these shares lie: of a rare class all are small."""
    low = min(9, math.floor(10 * min(shares) + 1e-9))
    return low / 10, max(low + 1, math.ceil(10 * max(shares) - 1e-9)) / 10


def _percent(share: object) -> str:
    value = finite(share)
    return "" if value is None else f"{written(100 * value, 3)} %"


def _p(number: object) -> str:
    value = finite(number)
    return "unknown" if value is None else "below 0.001" if value < 0.001 else written(value, 2)


# --- in words ---------------------------------------------------------------------------------------------------------


def _title(answer: Answer) -> str:
    error = finite(answer.get("standard_error"))
    return f"{named(answer['loss']['name'])}: {written(answer['value'])}" + (f" ± {written(error)}" if error is not None else "")


def _subtitle(answer: Answer) -> str:
    sentence = part(answer, "concentration").get("sentence")
    return " · ".join(filter(None, [counted(answer["n_samples"], "sample"), sentence, part(answer, "interval").get("note")]))


def _description(answer: Answer) -> str:
    sentences = [f"{_title(answer)} over {counted(answer['n_samples'], 'sample')}."]
    interval = part(answer, "interval")
    if ends := recommended(interval):
        sentences.append(f"{_percent(interval.get('confidence'))} interval from {written(ends[0])} to {written(ends[1])}.")
    if sentence := part(answer, "concentration").get("sentence"):
        sentences.append(f"{sentence.rstrip('.')}.")
    if worst := answer.get("worst"):
        sentences.append(f"The worst sample is {worst[0]['index']}: its loss is {written(worst[0]['loss'])}.")
    if test := part(answer, "residuals").get("heteroscedasticity"):
        sentences.append(f"Residuals of even spread: p {_p(test.get('p_value'))}.")
    if calibration := answer.get("calibration"):
        sentences.append(f"Calibration: ECE {written(calibration.get('ece'), 3)} in {counted(len(calibration['bins']), 'bin')}.")
    if confusion := answer.get("confusion"):
        sentences.append(
            f"Accuracy {_percent(confusion.get('accuracy'))} over {counted(len(confusion['classes']), 'class')}.".replace(
                "classs", "classes"
            )
        )
    for name, groups in part(answer, "groups").items():
        values = listed(f"{named(group['group'])} {written(group['value'])}" for group in groups[:MOST_ROWS])
        sentences.append(f"By {named(name)}: {values}.")
    return " ".join(sentences)
