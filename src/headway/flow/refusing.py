"""A refusal as the forge shows it: its code, a sentence, and what can be copied to mend it."""

from __future__ import annotations

import re

from headway.commands.model import Command
from headway.commands.refusals import code_of, copyable
from headway.errors import HeadwayError, UsageError
from headway.flow.present import command_text
from headway.reports.escape import fence

# A command of ours or of the terminal, inside the words of a hint; placeholders in capitals stay for the reader.
_WORD = r"(?:@[0-9a-f]{7,64}|[0-9]+|--[a-z-]+(?: \S+)?|[A-Z]+\b)"
_COMMAND = re.compile(rf"(?:^|(?<=[\s:]))(/[a-z]+(?: {_WORD})*|headway [a-z].*)")


def refusal_text(command: Command, error: HeadwayError, *, waited: str = "") -> str:
    """Return the answer to a command that was refused, as Markdown."""
    sentence = " ".join(_ended(part) for part in (error.message, error.cause, waited) if part)
    found = _COMMAND.search(error.hint)
    if found is None and error.hint and command.params and isinstance(error, UsageError):
        # Nobody shall copy what was wrong once more: the hint says what to write in its place.
        return f"Refused: `{code_of(error)}`\n\n{sentence}\n\n{_ended(error.hint[:1].upper() + error.hint[1:])}"
    fix = found.group(1).strip() if found else _again(command)
    advice = f"\n\n{error.hint[:1].upper()}{error.hint[1:]}:" if error.hint and error.hint.strip() != fix else ""
    return f"Refused: `{code_of(error)}`\n\n{sentence}{advice}{_fenced(fix)}"


def _ended(part: str) -> str:
    return part if part.endswith((".", "?", "!")) else f"{part}."


def _again(command: Command) -> str:
    """The same command, for the commit that it was given for."""
    text = command_text(command)
    has_commit = command.head_sha and command.verb.value in ("plan", "train", "retry", "approve", "deploy")
    return f"{text} @{command.head_sha}" if has_commit and not command.arguments else text


def _fenced(fix: str) -> str:
    # What a person typed stands in it: the fence must be longer than any of theirs.
    return f"\n\n{fence([fix])}" if "`" in fix else copyable(fix)
