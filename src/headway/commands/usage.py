"""What each verb takes and says, and the least standing it asks for; shared by `/help` and the terminal."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from headway.commands.model import Verb
from headway.forges.model import Permission

# A job by its number or id, or a registered version: never a word of prose.
_RUN = re.compile(r"#?[0-9]{1,9}|v[0-9]{1,9}|[0-9A-HJKMNP-TV-Z]{26}|[0-9a-f]{32}")
_ENVIRONMENT = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_SUBJECT = re.compile(r"#?[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}")
_CHECK = re.compile(r".{1,200}")
_VERB = re.compile(r"/?[A-Za-z][A-Za-z0-9_-]{0,62}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """One verb of the language: everything the parser, `/help` and the permission test need to know of it."""

    verb: Verb
    says: str
    example: str
    permission: Permission
    positional: str = ""  # its name in the usage line
    pattern: re.Pattern[str] | None = None
    is_needed: bool = False
    has_params: bool = False
    has_sha: bool = False
    has_project: bool = True
    has_dry_run: bool = False
    has_environment: bool = False
    has_reason: bool = False

    @property
    def syntax(self) -> str:
        """The whole form in one line, optional parts in brackets."""
        name = self.positional
        reason = "reason..." if self.has_reason else ""
        parts = (
            (name if self.is_needed else f"[{name}]") if name else "",
            "[key=value ...]" if self.has_params else "",
            "[@commit]" if self.has_sha else "",
            "[--to ENV]" if self.has_environment else "",
            "[--project NAME]" if self.has_project else "",
            "[--dry-run]" if self.has_dry_run else "",
        )
        # The reason is the rest of the line, so that options stand before it.
        ordered = (*parts[1:], parts[0], reason) if self.has_reason else parts
        return " ".join((f"/{self.verb}", *(part for part in ordered if part)))


_ALL = (
    Usage(
        verb=Verb.PLAN,
        says="show what `train` would run or reuse, and why, with time and cost",
        example="/plan lr=0.2",
        permission=Permission.WRITE,
        has_params=True,
        has_sha=True,
    ),
    Usage(
        verb=Verb.TRAIN,
        says="run the pipeline on this commit and judge the result",
        example="/train lr=0.2",
        permission=Permission.WRITE,
        has_params=True,
        has_sha=True,
        has_dry_run=True,
    ),
    Usage(
        verb=Verb.TUNE,
        says="search the parameters of the `tune:` block",
        example="/tune max_trials=20",
        permission=Permission.WRITE,
        has_params=True,
        has_sha=True,
        has_dry_run=True,
    ),
    Usage(
        verb=Verb.DEPLOY,
        says="release the model of a run (the last good one when none is named)",
        example="/deploy 412 --to staging",
        permission=Permission.MAINTAIN,
        positional="RUN",
        pattern=_RUN,
        has_sha=True,
        has_environment=True,
        has_dry_run=True,
    ),
    Usage(
        verb=Verb.APPROVE,
        says="approve the release that waits, or the commit of a fork",
        example="/approve",
        permission=Permission.MAINTAIN,
        positional="RUN",
        pattern=_RUN,
        has_sha=True,
        has_environment=True,
    ),
    Usage(
        verb=Verb.ROLLBACK,
        says="go back to the version that served before",
        example="/rollback production",
        permission=Permission.MAINTAIN,
        positional="ENVIRONMENT",
        pattern=_ENVIRONMENT,
        has_dry_run=True,
    ),
    Usage(
        verb=Verb.STOP,
        says="stop what runs for this change",
        example="/stop",
        permission=Permission.WRITE,
        positional="RUN",
        pattern=_RUN,
    ),
    Usage(
        verb=Verb.RETRY,
        says="run again what failed or was stopped",
        example="/retry",
        permission=Permission.WRITE,
        positional="RUN",
        pattern=_RUN,
        has_sha=True,
    ),
    Usage(
        verb=Verb.OVERRIDE,
        says="accept one failed check knowingly, for this commit only",
        example='/override "val_auc by origin" the data of JFK is known to be late',
        permission=Permission.MAINTAIN,
        positional="CHECK",
        pattern=_CHECK,
        is_needed=True,
        has_sha=True,
        has_reason=True,
    ),
    Usage(
        verb=Verb.WHY,
        says="walk back from a prediction, a version or a check to its cause",
        example="/why",
        permission=Permission.READ,
        positional="ID",
        pattern=_SUBJECT,
    ),
    Usage(
        verb=Verb.HELP,
        says="show this",
        example="/help train",
        permission=Permission.READ,
        positional="VERB",
        pattern=_VERB,
        has_project=False,
    ),
)

USAGE: Mapping[Verb, Usage] = {usage.verb: usage for usage in _ALL}
"""Every verb, in the order of the story."""


def permission_for(verb: Verb) -> Permission:
    """Return the least standing in the repository that may give this command."""
    return USAGE[verb].permission


def help_text(verb: Verb | None = None, aliases: Mapping[str, str] | None = None) -> str:
    """Return the Markdown that answers `/help`; examples stand in fences, so that no bot obeys it."""
    if verb is not None:
        return _help_on(USAGE[verb])
    wide = max(len(usage.syntax) for usage in _ALL if not usage.has_reason)
    lines = [
        "Commands stand alone on a line of a new comment. Several in one comment run in their order.",
        "",
        "```text",
        *(f"{usage.syntax:<{wide}}  {usage.says.replace('`', '')}" for usage in _ALL),
        "```",
    ]
    if aliases:
        lines += ["", "Words of this project:", "", "```text"]
        lines += [f"/{_plain(alias)} = /{_plain(text.lstrip('/'))}" for alias, text in sorted(aliases.items())]
        lines += ["```"]
    return "\n".join(lines)


def _help_on(usage: Usage) -> str:
    return "\n".join(
        (
            f"**{usage.verb}**: {usage.says}. Needs {usage.permission.name.lower()} permission.",
            "",
            "```text",
            usage.syntax,
            f"for example: {usage.example}",
            "```",
        ),
    )


def _plain(text: str) -> str:
    # The text stands in a fence that it must not close.
    return "".join(char for char in text if char.isprintable()).replace("`", "'")[:200]
