"""The comment language: text of a comment to commands, and back. Pure; never raises on any text.

A line has three outcomes: a command, an immediate answer, or nothing at all. A line that begins with a
known word is never half understood: it parses as a whole, or it is answered with the right form.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from headway.commands.model import Answer, Parse, ParsedCommand, Verb
from headway.commands.nearest import nearest
from headway.commands.usage import USAGE, Usage
from headway.commands.visible import visible_lines, without_invisible
from headway.ids import NAME

MOST_COMMANDS = 5
LONGEST_COMMENT = 65_536  # what a forge takes
LONGEST_LINE = 1_000
LONGEST_VALUE = 500

_FIRST_WORD = re.compile(r" {0,3}/([A-Za-z][A-Za-z0-9_-]{0,62})([.,:;!?]{0,3})(?=[ \t]|\Z)")
_SHA = re.compile(r"@([0-9a-fA-F]{7,64})")
_ALIAS = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_OPTIONS = ("--project", "--to", "--dry-run")
_VERBS: Mapping[str, Verb] = {verb.value: verb for verb in Verb}


class _Wrong(Exception):  # a sentence on the way to its answer, not an error of the program
    """Why a line cannot be a command; caught in this file."""


def parse_comment(text: str, aliases: Mapping[str, str] | None = None) -> tuple[Parse, ...]:
    """Return the commands and immediate answers of a comment in their order; empty = nothing asked of us.

    `aliases` maps a team's own words to a verb and options; a verb cannot be shadowed.
    """
    found: list[Parse] = []
    for line in visible_lines(text[:LONGEST_COMMENT]):
        outcome = _parse_line(line.text, aliases or {}, number=line.number)
        if outcome is None:
            continue
        if len(found) == MOST_COMMANDS:
            found.append(
                Answer(
                    text=f"Only the first {MOST_COMMANDS} commands of a comment are read: "
                    "please put the others into a new comment.",
                    line=line.number,
                ),
            )
            break
        found.append(outcome)
    return tuple(found)


def has_command(text: str) -> bool:
    """Whether a comment may hold a command at all: what else is said on a forge needs no question to it."""
    return any(line.text.lstrip().startswith("/") for line in visible_lines(text[:LONGEST_COMMENT]))


def parse_words(verb: Verb, rest: str, *, line: int = 1) -> Parse:
    """Return the command that a verb makes with the rest of its line, or the answer that says what is wrong."""
    usage = USAGE[verb]
    text = without_invisible(rest)
    try:
        _check_line(text)
        return _Draft(usage, line=line).read(text)
    except _Wrong as wrong:
        return Answer(text=f"{wrong} Usage: `{usage.syntax}`, for example `{usage.example}`.", line=line)


def alias_problem(alias: str, expansion: str) -> str | None:
    """Return why a project may not have this word, None when it may."""
    if not _ALIAS.fullmatch(alias):
        return "a word of the team has small letters, digits, `-` and `_`, and starts with a letter"
    if alias in _VERBS:
        return f"`{alias}` is a verb of Headway already"
    parsed = _expand(expansion)
    return parsed if isinstance(parsed, str) else None


def format_command(command: ParsedCommand) -> str:
    """Return the one line that parses to this command."""
    words = [f"/{command.verb}"]
    arguments = [_quoted(argument) for argument in command.arguments]
    if command.verb is not Verb.OVERRIDE:
        words += arguments
    words += [f"{key}={_quoted(value)}" for key, value in command.params.items()]
    words += [f"@{command.sha}"] if command.sha else []
    words += ["--to", command.environment] if command.environment else []
    words += ["--project", command.project] if command.project else []
    words += ["--dry-run"] if command.dry_run else []
    if command.verb is Verb.OVERRIDE:
        words += arguments
        words += ["--", command.reason] if command.reason.startswith(("-", "@")) else [command.reason]
    return " ".join(words)


def _parse_line(text: str, aliases: Mapping[str, str], *, number: int) -> Parse | None:
    first = _FIRST_WORD.match(text)
    if not first:
        return None
    word, tail = first[1].casefold(), first[2]
    rest = text[first.end() :]
    verb = _VERBS.get(word)
    is_ours = verb is not None or word in aliases
    if not is_ours or tail:
        return _answer_near(first[1] + tail, word, aliases, number=number, is_ours=is_ours)
    if verb is not None:
        return parse_words(verb, rest, line=number)
    return _parse_alias(word, aliases[word], rest, number=number)


def _answer_near(typed: str, word: str, aliases: Mapping[str, str], *, number: int, is_ours: bool) -> Answer | None:
    close = word if is_ours else nearest(word, (*_VERBS, *aliases))
    if close is None or not _ALIAS.fullmatch(close):
        return None
    form = f" Usage: `{USAGE[_VERBS[close]].syntax}`." if close in _VERBS else ""
    return Answer(text=f"There is no command `/{typed}`. Did you mean `/{close}`?{form}", line=number)


def _check_line(text: str) -> None:
    if len(text) > LONGEST_LINE:
        raise _Wrong(f"The line has more than {LONGEST_LINE} characters.")
    for char in text:
        if char != "\t" and unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"}:
            raise _Wrong(f"The line holds the invisible character U+{ord(char):04X}: please type it again.")


def _parse_alias(word: str, expansion: str, rest: str, *, number: int) -> Parse:
    base = _expand(expansion)
    if isinstance(base, str):
        return Answer(
            text=f"`/{word}` cannot be run: {base}. It is declared in headway.yaml, `commands:`.", line=number
        )
    said = parse_words(base.verb, rest, line=number)
    if isinstance(said, Answer):
        return replace(said, text=f"`/{word}` stands for `{format_command(base)}`. {said.text}")
    return replace(
        said,
        arguments=said.arguments or base.arguments,
        params={**base.params, **said.params},
        sha=said.sha or base.sha,
        project=said.project or base.project,
        environment=said.environment or base.environment,
        dry_run=said.dry_run or base.dry_run,
    )


def _expand(expansion: str) -> ParsedCommand | str:
    """Return what an alias stands for, one level deep, or why it stands for nothing."""
    text = "/" + without_invisible(expansion).strip().removeprefix("/")
    first = _FIRST_WORD.match(text)
    verb = _VERBS.get(first[1].casefold()) if first and not first[2] else None
    if first is None or verb is None:
        return f"{shown(expansion)} does not begin with a verb of Headway"
    if verb is Verb.OVERRIDE:
        return "an override is written out, with its reason, each time"
    parsed = parse_words(verb, text[first.end() :])
    return parsed if isinstance(parsed, ParsedCommand) else parsed.text


@dataclass(frozen=True, slots=True)
class _Word:
    """One word of the line: `key` is set for key=value; a quoted word is never an option."""

    text: str
    key: str = ""
    is_quoted: bool = False


_WORD = re.compile(
    r"""[ \t]*(?:
        (?P<key>[^\s"'=]+)=(?:"(?P<dq>(?:[^"\\]|\\.)*)"|'(?P<sq>[^']*)'|(?P<bare>[^\s"']*))
      | "(?P<whole_dq>(?:[^"\\]|\\.)*)"
      | '(?P<whole_sq>[^']*)'
      | (?P<plain>[^\s"'=]+)
    )(?=[ \t]|\Z)""",
    re.VERBOSE,
)
_ESCAPE = re.compile(r'\\(["\\])')


def _next_word(text: str, at: int) -> tuple[_Word, int]:
    found = _WORD.match(text, at)
    if not found:
        piece = text[at:].split(maxsplit=1)[0]
        raise _Wrong(
            f'{shown(piece)} cannot be read: quotes enclose a whole value, as in `note="two words"`.',
        )
    part = found.groupdict()
    if part["key"] is not None:
        double, single = part["dq"], part["sq"]
        value = _ESCAPE.sub(r"\1", double) if double is not None else single if single is not None else part["bare"]
        return _Word(value, key=part["key"]), found.end()
    if part["plain"] is not None:
        return _Word(part["plain"]), found.end()
    double = part["whole_dq"]
    return _Word(_ESCAPE.sub(r"\1", double) if double is not None else part["whole_sq"], is_quoted=True), found.end()


@dataclass(slots=True)
class _Draft:
    """A command while its line is read."""

    usage: Usage
    line: int
    arguments: list[str] = field(default_factory=list)
    params: dict[str, str] = field(default_factory=dict)
    sha: str | None = None
    options: dict[str, str] = field(default_factory=dict)

    def read(self, text: str) -> ParsedCommand:
        reason = self._read_words(text.rstrip())
        if self.usage.is_needed and not self.arguments:
            raise _Wrong(f"`/{self.usage.verb}` needs the {self.usage.positional.lower()} it is about.")
        if self.usage.has_reason and not reason:
            raise _Wrong(f"`/{self.usage.verb}` needs a reason: it is kept in the audit log.")
        if len(reason) > LONGEST_VALUE:
            raise _Wrong(f"The reason has more than {LONGEST_VALUE} characters.")
        return ParsedCommand(
            verb=self.usage.verb,
            arguments=tuple(self.arguments),
            params=self.params,
            sha=self.sha,
            project=self.options.get("--project"),
            environment=self.options.get("--to"),
            dry_run="--dry-run" in self.options,
            reason=reason,
            line=self.line,
        )

    def _read_words(self, text: str) -> str:
        """Take words until the line ends or the reason begins; return the reason."""
        at = 0
        while text[at:].strip(" \t"):
            if self.usage.has_reason and self.arguments and not self._is_option(text[at:].split(maxsplit=1)[0]):
                return text[at:].strip().removeprefix("-- ").strip()
            word, at = _next_word(text, at)
            if word.text in {"--project", "--to"} and not word.is_quoted and not word.key:
                at = self._take_named(word.text, text, at)
            else:
                self._take(word)
        return ""

    def _is_option(self, word: str) -> bool:
        return word.partition("=")[0] in _OPTIONS or _SHA.fullmatch(word) is not None

    def _take(self, word: _Word) -> None:
        if word.key.startswith("--"):
            self._set_option(word.key, word.text)
        elif word.key and self.usage.has_reason:
            # A check's own name may hold the sign: country=BR, val_auc>=0.85.
            self._take_argument(replace(word, text=f"{word.key}={word.text}"))
        elif word.key:
            self._take_param(word)
        elif not word.is_quoted and word.text.startswith("--"):
            self._set_option(word.text, "")
        elif not word.is_quoted and word.text.startswith("@"):
            self._take_sha(word.text)
        else:
            self._take_argument(word)

    def _take_named(self, option: str, text: str, at: int) -> int:
        if not text[at:].strip(" \t"):
            raise _Wrong(f"`{option}` needs a name after it.")
        word, at = _next_word(text, at)
        if word.key:
            raise _Wrong(f"`{option}` needs a name after it, not {shown(word.key + '=')}.")
        self._set_option(option, word.text)
        return at

    def _set_option(self, option: str, value: str) -> None:
        is_taken = {
            "--project": self.usage.has_project,
            "--to": self.usage.has_environment,
            "--dry-run": self.usage.has_dry_run,
        }.get(option, False)
        if not is_taken:
            near = nearest(option, _OPTIONS)
            meant = f" Did you mean `{near}`?" if near and near != option else ""
            raise _Wrong(f"`/{self.usage.verb}` has no option {shown(option)}.{meant}")
        if option in self.options:
            raise _Wrong(f"`{option}` is given twice.")
        if option == "--dry-run" and value:
            raise _Wrong("`--dry-run` takes no value.")
        if option != "--dry-run" and not NAME.match(value):
            raise _Wrong(f"{shown(value)} after `{option}` is not a name.")
        self.options[option] = value

    def _take_param(self, word: _Word) -> None:
        if not self.usage.has_params:
            raise _Wrong(f"`/{self.usage.verb}` takes no parameters, {shown(word.key + '=' + word.text)} is one.")
        if not NAME.match(word.key):
            raise _Wrong(f"{shown(word.key)} is not a parameter's name.")
        if word.key in self.params:
            raise _Wrong(f"{shown(word.key)} is given twice.")
        if len(word.text) > LONGEST_VALUE:
            raise _Wrong(f"The value of {shown(word.key)} has more than {LONGEST_VALUE} characters.")
        self.params[word.key] = word.text

    def _take_sha(self, text: str) -> None:
        found = _SHA.fullmatch(text)
        if not self.usage.has_sha:
            raise _Wrong(f"`/{self.usage.verb}` takes no commit, {shown(text)} is none of its words.")
        if not found:
            raise _Wrong(f"{shown(text)} is not a commit: `@` and 7 to 64 hexadecimal digits.")
        if self.sha is not None:
            raise _Wrong("A commit is given twice.")
        self.sha = found[1].lower()

    def _take_argument(self, word: _Word) -> None:
        pattern = self.usage.pattern
        if pattern is None:
            raise _Wrong(
                f"`/{self.usage.verb}` does not know {shown(word.text)}. Write other text on a line of its own."
            )
        if self.arguments:
            raise _Wrong(f"{shown(word.text)} is one word too many. Write other text on a line of its own.")
        if not pattern.fullmatch(word.text):
            raise _Wrong(f"{shown(word.text)} is not {_article(self.usage.positional)}.")
        if self.usage.verb is Verb.HELP:
            self.arguments.append(self._known_verb(word.text))
        else:
            self.arguments.append(word.text.removeprefix("#") if self.usage.positional == "RUN" else word.text)

    def _known_verb(self, text: str) -> str:
        name = text.removeprefix("/").casefold()
        if name not in _VERBS:
            near = nearest(name, _VERBS)
            raise _Wrong(f"There is no verb {shown(name)}." + (f" Did you mean `{near}`?" if near else ""))
        return name


def _article(positional: str) -> str:
    name = positional.lower()
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def _quoted(value: str) -> str:
    if value and not re.search(r"[\s\"'=\\]", value) and not value.startswith(("-", "@")):
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def shown(text: str) -> str:
    """Return foreign text as a short code span: no mention, no markup, no end of the span."""
    plain = "".join(char if char.isprintable() else "?" for char in text[:61]).replace("`", "'").strip()
    return f"`{plain[:60]}…`" if len(plain) > 60 else f"`{plain or ' '}`"
