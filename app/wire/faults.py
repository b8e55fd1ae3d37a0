"""A decoded value as what its field wants: an array of numbers or flags, class names, a list; or what is wrong with it."""

from collections.abc import Callable, Mapping
from functools import partial
from itertools import groupby
from typing import Any, Literal, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from app.errors import MAX_FAULTS, Fault, InvalidArray, Path
from app.losses.inputs import Place
from app.losses.numerics.stable import Array
from app.losses.outputs import word
from app.wire import exact
from app.wire.exact import ARRAYS, BLOCK, KINDS, LazyList, all_numbers, blocks, check_depth, first_type, kind, only, shape

Leaf: TypeAlias = Literal["number", "flag", "any"]
"""What the elements of an array should be: "any" is a number, or null or a word for one that is missing or infinite."""


def numbers(value: object, path: Path, *, gaps: bool = False) -> NDArray[np.float64]:
    """`value` as float64, where it is an array of numbers; InvalidArray naming every element that is in the way.

    With `gaps`, NaN where one is null, and infinite where it is "Infinity" or "-Infinity".
    """
    if isinstance(value, np.ndarray):
        return cast(Array, value).astype(np.float64, copy=False)
    known = exact.gapped(value) if gaps else None
    if known is not None:
        return known
    _refuse(value, path, "any" if gaps else "number")
    one = f": one sample is [{value}] (R: I({value}))" if type(value) in (int, float) else ""
    raise InvalidArray([Fault(path, "not_an_array", f"{name(path)} must be an array of numbers, not {kind(value)}{one}")])


def flags(value: object, path: Path) -> NDArray[np.bool_]:
    """`value` as an array of booleans, where it is one of these or of 1 and 0; InvalidArray naming every element in the way."""
    if isinstance(value, np.ndarray):
        array = cast(Array, value)
        other = (array != 0) & (array != 1)
        if other.any():
            Place(path).refuse_numbers(other, array, "a boolean, or 1 or 0", "type")
        return array != 0
    known = exact.flags(value)
    if known is None:
        _refuse(value, path, "flag")
        raise InvalidArray([Fault(path, "type", f"{name(path)} must be a list of booleans, not {kind(value)}")])
    return known


def listed(value: object) -> object:
    """A list, where one is wanted: of an array of numbers, the whole ones as integers, or of what was left unbuilt."""
    if not isinstance(value, np.ndarray):
        return value.built() if isinstance(value, LazyList) else value
    array = cast(Array, value)
    if array.dtype.kind in "iu":
        return array.tolist()
    whole = np.floor(array) == array
    return array.astype(np.int64).tolist() if whole.all() and (np.abs(array) < exact.FAR).all() else array.tolist()


def tensors(value: object, path: Path, *, gaps: bool = False) -> Any:
    """`value` as one array, of numbers or of booleans, or a list of class names, or an object of these; `gaps` as for numbers."""
    return by_name(partial(_numbers_or_names, gaps=gaps), value, path)


def by_name(read: Callable[[object, Path], Any], value: object, path: Path) -> Any:
    """`value` as it is read, or an object of what is; such an object may stand within another."""
    if not isinstance(value, Mapping):
        return read(value, path)
    given = cast(Mapping[str, object], value)
    if given and all(key.isdecimal() for key in given):  # which no input is called
        message = f"{name(path)} is an object with the keys 0, 1, …: send an array (JavaScript: Array.from; pandas: tolist)"
        raise InvalidArray([Fault(path, "not_an_array", message)])
    return {key: by_name(read, item, (*path, key)) for key, item in given.items()}


def _numbers_or_names(value: object, path: Path, gaps: bool) -> Any:
    if isinstance(value, np.ndarray):
        return cast(Array, value)
    if isinstance(value, list) and only(map(type, cast(list[object], value))) is str:
        names = cast(list[str], value)
        return names if not gaps or set(names[:BLOCK]) - exact.WORDS.keys() else numbers(names, path, gaps=True)
    sets = exact.sets_of_names(cast(object, value))
    if sets is not None:
        return sets
    flags = exact.flags(cast(object, value))
    return numbers(cast(object, value), path, gaps=gaps) if flags is None else flags


# --- what is wrong with a list that should have been an array -----------------------------------------------------------


