"""What of a GraphQL document is carried out: one operation, within limits, of fields that there are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from headway.api.mlflow.graph_kinds import ECHOES, INPUTS, OBJECTS, Kind
from headway.api.mlflow.graph_text import Document, Field, Inline, Operation, Variable
from headway.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headway.api.mlflow.graph_text import Selection

# MLflow's own limits: a document with a thousand queries in it would otherwise be a thousand requests.
_MOST_ROOTS = 10
_MOST_ALIASES = 10
_MOST_SELECTIONS = 1000
_MOST_WALKED = 100_000  # what fragments bring again and again, of which no field needs to come
_DEEPEST = 10
_ABSENT = object()


@dataclass(slots=True)
class Asked:
    """One field of an object, with everything that is asked below it."""

    name: str
    kind: Kind
    arguments: dict[str, Any] = field(default_factory=dict)
    below: dict[str, Asked] = field(default_factory=dict)


def planned(document: Document, given: dict[str, Any], name: str) -> Asked:
    """Return what the operation of this name asks for.

    Raises:
        UsageError: it asks too much, or for what is not there.
    """
    _check_size(document)
    operation = _chosen(document, name)
    return _Plan(document, operation, given).root()


# --- its size ---------------------------------------------------------------------------------------


def _check_size(document: Document) -> None:
    roots, aliases, total, walked = 0, 0, 0, 0
    left = [(each.selections, 1) for each in document.operations]
    while left:
        selections, depth = left.pop()
        if depth > _DEEPEST:
            raise UsageError(f"Query exceeds maximum depth of {_DEEPEST}")
        fields, steps = _flat(document, selections)
        total, walked = total + len(fields), walked + steps
        if total > _MOST_SELECTIONS or walked > _MOST_WALKED:
            raise UsageError(f"Query exceeds maximum total selections of {_MOST_SELECTIONS}")
        roots += len(fields) if depth == 1 else 0
        aliases = max(aliases, sum(bool(each.alias) for each in fields))
        left += [(each.selections, depth + 1) for each in fields if each.selections]
    for count, most, what in ((roots, _MOST_ROOTS, "root fields"), (aliases, _MOST_ALIASES, "aliases")):
        if count > most:
            raise UsageError(f"GraphQL queries should have at most {most} {what}, got {count} {what}.")


def _flat(document: Document, selections: Iterable[Selection]) -> tuple[list[Field], int]:
    """Return the fields of one level, its fragments' with them, and what was looked at; each fragment only once."""
    found, left, seen = [], list(selections), set[str]()
    for each in left:  # grows while it is walked
        if isinstance(each, Field):
            found.append(each)
        elif isinstance(each, Inline):
            left += each.selections
        elif each.name not in seen and each.name in document.fragments:
            seen.add(each.name)
            left += document.fragments[each.name].selections
        if len(found) > _MOST_SELECTIONS:
            break
    return found, len(left)


def _chosen(document: Document, name: str) -> Operation:
    fitting = [each for each in document.operations if name in ("", each.name)]
    if not fitting:
        raise UsageError(f"Unknown operation named '{name[:100]}'.")
    if len(fitting) > 1:
        raise UsageError("Must provide operation name if query contains multiple operations.")
    return fitting[0]


# --- its fields -------------------------------------------------------------------------------------


