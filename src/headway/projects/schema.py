"""The JSON Schema of headway.yaml, for editors and other tools; made from the parser's own table."""

from __future__ import annotations

from typing import Any

from headway.projects.keys import FILE
from headway.projects.shapes import (
    LEAST_PARAM,
    LONGEST_PARAM,
    MOST_PARAM,
    Either,
    Fields,
    Flag,
    Key,
    ListOf,
    MapOf,
    Number,
    Scalar,
    Shape,
    Text,
)

DIALECT = "https://json-schema.org/draft/2020-12/schema"

Schema = dict[str, Any]


def project_schema() -> Schema:
    """Return the schema of a whole file (JSON Schema 2020-12).

    It holds what can be said of one value at a time; that names refer to something only the parser knows.
    """
    return {"$schema": DIALECT, "title": "headway.yaml", **schema_of(FILE)}


def schema_of(shape: Shape) -> Schema:
    """Return the schema of one shape."""
    match shape:
        case Fields():
            return _fields(shape)
        case MapOf():
            return _map(shape)
        case ListOf():
            items = {"items": schema_of(shape.item), "maxItems": shape.most}
            return {"type": "array", **items, **_least("Items", shape.least)}
        case Either():
            return {"anyOf": [schema_of(option) for option in shape.options]}
        case _:
            return _leaf(shape)


def _leaf(shape: Text | Number | Flag | Scalar) -> Schema:
    match shape:
        case Text():
            return _text(shape)
        case Number():
            return _number(shape)
        case Flag():
            return {"type": "boolean"}
        case Scalar():
            types = ["string", "number", "boolean"]
            return {"type": types, "maxLength": LONGEST_PARAM, "minimum": LEAST_PARAM, "maximum": MOST_PARAM}


def _map(shape: MapOf) -> Schema:
    return {
        "type": "object",
        "propertyNames": {key: value for key, value in _text(shape.key).items() if key != "examples"},
        "additionalProperties": schema_of(shape.value),
        "maxProperties": shape.most,
        **_least("Properties", shape.least),
    }


def _text(shape: Text) -> Schema:
    if shape.choices:
        return {"enum": list(shape.choices)}
    schema: Schema = {"type": "string", "maxLength": shape.longest, **_least("Length", shape.least)}
    if shape.pattern is not None:
        schema["pattern"] = f"^(?:{shape.pattern})$"
    if shape.example:
        schema["examples"] = [shape.example.strip('"')]
    return schema


def _number(shape: Number) -> Schema:
    low = "exclusiveMinimum" if shape.above_least else "minimum"
    return {"type": "integer" if shape.is_whole else "number", low: shape.least, "maximum": shape.most}


def _fields(shape: Fields) -> Schema:
    schema: Schema = {
        "type": "object",
        "properties": {name: _property(key) for name, key in shape.keys.items()},
        "additionalProperties": False,
    }
    needed = [name for name, key in shape.keys.items() if key.is_needed]
    if needed:
        schema["required"] = needed
    if shape.one_of:
        schema["oneOf"] = [{"required": [name]} for name in shape.one_of]
    return schema


def _property(key: Key) -> Schema:
    return {"description": key.says, **schema_of(key.shape)}


def _least(what: str, least: int) -> Schema:
    return {f"min{what}": least} if least else {}
