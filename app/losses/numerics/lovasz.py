"""The Lovász extension of intersection over union: what each error of a mask costs, the worst first."""

import numpy as np

from app.losses.numerics.rows import row_sums
from app.losses.numerics.stable import Array


def jaccard_costs(errors: Array, rest: Array, true: Array, sizes: Array) -> Array:
    """What intersection over union loses when a position is wrong besides all whose errors are larger, for rows (n, m).

    `errors` and `rest` are the unrounded errors, `true` is 1 in the mask and 0 beside it, `sizes` what a position counts. Where
    errors are equal, the first comes first.
    """
    order = np.lexsort((-rest, -errors), axis=1)
    inside, share = np.take_along_axis(true, order, axis=1), np.take_along_axis(sizes, order, axis=1)
    size = row_sums(true * sizes)[:, None]
    shared = np.maximum(size - np.cumsum(inside * share, axis=1), 0.0)
    union = size + np.cumsum((1.0 - inside) * share, axis=1)
    before = union - (1.0 - inside) * share
    lost = np.divide(shared * share, union * before, out=np.zeros_like(union), where=before > 0)
    lost = np.where(inside == 1, np.divide(share, union, out=np.zeros_like(union), where=union > 0), lost)
    lost[(size == 0) & (before == 0) & (share > 0)] = 1.0  # of an empty mask the first false alarm costs all
    costs = np.empty_like(lost)
    np.put_along_axis(costs, order, lost, axis=1)
    return costs
