"""From bytes or a query to a typed message, as leniently as MLflow reads, with its complaints.

The fast way is one typed decode. Whatever it does not take (camelCase names, null, bare NaN, JSON inside a JSON
string, junk, wrong types) goes the slow way, which knows what to say.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, get_args
from urllib.parse import parse_qs

import msgspec

from headway.errors import UsageError
from headway.tracking.limits import bad_value

if TYPE_CHECKING:
    from headway.api.mlflow.route import Message, Route

_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_SEE_DOCS = " See the API docs for more information about request parameters."
_MOST_FIELDS = 2000  # beyond a route's own limits, so that a thousand run ids are refused with what is wrong about them


class Decoder:
    """Reads the messages of one route; made once."""

    def __init__(self, route: Route) -> None:
        """Look at the message's fields once."""
        self._type: type[Message] = route.message
        self._required = route.required
        self._fast = msgspec.json.Decoder(route.message, strict=False)
        self._has_uuid = "run_uuid" in route.message.__struct_fields__
        self._fields = {each.name: each for each in msgspec.structs.fields(route.message)}
        self._aliases = {alias: name for name in _names(route.message) if (alias := _camel(name)) != name}
        # Without quotes: what is found faster may be a false alarm, which only costs the slow way.
        self._marks = tuple(alias.encode() for alias in self._aliases)
        # A letter is found ten times as fast as a word, and few bodies have a capital one.
        self._capitals = tuple({letter.encode() for alias in self._aliases for letter in alias if letter.isupper()})

    def body(self, raw: bytes) -> Any:
        """Read a JSON body; junk counts as an empty object."""
        if b"\\" in raw and b"\\u0000" in raw and _NUL.search(raw):
            raise UsageError("The character NUL cannot be stored.")
        if any(letter in raw for letter in self._capitals) and any(mark in raw for mark in self._marks):
            return self._slow(raw)
        try:
            message = self._fast.decode(raw)
        except (ValueError, RecursionError):  # msgspec's errors are ValueErrors, as are those of bytes that are no text
            return self._slow(raw)
        if self.missing(message):
            return self._slow(raw)
        return message

    def query(self, raw: bytes) -> Any:
        """Read a query string: repeated keys for lists, `true` and `false` for booleans."""
        try:
            found = parse_qs(raw.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict")
        except ValueError:
            raise UsageError("The query string cannot be read.") from None
        if b"%00" in raw or b"\0" in raw:
            raise UsageError("The character NUL cannot be stored.")
        plain: dict[str, Any] = {}
        for name, values in found.items():
            field = self._fields.get(name)
            if field is None:
                continue
            if _is_list(field.type):
                plain[name] = values
                continue
            plain[name] = values[0]
            if bool in (field.type, *get_args(field.type)) and values[0].lower() not in ("true", "false"):
                raise UsageError(f"Invalid boolean value: {values[0][:100]}, must be 'true' or 'false'.")
        return self._converted(plain)

    def missing(self, message: Any) -> str:
        """Return the first required field that is absent or empty, or ""."""
        for name in self._required:
            value = getattr(message, name)
            if value in (None, "") or (value == [] and self._fields[name].default_factory is list):
                if name == "run_id" and self._has_uuid and message.run_uuid:
                    continue
                return name
        return ""

    def _slow(self, raw: bytes) -> Any:
        return self._converted(plain_object(raw))

    def _converted(self, plain: dict[str, Any]) -> Any:
        plain = self._renamed(plain)
        given = {name: value for name, value in plain.items() if value is not None}
        try:
            message = msgspec.convert(_without_null(given), type=self._type, strict=False)
        except msgspec.ValidationError as error:
            raise self._complaint(plain, str(error)) from None
        name = self.missing(message)
        if name:
            raise UsageError(f"Missing value for required parameter '{name}'.{_SEE_DOCS}")
        return message

    def _renamed(self, plain: dict[str, Any]) -> dict[str, Any]:
        both = [(alias, name) for alias, name in self._aliases.items() if alias in plain and name in plain]
        for alias, name in both:
            raise UsageError(f"Request specifies both '{name}' and '{alias}'; provide only one of them.")
        return {self._aliases.get(name, name): _inner(value, self._aliases) for name, value in plain.items()}

    def _complaint(self, plain: dict[str, Any], text: str) -> UsageError:
        where = re.search(r"`\$\.?(\w+)?(.*?)`$", text)
        name = where.group(1) if where and where.group(1) else ""
        for required in self._required:  # complained about in this order, as MLflow does
            if required == name:
                break
            if plain.get(required) in (None, "", []) and not (required == "run_id" and plain.get("run_uuid")):
                return UsageError(f"Missing value for required parameter '{required}'.{_SEE_DOCS}")
        value = plain.get(name)
        why = f" Hint: Value was of type '{type(value).__name__}'."
        shown = json.dumps(value, default=str)
        if len(shown) > 500:
            value = shown[:500]
        return UsageError(bad_value(name, value, why).message + _SEE_DOCS)


def plain_object(raw: bytes) -> dict[str, Any]:
    """Return a body's JSON object, decoded twice where an old client encoded it twice; {} for junk."""
    found: Any = raw
    for _ in range(2):
        try:
            found = json.loads(found)
        except (ValueError, RecursionError, TypeError):
            return {}
        if not isinstance(found, str):
            break
    if not isinstance(found, dict):
        return {}
    try:
        msgspec.json.encode(found)  # half a surrogate pair can be neither stored nor sent back
    except (UnicodeEncodeError, ValueError, RecursionError):
        raise UsageError("The body has text that is not valid Unicode, or is nested too deeply.") from None
    return found


def _names(message: type[msgspec.Struct]) -> set[str]:
    found: set[str] = set()
    for each in msgspec.structs.fields(message):
        found.add(each.name)
        for inner in (each.type, *get_args(each.type)):
            if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
                found |= _names(inner)
    return found


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word.title() for word in rest)


def _is_list(kind: Any) -> bool:
    return any(getattr(each, "__origin__", each) is list for each in (kind, *get_args(kind)))


def _inner(value: Any, aliases: dict[str, str]) -> Any:
    if isinstance(value, list):
        return [_inner(each, aliases) for each in value]
    if isinstance(value, dict):
        return {aliases.get(name, name): _inner(each, aliases) for name, each in value.items()}
    return value


def _without_null(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_null(each) for each in value]
    if isinstance(value, dict):
        return {name: _without_null(each) for name, each in value.items() if each is not None}
    return value
