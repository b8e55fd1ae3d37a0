"""From a method and a path to the call that they mean."""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

from starlette.routing import compile_path

from app.errors import MethodNotAllowed, NotFound
from app.serving.call import Call

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
                raise NotFound(f"there is no {method[:20]} {path[:200]}")
            allowed = sorted({*methods, "HEAD"} if "GET" in methods else methods)
            raise MethodNotAllowed(f"there is no {method[:20]} {path[:200]}; it takes {', '.join(allowed)}", allowed)
        return call, parameters

    def _match(self, path: str) -> tuple[Mapping[str, Call], dict[str, str]]:
        for pattern, methods in self._patterns:
            if found := pattern.match(path):
                return methods, found.groupdict()
        return {}, {}
