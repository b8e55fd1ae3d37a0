"""The tables of a run, and what must be reached."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench import trees
from bench.contenders import (
    BARE_BINARY,
    BARE_JSON,
    BINARY,
    BUFFERS,
    ECHO,
    FLOOR,
    JSON,
    LARGE,
    SMALL,
    TINY,
    TWENTY_LINES,
    Contender,
    Size,
)
from bench.insight import Analyzed, Written
from bench.kernels import THREADS, Timed
from bench.pictures import Pictured
from bench.tables import ROWS, Read
from bench.training import AS_IN_TUTORIAL, CRITERION, KERAS, SCIKIT, TORCH, Race, Served, Share, Trained, can
from bench.wire import Crowded, Measured, Priced

Wire = dict[Size, dict[str, Measured]]
UNIT = 500_000
"""Numbers of the request whose price per byte the larger ones must keep."""

MUST_BE_FASTER = (
    "mean_squared_error",
    "huber",
    "binary_cross_entropy",
    "kl_divergence",
    "categorical_cross_entropy",
)
SHORT_ROWS = 10
MUCH_FASTER = 4.0
"""What cross-entropy must reach in one thread for rows of so few classes."""
FASTER = {TORCH: 5.0, KERAS: 5.0, SCIKIT: 3.0}
"""How many times our time a training run must take there."""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] + ["--:"] * (len(head) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _number(value: float) -> str:
    return f"{value:.3f}" if value < 1 else f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _spread(values: Sequence[float]) -> str:
    return f"{_number(statistics.median(values))} ({_number(min(values))} to {_number(max(values))})"


# --- the wire ---------------------------------------------------------------------------------------------------------


def wire_table(size: Size, results: dict[str, Measured]) -> str:
    head = [f"{size[0]}×{size[1]}", "CPU ms a request", "p50 ms", "p99 ms", "requests/s", "peak RSS MB", "CPU ÷ ours", "requests"]
    ours = results[JSON.name]
    return table(head, [_wire_row(name, measured, ours) for name, measured in results.items()])


def _wire_row(name: str, measured: Measured, ours: Measured) -> list[str]:
    p50, p99 = np.percentile(measured.latencies_ms, (50, 99))
    return [
        name,
        _spread(measured.cpu_ms),
        _number(p50),
        _number(p99),
        _number(statistics.median(measured.rate)),
        f"{measured.peak_mb:.0f}",
        _number(statistics.median(_ratios(measured.cpu_ms, ours.cpu_ms))),
        str(len(measured.latencies_ms)),
    ]


def _ratios(over: Sequence[float], under: Sequence[float]) -> list[float]:
    """Round by round: what disturbs one round disturbs both sides."""
    return [a / b for a, b in zip(over, under, strict=True)]


def price_table(prices: dict[int, Priced]) -> str:
    head = ["numbers", "body MB", "CPU ms a request", "ns a byte", f"÷ that of {UNIT:,}", "p50 ms", "requests"]
    return table(head, [_price_row(n, priced, prices[UNIT]) for n, priced in prices.items()])


def _price_row(n: int, priced: Priced, unit: Priced) -> list[str]:
    median = statistics.median(priced.cpu_ms)
    return [
        f"{n:,}",
        f"{priced.body_bytes / 1e6:.3g}",
        _spread(priced.cpu_ms),
        _number(median / priced.body_bytes * 1e6),
        _number(statistics.median(_price_ratios(priced, unit))) if n >= UNIT else "–",
        _number(float(np.median(priced.latencies_ms))),
        str(len(priced.latencies_ms)),
    ]


def _price_ratios(over: Priced, under: Priced) -> list[float]:
    """Price per byte, round by round."""
    return [ratio * under.body_bytes / over.body_bytes for ratio in _ratios(over.cpu_ms, under.cpu_ms)]


def read_table(read: Iterable[Read]) -> str:
    head = [f"{ROWS:,} rows of CSV", "MB", "CPU ms", "MB/s", "NumPy's loadtxt ÷ ours"]
    return table(head, [_read_row(reading) for reading in read])


def _read_row(reading: Read) -> list[str]:
    milliseconds = [1000 * seconds for seconds in reading.ours]
    return [
        reading.form,
        _number(reading.megabytes),
        _spread(milliseconds),
        _spread(reading.rates),
        _spread(_ratios(reading.numpy, reading.ours)),
    ]


def crowd_table(results: Mapping[str, Crowded], beside: str = "large") -> str:
    head = [
        "one server process",
        "alone: p50 ms",
        "p99 ms",
        f"beside {beside}: p50 ms",
        "p99 ms",
        f"{beside}: p50 ms",
        f"tiny, {beside} requests",
    ]
    rows: list[list[str]] = []
    for name, crowded in results.items():
        numbers = [*np.percentile(crowded.idle, (50, 99)), *np.percentile(crowded.crowded, (50, 99)), np.median(crowded.large)]
        rows.append([name, *map(_number, numbers), f"{len(crowded.crowded)}, {len(crowded.large)}"])
    return table(head, rows)


# --- the kernels ------------------------------------------------------------------------------------------------------


def kernel_table(timed: Iterable[Timed]) -> str:
    head = ["ns a number: best (median)", "numbers", "threads", "ours", "PyTorch", "PyTorch ÷ ours, best", "median"]
    head += ["our check", "must reach"]
    return table(head, [_kernel_row(kernel, threads) for kernel in timed for threads in THREADS])


def _kernel_row(kernel: Timed, threads: int) -> list[str]:
    ours, theirs = kernel.ours[threads], kernel.theirs.get(threads)
    limit = _kernel_limit(kernel, threads)
    return [
        kernel.name,
        _power(kernel.numbers),
        str(threads),
        _best(ours, kernel.numbers),
        _best(theirs, kernel.numbers) if theirs else "–",
        _number(min(theirs) / min(ours)) if theirs else "–",
        _number(statistics.median(theirs) / statistics.median(ours)) if theirs else "–",
        _number(min(kernel.check) / kernel.numbers * 1e9),
        f"{limit:g}" if limit else "",
    ]


def _best(seconds: Sequence[float], numbers: int) -> str:
    return f"{_number(min(seconds) / numbers * 1e9)} ({_number(statistics.median(seconds) / numbers * 1e9)})"


def _power(numbers: int) -> str:
    return f"1e{len(str(numbers)) - 1}"


def _kernel_limit(kernel: Timed, threads: int) -> float | None:
    """How many times PyTorch's time ours must be at least, if anything is asked of the case."""
    if kernel.single or kernel.loss not in MUST_BE_FASTER:
        return None
    if threads == 1:
        return MUCH_FASTER if kernel.loss == "categorical_cross_entropy" and kernel.k <= SHORT_ROWS else 1.0
    return 0.8 if kernel.numbers == 1_000_000 else 2.0


