"""The one protocol of whatever makes environments; `tests/contracts/builder.py` is its contract."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path
    from typing import TextIO

    from headway.environments.model import BuiltEnv, EnvSpec, Tier


class Builder(Protocol):
    """Makes an environment once per digest and tier, and finds it again."""

    def find(self, digest: str, tier: Tier) -> BuiltEnv | None:
        """Return a finished environment of this tier or a higher one; None when there is none.

        Never blocks on a build; under 50 ms.
        """
        ...

    def build(self, spec: EnvSpec, source: Path, tier: Tier, log: TextIO) -> BuiltEnv:
        """Build from the files in `source` (the project's folder), streaming the log; blocks.

        Safe to repeat and to race: one builder wins, all return the same path. A crash leaves
        nothing that `find` would return. Raises `BuildFailed (a HeadwayError)` with a hint.
        """
        ...

    def prune(self, keep: Collection[str]) -> int:
        """Remove every environment whose digest is not in `keep`; return the bytes freed."""
        ...
