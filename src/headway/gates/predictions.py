"""Prediction and hold-out files to columns on the same rows; the files are written by foreign code."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from headway.projects.model import PredictionsSpec
from headway.stats.metrics import Rows

Texts = NDArray[np.str_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a file may hold at most; beyond it the file counts as unreadable."""

    bytes_read: int = 1_000_000_000  # after decompression: a bomb stops here
    line: int = 1_000_000  # bytes: a file without line ends is never read whole
    rows: int = 2_000_000
    columns: int = 2_000
    field: int = 1_000  # characters of one value that is used


LIMITS = Limits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why evidence could not be used: every check that needs it is missing."""

    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The wanted columns of one file, as text."""

    name: str
    header: tuple[str, ...]
    columns: Mapping[str, Sequence[str]]
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """Predictions beside the labels of the hold-out, in the hold-out's order: two of them are paired by position."""

    rows: Rows
    slices: dict[str, Texts] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    key: str = ""  # digest of ids and labels in their order: rows may be paired only where it is equal


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdout:
    """The labels and groups that the base branch pins."""

    table: Table
    positions: dict[str, int]  # id -> row


class _Unusable(Exception):
    """Raised inside, handed out as a `Problem`."""


def read_holdout(path: Path, spec: PredictionsSpec, *, limits: Limits = LIMITS) -> Holdout | Problem:
    """The hold-out of the base branch, ids unique."""
    try:
        table = _read(path, "the hold-out", (spec.id, spec.label), optional=spec.slices, limits=limits)
        return Holdout(table=table, positions=_positions(table, spec.id))
    except _Unusable as error:
        return Problem(message=str(error))


def read_predictions(path: Path, spec: PredictionsSpec, *, limits: Limits = LIMITS) -> Table | Problem:
    """The predictions that a job wrote, ids unique."""
    needed = (spec.id, *(each for each in (spec.prediction, spec.score) if each))
    try:
        table = _read(path, "the predictions", needed, optional=spec.slices, limits=limits)
        _positions(table, spec.id)
    except _Unusable as error:
        return Problem(message=str(error))
    return table


def join(predictions: Table, holdout: Holdout, spec: PredictionsSpec) -> Joined | Problem:
    """Match by id, both ways and completely: a change that leaves out its hard rows has no evidence."""
    try:
        order = _order(predictions, holdout, spec)
        label_texts = holdout.table.columns[spec.label]
        prediction_texts = _ordered(predictions, spec.prediction, order)
        labels, values = _classes(label_texts, prediction_texts, spec)
        score = _ordered(predictions, spec.score, order)
        scores = None if score is None else _numbers(score, f"column {spec.score!r} of the predictions")
        slices, notes = _slices(predictions, holdout, spec, order=order)
    except _Unusable as error:
        return Problem(message=str(error))
    rows = Rows(label=labels, prediction=values, score=scores)
    return Joined(rows=rows, slices=slices, notes=notes, key=_key(holdout.table, spec))


