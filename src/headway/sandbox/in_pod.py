"""`python -m headway.sandbox.in_pod`: what a pod's first container does, in Headway's own image."""

from __future__ import annotations

import runpy

from headway.sandbox.command import INSIDE

if __name__ == "__main__":
    # The same file for every Python: it imports nothing of Headway, and neither do its neighbours.
    runpy.run_path(str(INSIDE / "lay_out.py"), run_name="__main__")
