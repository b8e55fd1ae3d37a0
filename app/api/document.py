"""finished(document, answers): what FastAPI says of the service, as generators of clients can read it.

Generators differ in what they make of a schema: `make test-clients` runs them. Unions within arrays, defaults of unions and
defaults of fields that may be left out each break one of them, so that these are said in words. The other half of this
is where the types are: the unions in specs.py, `UNTYPED` and `NumberOrNull` in evaluate.py.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

Document: TypeAlias = dict[str, Any]

FORMATS = {"number": "double", "integer": "int64"}
"""Without these Go has float32 and int32: half the digits, and no seed above 2³¹."""

PROBLEM = "application/problem+json"
FEW_WORDS = 5
"""Components that have a list of words alike, below which it is said in each."""
WORTH_A_NAME = 1000
"""Characters that are said again, from which on what many components have alike is said once."""
RUN = "TrainRequest"
"""The request whose fields others have as well."""

NAMED_BY_TITLE = {"anyOf", "oneOf", "properties", "items", "enum"}
"""Schemas with one of these become types of their own in generated clients."""


def finished(document: Document, answers: Mapping[str, Any]) -> Document:
    """The document with formats and examples; `answers` are by operation id, and by status under "problems"."""
    for _, _, operation in operations(document):
        _show(operation, answers)
        _say_parameters_once(operation)
    for schema in schemas(document):
        _with_format(schema)
        _defaults_in_words(schema)
        _untitled(schema)
    for name, schema in document["components"]["schemas"].items():
        if schema.get("title") == name:
            del schema["title"]
    _say_fields_once(document["components"]["schemas"])
    _share_fields(document["components"]["schemas"])
    _share_parameters(document)
    _share_errors(document)
    document["components"]["examples"] = {problem["code"]: {"value": problem} for problem in answers["problems"].values()}
    return document


def operations(document: Document) -> Iterator[tuple[str, str, Document]]:
    """Each operation, after its name as in `POST /v1/evaluate`, and its path."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield f"{method.upper()} {path}", path, operation


def success(operation: Document) -> Document:
    """What it answers where nothing is wrong."""
    return next(response for status, response in operation["responses"].items() if status < "300")


def schemas(document: Document) -> Iterator[Document]:
    """Every schema of the document, with those inside of it."""
    for component in document["components"]["schemas"].values():
        yield from _within(component)
    for _, _, operation in operations(document):
        bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
        contents = [content for body in bodies for content in body.get("content", {}).values()]
        for holder in [*operation.get("parameters", []), *contents]:
            yield from _within(holder.get("schema", {}))


def _within(schema: Any) -> Iterator[Document]:
    if not isinstance(schema, dict):  # additionalProperties may be true or false
        return
    node: Document = schema  # pyright: ignore[reportUnknownVariableType]
    yield node
    parts = [*node.get("properties", {}).values(), *node.get("anyOf", []), *node.get("oneOf", [])]
    for part in [*parts, node.get("items"), node.get("additionalProperties")]:
        yield from _within(part)


def _say_parameters_once(operation: Document) -> None:
    """A parameter says what it is, and its schema need not say it again; nor that it may be left out, which null stands for."""
    for parameter in operation.get("parameters", ()):
        if not parameter.get("required"):
            parameter.pop("required", None)
        for name in ("description", "title"):
            parameter["schema"].pop(name, None)
        given = _beside_null(parameter["schema"])
        if given is not None:
            others = {name: value for name, value in parameter["schema"].items() if name != "anyOf"}
            parameter["schema"] = {**given, **others}


def _beside_null(schema: Document) -> Document | None:
    """What may stand where null may too, where it is one thing."""
    match schema.get("anyOf"):
        case [dict(), {"type": "null"}]:
            return schema["anyOf"][0]
        case _:
            return None


def _with_format(schema: Document) -> None:
    kinds = schema.get("type")
    for kind in kinds if isinstance(kinds, list) else [kinds]:  # pyright: ignore[reportUnknownVariableType]
        if kind in FORMATS:
            schema["format"] = FORMATS[kind]


def _defaults_in_words(schema: Document) -> None:
    """TypeScript's generator demands each field that has a default; others write code for unions that does not compile."""
    for field in schema.get("properties", {}).values():
        if "default" in field and "const" not in field:
            default = f"Default: {json.dumps(field.pop('default'), ensure_ascii=False)}."
            field["description"] = " ".join(filter(None, (field.get("description"), default)))