def _key(holdout: Table, spec: PredictionsSpec) -> str:
    digest = hashlib.sha256()
    for name in (spec.id, spec.label):
        for value in holdout.columns[name]:
            digest.update(value.encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()


def _order(predictions: Table, holdout: Holdout, spec: PredictionsSpec) -> list[int]:
    """For each row of the hold-out, the row of its prediction."""
    where = _positions(predictions, spec.id)
    wanted = holdout.table.columns[spec.id]
    lost = [each for each in wanted if each not in where]
    extra = [each for each in where if each not in holdout.positions]
    if lost or extra:
        parts = []
        if lost:
            parts.append(f"{len(lost):,} of {len(wanted):,} rows have no prediction (first: {_short(lost[0])})")
        if extra:
            parts.append(f"{len(extra):,} predictions are for rows outside the hold-out (first: {_short(extra[0])})")
        raise _Unusable(f"the predictions do not cover the hold-out: {' and '.join(parts)}")
    return [where[each] for each in wanted]


def _ordered(table: Table, column: str | None, order: list[int]) -> list[str] | None:
    if column is None:
        return None
    values = table.columns[column]
    return [values[position] for position in order]


def _slices(
    predictions: Table,
    holdout: Holdout,
    spec: PredictionsSpec,
    *,
    order: list[int],
) -> tuple[dict[str, Texts], tuple[str, ...]]:
    """Groups come from the hold-out where it has them: the base branch says who belongs to which."""
    slices, notes = {}, []
    for column in spec.slices:
        if column in holdout.table.columns:
            slices[column] = np.array(holdout.table.columns[column], dtype=np.str_)
        elif column in predictions.columns:
            slices[column] = np.array(_ordered(predictions, column, order), dtype=np.str_)
            notes.append(f"slice column {column!r} comes from the predictions: the hold-out has none of that name")
        else:
            raise _Unusable(f"slice column {column!r} is neither in the hold-out nor in the predictions")
    return slices, tuple(notes)


def _classes(
    labels: Sequence[str],
    predictions: Sequence[str] | None,
    spec: PredictionsSpec,
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Numbers where all labels are numbers; otherwise classes counted through, the same text the same class."""
    numeric = _all_numbers(labels)
    if numeric is not None:
        found = None if predictions is None else _numbers(predictions, f"column {spec.prediction!r} of the predictions")
        return numeric, found
    if any(not each.strip() for each in labels):
        raise _Unusable(f"column {spec.label!r} of the hold-out has empty labels")
    codes: dict[str, int] = {}
    # Text classes start at 2: metrics that need 0 and 1 have no meaning on them and come out as NaN.
    coded = np.array([codes.setdefault(each, len(codes) + 2) for each in labels], dtype=np.float64)
    if predictions is None:
        return coded, None
    return coded, np.array([codes.setdefault(each, len(codes) + 2) for each in predictions], dtype=np.float64)


_WORDS = {"true": 1.0, "false": 0.0}


def _number(text: str) -> float:
    word = text.strip().lower()
    if word in _WORDS:
        return _WORDS[word]
    return float(word)


def _all_numbers(texts: Sequence[str]) -> NDArray[np.float64] | None:
    try:
        values = np.array([_number(each) for each in texts], dtype=np.float64)
    except ValueError:
        return None
    return values if np.isfinite(values).all() else None


def _numbers(texts: Sequence[str], what: str) -> NDArray[np.float64]:
    values = np.empty(len(texts))
    for position, text in enumerate(texts):
        try:
            values[position] = _number(text)
        except ValueError:
            raise _Unusable(f"{what} holds {_short(text)}, which is no number (row {position + 2})") from None
        if not math.isfinite(values[position]):
            raise _Unusable(f"{what} holds {_short(text)}: every value must be finite (row {position + 2})")
    return values


def _positions(table: Table, column: str) -> dict[str, int]:
    positions: dict[str, int] = {}
    for row, each in enumerate(table.columns[column]):
        if not each:
            raise _Unusable(f"{table.name}: row {row + 2} has no id (column {column!r})")
        if each in positions:
            raise _Unusable(
                f"{table.name}: the id {_short(each)} stands twice (rows {positions[each] + 2} and {row + 2})"
            )
        positions[each] = row
    return positions


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:39] + "…")


def _read(path: Path, name: str, needed: Sequence[str], *, optional: Sequence[str], limits: Limits) -> Table:
    try:
        with path.open("rb") as file:
            return _table(_lines(file, limits), name, needed, optional=optional, limits=limits)
    except FileNotFoundError:
        raise _Unusable(f"{name}: there is no file {path.name}") from None
    except (OSError, EOFError, zlib.error) as error:
        raise _Unusable(f"{name}: {path.name} cannot be read: {error}") from None
    except UnicodeDecodeError:
        raise _Unusable(f"{name}: {path.name} is no UTF-8 text") from None
    except csv.Error as error:
        raise _Unusable(f"{name}: {path.name} is no CSV: {error}") from None


def _lines(file: io.BufferedReader, limits: Limits) -> Iterator[str]:
    """Lines of the file, unpacked when it is gzip, never more bytes than the limit."""
    packed = file.peek(2)[:2] == b"\x1f\x8b"
    # Told by its first bytes: a name is only what the writer claims.
    raw = io.BufferedReader(gzip.GzipFile(fileobj=file)) if packed else file
    left = limits.bytes_read
    encoding = "utf-8-sig"
    while line := raw.readline(limits.line + 1):
        left -= len(line)
        if left < 0:
            raise _Unusable(f"the file holds more than {limits.bytes_read:,} bytes")
        if len(line) > limits.line:
            raise _Unusable(f"the file has a line of more than {limits.line:,} bytes")
        yield line.decode(encoding)
        encoding = "utf-8"


def _table(
    lines: Iterator[str],
    name: str,
    needed: Sequence[str],
    *,
    optional: Sequence[str],
    limits: Limits,
) -> Table:
    reader = csv.reader(lines, strict=True)
    header = tuple(each.strip() for each in next(reader, []))
    _check_header(header, name, needed, limits=limits)
    wanted = [each for each in dict.fromkeys((*needed, *optional)) if each in header]
    indices = [header.index(each) for each in wanted]
    columns: list[list[str]] = [[] for _ in wanted]
    rows = 0
    for record in reader:
        if not record:
            continue
        rows += 1
        if rows > limits.rows:
            raise _Unusable(f"{name}: more than {limits.rows:,} rows")
        if len(record) != len(header):
            raise _Unusable(f"{name}: row {rows + 1} has {len(record)} fields, the header has {len(header)}")
        for column, index in zip(columns, indices, strict=True):
            value = record[index]
            if len(value) > limits.field:
                raise _Unusable(f"{name}: a value in row {rows + 1} is longer than {limits.field:,} characters")
            column.append(value)
    if rows == 0:
        raise _Unusable(f"{name}: no rows")
    return Table(name=name, header=header, columns=dict(zip(wanted, columns, strict=True)), rows=rows)


def _check_header(header: Sequence[str], name: str, needed: Sequence[str], *, limits: Limits) -> None:
    if len(header) > limits.columns:
        raise _Unusable(f"{name}: more than {limits.columns:,} columns")
    if len(set(header)) != len(header):
        raise _Unusable(f"{name}: the header names a column twice")
    lost = [each for each in needed if each not in header]
    if lost:
        has = ", ".join(map(_short, header[:8])) + (" …" if len(header) > 8 else "")
        raise _Unusable(f"{name}: no column {', '.join(map(_short, lost))}; there are: {has or 'none'}")
