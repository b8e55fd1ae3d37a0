"""Training runs as charts: loss and metrics over the epochs, where the best epoch was, and what the service makes of it."""

import math
from collections.abc import Iterator, Sequence

from app.insight.charts.theme import (
    THEMES,
    WIDTH,
    Answer,
    Point,
    Spec,
    Theme,
    ThemeName,
    chart,
    counted,
    end_labels,
    finite,
    forest,
    listed,
    named,
    nothing,
    panel_title,
    parts,
    quantity,
    row,
    row_axis,
    row_names,
    styles,
    thinned,
    ticks,
    within,
    written,
)

SIDES = ("training", "validation")
LOSS_HEIGHT, METRIC_HEIGHT = 240, 100
MOST_METRICS = 4
"""Metrics that are drawn."""
RANGE = 30.0
"""A loss that falls to less than this part of what it was is drawn on a logarithmic axis."""
MOST_PANELS, MOST_ROWS, MOST_PAIRS = 12, 40, 20
"""Runs that are drawn epoch by epoch, and variants and pairs of them with their error bars."""
COLUMNS, SMALL_WIDTH, SMALL_HEIGHT, SCORE_STEP = 2, 300, 150, 24
"""Of runs side by side."""


def train(answer: Answer, theme_name: ThemeName) -> Spec:
    """One run: training and validation loss by epoch, the best epoch and the verdict, and the metrics below."""
    theme = THEMES[theme_name]
    verdict, summary = _verdict(answer)
    history: Sequence[Answer] = answer["history"]
    metrics = [*history[0]["metrics"]][:MOST_METRICS] if history else []
    panels = [_panel(theme, answer, None, WIDTH, LOSS_HEIGHT, last=not metrics)]
    panels += [_panel(theme, answer, name, WIDTH, METRIC_HEIGHT, last=name == metrics[-1]) for name in metrics]
    title = f"{named(answer['loss']['name'])} by epoch" + (f": {verdict}" if verdict else "")
    return chart(theme, title, summary, _description(answer), {"vconcat": panels, "spacing": 14})


def compare(answer: Answer, theme_name: ThemeName) -> Spec:
    """Scores of what is repeated with their error bars; a few runs side by side, each with its own axis where losses have their
    own units; and the scores of each."""
    theme = THEMES[theme_name]
    runs: Sequence[Answer] = answer["runs"]
    axes: Sequence[str] = answer.get("axes") or [answer["by"]]
    names = [
        named(f"{answer['by']} {line['name']}" if isinstance(line["name"], int) else line["name"], 34) for line in answer["table"]
    ]
    spreads = [*_spreads(theme, answer)]
    numbers = [number for run in runs for _, line in _lines(run, None) for _, number in line]
    common = _range(numbers) if numbers and "loss" not in axes else None
    panels = [
        _panel(theme, run, None, SMALL_WIDTH, SMALL_HEIGHT, last=True, title=_caption(name, line), view=common)
        for name, run, line in zip(names, runs, answer["table"], strict=True)
        if len(runs) <= MOST_PANELS
    ]
    rows: list[Spec] = [{"hconcat": panels[start : start + COLUMNS], "spacing": 36} for start in range(0, len(panels), COLUMNS)]
    scores = [*_scores(theme, answer, names)] if panels or not spreads else []
    title = f"{counted(len(runs), 'run')} by {listed(axes)}"
    units = "Losses have units of their own: compare them by the scores." if "loss" in axes and (scores or spreads) else ""
    body = [*spreads, *rows, *scores] or [nothing(theme, "nothing was scored", WIDTH, SMALL_HEIGHT)]
    return chart(theme, title, units or _best(answer, names), _comparison(answer, names), {"vconcat": body, "spacing": 24})


def _spreads(theme: Theme, answer: Answer) -> Iterator[Spec]:
    """The means of each score over repeats with their intervals, and where there are several variants their differences."""
    variants: Sequence[Answer] = parts(answer, "variants")[:MOST_ROWS]
    if all(score["interval"] is None for variant in variants for score in variant["scores"].values()):
        return
    same = all(variant["loss"] == variants[0]["loss"] for variant in variants)
    metrics = [name for name in variants[0]["scores"] if name != "validation_loss" or same]
    for metric in metrics[:MOST_METRICS]:
        told = [(variant["name"], variant["scores"][metric]) for variant in variants]
        repeats = max(score["n"] for _, score in told)
        means = [_bar(named(name), score["mean"], score["interval"], strong=True) for name, score in told]
        yield forest(theme, f"{named(metric)}: mean over {repeats}, with interval", named(metric), means, WIDTH, None)
        pairs = [entry for entry in answer["differences"] if entry["metric"] == metric]
        if metric == metrics[0] and pairs:
            likeliest = sorted(pairs, key=lambda pair: 2.0 if pair["p_adjusted"] is None else pair["p_adjusted"])[:MOST_PAIRS]
            bars = [_apart(answer, pair) for pair in likeliest]
            yield forest(
                theme, f"{named(metric)}: differences; filled: the interval leaves 0 out", "difference", bars, WIDTH, 0.0
            )