class _Plan:
    def __init__(self, document: Document, operation: Operation, given: dict[str, Any]) -> None:
        self._document = document
        self._operation = operation
        self._given = given

    def root(self) -> Asked:
        kind = "Mutation" if self._operation.kind == "mutation" else "Query"
        return Asked("", Kind(kind), below=self._below(kind, self._operation.selections))

    def _below(self, kind: str, selections: list[Selection]) -> dict[str, Asked]:
        """Return what is asked of an object; one name asked for twice is asked for once, with all that is below."""
        found = {}
        for key, same in self._gathered(kind, selections).items():
            first = same[0]
            if any((each.name, each.arguments) != (first.name, first.arguments) for each in same):
                raise UsageError(f"Fields '{key[:100]}' conflict. Use different aliases on the fields to fetch both.")
            found[key] = self._asked(kind, first, [one for each in same for one in each.selections or ()])
        return found

    def _gathered(self, kind: str, selections: list[Selection]) -> dict[str, list[Field]]:
        """Return the fields of one level by their names in the answer; each fragment is looked at once."""
        groups: dict[str, list[Field]] = {}
        left, seen = selections[::-1], set[str]()
        while left:
            each = left.pop()
            for directive in each.directives:
                if directive.name != "component":  # says from which page it was asked, and changes nothing
                    raise UsageError(f"Unknown directive '@{directive.name[:100]}'.")
            if isinstance(each, Field):
                groups.setdefault(each.key, []).append(each)
            elif isinstance(each, Inline):
                self._check_fits(each.kind or kind, kind)
                left += each.selections[::-1]
            elif each.name not in seen:
                seen.add(each.name)
                left += self._fragment(kind, each.name)[::-1]
        return groups

    def _fragment(self, kind: str, name: str) -> list[Selection]:
        fragment = self._document.fragments.get(name)
        if fragment is None:
            raise UsageError(f"Unknown fragment '{name[:100]}'.")
        self._check_fits(fragment.kind, kind)
        return fragment.selections

    @staticmethod
    def _check_fits(wanted: str, kind: str) -> None:
        if wanted != kind:
            raise UsageError(
                f"A fragment cannot be spread here as objects of type '{kind}' can never be of type '{wanted[:100]}'."
            )

    def _asked(self, kind: str, asked: Field, selections: list[Selection]) -> Asked:
        if asked.name == "__typename":
            return Asked(asked.name, Kind("String"))
        held = OBJECTS[kind].get(asked.name)
        if held is None:
            raise UsageError(f"Cannot query field '{asked.name[:100]}' on type '{kind}'.")
        if held.is_object and not selections:
            raise UsageError(f"Field '{asked.name}' of type '{held}' must have a selection of subfields.")
        if selections and not held.is_object:
            raise UsageError(f"Field '{asked.name}' must not have a selection since type '{held}' has no subfields.")
        arguments = self._arguments(kind, asked)
        return Asked(asked.name, held, arguments, self._below(held.name, selections) if held.is_object else {})

    def _arguments(self, kind: str, asked: Field) -> dict[str, Any]:
        known: tuple[str, ...] = ()
        if kind in ("Query", "Mutation"):
            known = ("inputString",) if asked.name in ECHOES else ("input",)
        for name in asked.arguments:
            if name not in known:
                raise UsageError(f"Unknown argument '{name[:100]}' on field '{kind}.{asked.name}'.")
        found: dict[str, Any] = self._value(asked.arguments)
        if not isinstance(found.get("inputString"), str | None):
            raise UsageError(f"String cannot represent a non string value: the argument of '{asked.name}'.")
        said = found.get("input")
        if said is not None:
            if not isinstance(said, dict):
                raise UsageError(f"Expected value of type 'an object' for the input of '{asked.name}'.")
            for name in said:
                if name not in INPUTS[asked.name]:
                    raise UsageError(f"Field '{str(name)[:100]}' is not defined by the input of '{asked.name}'.")
        return found

    def _value(self, value: Any) -> Any:
        """Return a value with the request's variables in it; what is absent there is absent here."""
        if isinstance(value, Variable):
            return self._variable(value.name)
        if isinstance(value, dict):
            found = {name: self._value(each) for name, each in value.items()}
            return {name: each for name, each in found.items() if each is not _ABSENT}
        if isinstance(value, list):
            return [None if (one := self._value(each)) is _ABSENT else one for each in value]
        return value

    def _variable(self, name: str) -> Any:
        declared = self._operation.variables.get(name)
        if declared is None:
            raise UsageError(f"Variable '${name[:100]}' is not defined.")
        if name in self._given:
            value = self._given[name]
        elif declared.has_default:
            return declared.default
        else:
            value = _ABSENT
        if declared.kind.endswith("!") and value in (None, _ABSENT):
            raise UsageError(f"Variable '${name[:100]}' of required type '{declared.kind[:100]}' was not provided.")
        return value
