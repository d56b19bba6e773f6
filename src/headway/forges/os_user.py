"""Who this process runs as."""

from __future__ import annotations

import getpass
import os


def os_user() -> str:
    """Return the name of whoever this process runs as: the one user of a laptop."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in many containers
        return f"uid-{os.getuid()}"