def _apart(answer: Answer, pair: Answer) -> Spec:
    name = " − ".join(_both_ends(str(answer["variants"][pair[side]]["name"])) for side in "ab")
    ends = pair["interval"]
    return _bar(name, pair["difference"], ends, strong=ends is not None and not ends[0] <= 0 <= ends[1])


def _both_ends(name: str) -> str:
    """A name in a pair: what tells variants apart may stand at its end."""
    return named(name, 14) if len(name) <= 14 else named(f"{name[:5]}…{name[-8:]}", 14)


def _bar(name: str, value: object, ends: Sequence[float] | None, *, strong: bool) -> Spec:
    low, high = ends or (None, None)
    return row(name=name, value=finite(value), low=low, high=high, strong=strong)


# --- one panel --------------------------------------------------------------------------------------------------------


def _panel(
    theme: Theme,
    run: Answer,
    metric: str | None,
    width: int,
    height: int,
    *,
    last: bool,
    title: str | None = None,
    view: tuple[float, float] | None = None,
) -> Spec:
    lines = [*_lines(run, metric)]
    numbers = [number for _, line in lines for _, number in line]
    if not numbers:
        return nothing(theme, f"no epoch was finished: {named(run['stopped']['reason'])}", width, height) | _titled(theme, title)
    log = view is None and metric is None and min(numbers) > 0 and max(numbers) > RANGE * min(numbers)
    low, high = view or _range(numbers, log=log)
    scaled = [(name, [(epoch, math.log10(number) if log else number) for epoch, number in line]) for name, line in lines]
    if log:
        low, high = math.log10(low), math.log10(high)
    end = max(epoch for _, line in lines for epoch, _ in line)
    across = quantity("x", "epoch" if last else None, domain=(0, max(end, 2)), labels=last, tickMinStep=1, grid=False)
    across["axis"] |= {"values": [*range(int(max(end, 2)) + 1)], "format": "d"} if end <= 5 else {}
    up = quantity("y", named(metric or "loss") + (", logarithmic" if log else ""), domain=(low, high), minExtent=44, tickCount=4)
    up["axis"] |= {"labelExpr": "format(pow(10, datum.value), '.3~g')", "gridColor": theme.line} if log else ticks((low, high))
    rows: list[Spec] = []
    for index, (_, line) in enumerate(scaled):
        runs = [thinned(run, width / max(end, 2), height / (high - low)) for run in within(line, low, high)]
        rows = [
            {"x": epoch, "y": number, "line": index, "piece": piece} for piece, run in enumerate(runs) for epoch, number in run
        ] + rows
    few = max(len(line) for _, line in lines) <= 1
    layers: list[Spec] = [*_marks(theme, run, metric, height, end)]
    mark: Spec = {"type": "point", "filled": True, "size": 60, "opacity": 1} if few else {"type": "line"}
    look = styles(theme, len(SIDES))
    look = {"color": look["color"]} if few else look | {"detail": {"field": "piece", "type": "nominal"}}
    layers.append({"data": {"values": rows}, "mark": mark, "encoding": look})
    layers += end_labels(theme, [(name, line[-1][1]) for name, line in scaled if line], len(SIDES), width, height, (low, high))
    for layer in layers:
        layer["encoding"] = {"x": across, "y": up} | layer["encoding"]
    return {"width": width, "height": height, "layer": layers, **_titled(theme, title)}


def _titled(theme: Theme, title: str | None) -> Spec:
    return {} if title is None else {"title": panel_title(theme, title, noted=True)}


def _lines(run: Answer, metric: str | None) -> Iterator[tuple[str, list[Point]]]:
    """The curve of each kind of rows that there are, by epoch."""
    for side in SIDES:
        found = [
            (epoch["epoch"], epoch[f"{side}_loss"] if metric is None else epoch["metrics"][metric][side])
            for epoch in run["history"]
        ]
        line = [(float(epoch), number) for epoch, given in found if (number := finite(given)) is not None]
        if line:
            yield side, line


def _range(numbers: Sequence[float], *, log: bool = False) -> tuple[float, float]:
    low, high = min(numbers), max(numbers)
    if log:
        return low / 1.15, high * 1.15
    low = 0.0 if 0 <= low < 0.35 * high else low
    margin = 0.05 * (high - low) or 0.5 * (abs(high) or 1.0)
    return low - (margin if low else 0.0), high + margin


