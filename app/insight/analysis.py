"""One loss on one batch: how sure its value is, and which samples, predictions and groups it comes from."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from app.errors import Path
from app.insight.calibration import Calibration, calibration
from app.insight.confusion import Confusion, confusion
from app.insight.coverage import Coverage, coverage
from app.insight.distribution import Concentration, Distribution, Worst, concentration, distribution, worst
from app.insight.groups import Group, Slices, count_pairs, groups, slices
from app.insight.intervals import Asked, Interval, drawn_values, error_bar
from app.insight.labels import Labels
from app.insight.measured import Measured, is_whole, leaves_of, measure
from app.insight.readings import readable
from app.insight.residuals import Residuals, residuals
from app.losses.batch import AnyBatch
from app.losses.numerics.stable import Array

LOADING = 1e8
"""Steps that it takes to load SciPy, which a server is spared: an analysis belongs in a process of its own."""
PER_SAMPLE = 300.0
PER_DRAW = 8.0


class Analysis(NamedTuple):
    """What an analysis finds; None for what the loss, or the request, has not. An infinite number stays one here."""

    n_samples: int
    n_clusters: int | None
    value: float
    standard_error: float | None
    interval: Interval
    distribution: Distribution
    worst: tuple[Worst, ...]
    concentration: Concentration | None
    residuals: Residuals | None
    calibration: Calibration | None
    confusion: Confusion | None
    coverage: Coverage | None
    groups: dict[str, tuple[Group, ...]] | None
    slices: Slices | None


def analyze(
    batch: AnyBatch,
    groupings: Mapping[str, Labels] | None = None,
    clusters: Labels | None = None,
    asked: Asked = Asked(),  # noqa: B008  # a NamedTuple
    *,
    n_worst: int = 10,
    bins: int = 10,
    classes: tuple[str | float, ...] | None = None,
    path: Path = ("predictions",),
) -> Analysis:
    """The value of a checked batch with its error bar, and where it comes from.

    Labels are one for each sample of the batch, those that do not count included. InvalidInput with the code
    `too_few_samples`, `shape_mismatch` or `one_group`.
    """
    measured = measure(batch, path=path)
    n = batch.elements[0]
    among = None if clusters is None else clusters.of(measured.index, n)
    by = {name: labels.of(measured.index, n) for name, labels in (groupings or {}).items()}
    drawn, spread, largest, shared = _of_losses(measured, among, asked, n_worst)
    bar = error_bar(measured, among, asked, drawn)
    read = readable(batch)
    return Analysis(
        n_samples=batch.n_samples,
        n_clusters=None if among is None else len(among.levels),
        value=bar.value,
        standard_error=bar.standard_error,
        interval=bar.interval,
        distribution=spread,
        worst=largest,
        concentration=shared,
        residuals=None if read is None else residuals(read),
        calibration=None if read is None else calibration(read, bins),
        confusion=None if read is None else confusion(read, classes),
        coverage=None if read is None else coverage(read, asked.confidence),
        groups=groups(measured, by, among, asked.confidence) if by else None,
        slices=slices(measured, by, among, asked.confidence) if len(by) > 1 else None,
    )


def _of_losses(
    measured: Measured, among: Labels | None, asked: Asked, n_worst: int
) -> tuple[Array | None, Distribution, tuple[Worst, ...], Concentration | None]:
    """What is found in their order, which is forgotten again: it takes as much memory as they do.

    Resamples are None where the value is not finite: no error bar looks at them.
    """
    ordered = np.sort(measured.losses)
    drawn = drawn_values(measured, among, asked, ordered) if math.isfinite(measured.value) else None
    return drawn, distribution(measured.losses, ordered), worst(measured, ordered, n_worst), concentration(ordered)


def cost_of(batch: AnyBatch, groupings: Mapping[str, Labels] | None, resamples: int) -> float:
    """Steps that an analysis takes, from shapes alone."""
    n = batch.elements[0]
    labels = list((groupings or {}).values())
    contrasts = sum(len(grouping.levels) for grouping in labels) + count_pairs(labels)
    return LOADING + resampling_cost(batch, resamples) + (PER_SAMPLE + 40.0 * contrasts) * n + batch.cost


def resampling_cost(batch: AnyBatch, resamples: int) -> float:
    """Steps that the error bar takes."""
    from app.insight.bootstrap import FEW, MOST_LEFT_OUT  # what bounds the draws

    n = batch.elements[0]
    if is_whole(batch):
        return (resamples + min(n, MOST_LEFT_OUT)) * (batch.cost + 1e5)
    return PER_DRAW * resamples * min(n, FEW) * len(leaves_of(batch))
