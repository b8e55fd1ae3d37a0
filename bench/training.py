"""A training run against the same in PyTorch, Keras and scikit-learn, where they are installed, and what the service adds.

`python -m bench.training ROUNDS` runs the contenders in a process of its own, under the settings of the server and with
one thread each, and prints what it measured as JSON; `python -m bench.training stream PORT SECONDS` asks a server for
one run after another as a stream of events. `served` measures the service.
"""

import json
import os
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from http.client import HTTPConnection
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import numpy as np
import orjson

from app.api.training import TRAIN, TrainRequest, train
from app.losses import LOSSES
from app.serving.steps import Order, request_of
from app.settings import Settings
from app.training import METRICS, MODELS, OPTIMIZERS, Chosen, Holdout, Plan, Table, fit, prepare, start
from app.training.fit import measured
from app.training.learners import learner
from app.wire.events import event
from app.wire.json import encode
from bench.contenders import JSON, TINY, Started, sample_of, started
from bench.processes import HOST, running
from bench.wire import latencies

ROWS, HIDDEN, BATCH, EPOCHS, RATE, MOMENTUM = 1000, 50, 32, 200, 0.01, 0.9
STREAMED_EPOCHS = 2000
"""Of a run that is streamed: seconds rather than a tenth of one."""
ALIKE = 0.15
"""How far the final losses may lie apart for the contenders to count as having done the same; seeds alone make a tenth."""

ALONE, MEASURED = "1000 rows, steps alone", "500 rows, loss and accuracy of both halves after every epoch"
BACKENDS = ("jax", "torch", "tensorflow")
"""Of Keras, the fastest first: on such a small model JAX takes a tenth of TensorFlow's time."""
CASES = (ALONE, MEASURED)
CRITERION, TORCH, KERAS, SCIKIT = "Criterion", "PyTorch", "Keras", "scikit-learn"

Contender = Callable[[str], tuple[float, float]]
"""A case -> the seconds that its run took, and the training loss it ended with."""


@dataclass
class Race:
    """Seconds of every run by contender, and the training loss that the last one ended with."""

    case: str
    seconds: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    losses: dict[str, float] = field(default_factory=dict[str, float])


@dataclass
class Share:
    """Seconds of each epoch as the service works on it, of its steps alone, and of its measuring alone, in turn."""

    case: str
    whole: list[float] = field(default_factory=list[float])
    steps: list[float] = field(default_factory=list[float])
    measuring: list[float] = field(default_factory=list[float])


@dataclass
class Trained:
    races: list[Race]
    shares: list[Share]
    versions: dict[str, str]


# --- the contenders -----------------------------------------------------------------------------------------------------


def circles() -> tuple[np.ndarray, np.ndarray]:
    made: tuple[np.ndarray, np.ndarray] = import_module("sklearn.datasets").make_circles(ROWS, noise=0.1, random_state=1)
    return made


