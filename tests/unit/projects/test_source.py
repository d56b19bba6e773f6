from __future__ import annotations

import time

import pytest

from headway.projects.source import LARGEST, Items, Leaf, Pairs, plain_value, read_tree


def problem(data: str | bytes) -> str:
    raw = data if isinstance(data, bytes) else data.encode("utf-8", "surrogatepass")
    _, problems = read_tree(raw, file="headway.yaml")
    assert len(problems) == 1, problems
    return str(problems[0])


def test_every_value_knows_its_place() -> None:
    tree, problems = read_tree(b"a: 1\nb:\n  - x\n  - {c: 3.10}\n", file="f")
    assert problems == ()
    assert isinstance(tree, Pairs)
    first, second = tree.pairs
    assert (first.key, first.line, first.column) == ("a", 1, 1)
    assert first.node == Leaf(line=1, column=4, value=1, text="1")
    assert isinstance(second.node, Items)
    inner = second.node.items[1]
    assert isinstance(inner, Pairs)
    assert inner.pairs[0].node == Leaf(line=4, column=9, value=3.1, text="3.10")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"a: \xff", "headway.yaml:1:4: the file is not UTF-8"),
        ("a: 1\nb: \x00", "headway.yaml:2:4: the character U+0000 may not stand in YAML"),
        ("a: " + "x" * LARGEST, "at most 262,144 are read"),
        ("[" * 50_000, "headway.yaml:1:25: values are nested more than 24 deep"),
        ("{a: " * 5000, "nested more than 24 deep"),
        ("- " * 50_000, "nested more than 24 deep"),
        ("a: b: c", "headway.yaml:1:5: this is not YAML"),
        ("a:\n\t- b", "indent with spaces: YAML takes no tabs"),
        ("{a: 1, b", "this is not YAML"),
        ("'", "this is not YAML"),
        ('a: "\\x"', "this is not YAML"),
        ('a: "\\UFFFFFFFF"', "not readable YAML"),
        ("a: 1\n---\nb: 2", "headway.yaml:2:1: the file has a second document"),
        ("%YAML 1.1\n---\na: no", "the file sets directives with `%`"),
        ("%TAG ! x\n---\na: no", "the file sets directives with `%`"),
        ("a: 1\nb: 2\na: 3", "headway.yaml:3:1: the key `a` stands twice, first in line 1"),
        ("? [x]\n: 1", "a key must be a plain word"),
        ("a: !!python/object/apply:os.system [id]", "the tag `tag:yaml.org,2002:python/object/apply:os.system` means"),
        ("a: !!str 3", "the tag `tag:yaml.org,2002:str` means nothing here"),
        ("&a [*a]", "the alias `*a` names nothing that stands complete above it"),
        ("a: *nope", "the alias `*nope` names nothing"),
        ('a: "\\x07"', "the text `?` holds a control character"),
        ('a: "\\ud800"', "the text `?` holds a control character"),
        ('"a\\x1b": 1', "holds a control character"),
        ("[" + "a," * 30_000 + "]", "more than 20,000 values"),
    ],
)
def test_what_cannot_be_read_is_said_with_its_place(data: str | bytes, says: str) -> None:
    assert says in problem(data)


def test_a_bomb_of_aliases_is_refused_before_it_costs_anything() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 20)]
    started = time.process_time()
    assert "more than 20,000 values, aliases written out" in problem("\n".join(lines))
    assert time.process_time() - started < 5


def test_a_few_aliases_are_fine() -> None:
    tree, problems = read_tree(b"a: &x [1, 2]\nb: *x\nc: *x\n", file="f")
    assert problems == ()
    assert isinstance(tree, Pairs)
    assert tree.pairs[0].node == tree.pairs[2].node


def test_a_byte_order_mark_is_no_mistake() -> None:
    tree, problems = read_tree(b"\xef\xbb\xbfname: x\n", file="f")
    assert problems == ()
    assert isinstance(tree, Pairs)
    assert tree.pairs[0].key == "name"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"), ("on", "on"), ("y", "y"), ("1:30", "1:30"), ("010", 10), ("0o17", 15), ("0x1F", 31),
        ("1_000", "1_000"), ("3.10", 3.1), ("1e3", 1000.0), (".5", 0.5), ("5.", 5.0), ("-.5e-1", -0.05), ("+7", 7),
        ("true", True), ("False", False), ("null", None), ("~", None), ("", None), ("2026-11-02", "2026-11-02"),
        ("=", "="), ("<<", "<<"), ("1e", "1e"), (".", "."), ("-", "-"), ("9" * 400, "9" * 400),
    ],
)  # fmt: skip
def test_unquoted_values_are_those_of_yaml_1_2(text: str, value: object) -> None:
    found = plain_value(text)
    assert (found, type(found)) == (value, type(value))


def test_infinity_and_nan_are_numbers_that_others_refuse() -> None:
    assert plain_value("-.inf") == float("-inf")
    assert str(plain_value(".NaN")) == "nan"
