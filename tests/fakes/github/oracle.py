"""GitHub's own description as a judge: is this request one that it takes, is this answer one that it gives?"""

from __future__ import annotations

import functools
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jsonschema import Draft7Validator
from jsonschema.validators import validator_for

FOLDER = Path(__file__).parents[2] / "oracle" / "github"
SAMPLE_TIME = "2026-11-20T09:00:00Z"


@functools.cache
def description() -> dict[str, Any]:
    return _as_json_schema(json.loads((FOLDER / "openapi.json").read_text()))


@functools.cache
def webhook_schemas() -> dict[str, Any]:
    return json.loads((FOLDER / "webhook-schemas.json").read_text())


@functools.cache
def webhook_examples() -> dict[str, list[dict[str, Any]]]:
    found = json.loads((FOLDER / "webhook-examples.json").read_text())
    return {each["name"]: each["examples"] for each in found}


@dataclass(frozen=True)
class Operation:
    """One operation of the description, and the parameters of the path that led to it."""

    id: str
    template: str
    body: dict[str, Any]
    parameters: dict[str, str]


def find(method: str, path: str) -> Operation | None:
    """Return the operation for a request; None when GitHub's (trimmed) description has none."""
    for pattern, template, methods in _patterns():
        found = pattern.fullmatch(path)
        if found and method.lower() in methods:
            body = methods[method.lower()]
            return Operation(id=body["operationId"], template=template, body=body, parameters=found.groupdict())
    return None


def request_problems(operation: Operation, query: dict[str, str], body: object) -> list[str]:
    """Return what GitHub's description has against a request."""
    allowed = {
        _resolved(each)["name"] for each in operation.body.get("parameters", []) if _resolved(each)["in"] == "query"
    }
    problems = [f"query parameter {name!r} is unknown" for name in query if name not in allowed]
    content = _resolved(operation.body.get("requestBody", {})).get("content", {}).get("application/json")
    if content is None:
        return problems if body is None else [*problems, "no body is taken"]
    if body is None:
        needs = operation.body["requestBody"].get("required")
        return [*problems, "a body is required"] if needs else problems
    return problems + _problems(content["schema"], body)


def response_problems(operation: Operation, status: int, body: object) -> list[str]:
    """Return how an answer differs from what GitHub's description says that it gives."""
    responses = operation.body["responses"]
    if str(status) not in responses:
        # Errors that any operation may give are not listed at each.
        return [] if status >= 400 or status == 304 else [f"status {status} is not described"]
    content = _resolved(responses[str(status)]).get("content", {}).get("application/json")
    return [] if content is None else _problems(content["schema"], body)


def webhook_problems(name: str, payload: dict[str, Any]) -> list[str]:
    """Return how a payload differs from the schema of its event and action."""
    schemas = webhook_schemas()
    action = payload.get("action")
    wanted = f"{name}${action}" if f"{name}${action}" in schemas["definitions"] else f"{name}$event"
    if wanted not in schemas["definitions"]:
        wanted = f"{name}_event"
    schema = {"$ref": f"#/definitions/{wanted}", "definitions": schemas["definitions"]}
    return [
        f"{'/'.join(map(str, each.path))}: {each.message[:200]}"
        for each in Draft7Validator(schema).iter_errors(payload)
    ]


def sample(name: str) -> dict[str, Any]:
    """Return the smallest object that satisfies a schema of the description, to lay one's own facts over."""
    schema = _resolved({"$ref": f"#/components/schemas/{name}"})
    if isinstance(schema.get("type"), list):
        # One that may be null where it stands in another: here the object is meant.
        schema = {**schema, "type": schema["type"][0]}
    found = _sample(schema)
    assert isinstance(found, dict)
    return found


def overlay(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Return `below` with the facts of `above` in it, object by object."""
    merged = dict(below)
    for key, value in above.items():
        is_both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = overlay(merged[key], value) if is_both else value
    return merged


# --- inside --------------------------------------------------------------------------------------


@functools.cache
def _patterns() -> list[tuple[re.Pattern[str], str, dict[str, Any]]]:
    # Longer literal text first: /issues/comments must win over /issues/{number}.
    def order(item: tuple[str, Any]) -> tuple[int, int]:
        return (-item[0].count("/"), item[0].count("{"))

    return [
        (re.compile(_pattern(path)), path, methods)
        for path, methods in sorted(description()["paths"].items(), key=order)
    ]


def _pattern(path: str) -> str:
    parts = re.split(r"(\{\w+\})", path)
    # A path, a ref and a branch may hold slashes; everything else is one segment.
    wide = ("{path}", "{ref}", "{branch}")
    return "".join(
        (f"(?P<{each[1:-1]}>{'.+' if each in wide else '[^/]+'})" if each.startswith("{") else re.escape(each))
        for each in parts
    )


def _resolved(value: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in value:
        place: Any = description()
        for part in value["$ref"].removeprefix("#/").split("/"):
            place = place[part]
        value = place
    return value


def _problems(schema: dict[str, Any], body: object) -> list[str]:
    whole = {"allOf": [schema], "components": description()["components"]}
    kind = validator_for(whole, default=Draft7Validator)
    return [f"{'/'.join(map(str, each.path))}: {each.message[:200]}" for each in kind(whole).iter_errors(body)]


def _as_json_schema(value: Any) -> Any:
    """OpenAPI 3.0 says `nullable: true` where JSON Schema lists the type null."""
    if isinstance(value, list):
        return [_as_json_schema(each) for each in value]
    if not isinstance(value, dict):
        return value
    found = {
        key: _as_json_schema(each) for key, each in value.items() if key != "nullable" or not isinstance(each, bool)
    }
    if value.get("nullable") is True:
        if isinstance(found.get("type"), str):
            found["type"] = [found["type"], "null"]
            if "enum" in found:
                found["enum"] = [*found["enum"], None]
        else:
            return {"anyOf": [found, {"type": "null"}]}
    return found


def _sample(schema: dict[str, Any]) -> Any:  # one case a kind of schema
    schema = _resolved(schema)
    if "enum" in schema:
        return schema["enum"][0]
    if "allOf" in schema:
        merged: dict[str, Any] = {}
        for each in schema["allOf"]:
            merged = overlay(merged, _sample(each))
        return merged
    for choice in ("anyOf", "oneOf"):
        if choice in schema and "properties" not in schema:
            return None if {"type": "null"} in schema[choice] else _sample(schema[choice][0])
    kind = schema.get("type")
    if isinstance(kind, list):
        return None
    if kind == "object" or "properties" in schema:
        return {
            name: _sample(schema["properties"][name])
            for name in schema.get("required", [])
            if name in schema.get("properties", {})
        }
    return {
        "array": [],
        "integer": 1,
        "number": 1,
        "boolean": False,
        "string": {"date-time": SAMPLE_TIME, "uri": "https://github.example/x"}.get(schema.get("format", ""), "x"),
    }.get(kind, {})
