"""The keys of how long things are kept."""

from __future__ import annotations

from headway.projects.shapes import Fields
from headway.projects.words import COUNT, DURATION_TEXT, key

RETENTION = Fields(
    keys={
        "trash": key(DURATION_TEXT, "how long deleted things stay in the trash; at least a day"),
        "runs": key(
            Fields(
                keys={
                    "keep_last": key(COUNT, "so many of the newest runs stay"),
                    "keep_days": key(COUNT, "runs that ended in so many days stay"),
                }
            ),
            "ended runs that no rule keeps go into the trash; registered, baseline, released and `keep`-tagged stay",
        ),
    }
)
