"""A tree and a shape to plain typed values; every mistake is collected with its place and its mending."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from headway.commands.nearest import nearest
from headway.projects.problem import Problem, quoted
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
from headway.projects.source import Items, Leaf, Node, Pair, Pairs

Path = tuple[str | int, ...]


@dataclass(slots=True)
class Taken:
    """The values of a file as far as they are right, and where each of them stands."""

    file: str
    value: dict[str, Any] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    places: dict[Path, tuple[int, int]] = field(default_factory=dict)

    def report(self, path: Path, message: str, fix: str) -> None:
        """Keep one mistake at the place of `path`, or of the nearest thing around it that has one."""
        while path and path not in self.places:
            path = path[:-1]
        line, column = self.places.get(path, (1, 1))
        self.problems.append(Problem(file=self.file, line=line, column=column, message=message, fix=fix))

    def at(self, *path: str | int) -> Any:
        """Return the value at a path; None where there is none or it is wrong."""
        found: Any = self.value
        for part in path:
            if isinstance(found, dict) and isinstance(part, str):
                found = found.get(part)
            elif isinstance(found, list) and isinstance(part, int) and part < len(found):
                found = found[part]
            else:
                return None
        return found


class _Bad:
    """The value cannot be used; its problem has been reported."""


_BAD = _Bad()


def take(shape: Shape, node: Node, *, file: str) -> Taken:
    """Return what the tree holds of the shape; what is wrong is left out and reported."""
    taken = Taken(file=file)
    taken.places[()] = (node.line, node.column)
    value = _take(shape, node, (), taken)
    if isinstance(value, dict):
        taken.value = value
    return taken


def _take(shape: Shape, node: Node, path: Path, taken: Taken) -> Any:
    taken.places.setdefault(path, (node.line, node.column))
    if isinstance(shape, Either):
        shape = _chosen(shape, node)
    if isinstance(shape, Fields | MapOf):
        return _take_mapping(shape, node, path, taken)
    if isinstance(shape, ListOf):
        return _take_list(shape, node, path, taken)
    return _take_leaf(shape, node, path, taken)


def _take_leaf(shape: Shape, node: Node, path: Path, taken: Taken) -> Any:
    if not isinstance(node, Leaf):
        kind = "a list" if isinstance(node, Items) else "a mapping"
        return _wrong(node, taken, f"{_name(path)} is {kind}, it must be {says(shape)}", _example(shape))
    if node.value is None:
        return _wrong(node, taken, f"{_name(path)} has no value", f"remove the key, or write {says(shape)}")
    if isinstance(shape, Text):
        return _take_text(shape, node, path, taken)
    if isinstance(shape, Number):
        return _take_number(shape, node, path, taken)
    return _take_other(shape, node, path, taken)


def _chosen(shape: Either, node: Node) -> Shape:
    """Return the option of the node's own kind; the first where none has it."""
    kinds: dict[type[Node], tuple[type, ...]] = {Items: (ListOf,), Pairs: (Fields, MapOf), Leaf: (Text, Number, Flag)}
    wanted = kinds[type(node)]
    return next((option for option in shape.options if isinstance(option, wanted)), shape.options[0])


def _take_mapping(shape: Fields | MapOf, node: Node, path: Path, taken: Taken) -> Any:
    if not isinstance(node, Pairs):
        known = f" with keys such as {quoted(next(iter(shape.keys)))}" if isinstance(shape, Fields) else ""
        return _wrong(node, taken, f"{_name(path)} must be a mapping{known}", "write `key: value` lines below it")
    if isinstance(shape, Fields):
        return _take_fields(shape, node, path, taken)
    _check_count(shape, len(node.pairs), path, taken)
    return {pair.key: value for pair, value in _entries(shape, node, path, taken)}


def _entries(shape: MapOf, node: Pairs, path: Path, taken: Taken) -> Iterator[tuple[Pair, Any]]:
    for pair in node.pairs:
        here = (*path, pair.key)
        taken.places[here] = (pair.line, pair.column)
        if not shape.key.fits(pair.key):
            taken.report(here, f"{quoted(pair.key)} is not {shape.key.says}", shape.key.example)
            continue
        value = _take(shape.value, pair.node, here, taken)
        # A name whose value is wrong still exists: what refers to it is no second mistake.
        yield pair, None if value is _BAD else value


def _take_fields(shape: Fields, node: Pairs, path: Path, taken: Taken) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for pair in node.pairs:
        here = (*path, pair.key)
        taken.places[here] = (pair.line, pair.column)
        key = shape.keys.get(pair.key)
        if key is None:
            taken.report(here, *_unknown(pair.key, shape, path))
            continue
        value = _take(key.shape, pair.node, here, taken)
        if value is not _BAD:
            found[pair.key] = value
    present = {pair.key for pair in node.pairs}
    for name, key in shape.keys.items():
        if key.is_needed and name not in present:
            taken.report(path, f"{_name(path)} lacks the key {quoted(name)}: {key.says}", _needed(name, key))
    chosen = [name for name in shape.one_of if name in present]
    if shape.one_of and len(chosen) != 1:
        listed = " or ".join(f"`{name}`" for name in shape.one_of)
        has = "has none of them" if not chosen else "has " + " and ".join(f"`{name}`" for name in chosen)
        taken.report(path, f"{_name(path)} needs exactly one of {listed}, and {has}", f"keep one of {listed}")
    return found