def _untitled(schema: Document) -> None:
    """A plain field is called as it is: a title is for what a generator makes a type of."""
    for field in schema.get("properties", {}).values():
        if not field.keys() & NAMED_BY_TITLE or _is_plain_or_null(field):
            field.pop("title", None)


def _is_plain_or_null(field: Document) -> bool:
    """Of a number, a flag or a word that may be null, generators make no type."""
    plain, *more = [member for member in field.get("anyOf", ()) if member.get("type") != "null"] or [{}]
    return not more and plain.get("type") in ("number", "integer", "boolean", "string") and not plain.keys() & NAMED_BY_TITLE


def _say_fields_once(schemas: Document) -> None:
    """What a request has exactly as a run has it is described there."""
    run = schemas.get(RUN, {}).get("properties", {})
    for name, schema in schemas.items():
        own = schema.get("properties", {})
        if name == RUN or not name.endswith("Request") or not run or not run.keys() <= own.keys():
            continue
        for field, described in own.items():
            if run.get(field) == described:
                own[field] = {key: value for key, value in described.items() if key not in ("description", "examples")}


def _share_fields(components: Document) -> None:
    """A union that several components have in one field, a list of words that many have, and whatever else is said often, is a
    component of its own, and so one type in generated clients."""
    found: dict[str, list[Document]] = {}
    for component in components.values():
        for name, field in component.get("properties", {}).items():
            if "$ref" not in field:
                found.setdefault(json.dumps([name, field], sort_keys=True), []).append(component)
    for text, holders in sorted(found.items(), key=lambda item: -_repeated(*item)):
        name, field = json.loads(text)
        called = "".join(map(str.capitalize, name.split("_")))
        # the second is for where the name is that of another thing: a model, say, and what names one
        component = next((free for free in (called, f"{called}Field") if free not in components), None)
        worth = '"enum"' not in text and _repeated(text, holders) > WORTH_A_NAME  # constants of two enums clash in Go
        if component is None or not (worth or _is_a_type(field, len(holders))):
            continue
        components[component] = {key: value for key, value in field.items() if key != "title"}
        for holder in holders:
            holder["properties"][name] = {"$ref": f"#/components/schemas/{component}"}


def _repeated(text: str, holders: list[Document]) -> int:
    return len(text) * (len(holders) - 1)


def _is_a_type(field: Document, holders: int) -> bool:
    kinds = [part for part in field.get("anyOf", ()) if part.get("type") != "null"]
    return holders >= (FEW_WORDS if "enum" in field else 2) and (len(kinds) > 1 or "enum" in field)


def _share_parameters(document: Document) -> None:
    """A parameter that several operations take alike is one component."""
    places: dict[str, list[tuple[list[Document], int]]] = {}
    for _, _, operation in operations(document):
        for index, parameter in enumerate(operation.get("parameters", [])):
            if parameter["in"] != "path":
                places.setdefault(json.dumps(parameter, ensure_ascii=False), []).append((operation["parameters"], index))
    shared: dict[str, Document] = {}
    for text, found in places.items():
        name: str = json.loads(text)["name"]
        if len(found) > 1 and name not in shared:
            shared[name] = json.loads(text)
            for parameters, index in found:
                parameters[index] = {"$ref": f"#/components/parameters/{name}"}
    document["components"]["parameters"] = shared


def _share_errors(document: Document) -> None:
    """What several operations answer alike where something is wrong is one component, and a reference in each."""
    shared: dict[str, Document] = {}
    for _, _, operation in operations(document):
        responses: dict[str, Document] = operation["responses"]
        for status, response in responses.items():
            name = ("Problem" if PROBLEM in response.get("content", {}) else "ProtocolError") + status
            if status >= "300" and shared.setdefault(name, response) == response:
                responses[status] = {"$ref": f"#/components/responses/{name}"}
    document["components"]["responses"] = shared


def _show(operation: Document, answers: Mapping[str, Any]) -> None:
    """An answer for each status that has one."""
    for status, response in operation["responses"].items():
        content = response.get("content", {})
        if status < "300" and operation["operationId"] in answers and "application/json" in content:
            content["application/json"]["example"] = answers[operation["operationId"]]
        problem = answers["problems"].get({"4XX": "422", "5XX": "503"}.get(status, status))
        if problem is not None and PROBLEM in content:
            content[PROBLEM]["examples"] = {problem["code"]: {"$ref": f"#/components/examples/{problem['code']}"}}
