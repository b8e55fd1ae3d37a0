"""Measure everything and write bench/RESULTS.md; `--quick` for a look at it in a minute, which is only printed."""

import argparse
import json
import os
import platform
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from app.serving.environment import ENVIRONMENT as IN_POOL
from bench import pictures, report, tables, training, trees, wire
from bench.contenders import LONG
from bench.insight import Analyzed, Written
from bench.kernels import PASSIVE, Timed
from bench.processes import ENVIRONMENT, SERVED_WITH, running

RESULTS = Path(__file__).parent / "RESULTS.md"

FULL = wire.Plan(rounds=5, seconds=0.6)
FULL_CROWD = wire.Plan(rounds=3, seconds=2.0)
FULL_KERNELS = ("5", "1000000", "10000000")
FULL_INSIGHT = ("7", "1000000")
FULL_TRAINING = (5, 20, 4.0)
QUICK = wire.Plan(rounds=2, seconds=0.15, sizes=tuple(size for size in wire.SIZES if size != LONG), fewest=1)
QUICK_CROWD = wire.Plan(rounds=1, seconds=1.0)
QUICK_KERNELS = ("2", "1000000")
QUICK_INSIGHT = ("2", "1000000")
QUICK_TRAINING = (1, 3, 1.0)
"""Rounds of the race, calls over HTTP, seconds of tiny requests."""

NOTES = """\
Softmax cross-entropy from logits against class indices, with value, per-sample losses and gradient. All servers run one
server process under the settings of `make serve`; ours works on bodies of 512 KB and more in one worker process beside it,
which is counted. The client keeps one connection and sends the same bytes again and again. CPU is user and system time of
the server and its children, from the kernel's CPU clocks: the median of the rounds (least to greatest). Latencies are
pooled over rounds; with fewer than 100 requests p99 is about the slowest. Peak RSS is the sum of the processes' VmHWM,
reset for each size. Rounds are interleaved, and ratios are the medians of the ratios within each round. `uvicorn --factory`
is `app.main:create_app` started without anything that `python -m app` sets; the allocator and BLAS are then as the code alone
leaves them."""

PRICE_NOTES = """\
Mean squared error in JSON, all digits in and out. The price is CPU time per byte of the body: what holds for 20 MB should
hold up to the largest body that is taken."""

TABLE_NOTES = """\
The body of a CSV file into an array for each column, in one process and one thread: CPU time, of which no number is a Python
object's. NumPy's `loadtxt` reads a tenth of the rows, and is reckoned for all."""

KERNEL_NOTES = """\
Wall time of value, per-sample losses and gradient on a checked batch; of forward, mean and backward in PyTorch. The same
process, threads and allocator settings, in turn, with `OMP_WAIT_POLICY=passive`, so that PyTorch's threads do not spin into
ours; the limits hold for the ratio of the best times, in float64."""

INSIGHT_NOTES = """\
`/v1/analyze` without HTTP: check and analysis with 2000 resamples, against check and evaluation with value, per-sample losses
and gradient. One thread, in turn, in a process that finds what those of the pool do; memory is what NumPy and Python ask for
beyond the batch, at its highest."""

WRITTEN_NOTES = """\
A loss that is built in, and the same written as an expression: check, value, per-sample losses and gradient, as above."""

PICTURE_NOTES = """\
Asked for with `Accept`, by one client; drawn by a process of the pool that has drawn such pictures before. CPU is that of the
server and its processes. Then tiny requests (8×3) of `/v1/evaluate` while each of these pictures is asked for again and again."""

TRAINING_NOTES = """\
1000 rows of two circles, a hidden layer of 50 relu units, binary cross-entropy, batches of 32, shuffled every epoch, 200
epochs of stochastic gradient descent with momentum. One thread each, in one process, in turn. Ours is timed from the rows to
the last epoch, in float64, and always has each epoch's training loss; theirs from the built model on, in its usual float32
(scikit-learn: float64). PyTorch is a plain eager loop over views of rows shuffled at once; Keras' `fit` has been through an
epoch before. Half the rows are held out where both halves are measured; scikit-learn has no such mode."""

TREE_NOTES = f"""\
{trees.TREES} trees of depth {trees.DEPTH} at rate {trees.RATE}, {trees.LEAF} rows in a leaf, a quarter of the rows held out,
{trees.SEEDS} splits: mean score, with the standard error of scikit-learn's HistGradientBoosting, and CPU seconds. Ours is the
whole call: from the request to the answer, with both losses after every tree and the diagnosis; theirs is fit and predictions
for both kinds of rows. One thread each, in one process, in turn, the fastest of {trees.BEST} on each split; the ratio is without
{trees.CALL:g} s for the call itself. A row is reached where its score is not worse by more than that error, and the ratio is at
most {trees.LIMIT:g}."""

SHARE_NOTES = """\
What `/v1/train` does in an epoch besides its steps: measuring, which is predictions, loss and metrics on the training and the
validation rows; then history, best model, and the event in bytes. Epochs of the run, and of a second one of which steps and
measuring alone are done, in turn, in one process."""