def _unknown(name: str, shape: Fields, path: Path) -> tuple[str, str]:
    near = _near_key(name, tuple(shape.keys))
    where = "" if not path else f" in {_name(path)}"
    message = f"unknown key {quoted(name)}{where}" + (f", did you mean `{near}`?" if near else "")
    if near:
        return message, f"write `{near}:`"
    if name == "on":
        return message, "the key is called `triggers:`"
    return message, f"known here: {', '.join(shape.keys)}"


def _near_key(name: str, keys: Sequence[str]) -> str | None:
    near = nearest(name, keys)
    if near is not None:
        return near
    plain = name.casefold().replace("-", "_")
    alike = next((key for key in keys if plain in {key, f"{key}s", key.rstrip("s"), key.replace("_", "")}), None)
    return alike or next((key for key in keys if len(key) > 2 and plain.startswith(key)), None)  # `minimum` for `min`


def _needed(name: str, key: Key) -> str:
    example = key.shape.example if isinstance(key.shape, Text) else ""
    return f"add `{name}: {example}`" if example else f"add `{name}:`"


def _take_list(shape: ListOf, node: Node, path: Path, taken: Taken) -> Any:
    if not isinstance(node, Items):
        text = f"write `[{node.text}]`" if isinstance(node, Leaf) and node.text else "write `- item` lines below it"
        return _wrong(node, taken, f"{_name(path)} must be a list", text)
    _check_count(shape, len(node.items), path, taken)
    values = [_take(shape.item, item, (*path, index), taken) for index, item in enumerate(node.items)]
    # A wrong item keeps its place, so that the others are still found by their index.
    return [None if value is _BAD else value for value in values]


def _check_count(shape: ListOf | MapOf, count: int, path: Path, taken: Taken) -> None:
    if count < shape.least:
        taken.report(path, f"{_name(path)} needs at least {shape.least}", "add one, or remove the key")
    if count > shape.most:
        taken.report(path, f"{_name(path)} has {count} entries, at most {shape.most} are taken", "shorten it")


def _take_text(shape: Text, node: Leaf, path: Path, taken: Taken) -> Any:
    if not isinstance(node.value, str):
        kind = {bool: "true or false", int: "the number", float: "the number"}[type(node.value)]
        read = kind if isinstance(node.value, bool) else f"{kind} {node.value!r}"
        fix = f"write {shape.example}" if shape.example else f'write it in quotes: "{node.text}"'
        if shape.fits(node.text):
            fix = f'write it in quotes: "{node.text}"'
        return _wrong(node, taken, f"{_name(path)}: `{node.text}` is read as {read}, it must be {shape.says}", fix)
    if shape.fits(node.value):
        return shape.read(node.value)
    if shape.choices:
        near = nearest(node.value, shape.choices)
        meant = f", did you mean `{near}`?" if near else ""
        choices = " | ".join(shape.choices)
        return _wrong(node, taken, f"{_name(path)}: {quoted(node.value)} is unknown{meant}", f"write one of {choices}")
    if len(node.value) > shape.longest:
        message = f"{_name(path)} has {len(node.value)} characters, at most {shape.longest} are taken"
        return _wrong(node, taken, message, "shorten it")
    return _wrong(node, taken, f"{_name(path)}: {quoted(node.value)} is not {shape.says}", _example(shape))


def _take_number(shape: Number, node: Leaf, path: Path, taken: Taken) -> Any:
    value = node.value
    if isinstance(value, bool) or not isinstance(value, int | float):
        unquote = " without quotes" if isinstance(value, str) and value.replace(".", "", 1).isdigit() else ""
        message = f"{_name(path)}: {quoted(node.text)} is not {shape.says}"
        return _wrong(node, taken, message, f"write the number{unquote}")
    is_in = math.isfinite(value) and shape.least <= value <= shape.most
    if not is_in or (shape.above_least and value <= shape.least) or (shape.is_whole and value != int(value)):
        return _wrong(node, taken, f"{_name(path)}: {quoted(node.text)} is not {shape.says}", f"write {shape.says}")
    return int(value) if shape.is_whole else value


def _take_other(shape: Flag | Scalar | Shape, node: Leaf, path: Path, taken: Taken) -> Any:
    if isinstance(shape, Flag) and not isinstance(node.value, bool):
        message = f"{_name(path)}: {quoted(node.text)} is not true or false"
        return _wrong(node, taken, message, "write `true` or `false`")
    is_number = isinstance(node.value, int | float) and not isinstance(node.value, bool)
    if is_number and not LEAST_PARAM <= node.value <= MOST_PARAM:  # type: ignore[operator]  # a number
        message = f"{_name(path)}: {quoted(node.text)} is not a number of at most 64 bits"
        return _wrong(node, taken, message, "write it in quotes if it is text")
    if isinstance(node.value, str) and len(node.value) > LONGEST_PARAM:
        return _wrong(node, taken, f"{_name(path)} has over {LONGEST_PARAM} characters", "keep long text in a file")
    return node.value


def _wrong(node: Node, taken: Taken, message: str, fix: str) -> _Bad:
    taken.problems.append(
        Problem(file=taken.file, line=node.line, column=node.column, message=message, fix=fix),
    )
    return _BAD


def says(shape: Shape) -> str:
    """Return what a shape is, for people."""
    match shape:
        case Text() | Number():
            return shape.says
        case Flag():
            return "true or false"
        case Scalar():
            return "a text, a number, true or false"
        case ListOf():
            return "a list"
        case Either():
            return " or ".join(says(option) for option in shape.options)
        case _:
            return "a mapping"


def _example(shape: Shape) -> str:
    if not isinstance(shape, Text):
        return ""
    return f"write for example {shape.example}" if shape.example else f"write {shape.says}"


def _name(path: Path) -> str:
    text = ""
    for part in path:
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return quoted(text) if text else "the file"
