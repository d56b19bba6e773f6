"""`python -m headway.environments.in_pod`: make a locked environment in the cluster, into a cache that pods share.

It runs before the step, in Headway's own image and without the attempt's token; nothing of the project is run.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec

from headway.environments.model import BuiltEnv, EnvSpec, Tier
from headway.environments.shelf import Shelf
from headway.environments.uv_builder import UvBuilder
from headway.errors import HeadwayError

VARIABLE = "HEADWAY_POD_ENVIRONMENT"
_TERMINATION = "/dev/termination-log"
_LONGEST = 1200
_UNUSED_DAYS = 60  # longer than any step may take: it reads its environment all that time


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentOrder:
    """What shall be made, from which files, and where it shall stand."""

    env: EnvSpec
    tier: int
    source: str  # the project's folder: holds the files that describe the environment
    cache: str  # the root of all tiers' shelves
    is_kept: bool = True  # False: it goes with this pod, and compiling more than the step imports would be for nobody


def make(order: EnvironmentOrder) -> BuiltEnv:
    """Make the environment, or find it; afterwards it stands on the shelf of the order's own tier."""
    tier, root = Tier(order.tier), Path(order.cache)
    builder, shelf = UvBuilder(root, wheels_only=True, compile_bytecode=order.is_kept), Shelf(root, tier)
    built = builder.build(order.env, Path(order.source), tier, sys.stdout)
    shelf.show(built, sys.stdout)  # of a higher tier, perhaps: the attempt was told of one place only
    shelf.note_use(order.env.digest)
    if not built.reused:
        # Now that something was added: the volume is nobody's to tidy but ours.
        builder.drop_unused(tier, days=_UNUSED_DAYS)
    return built


def main() -> int:
    """Make what the variable says; 1 and the reason in the termination message when it cannot be made."""
    try:
        order = msgspec.json.decode(os.environ[VARIABLE], type=EnvironmentOrder)
        built = make(order)
    except HeadwayError as error:
        _tell({"message": error.message, "cause": error.cause[:_LONGEST], "hint": error.hint})
        return 1
    except OSError as error:
        hint = "give HEADWAY_KUBERNETES_CACHE a volume with room that user 10001 may write to"
        _tell(
            {"message": "the environment was not made: the cache does not take it", "cause": str(error), "hint": hint}
        )
        return 1
    print(f"environment {built.digest[:12]}: {built.packages} packages", flush=True)  # noqa: T201  # the container's log
    return 0


def _tell(record: dict[str, str]) -> None:
    print("; ".join(filter(None, record.values())), flush=True)  # noqa: T201  # the same
    try:
        Path(os.environ.get("HEADWAY_POD_TERMINATION", _TERMINATION)).write_bytes(msgspec.json.encode(record))
    except OSError:
        return  # outside of a pod


if __name__ == "__main__":
    sys.exit(main())
