"""A data set as it stood when a plan was made."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Place(StrEnum):
    """Where the bytes of a data set are."""

    TREE = "tree"  # tracked in the repository: its content is named by git
    LOCAL = "local"  # an absolute path of this machine
    REMOTE = "remote"  # an address


@dataclass(frozen=True, slots=True, kw_only=True)
class DataPin:
    """A named data set and the digest of its content at that moment."""

    name: str
    uri: str  # as written; of a tracked one, relative to the project
    place: Place
    digest: str = ""  # "" = not hashed: a change of its content cannot be noticed
    size: int = 0  # bytes; 0 where unknown

    @property
    def is_hashed(self) -> bool:
        """Whether equal digests mean equal content."""
        return bool(self.digest)

    @property
    def reference(self) -> str:
        """The pin in one text, as tasks and reports keep it: "uri@digest"."""
        return f"{self.uri}@{self.digest or 'not hashed'}"