# --- training runs ----------------------------------------------------------------------------------------------------


def race_table(trained: Trained) -> str:
    """Seconds of a run by each contender, and how many times ours that is."""
    head = ["seconds of a run", "best", "median (least to greatest)", "÷ ours, median of the rounds", "training loss"]
    return "\n\n".join(table([raced.case, *head[1:]], _race_rows(raced)) for raced in trained.races)


def _race_rows(race: Race) -> Iterable[list[str]]:
    for name, seconds in race.seconds.items():
        ratio = statistics.median(_ratios(seconds, race.seconds[CRITERION]))
        yield [name, _number(min(seconds)), _spread(seconds), _number(ratio), _number(race.losses[name])]


def share_table(shares: Iterable[Share]) -> str:
    head = ["an epoch, µs: median", "whole", "steps", "measuring", "history and events", "all but the steps, %"]
    return table(head, [_share_row(share) for share in shares])


def _share_row(share: Share) -> list[str]:
    whole, steps, measuring = (statistics.median(times) * 1e6 for times in (share.whole, share.steps, share.measuring))
    return [share.case, *map(_number, (whole, steps, measuring, whole - steps - measuring, rest_percent(share)))]


def rest_percent(share: Share) -> float:
    """How much of an epoch is not steps."""
    return 100.0 * (1.0 - statistics.median(share.steps) / statistics.median(share.whole))


def served_table(served: Served) -> str:
    head = ["ms", "p50", "p99", "requests"]
    lines = {
        "POST /v1/train": served.posted,
        "its epochs together": served.epochs,
        "the rest of the call": served.rest,
        "tiny requests alone": served.idle,
        "tiny requests beside a streamed run": served.beside,
        "the streamed run": served.streams,
    }
    rows = [[name, *map(_number, np.percentile(latencies, (50, 99))), str(len(latencies))] for name, latencies in lines.items()]
    return table(head, [*rows, ["the first POST /v1/train, which starts a process", _number(served.first), "", "1"]])


# --- what must be reached ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Target:
    text: str
    measured: float | None
    limit: float
    at_least: bool
    more: str = ""

    @property
    def row(self) -> list[str]:
        rule = f"{'at least' if self.at_least else 'at most'} {self.limit:g}"
        if self.measured is None:
            return [self.text, rule, "not measured", "–"]
        reached = self.measured >= self.limit if self.at_least else self.measured <= self.limit
        return [self.text, rule, _number(self.measured) + self.more, "yes" if reached else "**no**"]


