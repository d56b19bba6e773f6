"""From the text of a GraphQL document to its operations and fragments: short texts, shallow ones, nothing else."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from headway.errors import UsageError

_LONGEST = 50_000  # characters; the longest query of MLflow's own pages has two thousand
_DEEPEST = 40  # selections in selections, or lists in lists
_LONGEST_NUMBER = 40
_TOKEN = re.compile(
    r"""(?P<skip>[\s,\ufeff]+|\#[^\n\r]*)
    |(?P<name>[_A-Za-z][_0-9A-Za-z]*)
    |(?P<number>-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)(?![_A-Za-z0-9.])
    |(?P<block>\"\"\"(?:\\\"\"\"|(?!\"\"\")[\s\S])*\"\"\")
    |(?P<string>"(?:\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4})|[^"\\\n\r])*")
    |(?P<mark>\.\.\.|[!$&():=@\[\]{}|])""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Variable:
    """A value that comes with the request."""

    name: str


@dataclass(frozen=True, slots=True)
class Directive:
    """`@name(arguments)`."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Field:
    """A field that is asked for; `selections` is None where it names none of its own."""

    name: str
    alias: str
    arguments: dict[str, Any]
    directives: list[Directive]
    selections: list[Selection] | None

    @property
    def key(self) -> str:
        """The name that it has in the answer."""
        return self.alias or self.name


@dataclass(frozen=True, slots=True)
class Spread:
    """`...Name`."""

    name: str
    directives: list[Directive]


@dataclass(frozen=True, slots=True)
class Inline:
    """`... on Kind { }`; kind is "" where it is left out."""

    kind: str
    directives: list[Directive]
    selections: list[Selection]


Selection = Field | Spread | Inline


@dataclass(frozen=True, slots=True)
class Fragment:
    """`fragment Name on Kind { }`."""

    kind: str
    selections: list[Selection]


@dataclass(frozen=True, slots=True)
class Declared:
    """A variable of an operation."""

    kind: str
    default: Any = None
    has_default: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """A query or a mutation."""

    kind: str
    name: str
    variables: dict[str, Declared]
    selections: list[Selection]


@dataclass(slots=True)
class Document:
    """What a text holds."""

    operations: list[Operation] = field(default_factory=list)
    fragments: dict[str, Fragment] = field(default_factory=dict)


def read(text: str) -> Document:
    """Return what a text holds.

    Raises:
        UsageError: it is no GraphQL, too long or too deep.
    """
    if len(text) > _LONGEST:
        raise UsageError(f"A GraphQL query may have {_LONGEST} characters, got {len(text)}.")
    return _Reader(text).document()


def _tokens(text: str) -> list[tuple[str, str]]:
    found, place = [], 0
    while place < len(text):
        token = _TOKEN.match(text, place)
        if token is None:
            raise _wrong(f"unexpected character at {place}")
        if token.lastgroup != "skip":
            found.append((str(token.lastgroup), token.group()))
        place = token.end()
    found.append(("end", ""))
    return found


def _wrong(why: str) -> UsageError:
    return UsageError(f"Syntax Error: {why}.")


class _Reader:
    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._at = 0
        self._depth = 0
        self._is_constant = False  # a default cannot be made of variables: it would never end

    def document(self) -> Document:
        found = Document()
        while self._tokens[self._at][0] != "end":
            if self._taken("fragment"):
                name = self._name()
                self._word("on")
                found.fragments[name] = Fragment(self._kind_of_fragment(), self._selections())
            else:
                found.operations.append(self._operation())
        if not found.operations:
            raise _wrong("there is no operation")
        return found

    def _kind_of_fragment(self) -> str:
        kind = self._name()
        self._directives()
        return kind

    def _operation(self) -> Operation:
        if self._tokens[self._at] == ("mark", "{"):
            return Operation("query", "", {}, self._selections())
        kind = self._name()
        if kind not in ("query", "mutation"):
            raise _wrong(f'unexpected name "{kind[:100]}"')
        name = self._name() if self._tokens[self._at][0] == "name" else ""
        variables = {}
        if self._taken("("):
            while not self._taken(")"):
                declared, more = self._declared()
                variables[declared] = more
        self._directives()
        return Operation(kind, name, variables, self._selections())

    def _declared(self) -> tuple[str, Declared]:
        self._word("$")
        name = self._name()
        self._word(":")
        kind = self._kind()
        if not self._taken("="):
            return name, Declared(kind)
        self._is_constant = True
        default = self._value()
        self._is_constant = False
        return name, Declared(kind, default, has_default=True)

    def _kind(self) -> str:
        self._deeper()
        if self._taken("["):
            kind = f"[{self._kind()}]"
            self._word("]")
        else:
            kind = self._name()
        self._depth -= 1
        return kind + "!" if self._taken("!") else kind

    def _selections(self) -> list[Selection]:
        self._word("{")
        self._deeper()
        found = [self._selection()]
        while not self._taken("}"):
            found.append(self._selection())
        self._depth -= 1
        return found

    def _selection(self) -> Selection:
        if self._taken("..."):
            if self._tokens[self._at][0] == "name" and self._tokens[self._at][1] != "on":
                return Spread(self._name(), self._directives())
            kind = self._name() if self._taken("on") else ""
            return Inline(kind, self._directives(), self._selections())
        name, alias = self._name(), ""
        if self._taken(":"):
            name, alias = self._name(), name
        arguments, directives = self._arguments(), self._directives()
        has_more = self._tokens[self._at] == ("mark", "{")
        return Field(name, alias, arguments, directives, self._selections() if has_more else None)

    def _directives(self) -> list[Directive]:
        found = []
        while self._taken("@"):
            found.append(Directive(self._name(), self._arguments()))
        return found

    def _arguments(self) -> dict[str, Any]:
        return self._pairs(")") if self._taken("(") else {}

    def _pairs(self, end: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while not self._taken(end):
            name = self._name()
            self._word(":")
            if name in found:
                raise _wrong(f'"{name[:100]}" is there twice')
            found[name] = self._value()
        return found

    def _value(self) -> Any:
        kind, text = self._tokens[self._at]
        if kind == "mark":
            return self._composed()
        self._at += 1
        if kind == "name":
            return {"true": True, "false": False, "null": None}.get(text, text)
        if kind == "number":
            return _number(text)
        if kind == "string":
            return _sound(json.loads(text, strict=False))
        if kind == "block":
            return _sound(_block(text[3:-3]))
        raise _wrong("a value is missing")

    def _composed(self) -> Any:
        self._deeper()
        found: Any
        if self._taken("["):
            found = []
            while not self._taken("]"):
                found.append(self._value())
        elif self._taken("{"):
            found = self._pairs("}")
        else:
            if self._is_constant:
                raise _wrong("a default has a variable in it")
            self._word("$")
            found = Variable(self._name())
        self._depth -= 1
        return found

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise UsageError(f"A GraphQL query may be {_DEEPEST} levels deep.")

    def _name(self) -> str:
        kind, text = self._tokens[self._at]
        if kind != "name":
            raise _wrong(f"expected a name, found {text[:20]!r}" if text else "the query ends too early")
        self._at += 1
        return text

    def _word(self, wanted: str) -> None:
        if not self._taken(wanted):
            found = self._tokens[self._at][1]
            raise _wrong(f'expected "{wanted}", found {found[:20]!r}' if found else "the query ends too early")

    def _taken(self, wanted: str) -> bool:
        kind, text = self._tokens[self._at]
        if text != wanted or kind not in ("mark", "name"):
            return False
        self._at += 1
        return True


def _number(text: str) -> int | float:
    if len(text) > _LONGEST_NUMBER:
        raise _wrong(f"a number may have {_LONGEST_NUMBER} digits")
    return int(text) if text.lstrip("-").isdigit() else float(text)


def _block(text: str) -> str:
    """Return a block string without the indentation that all of its lines share, and without empty ends."""
    lines = re.split(r"\r\n|\n|\r", text.replace('\\"""', '"""'))
    shared = min((len(each) - len(each.lstrip(" \t")) for each in lines[1:] if each.strip(" \t")), default=0)
    lines = [lines[0], *(each[shared:] for each in lines[1:])]
    while lines and not lines[0].strip(" \t"):
        del lines[0]
    while lines and not lines[-1].strip(" \t"):
        del lines[-1]
    return "\n".join(lines)


def _sound(text: str) -> str:
    if not text.isascii() and any("\ud800" <= each <= "\udfff" for each in text):
        raise UsageError("The query has text that is not valid Unicode.")
    return text
