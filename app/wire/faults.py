"""A decoded value as what its field wants: an array of numbers, class names, a list; or what is wrong with it."""

from collections.abc import Mapping
from itertools import groupby
from typing import Any, NoReturn, cast

import numpy as np
from numpy.typing import NDArray

from app.errors import MAX_FAULTS, Fault, InvalidArray, escape
from app.losses.evaluate import word
from app.losses.numerics.stable import Array
from app.wire.exact import ARRAYS, BLOCK, KINDS, LazyList, all_numbers, blocks, check_depth, first_type, kind, only, shape


def numbers(value: object, pointer: str) -> NDArray[np.float64]:
    """`value` as decoded, where it is an array of numbers; InvalidArray naming every element that is in the way."""
    if isinstance(value, np.ndarray):
        return cast(Array, value)
    if isinstance(value, LazyList):
        _refuse(value.node, pointer, value.depth)
    if isinstance(value, list):
        _refuse(cast(list[Any], value), pointer, 1)
    raise InvalidArray([Fault(pointer, "not_an_array", f"{name(pointer)} must be an array of numbers, not {kind(value)}")])


def listed(value: object) -> object:
    """A list, where one is wanted: of an array of numbers, the whole ones as integers, or of what was left unbuilt."""
    if not isinstance(value, np.ndarray):
        return value.built() if isinstance(value, LazyList) else value
    array = cast(Array, value)
    whole = np.floor(array) == array
    return array.astype(np.int64).tolist() if whole.all() and (np.abs(array) < 2**53).all() else array.tolist()


def tensors(value: object, pointer: str) -> Any:
    """`value` as one array, an object of arrays, or a list of class names."""
    if isinstance(value, np.ndarray):
        return cast(Array, value)
    if isinstance(value, Mapping):
        given = cast(Mapping[str, object], value)
        return {name: _numbers_or_names(array, f"{pointer}/{escape(name)}") for name, array in given.items()}
    return _numbers_or_names(value, pointer)


def _numbers_or_names(value: object, pointer: str) -> Any:
    if isinstance(value, list) and only(map(type, cast(list[object], value))) is str:
        return cast(list[str], value)
    return numbers(cast(object, value), pointer)


# --- what is wrong with a list that should have been an array -----------------------------------------------------------


def _refuse(node: Any, pointer: str, depth: int) -> NoReturn:
    faults: list[Fault] = []
    _find_strangers(node, pointer, depth, faults)
    if not faults:
        _find_ragged(node, pointer, faults)
    raise InvalidArray(faults)


def _find_strangers(node: Any, pointer: str, depth: int, faults: list[Fault]) -> None:
    """What is no finite number, in the order of the text, until there are MAX_FAULTS."""
    check_depth(depth)
    if all_numbers(node):
        return
    for start, block in blocks(node):
        if _plain(block):
            continue
        for index, item in enumerate(block, start):
            if isinstance(item, ARRAYS):
                if len(item):
                    _find_strangers(item, f"{pointer}/{index}", depth + 1, faults)
            elif not isinstance(item, np.ndarray):
                _find_stranger(item, f"{pointer}/{index}", faults)
            if len(faults) >= MAX_FAULTS:
                return


def _find_stranger(item: Any, pointer: str, faults: list[Fault]) -> None:
    if isinstance(item, float):
        if not np.isfinite(item):
            faults.append(Fault(pointer, "not_finite", f"{name(pointer)} must be finite; got {word(item)}"))
    elif not isinstance(item, int) or isinstance(item, bool):
        faults.append(Fault(pointer, "not_a_number", f"{name(pointer)} must be a number, not {kind(item)}"))


def _plain(block: list[Any]) -> bool:
    """Whether so many elements have one shape and nothing but finite numbers in them, seen without a look at each.

    Only a full block is worth it, and only there is what is looked at again one level deeper BLOCK times smaller.
    """
    if len(block) < BLOCK or shape(block) is None:
        return False
    return not isinstance(block[0], list | int | float) or bool(np.isfinite(np.array(block, dtype=np.float64)).all())


def _find_ragged(node: Any, pointer: str, faults: list[Fault]) -> tuple[int, ...] | None:
    """What keeps arrays of numbers from being one: an empty one, or another shape than the first's. The shape, if nothing."""
    if KINDS.get(first_type(node)) == "number" and (lengths := shape(node)):
        return lengths
    first: tuple[str, tuple[int, ...]] | None = None
    before, length = len(faults), 0
    for start, block in blocks(node):
        length += len(block)
        if first and len(block) == BLOCK and shape(block) == (BLOCK, *first[1]):
            continue
        for index, item in enumerate(block, start):
            place = f"{pointer}/{index}"
            item_shape = _find_ragged(item, place, faults) if isinstance(item, ARRAYS) else ()
            first = first or (None if item_shape is None else (name(place), item_shape))
            if first and item_shape not in (None, first[1]):
                message = f"{name(place)} has shape {item_shape} where {first[0]} has {first[1]}: rows must be of one length"
                faults.append(Fault(place, "ragged", message))
            if len(faults) >= MAX_FAULTS:
                return None
    if not length:
        faults.append(_empty(pointer))
    return None if first is None or len(faults) > before else (length, *first[1])


def _empty(pointer: str) -> Fault:
    return Fault(pointer, "empty", f"{name(pointer)} is empty")


def name(pointer: str) -> str:
    """`/predictions/2/0` as people write it: predictions[2, 0]."""
    words = ""
    for digits, group in groupby(pointer.strip("/").split("/"), str.isdigit):
        parts = list(group)
        words += f"[{', '.join(parts)}]" if digits else "." * bool(words) + ".".join(parts)
    return words
