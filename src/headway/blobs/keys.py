"""Keys of blobs: an allow-list grammar, applied after exactly one decoding; bad keys are refused, never cleaned."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING
from urllib.parse import unquote

from headway.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_KEY = 1024
MAX_PART = 255
MAX_DEPTH = 32

# Printable ASCII without what some system gives a meaning: / splits, \ and : reach other roots on Windows,
# ? and # end a URL's path, * " < > | cannot be file names everywhere.
_PLAIN = frozenset(" !$%&'()+,-.;=@[]^_`{}~:0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
_LETTERS = frozenset({"Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Nd"})
_ENCODED = re.compile(r"%[0-9A-Fa-f]{2}")
_DRIVE = re.compile(r"[A-Za-z]:")
_DRIVE_OR_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


def checked_key(key: str) -> str:
    """Return `key` unchanged when it is inside the grammar; it must already have been decoded once.

    Raises:
        UsageError: names the key, the part that is wrong and the fix.
    """
    size = len(key.encode("utf-8", "surrogatepass"))
    if not key or size > MAX_KEY:
        raise _refused(key, f"it has {size} bytes; 1 to {MAX_KEY} are allowed", "give a shorter, non-empty path")
    parts = key.split("/")
    if len(parts) > MAX_DEPTH:
        raise _refused(key, f"it has {len(parts)} levels; {MAX_DEPTH} are allowed", "flatten the folders")
    if _DRIVE_OR_SCHEME.match(parts[0]):
        raise _refused(key, f"{parts[0]!r} starts like a drive or an address", "give a path inside the store")
    for part in parts:
        _check_part(key, part)
    return key


def decoded_key(raw: str) -> str:
    """Decode percent-encoding exactly once and return the checked key."""
    try:
        return checked_key(unquote(raw, errors="strict"))
    except UnicodeDecodeError:
        raise _refused(raw, "its percent-encoding is not UTF-8", "encode the path as UTF-8") from None


def joined_key(root: str, relative: str) -> str:
    """Return the key of a path that lies below `root`; "" is the root itself. Both are checked."""
    return checked_key(root) if not relative else checked_key(f"{checked_key(root)}/{checked_key(relative)}")


def parents(key: str) -> Iterator[str]:
    """Yield the folder keys above `key`, nearest first."""
    while "/" in key:
        key = key.rsplit("/", 1)[0]
        yield key


def is_part(name: str) -> bool:
    """Tell whether one name of a folder can be part of a key."""
    return bool(name) and _wrong_with(name) is None


def _check_part(key: str, part: str) -> None:
    wrong = _wrong_with(part)
    if wrong is not None:
        raise _refused(key, wrong, "use letters, digits, space and -_.,+=@()[]{} in names, with / between folders")


def _wrong_with(part: str) -> str | None:  # noqa: PLR0911  # one reason per rule, in the order a reader asks
    if part in {"", ".", ".."}:
        return f"it has the part {part!r}: paths are relative, without //, . or .."
    if len(part.encode("utf-8", "surrogatepass")) > MAX_PART:
        return f"the part {part[:40]!r}... is longer than {MAX_PART} bytes"
    if part != part.strip() or part.endswith("."):
        return f"the part {part!r} begins or ends with a space, or ends with a dot"
    if _DRIVE.match(part):
        return f"the part {part!r} starts like a drive"
    if _ENCODED.search(part):
        return f"the part {part!r} is still percent-encoded after one decoding"
    odd = next((each for each in part if not _is_allowed(each)), None)
    if odd is not None:
        return f"the character U+{ord(odd):04X} ({unicodedata.name(odd, 'unnamed')}) is not allowed"
    if unicodedata.normalize("NFC", part) != part:
        return f"the part {part!r} is not in Unicode normal form C, so two names could look the same"
    return None


def _is_allowed(character: str) -> bool:
    if character.isascii():
        return character in _PLAIN
    # Compatibility forms (full-width letters, ligatures) turn into other characters elsewhere.
    return unicodedata.category(character) in _LETTERS and unicodedata.normalize("NFKC", character) == character


def _refused(key: str, cause: str, hint: str) -> UsageError:
    shown = key if len(key) <= 80 else key[:77] + "..."
    return UsageError(f"Invalid path: {shown!r} is not a usable key", cause=cause, hint=hint)
