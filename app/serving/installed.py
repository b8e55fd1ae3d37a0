"""Libraries that a server may be built without: who asks for what needs one is told so, whichever call it is."""

from app.errors import NotInstalled

OPTIONAL = {
    "scipy": "SciPy",
    "sklearn": "scikit-learn",
    "vl_convert": "vl-convert-python",
}
"""Those of `criterion[server]` that `criterion[evaluation]` has not, by the module that is imported where one is needed."""
EXTRAS = {
    "onnx": "criterion[onnx] has it, and the output model is the same as JSON",
}
"""Those that a server has only where somebody wants them, and the way out."""


def not_installed(error: Exception) -> NotInstalled | None:
    """What the caller is told of an error that such a library is missing; None of any other."""
    if not isinstance(error, ModuleNotFoundError):
        return None
    module = (error.name or "").partition(".")[0]
    if module in EXTRAS:
        return NotInstalled(f"this needs {module}, which this server was built without: {EXTRAS[module]}")
    library = OPTIONAL.get(module)
    if library is None:
        return None
    return NotInstalled(f"this needs {library}, and this server was built for evaluation only: ask one that has all of it")
