"""Tokens of other servers that this user has logged in to: one private file, by address."""

from __future__ import annotations

import json
import os
from pathlib import Path


def credentials_file() -> Path:
    """Return where they are kept."""
    root = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(root) / "headway" / "tokens.json"


def kept_token(url: str) -> str:
    """Return the token for a server, "" when there is none."""
    return _read().get(url, "")


def keep_token(url: str, token: str) -> None:
    """Keep a token, readable by this user only."""
    _write(_read() | {url: token})


def forget_token(url: str) -> bool:
    """Forget a token; return whether there was one."""
    found = _read()
    was_there = found.pop(url, None) is not None
    if was_there:
        _write(found)
    return was_there


def _read() -> dict[str, str]:
    try:
        found = json.loads(credentials_file().read_text())
    except (OSError, ValueError):
        return {}
    return {str(url): str(token) for url, token in found.items()} if isinstance(found, dict) else {}


def _write(tokens: dict[str, str]) -> None:
    path = credentials_file()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Born private under another name: at no moment can others read it.
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        json.dump(tokens, stream)
    draft.replace(path)
