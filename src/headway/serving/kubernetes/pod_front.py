"""The front in a pod: `python -m headway.serving.kubernetes.pod_front FOLDER`; it waits for something to serve."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path

from headway.serving import front
from headway.serving.kubernetes.drain import MARK

_POLL = 0.1


def main(arguments: list[str]) -> int:
    """Wait for the agent, then be the endpoint's front until told to end."""
    folder = Path(arguments[0])
    # The first process of a container has no default handlers: without one it would hear nothing.
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: ended.set())
    (folder / MARK).unlink(missing_ok=True)  # a container that is started again drains no more
    while not (folder / "wanted.json").exists():
        if ended.wait(_POLL):
            return 0
    return front.main([str(folder)])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