def _marks(theme: Theme, run: Answer, metric: str | None, height: int, end: float) -> Iterator[Spec]:
    """The epoch of the lowest loss, and the one at which the run diverged."""
    marked = {"best": run["best_epoch"]}
    if run["stopped"]["reason"] == "diverged":
        marked["diverged"] = run["stopped"]["epoch"]
    for name, epoch in marked.items():
        if not epoch or epoch > end:
            continue
        rows = [{"x": epoch, "text": f"{name}: epoch {epoch}"}]
        yield {
            "data": {"values": rows},
            "mark": {"type": "rule", "color": theme.control if name == "best" else theme.bad, "strokeDash": [2, 3]},
            "encoding": {"y": {"value": 0}, "y2": {"value": height}},
        }
        if metric is None:
            right = epoch > 0.7 * end
            yield {
                "data": {"values": rows},
                "mark": {
                    "type": "text",
                    "align": "right" if right else "left",
                    "dx": -6 if right else 6,
                    "baseline": "bottom",
                    "color": theme.muted,
                },
                "encoding": {"y": {"value": -4}, "text": {"field": "text"}},
            }


# --- several runs -----------------------------------------------------------------------------------------------------


def _caption(name: str, line: Answer) -> str:
    verdict = str(line["verdict"] or line["stopped"]).replace("_", " ")
    return f"{name}: {verdict}"


def _scores(theme: Theme, answer: Answer, names: Sequence[str]) -> Iterator[Spec]:
    """Each metric of each run, on training and on validation rows: a line of dots to each run."""
    for metric in [*answer["table"][0]["metrics"]][:MOST_METRICS]:
        rows = [
            {"row": index, "score": score, "line": kind}
            for index, line in enumerate(answer["table"], 1)
            for kind, side in reversed([*enumerate(SIDES)])
            if (score := finite(line["metrics"][metric][side])) is not None
        ]
        if not rows:
            continue
        x = quantity("score", named(metric), **ticks([cells["score"] for cells in rows]))
        shape = {"field": "line", "type": "nominal", "legend": None, "scale": {"domain": [0, 1], "range": ["circle", "diamond"]}}
        look = {"color": styles(theme, 2)["color"], "shape": shape}
        dots = {
            "data": {"values": rows},
            "mark": {"type": "point", "size": 70, "filled": True, "opacity": 1},
            "encoding": {"x": x, "y": row_axis(len(names), SCORE_STEP), **look},
        }
        layers = [dots, row_names(names, SCORE_STEP)]
        title = f"{named(metric)}: circles training, diamonds validation"
        yield {"width": WIDTH, "height": SCORE_STEP * len(names), "title": panel_title(theme, title), "layer": layers}


# --- in words ---------------------------------------------------------------------------------------------------------


def _verdict(answer: Answer) -> tuple[str, str]:
    """What the service makes of a run, in a word and in a sentence."""
    for finding in answer["diagnosis"]:
        return named(finding["verdict"]).replace("_", " "), str(finding["summary"])
    return "", f"stopped at epoch {answer['stopped']['epoch']}: {named(answer['stopped']['reason']).replace('_', ' ')}"


def _description(answer: Answer) -> str:
    verdict, summary = _verdict(answer)
    ended = f"it stopped at epoch {answer['stopped']['epoch']} ({named(answer['stopped']['reason']).replace('_', ' ')})"
    sentences = [f"{named(answer['loss']['name'])} over {counted(len(answer['history']), 'epoch')}; {ended}."]
    for side, line in _lines(answer, None):
        sentences.append(f"The {side} loss goes from {written(line[0][1])} to {written(line[-1][1])}.")
    if answer["best_epoch"]:
        sentences.append(f"The best epoch is {answer['best_epoch']}.")
    if verdict:
        sentences.append(f"Verdict: {verdict}. {summary}")
    return " ".join(sentences)


def _best(answer: Answer, names: Sequence[str]) -> str:
    return "; ".join(
        f"best {named(metric)}: {names[best['run']]}, {written(best['score'])}" for metric, best in answer["best"].items()
    )


def _comparison(answer: Answer, names: Sequence[str]) -> str:
    sentences = [f"{counted(len(names), 'training run')} by {listed(answer.get('axes') or [answer['by']])}."]
    for variant in parts(answer, "variants")[:MOST_ROWS]:
        told = [(metric, score) for metric, score in variant["scores"].items() if score["interval"] is not None]
        bars = [f"{named(metric)} {written(score['mean'])} ± {written(score['standard_error'])}" for metric, score in told]
        sentences += [f"{named(variant['name'])}: {', '.join(bars)}."] if bars else []
    for name, line in [*zip(names, answer["table"], strict=True)][:MOST_PANELS]:
        losses = [f"{side} loss {written(line[f'{side}_loss'])}" for side in SIDES if finite(line[f"{side}_loss"]) is not None]
        sentences.append(f"{_caption(name, line)}" + (f", {' and '.join(losses)}" if losses else "") + ".")
    best = _best(answer, names)
    return " ".join([*sentences, f"{best[:1].upper()}{best[1:]}." if best else ""]).strip()
