"""From a method and a path to the call that they mean."""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import lru_cache

from starlette.routing import compile_path

from app.errors import MethodNotAllowed, NotFound
from app.serving.call import Call

LONGEST = 8
"""Steps of the longest path for which another is suggested."""
REMEMBERED = 256
"""Addresses whose call is remembered, those that were asked for last."""


class Routes:
    """The calls by their paths: those without a parameter are looked up, the others tried in their order."""

    def __init__(self, calls: Iterable[Call]) -> None:
        self._fixed: dict[str, dict[str, Call]] = {}
        self._patterns: list[tuple[re.Pattern[str], dict[str, Call]]] = []
        by_path: dict[str, dict[str, Call]] = {}
        for call in calls:
            for path in (call.path, *call.also):
                if by_path.setdefault(path, {}).setdefault(call.method, call) is not call:
                    raise TypeError(f"{call.method} {path} is registered twice")
        for path, methods in by_path.items():
            if "{" in path:
                self._patterns.append((compile_path(path)[0], methods))
            else:
                self._fixed[path] = methods
        self.find = lru_cache(REMEMBERED)(self._find)

    def _find(self, method: str, path: str) -> tuple[Call, Mapping[str, str]]:
        """The call and the parameters in its path; NotFound or MethodNotAllowed where there is none."""
        methods, parameters = self._fixed.get(path), {}
        if methods is None:
            methods, parameters = self._match(path)
        call = methods.get(method)
        if call is None:
            if not methods:
                raise NotFound(f"there is no {method[:20]} {path[:200]}{self._hint(path)}")
            allowed = sorted({*methods, "HEAD"} if "GET" in methods else methods)
            raise MethodNotAllowed(f"there is no {method[:20]} {path[:200]}; it takes {', '.join(allowed)}", allowed)
        return call, parameters

    def _hint(self, path: str) -> str:
        """The address that was probably meant: the same but for slashes and what stands before, or spelled nearly so."""
        steps = [step for step in path[:200].split("/") if step][:LONGEST]
        tried = ["/".join(("", *root, *steps[start:])) for start in range(len(steps)) for root in ((), ("v1",))]
        known = [address for address in tried if address in self._fixed or self._match(address)[0]]
        close = known or get_close_matches("/".join(("", *steps)).lower(), self._fixed, cutoff=0.75)
        return f"; did you mean {close[0]}?" if close else ""

    def _match(self, path: str) -> tuple[Mapping[str, Call], dict[str, str]]:
        for pattern, methods in self._patterns:
            if found := pattern.match(path):
                return methods, found.groupdict()
        return {}, {}
