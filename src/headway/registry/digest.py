"""The digest of a model folder: paths and bytes, and nothing of where or when it was stored."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from headway.errors import NotFound, Refused
from headway.ids import digest_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headway.blobs.base import BlobStat, BlobStore


def walk(blobs: BlobStore, folder: str) -> Iterator[BlobStat]:
    """Yield every file below a folder key, sorted by path."""
    for each in blobs.list(folder):
        if each.is_dir:
            yield from walk(blobs, each.key)
        else:
            yield each


def digest_folder(blobs: BlobStore, folder: str) -> str:
    """Return the SHA-256 of the folder's canonical listing: relative path, size and SHA-256 of each file.

    Raises:
        NotFound: there is no file below the folder.
    """
    listing = []
    for each in walk(blobs, folder):
        with blobs.open(each.key) as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]  # typeshed wants getbuffer or readinto; every BinaryIO of a store has it
        listing.append((each.key.removeprefix(f"{folder}/"), each.size, digest))
    if not listing:
        raise NotFound(f"the model folder {folder!r} is empty or absent", hint="log the model before registering it")
    return digest_of(sorted(listing))


def check_digest(blobs: BlobStore, folder: str, digest: str) -> None:
    """Refuse a model folder whose bytes are not the registered ones; call it before they are served.

    Raises:
        NotFound: the folder is gone.
        Refused: a file was changed, added or taken away.
    """
    found = digest_folder(blobs, folder)
    if found != digest:
        raise Refused(
            f"the files of {folder!r} are not those that were registered",
            cause=f"the registered digest is {digest[:12]}, the files have {found[:12]}",
            hint="register the model again from its run, and look into who changed its files",
        )
