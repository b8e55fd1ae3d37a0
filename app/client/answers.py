"""What the service answers: JSON as values with attributes, what is wrong as an exception, a chart as a picture."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, NoReturn, cast

import numpy as np

ARRAYS = ("per_sample", "per_element", "gradient", "hessian_diagonal")


class Fault(NamedTuple):
    """One thing that is wrong with a request: where, which rule, and why."""

    pointer: str
    code: str
    message: str


class Problem(Exception):
    """The service does not answer: `status`, `code`, `detail`, and `errors` where something of the request is wrong."""

    def __init__(self, status: int, body: Mapping[str, Any], retry_after: float | None = None) -> None:
        self.status = status
        self.code: str = body.get("code", "")
        self.detail: str = body.get("detail") or body.get("error") or ""
        self.errors = [Fault(fault["pointer"], fault["code"], fault["message"]) for fault in body.get("errors", ())]
        self.retry_after = retry_after
        super().__init__(f"{status} {self.code}: {self.detail}".replace(" :", ":"))


class Answer(Mapping[str, Any]):
    """A JSON object: its members as items and as attributes. Arrays of numbers by sample are of NumPy."""

    def __init__(self, members: Mapping[str, Any]) -> None:
        self._members = {name: read(name, value) for name, value in members.items()}
        named: Any = members.get("non_finite")  # in a catalogue it says which numbers may be so
        for entry in cast("list[dict[str, Any]]", named if isinstance(named, list) else []):
            array = self._members.get(entry["output"])
            if isinstance(array, np.ndarray):
                array[tuple(entry["index"])] = float(entry["value"])
        self.plot: Callable[[], Any] = _no_picture
        """The chart of what was asked, as a Picture: of an analysis, a comparison, a curve, a run."""

    def __getitem__(self, name: str) -> Any:
        return self._members[name]

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["_members"][name]
        except KeyError:
            raise AttributeError(f"the answer has no {name!r}; it has {', '.join(self.__dict__.get('_members', ()))}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._members!r})"


def _no_picture() -> NoReturn:
    raise TypeError("there is no picture of this answer")


class Picture(NamedTuple):
    """A chart, which a notebook shows."""

    svg: str

    def _repr_svg_(self) -> str:
        return self.svg


def read(name: str, value: Any) -> Any:
    if name in ARRAYS and isinstance(value, list):
        return np.array(value, dtype=float)  # a null is NaN, until non_finite says what it is
    if isinstance(value, dict):
        return Answer(cast(dict[str, Any], value))
    if isinstance(value, list):
        return [read("", item) for item in cast(list[Any], value)]
    return value
