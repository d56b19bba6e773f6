"""What the terminal prints: results on standard output, progress and errors on standard error, JSON never mixed."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import IO, Any

from headway.errors import HeadwayError

_ESCAPES = re.compile(r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?|\x1b[ -/]*[0-~]?")
_COMMENT_VERB = re.compile(r"(?<![\w/.])/(plan|train|tune|deploy|approve|rollback|stop|retry|override|why|help)\b")
_COMMENTING = re.compile(r"""\bcomment(?: [0-9]+)? ["'`]?\Z""")
_LONE_PARAM = re.compile(r"(headway (?:train|plan|tune)(?: --set \S+)*) (?!--)([A-Za-z_][\w.]*=\S+)")
_LONE_COMMIT = re.compile(r"(headway (?:train|plan|tune)) @([0-9a-f]{7,64})")


class _Printed:
    """Whether standard output holds its one JSON document already."""

    json = False


def print_json(value: Any) -> None:
    """Print one JSON document; there is never a second one."""
    _Printed.json = True
    _write(sys.stdout, _json_text(value) + "\n")


def _json_text(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=_plain_record)


def _plain_record(value: object) -> Any:
    """Records of ours (`config show`, `init`) become what they are on the wire."""
    import msgspec

    return msgspec.to_builtins(value)


def print_error(error: HeadwayError, *, as_json: bool) -> None:
    """Print what happened, why, and what can be pasted to mend it."""
    message, cause, hint = (in_terminal(text) for text in (error.message, error.cause, error.hint))
    if as_json:
        _print_json_error(error, message, cause, hint)
        return
    is_color = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    red, plain = ("\x1b[31m", "\x1b[0m") if is_color else ("", "")
    lines = [f"{red}error:{plain} {clean_line(message)}"]
    first, *rest = [clean_line(line) for line in cause.splitlines()] or [""]
    if first:
        lines += [f"cause: {first}", *(f"       {line}" for line in rest)]
    if hint:
        lines.append(f"hint:  {clean_line(hint)}")
    note("\n".join(lines))


def _print_json_error(error: HeadwayError, message: str, cause: str, hint: str) -> None:
    document = {
        "code": error.code,
        "message": message,
        "cause": cause,
        "hint": hint,
        "retryable": error.retryable,
        "exit_code": error.exit_code,
    }
    if not _Printed.json:
        print_json(document)
        return
    # The result stands on standard output already: a gate that failed, a job that failed.
    note(_json_text(document))


def in_terminal(text: str) -> str:
    """Return words meant for a comment as they are typed here: `/train lr=0.1` is `headway train --set lr=0.1`."""
    typed = _LONE_COMMIT.sub(r"\1 \2", _COMMENT_VERB.sub(_typed_verb, text))
    while (again := _LONE_PARAM.sub(r"\1 --set \2", typed)) != typed:
        typed = again
    return typed


def _typed_verb(found: re.Match[str]) -> str:
    """An override names its change here; what is a comment already (`headway change comment 1 /train`) stays one."""
    if _COMMENTING.search(found.string, 0, found.start()):
        return found[0]
    is_form = found[1] == "override" and found.string[found.end() :].startswith(" CHECK")
    return f"headway {found[1]}" + (" CHANGE" if is_form else "")


def say(text: str) -> None:
    """Print a result."""
    _write(sys.stdout, text + "\n")


def note(text: str) -> None:
    """Print progress, where it does not get into a pipe."""
    _write(sys.stderr, text + "\n")


def _write(stream: IO[str], text: str) -> None:
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        # Whoever read has seen enough (`headway logs 1 | head`); Python must not complain at its end either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        raise SystemExit(0) from None


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """Print an aligned table, or the sentence that says what to do when there is nothing."""
    kept = list(rows)
    if not kept:
        note(empty)
        return
    cells = [list(columns), *([_plain(value) for value in row] for row in kept)]
    widths = [max(len(row[at]) for row in cells) for at in range(len(columns))]
    is_number = [all(isinstance(row[at], (int, float, type(None))) for row in kept) for at in range(len(columns))]
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    for row in cells:
        fitted = [
            cell.rjust(size) if right else cell.ljust(size)
            for cell, size, right in zip(row, widths, is_number, strict=True)
        ]
        say(cut("  ".join(fitted).rstrip(), width))


def cut(text: str, width: int) -> str:
    """Return a line that fits; a width of 0 takes any."""
    return text if not width or len(text) <= width else text[: max(1, width - 1)] + "…"


def _plain(value: object) -> str:
    if value is None or value == "":
        return "–"
    if isinstance(value, float):
        return f"{value:.6g}"
    return clean_line(str(value))


def clean_line(text: str) -> str:
    """Return one line of foreign text that cannot rewrite the terminal; of a progress bar, its last state."""
    line = _ESCAPES.sub("", text).rstrip("\r\n").rpartition("\r")[2]
    return "".join(letter if letter.isprintable() or letter == "\t" else "�" for letter in line)


def clean_text(text: str) -> str:
    """Return foreign text of several lines made harmless."""
    return "\n".join(clean_line(line) for line in text.split("\n"))


def count(number: int, thing: str) -> str:
    """Return "1 step", "2 steps"."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def short(sha: str | None) -> str:
    """Return a commit or digest as people say it."""
    return (sha or "")[:7]


def when(instant: str | None) -> str:
    """Return an instant of the server (UTC) to the second, as people read it."""
    return (instant or "")[:19].replace("T", " ")


def words(name: str | None) -> str:
    """Return a state's name as people read it: "cannot tell", "rolled back"."""
    return (name or "").replace("_", " ")


def megabytes(size: float) -> str:
    """Return a size as people say it."""
    if size >= 1e9:
        return f"{size / 1e9:.1f} GB"
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} KB"
