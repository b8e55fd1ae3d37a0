"""A comparison of models as a chart: for each loss what every model has, and how far apart each two are."""

from collections.abc import Sequence

from app.insight.charts.analysis import MOST_ROWS, PANEL, grid, recommended
from app.insight.charts.theme import (
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
    row,
    written,
)

MOST_LOSSES = 8
"""Losses that are drawn."""
FEW_LOSSES = 3
"""Losses whose conclusions stand above the chart."""


def compare(answer: Answer, theme_name: ThemeName) -> Spec:
    """Values of the models with their intervals, beside the differences of each two; 0 is no difference."""
    theme = THEMES[theme_name]
    losses: Sequence[Answer] = answer["losses"]
    panels = [panel for entry in losses[:MOST_LOSSES] for panel in _of_loss(theme, entry)]
    models = len(losses[0]["table"])
    title = (
        f"{counted(models, 'model')} under {_named(losses[0])}"
        if len(losses) == 1
        else f"{counted(models, 'model')} under {len(losses)} losses"
    )
    sentences = [_concluded(entry, alone=len(losses) == 1 or models == 1) for entry in (losses if models > 1 else losses[:1])]
    if len(losses) > FEW_LOSSES and models > 1:
        sentences = [f"{sum(entry['best'] is not None for entry in losses)} of {len(losses)} losses have a best model."]
    if len(losses) > MOST_LOSSES:
        sentences.append(f"The first {MOST_LOSSES} are drawn.")
    return chart(theme, title, " ".join(sentences), _description(answer), grid(panels))


def _of_loss(theme: Theme, entry: Answer) -> list[Spec]:
    """The values, and where there are several models their differences."""
    lines: Sequence[Answer] = entry["table"]
    values = [
        row(
            name=str(line["model"]), value=finite(line["value"]), low=ends[0], high=ends[1], strong=line["model"] == entry["best"]
        )
        for line in lines[:MOST_ROWS]
        for ends in [recommended(line["interval"]) or (None, None)]
    ]
    best = "; filled: the best" if entry["best"] is not None else ""
    panels = [forest(theme, f"{_named(entry)}{_first(lines)}{best}", "value, with interval", values, PANEL, None)]
    pairs: Sequence[Answer] = sorted(entry["pairs"], key=lambda pair: 2.0 if pair["p_adjusted"] is None else pair["p_adjusted"])
    if pairs:
        shown = [
            row(
                name=" − ".join(named(model, 14) for model in pair["models"]),
                value=finite(pair["difference"]),
                low=ends[0],
                high=ends[1],
                strong=ends[0] is not None and not ends[0] <= 0 <= ends[1],
            )
            for pair in pairs[:MOST_ROWS]
            for ends in [pair["interval"] if pair["interval"] and None not in pair["interval"] else (None, None)]
        ]
        title = f"Differences{_first(pairs)}; filled: the interval leaves 0 out"
        panels.append(forest(theme, title, "difference, with interval", shown, PANEL, 0.0))
    return panels


def _named(entry: Answer) -> str:
    return named(entry["loss"]["name"])


def _first(rows: Sequence[object]) -> str:
    return f", {MOST_ROWS} of {len(rows)}" if len(rows) > MOST_ROWS else ""


def _concluded(entry: Answer, *, alone: bool) -> str:
    conclusion = str(entry["conclusion"]).rstrip(".") + "."
    return conclusion if alone else f"{_named(entry)}: {conclusion}"


def _description(answer: Answer) -> str:
    sentences = [f"Comparison over {counted(answer['n_samples'], 'sample')}."]
    for entry in answer["losses"][:MOST_LOSSES]:
        values = listed(f"{named(line['model'])} {written(line['value'])}" for line in entry["table"][:MOST_ROWS])
        sentences.append(f"{_named(entry)}: {values}. {str(entry['conclusion']).rstrip('.')}.")
        sentences += [_apart(pair) for pair in entry["pairs"][:3] if finite(pair["difference"]) is not None]
    return " ".join(sentences)


def _apart(pair: Answer) -> str:
    low, high = pair["interval"] or (None, None)
    apart = f"{listed(pair['models'])} differ by {written(pair['difference'])}"
    return f"{apart}." if finite(low) is None or finite(high) is None else f"{apart}, from {written(low)} to {written(high)}."
