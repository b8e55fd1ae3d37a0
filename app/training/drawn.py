"""Rows drawn beside each other by their labels: for a loss on embeddings, of which a model makes one for each row."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.losses.encodings import BINARY, DISTANCE, EMBEDDING, GROUP, SIGN
from app.losses.loss import Loss
from app.losses.numerics.stable import Array

ROLES = 3
"""Embeddings of a triplet: of an anchor, of a row like it, and of one unlike it."""
PAIR = 2


class Partners(NamedTuple):
    """For each of some rows one of its label and one of another; all are places among the rows they were drawn from."""

    rows: NDArray[np.intp]
    """(m,) those that have both."""
    alike: NDArray[np.intp]
    unlike: NDArray[np.intp]


def partners(labels: Array, draw: Array) -> Partners:
    """The partners of rows with these labels (n,), each as its own number of draw (n,), from [0, 1), says."""
    n = len(labels)
    order = np.argsort(labels, kind="stable")
    _, starts, counts = np.unique(labels[order], return_index=True, return_counts=True)
    start, count = np.repeat(starts, counts), np.repeat(counts, counts)
    others, strangers = count - 1, n - count
    places, share = np.arange(n), draw[order]
    ahead = np.floor(share * others)
    left = share * others - ahead  # what is left of a number that has been drawn with is one to draw with
    alike = start + (places - start + 1 + ahead.astype(np.intp)) % count
    unlike = (start + count + np.floor(left * strangers).astype(np.intp)) % n
    whole = (others > 0) & (strangers > 0)
    return Partners(order[whole], order[alike[whole]], order[unlike[whole]])


def told_apart(labels: Array) -> bool:
    """Whether some row has partners."""
    counts = np.unique(labels, return_counts=True)[1]
    return len(counts) > 1 and bool(counts.max() > 1)


def embeds(loss: Loss) -> bool:
    """Whether it is on embeddings that labels put together: triplets, pairs that are alike or not, or a batch of identities."""
    return {encoding for taken in loss.sides["predictions"].values() for _, encoding in taken.cases} == {EMBEDDING} and (
        (len(loss.sides["predictions"]) == ROLES and not loss.sides["targets"])
        or (len(loss.sides["predictions"]) == PAIR and _targets(loss) in ([SIGN.name], [GROUP.name]))
        or _targets(loss) == [GROUP.name]
    )


def measures(loss: Loss) -> bool:
    """Whether it is on the distance of two samples that are alike (1) or not (0)."""
    given = loss.sides["predictions"]
    return set(given) == {"predictions"} and given["predictions"].encoding is DISTANCE and _targets(loss) == [BINARY.name]


def _targets(loss: Loss) -> list[str]:
    return [encoding.name for taken in loss.sides["targets"].values() for _, encoding in taken.cases]
