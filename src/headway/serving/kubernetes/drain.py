"""Before a pod ends: `python -m headway.serving.kubernetes.drain FOLDER SECONDS`.

Callers are told to connect anew, and every proxy gets the time to hear that this pod goes. It imports nothing else of
Headway: it must be quick on a busy machine.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

MARK = "draining"  # the front looks for it


def main(arguments: list[str]) -> int:
    """Leave the mark and wait."""
    folder, seconds = arguments
    (Path(folder) / MARK).touch()
    time.sleep(float(seconds))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