SERVED_NOTES = """\
The run with loss and accuracy of both halves over HTTP, against what its epochs took; then tiny requests (8×3) of
`/v1/evaluate` while runs ten times as long are streamed as events one after another, by one server process."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, smaller sizes; nothing is written")
    quick = parser.parse_args().quick
    if not sys.platform.startswith("linux"):
        sys.exit("bench reads CPU time and memory of other processes from /proc: it needs Linux")
    measured = wire.measure(QUICK if quick else FULL, _say)
    priced = wire.prices(QUICK if quick else FULL, _say)
    crowded = wire.crowd(QUICK_CROWD if quick else FULL_CROWD, _say)
    read = tables.read(2 if quick else 5)
    timed = _kernels(QUICK_KERNELS if quick else FULL_KERNELS)
    analyzed, written = _insight(QUICK_INSIGHT if quick else FULL_INSIGHT)
    pictured = pictures.measure(pictures.QUICK if quick else pictures.PLAN, _say)
    rounds, calls, seconds = QUICK_TRAINING if quick else FULL_TRAINING
    trained, served = training.trained(rounds), training.served(calls, seconds, _say)
    boosted = trees.measured(2 if quick else trees.SEEDS)
    command = "python -m bench --quick" if quick else "make bench"
    text = _text(command, measured, priced, read, crowded, timed, analyzed, written, pictured, trained, served, boosted)
    print("\n" + text)
    if not quick:
        RESULTS.write_text(text)


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def _kernels(arguments: Sequence[str]) -> list[Timed]:
    with running(["-m", "bench.kernels", *arguments], PASSIVE) as process:
        assert process.stdout
        timed = [_timed(line) for line in process.stdout]
        if process.wait():
            raise RuntimeError("the kernels could not be measured")
    return timed


def _insight(arguments: Sequence[str]) -> tuple[list[Analyzed], list[Written]]:
    with running(["-m", "bench.insight", *arguments], IN_POOL) as process:
        assert process.stdout
        lines = [json.loads(line) for line in process.stdout]
        if process.wait():
            raise RuntimeError("the analyses could not be measured")
    return (
        [Analyzed(**line) for line in lines if "analyzed" in line],
        [Written(**line) for line in lines if "written" in line],
    )


def _timed(line: bytes) -> Timed:
    read = json.loads(line)
    by_threads = {side: {int(threads): timed for threads, timed in read[side].items()} for side in ("ours", "theirs")}
    return Timed(**read | by_threads)


def _text(
    command: str,
    measured: report.Wire,
    priced: dict[int, wire.Priced],
    read: list[tables.Read],
    crowded: dict[str, wire.Crowded],
    timed: list[Timed],
    analyzed: list[Analyzed],
    written: list[Written],
    pictured: pictures.Pictured,
    trained: training.Trained,
    served: training.Served,
    boosted: list[trees.Race],
) -> str:
    targets = report.wire_targets(measured, crowded) + report.price_targets(priced) + report.read_targets(read)
    targets += report.kernel_targets(timed) + report.insight_targets(analyzed) + report.written_targets(written)
    targets += report.picture_targets(pictured) + report.training_targets(trained, served) + report.tree_targets(boosted)
    parts = [
        "# What it costs",
        _machine(command),
        report.target_table(targets),
        "## Over HTTP",
        NOTES,
        *(report.wire_table(size, results) for size, results in measured.items()),
        "## One loss of many numbers",
        PRICE_NOTES,
        report.price_table(priced),
        "## Tables",
        TABLE_NOTES,
        report.read_table(read),
        "## Tiny requests while a 20 MB JSON request is in",
        report.crowd_table(crowded),
        "## Kernels",
        KERNEL_NOTES if timed[0].theirs else "PyTorch is not installed: our own times alone.",
        report.kernel_table(timed),
        "## An analysis",
        INSIGHT_NOTES,
        report.insight_table(analyzed),
        "## A loss written as text",
        WRITTEN_NOTES,
        report.written_table(written),
        "## Pictures",
        PICTURE_NOTES,
        report.picture_table(pictured),
        report.crowd_table({"tiny requests": pictured.crowded}, "pictures"),
        "## A training run",
        TRAINING_NOTES,
        _rivals(trained),
        report.race_table(trained),
        SHARE_NOTES,
        report.share_table(trained.shares),
        SERVED_NOTES,
        report.served_table(served),
        "## Boosted trees",
        TREE_NOTES,
        report.tree_table(boosted),
    ]
    return "\n\n".join(parts) + "\n"


def _rivals(trained: training.Trained) -> str:
    """Which of them took part: a line for those that are not installed."""
    there = " · ".join(f"{name} {which}" for name, which in trained.versions.items())
    missing = [name for name in training.RIVALS if name not in trained.races[0].seconds]
    return f"{there}." + (f" Not installed, so not measured: {', '.join(missing)}." if missing else "")


def _machine(command: str) -> str:
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    libraries = " · ".join(f"{name} {_version(name)}" for name in ("numpy", "fastapi", "pydantic", "orjson", "uvicorn", "torch"))
    settings = " ".join(f"{name}={ENVIRONMENT[name]}" for name in SERVED_WITH)
    return (
        f"`{command}`, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC · {cpu[1] if cpu else platform.machine()}, {os.cpu_count()} cores, "
        f"load {os.getloadavg()[1]:.1f} · Python {platform.python_version()} · {libraries} · `{settings}`"
    )


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


if __name__ == "__main__":
    main()
