"""The first token of a data directory: an admin's, in a file that only its owner can read."""

from __future__ import annotations

import hmac
import os
from typing import TYPE_CHECKING

from headway.auth.model import Role, TokenKind
from headway.auth.tokens import TokenStore, hash_secret, read_token
from headway.auth.users import UserStore

if TYPE_CHECKING:
    from pathlib import Path

    from headway.clock import Clock
    from headway.db.connection import Database

FILE_NAME = "admin-token"


def first_token(database: Database, data: Path, *, clock: Clock, user: str) -> str:
    """Return the token in `<data>/admin-token`; made when the file is missing or its token works no more."""
    text = read_first_token(data)
    if text is not None and _works(database, text):
        return text
    with database.write() as tx:
        now = clock.now()
        UserStore(tx).ensure_admin(user, at=now, by="first start")
        text = TokenStore(tx).mint(TokenKind.USER, user, role=Role.ADMIN, at=now, label="first start", by="first start")
    _write_private(data / FILE_NAME, text + "\n")
    return text


def read_first_token(data: Path) -> str | None:
    """Return the token in the file, for the CLI of the same user; None when there is none to read."""
    try:
        return (data / FILE_NAME).read_text(encoding="utf-8").strip() or None
    except (FileNotFoundError, PermissionError, UnicodeDecodeError):
        return None


def _works(database: Database, text: str) -> bool:
    parts = read_token(text)
    if parts is None:
        return False
    with database.read() as tx:
        found = TokenStore(tx).find(parts.id)
    return found is not None and not found[1] and hmac.compare_digest(found[0].secret_hash, hash_secret(parts.secret))


def _write_private(path: Path, text: str) -> None:
    # Born 0600 under another name: at no moment can others read it, or a reader see half of it.
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    draft.rename(path)