def _refuse(value: object, path: Path, leaf: Leaf) -> None:
    """InvalidArray for a list that is no array of these."""
    if not isinstance(value, LazyList | list):
        return
    node, depth = (value.node, value.depth) if isinstance(value, LazyList) else (cast(list[Any], value), 1)
    faults: list[Fault] = []
    _find_strangers(node, path, depth, leaf, faults)
    if not faults:
        _find_ragged(node, path, leaf, faults)
    raise InvalidArray(faults)


def _find_strangers(node: Any, path: Path, depth: int, leaf: Leaf, faults: list[Fault]) -> None:
    """What is no finite number, or no flag, in the order of the text, until there are MAX_FAULTS."""
    check_depth(depth)
    if leaf == "number" and all_numbers(node):
        return
    for start, block in blocks(node):
        if _plain(block, leaf):
            continue
        for index, item in enumerate(block, start):
            inner: Any = cast(Array, item).tolist() if isinstance(item, np.ndarray) else item
            if not isinstance(inner, ARRAYS):
                _find_stranger(inner, (*path, index), leaf, faults)
            elif len(inner):
                _find_strangers(inner, (*path, index), depth + 1, leaf, faults)
            if len(faults) >= MAX_FAULTS:
                return


def _find_stranger(item: Any, path: Path, leaf: Leaf, faults: list[Fault]) -> None:
    if leaf == "flag":
        if not isinstance(item, bool):
            faults.append(Fault(path, "type", f"{name(path)} must be a boolean, not {kind(item)}"))
    elif leaf == "any" and (isinstance(item, float) or (isinstance(item, str | None) and item in exact.WORDS)):
        return
    elif isinstance(item, float):
        if not np.isfinite(item):
            faults.append(Fault(path, "not_finite", f"{name(path)} must be finite; got {word(item)}"))
    elif not isinstance(item, int) or isinstance(item, bool):
        faults.append(Fault(path, "not_a_number", f"{name(path)} must be a number, not {kind(item)}"))


def _plain(block: list[Any], leaf: Leaf) -> bool:
    """Whether so many elements have one shape and nothing but what they should be in them, seen without a look at each.

    Only a full block is worth it, and only there is what is looked at again one level deeper BLOCK times smaller.
    """
    if len(block) < BLOCK or shape(block, leaves=leaf) is None:
        return False
    if leaf == "any":
        return exact.gapped(block) is not None
    return not isinstance(block[0], list | int | float) or bool(np.isfinite(np.array(block, dtype=np.float64)).all())


def _find_ragged(node: Any, path: Path, leaf: Leaf, faults: list[Fault]) -> tuple[int, ...] | None:
    """What keeps lists from being one array: an empty one, or another shape than the first's. The shape, if nothing."""
    if KINDS.get(first_type(node)) == leaf and (lengths := shape(node, leaves=leaf)):
        return lengths
    first: tuple[str, tuple[int, ...]] | None = None
    before, length = len(faults), 0
    for start, block in blocks(node):
        length += len(block)
        if first and len(block) == BLOCK and shape(block, leaves=leaf) == (BLOCK, *first[1]):
            continue
        for index, item in enumerate(block, start):
            place = (*path, index)
            if isinstance(item, np.ndarray):
                item_shape = cast(Array, item).shape
            else:
                item_shape = _find_ragged(item, place, leaf, faults) if isinstance(item, ARRAYS) else ()
            first = first or (None if item_shape is None else (name(place), item_shape))
            if first and item_shape not in (None, first[1]):
                message = f"{name(place)} has shape {item_shape} where {first[0]} has {first[1]}: rows must be of one length"
                faults.append(Fault(place, "ragged", message))
            if len(faults) >= MAX_FAULTS:
                return None
    if not length:
        faults.append(_empty(path))
    return None if first is None or len(faults) > before else (length, *first[1])


def _empty(path: Path) -> Fault:
    return Fault(path, "empty", f"{name(path)} is empty")


def name(path: Path) -> str:
    """A path as people write it: predictions[2, 0]. Keys are cut to a length worth reading."""
    words = ""
    for indexed, group in groupby(path, lambda step: isinstance(step, int)):
        parts = [str(step)[:80] for step in group]
        words += f"[{', '.join(parts)}]" if indexed else "." * bool(words) + ".".join(parts)
    return words
