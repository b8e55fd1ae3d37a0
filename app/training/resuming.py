"""Going on with a run from a model that was kept: the state it left is that of the new run, whose epochs count on from it."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import numpy as np

from app.errors import Fault, InvalidArray
from app.losses.inputs import Numbers
from app.training.boosting import categories_of
from app.training.fit import FIGURES, columns_of_history, rates, start
from app.training.learners import State, learner
from app.training.network import Network
from app.training.run import Run
from app.training.trained import MODEL, Progress, Trained, checked_trees, refuse, tree_state
from app.training.trees import NODES, Boosted

STATE = ("state",)


def progress_of(run: Run, state: State) -> Progress:
    """From where a run goes on, of the state that it has come to."""
    derived, done = learner(run).derived, int(state["epoch"])
    own = {key: array for key, array in state.items() if key.removeprefix("best.") not in derived}
    own["rng"] = own["rng"].view(np.uint32)  # halves, which every reader of JSON takes as they are
    history = dict(zip(columns_of_history(run), state["history"][:done].T, strict=True))
    arrays = {key: array for key, array in own.items() if key not in ("history", "epoch")}
    return Progress(done, _optimizer(run), digest(run), history, arrays)


def begin(run: Run) -> State:
    """The state before the first epoch, or the one that the plan resumes.

    InvalidArray, with its place within a model, where that is none that such a run has left.
    """
    trained = run.plan.resume
    if trained is None:
        return start(run)
    progress = _progress(trained)
    state, resumed = start(run), learner(run)
    done = progress.epoch
    state["history"][:done] = _history(run, progress)
    state["epoch"] = np.array(done, np.int64)
    names = [key for key in state if key not in ("history", "epoch", *resumed.derived) and key not in _trees(run)]
    if progress.optimizer != _optimizer(run):  # whose memory is of no use to another
        names = [key for key in names if key in resumed.keys or key in ("rng", "best")]
    for key in names:
        state[key] = _array(progress, key, state[key].view(np.uint32) if key == "rng" else state[key])
    state["rng"] = state["rng"].view(np.uint64)
    keys = [key for key in resumed.keys if key not in resumed.derived]
    if not isinstance(run.model, Network):
        state |= _grown(run, progress)
    _check_epochs(state)
    if state["best"][1]:
        for key in keys:
            state[f"best.{key}"] = _array(progress, f"best.{key}", None if key == "trees" else state[key])
        _check_best(state)
    if np.isfinite(state["history"][done - 1, 0]):
        _check_finite(state)
    with np.errstate(all="ignore"):
        resumed.restore(state)
    return state


def notes_on(run: Run) -> tuple[str, ...]:
    """What makes a resumed run another than the one that would have gone on."""
    trained = run.plan.resume
    if trained is None:
        return ()
    progress, notes = _progress(trained), list[str]()
    done = progress.epoch
    if progress.rows != digest(run):
        notes.append(f"the {done} epochs before were of other rows than these: their losses are too, and so is the best epoch")
    if progress.optimizer != _optimizer(run):
        notes.append(f"the {done} epochs before were by {progress.optimizer}, of whose memory {_optimizer(run)} makes no use")
    history = _history(run, progress)
    if not np.array_equal(history[:, FIGURES.index("learning_rate")], rates(run, history), equal_nan=True):
        over = run.plan.epochs
        notes.append(f"the learning rates of the {done} epochs before are not those that this request says, over {over} epochs")
    return tuple(notes)


def digest(run: Run) -> str:
    """Which rows a run is of."""
    found = hashlib.blake2b(digest_size=16)
    known = categories_of(run)
    for rows in (run.training, run.validation):
        for array in () if rows is None else (known.read(rows.inputs), *rows.labels):
            found.update(b"" if array is None else array.tobytes())
        found.update(b"/")
    return found.hexdigest()


def _optimizer(run: Run) -> str | None:
    return None if run.plan.optimizer is None else run.plan.optimizer.thing.name


def _progress(trained: Trained) -> Progress:
    if trained.progress is None:
        refuse(STATE, "missing", "this model has no state to go on from: send all of it, as the run answered it")
    return trained.progress


def _history(run: Run, progress: Progress) -> Numbers:
    """(epochs, columns) what was measured, NaN for what was not."""
    nothing = np.full(progress.epoch, np.nan)
    columns = [progress.history.get(name, nothing) for name in columns_of_history(run)]
    for name, column in zip(columns_of_history(run), columns, strict=True):
        if column.shape != (progress.epoch,):
            _refuse_shape(("history", name), (progress.epoch,), column)
    return np.stack(columns, axis=1)


def _array(progress: Progress, key: str, like: Numbers | None) -> Numbers:
    """An array of the state, of the shape and the kind of another."""
    found = progress.arrays.get(key)
    if found is None:
        refuse((*STATE, key), "missing", f"state has no {key}: send all of it, as the run answered it")
    if like is None:
        return found
    if not like.size and not found.size:  # which JSON says by []
        return like
    if found.shape != like.shape:
        _refuse_shape((key,), like.shape, found)
    whole = like.dtype.kind in "iu"
    if whole and not ((found >= 0) & (found == np.floor(found)) & (found <= np.iinfo(like.dtype).max)).all():
        refuse((*STATE, key), "type", f"{key} must be whole numbers from 0 on")
    return np.array(found, like.dtype)


def _refuse_shape(path: Sequence[str], wanted: tuple[int, ...], found: Numbers) -> NoReturn:
    refuse((*STATE, *path), "shape_mismatch", f"{path[-1]} must have shape {wanted}; got {found.shape}")


def _trees(run: Run) -> tuple[str, ...]:
    """The arrays of a state that grow."""
    return () if isinstance(run.model, Network) else ("trees", "constant", *(f"tree.{name}" for name in NODES))


def _grown(run: Run, progress: Progress) -> State:
    """The trees of a state, which end."""
    assert not isinstance(run.model, Network)
    ends = _array(progress, "trees", None)
    if ends.ndim != 1 or not ends.size:
        refuse((*STATE, "trees"), "shape_mismatch", "trees must be a list of where each tree ends, from 0 on")
    nodes = {name: progress.arrays[f"tree.{name}"] for name in NODES if f"tree.{name}" in progress.arrays}
    arrays = {"constant": _array(progress, "constant", None), "first_nodes": ends[:-1], **nodes}
    sorts = isinstance(run.model, Boosted) and bool(run.model.categorical)
    try:
        parameters = checked_trees(arrays, run.model, sorts=sorts)
    except InvalidArray as error:
        (fault,) = error.faults
        name = str(fault.path[2])
        place = {"first_nodes": "trees", "constant": "constant"}.get(name, f"tree.{name}")
        raise InvalidArray([Fault((*MODEL, *STATE, place, *fault.path[3:]), fault.code, fault.message)]) from None
    if ends[-1] != len(parameters["left"]):
        refuse((*STATE, "trees"), "out_of_range", f"trees must end at {len(parameters['left'])}, where the nodes do")
    return tree_state(parameters)


def _check_best(state: State) -> None:
    """The best epoch is one that was, with trees among those that there are."""
    if "best.trees" not in state:
        return
    best, trees = state["best.trees"], state["trees"]
    if best.ndim != 1 or not best.size or not np.array_equal(best, trees[: len(best)]):
        refuse((*STATE, "best.trees"), "out_of_range", "best.trees must be the first of trees")
    state["best.trees"] = best.astype(np.int64)


def _check_epochs(state: State) -> None:
    """What is said of the best epoch is of one that there was."""
    epochs = state["best"][[1, 3]]
    if not ((epochs >= 0) & (epochs <= state["epoch"]) & (epochs == np.floor(epochs))).all():
        refuse((*STATE, "best"), "out_of_range", f"the best epoch must be one of {int(state['epoch'])}")


def _check_finite(state: Mapping[str, Any]) -> None:
    """A run that has not diverged has numbers throughout."""
    for key, array in state.items():
        if key not in ("history", "best") and not np.isfinite(array).all():
            refuse((*STATE, key), "not_finite", f"{key} must be finite")
