"""`headway`: the verbs of a comment, in the terminal. Only the verb that is asked for is loaded."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from headway.cli.output import note, print_error, say
from headway.cli.verbs import BY_NAME, VERBS, Listed, help_page
from headway.errors import HeadwayError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import typer

PROGRAM = "headway"
_HELP = ("-h", "--help")
_COMPLETING = "_HEADWAY_COMPLETE"
_COMPLETION_OPTIONS = ("--install-completion", "--show-completion")


def run() -> None:
    """Run one command line and leave with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # an old locale must not turn an answer into a traceback
    words = sys.argv[1:]
    try:
        sys.exit(_run(words))
    except HeadwayError as error:
        print_error(error, as_json="--json" in words)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        note("interrupted")
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)


def _run(words: Sequence[str]) -> int:
    if _COMPLETING in os.environ or any(word in _COMPLETION_OPTIONS for word in words[:1]):
        return _invoke(VERBS, words)
    if not words or words[0] in _HELP:
        say(help_page())
        return 0
    if words[0] in ("-V", "--version"):
        return _invoke((BY_NAME["version"],), ["version"])
    listed = BY_NAME.get(words[0])
    if listed is None:
        raise _unknown(words[0])
    rest = _with_command(words[1:]) if listed.name == "run" else _completed(listed, words[1:])
    return _invoke((listed,), [words[0], *rest])


def _completed(listed: Listed, rest: Sequence[str]) -> Sequence[str]:
    """A group without a verb lists what it is about, or else says what verbs it has."""
    if not listed.is_group or listed.is_bare or (rest and (rest[0] in _HELP or not rest[0].startswith("-"))):
        return rest
    return ["list", *rest] if listed.lists else ["--help"]


def _with_command(rest: Sequence[str]) -> Sequence[str]:
    """Mark where a command begins (`headway run python train.py --lr 1`): the options after it are its own."""
    from headway.cli.outside import is_command
    from headway.cli.work import RUN_OPTIONS_WITH_VALUE

    index = 0
    while index < len(rest) and rest[index].startswith("-") and rest[index] != "--":
        index += 2 if rest[index] in RUN_OPTIONS_WITH_VALUE else 1
    if index < len(rest) and is_command(rest[index]):
        return [*rest[:index], "--", *rest[index:]]
    return rest


def _unknown(word: str) -> UsageError:
    from headway.commands.nearest import nearest

    close = nearest(word.lstrip("/"), BY_NAME)
    what = "option" if word.startswith("-") else "verb"
    return UsageError(
        f"there is no {what} {word}", hint=f"headway {close}" if close else "headway --help lists the verbs"
    )


def _invoke(verbs: Sequence[Listed], words: Sequence[str]) -> int:
    import typer

    try:
        left = _program(verbs)(list(words), prog_name=PROGRAM, standalone_mode=False)
    except typer.Exit as leaving:
        return leaving.exit_code
    except typer.Abort:
        raise KeyboardInterrupt from None
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else PROGRAM
        raise UsageError(error.format_message().rstrip("."), hint=f"{path} --help") from None
    return left if isinstance(left, int) else 0


def _program(verbs: Sequence[Listed]) -> typer.Typer:
    """Return the command tree of these verbs."""
    import typer

    program = typer.Typer(
        name=PROGRAM,
        help="From a pull-request comment to a served model, and back.",
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        add_completion=len(verbs) > 1,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    program.callback()(_nothing)  # else a single verb would lose its name
    for each in verbs:
        found = _load(each)
        if each.is_group:
            _say_whole(found)
            program.add_typer(found, name=each.name, rich_help_panel=each.panel)
        else:
            program.command(each.name, rich_help_panel=each.panel)(found)
    return program


def _say_whole(group: typer.Typer) -> None:
    """Give each verb of a group its whole first paragraph, which the list of verbs would cut in mid-sentence."""
    from inspect import getdoc

    for each in group.registered_commands:
        if each.callback is not None and each.short_help is None:
            each.short_help = " ".join((getdoc(each.callback) or "").split("\n\n")[0].split())


def _nothing() -> None:
    """From a pull-request comment to a served model, and back."""


def _load(listed: Listed) -> Any:
    from importlib import import_module

    module, _, attribute = listed.place.partition(":")
    return getattr(import_module(f"headway.cli.{module}"), attribute)


def __getattr__(name: str) -> Any:
    # The documentation reads the whole tree; nobody else needs it whole.
    if name == "app":
        return _program(VERBS)
    raise AttributeError(name)


if __name__ == "__main__":
    run()