def target_table(targets: Iterable[Target]) -> str:
    return table(["must reach", "limit", "measured", "reached"], [target.row for target in targets])


def wire_targets(wire: Wire, crowded: dict[str, Crowded]) -> list[Target]:
    targets = [
        _cpu(wire, TINY, JSON, ECHO, 1.35, at_least=False),
        _cpu(wire, TINY, BINARY, JSON, 1.3, at_least=False),
        _cpu(wire, LARGE, BARE_JSON, JSON, 1.1, at_least=False),
        _cpu(wire, LARGE, BARE_BINARY, BINARY, 1.1, at_least=False),
    ]
    for size in (SMALL, LARGE):
        targets += [
            _cpu(wire, size, TWENTY_LINES, JSON, 15.0, at_least=True),
            _cpu(wire, size, JSON, FLOOR, 0.8, at_least=False),
        ]
    targets += [_cpu(wire, LARGE, JSON, BINARY, 3.5, at_least=True), _cpu(wire, LARGE, BINARY, BUFFERS, 2.0, at_least=False)]
    p99 = float(np.percentile(crowded[JSON.name].crowded, 99))
    return [*targets, Target("p99 of tiny requests while a 20 MB JSON request is in, one worker, ms", p99, 10.0, at_least=False)]


def _cpu(wire: Wire, size: Size, over: Contender, under: Contender, limit: float, *, at_least: bool) -> Target:
    text = f"{size[0]}×{size[1]}: CPU of {over.name} ÷ {under.name}"
    if size not in wire:
        return Target(text, None, limit, at_least)
    ratios = _ratios(wire[size][over.name].cpu_ms, wire[size][under.name].cpu_ms)
    more = f" ({_number(min(ratios))} to {_number(max(ratios))})"
    return Target(text, statistics.median(ratios), limit, at_least, more)


def read_targets(read: Sequence[Read]) -> list[Target]:
    slowest = min(read, key=lambda reading: statistics.median(reading.rates))
    text = f"{ROWS:,} rows of CSV into arrays, MB for each second of CPU"
    return [Target(text, statistics.median(slowest.rates), 100.0, True, f" ({slowest.form})")]


def price_targets(prices: dict[int, Priced]) -> list[Target]:
    """A large body costs a byte what one of 20 MB does."""
    return [_price_target(n, priced, prices[UNIT]) for n, priced in prices.items() if n > UNIT]


def _price_target(n: int, priced: Priced, unit: Priced) -> Target:
    large, small = (f"{size.body_bytes / 1e6:.0f} MB" for size in (priced, unit))
    text = f"mean squared error of {n:,} numbers: CPU a byte of {large} ÷ that of {small}"
    ratios = _price_ratios(priced, unit)
    return Target(text, statistics.median(ratios), 1.1, False, f" ({_number(min(ratios))} to {_number(max(ratios))})")


def kernel_targets(timed: Sequence[Timed]) -> list[Target]:
    """Of the cases that share a limit, the one that is nearest to missing it."""
    groups: dict[tuple[int, int, float], dict[str, float]] = {}
    for kernel in timed:
        for threads in THREADS:
            if limit := _kernel_limit(kernel, threads):
                ratios = groups.setdefault((kernel.numbers, threads, limit), {})
                if threads in kernel.theirs:
                    ratios[kernel.name] = min(kernel.theirs[threads]) / min(kernel.ours[threads])
    return [_worst(*group, ratios) for group, ratios in groups.items()]


def _worst(numbers: int, threads: int, limit: float, ratios: dict[str, float]) -> Target:
    which = f"cross-entropy of k ≤ {SHORT_ROWS}" if limit == MUCH_FASTER else "the slowest kernel"
    text = f"{_power(numbers)} numbers, {threads} thread{'s' * (threads > 1)}: PyTorch ÷ ours, {which}"
    if not ratios:
        return Target(text, None, limit, at_least=True)
    name = min(ratios, key=lambda kernel: ratios[kernel])
    missed = sum(ratio < limit for ratio in ratios.values())
    more = f" ({name}; {missed} of {len(ratios)} cases miss it)" if missed else f" ({name}; all {len(ratios)} reach it)"
    return Target(text, ratios[name], limit, at_least=True, more=more)


def insight_targets(analyzed: Sequence[Analyzed]) -> list[Target]:
    slowest, widest = max(analyzed, key=lambda analysis: analysis.ratio), max(analyzed, key=lambda analysis: analysis.memory)
    samples = _power(slowest.samples)
    return [
        Target(f"analysis of {samples} samples ÷ evaluation, CPU", slowest.ratio, 20.0, False, f" ({slowest.name})"),
        Target(f"memory of an analysis of {samples} samples ÷ its batch", widest.memory, 3.0, False, f" ({widest.name})"),
    ]


