"""What a step of a CI leaves behind: outputs for the next step, a summary for people; names and values never mix."""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headway.cli.output import print_json, say
from headway.errors import UsageError
from headway.logs import conceal

_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
LONGEST_SUMMARY = 1_000_000  # bytes; GitHub takes a mebibyte a step


def put(values: Mapping[str, Any], *, as_json: bool) -> None:
    """Give values to the next step: in the file that GitHub Actions reads, and as lines or JSON to everybody else."""
    texts = {name: conceal(_text(value)) for name, value in values.items()}
    path = os.environ.get("GITHUB_OUTPUT")
    if path:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write("".join(block(name, text) for name, text in texts.items()))
    if as_json:
        print_json(dict(values))
        return
    for name, text in texts.items():
        if "\n" not in text:
            say(f"{name}={text}")


def block(name: str, text: str) -> str:
    """Return one output as GitHub reads it; the end mark is a fresh one, so that no value can end it and begin another.

    Raises:
        UsageError: the name is none for an output.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name of an output")
    mark = f"end-{secrets.token_hex(16)}"
    while mark in text:
        mark = f"end-{secrets.token_hex(16)}"
    clean = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    return f"{name}<<{mark}\n{clean}\n{mark}\n"


def summarize(markdown: str) -> None:
    """Show Markdown on the page of the workflow's run, where there is one."""
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if not path:
        return
    text = conceal(markdown)
    if len(text.encode()) > LONGEST_SUMMARY:
        text = text.encode()[:LONGEST_SUMMARY].decode(errors="ignore") + "\n\n_The rest is cut off._\n"
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(text.rstrip("\n") + "\n\n")


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
