"""An alias is a promise: where a library has the name, one of them was asked for what it means."""

import importlib
from collections.abc import Iterator
from contextlib import suppress
from types import ModuleType

from app.libraries import LIBRARIES, with_twins
from app.losses import LOSSES

PLAIN = {"DiceLoss", "dice_loss", "TverskyLoss", "tversky_loss", "ctc_loss", "log_loss", "sparsemax_loss"}
"""Names of several libraries, no two of which agree in what they set, and the field's own word for a loss: alone they mean the
loss as it is by default here, and with a library's prefix what that library means."""


def unkept() -> Iterator[str]:
    """Aliases that a library has too, and that mean what no claim says; and names of PLAIN that are kept after all."""
    claims = [(loss.name, equal) for loss in LOSSES.values() for equal in with_twins(loss.equals)]
    meant = {(name, equal.function.rpartition(".")[2], str(equal.parameters)) for name, equal in claims}
    quoted = {(name, text, str(equal.parameters)) for name, equal in claims for text in equal.call.split("'")[1::2]}
    plain: set[str] = set()
    for loss in LOSSES.values():
        for alias in loss.aliases:
            name = alias.name.removeprefix("F.")
            homes = [prefix for prefix, module in _modules() if not isinstance(getattr(module, name, module), ModuleType)]
            homes += ["xgboost"] if ":" in name else []
            if homes and (loss.name, name, str(alias.parameters)) not in meant | quoted:
                plain.add(name)
                if name not in PLAIN:
                    yield f"{alias.name} is {loss.name} with {alias.parameters}: no claim says so of {', '.join(homes)}"
    yield from (f"{name} means what a library says: it is not plain" for name in sorted(PLAIN - plain))


def _modules() -> Iterator[tuple[str, object]]:
    for library in LIBRARIES.values():
        for prefix in (library.name, *library.prefixes) if library.version else ():
            with suppress(ImportError):
                yield prefix, importlib.import_module(prefix)
