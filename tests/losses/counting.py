"""Counts what NumPy is asked to do, so that the growth of work can be tested without a clock."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

CALL = 1000
"""Elementary operations that a call of NumPy costs beside those on its numbers: about a microsecond."""

CREATORS = ("zeros", "ones", "empty", "full", "arange")
SORTS = ("sort", "argsort", "lexsort", "unique")
METHODS = ("take", "copy", "astype", "argmax", "argmin", "argsort", "cumsum", "repeat", "dot", "nonzero")


class Work:
    operations = 0.0


class Counted(np.ndarray[Any, Any]):
    """An array of which every operation is counted: one for each number that it reads or writes, log n in a sort."""

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = None, **options: Any) -> Any:
        plain = {**options, **({} if out is None else {"out": tuple(map(_plain, out))})}
        given = [_plain(operand) for operand in inputs]
        result = getattr(ufunc, method)(*given, **{name: _plain(option) for name, option in plain.items()})
        if ufunc is np.matmul:
            _count(np.size(result) * given[0].shape[-1])
        else:
            _count(max(np.size(array) for array in (*given, result)))
        return _counted(result) if out is None else out[0] if len(out) == 1 else out

    def __array_function__(self, function: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
        given = _plain(args)
        result = function(*given, **_plain(kwargs))
        sizes = [array.size for array in (*_arrays(given), *_arrays(result))]
        longest = max((max(array.shape, default=1) for array in _arrays(given)), default=1)
        _count(sum(sizes) * (math.log2(longest) if function.__name__ in SORTS else 1))
        if (out := kwargs.get("out")) is not None:
            return out
        return _counted(result)


def _counting_method(name: str) -> Callable[..., Any]:
    def method(self: Counted, *args: Any, **kwargs: Any) -> Any:
        result = getattr(_plain(self), name)(*_plain(args), **_plain(kwargs))
        touched = 2 * np.size(result) if name == "take" else self.size + np.size(result)
        _count(touched * (math.log2(max(self.size, 2)) if name in SORTS else 1))
        return _counted(result)

    return method


for _name in METHODS:
    setattr(Counted, _name, _counting_method(_name))


def _count(operations: float) -> None:
    Work.operations += CALL + operations


def _plain(value: Any) -> Any:
    if isinstance(value, Counted):
        return value.view(np.ndarray)
    if isinstance(value, list | tuple) and type(value) in (list, tuple):
        return type(value)(map(_plain, value))
    return {name: _plain(item) for name, item in value.items()} if isinstance(value, dict) else value


def _counted(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.view(Counted) if value.ndim else value
    return type(value)(map(_counted, value)) if type(value) in (list, tuple) else value


def _arrays(value: Any) -> Iterator[NDArray[Any]]:
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _arrays(item)


@contextmanager
def _creators_counted() -> Iterator[None]:
    """Arrays that a kernel makes itself are counted as well."""
    originals = {name: getattr(np, name) for name in CREATORS}
    try:
        for name, original in originals.items():
            setattr(np, name, lambda *args, original=original, **kwargs: _counted(original(*args, **kwargs)))
        yield
    finally:
        for name, original in originals.items():
            setattr(np, name, original)


def operations(kernel: Callable[..., Any], *arrays: NDArray[Any], **parameters: Any) -> float:
    """Elementary operations that a kernel takes for its values and gradient."""
    Work.operations = 0.0
    with _creators_counted(), np.errstate(all="ignore"):
        values, gradient, *_ = kernel(*(_counted(array) for array in arrays), **parameters)
        if callable(gradient):
            gradient(np.ones(len(values)))
    return Work.operations