def halves(*arrays: Any) -> tuple[Any, ...]:
    """First half of each, then second half of each."""
    return (*(array[: ROWS // 2] for array in arrays), *(array[ROWS // 2 :] for array in arrays))


def ours(case: str) -> tuple[float, float]:
    """From the arrays to the last epoch. The training loss of every epoch is always measured."""
    half = case == MEASURED
    began = time.perf_counter()
    inputs, targets = circles()
    plan = Plan(
        Table(inputs, targets.astype(np.float64)),
        Chosen(MODELS["mlp"], {"hidden": [HIDDEN]}),
        Chosen(LOSSES["binary_cross_entropy"], {"from_logits": True}),
        Chosen(OPTIMIZERS["sgd"], {"learning_rate": RATE, "momentum": MOMENTUM}),
        validation=Holdout(None, ROWS // 2) if half else Holdout(None),
        epochs=EPOCHS,
        batch_size=BATCH,
        standardize_inputs=False,
        restore_best=False,
        metrics=(Chosen(METRICS["accuracy"], {}),) if half else (),
    )
    run = prepare(plan)
    *_, last = fit(run, start(run))
    return time.perf_counter() - began, last.training_loss


def theirs_in_torch() -> Contender:
    """A plain loop in eager mode, in its usual float32: tensors made beforehand, batches as views of rows shuffled at once."""
    torch: Any = import_module("torch")
    torch.set_num_threads(1)
    inputs, targets = (torch.from_numpy(array.astype(np.float32)) for array in circles())
    criterion = torch.nn.BCEWithLogitsLoss()

    def built() -> Any:
        model = torch.nn.Sequential(torch.nn.Linear(2, HIDDEN), torch.nn.ReLU(), torch.nn.Linear(HIDDEN, 1))
        torch.nn.init.kaiming_uniform_(model[0].weight, nonlinearity="relu")
        torch.nn.init.xavier_uniform_(model[2].weight)
        torch.nn.init.zeros_(model[0].bias)
        torch.nn.init.zeros_(model[2].bias)
        return model

    def measure(model: Any, x: Any, y: Any) -> tuple[float, float]:
        with torch.no_grad():
            logits = model(x)
            return criterion(logits, y).item(), ((logits > 0) == (y > 0.5)).double().mean().item()

    def run(case: str) -> tuple[float, float]:
        x, y = inputs, targets[:, None]
        held = None
        if case == MEASURED:
            x, y, *held = halves(x, y)
        model = built()
        optimizer = torch.optim.SGD(model.parameters(), lr=RATE, momentum=MOMENTUM)
        began = time.perf_counter()
        for _ in range(EPOCHS):
            order = torch.randperm(len(x))
            for batch, labels in zip(x[order].split(BATCH), y[order].split(BATCH), strict=True):
                optimizer.zero_grad()
                criterion(model(batch), labels).backward()
                optimizer.step()
            if held:
                measure(model, x, y)
                measure(model, *held)
        seconds = time.perf_counter() - began
        return seconds, measure(model, x, y)[0]

    return run


def theirs_in_keras() -> Contender:
    """`fit` of a compiled model that has been through an epoch, so that nothing is traced or compiled in the time taken."""
    os.environ.setdefault("KERAS_BACKEND", next(filter(find_spec, BACKENDS), "tensorflow"))
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
    keras: Any = import_module("keras")
    if keras.backend.backend() == "tensorflow":
        threading: Any = import_module("tensorflow").config.threading
        threading.set_intra_op_parallelism_threads(1)
        threading.set_inter_op_parallelism_threads(1)
    inputs, targets = (array.astype(np.float32) for array in circles())

    def run(case: str) -> tuple[float, float]:
        layers = keras.layers
        model = keras.Sequential(
            [
                keras.Input((2,)),
                layers.Dense(HIDDEN, activation="relu", kernel_initializer="he_uniform"),
                layers.Dense(1, activation="sigmoid"),
            ]
        )
        x, y, held = inputs, targets, None
        if case == MEASURED:
            x, y, *held = halves(x, y)
        metrics = ["accuracy"] if held else []
        model.compile(loss="binary_crossentropy", optimizer=keras.optimizers.SGD(RATE, MOMENTUM), metrics=metrics)
        options = {"batch_size": BATCH, "validation_data": held, "verbose": 0}
        model.fit(x, y, epochs=1, **options)
        began = time.perf_counter()
        model.fit(x, y, epochs=EPOCHS, **options)
        seconds = time.perf_counter() - began
        found = model.evaluate(x, y, verbose=0)
        return seconds, float(found[0] if isinstance(found, list) else found)

    return run


def theirs_in_scikit() -> Contender:
    """`fit` in float64. It cannot hold given rows out and stop at none of them, so it does the steps alone."""
    networks: Any = import_module("sklearn.neural_network")
    metrics: Any = import_module("sklearn.metrics")
    inputs, targets = circles()

    def run(case: str) -> tuple[float, float]:
        model = networks.MLPClassifier(
            (HIDDEN,),
            solver="sgd",
            alpha=0.0,
            batch_size=BATCH,
            learning_rate_init=RATE,
            momentum=MOMENTUM,
            nesterovs_momentum=False,
            max_iter=EPOCHS,
            n_iter_no_change=10**9,
            tol=0.0,
            random_state=0,
        )
        began = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it says that it has not converged
            model.fit(inputs, targets)
        seconds = time.perf_counter() - began
        return seconds, float(metrics.log_loss(targets, model.predict_proba(inputs)))

    return run


RIVALS = {TORCH: ("torch", theirs_in_torch), KERAS: ("keras", theirs_in_keras), SCIKIT: ("sklearn", theirs_in_scikit)}
"""What has to be installed for each, and what makes it ready."""


def contenders() -> dict[str, Contender]:
    """By name, those that are installed."""
    return {CRITERION: ours} | {name: make() for name, (module, make) in RIVALS.items() if find_spec(module)}


def can(name: str, case: str) -> bool:
    return name != SCIKIT or case == ALONE


# --- the race -----------------------------------------------------------------------------------------------------------


def race(rounds: int) -> list[Race]:
    """Every contender on every case in turn, round after round; the first round only warms up."""
    racing = contenders()
    races = [Race(case) for case in CASES]
    for number in range(rounds + 1):
        print(f"training runs: round {number} of {rounds}", file=sys.stderr, flush=True)
        for raced in races:
            for name in (name for name in racing if can(name, raced.case)):
                seconds, raced.losses[name] = racing[name](raced.case)
                if number:
                    raced.seconds.setdefault(name, []).append(seconds)
    for raced in races:
        agree(raced)
    return races


def agree(race: Race) -> None:
    low, high = min(race.losses.values()), max(race.losses.values())
    if not high - low < ALIKE * low:
        raise RuntimeError(f"{race.case}: the contenders do not come to the same loss: {race.losses}")


# --- what an epoch is besides its steps -----------------------------------------------------------------------------------

NO_VALIDATION = "1000 rows, training loss"
WITH_VALIDATION = "500 rows, loss of both halves"
AS_IN_TUTORIAL = "500 rows, loss and accuracy of both halves"


def document(epochs: int = EPOCHS, **more: object) -> dict[str, Any]:
    """The run as a request."""
    return {
        "data": {"name": "circles", "n_samples": ROWS, "noise": 0.1, "seed": 1},
        "model": {"name": "mlp", "hidden": [HIDDEN]},
        "loss": {"name": "binary_cross_entropy", "from_logits": True},
        "optimizer": {"name": "sgd", "learning_rate": RATE, "momentum": MOMENTUM},
        "epochs": epochs,
        "batch_size": BATCH,
        "standardize": {"inputs": False},
        "validation": {"last": ROWS // 2},
        "metrics": ["accuracy"],
        **more,
    }


def shares() -> list[Share]:
    return [
        share(NO_VALIDATION, document(validation=None, metrics=[])),
        share(WITH_VALIDATION, document(metrics=[])),
        share(AS_IN_TUTORIAL, document()),
    ]


def share(case: str, request: dict[str, Any]) -> Share:
    """The endpoint with its events in bytes, and a second run of which only steps and measuring are done, epoch by epoch."""
    asked: TrainRequest = request_of(orjson.dumps(request), Order(TRAIN.operation, None, {}, Settings()), here=False)
    (run,) = asked.runs
    events = train(asked)
    next(events)
    state, model, timed = start(run), learner(run), Share(case)
    step = model.resume(state, np.random.default_rng(0))

    def whole() -> None:
        happened = next(events)
        event(happened.name, encode(happened.data), str(number))

    for number in range(EPOCHS):
        times = [_seconds(whole), _seconds(lambda: step(RATE)), _seconds(lambda: measured(run, model, state))]
        if number:
            for seconds, one in zip((timed.whole, timed.steps, timed.measuring), times, strict=True):
                seconds.append(one)
    return timed


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


# --- over HTTP ----------------------------------------------------------------------------------------------------------


@dataclass
class Served:
    """Milliseconds of calls of /v1/train; of tiny requests alone, and while runs are streamed one after another."""

    first: float = 0.0
    """The first call starts the process in which runs are made."""
    posted: list[float] = field(default_factory=list[float])
    epochs: list[float] = field(default_factory=list[float])
    """The epochs of each call, summed."""
    idle: list[float] = field(default_factory=list[float])
    beside: list[float] = field(default_factory=list[float])
    streams: list[float] = field(default_factory=list[float])

    @property
    def rest(self) -> list[float]:
        """Of each call: the data, the last measurement, the diagnosis, the answer, and HTTP."""
        return [posted - epochs for posted, epochs in zip(self.posted, self.epochs, strict=True)]


def served(calls: int, seconds: float, say: Callable[[str], None]) -> Served:
    result = Served()
    with started([JSON]) as servers:
        server = servers[JSON.name]
        say("training over HTTP")
        result.first, _ = _posted(server)
        for _ in range(calls):
            posted, epochs = _posted(server)
            result.posted.append(posted)
            result.epochs.append(epochs)
        say("tiny requests beside a run that is streamed")
        _beside(server, seconds, result)
    return result


def _posted(server: Started) -> tuple[float, float]:
    """Milliseconds of a call, and of its epochs together."""
    body = orjson.dumps(document())
    head = f"POST /v1/train HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\nContent-Type: application/json\r\n\r\n"
    ask = server.connect()
    began = time.perf_counter()
    answer = ask(head.encode() + body)
    posted = time.perf_counter() - began
    return posted * 1e3, sum(epoch["seconds"] for epoch in orjson.loads(answer)["history"]) * 1e3


def _beside(server: Started, seconds: float, result: Served) -> None:
    tiny = JSON.message(sample_of(TINY))
    ask = server.connect()
    ask(tiny)
    result.idle += latencies(ask, tiny, seconds)
    with running(["-m", "bench.training", "stream", str(server.port), str(seconds)]) as other:
        assert other.stdout
        other.stdout.readline()  # the first epochs of the first run have come
        result.beside += latencies(ask, tiny, seconds)
        result.streams += json.loads(other.stdout.readline())


def stream(port: int, seconds: float) -> None:
    """One streamed run after another, until the time is over; then their milliseconds on standard output."""
    connection = HTTPConnection(HOST, port)
    headers = {"Content-Type": "application/json", "Accept": "text/event-stream"}
    runs: list[float] = []
    ends = time.perf_counter() + seconds
    while not runs or time.perf_counter() < ends:
        began = time.perf_counter()
        connection.request("POST", "/v1/train", orjson.dumps(document(STREAMED_EPOCHS)), headers)
        response = connection.getresponse()
        response.read1()
        if not runs:
            print("begun", flush=True)
        if b"event: end\n" not in response.read()[-(1 << 20) :]:
            raise RuntimeError("the stream did not end in order")
        runs.append((time.perf_counter() - began) * 1e3)
    print(json.dumps(runs), flush=True)


# --- a process of its own -------------------------------------------------------------------------------------------------


def trained(rounds: int) -> Trained:
    """Everything that `python -m bench.training ROUNDS` says."""
    with running(["-m", "bench.training", str(rounds)]) as process:
        assert process.stdout
        output = process.stdout.read()
        if process.wait():
            raise RuntimeError("the training runs could not be measured")
    read = json.loads(output)
    return Trained([Race(**fields) for fields in read["races"]], [Share(**fields) for fields in read["shares"]], read["versions"])


def main(arguments: list[str]) -> None:
    if arguments[0] == "stream":
        stream(int(arguments[1]), float(arguments[2]))
        return
    parts = shares()  # first, before anybody else has threads
    print(json.dumps(asdict(Trained(race(int(arguments[0])), parts, versions()))))


def versions() -> dict[str, str]:
    """Of the rivals, as far as the head of the page does not tell them."""
    found = {SCIKIT: version("scikit-learn")}
    if find_spec("keras"):
        backend = os.environ["KERAS_BACKEND"]
        found[KERAS] = f"{version('keras')} on {backend} {import_module(backend).__version__}"
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