def insight_table(analyzed: Iterable[Analyzed]) -> str:
    head = ["loss", "samples", "evaluate, CPU ms", "analyze, CPU ms", "÷ evaluate", "memory ÷ batch"]
    return table(head, map(_insight_row, analyzed))


def _insight_row(analyzed: Analyzed) -> list[str]:
    times = [_spread([1e3 * second for second in seconds]) for seconds in (analyzed.evaluated, analyzed.analyzed)]
    return [analyzed.name, _power(analyzed.samples), *times, _number(analyzed.ratio), _number(analyzed.memory)]


def written_targets(written: Sequence[Written]) -> list[Target]:
    slowest = max(written, key=lambda loss: loss.ratio)
    text = f"an expression of {_power(slowest.samples)} samples ÷ the loss of the same formula, CPU"
    return [Target(text, slowest.ratio, 2.0, False, f" ({slowest.name})")]


def written_table(written: Iterable[Written]) -> str:
    head = ["loss", "as an expression", "samples", "built in, CPU ms", "expression, CPU ms", "÷ built in"]
    return table(head, map(_written_row, written))


def _written_row(written: Written) -> list[str]:
    times = [_spread([1e3 * second for second in seconds]) for seconds in (written.built_in, written.written)]
    return [written.name, f"`{written.expression}`", _power(written.samples), *times, _number(written.ratio)]


def picture_targets(pictured: Pictured) -> list[Target]:
    name, slowest = max(pictured.drawn.items(), key=lambda drawn: statistics.median(drawn[1].cpu_ms))
    p99 = float(np.percentile(pictured.crowded.crowded, 99))
    return [
        Target("a picture once the pool is warm, CPU ms", statistics.median(slowest.cpu_ms), 100.0, False, f" ({name})"),
        Target("p99 of tiny requests while pictures are drawn, one server process, ms", p99, 10.0, at_least=False),
    ]


def picture_table(pictured: Pictured) -> str:
    head = ["picture", "CPU ms a request", "p50 ms", "p99 ms", "requests"]
    return table(head, [_picture_row(name, measured) for name, measured in pictured.drawn.items()])


def _picture_row(name: str, measured: Measured) -> list[str]:
    percentiles = np.percentile(measured.latencies_ms, (50, 99))
    return [name, _spread(measured.cpu_ms), *map(_number, percentiles), str(len(measured.latencies_ms))]


def training_targets(trained: Trained, served: Served) -> list[Target]:
    targets = [_faster(race, name, limit) for race in trained.races for name, limit in FASTER.items() if can(name, race.case)]
    rests = {share.case: rest_percent(share) for share in trained.shares}
    text = "history, validation and events: share of an epoch, " + AS_IN_TUTORIAL + ", %"
    targets.append(Target(text, rests[AS_IN_TUTORIAL], 10.0, at_least=False))
    p99 = float(np.percentile(served.beside, 99))
    return [*targets, Target("p99 of tiny requests while a run is streamed, one server process, ms", p99, 10.0, at_least=False)]


def tree_targets(races: Sequence[trees.Race]) -> list[Target]:
    """Of all rows the one that is nearest to missing each of the limits."""
    worst, slowest = max(races, key=lambda raced: raced.worse / raced.noise), max(races, key=lambda raced: raced.ratio)
    beside = "how much worse than HistGradientBoosting's, in its standard errors"
    held_out = f"boosted trees: held-out score, {beside}, on the worst row: {worst.task}"
    whole = f"boosted trees: whole call ÷ its fit and predict, beyond {trees.CALL:g} s, on the slowest row: {slowest.task}"
    return [
        Target(held_out, worst.worse / worst.noise, 1.0, at_least=False),
        Target(whole, slowest.ratio, trees.LIMIT, at_least=False),
    ]


def tree_table(races: Iterable[trees.Race]) -> str:
    head = ["rows", "score: Criterion", "HistGradientBoosting", "s: Criterion", "HistGradientBoosting", "ratio", "reached"]
    return table(head, [raced.row for raced in races])


def _faster(race: Race, name: str, limit: float) -> Target:
    text = f"a training run, {race.case}: {name} ÷ Criterion"
    if name not in race.seconds:
        return Target(text, None, limit, at_least=True)
    ratios = _ratios(race.seconds[name], race.seconds[CRITERION])
    more = f" ({_number(min(ratios))} to {_number(max(ratios))})"
    return Target(text, statistics.median(ratios), limit, at_least=True, more=more)
